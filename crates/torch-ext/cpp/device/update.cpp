// The updates of a training step with libtorch's operations on lists of tensors: a few kernels for all parameters, and
// no value that the host would need to know.
#include "../error.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <vector>

namespace {

std::vector<at::Tensor> list(const at::Tensor* const* tensors, std::size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    result.push_back(*tensors[i]);
  }
  return result;
}

}  // namespace

struct ListedAdam {
  double beta1;
  double beta2;
  double weight_decay;
  double eps;
};

// `tensors` are `count` parameters, then `count` gradients, first moments and second moments.
extern "C" char* torch_ext_listed_adam(
    const at::Tensor* const* tensors, std::size_t count, const at::Tensor* taken, const at::Tensor* lr,
    const at::Tensor* divisor, const at::Tensor* skipped, const ListedAdam* numbers) noexcept {
  return torch_ext::guarded([&] {
    const at::NoGradGuard no_grad;
    // They are only read, so all can share one tensor.
    const std::vector<at::Tensor> steps(count, *taken);
    at::_fused_adamw_(
        list(tensors, count), list(tensors + count, count), list(tensors + 2 * count, count),
        list(tensors + 3 * count, count), /*max_exp_avg_sqs=*/{}, steps, *lr, numbers->beta1, numbers->beta2,
        numbers->weight_decay, numbers->eps, /*amsgrad=*/false, /*maximize=*/false, *divisor, *skipped);
  });
}

// `tensors` are `count` averages, then `count` values that they follow.
extern "C" char* torch_ext_listed_average(
    const at::Tensor* const* tensors, std::size_t count, const at::Tensor* weight) noexcept {
  return torch_ext::guarded([&] {
    const at::NoGradGuard no_grad;
    const auto averages = list(tensors, count);
    auto ways = at::_foreach_sub(list(tensors + count, count), averages);
    at::_foreach_mul_(ways, *weight);
    at::_foreach_add_(averages, ways);
  });
}

// The caller owns `*out`, a number on the tensors' device.
extern "C" char* torch_ext_listed_norm(
    const at::Tensor* const* tensors, std::size_t count, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] {
    const at::NoGradGuard no_grad;
    *out = new at::Tensor(at::stack(at::_foreach_norm(list(tensors, count), 2)).norm());
  });
}
