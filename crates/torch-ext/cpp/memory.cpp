#include <cstdlib>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

// Whether glibc accepted all settings. glibc does its own locking.
extern "C" bool torch_ext_keep_freed_memory() noexcept {
#if defined(__GLIBC__)
  constexpr int top_pad = 64 << 20;
  // Blocks from mmap are returned at each free. Without them, and without trimming, only the first step pays for its
  // pages. Both calls also stop glibc from adjusting these thresholds.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_TOP_PAD, top_pad) == 1;
#else
  return false;
#endif
}
