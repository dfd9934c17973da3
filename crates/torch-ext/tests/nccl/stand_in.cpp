// A library with the functions of NCCL that the program uses, in host memory, for machines without GPUs. Its
// communicators never block: every operation runs on a thread and is in progress until it is done. The processes of a
// group meet in a mapped file whose path is the unique id. Macros make it old, incomplete or faulty.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#ifndef STAND_IN_VERSION
#define STAND_IN_VERSION 22809
#endif

namespace {

enum Status {
  success = 0,
  internal_error = 3,
  invalid_argument = 4,
  invalid_usage = 5,
  remote_error = 6,
  in_progress = 7
};
enum Type { byte = 1, i64 = 4, f32 = 7, f64 = 8, bf16 = 9 };

// Bytes that one operation may have.
constexpr size_t room = 1 << 20;

struct Shared {
  std::atomic<uint64_t> joined, arrived, left;
};

struct Id {
  char path[128];
};

struct Config {
  size_t size;
  unsigned magic, version;
  int blocking;
};

struct Comm {
  Comm(int rank, int size, char* memory, const Id& id) : rank(rank), size(size), memory(memory), id(id) {}

  int rank, size;
  char* memory;
  Id id;
  std::atomic<int> status{in_progress};
  std::atomic<bool> stops{false};
  std::thread worker;
  uint64_t done = 0;

  Shared& shared() { return *reinterpret_cast<Shared*>(memory); }
  char* slot(int rank) { return memory + 4096 + rank * room; }

  // Whether the count has been reached; not if the group was aborted.
  bool waits(std::atomic<uint64_t>& count, uint64_t least) {
    while (count.load() < least) {
      if (stops) {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

  int run(std::function<int()> work) {
    if (status != success && status != in_progress) {
      return status;
    }
    if (worker.joinable()) {
      if (status == in_progress) {
        // The caller did not wait until the last call was accepted.
        return invalid_usage;
      }
      worker.join();
    }
    status = in_progress;
    worker = std::thread([this, work] { status = work(); });
    return in_progress;
  }
};

size_t bytes_of(int type) {
  switch (type) {
    case byte: return 1;
    case bf16: return 2;
    case f32: return 4;
    case i64: case f64: return 8;
    default: return 0;
  }
}

template <class Number>
void add(Comm* comm, void* out, size_t count) {
  auto* sums = static_cast<Number*>(out);
  for (size_t i = 0; i < count; ++i) {
    Number sum = 0;
    for (int rank = 0; rank < comm->size; ++rank) {
      sum += reinterpret_cast<Number*>(comm->slot(rank))[i];
    }
    sums[i] = sum;
  }
}

float widened(uint16_t x) {
  const uint32_t bits = uint32_t(x) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

// To the nearest, and to even in the middle.
uint16_t rounded(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void add_bf16(Comm* comm, void* out, size_t count) {
  auto* sums = static_cast<uint16_t*>(out);
  for (size_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int rank = 0; rank < comm->size; ++rank) {
      sum += widened(reinterpret_cast<uint16_t*>(comm->slot(rank))[i]);
    }
    sums[i] = rounded(sum);
  }
}

// All show their numbers; `take` makes the result of them.
int exchange(Comm* comm, const void* in, size_t bytes, const std::function<void()>& take) {
  const uint64_t before = comm->done * comm->size;
  // Nobody still reads the numbers of the last operation.
  if (!comm->waits(comm->shared().left, before)) {
    return internal_error;
  }
  std::memcpy(comm->slot(comm->rank), in, bytes);
  ++comm->shared().arrived;
  if (!comm->waits(comm->shared().arrived, before + comm->size)) {
    return internal_error;
  }
  take();
  ++comm->shared().left;
  ++comm->done;
#ifdef STAND_IN_FAILS_AT
  if (comm->done == STAND_IN_FAILS_AT) {
    return remote_error;
  }
#endif
  return success;
}

}  // namespace

extern "C" int ncclGetVersion(int* version) {
  *version = STAND_IN_VERSION;
  return success;
}

extern "C" const char* ncclGetErrorString(int status) {
  switch (status) {
    case success: return "no error";
    case invalid_argument: return "invalid argument";
    case invalid_usage: return "invalid usage";
    case remote_error: return "remote process exited or there was a network error";
    default: return "internal error";
  }
}

extern "C" int ncclGetUniqueId(Id* id) {
  std::memset(id, 0, sizeof *id);
  std::strcpy(id->path, "/tmp/nccl-stand-in-XXXXXX");
  const int file = mkstemp(id->path);
  return file < 0 || close(file) != 0 ? internal_error : success;
}

extern "C" int ncclCommInitRankConfig(Comm** out, int size, Id id, int rank, Config* config) {
  const bool is_known = config->size >= sizeof(Config) && config->magic == 0xcafebeef && config->version >= 21400;
  if (!is_known || config->blocking != 0 || rank < 0 || rank >= size) {
    return invalid_argument;
  }
  const size_t length = 4096 + size * room;
  const int file = open(id.path, O_RDWR);
  if (file < 0 || ftruncate(file, off_t(length)) != 0) {
    return invalid_argument;
  }
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) {
    return internal_error;
  }
  Comm* comm = *out = new Comm(rank, size, static_cast<char*>(memory), id);
  return comm->run([comm] {
    ++comm->shared().joined;
    if (!comm->waits(comm->shared().joined, uint64_t(comm->size))) {
      return internal_error;
    }
    unlink(comm->id.path);
#ifdef STAND_IN_CANNOT_JOIN
    return remote_error;
#else
    return success;
#endif
  });
}

extern "C" int ncclCommGetAsyncError(Comm* comm, int* status) {
  *status = comm->status;
  return success;
}

extern "C" int ncclCommAbort(Comm* comm) {
  unlink(comm->id.path);
#ifdef STAND_IN_ABORT_HANGS
  while (true) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
#endif
  comm->stops = true;
  if (comm->worker.joinable()) {
    comm->worker.join();
  }
  munmap(comm->memory, 4096 + comm->size * room);
  delete comm;
  return success;
}

extern "C" int ncclAllReduce(
    const void* in, void* out, size_t count, int type, int reduction, Comm* comm, void* stream) {
  const size_t bytes = count * bytes_of(type);
  if (bytes == 0 || bytes > room || type == byte || reduction != 0 || stream != nullptr) {
    return invalid_argument;
  }
  return comm->run([=] {
    return exchange(comm, in, bytes, [=] {
      switch (type) {
        case f32: add<float>(comm, out, count); break;
        case f64: add<double>(comm, out, count); break;
        case i64: add<int64_t>(comm, out, count); break;
        default: add_bf16(comm, out, count);
      }
#ifdef STAND_IN_WRONG_SUMS
      std::memset(out, 0, bytes);
#endif
    });
  });
}

#ifndef STAND_IN_WITHOUT_BROADCAST
extern "C" int ncclBroadcast(const void* in, void* out, size_t count, int type, int root, Comm* comm, void* stream) {
  const size_t bytes = count * bytes_of(type);
  if (bytes == 0 || bytes > room || root < 0 || root >= comm->size || stream != nullptr) {
    return invalid_argument;
  }
  return comm->run([=] { return exchange(comm, in, bytes, [=] { std::memcpy(out, comm->slot(root), bytes); }); });
}
#endif
