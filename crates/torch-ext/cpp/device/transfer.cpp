// Copies between host and device memory, without waiting.
#include "../error.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

// A copy in pinned memory, which the device reads directly. The caller owns `*out`.
extern "C" char* torch_ext_pinned(const at::Tensor* x, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] { *out = new at::Tensor(x->pin_memory()); });
}

// If the host memory is not pinned, the host waits anyway.
extern "C" char* torch_ext_copy_ahead(const at::Tensor* to, const at::Tensor* from) noexcept {
  return torch_ext::guarded([&] {
    const at::NoGradGuard no_grad;
    to->copy_(*from, /*non_blocking=*/true);
  });
}

// The numbers are available once the stream has reached this point. The caller owns `*out`.
extern "C" char* torch_ext_download(const at::Tensor* x, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] {
    const at::NoGradGuard no_grad;
    at::Tensor host = at::empty(x->sizes(), x->options().device(at::kCPU).pinned_memory(true));
    host.copy_(*x, /*non_blocking=*/true);
    *out = new at::Tensor(std::move(host));
  });
}
