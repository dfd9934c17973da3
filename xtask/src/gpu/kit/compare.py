"""The GPU against the CPU: a forward pass, the first gradient and 20 training steps, for every preset and objective in
every precision, and the images of every solver."""

import json
import os
import random
import shutil

import arrays
from children import Failed

STEPS = 20
BATCH = 4
# Largest relative errors against the CPU in f32: of the network's output, of the norm of the first gradient, and of the
# losses of all steps. bf16 has 8 bits of fraction, tf32 has 11.
LIMITS = {"f32": (1e-4, 1e-3, 2e-3), "tf32": (1e-2, 2e-2, 2e-2), "bf16": (1e-1, 1e-1, 1e-1)}
# Mean difference of pixels, in grey levels of 256, after a few steps of a solver in f32.
PIXELS = 1.0
SMALL = "tiny-16"


def run(stage):
    pairs = [(preset, None) for preset in stage.facts["presets"]]
    pairs += [(SMALL, objective) for objective in stage.facts["objectives"]]
    precisions = ["f32", "bf16", "tf32"] if stage.on_gpu else ["f32"]
    trained = {}
    # One broken pair must not hide the others.
    for pair in pairs:
        attempt(stage, pair, "f32", lambda: trained.update({pair: train(stage, pair, "reference", "f32")}))
    for precision in precisions:
        for pair in (pair for pair in pairs if pair in trained):
            attempt(stage, pair, precision, lambda: pair_of(stage, pair, precision, trained[pair]))
        if precision == "f32":
            solvers(stage, trained)


def attempt(stage, pair, precision, work):
    try:
        work()
    except Failed as error:
        stage.results.passed(stage.name, f"{name_of(pair)}, {precision}", False, str(error))


def name_of(pair):
    return pair[0] if pair[1] is None else f"{pair[0]} {pair[1]}"


def folder_of(stage, pair, place, precision):
    return os.path.join(stage.work, "-".join([name_of(pair).replace(" ", "-"), place, precision]))


def devices(stage):
    """The names of both places, and their devices. Without a GPU the CPU is compared with itself."""
    return {"reference": "cpu", "compared": stage.device}


def checkpoint(run):
    return os.path.join(run, "checkpoints", f"step-{STEPS:08}")


def flags(stage, pair):
    """What both devices train. Masks of dropout come from the device's own generator, so there is none."""
    preset, objective = pair
    words = ["--preset", preset]
    if objective is not None:
        words += ["--objective", objective]
    if objective == "consistency":
        # It starts from a trained network.
        words += ["--init-from", folder_of(stage, (SMALL, "ddpm"), "reference", "f32")]
    if preset in stage.facts["colour"]:
        words += ["--data", stage.data()]
    values = {
        "train.steps": STEPS,
        "train.batch": BATCH,
        "train.lr": 1e-4,
        "train.warmup_steps": 0,
        "train.log_every": 1,
        "train.sample_every": 0,
        "train.checkpoint_every": STEPS,
        "model.dropout": 0,
        # The grid at the end is not of interest here.
        "sample.count": 1,
        "sample.steps": 2,
        "sample.sampler": "ddim",
    }
    for key, value in values.items():
        words += ["--set", f"{key}={value}"]
    return words


def train(stage, pair, place, precision):
    """Trains and returns the run with its losses and the norm of its first gradient."""
    run = folder_of(stage, pair, place, precision)
    shutil.rmtree(run, ignore_errors=True)
    words = ["train", *flags(stage, pair), "--set", f"precision={precision}", "--run", run, "--json", "--quiet"]
    stage.children.run(stage.ddpm(words, devices(stage)[place]))
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if len(lines) != STEPS:
        raise Failed(f"expected {STEPS} logged steps, found {len(lines)}")
    return {
        "run": run,
        "losses": [line["loss"] for line in lines],
        "gradient": lines[0]["grad_norm"],
    }


def pair_of(stage, pair, precision, reference):
    """Compares one network in one precision with the CPU."""
    of_output, of_gradient, of_losses = LIMITS[precision]
    name = f"{name_of(pair)}, {precision}"
    got = predict(stage, reference["run"], "compared", precision)
    expected = predict(stage, reference["run"], "reference", "f32")
    stage.results.check(stage.name, f"{name}: output", arrays.relative(got, expected), of_output, "relative")
    there = train(stage, pair, "compared", precision)
    gradient = abs(there["gradient"] - reference["gradient"]) / reference["gradient"]
    stage.results.check(stage.name, f"{name}: first gradient", gradient, of_gradient, "relative")
    losses = arrays.relative(there["losses"], reference["losses"])
    stage.results.check(stage.name, f"{name}: {STEPS} losses", losses, of_losses, "relative")


def predict(stage, run, place, precision):
    """The network's output for noise at several t."""
    out = f"{run}-{place}-{precision}.npy"
    words = ["train", "--run", run, "--resume", "--dump-config", "--json", "--quiet"]
    model = stage.children.run(stage.ddpm(words, "cpu")).answer()["model"]
    shape = (BATCH, model["in_channels"], model["image_size"], model["image_size"])
    draws = random.Random(0)
    x, t = f"{run}-x.npy", f"{run}-t.npy"
    arrays.write_f32(x, [draws.gauss(0.0, 1.0) for _ in range(shape[0] * shape[1] * shape[2] * shape[3])], shape)
    arrays.write_f32(t, [0.0, 99.0, 500.0, 999.0], (BATCH,))
    words = ["predict", "--model", checkpoint(run), "--weights", "raw", "--precision", precision]
    stage.children.run(stage.ddpm([*words, "--x", x, "--t", t, "--out", out, "--quiet"], devices(stage)[place]))
    return arrays.read(out)[0]


def solvers(stage, trained):
    """The same noise on both devices, for every solver."""
    for solver in stage.facts["solvers"]:
        objective = {"ddpm-learned": "learned", "consistency": "consistency"}.get(solver, "ddpm")
        model = trained.get((SMALL, objective))
        name = f"solver {solver}, f32: pixels"
        if model is None:
            stage.results.skipped(stage.name, name, f"there is no network of {SMALL} {objective}")
            continue
        try:
            there, here = (sample(stage, model["run"], solver, place) for place in ("compared", "reference"))
            stage.results.check(stage.name, name, arrays.mean_difference(there, here), PIXELS, "grey levels")
        except Failed as error:
            stage.results.passed(stage.name, name, False, str(error))


def sample(stage, run, solver, place):
    out = os.path.join(stage.work, f"{solver}-{place}")
    words = ["sample", "--model", checkpoint(run), "--precision", "f32", "--sampler", solver, "--steps", "8"]
    words += ["--count", "4", "--seed", "0", "--save", "npz", "--out", out, "--quiet"]
    stage.children.run(stage.ddpm(words, devices(stage)[place]))
    return arrays.read_member(os.path.join(out, "samples.npz"), "images")[0]
