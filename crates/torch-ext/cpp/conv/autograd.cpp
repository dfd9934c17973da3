// A convolution in bfloat16 with f32 parameters: libtorch's own, except for the gradients of weight and bias.
#include "wgrad.h"

#include "../error.h"
#include "../plain.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace torch_ext {
namespace {

using at::Tensor;

// The strides of dimensions of size 1 are arbitrary, but they are only multiplied by 0.
FeatureMap map_of(const Tensor& tensor) {
  TORCH_CHECK(tensor.size(1) == 1 || tensor.stride(1) == 1, "conv2d: a tensor with strides ", tensor.strides());
  return {static_cast<const BFloat16*>(tensor.data_ptr()), tensor.stride(0), tensor.stride(2), tensor.stride(3)};
}

struct Conv2d : public torch::autograd::Function<Conv2d> {
  static Tensor forward(
      torch::autograd::AutogradContext* ctx, const Tensor& input, const Tensor& weight, const Tensor& bias, bool own) {
    const Tensor x = resolved(input).contiguous(kLayout);
    // Convert type and layout in one pass.
    const Tensor w = weight.to(at::kBFloat16, /*non_blocking=*/false, /*copy=*/false, kLayout);
    const int64_t padding = weight.size(2) / 2;
    ctx->save_for_backward({kept(x), w});
    ctx->saved_data["own"] = own;
    return at::conv2d(x, w, bias.to(at::kBFloat16), {1, 1}, {padding, padding});
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* ctx, torch::autograd::variable_list outputs) {
    TORCH_CHECK(
        !c10::GradMode::is_enabled(),
        "conv2d: the gradient of its gradient is not implemented; use libtorch's own conv2d for it");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1];
    const bool need_x = ctx->needs_input_grad(0);
    const bool need_weight = ctx->needs_input_grad(1), need_bias = ctx->needs_input_grad(2);
    const AmxKernels* kernels = ctx->saved_data["own"].toBool() ? amx_kernels() : nullptr;
    const int64_t kernel = w.size(2);
    Tensor dy = resolved(outputs[0]).to(at::kBFloat16), dx, dweight, dbias;
    const std::vector<int64_t> of_result{x.size(0), w.size(0), x.size(2), x.size(3)};
    TORCH_CHECK(dy.sizes() == of_result, "conv2d: a gradient of shape ", dy.sizes(), " for ", at::IntArrayRef(of_result));
    if (need_x || !kernels) {
      // Do not ask libtorch for what is computed here.
      const std::array<bool, 3> mask{need_x, need_weight && !kernels, need_bias && !kernels};
      std::tie(dx, dweight, dbias) = at::convolution_backward(
          dy, x, w, at::IntArrayRef({w.size(0)}), {1, 1}, {kernel / 2, kernel / 2}, {1, 1}, /*transposed=*/false,
          {0, 0}, /*groups=*/1, mask);
    }
    const auto parameter = x.options().dtype(at::kFloat);
    if (!kernels) {
      dweight = dweight.defined() ? dweight.to(parameter).contiguous() : dweight;
      dbias = dbias.defined() ? dbias.to(parameter) : dbias;
    } else if (need_weight || need_bias) {
      // Slices of channels, such as the gradient of a concatenation, are read in place.
      if (dy.size(1) > 1 && dy.stride(1) != 1) {
        dy = dy.contiguous(kLayout);
      }
      dweight = at::empty(w.sizes(), parameter);
      dbias = at::empty({w.size(0)}, parameter);
      const ConvShape shape{x.size(0), x.size(2), x.size(3), x.size(1), w.size(0), kernel};
      weight_gradient(
          *kernels, shape, map_of(x), map_of(dy), dweight.data_ptr<float>(), dbias.data_ptr<float>());
    }
    return {dx, need_weight ? dweight : Tensor(), need_bias ? dbias : Tensor(), Tensor()};
  }
};

}  // namespace
}  // namespace torch_ext

// Whether the gradients are computed here; otherwise libtorch always computes them.
extern "C" bool torch_ext_conv2d_is_own() noexcept {
  return torch_ext::amx_kernels() != nullptr;
}

// The caller owns `*out`.
extern "C" char* torch_ext_conv2d(
    const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, bool own, at::Tensor** out) noexcept {
  return torch_ext::guarded(
      [&] { *out = new at::Tensor(torch_ext::Conv2d::apply(*x, *weight, *bias, own)); });
}
