// libtorch holds devices by pointer; its own functions make them. The second class is the end of a connection, which only
// libtorch's own code uses.
#pragma once

namespace gloo::transport {

class Device;

class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = default;
};

}  // namespace gloo::transport
