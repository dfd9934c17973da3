// The instruction sets that inner loops are compiled for, and the limit on which to use.
#pragma once

#include <cstdint>

namespace torch_ext {

// Each includes the ones before it.
enum class Isa : int { base, avx2, avx512, avx512_bf16, amx };

// The best one that this processor can run, with at most `lanes` floats per vector, within isa_limit(). Up to 16 lanes
// it excludes the bfloat16 instructions. AMX has no such vectors: see amx_kernels().
Isa isa(int64_t lanes);

// The limit in the environment variable DDPM_MAX_CPU_ISA, read on first use: base, avx2, avx512, avx512-bf16 or amx.
// Without the variable, or with another value, there is no limit; Rust reports such a value.
Isa isa_limit();

}  // namespace torch_ext
