#include "isa.h"

namespace torch_ext {

Isa isa([[maybe_unused]] int64_t lanes) {
#ifdef TORCH_EXT_X86
  __builtin_cpu_init();
  if (lanes >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return lanes > 16 && __builtin_cpu_supports("avx512bf16") ? Isa::avx512_bf16 : Isa::avx512;
  }
  if (lanes >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return Isa::avx2;
  }
#endif
  return Isa::base;
}

}  // namespace torch_ext
