// Compiled once for each instruction set: TORCH_EXT_ISA is its name, TORCH_EXT_LANES the number of 32-bit numbers per
// vector. As in all such files, no header with inline functions is included, and everything is in an unnamed namespace.
//
// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") makes 8 numbers of 16 bits from a
// counter. A chunk of 128 numbers has 16 counters: the first gives numbers 0, 16, 32 and so on, the next 1, 17, 33. So a
// vector of counters gives vectors of adjacent numbers, and the mask is the same for vectors of any length.
#include "kernels.h"

#include "../norm/simd.h"

namespace torch_ext {
namespace {

constexpr int kLanes = TORCH_EXT_LANES;
// Counters per chunk.
constexpr int kCounters = 16;
static_assert(kCounters % kLanes == 0, "a chunk is a number of vectors");

typedef typename Vector<float, kLanes>::Bits Words;

// The upper halves of the products of each number with `by`.
inline Words upper_product(Words a, uint32_t by) {
#if defined(__AVX512F__)
  const __m512i x = bits_as<__m512i>(a), m = _mm512_set1_epi32(static_cast<int>(by));
  const __m512i even = _mm512_mul_epu32(x, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), m);
  return bits_as<Words>(_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd));
#elif defined(__AVX2__)
  const __m256i x = bits_as<__m256i>(a), m = _mm256_set1_epi32(static_cast<int>(by));
  const __m256i even = _mm256_mul_epu32(x, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), m);
  return bits_as<Words>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa));
#else
  Words upper;
  for (int lane = 0; lane < kLanes; ++lane) {
    upper[lane] = static_cast<uint32_t>((static_cast<uint64_t>(a[lane]) * by) >> 32);
  }
  return upper;
#endif
}

struct Four {
  Words word[4];
};

// Philox of the counters (low + lane, high, 0, 0).
inline Four philox(uint64_t counter, const uint32_t key[2]) {
  Words c0, c1, c2{}, c3{};
  for (int lane = 0; lane < kLanes; ++lane) {
    // Chunks begin at multiples of 16, so the low word does not overflow within a chunk.
    c0[lane] = static_cast<uint32_t>(counter) + static_cast<uint32_t>(lane);
    c1[lane] = static_cast<uint32_t>(counter >> 32);
  }
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const Words upper0 = upper_product(c0, 0xD2511F53u), upper1 = upper_product(c2, 0xCD9E8D57u);
    const Words lower0 = c0 * 0xD2511F53u, lower1 = c2 * 0xCD9E8D57u;
    c0 = upper1 ^ c1 ^ k0;
    c1 = lower1;
    c2 = upper0 ^ c3 ^ k1;
    c3 = lower0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The factors of a chunk: 0 or `scale`.
inline void factors(int64_t chunk, const Mask& mask, float scale, float* out) {
  for (int first = 0; first < kCounters; first += kLanes) {
    const Four drawn = philox(static_cast<uint64_t>(chunk) * kCounters + static_cast<uint64_t>(first), mask.key);
    for (int word = 0; word < 4; ++word) {
      for (int half = 0; half < 2; ++half) {
        const Words number = (drawn.word[word] >> (16 * half)) & 0xffffu;
        const Words kept = bits_as<Words>(number >= mask.dropped) & bits_as<uint32_t>(scale);
        __builtin_memcpy(out + (2 * word + half) * kCounters + first, &kept, sizeof(kept));
      }
    }
  }
}

// Multiply, so that NaN is propagated.
template <class T, int L>
inline void times(const T* x, const float* factor, T* y) {
  Memory<T, float, L>::store(y, Memory<T, float, L>::load(x) * Memory<float, float, L>::load(factor));
}

template <class T>
void drop(const T* x, T* y, int64_t chunk, int64_t count, Mask mask, float scale) {
  float factor[kMaskChunk];
  for (int64_t begin = 0; begin < count; begin += kMaskChunk, ++chunk) {
    factors(chunk, mask, scale, factor);
    const int64_t numbers = count - begin < kMaskChunk ? count - begin : kMaskChunk;
    int64_t i = 0;
    for (; i + kLanes <= numbers; i += kLanes) {
      times<T, kLanes>(x + begin + i, factor + i, y + begin + i);
    }
    for (; i < numbers; ++i) {
      times<T, 1>(x + begin + i, factor + i, y + begin + i);
    }
  }
}

}  // namespace

namespace TORCH_EXT_ISA {
const DropoutTable dropout = {drop<float>, drop<BFloat16>};
}

}  // namespace torch_ext
