// The inner loops of a convolution's weight gradient, with the matrix instructions of Intel's AMX.
//
// They multiply tiles: A, 16 rows of 32 bfloat16, by B, 32 rows of 16 columns with neighbouring rows interleaved in
// pairs, into C, 16 x 16 floats. Here the rows of A are channels of dy, the columns of B are channels of x, and the sum
// is over pixels.
#pragma once

#include "../norm/kernels.h"

#include <cstdint>

namespace torch_ext {

constexpr int64_t kTile = 16;               // channels of a tile
constexpr int64_t kStep = 32;               // pixels of a tile
constexpr int64_t kNumbers = kTile * kTile;  // of a tile C

// The pixels of a list are pointers to their first channel. The last tile of channels is padded with zeros.
struct AmxKernels {
  // B: out[tile of channels][pair of pixels][16 channels][2 pixels]. `count` is even.
  void (*interleave)(const BFloat16* const* pixels, int64_t count, int64_t channels, BFloat16* out);

  // A: out[channel][pixel], the rows of channels `pitch` numbers apart. `count` is a multiple of kStep.
  void (*transpose)(
      const BFloat16* const* pixels, int64_t count, int64_t channels, int64_t pitch, BFloat16* out);

  // out[channel] = the sum over the pixels.
  void (*sum)(const BFloat16* const* pixels, int64_t count, int64_t channels, float* out);

  // C[i][j] (+)= A[i] B[j] over `steps` tiles, for i < rows and j < columns, each 1 or 2. The tiles of A are `a_tile`
  // numbers apart, those of B `b_tile`. C is [2][2][16][16], even where tiles are unused. `add`: add to C instead of
  // overwriting it.
  void (*multiply)(
      const BFloat16* a, int64_t pitch, int64_t a_tile, const BFloat16* b, int64_t b_tile, int64_t steps,
      int rows, int columns, bool add, float* c);

  // out[j * taps + tap] = sum over the parts p of c[p * part + tap * tap_size + j], for j < count <= 16.
  void (*gather)(
      const float* c, int64_t parts, int64_t part, int64_t taps, int64_t tap_size, int64_t count, float* out);
};

// Null if the processor, the system or the compiler does not support it.
const AmxKernels* amx_kernels();

// Configures the tiles of this thread for AmxKernels::multiply, and restores the previous configuration at the end:
// libtorch's own kernels configure them too.
class AmxTiles {
 public:
  AmxTiles();
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

 private:
  alignas(64) unsigned char before_[64];
};

}  // namespace torch_ext
