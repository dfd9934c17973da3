// Compiled once for each instruction set: TORCH_EXT_ISA is its name, TORCH_EXT_LANES the number of floats per vector.
//
// Each loop takes a block of channels and iterates over the pixels, so that the sums and the per-channel numbers stay
// in registers. A block of two vectors of bfloat16 is one cache line.
#include "kernels.h"
#include "simd.h"

namespace torch_ext {
namespace {

// A compile-time choice.
template <bool b>
struct Is {
  static constexpr bool yes = b;
};

// Channels processed together: `n` vectors of L.
template <int L, int n>
struct Block {
  static constexpr int lanes = L, vectors = n;
};

// Calls body(block, first channel) for the largest blocks that fit, until all channels are done.
template <int L, class Body>
inline void over_channels(int64_t channels, Body body) {
  int64_t c = 0;
  for (; c + 2 * L <= channels; c += 2 * L) {
    body(Block<L, 2>{}, c);
  }
  for (; c + L <= channels; c += L) {
    body(Block<L, 1>{}, c);
  }
  // For networks with few channels, and the remainder of others.
  if constexpr (L > 4) {
    for (; c + 4 <= channels; c += 4) {
      body(Block<4, 1>{}, c);
    }
  }
  for (; c < channels; ++c) {
    body(Block<1, 1>{}, c);
  }
}

// Per-channel numbers of some channels, in registers.
template <class A, class B>
struct Numbers {
  typedef typename Vector<A, B::lanes>::Value Value;
  Value at[B::vectors];

  static inline Numbers load(const A* from) {
    Numbers numbers;
    for (int v = 0; v < B::vectors; ++v) {
      numbers.at[v] = Memory<A, A, B::lanes>::load(from + v * B::lanes);
    }
    return numbers;
  }
  static inline Numbers zero() {
    Numbers numbers;
    for (int v = 0; v < B::vectors; ++v) {
      numbers.at[v] = Value{};
    }
    return numbers;
  }
  inline void store(A* to) const {
    for (int v = 0; v < B::vectors; ++v) {
      Memory<A, A, B::lanes>::store(to + v * B::lanes, at[v]);
    }
  }
};

template <class T, class A, int L>
struct Loops {
  static void moments(const T* x, int64_t pixels, int64_t channels, const A* pivot, A* first, A* second) {
    over_channels<L>(channels, [=](auto block, int64_t c) {
      typedef decltype(block) B;
      typedef Memory<T, A, B::lanes> In;
      const auto p = Numbers<A, B>::load(pivot + c);
      auto sum = Numbers<A, B>::zero(), square = Numbers<A, B>::zero();
      for (int64_t i = 0; i < pixels; ++i) {
        for (int v = 0; v < B::vectors; ++v) {
          const auto d = In::load(x + i * channels + c + v * B::lanes) - p.at[v];
          sum.at[v] += d;
          square.at[v] += d * d;
        }
      }
      sum.store(first + c);
      square.store(second + c);
    });
  }

  static void forward(const T* x, T* z, int64_t pixels, int64_t channels, const Affine<A>& affine) {
    affine.silu ? forward_as<true>(x, z, pixels, channels, affine)
                : forward_as<false>(x, z, pixels, channels, affine);
  }

  template <bool activated>
  static void forward_as(const T* x, T* z, int64_t pixels, int64_t channels, const Affine<A>& affine) {
    over_channels<L>(channels, [=](auto block, int64_t c) {
      typedef decltype(block) B;
      typedef Memory<T, A, B::lanes> Tensor;
      const auto pivot = Numbers<A, B>::load(affine.pivot + c);
      const auto scale = Numbers<A, B>::load(affine.scale + c);
      const auto offset = Numbers<A, B>::load(affine.offset + c);
      for (int64_t i = 0; i < pixels; ++i) {
        for (int v = 0; v < B::vectors; ++v) {
          const int64_t at = i * channels + c + v * B::lanes;
          const auto y = (Tensor::load(x + at) - pivot.at[v]) * scale.at[v] + offset.at[v];
          Tensor::store(z + at, activated ? silu<A, B::lanes>(y) : y);
        }
      }
    });
  }

