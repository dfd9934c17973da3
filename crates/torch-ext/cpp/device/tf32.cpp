#include "../error.h"

#include <ATen/Context.h>

// libtorch has it on for convolutions and off for products of matrices unless it is told.
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
