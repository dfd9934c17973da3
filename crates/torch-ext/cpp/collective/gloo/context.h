// libtorch holds contexts by pointer. Its header only needs the name, and this function for code that is not used here.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo
