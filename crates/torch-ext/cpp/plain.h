// Tensors whose numbers are read and written by address, and what has to be known of them before.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace torch_ext {

// The channels of a pixel side by side.
constexpr auto kLayout = at::MemoryFormat::ChannelsLast;

// How a tensor keeps its numbers. Kept in step with `Numbers` in src/plain.rs.
enum class Numbers : int {
  undefined,  // it has none
  elsewhere,  // sparse or packed: not at one address each
  marked,     // in memory, but negated, conjugated or all zero by a mark on the tensor
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

// `x` with its numbers in memory as they are; a copy only where they are not. Reading the memory of a tensor that is
// marked as negated gives the wrong sign, and one marked as zero has no memory at all.
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

// What a backward pass may keep of a tensor: the same numbers, and shape and type as they are now. The caller's tensor can be
// resized, or given other data, which libtorch's count of changes does not see. Undefined stays so.
inline at::Tensor kept(const at::Tensor& x) {
  return x.defined() ? x.detach() : x;
}

// Distances in numbers between the images and between the pixels of a tensor [n, c, h, w].
struct PixelStrides {
  int64_t image, pixel;
};

// None where a pixel's channels are not neighbours, or its pixels not at one distance: channels_last has them, and a slice
// of its channels, which is what the gradient of a concatenation is.
//
// The stride of a dimension of size 1 means nothing and may be any number, in contiguous tensors as well. So it is never
// asked for.
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
