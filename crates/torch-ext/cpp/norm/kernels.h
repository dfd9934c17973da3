// The inner loops of group normalisation over some pixels of one image, channels innermost, for each instruction set.
// All per-channel numbers (`pivot`, `scale`, ...) are arrays `[channels]`.
#pragma once

#include <cstdint>

namespace torch_ext {

// A bfloat16: the upper half of a float.
struct BFloat16 {
  uint16_t bits;
};

// The transformation of each number: y = (x - pivot) * scale + offset, z = silu(y) or y.
template <class A>
struct Affine {
  const A* pivot;
  const A* scale;
  const A* offset;
  bool silu;
};

// Pixels that are `stride` numbers apart, each with its channels side by side.
template <class T>
struct Rows {
  const T* at;
  int64_t stride;
};

// T: the type in memory; A: the type of the computation.
template <class T, class A>
struct Kernels {
  // first = sum of (x - pivot), second = sum of its square.
  void (*moments)(const T* x, int64_t pixels, int64_t channels, const A* pivot, A* first, A* second);

  // z of x.
  void (*forward)(const T* x, T* z, int64_t pixels, int64_t channels, const Affine<A>& affine);

  // first = sum of dy, second = sum of dy (x - pivot).
  void (*backward_sums)(
      const T* x, Rows<T> dz, int64_t pixels, int64_t channels, const Affine<A>& affine, A* first, A* second);

  // dx = dy * scale + constant + (x - pivot) * slope + beside. `beside` is null or read like dz.
  void (*backward)(
      const T* x, Rows<T> dz, Rows<T> beside, T* dx, int64_t pixels, int64_t channels, const Affine<A>& affine,
      const A* constant, const A* slope);
};

struct KernelTable {
  Kernels<float, float> f32;
  Kernels<BFloat16, float> bf16;
  Kernels<double, double> f64;
};

namespace base {
extern const KernelTable table;
}
#ifdef TORCH_EXT_X86
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
namespace avx512_bf16 {
extern const KernelTable table;
}
#endif

// The best table that this processor can run, with at most `lanes` floats per vector; up to 16 it excludes the bfloat16
// instructions.
const KernelTable& kernels(int64_t lanes);

}  // namespace torch_ext
