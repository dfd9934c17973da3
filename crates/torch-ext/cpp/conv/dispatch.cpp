#include "amx.h"

#include "../isa.h"

#if defined(TORCH_EXT_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace torch_ext {

#if defined(TORCH_EXT_AMX)

namespace amx {
extern const AmxKernels table;
}

namespace {

// CPUID leaf 7, EDX: AMX-BF16 is bit 22, AMX-TILE bit 24.
bool processor_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) &&
      (d >> 24 & 1);
}

// Linux allows tiles only for a process that has requested them: ARCH_REQ_XCOMP_PERM for the state XTILEDATA.
bool system_grants_tiles() {
  constexpr long kRequest = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

}  // namespace

const AmxKernels* amx_kernels() {
  static const bool there = isa_limit() >= Isa::amx && processor_has_amx() && system_grants_tiles();
  return there ? &amx::table : nullptr;
}

#else

const AmxKernels* amx_kernels() {
  return nullptr;
}
AmxTiles::AmxTiles() : before_{} {}
AmxTiles::~AmxTiles() = default;

#endif

}  // namespace torch_ext
