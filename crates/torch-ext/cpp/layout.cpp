#include "error.h"
#include "plain.h"

#include <ATen/core/Tensor.h>

// Converts to the type with index `kind` in the table below and to channels innermost. A tensor that is so already is
// not copied. The caller owns `*out`.
extern "C" char* torch_ext_channels_last(const at::Tensor* x, int kind, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] {
    constexpr at::ScalarType kinds[] = {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble};
    const at::ScalarType type = kinds[kind];
    const auto layout = at::MemoryFormat::ChannelsLast;
    // If both change, convert in one pass.
    at::Tensor result = type == x->scalar_type()
        ? x->contiguous(layout)
        : x->to(type, /*non_blocking=*/false, /*copy=*/false, layout);
    *out = new at::Tensor(std::move(result));
  });
}

extern "C" char* torch_ext_is_channels_last(const at::Tensor* x, bool* yes) noexcept {
  return torch_ext::guarded([&] { *yes = x->is_contiguous(at::MemoryFormat::ChannelsLast); });
}

// How a tensor stores its numbers. Returns no text, unlike the others.
extern "C" int torch_ext_numbers_of(const at::Tensor* x) noexcept {
  return static_cast<int>(torch_ext::numbers_of(*x));
}

// Whether `x` is the only tensor with its memory: no copy of the handle, and no view.
extern "C" bool torch_ext_is_unshared(const at::Tensor* x) noexcept {
  return x->use_count() == 1 && x->storage().use_count() == 1;
}
