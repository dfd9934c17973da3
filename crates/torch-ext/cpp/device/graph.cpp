// CUDA graphs: work that is recorded once and then submitted to the device as a whole.
//
// Recording uses at::cuda::CUDAGraph, which also informs the allocator and the generators. Its header needs those of
// CUDA, which a machine without a GPU does not have. The program is not linked to the library that defines it either:
// that is loaded only if there is a driver. So its functions are looked up by name on first use, and the object is
// placed in memory larger than itself. That is checked in two ways: by the version of libtorch, and by which bytes the
// constructor leaves untouched.
#include "../error.h"

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

namespace {

using Pool = std::pair<unsigned long long, unsigned long long>;

// Names as mangled by the Itanium ABI, which all compilers here use; a member function takes the object first.
struct Functions {
  void (*construct)(void*, bool);
  void (*destroy)(void*);
  void (*begin)(void*, Pool, int);
  void (*end)(void*);
  void (*replay)(void*);
};

template <class Function>
void look_up(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  TORCH_CHECK(function != nullptr, "libtorch's CUDA part is not loaded, or has no ", name);
}

Functions look_up_all() {
  Functions found{};
  look_up(found.construct, "_ZN2at4cuda9CUDAGraphC1Eb");
  look_up(found.destroy, "_ZN2at4cuda9CUDAGraphD1Ev");
  look_up(found.begin, "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
  look_up(found.end, "_ZN2at4cuda9CUDAGraph11capture_endEv");
  look_up(found.replay, "_ZN2at4cuda9CUDAGraph6replayEv");
  return found;
}

// The names above and the size below hold for this version.
static_assert(
    TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11,
    "another libtorch: compare at::cuda::CUDAGraph in ATen/cuda/CUDAGraph.h with this file");

void check_version() {
  const uint64_t loaded = aoti_torch_abi_version();
  TORCH_CHECK(
      loaded == TORCH_ABI_VERSION, "recordings need the libtorch that this was built with, ", TORCH_VERSION, "; loaded is ",
      loaded >> 56, ".", loaded >> 48 & 0xff, ".", loaded >> 40 & 0xff);
}

class Graph {
 public:
  Graph() : functions_((check_version(), look_up_all())) {
    std::fill(std::begin(object_), std::end(object_), canary);
    functions_.construct(object_, /*keep_graph=*/false);
    const auto untouched = [](unsigned char byte) { return byte == canary; };
    if (!std::all_of(object_ + largest, object_ + room, untouched)) {
      functions_.destroy(object_);
      TORCH_CHECK(false, "recordings: at::cuda::CUDAGraph takes more than ", largest, " bytes");
    }
  }
  ~Graph() { functions_.destroy(object_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void begin() {
    // Use a separate pool. In this mode anything that would break a recording is an error, in any thread.
    constexpr int capture_mode_global = 0;
    functions_.begin(object_, Pool{0, 0}, capture_mode_global);
  }
  void end() { functions_.end(object_); }
  void replay() { functions_.replay(object_); }

 private:
  // About 200 bytes in libtorch 2.11. There is no sizeof, since its header cannot be included. But a constructor sets
  // every member, so no member lies beyond the bytes it changed.
  static constexpr std::size_t largest = 1024, room = 4096;
  static constexpr unsigned char canary = 0xa5;
  Functions functions_;
  alignas(64) unsigned char object_[room];
};

}  // namespace

extern "C" char* torch_ext_graph_begin(Graph** out) noexcept {
  return torch_ext::guarded([&] {
    auto graph = std::make_unique<Graph>();
    graph->begin();
    *out = graph.release();
  });
}

extern "C" char* torch_ext_graph_end(Graph* graph) noexcept {
  return torch_ext::guarded([&] { graph->end(); });
}

extern "C" char* torch_ext_graph_replay(Graph* graph) noexcept {
  return torch_ext::guarded([&] { graph->replay(); });
}

extern "C" void torch_ext_graph_free(Graph* graph) noexcept {
  delete graph;
}
