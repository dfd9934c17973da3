// The weight and bias gradient of a convolution, without libtorch's bookkeeping: pointers in, pointers out.
#pragma once

#include "amx.h"

#include <cstdint>

namespace torch_ext {

// A convolution of stride 1 that keeps the size: kernel 1, or 3 with padding 1.
struct ConvShape {
  int64_t images, height, width, c_in, c_out, kernel;

  int64_t padding() const { return kernel / 2; }
  int64_t taps() const { return kernel * kernel; }
};

// A feature map whose channels are adjacent in memory; distances are counted in numbers.
struct FeatureMap {
  const BFloat16* data;
  int64_t image, row, column;
};

// dweight [c_out, c_in, kernel, kernel], dbias [c_out] or null. Bitwise the same for any number of threads.
void weight_gradient(
    const AmxKernels& kernels, const ConvShape& shape, const FeatureMap& x, const FeatureMap& dy, float* dweight,
    float* dbias);

}  // namespace torch_ext
