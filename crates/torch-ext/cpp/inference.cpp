#include "error.h"

#include <c10/core/InferenceMode.h>

// The caller owns `*out`, on this thread.
extern "C" char* torch_ext_inference_begin(c10::InferenceMode** out) noexcept {
  return torch_ext::guarded([&] { *out = new c10::InferenceMode(true); });
}

extern "C" void torch_ext_inference_end(c10::InferenceMode* mode) noexcept {
  delete mode;
}
