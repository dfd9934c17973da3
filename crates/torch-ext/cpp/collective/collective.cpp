// Collective operations of several processes through libtorch's c10d: a TCP store where they meet, and Gloo.
//
// libtorch exports ProcessGroupGloo, but the wheel lacks the headers of Gloo that its header includes. Those in this folder
// declare what that header mentions. Objects of Gloo are only made, used and destroyed by libtorch's own code.
#define USE_C10D_GLOO

#include "../error.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/headeronly/version.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

// The classes below are constructed here, so their layout must be that of the library.
static_assert(
    TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11,
    "another libtorch: compare ProcessGroupGloo.hpp and TCPStore.hpp with this file");

namespace {

using std::chrono::milliseconds;

struct Store {
  c10::intrusive_ptr<c10d::TCPStore> tcp;
};

struct Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

struct Sum {
  c10::intrusive_ptr<c10d::Work> work;
};

// c10d logs a lost connection on standard error, in several lines, before it throws. The exception says enough. libtorch's
// own variable brings the lines back.
void log_less() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
    FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  }
}

c10::intrusive_ptr<c10d::TCPStore> tcp_store(
    const char* host, uint16_t port, bool serves, int64_t timeout_ms) {
  log_less();
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = serves;
  // The group's own start waits for everyone.
  options.waitWorkers = false;
  options.timeout = milliseconds(timeout_ms);
  return c10::make_intrusive<c10d::TCPStore>(host, options);
}

// Waits for the result and rethrows the failure of the thread that ran it.
void finish(const c10::intrusive_ptr<c10d::Work>& work) {
  TORCH_CHECK(work->wait(), "the operation did not complete");
}

c10::intrusive_ptr<c10d::Work> begin_sum(Group* group, const at::Tensor* x, int64_t timeout_ms) {
  std::vector<at::Tensor> tensors{x->detach()};
  c10d::AllreduceOptions options;
  options.timeout = milliseconds(timeout_ms);
  return group->gloo->allreduce(tensors, options);
}

}  // namespace

// Serves a store on a port of `host`; 0 takes a free one.
extern "C" char* torch_ext_store_serve(
    const char* host, uint16_t port, int64_t timeout_ms, uint16_t* taken, Store** out) noexcept {
  return torch_ext::guarded([&] {
    auto store = std::make_unique<Store>(Store{tcp_store(host, port, /*serves=*/true, timeout_ms)});
    *taken = store->tcp->getPort();
    *out = store.release();
  });
}

extern "C" void torch_ext_store_free(Store* store) noexcept {
  delete store;
}

// Meets the other ranks at the store on `host` and waits for all of them. They connect to this machine by its network
// `interface`, or by `address`; if both are empty, by the address of its host name.
extern "C" char* torch_ext_group_join(
    const char* host, uint16_t port, bool serves, const char* prefix, const char* interface, const char* address,
    int rank, int size, int64_t timeout_ms, Group** out) noexcept {
  return torch_ext::guarded([&] {
    const auto tcp = tcp_store(host, port, serves, timeout_ms);
    auto group = std::make_unique<Group>();
    group->store = c10::make_intrusive<c10d::PrefixStore>(prefix, tcp);
    auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(timeout_ms));
    using Gloo = c10d::ProcessGroupGloo;
    options->devices.push_back(
        *interface     ? Gloo::createDeviceForInterface(interface)
            : *address ? Gloo::createDeviceForHostname(address)
                       : Gloo::createDefaultDevice());
    // One operation runs at a time.
    options->threads = 1;
    group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(group->store, rank, size, std::move(options));
    *out = group.release();
  });
}

extern "C" void torch_ext_group_free(Group* group) noexcept {
  delete group;
}

// Sums `x` over all ranks in place.
extern "C" char* torch_ext_group_all_reduce(Group* group, const at::Tensor* x, int64_t timeout_ms) noexcept {
  return torch_ext::guarded([&] { finish(begin_sum(group, x, timeout_ms)); });
}

// The same on Gloo's thread, after what was begun before. The sum keeps the memory of `x`.
extern "C" char* torch_ext_group_begin_all_reduce(
    Group* group, const at::Tensor* x, int64_t timeout_ms, Sum** out) noexcept {
  return torch_ext::guarded([&] {
    auto sum = std::make_unique<Sum>();
    sum->work = begin_sum(group, x, timeout_ms);
    *out = sum.release();
  });
}

extern "C" char* torch_ext_sum_finish(Sum* sum) noexcept {
  return torch_ext::guarded([&] { finish(sum->work); });
}

extern "C" void torch_ext_sum_free(Sum* sum) noexcept {
  delete sum;
}

// Overwrites `x` with that of rank `from`.
extern "C" char* torch_ext_group_broadcast(
    Group* group, const at::Tensor* x, int from, int64_t timeout_ms) noexcept {
  return torch_ext::guarded([&] {
    std::vector<at::Tensor> tensors{x->detach()};
    c10d::BroadcastOptions options;
    options.rootRank = from;
    options.timeout = milliseconds(timeout_ms);
    finish(group->gloo->broadcast(tensors, options));
  });
}

// Writes the `x` of every rank to the rows of `all`.
extern "C" char* torch_ext_group_all_gather(
    Group* group, const at::Tensor* x, const at::Tensor* all, int64_t timeout_ms) noexcept {
  return torch_ext::guarded([&] {
    std::vector<at::Tensor> inputs{x->detach()};
    std::vector<std::vector<at::Tensor>> outputs{all->detach().unbind(0)};
    c10d::AllgatherOptions options;
    options.timeout = milliseconds(timeout_ms);
    finish(group->gloo->allgather(outputs, inputs, options));
  });
}

extern "C" char* torch_ext_group_barrier(Group* group, int64_t timeout_ms) noexcept {
  return torch_ext::guarded([&] {
    c10d::BarrierOptions options;
    options.timeout = milliseconds(timeout_ms);
    finish(group->gloo->barrier(options));
  });
}
