// Tensors whose numbers are accessed by address, and the necessary checks.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace torch_ext {

// The channels of a pixel side by side.
constexpr auto kLayout = at::MemoryFormat::ChannelsLast;

// How a tensor stores its numbers. Must match `Numbers` in src/plain.rs.
enum class Numbers : int {
  undefined,  // no tensor
  elsewhere,  // sparse or packed: no address per number
  marked,     // in memory, but flagged as negated, conjugated or all zero
  plain,      // in memory as they are
};

inline Numbers numbers_of(const at::Tensor& x) {
  if (!x.defined()) {
    return Numbers::undefined;
  }
  if (x.layout() != at::kStrided || x.is_nested() || !x.has_storage()) {
    return Numbers::elsewhere;
  }
  return x.is_neg() || x.is_conj() || x._is_zerotensor() ? Numbers::marked : Numbers::plain;
}

// `x` with plain numbers in memory; copies only if necessary. Reading the memory of a tensor flagged as negated gives
// the wrong sign, and one flagged as zero has no memory at all.
inline at::Tensor resolved(const at::Tensor& x) {
  switch (numbers_of(x)) {
    case Numbers::plain:
      return x;
    case Numbers::marked:
      return x._is_zerotensor() ? x.clone() : x.resolve_conj().resolve_neg();
    default:
      TORCH_CHECK(false, "expected a tensor with strides, found layout ", x.layout());
  }
}

// A version of a tensor that a backward pass may keep: the same numbers, with the present shape and type. The caller may
// resize the tensor or give it other data, which libtorch's version counter does not detect. Undefined stays undefined.
inline at::Tensor kept(const at::Tensor& x) {
  return x.defined() ? x.detach() : x;
}

// Distances, counted in numbers, between the images and between the pixels of a tensor [n, c, h, w].
struct PixelStrides {
  int64_t image, pixel;
};

// Empty if a pixel's channels are not adjacent, or its pixels not at equal distances. channels_last tensors have both
// properties, and so do slices of their channels, such as the gradient of a concatenation.
//
// The stride of a dimension of size 1 is arbitrary, even in contiguous tensors, so it is never read.
inline std::optional<PixelStrides> pixel_strides(const at::Tensor& x) {
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  if (channels > 1 && x.stride(1) != 1) {
    return std::nullopt;
  }
  const int64_t pixel = width > 1 ? x.stride(3) : height > 1 ? x.stride(2) : channels;
  if (width > 1 && height > 1 && x.stride(2) != width * pixel) {
    return std::nullopt;
  }
  return PixelStrides{x.size(0) > 1 ? x.stride(0) : 0, pixel};
}

}  // namespace torch_ext
