#!/usr/bin/env python3
"""Makes crates/sampler/tests/parity/goldens: results of diffusers' schedulers for a closed-form model.

    scripts/make_sampler_goldens.py [OUT_FOLDER]

Needs torch and diffusers in the versions below and numpy. Runs every configuration of sampler_configurations.py from
the same noise with the same model, and keeps the last sample. The files (arrays are f32 in C order):

    configurations.json   the configurations and the schedulers' records (fields: see `run`)
    x_t.npy               [2, 3, 4, 4] the start of every run, before its `start_scale`
    noise.npy             [25, 2, 3, 4, 4] the draws: the k-th draw of any run is noise[k]
    samples.npy           [configurations, 2, 3, 4, 4] the schedulers' last samples

The model is the exact denoiser of independent pixels with the mixture 1/2 N(m, s^2) + 1/2 N(-m, s^2), m = 0.8 and s =
0.5, times a factor that is 1 at the data. With a = sqrt(alpha_bar_t), b = sqrt(1 - alpha_bar_t) and w = a^2 s^2 + b^2:

    x_0(x, t) = (1 + g b^2) (a s^2 x + b^2 m tanh(a m x / w)) / w,   g = 1
    eps(x, t) = (x - a x_0) / b,   v(x, t) = a eps - b x_0

It gets x in the scale where x_t = a x_0 + b eps, computes in f64 and rounds to f32 at the end. alpha_bar comes from f64
betas, not from a diffusers table. Between timesteps ln(sigma), sigma = b / a, is linear in t. Without the factor, x_0
would leave [-1, 1] only near the data, where clipping and thresholding change only the last step. Where a scheduler
asks for variances in channels c..2c, the model adds tanh(x), which is in [-1, 1].

diffusers keeps its tables in f32. To measure the effect, every scheduler also runs as a copy whose source says float64
instead of float32. `rounding` is the L2 distance between the two samples over the L2 norm of the second; no f64
implementation can be expected to agree better. Configurations above MAX_ROUNDING are refused. These are the ones that
depend on 1 - alpha_bar at t = 0, where the peer has only 4 digits (sigmas of the whole table with betas from 1e-4), and
those that start at the last step of the cosine schedule in the scale of sigma.
"""

import importlib
import inspect
import json
import sys
import types
from pathlib import Path
from unittest import mock

import diffusers
import numpy as np
import torch

from sampler_configurations import ALL

VERSIONS = {"diffusers": "0.42.1", "torch": "2.11.0"}
SHAPE = (2, 3, 4, 4)
DRAWS = 25
SEED = 2020
MEAN, DEVIATION, GAIN = 0.8, 0.5, 1.0
MAX_BYTES = 300_000
MAX_ROUNDING = 5e-6
# Arguments that no configuration sets; left out of the recorded defaults.
UNUSED = ("flow", "shift", "beta_sigmas", "trained_betas", "solver_p", "lambda_min", "sigma_min", "sigma_max")


def alpha_bars(config) -> np.ndarray:
    """[T] in f64, for a scheduler's settings."""
    steps, start, end = config["num_train_timesteps"], config["beta_start"], config["beta_end"]
    match config["beta_schedule"]:
        case "linear":
            betas = np.linspace(start, end, steps)
        case "scaled_linear":
            betas = np.linspace(start**0.5, end**0.5, steps) ** 2
        case "squaredcos_cap_v2":
            f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
            betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    result = np.cumprod(1 - betas)
    if config.get("rescale_betas_zero_snr"):
        roots = np.sqrt(result)
        result = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return result


