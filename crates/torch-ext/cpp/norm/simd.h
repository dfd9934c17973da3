// Short vectors as compiler extensions, with the number of lanes of the instruction set being compiled
// (`TORCH_EXT_LANES`), and SiLU on them.
//
// The file is compiled once for each instruction set. Everything in it is in an unnamed namespace, and no header with
// inline functions is included: the linker keeps one copy of an inline function, possibly one that this machine cannot
// run.
#pragma once

#include "kernels.h"

// The exception to the rule above: these functions are always inlined.
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace torch_ext {
namespace {

// A vector of L numbers as wide as a float or double, and the types around it. L = 1 is the number itself.
template <class A, int L>
struct Vector;

template <int L>
struct Vector<float, L> {
  typedef float Value __attribute__((vector_size(4 * L)));
  typedef int32_t Int __attribute__((vector_size(4 * L)));
  typedef uint32_t Bits __attribute__((vector_size(4 * L)));
  typedef uint16_t Half __attribute__((vector_size(2 * L)));
};

template <>
struct Vector<float, 1> {
  typedef float Value;
  typedef int32_t Int;
  typedef uint32_t Bits;
  typedef uint16_t Half;
};

template <>
struct Vector<double, 1> {
  typedef double Value;
};

// Reinterprets the bits of one type as another of the same size.
template <class To, class From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "sizes differ");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

// Loads numbers from memory as vectors to compute with, and stores them.
template <class T, class A, int L>
struct Memory {
  typedef typename Vector<A, L>::Value Value;
  static inline Value load(const T* from) {
    Value value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
  }
  static inline void store(T* to, Value value) { __builtin_memcpy(to, &value, sizeof(value)); }
};

template <int L>
struct Memory<BFloat16, float, L> {
  typedef typename Vector<float, L>::Value Value;
  typedef typename Vector<float, L>::Bits Bits;
  typedef typename Vector<float, L>::Half Half;

  static inline Value load(const BFloat16* from) {
    Half half;
    __builtin_memcpy(&half, from, sizeof(half));
    return bits_as<Value>(widen(half) << 16);
  }

  // Rounds to nearest, ties to even; NaN stays NaN. The hardware instruction would also flush numbers below 2^-126 to
  // zero.
  static inline void store(BFloat16* to, Value value) {
#if defined(__AVX512BF16__)
    if constexpr (L == 16) {
      const __m256bh converted = _mm512_cvtneps_pbh(bits_as<__m512>(value));
      __builtin_memcpy(to, &converted, sizeof(converted));
      return;
    }
#endif
    const Bits bits = bits_as<Bits>(value);
    const Bits rounded = (bits + (0x7fffu + ((bits >> 16) & 1u))) >> 16;
    const Bits kept = value == value ? rounded : ((bits >> 16) | 0x40u);
    const Half half = narrow(kept);
    __builtin_memcpy(to, &half, sizeof(half));
  }

 private:
  static inline Bits widen(Half half) {
    if constexpr (L == 1) {
      return half;
    } else {
#if defined(__AVX2__)
      // One instruction; the compiler would use four.
      if constexpr (L == 8) {
        return bits_as<Bits>(_mm256_cvtepu16_epi32(bits_as<__m128i>(half)));
      }
#endif
#if defined(__AVX512F__)
      if constexpr (L == 16) {
        return bits_as<Bits>(_mm512_cvtepu16_epi32(bits_as<__m256i>(half)));
      }
#endif
      return __builtin_convertvector(half, Bits);
    }
  }
  static inline Half narrow(Bits bits) {
    if constexpr (L == 1) {
      return static_cast<Half>(bits);
    } else {
#if defined(__AVX512F__)
      if constexpr (L == 16) {
        return bits_as<Half>(_mm512_cvtepi32_epi16(bits_as<__m512i>(bits)));
      }
#endif
      return __builtin_convertvector(bits, Half);
    }
  }
};

// e^x for floats, within 2 units in the last place; x is clamped to [-87, 88], where the result is a normal number. x =
// n ln 2 + r with |r| <= ln 2 / 2, and a polynomial for e^r (Taylor coefficients, slightly adjusted by a minimax fit).
template <int L>
inline typename Vector<float, L>::Value exponential(typename Vector<float, L>::Value x) {
  typedef typename Vector<float, L>::Value Value;
  typedef typename Vector<float, L>::Int Int;
  // Both comparisons are false for NaN, so NaN is propagated.
  x = x < -87.0f ? Value{} - 87.0f : x;
  x = x > 88.0f ? Value{} + 88.0f : x;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  const Value magic = Value{} + 12582912.0f;
  const Value shifted = x * 1.44269504f + magic;
  const Value n = shifted - magic;
  const Value r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Value p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Int power = (bits_as<Int>(shifted) - bits_as<Int>(magic) + 127) << 23;
  return p * bits_as<Value>(power);
}

template <class A, int L>
inline typename Vector<A, L>::Value sigmoid(typename Vector<A, L>::Value y) {
  if constexpr (sizeof(A) == sizeof(double)) {
    return 1.0 / (1.0 + __builtin_exp(-y));
  } else {
    return 1.0f / (1.0f + exponential<L>(-y));
  }
}

// y sigmoid(y).
template <class A, int L>
inline typename Vector<A, L>::Value silu(typename Vector<A, L>::Value y) {
  return y * sigmoid<A, L>(y);
}

// The derivative of silu at y.
template <class A, int L>
inline typename Vector<A, L>::Value silu_slope(typename Vector<A, L>::Value y) {
  const typename Vector<A, L>::Value s = sigmoid<A, L>(y);
  return s + y * (s - s * s);
}

}  // namespace
}  // namespace torch_ext
