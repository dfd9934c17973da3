// Concatenates feature maps along their channels, channels innermost: copies rows of pixels side by side, and splits them
// for the gradient. libtorch returns slices of the gradient there, which are copied again where they must be dense, and it
// copies a row of a few channels as a separate tensor.
#include "error.h"
#include "plain.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>

namespace torch_ext {
namespace {

using at::Tensor;

// Fewer bytes are not worth a thread.
constexpr int64_t kGrainBytes = 65536;

// The channels of all pixels, as rows.
struct ChannelRows {
  char* at;
  int64_t bytes;

  explicit ChannelRows(const Tensor& tensor)
      : at(static_cast<char*>(tensor.data_ptr())),
        bytes(tensor.size(1) * static_cast<int64_t>(tensor.element_size())) {}

  char* row(int64_t pixel) const { return at + pixel * bytes; }
};

// Calls body(pixel) for all pixels of a tensor.
template <class Body>
void over_pixels(const Tensor& tensor, const Body& body) {
  const int64_t bytes = std::max<int64_t>(1, ChannelRows(tensor).bytes);
  at::parallel_for(
      0, tensor.size(0) * tensor.size(2) * tensor.size(3), std::max<int64_t>(1, kGrainBytes / bytes),
      [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; ++pixel) {
          body(pixel);
        }
      });
}

void copy(char* to, const char* from, int64_t bytes) {
  // An empty set of channels has no address, which memcpy does not allow.
  if (bytes > 0) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

Tensor map_like(const Tensor& tensor, int64_t channels) {
  return at::empty({tensor.size(0), channels, tensor.size(2), tensor.size(3)}, tensor.options(), kLayout);
}

struct Join : public torch::autograd::Function<Join> {
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& a, const Tensor& b) {
    const Tensor left = resolved(a).contiguous(kLayout), right = resolved(b).contiguous(kLayout);
    ctx->saved_data["channels"] = left.size(1);
    Tensor whole = map_like(left, left.size(1) + right.size(1));
    const ChannelRows from_left(left), from_right(right), to(whole);
    over_pixels(whole, [&](int64_t pixel) {
      copy(to.row(pixel), from_left.row(pixel), from_left.bytes);
      copy(to.row(pixel) + from_left.bytes, from_right.row(pixel), from_right.bytes);
    });
    return whole;
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* ctx, torch::autograd::variable_list outputs) {
    const int64_t channels = ctx->saved_data["channels"].toInt();
    if (c10::GradMode::is_enabled()) {
      // Slices have their own gradients.
      return {outputs[0].narrow(1, 0, channels), outputs[0].narrow(1, channels, outputs[0].size(1) - channels)};
    }
    const Tensor dz = resolved(outputs[0]).contiguous(kLayout);
    Tensor left = map_like(dz, channels), right = map_like(dz, dz.size(1) - channels);
    const ChannelRows from(dz), to_left(left), to_right(right);
    over_pixels(dz, [&](int64_t pixel) {
      copy(to_left.row(pixel), from.row(pixel), to_left.bytes);
      copy(to_right.row(pixel), from.row(pixel) + to_left.bytes, to_right.bytes);
    });
    return {left, right};
  }
};

}  // namespace
}  // namespace torch_ext

// The caller owns `*out`.
extern "C" char* torch_ext_join_channels(const at::Tensor* a, const at::Tensor* b, at::Tensor** out) noexcept {
  return torch_ext::guarded([&] { *out = new at::Tensor(torch_ext::Join::apply(*a, *b)); });
}
