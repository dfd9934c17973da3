// A node of the graph that keeps only the inputs of a piece of the network. Its backward pass runs the piece again,
// with gradients, and goes back through that graph at once (Chen et al. 2016, "Training Deep Nets with Sublinear Memory
// Cost").
#include "error.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

extern "C" {
void torch_ext_free_text(char* text) noexcept;

// Runs the piece on borrowed inputs and writes the requested number of outputs, owned by the caller. On failure it
// writes none and returns the text of the error, made by torch_ext_copy_text. It does not throw.
typedef char* (*TorchExtRun)(void* data, const at::Tensor* const* inputs, size_t n, at::Tensor** outputs, size_t m);
typedef void (*TorchExtDrop)(void* data);

// For Rust, which returns errors to C++ here in the same form in which it gets them elsewhere.
char* torch_ext_copy_text(const char* text) noexcept {
  return torch_ext::own_text(text);
}
}

namespace torch_ext {
namespace {

using at::Tensor;
using torch::autograd::variable_list;

// Owns a Rust closure.
class Piece {
 public:
  Piece(void* data, TorchExtRun run, TorchExtDrop drop) noexcept : data_(data), run_(run), drop_(drop) {}
  Piece(Piece&& other) noexcept : data_(std::exchange(other.data_, nullptr)), run_(other.run_), drop_(other.drop_) {}
  Piece(const Piece&) = delete;
  ~Piece() {
    if (data_) {
      drop_(data_);
    }
  }

  variable_list run(const variable_list& inputs, size_t outputs) const {
    std::vector<const Tensor*> borrowed;
    for (const Tensor& input : inputs) {
      borrowed.push_back(&input);
    }
    std::vector<Tensor*> raw(outputs, nullptr);
    variable_list results;
    results.reserve(outputs);
    char* error = run_(data_, borrowed.data(), borrowed.size(), raw.data(), raw.size());
    const std::unique_ptr<char, void (*)(char*)> text(error, torch_ext_free_text);
    TORCH_CHECK(!text, "checkpoint, when the piece ran again: ", text.get());
    for (Tensor* output : raw) {
      results.push_back(std::move(*output));
      delete output;
    }
    return results;
  }

 private:
  void* data_;
  TorchExtRun run_;
  TorchExtDrop drop_;
};

// The end of the graph of a second run. It takes the gradients of the inputs as they are. A leaf would copy a gradient
// whose memory layout differs from its own, and results computed from the copy may differ in the last bits.
struct Sink : public torch::autograd::Node {
  variable_list apply(variable_list&& gradients) override {
    gradients_ = std::move(gradients);
    return {};
  }

  std::string name() const override {
    return "TorchExtCheckpointSink";
  }

  variable_list gradients_;  // of the inputs that require gradients
};

struct Rerun : public torch::autograd::Node {
  Rerun(Piece piece, const variable_list& inputs, torch::autograd::edge_list&& edges)
      : Node(std::move(edges)), piece_(std::make_shared<Piece>(std::move(piece))) {
    for (const Tensor& input : inputs) {
      inputs_.emplace_back(input, /*is_output=*/false);
    }
  }

  variable_list apply(variable_list&& gradients) override {
    TORCH_CHECK(
        !c10::GradMode::is_enabled(),
        "checkpoint: the gradient of a gradient is not implemented; run the piece without it");
    // The parameters inside are not inputs of this node, so their gradients cannot be left out.
    TORCH_CHECK(
        torch::autograd::Engine::get_default_engine().is_checkpoint_valid(),
        "checkpoint: only a backward pass for all parameters at once is possible, not one for chosen inputs");
    std::shared_ptr<Piece> piece;
    variable_list inputs;
    const std::shared_ptr<Sink> sink(new Sink(), torch::autograd::deleteNode);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      TORCH_CHECK(piece_, torch::autograd::ERR_BACKWARD_TWICE);
      piece = piece_;
      for (size_t i = 0; i < inputs_.size(); ++i) {
        inputs.push_back(inputs_[i].unpack().tensor_data());
        if (task_should_compute_output(i)) {
          torch::autograd::set_history(inputs[i], sink);
        }
      }
    }
    variable_list roots, of_roots;
    {
      const at::AutoGradMode with_gradients(true);
      const variable_list outputs = piece->run(inputs, gradients.size());
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (gradients[i].defined() && outputs[i].requires_grad()) {
          roots.push_back(outputs[i]);
          of_roots.push_back(std::move(gradients[i]));
        }
      }
    }
    if (!roots.empty()) {
      torch::autograd::backward(roots, of_roots);
    }
    variable_list results(inputs.size());
    auto gradient = sink->gradients_.begin();
    for (size_t i = 0; i < inputs.size() && gradient != sink->gradients_.end(); ++i) {
      if (task_should_compute_output(i)) {
        results[i] = std::move(*gradient++);
      }
    }
    return results;
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    piece_.reset();
    for (auto& input : inputs_) {
      input.reset_data();
    }
  }

  std::string name() const override {
    return "TorchExtCheckpoint";
  }

 private:
  std::shared_ptr<Piece> piece_;  // null once the graph is used up
  std::vector<torch::autograd::SavedVariable> inputs_;
};

}  // namespace
}  // namespace torch_ext

// `outputs` are the results of the piece for `inputs`, computed without gradients. `out` gets the same numbers, owned
// by the caller, as results of a node that owns the piece; there is no node if gradients are off. `data` is always
// dropped.
//
// The results require gradients even when no input does: parameters inside the piece may.
extern "C" char* torch_ext_checkpoint(
    const at::Tensor* const* inputs, size_t n, const at::Tensor* const* outputs, size_t m, void* data, TorchExtRun run,
    TorchExtDrop drop, at::Tensor** out) noexcept {
  using namespace torch_ext;
  Piece piece(data, run, drop);
  return guarded([&] {
    variable_list results;
    if (c10::GradMode::is_enabled()) {
      variable_list kept;
      torch::autograd::edge_list edges;
      for (size_t i = 0; i < n; ++i) {
        const Tensor& input = *inputs[i];
        kept.push_back(input);
        edges.push_back(
            input.requires_grad() ? torch::autograd::impl::gradient_edge(input) : torch::autograd::Edge());
      }
      const std::shared_ptr<Rerun> node(
          new Rerun(std::move(piece), kept, std::move(edges)), torch::autograd::deleteNode);
      for (size_t i = 0; i < m; ++i) {
        // Make a new tensor, in case the piece returned one of its inputs.
        results.push_back(outputs[i]->tensor_data());
        torch::autograd::set_history(results[i], node);
      }
    } else {
      for (size_t i = 0; i < m; ++i) {
        results.push_back(*outputs[i]);
      }
    }
    std::vector<std::unique_ptr<Tensor>> owned;
    for (Tensor& result : results) {
      owned.push_back(std::make_unique<Tensor>(std::move(result)));
    }
    for (size_t i = 0; i < m; ++i) {
      out[i] = owned[i].release();
    }
  });
}
