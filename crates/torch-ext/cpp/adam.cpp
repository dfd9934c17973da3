// The joint norm of gradients, and one update of Adam (Kingma & Ba 2015, Algorithm 1) in one pass over the numbers.
// libtorch's single operations take ten passes, and the parameters of a large network do not stay in the cache.
#include "error.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace torch_ext {
namespace {

// The settings of a step, the same for all numbers. Must match `AdamStep` in src/adam.rs.
struct AdamStep {
  double keep, gradient_scale, beta1, beta2, step_size, second_scale, eps;
};

// Fewer numbers are not worth a thread. Also the size of a piece that one thread sums.
constexpr int64_t kGrain = 32768;

// The sum of squares of a piece of a tensor, in eight partial sums so that it vectorises.
template <class T>
double sum_of_squares(const T* numbers, int64_t count) {
  constexpr int64_t lanes = 8;
  double sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const double number = static_cast<double>(numbers[i + lane]);
      sums[lane] += number * number;
    }
  }
  double sum = 0;
  for (; i < count; ++i) {
    sum += static_cast<double>(numbers[i]) * static_cast<double>(numbers[i]);
  }
  for (const double lane : sums) {
    sum += lane;
  }
  return sum;
}

struct Piece {
  const at::Tensor* tensor;
  int64_t begin, count;

  double sum() const {
    return tensor->scalar_type() == at::kDouble
        ? sum_of_squares(tensor->const_data_ptr<double>() + begin, count)
        : sum_of_squares(tensor->const_data_ptr<float>() + begin, count);
  }
};

template <class T>
struct Numbers {
  T keep, scale, new1, beta2, new2, step_size, second_scale, eps;

  explicit Numbers(const AdamStep& step)
      : keep(static_cast<T>(step.keep)),
        scale(static_cast<T>(step.gradient_scale)),
        new1(static_cast<T>(1 - step.beta1)),
        beta2(static_cast<T>(step.beta2)),
        new2(static_cast<T>(1 - step.beta2)),
        step_size(static_cast<T>(step.step_size)),
        second_scale(static_cast<T>(step.second_scale)),
        eps(static_cast<T>(step.eps)) {}
};

// A separate function: inside the lambda below the compiler would not know that the four arrays do not overlap, and
// would not vectorise.
template <class T>
__attribute__((noinline)) void update(
    T* __restrict__ param, const T* __restrict__ gradient, T* __restrict__ first, T* __restrict__ second, int64_t count,
    const Numbers<T> n) {
  for (int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * n.scale;
    const T m = first[i] + n.new1 * (g - first[i]);
    const T v = n.beta2 * second[i] + n.new2 * g * g;
    first[i] = m;
    second[i] = v;
    param[i] = n.keep * param[i] - n.step_size * m / (std::sqrt(v) * n.second_scale + n.eps);
  }
}

template <class T>
void update_tensors(
    const at::Tensor& param, const at::Tensor& gradient, const at::Tensor& first, const at::Tensor& second,
    const AdamStep& step) {
  T* p = param.mutable_data_ptr<T>();
  T* m = first.mutable_data_ptr<T>();
  T* v = second.mutable_data_ptr<T>();
  const T* g = gradient.const_data_ptr<T>();
  const Numbers<T> numbers(step);
  // Numbers are independent, so the result does not depend on the number of threads.
  at::parallel_for(0, param.numel(), kGrain, [&](int64_t begin, int64_t end) {
    update(p + begin, g + begin, m + begin, v + begin, end - begin, numbers);
  });
}

}  // namespace
}  // namespace torch_ext

// All four are contiguous on the CPU, have one shape, and are all f32 or all f64; no two share memory.
extern "C" char* torch_ext_adam_step(
    const at::Tensor* param, const at::Tensor* gradient, const at::Tensor* first, const at::Tensor* second,
    const torch_ext::AdamStep* step) noexcept {
  return torch_ext::guarded([&] {
    // Marks the tensors as changed for backward passes that saved them. Tensors from inference mode refuse this, so do it
    // before changing anything.
    for (const at::Tensor* changed : {param, first, second}) {
      changed->unsafeGetTensorImpl()->bump_version();
    }
    if (param->scalar_type() == at::kDouble) {
      torch_ext::update_tensors<double>(*param, *gradient, *first, *second, *step);
    } else {
      torch_ext::update_tensors<float>(*param, *gradient, *first, *second, *step);
    }
  });
}

// The L2 norm of all numbers of `count` contiguous f32 or f64 tensors on the CPU. Pieces depend on sizes alone and are added
// in order, so the result does not depend on the number of threads.
extern "C" char* torch_ext_joint_norm(const at::Tensor* const* tensors, size_t count, double* norm) noexcept {
  return torch_ext::guarded([&] {
    using torch_ext::kGrain;
    std::vector<torch_ext::Piece> pieces;
    for (size_t i = 0; i < count; ++i) {
      for (int64_t begin = 0; begin < tensors[i]->numel(); begin += kGrain) {
        pieces.push_back({tensors[i], begin, std::min(kGrain, tensors[i]->numel() - begin)});
      }
    }
    std::vector<double> sums(pieces.size());
    at::parallel_for(0, static_cast<int64_t>(pieces.size()), 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        sums[i] = pieces[i].sum();
      }
    });
    double sum = 0;
    for (const double piece : sums) {
      sum += piece;
    }
    *norm = std::sqrt(sum);
  });
}

extern "C" char* torch_ext_forget_gradient(const at::Tensor* param) noexcept {
  return torch_ext::guarded([&] { param->mutable_grad() = at::Tensor(); });
}
