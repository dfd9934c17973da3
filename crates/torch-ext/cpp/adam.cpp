// One update of Adam (Kingma & Ba 2015, Algorithm 1) in one pass over the numbers. libtorch's single operations take
// ten, and of a network of many parameters none stays in the cache.
#include "error.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <cmath>

namespace torch_ext {
namespace {

// What a step has in common for all numbers. Kept in step with `AdamStep` in src/adam.rs.
struct AdamStep {
  double keep, gradient_scale, beta1, beta2, step_size, second_scale, eps;
};

// Numbers below which a thread is not worth waking.
constexpr int64_t kGrain = 32768;

template <class T>
void update(T* param, const T* gradient, T* first, T* second, int64_t count, const AdamStep& step) {
  const T keep = static_cast<T>(step.keep), scale = static_cast<T>(step.gradient_scale);
  const T new1 = static_cast<T>(1 - step.beta1), beta2 = static_cast<T>(step.beta2);
  const T new2 = static_cast<T>(1 - step.beta2), step_size = static_cast<T>(step.step_size);
  const T second_scale = static_cast<T>(step.second_scale), eps = static_cast<T>(step.eps);
  // Each number by itself, so that threads change nothing.
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    T* __restrict__ p = param;
    T* __restrict__ m = first;
    T* __restrict__ v = second;
    const T* __restrict__ g_of = gradient;
    for (int64_t i = begin; i < end; ++i) {
      const T g = g_of[i] * scale;
      m[i] += new1 * (g - m[i]);
      v[i] = beta2 * v[i] + new2 * g * g;
      p[i] = keep * p[i] - step_size * m[i] / (std::sqrt(v[i]) * second_scale + eps);
    }
  });
}

template <class T>
void update_tensors(
    const at::Tensor& param, const at::Tensor& gradient, const at::Tensor& first, const at::Tensor& second,
    const AdamStep& step) {
  update<T>(
      param.mutable_data_ptr<T>(), gradient.const_data_ptr<T>(), first.mutable_data_ptr<T>(),
      second.mutable_data_ptr<T>(), param.numel(), step);
}

}  // namespace
}  // namespace torch_ext

// All four are on the CPU, contiguous, of one shape, and all f32 or all f64.
extern "C" char* torch_ext_adam_step(
    const at::Tensor* param, const at::Tensor* gradient, const at::Tensor* first, const at::Tensor* second,
    const torch_ext::AdamStep* step) noexcept {
  return torch_ext::guarded([&] {
    if (param->scalar_type() == at::kDouble) {
      torch_ext::update_tensors<double>(*param, *gradient, *first, *second, *step);
    } else {
      torch_ext::update_tensors<float>(*param, *gradient, *first, *second, *step);
    }
    // Whoever kept them for a backward pass finds them changed.
    for (const at::Tensor* changed : {param, first, second}) {
      changed->unsafeGetTensorImpl()->bump_version();
    }
  });
}

extern "C" char* torch_ext_forget_gradient(const at::Tensor* param) noexcept {
  return torch_ext::guarded([&] { param->mutable_grad() = at::Tensor(); });
}
