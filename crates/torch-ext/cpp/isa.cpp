#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace torch_ext {
namespace {

constexpr int kUnset = -1, kUnknown = -2;

int read_limit() {
  const char* value = std::getenv("DDPM_MAX_CPU_ISA");
  if (!value || !*value) {
    return kUnset;
  }
  constexpr const char* names[] = {"base", "avx2", "avx512", "avx512-bf16", "amx"};
  int place = 0;
  for (const char* name : names) {
    if (std::strcmp(value, name) == 0) {
      return place;
    }
    ++place;
  }
  return kUnknown;
}

int limit() {
  static const int read_once = read_limit();
  return read_once;
}

}  // namespace

Isa isa_limit() {
  return limit() < 0 ? Isa::amx : static_cast<Isa>(limit());
}

Isa isa([[maybe_unused]] int64_t lanes) {
#ifdef TORCH_EXT_X86
  const Isa most = isa_limit();
  __builtin_cpu_init();
  if (most >= Isa::avx512 && lanes >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    const bool bf16 = most >= Isa::avx512_bf16 && lanes > 16 && __builtin_cpu_supports("avx512bf16");
    return bf16 ? Isa::avx512_bf16 : Isa::avx512;
  }
  if (most >= Isa::avx2 && lanes >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return Isa::avx2;
  }
#endif
  return Isa::base;
}

}  // namespace torch_ext

// The limit as an index in Isa; -1 without a limit, -2 if the variable has another value.
extern "C" int torch_ext_isa_limit() noexcept {
  return torch_ext::limit();
}
