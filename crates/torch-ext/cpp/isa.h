// The instruction sets that inner loops are compiled for, and what limits the choice among them.
#pragma once

#include <cstdint>

namespace torch_ext {

// Each has what those before it have.
enum class Isa : int { base, avx2, avx512, avx512_bf16, amx };

// The best that the processor at hand can run, that has at most `lanes` floats in a vector, and that isa_limit() allows;
// up to 16 lanes without the instructions made for bfloat16. AMX has no such vectors: see amx_kernels().
Isa isa(int64_t lanes);

// The most that the environment variable DDPM_MAX_CPU_ISA allows, as it was when this was first asked: base, avx2, avx512,
// avx512-bf16 or amx. Without it, or with another value, nothing is forbidden; Rust reports such a value.
Isa isa_limit();

}  // namespace torch_ext
