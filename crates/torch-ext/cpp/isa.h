// The instruction sets that inner loops are compiled for.
#pragma once

#include <cstdint>

namespace torch_ext {

enum class Isa { base, avx2, avx512, avx512_bf16 };

// The best that the processor at hand can run and that has at most `lanes` floats in a vector; up to 16 without the
// instructions made for bfloat16.
Isa isa(int64_t lanes);

}  // namespace torch_ext