class Model:
    """The closed form above for one configuration; counts its calls."""

    def __init__(self, config, learns_variance: bool):
        self.alpha_bars = alpha_bars(config)
        self.prediction = config["prediction_type"]
        self.learns_variance = learns_variance
        self.input_norms = []

    def alpha_bar(self, t: float) -> float:
        below = int(t)
        if below == t:
            return self.alpha_bars[below]
        pair = self.alpha_bars[below : below + 2]
        log_sigma = np.interp(t - below, [0, 1], np.log((1 - pair) / pair) / 2)
        return 1 / (1 + np.exp(2 * log_sigma))

    def __call__(self, sample: torch.Tensor, t: float) -> torch.Tensor:
        x = sample.double().numpy()
        self.input_norms.append(float(np.linalg.norm(x)))
        alpha_bar = self.alpha_bar(t)
        a, b = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
        w = alpha_bar * DEVIATION**2 + 1 - alpha_bar
        denoised = (a * DEVIATION**2 * x + (1 - alpha_bar) * MEAN * np.tanh(a * MEAN * x / w)) / w
        x_0 = (1 + GAIN * (1 - alpha_bar)) * denoised
        eps = (x - a * x_0) / b
        output = {"sample": x_0, "epsilon": eps, "v_prediction": a * eps - b * x_0}[self.prediction]
        if self.learns_variance:
            output = np.concatenate([output, np.tanh(x)], axis=1)
        return torch.from_numpy(output).to(sample.dtype)


def double_precision(module: types.ModuleType) -> types.ModuleType:
    """A copy of a scheduler's module that says float64 instead of float32."""
    twin = types.ModuleType(module.__name__ + "_float64")
    twin.__package__, twin.__file__ = module.__package__, module.__file__
    source = inspect.getsource(module).replace("float32", "float64")
    exec(compile(source, module.__file__, "exec"), twin.__dict__)
    return twin


def run(module, name: str, steps: int, arguments: dict, step_arguments: dict, x_t, noise) -> tuple[dict, np.ndarray]:
    """One run in the type of `x_t`: its record and its last sample, [2, 3, 4, 4].

    `start_scale` is the factor on x_t at the start, in the scale of x_t = a x_0 + b eps. `timesteps` are those passed
    to the network, one per call; `sigmas` are b / a, where the scheduler has such a list, including the one after the
    last step. `draws` holds the call after which each draw was made. `final_sigma` is not 0 where the list ends above
    0, and `variance_exploding` says that the sample is then x_0 + sigma eps. `input_norms` are the L2 norms of the
    network inputs.
    """
    scheduler = getattr(module, name)(**arguments)
    scheduler.set_timesteps(steps)
    config = scheduler.config
    timesteps = scheduler.timesteps
    if len(timesteps) > 1 and timesteps[0] == timesteps[1]:
        sys.exit(f"{name} {arguments}: its first timestep is repeated, and the run would start at the second")
    model = Model(config, config.get("variance_type") == "learned_range")
    draws = []

    def draw(shape, **_):
        draws.append(len(model.input_norms) - 1)
        assert tuple(shape) == SHAPE
        return noise[len(draws) - 1]

    exploding = name.startswith(("Euler", "Heun"))
    start_scale = float(scheduler.init_noise_sigma)
    sample = x_t * scheduler.init_noise_sigma
    if exploding:
        start_scale /= (1 + float(scheduler.sigmas.max()) ** 2) ** 0.5
    with mock.patch.object(module, "randn_tensor", draw, create=True):
        for t in timesteps:
            output = model(scheduler.scale_model_input(sample, t), float(t))
            sample = scheduler.step(output, t, sample, **step_arguments).prev_sample
    if not torch.isfinite(sample).all():
        sys.exit(f"{name} {arguments}: the sample is not finite")
    sigmas = [float(str(sigma.numpy())) for sigma in getattr(scheduler, "sigmas", [])]
    record = {
        "scheduler": name,
        "steps": steps,
        "arguments": arguments,
        "step_arguments": step_arguments,
        "start_scale": start_scale,
        "calls": len(model.input_norms),
        "draws": draws,
        "variance_exploding": exploding,
        "final_sigma": sigmas[-1] if sigmas else 0.0,
        "timesteps": [float(str(t.numpy())) for t in timesteps],
        "sigmas": sigmas,
        "input_norms": [float(f"{norm:.7g}") for norm in model.input_norms],
    }
    return record, sample.numpy()


