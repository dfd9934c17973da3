// Group normalisation (Wu & He 2018): y of x and the gradients, channels innermost in memory.
//
// With xhat = (x + shift - mean) rstd and Scale = weight (1 + scale), Offset = bias (1 + scale) + offset,
// y = xhat Scale + Offset. For each image and channel the kernels take sums over its pixels,
//   A = sum of dy,   B = sum of dy xhat,
// and everything else is computed from them: with m numbers in a group,
//   dx = rstd (dy Scale - sum(Scale A) / m - xhat sum(Scale B) / m), the sums over the group's channels,
//   dshift = sum of dx over the pixels, doffset = A, dscale = weight B + bias A,
//   dweight = sum of (1 + scale) B over the images, dbias = sum of (1 + scale) A.
#include "norm.h"

#include <cmath>

namespace torch_ext {
namespace {

// The per-channel numbers of one image, as the kernels take them.
template <class A>
class Channels {
 public:
  Channels(const Shape& shape, int extra)
      : channels_(shape.channels), numbers_(shape.images * (3 + extra) * channels_), rows_(3 + extra) {}

  A* row(int64_t n, int index) { return &numbers_[(n * rows_ + index) * channels_]; }
  Affine<A> affine(int64_t n, bool silu) { return {row(n, 0), row(n, 1), row(n, 2), silu}; }

 private:
  int64_t channels_;
  std::vector<A> numbers_;
  int rows_;
};

// One channel of one image.
struct Modulated {
  double shift, one_plus_scale, offset;
};

template <class A>
Modulated modulated(const Modulation<A>& m, const Shape& shape, int64_t n, int64_t c) {
  const A* scale = m.scale ? m.scale + n * m.scale_stride + c : nullptr;
  return {
      m.shift ? static_cast<double>(m.shift[n * m.shift_stride + c]) : 0.0,
      scale ? 1.0 + static_cast<double>(*scale) : 1.0,
      scale ? static_cast<double>(scale[shape.channels]) : 0.0};
}

// Fills the rows of Channels::affine from the statistics.
template <class A>
void fill_affine(
    Channels<A>& channels, const Modulation<A>& modulation, const Shape& shape, const Statistics<A>& statistics,
    int64_t n) {
  A* pivot = channels.row(n, 0);
  A* scale = channels.row(n, 1);
  A* offset = channels.row(n, 2);
  for (int64_t c = 0; c < shape.channels; ++c) {
    const int64_t group = n * shape.groups + c / shape.group_channels();
    const Modulated m = modulated(modulation, shape, n, c);
    const double weight = static_cast<double>(modulation.weight[c]);
    pivot[c] = static_cast<A>(static_cast<double>(statistics.mean[group]) - m.shift);
    scale[c] = static_cast<A>(static_cast<double>(statistics.rstd[group]) * weight * m.one_plus_scale);
    offset[c] = static_cast<A>(static_cast<double>(modulation.bias[c]) * m.one_plus_scale + m.offset);
  }
}

template <class T>
double number(T value) {
  return static_cast<double>(value);
}
inline double number(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  __builtin_memcpy(&result, &bits, sizeof(result));
  return result;
}

int64_t pixels_of(const Shape& shape, int64_t chunk) {
  return std::min(shape.chunk(), shape.pixels - chunk * shape.chunk());
}

// Mean and 1 / sqrt(variance + eps) of each group from sums around `pivot`, by the law of total variance: within the
// channels and between their means. Sums of squares around 0 would lose the variance of numbers far from 0.
template <class A>
void group_statistics(
    ChunkSums<A>& sums, const A* pivot, const Modulation<A>& modulation, const Shape& shape, double eps,
    const Statistics<A>& statistics, int64_t n) {
  const double pixels = static_cast<double>(shape.pixels);
  const int64_t size = shape.group_channels();
  std::vector<double> means(size);
  for (int64_t g = 0; g < shape.groups; ++g) {
    double mean = 0, within = 0;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t c = g * size + i;
      const double moved = sums.first_of_image(n, c) / pixels;  // the mean relative to the pivot
      within += sums.second_of_image(n, c) / pixels - moved * moved;
      means[i] = static_cast<double>(pivot[c]) + moved + modulated(modulation, shape, n, c).shift;
      mean += means[i];
    }
    mean /= static_cast<double>(size);
    double between = 0;
    for (const double m : means) {
      between += (m - mean) * (m - mean);
    }
    const double variance = (within + between) / static_cast<double>(size);
    // Rounding may make a variance of 0 slightly negative. NaN stays NaN.
    const double rstd = 1.0 / std::sqrt((variance < 0 ? 0.0 : variance) + eps);
    statistics.mean[n * shape.groups + g] = static_cast<A>(mean);
    statistics.rstd[n * shape.groups + g] = static_cast<A>(rstd);
    for (int64_t i = 0; i < size; ++i) {
      statistics.mean_xhat[n * shape.channels + g * size + i] = static_cast<A>((means[i] - mean) * rstd);
    }
  }
}

// dweight and dbias, summed over the images, from A and B [n, c].
template <class A>
void parameter_gradients(
    const std::vector<double>& a, const std::vector<double>& b, const Modulation<A>& modulation,
    const Shape& shape, const Gradients<A>& gradients) {
  for (int64_t c = 0; c < shape.channels; ++c) {
    double weight = 0, bias = 0;
    for (int64_t n = 0; n < shape.images; ++n) {
      const double factor = modulated(modulation, shape, n, c).one_plus_scale;
      weight += factor * b[n * shape.channels + c];
      bias += factor * a[n * shape.channels + c];
    }
    if (gradients.weight) {
      gradients.weight[c] = static_cast<A>(weight);
    }
    if (gradients.bias) {
      gradients.bias[c] = static_cast<A>(bias);
    }
  }
}

}  // namespace