  static void backward_sums(
      const T* x, Rows<T> dz, int64_t pixels, int64_t channels, const Affine<A>& affine, A* first, A* second) {
    affine.silu ? backward_sums_as<true>(x, dz, pixels, channels, affine, first, second)
                : backward_sums_as<false>(x, dz, pixels, channels, affine, first, second);
  }

  template <bool activated>
  static void backward_sums_as(
      const T* x, Rows<T> dz, int64_t pixels, int64_t channels, const Affine<A>& affine, A* first, A* second) {
    over_channels<L>(channels, [=](auto block, int64_t c) {
      typedef decltype(block) B;
      typedef Memory<T, A, B::lanes> In;
      const auto pivot = Numbers<A, B>::load(affine.pivot + c);
      const auto scale = Numbers<A, B>::load(affine.scale + c);
      const auto offset = Numbers<A, B>::load(affine.offset + c);
      auto sum = Numbers<A, B>::zero(), product = Numbers<A, B>::zero();
      for (int64_t i = 0; i < pixels; ++i) {
        for (int v = 0; v < B::vectors; ++v) {
          const int64_t at = c + v * B::lanes;
          const auto centred = In::load(x + i * channels + at) - pivot.at[v];
          auto dy = In::load(dz.at + i * dz.stride + at);
          if constexpr (activated) {
            dy *= silu_slope<A, B::lanes>(centred * scale.at[v] + offset.at[v]);
          }
          sum.at[v] += dy;
          product.at[v] += dy * centred;
        }
      }
      sum.store(first + c);
      product.store(second + c);
    });
  }

  static void backward(
      const T* x, Rows<T> dz, Rows<T> beside, T* dx, int64_t pixels, int64_t channels, const Affine<A>& affine,
      const A* constant, const A* slope) {
    const auto run = [&](auto activated, auto adds) {
      backward_as<decltype(activated)::yes, decltype(adds)::yes>(
          x, dz, beside, dx, pixels, channels, affine, constant, slope);
    };
    const auto choose = [&](auto activated) { beside.at ? run(activated, Is<true>{}) : run(activated, Is<false>{}); };
    affine.silu ? choose(Is<true>{}) : choose(Is<false>{});
  }

  template <bool activated, bool adds>
  static void backward_as(
      const T* x, Rows<T> dz, Rows<T> beside, T* dx, int64_t pixels, int64_t channels, const Affine<A>& affine,
      const A* constant, const A* slope) {
    over_channels<L>(channels, [=](auto block, int64_t c) {
      typedef decltype(block) B;
      typedef Memory<T, A, B::lanes> Tensor;
      const auto pivot = Numbers<A, B>::load(affine.pivot + c);
      const auto scale = Numbers<A, B>::load(affine.scale + c);
      const auto offset = Numbers<A, B>::load(affine.offset + c);
      const auto k_0 = Numbers<A, B>::load(constant + c);
      const auto k_1 = Numbers<A, B>::load(slope + c);
      for (int64_t i = 0; i < pixels; ++i) {
        for (int v = 0; v < B::vectors; ++v) {
          const int64_t at = c + v * B::lanes;
          const auto centred = Tensor::load(x + i * channels + at) - pivot.at[v];
          auto dy = Tensor::load(dz.at + i * dz.stride + at);
          if constexpr (activated) {
            dy *= silu_slope<A, B::lanes>(centred * scale.at[v] + offset.at[v]);
          }
          auto sum = dy * scale.at[v] + (k_0.at[v] + centred * k_1.at[v]);
          if constexpr (adds) {
            sum += Tensor::load(beside.at + i * beside.stride + at);
          }
          Tensor::store(dx + i * channels + at, sum);
        }
      }
    });
  }
};

template <class T, class A, int L>
constexpr Kernels<T, A> entries() {
  typedef Loops<T, A, L> All;
  return {All::moments, All::forward, All::backward_sums, All::backward};
}

}  // namespace

namespace TORCH_EXT_ISA {
extern const KernelTable table = {
    entries<float, float, TORCH_EXT_LANES>(),
    entries<BFloat16, float, TORCH_EXT_LANES>(),
    // f64 is only used to check gradients, so one number at a time is enough.
    entries<double, double, 1>(),
};
}  // namespace TORCH_EXT_ISA

}  // namespace torch_ext
