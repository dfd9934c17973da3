// Streams and events of a CUDA device through c10's interface for any device, which needs no header of CUDA: the
// implementation registers itself when libtorch's CUDA part is loaded.
#include "../error.h"

#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

namespace {

c10::Device device_of(int cuda) {
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(cuda));
}

// Makes later work in `later` wait for the work now in `earlier`.
void order(const c10::Stream& earlier, const c10::Stream& later) {
  c10::Event event(c10::kCUDA);
  event.record(earlier);
  event.block(later);
}

struct Side {
  c10::Stream stream;
  // The stream that the thread was on before.
  std::optional<c10::Stream> outer;
  std::optional<c10::Device> outer_device;
};

}  // namespace

extern "C" char* torch_ext_side_new(int cuda, Side** out) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    *out = new Side{guard.getStreamFromGlobalPool(device_of(cuda)), std::nullopt, std::nullopt};
  });
}

extern "C" void torch_ext_side_free(Side* side) noexcept {
  delete side;
}

extern "C" char* torch_ext_side_enter(Side* side) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    const c10::Device device = side->stream.device();
    const c10::Stream outer = guard.getStream(device);
    order(outer, side->stream);
    // A recording begins on the current device's stream.
    side->outer_device = guard.exchangeDevice(device);
    side->outer = guard.exchangeStream(side->stream);
  });
}

extern "C" char* torch_ext_side_leave(Side* side) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    const c10::Stream outer = side->outer.value();
    guard.exchangeStream(outer);
    guard.setDevice(side->outer_device.value());
    order(side->stream, outer);
  });
}

extern "C" char* torch_ext_synchronize(int cuda) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    guard.synchronizeDevice(device_of(cuda).index());
  });
}

// Makes a device the thread's current one. `before` gets what was current.
extern "C" char* torch_ext_device_exchange(int cuda, int* before) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    *before = guard.exchangeDevice(device_of(cuda)).index();
  });
}

// The thread's current stream as CUDA's own pointer, for other libraries.
extern "C" char* torch_ext_stream_native(int cuda, void** out) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    *out = guard.getStreamNativeHandle(guard.getStream(device_of(cuda)));
  });
}

// The end of the current stream's work so far.
extern "C" char* torch_ext_event_record(int cuda, c10::Event** out) noexcept {
  return torch_ext::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    auto event = std::make_unique<c10::Event>(c10::kCUDA);
    event->record(guard.getStream(device_of(cuda)));
    *out = event.release();
  });
}

extern "C" char* torch_ext_event_query(const c10::Event* event, bool* is_over) noexcept {
  return torch_ext::guarded([&] { *is_over = event->query(); });
}

extern "C" char* torch_ext_event_wait(const c10::Event* event) noexcept {
  return torch_ext::guarded([&] { event->synchronize(); });
}

extern "C" void torch_ext_event_free(c10::Event* event) noexcept {
  delete event;
}
