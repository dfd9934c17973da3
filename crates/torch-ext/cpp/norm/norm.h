// Group normalisation of one tensor, without libtorch's bookkeeping: pointers in, pointers out.
#pragma once

#include "kernels.h"
#include "sums.h"

#include <cstdint>

namespace torch_ext {

// The factors and offsets applied to the normalised numbers, and the shift added before. `shift`, `scale` and `offset`
// are per image, null or [n, c], with rows `stride` apart:
//   xhat = (x + shift - mean) rstd,   y = (xhat weight + bias) (1 + scale) + offset.
template <class A>
struct Modulation {
  const A* weight;  // [c]
  const A* bias;    // [c]
  const A* shift;   // [n, c]
  const A* scale;   // [n, c], with `offset` in the second half of the same row
  int64_t shift_stride, scale_stride;
};

// What the forward pass keeps for the backward pass.
template <class A>
struct Statistics {
  A* mean;       // [n, g], of x + shift
  A* rstd;       // [n, g]
  A* mean_xhat;  // [n, c], of a channel's xhat over an image
};

// The results of the backward pass. All but dx may be null.
template <class A>
struct Gradients {
  A* weight;  // [c]
  A* bias;    // [c]
  A* shift;   // [n, c]
  A* scale;   // [n, 2 c], the gradient of `offset` in the second half of a row
};

template <class T, class A>
void norm_forward(
    const Kernels<T, A>& kernels, const Shape& shape, const T* x, const Modulation<A>& modulation, double eps,
    bool silu, const Statistics<A>& statistics, T* z);

// A tensor whose images are `image` numbers apart and whose pixels are `pixel` numbers apart, or no tensor.
template <class T>
struct PixelRows {
  const T* at;
  int64_t image, pixel;

  Rows<T> from(int64_t n, int64_t first_pixel) const {
    return {at ? at + n * image + first_pixel * pixel : nullptr, pixel};
  }
};

// `beside` is added to dx: the gradient from another use of x.
template <class T, class A>
void norm_backward(
    const Kernels<T, A>& kernels, const Shape& shape, const T* x, const PixelRows<T>& dz,
    const PixelRows<T>& beside, const Modulation<A>& modulation, bool silu, const Statistics<A>& statistics, T* dx,
    const Gradients<A>& gradients);

}  // namespace torch_ext
