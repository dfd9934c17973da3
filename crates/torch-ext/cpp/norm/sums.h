// How work is assigned to threads, and how sums over an image are combined.
//
// The results must not depend on the number of threads. So the pixels of an image are split into chunks by their shape
// alone, each chunk is summed by one thread, and the sums are added in the order of the chunks.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace torch_ext {

struct Shape {
  int64_t images, pixels, channels, groups;

  int64_t group_channels() const { return channels / groups; }
  int64_t image_size() const { return pixels * channels; }

  // Pixels per chunk: about 16 Ki numbers, and at most 256 terms are summed in f32.
  int64_t chunk() const { return std::clamp<int64_t>(16384 / channels, 16, 256); }
  int64_t chunks() const { return (pixels + chunk() - 1) / chunk(); }
};

// Fewer numbers are not worth a thread.
constexpr int64_t kGrain = 16384;

// Runs first(image, chunk) for all chunks, then between(image), then second(image, chunk) for all chunks. Finishes an
// image while it is in the cache before starting the next, unless there are fewer images than threads.
template <class First, class Between, class Second>
void in_two_passes(const Shape& shape, const First& first, const Between& between, const Second& second) {
  const int64_t chunks = shape.chunks();
  if (shape.images >= at::get_num_threads()) {
    const int64_t grain = std::max<int64_t>(1, kGrain / shape.image_size());
    at::parallel_for(0, shape.images, grain, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
          first(n, chunk);
        }
        between(n);
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
          second(n, chunk);
        }
      }
    });
    return;
  }
  const int64_t grain = std::max<int64_t>(1, kGrain / (shape.chunk() * shape.channels));
  const auto over_all_chunks = [&](const auto& pass) {
    at::parallel_for(0, shape.images * chunks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        pass(i / chunks, i % chunks);
      }
    });
  };
  over_all_chunks(first);
  for (int64_t n = 0; n < shape.images; ++n) {
    between(n);
  }
  over_all_chunks(second);
}

// Two sums per channel of each chunk.
template <class A>
class ChunkSums {
 public:
  explicit ChunkSums(const Shape& shape)
      : channels_(shape.channels), chunks_(shape.chunks()), sums_(shape.images * chunks_ * 2 * channels_) {}

  A* first(int64_t n, int64_t chunk) { return &sums_[(n * chunks_ + chunk) * 2 * channels_]; }
  A* second(int64_t n, int64_t chunk) { return first(n, chunk) + channels_; }

  // The sums of a channel over an image.
  double first_of_image(int64_t n, int64_t c) { return total(first(n, 0) + c); }
  double second_of_image(int64_t n, int64_t c) { return total(second(n, 0) + c); }

 private:
  double total(const A* at) const {
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks_; ++chunk, at += 2 * channels_) {
      sum += static_cast<double>(*at);
    }
    return sum;
  }

  int64_t channels_, chunks_;
  std::vector<A> sums_;
};

}  // namespace torch_ext
