// dweight[o, i, tap] = sum over images and pixels q of dy[o, q - offset(tap)] x[i, q].
//
// Rows of some images are laid out as one sequence of pixels: row 0 of every image, then row 1, ..., with a zero pixel
// after each row. A tap is then a single offset into the sequence. Beyond the left and right border the kernel sees
// such a zero; beyond the upper and lower border there is one more row of dy, zero or real. So every tap is a product
// of the same two matrices, dy^T shifted by an offset and x.
//
// Work is split into items: a range of output channels, a range of input channels, and some of the groups of rows. An
// item rearranges its part of x and dy for the matrix instructions, group by group, and keeps its sums. The split
// depends on the shape alone, and the sums of several items are added in order.
#include "wgrad.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace torch_ext {
namespace {

constexpr int64_t kPair = 2 * kTile;      // channels of a block of products
constexpr int64_t kBlock = 4 * kNumbers;  // floats of its sums, for one tap

// Found by experiment. The numbers of a product fit in the L1 cache, those of a group in L2 beside its sums.
constexpr int64_t kPiece = 8;                 // steps of one product
constexpr int64_t kGroupBytes = 256 * 1024;   // of x and dy
constexpr int64_t kMinGroup = 512, kMaxGroup = 2048;  // pixels
// Adding up the sums of many items also takes time.
constexpr int64_t kItemPixels = 2048;
constexpr int64_t kFewItems = 8, kManyItems = 16;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// Memory for T, aligned to a cache line.
template <class T>
class Aligned {
 public:
  explicit Aligned(int64_t count)
      : data_(static_cast<T*>(std::aligned_alloc(64, round_up(count * sizeof(T), 64)))) {
    if (!data_) {
      throw std::bad_alloc();
    }
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
};

// How the work is split.
struct Cuts {
  int64_t out_range, in_range;    // channels of an item, multiples of kPair
  int64_t out_ranges, in_ranges;
  int64_t images, rows;           // of a group
  int64_t bands, groups;          // groups per image's rows, groups in total
  int64_t splits;                 // items that share the groups

  explicit Cuts(const ConvShape& shape) {
    cut_channels(shape, 128);
    const int64_t row = shape.width + shape.padding(), pixels = shape.images * shape.height * row;
    splits = std::clamp<int64_t>(pixels / kItemPixels, 1, ceil_div(kManyItems, ranges()));
    if (items() < kFewItems) {
      cut_channels(shape, 64);
    }
    const int64_t bytes = 2 * (out_range + in_range);  // of a pixel
    const int64_t wanted = std::clamp(kGroupBytes / bytes, kMinGroup, kMaxGroup);
    rows = std::clamp<int64_t>(wanted / row, 1, shape.height);
    bands = ceil_div(shape.height, rows);
    rows = ceil_div(shape.height, bands);
    images = bands > 1 ? 1 : std::clamp<int64_t>(wanted / (row * rows), 1, shape.images);
    images = ceil_div(shape.images, ceil_div(shape.images, images));
    groups = ceil_div(shape.images, images) * bands;
    splits = std::min(splits, groups);
  }

  int64_t ranges() const { return out_ranges * in_ranges; }
  int64_t items() const { return ranges() * splits; }

 private:
  void cut_channels(const ConvShape& shape, int64_t most) {
    const auto cut = [&](int64_t channels, int64_t& ranges, int64_t& range) {
      const int64_t pairs = ceil_div(channels, kPair);
      ranges = ceil_div(pairs * kPair, most);
      range = ceil_div(pairs, ranges) * kPair;
      ranges = ceil_div(channels, range);
    };
    cut(shape.c_out, out_ranges, out_range);
    cut(shape.c_in, in_ranges, in_range);
  }
};

// The pixel sequence of a group.
struct Sequence {
  int64_t first_image, images, first_row, rows;
  int64_t row;     // pixels of one row of all its images, zeros included
  int64_t count;   // pixels, without the padding of the last step
  int64_t steps;
  int64_t lead;    // pixels of dy before the first
  int64_t dy_count;

