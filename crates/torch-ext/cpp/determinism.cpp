#include "error.h"

#include <ATen/Context.h>
#include <c10/util/env.h>

extern "C" char* torch_ext_set_deterministic(bool on) noexcept {
  return torch_ext::guarded([&] {
    auto& context = at::globalContext();
    // cuBLAS sums in a fixed order only with a fixed workspace. It reads this when its first handle is created.
    if (on) {
      c10::utils::set_env("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/false);
    }
    context.setDeterministicAlgorithms(on, /*warn_only=*/false);
    context.setDeterministicCuDNN(on);
    // The benchmark selects the algorithm that happened to be fastest in this run.
    context.setBenchmarkCuDNN(false);
    // Filling every new tensor with NaN takes time and would only hide reads of uninitialised memory.
    context.setDeterministicFillUninitializedMemory(false);
  });
}

extern "C" char* torch_ext_deterministic(bool* on) noexcept {
  return torch_ext::guarded([&] {
    const auto& context = at::globalContext();
    *on = context.deterministicAlgorithms() && !context.deterministicAlgorithmsWarnOnly() &&
        context.deterministicCuDNN() && !context.benchmarkCuDNN();
  });
}