def run_twice(name: str, steps: int, arguments: dict, step_arguments: dict, x_t, noise) -> tuple[dict, np.ndarray]:
    """A run of unmodified diffusers, and its rounding distance from the same run in f64."""
    module = importlib.import_module(getattr(diffusers, name).__module__)
    record, sample = run(module, name, steps, arguments, step_arguments, x_t, noise)
    torch.set_default_dtype(torch.float64)
    twin, exact = run(double_precision(module), name, steps, arguments, step_arguments, x_t.double(), noise.double())
    torch.set_default_dtype(torch.float32)
    if not np.allclose(twin["timesteps"], record["timesteps"], rtol=0, atol=0.01):
        sys.exit(f"{name} {arguments}: in f64 its timesteps are {twin['timesteps']}, not {record['timesteps']}")
    record["rounding"] = float(f"{np.linalg.norm(sample - exact) / np.linalg.norm(exact):.2g}")
    return record, sample


def defaults(name: str) -> dict:
    """The default arguments of a scheduler's constructor, without those never set."""
    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and not any(part in p.name for part in UNUSED)
    }


def label(record: dict) -> str:
    """A short unique name for a configuration."""
    words = [record["scheduler"].removesuffix("Scheduler"), str(record["steps"])]
    for key, value in (record["arguments"] | record["step_arguments"]).items():
        words.append(f"{key}={value}".replace(" ", ""))
    return " ".join(words)


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    found = {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}
    if found != VERSIONS:
        sys.exit(f"expected {VERSIONS}, found {found}")
    default = Path(__file__).resolve().parent.parent / "crates/sampler/tests/parity/goldens"
    out = Path(sys.argv[1]) if len(sys.argv) == 2 else default
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)

    normal = np.random.default_rng(SEED)
    x_t = normal.standard_normal(SHAPE, dtype=np.float32)
    noise = normal.standard_normal((DRAWS, *SHAPE), dtype=np.float32)
    records, samples = [], []
    print(" index  calls  rounding  configuration")
    for name, steps, groups, step_arguments in ALL:
        arguments = {}
        for group in groups:
            arguments |= group
        known = defaults(name)
        arguments = {key: value for key, value in arguments.items() if known[key] != value}
        tensors = torch.from_numpy(x_t), torch.from_numpy(noise)
        record, sample = run_twice(name, steps, arguments, step_arguments, *tensors)
        record = {"name": label(record)} | record
        print(f"{len(records):6} {record['calls']:6} {record['rounding']:9.1e}  {record['name']}")
        records.append(record)
        samples.append(sample)
    names = [record["name"] for record in records]
    if len(set(names)) != len(names):
        sys.exit(f"duplicate names: {sorted(name for name in set(names) if names.count(name) > 1)}")
    rounded = [record["name"] for record in records if record["rounding"] > MAX_ROUNDING]
    if rounded:
        sys.exit("\n  ".join([f"rounding above {MAX_ROUNDING}:", *rounded]))

    # One line a configuration.
    head = {
        "peer": VERSIONS,
        "model": {"mean": MEAN, "deviation": DEVIATION, "gain": GAIN},
        "defaults": {name: defaults(name) for name in dict.fromkeys(name for name, *_ in ALL)},
    }
    lines = ",\n".join("  " + json.dumps(record, allow_nan=False) for record in records)
    text = json.dumps(head, allow_nan=False, indent=1)[:-2] + f',\n "configurations": [\n{lines}\n ]\n}}\n'
    json.loads(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "configurations.json").write_text(text)
    np.save(out / "x_t.npy", x_t)
    np.save(out / "noise.npy", noise)
    np.save(out / "samples.npy", np.stack(samples))
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    print(f"{len(records)} configurations", sizes, f"{sum(sizes.values())} bytes")
    if sum(sizes.values()) > MAX_BYTES:
        sys.exit(f"expected at most {MAX_BYTES} bytes")


if __name__ == "__main__":
    main()
