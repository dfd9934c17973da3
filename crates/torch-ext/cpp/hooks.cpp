// Hooks that libtorch calls in a backward pass when the gradient of a parameter has been added to it.
#include "error.h"

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <cstddef>
#include <memory>
#include <utility>

extern "C" {
// Tells Rust that the gradient of parameter `index` is there. It does not throw.
typedef void (*TorchExtTell)(void* data, size_t index);
typedef void (*TorchExtDrop)(void* data);
}

namespace torch_ext {
namespace {

// Owns what Rust is told through. All hooks share it.
class Listener {
 public:
  Listener(void* data, TorchExtTell tell, TorchExtDrop drop) noexcept : data_(data), tell_(tell), drop_(drop) {}
  Listener(Listener&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), tell_(other.tell_), drop_(other.drop_) {}
  Listener(const Listener&) = delete;
  ~Listener() {
    if (data_) {
      drop_(data_);
    }
  }

  void tell(size_t index) const {
    tell_(data_, index);
  }

 private:
  void* data_;
  TorchExtTell tell_;
  TorchExtDrop drop_;
};

struct Hook : public torch::autograd::PostAccumulateGradHook {
  Hook(std::shared_ptr<Listener> listener, size_t index) : listener_(std::move(listener)), index_(index) {}

  void operator()(const at::Tensor& /*param*/) override {
    listener_->tell(index_);
  }

 private:
  std::shared_ptr<Listener> listener_;
  size_t index_;
};

// Removes the hooks of the first `n` parameters. Abandoned ones are not freed.
void remove_hooks(const at::Tensor* const* params, size_t n, bool abandon) {
  for (size_t i = 0; i < n; ++i) {
    auto& hook = torch::autograd::impl::post_acc_grad_hooks(*params[i]);
    if (abandon) {
      (void)hook.release();
    } else {
      hook.reset();
    }
  }
}

}  // namespace
}  // namespace torch_ext

// Gives each of `n` parameters a hook that calls `tell` with its place in the list. On an error none has one. `data` is always
// dropped: when the last hook is freed, or at once.
extern "C" char* torch_ext_hooks_set(
    const at::Tensor* const* params, size_t n, void* data, TorchExtTell tell, TorchExtDrop drop) noexcept {
  using namespace torch_ext;
  Listener listener(data, tell, drop);
  return guarded([&] {
    const auto shared = std::make_shared<Listener>(std::move(listener));
    size_t set = 0;
    try {
      for (; set < n; ++set) {
        const at::Tensor& param = *params[set];
        TORCH_CHECK(
            param.is_leaf() && param.requires_grad(), "parameter ", set, " is not a leaf that requires a gradient");
        TORCH_CHECK(
            !torch::autograd::impl::post_acc_grad_hooks(param), "parameter ", set, " has a hook already, expected none");
        torch::autograd::impl::set_post_acc_grad_hooks(param, std::make_unique<Hook>(shared, set));
      }
    } catch (...) {
      remove_hooks(params, set, /*abandon=*/false);
      throw;
    }
  });
}

// Removes them. `abandon` keeps them in memory for ever, for threads that may still be in one.
extern "C" char* torch_ext_hooks_remove(const at::Tensor* const* params, size_t n, bool abandon) noexcept {
  return torch_ext::guarded([&] { torch_ext::remove_hooks(params, n, abandon); });
}
