#include "../error.h"

#include <ATen/Context.h>

// By default libtorch uses TF32 for convolutions but not for matrix products.
extern "C" char* torch_ext_set_tf32(bool on) noexcept {
  return torch_ext::guarded([&] {
    auto& context = at::globalContext();
    context.setAllowTF32CuBLAS(on);
    context.setAllowTF32CuDNN(on);
  });
}

extern "C" char* torch_ext_tf32(bool* on) noexcept {
  return torch_ext::guarded([&] {
    const auto& context = at::globalContext();
    *on = context.allowTF32CuBLAS() && context.allowTF32CuDNN();
  });
}
