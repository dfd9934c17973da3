// The state of libtorch's default generators, which dropout uses.
#include "error.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <mutex>

namespace {

// The generator of a CUDA device, or of the CPU for -1.
at::Generator generator_of(int cuda) {
  const at::Device device = cuda < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(cuda));
  return at::globalContext().defaultGenerator(device);
}

}  // namespace

// The caller owns `*out`, a byte tensor in host memory.
extern "C" char* torch_ext_generator_state(int cuda, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] {
    at::Generator generator = generator_of(cuda);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    *out = new at::Tensor(generator.get_state());
  });
}

// libtorch refuses bytes that are not a state of such a generator.
extern "C" char* torch_ext_set_generator_state(int cuda, const at::Tensor* state) noexcept {
  return torch_ext::guarded([&] {
    at::Generator generator = generator_of(cuda);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}
