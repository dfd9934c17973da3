#include "error.h"

#include <cstdlib>
#include <cstring>

namespace {
// The message when there is no memory for a message. Never freed.
char out_of_memory[] = "out of memory";
}  // namespace

namespace torch_ext {

char* own_text(const char* text) noexcept {
  const size_t size = std::strlen(text) + 1;
  void* copy = std::malloc(size);
  return copy ? static_cast<char*>(std::memcpy(copy, text, size)) : out_of_memory;
}

}  // namespace torch_ext

extern "C" void torch_ext_free_text(char* text) noexcept {
  if (text != out_of_memory) {
    std::free(text);
  }
}

// For tests of this path: throws the exception that `kind` selects.
extern "C" char* torch_ext_throw(int kind) noexcept {
  return torch_ext::guarded([&] {
    if (kind == 0) {
      TORCH_CHECK(false, "a c10::Error");
    }
    if (kind == 1) {
      throw std::bad_alloc();
    }
    throw 7;
  });
}
