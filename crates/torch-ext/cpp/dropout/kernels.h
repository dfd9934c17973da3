// Dropout's inner loop, for each instruction set.
#pragma once

#include "../norm/kernels.h"

#include <cstdint>

namespace torch_ext {

// The mask: a key of Philox, and how many of 65536 equally likely numbers drop.
struct Mask {
  uint32_t key[2];
  uint32_t dropped;
};

// Numbers drawn together; the pieces of threads begin at multiples of it.
constexpr int64_t kMaskChunk = 128;

struct DropoutTable {
  // y = x times 0 or `scale`, for `count` numbers from the start of chunk `chunk` on.
  void (*f32)(const float* x, float* y, int64_t chunk, int64_t count, Mask mask, float scale);
  void (*bf16)(const BFloat16* x, BFloat16* y, int64_t chunk, int64_t count, Mask mask, float scale);
};

namespace base {
extern const DropoutTable dropout;
}
#ifdef TORCH_EXT_X86
namespace avx2 {
extern const DropoutTable dropout;
}
namespace avx512 {
extern const DropoutTable dropout;
}
#endif

// The best table that this processor can run, with at most `lanes` numbers per vector.
const DropoutTable& dropout_kernels(int64_t lanes);

}  // namespace torch_ext
