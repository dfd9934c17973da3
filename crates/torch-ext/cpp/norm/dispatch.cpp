#include "kernels.h"

#include "../isa.h"

namespace torch_ext {

const KernelTable& kernels(int64_t lanes) {
  switch (isa(lanes)) {
#ifdef TORCH_EXT_X86
    case Isa::avx512_bf16:
      return avx512_bf16::table;
    case Isa::avx512:
      return avx512::table;
    case Isa::avx2:
      return avx2::table;
#endif
    default:
      return base::table;
  }
}

}  // namespace torch_ext