template <class T, class A>
void norm_forward(
    const Kernels<T, A>& kernels, const Shape& shape, const T* x, const Modulation<A>& modulation, double eps,
    bool silu, const Statistics<A>& statistics, T* z) {
  const int64_t channels = shape.channels;
  ChunkSums<A> sums(shape);
  Channels<A> numbers(shape, 1);
  const auto start = [&](int64_t n, int64_t chunk) {
    return n * shape.image_size() + chunk * shape.chunk() * channels;
  };
  // Take the moments around each channel's first pixel in the image, which is close enough to its mean.
  std::vector<A> pivots(shape.images * channels);
  for (int64_t n = 0; n < shape.images; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      pivots[n * channels + c] = static_cast<A>(number(x[n * shape.image_size() + c]));
    }
  }
  in_two_passes(
      shape,
      [&](int64_t n, int64_t chunk) {
        kernels.moments(
            x + start(n, chunk), pixels_of(shape, chunk), channels, &pivots[n * channels], sums.first(n, chunk),
            sums.second(n, chunk));
      },
      [&](int64_t n) {
        group_statistics(sums, &pivots[n * channels], modulation, shape, eps, statistics, n);
        fill_affine(numbers, modulation, shape, statistics, n);
      },
      [&](int64_t n, int64_t chunk) {
        kernels.forward(
            x + start(n, chunk), z + start(n, chunk), pixels_of(shape, chunk), channels,
            numbers.affine(n, silu));
      });
}

template <class T, class A>
void norm_backward(
    const Kernels<T, A>& kernels, const Shape& shape, const T* x, const PixelRows<T>& dz,
    const PixelRows<T>& beside, const Modulation<A>& modulation, bool silu, const Statistics<A>& statistics, T* dx,
    const Gradients<A>& gradients) {
  const int64_t channels = shape.channels, size = shape.group_channels();
  const double pixels = static_cast<double>(shape.pixels);
  ChunkSums<A> sums(shape);
  Channels<A> numbers(shape, 2);
  std::vector<double> a(shape.images * channels), b(shape.images * channels);
  for (int64_t n = 0; n < shape.images; ++n) {
    fill_affine(numbers, modulation, shape, statistics, n);
  }
  const auto start = [&](int64_t n, int64_t chunk) {
    return n * shape.image_size() + chunk * shape.chunk() * channels;
  };

  const auto finish_image = [&](int64_t n) {
    A* constant = numbers.row(n, 3);
    A* slope = numbers.row(n, 4);
    for (int64_t g = 0; g < shape.groups; ++g) {
      const double rstd = static_cast<double>(statistics.rstd[n * shape.groups + g]);
      // The means of dxhat and of dxhat xhat over the group.
      double mean_1 = 0, mean_2 = 0;
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        const double whole_scale =
            static_cast<double>(modulation.weight[c]) * modulated(modulation, shape, n, c).one_plus_scale;
        const int64_t at = n * channels + c;
        a[at] = sums.first_of_image(n, c);
        b[at] = sums.second_of_image(n, c) * rstd;
        mean_1 += whole_scale * a[at];
        mean_2 += whole_scale * b[at];
      }
      mean_1 /= pixels * static_cast<double>(size);
      mean_2 /= pixels * static_cast<double>(size);
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        const int64_t at = n * channels + c;
        const double weight = static_cast<double>(modulation.weight[c]);
        constant[c] = static_cast<A>(-rstd * mean_1);
        slope[c] = static_cast<A>(-rstd * rstd * mean_2);
        if (gradients.shift) {
          const double whole_scale = weight * modulated(modulation, shape, n, c).one_plus_scale;
          const double mean_xhat = static_cast<double>(statistics.mean_xhat[at]);
          gradients.shift[at] =
              static_cast<A>(rstd * (whole_scale * a[at] - pixels * (mean_1 + mean_xhat * mean_2)));
        }
        if (gradients.scale) {
          A* row = gradients.scale + 2 * n * channels;
          row[c] = static_cast<A>(weight * b[at] + static_cast<double>(modulation.bias[c]) * a[at]);
          row[channels + c] = static_cast<A>(a[at]);
        }
      }
    }
  };

  in_two_passes(
      shape,
      [&](int64_t n, int64_t chunk) {
        kernels.backward_sums(
            x + start(n, chunk), dz.from(n, chunk * shape.chunk()), pixels_of(shape, chunk), channels,
            numbers.affine(n, silu), sums.first(n, chunk), sums.second(n, chunk));
      },
      finish_image,
      [&](int64_t n, int64_t chunk) {
        kernels.backward(
            x + start(n, chunk), dz.from(n, chunk * shape.chunk()), beside.from(n, chunk * shape.chunk()),
            dx + start(n, chunk), pixels_of(shape, chunk), channels, numbers.affine(n, silu), numbers.row(n, 3), numbers.row(n, 4));
      });
  parameter_gradients(a, b, modulation, shape, gradients);
}

#define TORCH_EXT_NORM(T, A)                                                                            \
  template void norm_forward<T, A>(                                                                     \
      const Kernels<T, A>&, const Shape&, const T*, const Modulation<A>&, double, bool,                 \
      const Statistics<A>&, T*);                                                                        \
  template void norm_backward<T, A>(                                                                    \
      const Kernels<T, A>&, const Shape&, const T*, const PixelRows<T>&, const PixelRows<T>&,           \
      const Modulation<A>&, bool, const Statistics<A>&, T*, const Gradients<A>&)
TORCH_EXT_NORM(float, float);
TORCH_EXT_NORM(BFloat16, float);
TORCH_EXT_NORM(double, double);
#undef TORCH_EXT_NORM

}  // namespace torch_ext
