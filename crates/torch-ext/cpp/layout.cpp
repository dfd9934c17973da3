#include "error.h"
#include "plain.h"

#include <ATen/core/Tensor.h>

// The same numbers as the type of index `kind` in the table below, channels innermost in memory. What is so already is
// not copied. The caller owns `*out`.
extern "C" char* torch_ext_channels_last(const at::Tensor* x, int kind, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] {
    constexpr at::ScalarType kinds[] = {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble};
    const at::ScalarType type = kinds[kind];
    const auto layout = at::MemoryFormat::ChannelsLast;
    // Where both change, in one pass over the numbers.
    at::Tensor result = type == x->scalar_type()
        ? x->contiguous(layout)
        : x->to(type, /*non_blocking=*/false, /*copy=*/false, layout);
    *out = new at::Tensor(std::move(result));
  });
}

extern "C" char* torch_ext_is_channels_last(const at::Tensor* x, bool* yes) noexcept {
  return torch_ext::guarded([&] { *yes = x->is_contiguous(at::MemoryFormat::ChannelsLast); });
}

// How a tensor keeps its numbers; no text, unlike the others.
extern "C" int torch_ext_numbers_of(const at::Tensor* x) noexcept {
  return static_cast<int>(torch_ext::numbers_of(*x));
}