  Sequence(const ConvShape& shape, const Cuts& cuts, int64_t group) {
    first_image = group / cuts.bands * cuts.images;
    images = std::min(cuts.images, shape.images - first_image);
    first_row = group % cuts.bands * cuts.rows;
    rows = std::min(cuts.rows, shape.height - first_row);
    const int64_t padding = shape.padding();
    row = images * (shape.width + padding);
    count = rows * row;
    steps = ceil_div(count, kStep);
    lead = padding * (row + 1);
    dy_count = round_up(steps * kStep + 2 * lead, kStep);
  }
};

// The buffers of a thread.
class Workspace {
 public:
  Workspace(const ConvShape& shape, const Cuts& cuts, const Sequence& largest, bool with_sums)
      : pitch(kStep * (largest.dy_count / kStep | 1)),
        x(largest.steps * kStep * cuts.in_range),
        dy(pitch * cuts.out_range),
        sums(with_sums ? cuts.out_range * cuts.in_range * shape.taps() : 0),
        bias(cuts.out_range),
        zeros(std::max(cuts.in_range, cuts.out_range)) {
    std::fill_n(reinterpret_cast<uint16_t*>(zeros.get()), std::max(cuts.in_range, cuts.out_range), 0);
    pixels.reserve(largest.dy_count);
  }

  int64_t pitch;  // an odd number of cache lines, so that rows of a tile are in different cache sets
  Aligned<BFloat16> x, dy;
  Aligned<float> sums, bias;
  Aligned<BFloat16> zeros;
  std::vector<const BFloat16*> pixels;
};

class WeightGradient {
 public:
  WeightGradient(
      const AmxKernels& kernels, const ConvShape& shape, const FeatureMap& x, const FeatureMap& dy, float* dweight,
      float* dbias)
      : kernels_(kernels), shape_(shape), cuts_(shape), x_(x), dy_(dy), dweight_(dweight), dbias_(dbias),
        sums_(cuts_.splits > 1 ? cuts_.items() * item_sums() : 0),
        bias_(dbias ? cuts_.splits * cuts_.out_ranges * cuts_.out_range : 0) {}

  void run() {
    at::parallel_for(0, cuts_.items(), 1, [&](int64_t begin, int64_t end) {
      Workspace work(shape_, cuts_, Sequence(shape_, cuts_, 0), cuts_.splits == 1);
      AmxTiles tiles;
      for (int64_t item = begin; item < end; ++item) {
        run_item(work, item);
      }
    });
    if (cuts_.splits > 1) {
      const int64_t pairs = cuts_.out_range / kPair;
      at::parallel_for(0, cuts_.ranges() * pairs, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          gather(sums_.get() + i / pairs * item_sums(), i / pairs, i % pairs);
        }
      });
    }
    for (int64_t o = 0; dbias_ && o < shape_.c_out; ++o) {
      double total = 0;
      for (int64_t split = 0; split < cuts_.splits; ++split) {
        total += bias_[split * cuts_.out_ranges * cuts_.out_range + o];
      }
      dbias_[o] = static_cast<float>(total);
    }
  }

 private:
  int64_t item_sums() const { return cuts_.out_range * cuts_.in_range * shape_.taps(); }

  // Items are numbered by split, range of output channels, range of input channels. The last ranges may be narrower, so
  // this gives each thread some of every kind.
  void run_item(Workspace& work, int64_t item) {
    const int64_t range = item % cuts_.ranges(), split = item / cuts_.ranges();
    const int64_t first_out = range / cuts_.in_ranges * cuts_.out_range;
    const int64_t first_in = range % cuts_.in_ranges * cuts_.in_range;
    const int64_t outs = std::min(cuts_.out_range, shape_.c_out - first_out);
    const int64_t ins = std::min(cuts_.in_range, shape_.c_in - first_in);
    float* sums = cuts_.splits > 1 ? sums_.get() + item * item_sums() : work.sums.get();
    double* bias = dbias_ && first_in == 0 ? &bias_[split * cuts_.out_ranges * cuts_.out_range + first_out] : nullptr;
    const int64_t begin = cuts_.groups * split / cuts_.splits, end = cuts_.groups * (split + 1) / cuts_.splits;
    for (int64_t group = begin; group < end; ++group) {
      const Sequence sequence(shape_, cuts_, group);
      list(work, x_, first_in, sequence, 0);
      work.pixels.resize(sequence.steps * kStep, work.zeros.get());
      kernels_.interleave(work.pixels.data(), sequence.steps * kStep, ins, work.x.get());
      if (bias) {
        list(work, dy_, first_out, sequence, 0);
        kernels_.sum(work.pixels.data(), sequence.count, outs, work.bias.get());
        for (int64_t o = 0; o < outs; ++o) {
          bias[o] += static_cast<double>(work.bias.get()[o]);
        }
      }
      list(work, dy_, first_out, sequence, shape_.padding());
      work.pixels.resize(sequence.dy_count, work.zeros.get());
      kernels_.transpose(work.pixels.data(), sequence.dy_count, outs, work.pitch, work.dy.get());
      multiply(work, sequence, outs, ins, group > begin, sums);
    }
    if (cuts_.splits == 1) {
      for (int64_t pair = 0; pair * kPair < outs; ++pair) {
        gather(sums, range, pair);
      }
    }
  }

