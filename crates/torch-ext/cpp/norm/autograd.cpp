// Group normalisation on libtorch's tensors, with its gradient: checks, memory, and the autograd function.
#include "norm.h"

#include "../error.h"
#include "../plain.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

namespace torch_ext {
namespace {

using at::Tensor;

const Kernels<float, float>& kernels_for(float*, int64_t lanes) {
  return kernels(lanes).f32;
}
const Kernels<BFloat16, float>& kernels_for(BFloat16*, int64_t lanes) {
  return kernels(lanes).bf16;
}
const Kernels<double, double>& kernels_for(double*, int64_t lanes) {
  return kernels(lanes).f64;
}

// Calls body(T*, A*) with null pointers of the tensor's number types.
template <class Body>
void with_types(at::ScalarType kind, const Body& body) {
  switch (kind) {
    case at::kFloat:
      return body(static_cast<float*>(nullptr), static_cast<float*>(nullptr));
    case at::kBFloat16:
      return body(static_cast<BFloat16*>(nullptr), static_cast<float*>(nullptr));
    case at::kDouble:
      return body(static_cast<double*>(nullptr), static_cast<double*>(nullptr));
    default:
      TORCH_CHECK(false, "group_norm: no kernel for ", kind);
  }
}

Shape shape_of(const Tensor& x, int64_t groups) {
  return {x.size(0), x.size(2) * x.size(3), x.size(1), groups};
}

template <class T>
T* data(const Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

// The tensors of a modulation; `shift` or `scale_shift`, or both, are undefined.
struct ModulationTensors {
  Tensor weight, bias, shift, scale_shift;

  template <class A>
  Modulation<A> pointers() const {
    return {data<A>(weight), data<A>(bias), data<A>(shift), data<A>(scale_shift),
            shift.defined() ? shift.size(1) : 0, scale_shift.defined() ? scale_shift.size(1) : 0};
  }
};

Tensor dense(const Tensor& tensor) {
  return resolved(tensor).contiguous();
}

Tensor dense(const std::optional<Tensor>& tensor) {
  return tensor ? dense(*tensor) : Tensor();
}

// A gradient with x's type and size, with pixels at equal distances; an undefined one stays undefined.
Tensor as_pixel_rows(const Tensor& gradient, const Tensor& x) {
  if (!gradient.defined()) {
    return gradient;
  }
  TORCH_CHECK(gradient.sizes() == x.sizes(), "group_norm: a gradient of shape ", gradient.sizes(), " for ", x.sizes());
  const Tensor dz = resolved(gradient).to(x.scalar_type());
  return pixel_strides(dz) ? dz : dz.contiguous(kLayout);
}

template <class T>
PixelRows<T> pixel_rows(const Tensor& dz) {
  if (!dz.defined()) {
    return {nullptr, 0, 0};
  }
  const auto strides = pixel_strides(dz);
  TORCH_CHECK(strides, "group_norm: a gradient with strides ", dz.strides());
  return {data<T>(dz), strides->image, strides->pixel};
}

// Returns z and, for `branches`, x. The gradient of that second x is added in the loop that computes the gradient of x,
// where autograd would use another loop.
struct GroupNorm : public torch::autograd::Function<GroupNorm> {
  static torch::autograd::variable_list forward(
      torch::autograd::AutogradContext* ctx, const Tensor& input, const Tensor& weight, const Tensor& bias,
      const std::optional<Tensor>& shift, const std::optional<Tensor>& scale_shift, int64_t groups, double eps, bool silu,
      int64_t lanes, bool branches) {
    // Leave the gradient of an unused result undefined instead of filling zeros.
    ctx->set_materialize_grads(false);
    const Tensor x = resolved(input).contiguous(kLayout);
    const ModulationTensors m{dense(weight), dense(bias), dense(shift), dense(scale_shift)};
    const Shape shape = shape_of(x, groups);
    const auto options = m.weight.options();
    const Tensor mean = at::empty({shape.images, groups}, options), rstd = at::empty_like(mean);
    const Tensor mean_xhat = at::empty({shape.images, shape.channels}, options);
    const Tensor z = at::empty_like(x, x.options(), kLayout);
    with_types(x.scalar_type(), [&](auto* t, auto* a) {
      typedef std::remove_pointer_t<decltype(t)> T;
      typedef std::remove_pointer_t<decltype(a)> A;
      norm_forward<T, A>(
          kernels_for(t, lanes), shape, data<T>(x), m.pointers<A>(), eps, silu,
          {data<A>(mean), data<A>(rstd), data<A>(mean_xhat)}, data<T>(z));
    });
    ctx->save_for_backward(
        {kept(x), kept(m.weight), kept(m.bias), kept(m.shift), kept(m.scale_shift), mean, rstd, mean_xhat});
    ctx->saved_data["groups"] = groups;
    ctx->saved_data["silu"] = silu;
    ctx->saved_data["lanes"] = lanes;
    return branches ? torch::autograd::variable_list{z, input} : torch::autograd::variable_list{z};
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* ctx, torch::autograd::variable_list outputs) {
    TORCH_CHECK(
        !c10::GradMode::is_enabled(),
        "group_norm: the gradient of its gradient is not implemented; use libtorch's own group_norm for it");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &mean = saved[5], &rstd = saved[6], &mean_xhat = saved[7];
    const ModulationTensors m{saved[1], saved[2], saved[3], saved[4]};
    const bool silu = ctx->saved_data["silu"].toBool();
    const int64_t lanes = ctx->saved_data["lanes"].toInt();
    const Shape shape = shape_of(x, ctx->saved_data["groups"].toInt());
    const Tensor beside = as_pixel_rows(outputs.size() > 1 ? outputs[1] : Tensor(), x);
    if (!outputs[0].defined()) {
      return {beside, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
    }
    const Tensor dz = as_pixel_rows(outputs[0], x);
    const Tensor dx = at::empty_like(x, x.options(), kLayout);
    // Inputs are counted without the missing ones; at most one of the last two is present.
    const auto gradient_of = [&](size_t input, const Tensor& tensor) {
      return tensor.defined() && ctx->needs_input_grad(input) ? at::empty_like(tensor) : Tensor();
    };
    const Tensor dweight = gradient_of(1, m.weight), dbias = gradient_of(2, m.bias);
    const Tensor dshift = gradient_of(3, m.shift), dscale = gradient_of(3, m.scale_shift);
    with_types(x.scalar_type(), [&](auto* t, auto* a) {
      typedef std::remove_pointer_t<decltype(t)> T;
      typedef std::remove_pointer_t<decltype(a)> A;
      norm_backward<T, A>(
          kernels_for(t, lanes), shape, data<T>(x), pixel_rows<T>(dz), pixel_rows<T>(beside), m.pointers<A>(), silu,
          {data<A>(mean), data<A>(rstd), data<A>(mean_xhat)}, data<T>(dx),
          {data<A>(dweight), data<A>(dbias), data<A>(dshift), data<A>(dscale)});
    });
    return {dx, dweight, dbias, dshift, dscale, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace
}  // namespace torch_ext

// `shift` or `scale_shift`, or both, may be null; so may `branch` if x is not wanted as a second result. The caller
// owns `*out` and `*branch`.
extern "C" char* torch_ext_group_norm(
    const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, const at::Tensor* shift,
    const at::Tensor* scale_shift, int64_t groups, double eps, bool silu, int64_t lanes,
    at::Tensor** out, at::Tensor** branch) noexcept {
  return torch_ext::guarded([&] {
    const auto optional = [](const at::Tensor* tensor) {
      return tensor ? std::optional<at::Tensor>(*tensor) : std::nullopt;
    };
    const auto results = torch_ext::GroupNorm::apply(
        *x, *weight, *bias, optional(shift), optional(scale_shift), groups, eps, silu, lanes, branch != nullptr);
    auto z = std::make_unique<at::Tensor>(results[0]);
    if (branch) {
      *branch = new at::Tensor(results[1]);
    }
    *out = z.release();
  });
}
