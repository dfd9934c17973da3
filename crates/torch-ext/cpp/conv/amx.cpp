// Compiled for processors with AMX only: nothing here runs before amx_kernels() has confirmed it.
#include "amx.h"

#include <immintrin.h>

namespace torch_ext {
namespace {

// Up to 16 channels of two pixels, as 32-bit numbers with the first pixel in the lower half.
inline __m512i pair(const BFloat16* first, const BFloat16* second, __mmask16 channels) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(channels, first));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(channels, second));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

inline __mmask16 first_channels(int64_t count) {
  return count >= kTile ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
}

void interleave(const BFloat16* const* pixels, int64_t count, int64_t channels, BFloat16* out) {
  for (int64_t k = 0; k < count; k += 2) {
    BFloat16* to = out + k * kTile;
    for (int64_t c = 0; c < channels; c += kTile, to += count * kTile) {
      _mm512_store_si512(to, pair(pixels[k] + c, pixels[k + 1] + c, first_channels(channels - c)));
    }
  }
}

// Transposes 16 x 16 numbers of 32 bits: within lanes of 128 bits first, then across lanes.
inline void transpose_16(__m512i* v) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 4) {
    const __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]), b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    const __m512i c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
    t[i] = _mm512_unpacklo_epi64(a, c);
    t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, d);
    t[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
    v[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    v[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    v[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
}

void transpose(const BFloat16* const* pixels, int64_t count, int64_t channels, int64_t pitch, BFloat16* out) {
  for (int64_t k = 0; k < count; k += kStep) {
    for (int64_t c = 0; c < channels; c += kTile) {
      const __mmask16 there = first_channels(channels - c);
      __m512i v[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        v[i] = pair(pixels[k + 2 * i] + c, pixels[k + 2 * i + 1] + c, there);
      }
      transpose_16(v);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        _mm512_store_si512(out + (c + i) * pitch + k, v[i]);
      }
    }
  }
}

void sum(const BFloat16* const* pixels, int64_t count, int64_t channels, float* out) {
  for (int64_t c = 0; c < channels; c += kTile) {
    const __mmask16 there = first_channels(channels - c);
    __m512 total = _mm512_setzero_ps();
    for (int64_t k = 0; k < count; ++k) {
      const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, pixels[k] + c));
      total = _mm512_add_ps(total, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
    _mm512_mask_storeu_ps(out + c, there, total);
  }
}

// The compiler does not know what memory the tile instructions read and write.
inline void everything_in_memory() {
  __asm__ volatile("" ::: "memory");
}

// Tiles 0 to 3 are C, 4 and 5 A, 6 and 7 B.
template <int rows, int columns>
inline void multiply_tiles(
    const BFloat16* a, int64_t pitch, int64_t a_tile, const BFloat16* b, int64_t b_tile, int64_t steps, bool add,
    float* c) {
  everything_in_memory();
  if (add) {
    _tile_loadd(0, c, 64);
    if (columns == 2) _tile_loadd(1, c + kNumbers, 64);
    if (rows == 2) _tile_loadd(2, c + 2 * kNumbers, 64);
    if (rows == 2 && columns == 2) _tile_loadd(3, c + 3 * kNumbers, 64);
  } else {
    _tile_zero(0);
    if (columns == 2) _tile_zero(1);
    if (rows == 2) _tile_zero(2);
    if (rows == 2 && columns == 2) _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 2 * pitch);
    _tile_dpbf16ps(0, 4, 6);
    if (columns == 2) {
      _tile_loadd(7, b + b_tile, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (rows == 2) {
      _tile_loadd(5, a + a_tile, 2 * pitch);
      _tile_dpbf16ps(2, 5, 6);
    }
    if (rows == 2 && columns == 2) _tile_dpbf16ps(3, 5, 7);
    a += kStep;
    b += kStep * kTile;
  }
  _tile_stored(0, c, 64);
  if (columns == 2) _tile_stored(1, c + kNumbers, 64);
  if (rows == 2) _tile_stored(2, c + 2 * kNumbers, 64);
  if (rows == 2 && columns == 2) _tile_stored(3, c + 3 * kNumbers, 64);
  everything_in_memory();
}

void multiply(
    const BFloat16* a, int64_t pitch, int64_t a_tile, const BFloat16* b, int64_t b_tile, int64_t steps, int rows,
    int columns, bool add, float* c) {
  if (rows == 2) {
    return columns == 2 ? multiply_tiles<2, 2>(a, pitch, a_tile, b, b_tile, steps, add, c)
                        : multiply_tiles<2, 1>(a, pitch, a_tile, b, b_tile, steps, add, c);
  }
  return columns == 2 ? multiply_tiles<1, 2>(a, pitch, a_tile, b, b_tile, steps, add, c)
                      : multiply_tiles<1, 1>(a, pitch, a_tile, b, b_tile, steps, add, c);
}

void gather(
    const float* c, int64_t parts, int64_t part, int64_t taps, int64_t tap_size, int64_t count, float* out) {
  const __mmask16 there = first_channels(count);
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i places = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(static_cast<int>(taps)));
  for (int64_t tap = 0; tap < taps; ++tap) {
    __m512 total = _mm512_loadu_ps(c + tap * tap_size);
    for (int64_t p = 1; p < parts; ++p) {
      total = _mm512_add_ps(total, _mm512_loadu_ps(c + p * part + tap * tap_size));
    }
    _mm512_mask_i32scatter_ps(out + tap, there, places, total, 4);
  }
}

}  // namespace

namespace amx {
extern const AmxKernels table;
const AmxKernels table = {interleave, transpose, sum, multiply, gather};
}  // namespace amx

// Eight tiles of 16 rows of 64 bytes.
AmxTiles::AmxTiles() {
  alignas(64) unsigned char config[64] = {1};
  for (int tile = 0; tile < 8; ++tile) {
    config[16 + 2 * tile] = 64;
    config[48 + tile] = 16;
  }
  _tile_storeconfig(before_);
  everything_in_memory();
  _tile_loadconfig(config);
}

// Loading an unconfigured state, which reads as zeros, releases the tiles.
AmxTiles::~AmxTiles() {
  everything_in_memory();
  _tile_loadconfig(before_);
}

}  // namespace torch_ext