  // Lists the pixels of a map in sequence, for the channels from `channel` on. With `more`, adds rows above and below,
  // and a zero pixel before everything.
  void list(Workspace& work, const FeatureMap& map, int64_t channel, const Sequence& s, int64_t more) const {
    work.pixels.clear();
    work.pixels.insert(work.pixels.end(), more, work.zeros.get());
    for (int64_t r = s.first_row - more; r < s.first_row + s.rows + more; ++r) {
      if (r < 0 || r >= shape_.height) {
        work.pixels.insert(work.pixels.end(), s.row, work.zeros.get());
        continue;
      }
      for (int64_t n = s.first_image; n < s.first_image + s.images; ++n) {
        const BFloat16* row = map.data + n * map.image + r * map.row + channel;
        for (int64_t column = 0; column < shape_.width; ++column) {
          work.pixels.push_back(row + column * map.column);
        }
        work.pixels.insert(work.pixels.end(), shape_.padding(), work.zeros.get());
      }
    }
  }

  // Adds a group's products to an item's sums [pair of tiles of outs][pair of tiles of ins][tap][2][2][16][16].
  void multiply(
      const Workspace& work, const Sequence& s, int64_t outs, int64_t ins, bool add, float* sums) const {
    const int64_t padding = shape_.padding(), b_tile = s.steps * kStep * kTile, in_pairs = cuts_.in_range / kPair;
    for (int64_t o = 0; o < outs; o += kPair) {
      for (int64_t i = 0; i < ins; i += kPair) {
        float* block = sums + (o / kPair * in_pairs + i / kPair) * shape_.taps() * kBlock;
        for (int64_t step = 0; step < s.steps; step += kPiece) {
          for (int64_t tap = 0; tap < shape_.taps(); ++tap) {
            const int64_t offset = (tap / shape_.kernel - padding) * s.row + tap % shape_.kernel - padding;
            kernels_.multiply(
                work.dy.get() + o * work.pitch + s.lead - offset + step * kStep, work.pitch, kTile * work.pitch,
                work.x.get() + i / kTile * b_tile + step * kStep * kTile, b_tile, std::min(kPiece, s.steps - step),
                outs - o > kTile ? 2 : 1, ins - i > kTile ? 2 : 1, add || step > 0, block + tap * kBlock);
          }
        }
      }
    }
  }

  // Adds up the sums of all items of a range, for a pair of tiles of its output channels, and writes them to their
  // places.
  void gather(const float* sums, int64_t range, int64_t pair) const {
    const int64_t taps = shape_.taps(), part = cuts_.ranges() * item_sums();
    const int64_t out = range / cuts_.in_ranges * cuts_.out_range + pair * kPair;
    const int64_t in = range % cuts_.in_ranges * cuts_.in_range;
    const int64_t ins = std::min(cuts_.in_range, shape_.c_in - in);
    for (int64_t o = 0; o < std::min(kPair, shape_.c_out - out); ++o) {
      for (int64_t i = 0; i < ins; i += kTile) {
        const float* from = sums + (pair * (cuts_.in_range / kPair) + i / kPair) * taps * kBlock +
            (o / kTile * 2 + i % kPair / kTile) * kNumbers + o % kTile * kTile;
        float* to = dweight_ + ((out + o) * shape_.c_in + in + i) * taps;
        kernels_.gather(from, cuts_.splits, part, taps, kBlock, std::min(kTile, ins - i), to);
      }
    }
  }

  const AmxKernels& kernels_;
  const ConvShape shape_;
  const Cuts cuts_;
  const FeatureMap x_, dy_;
  float* dweight_;
  float* dbias_;
  Aligned<float> sums_;
  std::vector<double> bias_;
};

}  // namespace

void weight_gradient(
    const AmxKernels& kernels, const ConvShape& shape, const FeatureMap& x, const FeatureMap& dy, float* dweight,
    float* dbias) {
  WeightGradient(kernels, shape, x, dy, dweight, dbias).run();
}

}  // namespace torch_ext
