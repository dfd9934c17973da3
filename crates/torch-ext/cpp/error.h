// Every function of this folder that Rust calls returns its error: null, or a text that the caller owns and frees with
// torch_ext_free_text. No exception leaves C++.
#pragma once

#include <c10/util/Exception.h>

#include <exception>

namespace torch_ext {

// A copy to be freed with torch_ext_free_text.
char* own_text(const char* text) noexcept;

// Runs `body` and converts an exception to text, without libtorch's stack trace.
template <class Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return own_text(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return own_text(error.what());
  } catch (...) {
    return own_text("an exception that is not a std::exception");
  }
}

}  // namespace torch_ext
