// Dropout on libtorch's tensors, with its gradient. libtorch draws its masks one number at a time, on one thread, and keeps
// them for the backward pass. Here they are drawn in parallel, and drawn again in the backward pass.
#include "kernels.h"

#include "../error.h"
#include "../isa.h"
#include "../plain.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>

namespace torch_ext {

const DropoutTable& dropout_kernels(int64_t lanes) {
  switch (isa(lanes)) {
#ifdef TORCH_EXT_X86
    // Dropout does not use the bfloat16 instructions.
    case Isa::avx512_bf16:
    case Isa::avx512:
      return avx512::dropout;
    case Isa::avx2:
      return avx2::dropout;
#endif
    default:
      return base::dropout;
  }
}

namespace {

using at::Tensor;

// Fewer chunks are not worth a thread.
constexpr int64_t kGrainChunks = 256;

// A tensor without gaps, in memory order.
Tensor masked(const Tensor& x, Mask mask, int64_t lanes) {
  Tensor y = at::empty_like(x);
  // Works element by element in memory, so both must have the same layout.
  TORCH_CHECK(y.strides() == x.strides(), "dropout: strides ", y.strides(), " for ", x.strides());
  const int64_t count = x.numel(), chunks = (count + kMaskChunk - 1) / kMaskChunk;
  const float scale = mask.dropped < 65536 ? 65536.0f / static_cast<float>(65536 - mask.dropped) : 0.0f;
  const DropoutTable& table = dropout_kernels(lanes);
  at::parallel_for(0, chunks, kGrainChunks, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kMaskChunk, numbers = std::min(end * kMaskChunk, count) - first;
    if (x.scalar_type() == at::kFloat) {
      table.f32(x.const_data_ptr<float>() + first, y.mutable_data_ptr<float>() + first, begin, numbers, mask, scale);
    } else {
      table.bf16(
          static_cast<const BFloat16*>(x.const_data_ptr()) + first, static_cast<BFloat16*>(y.mutable_data_ptr()) + first,
          begin, numbers, mask, scale);
    }
  });
  return y;
}

struct Dropout : public torch::autograd::Function<Dropout> {
  static Tensor forward(
      torch::autograd::AutogradContext* ctx, const Tensor& input, int64_t key, int64_t dropped, int64_t lanes) {
    const Tensor numbers = resolved(input);
    const Tensor x = numbers.is_non_overlapping_and_dense() ? numbers : numbers.contiguous();
    ctx->saved_data["key"] = key;
    ctx->saved_data["dropped"] = dropped;
    ctx->saved_data["lanes"] = lanes;
    ctx->saved_data["strides"] = x.strides();
    return masked(x, mask_of(key, dropped), lanes);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* ctx, torch::autograd::variable_list outputs) {
    const auto strides = ctx->saved_data["strides"].toIntVector();
    Tensor dy = resolved(outputs[0]);
    if (dy.strides() != at::IntArrayRef(strides)) {
      // The mask follows memory order, so the gradient must have the layout of the input.
      const Tensor same = at::empty_strided(dy.sizes(), strides, dy.options());
      dy = same.copy_(dy);
    }
    // The operation is linear, so its gradient, and the gradient of that, is the operation itself.
    return {
        apply(dy, ctx->saved_data["key"].toInt(), ctx->saved_data["dropped"].toInt(), ctx->saved_data["lanes"].toInt()),
        Tensor(), Tensor(), Tensor()};
  }

  static Mask mask_of(int64_t key, int64_t dropped) {
    const auto bits = static_cast<uint64_t>(key);
    return {{static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)}, static_cast<uint32_t>(dropped)};
  }
};

}  // namespace
}  // namespace torch_ext

// Draws one number from libtorch's generator.
extern "C" char* torch_ext_draw_key(uint64_t* key) noexcept {
  return torch_ext::guarded([&] {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    *key = generator.get<at::CPUGeneratorImpl>()->random64();
  });
}

// The caller owns `*out`.
extern "C" char* torch_ext_dropout(
    const at::Tensor* x, uint64_t key, int64_t dropped, int64_t lanes, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] {
    *out = new at::Tensor(torch_ext::Dropout::apply(*x, static_cast<int64_t>(key), dropped, lanes));
  });
}
