"""The GPU against the CPU: a forward pass, every gradient and 20 training steps, for every preset and objective in every
precision. On the GPU itself, steps and calls with recordings against those without."""

import json
import os
import random
import shutil

import arrays
import solvers
from children import Failed

STEPS = 20
BATCH = 4
# Largest relative errors against the CPU in f32. bf16 keeps 8 bits of a number, tf32 11 and f32 24, so a rounding is at most
# 2^-8, 2^-11 and 2^-24 of it. The roundings of some fifty layers add up like a random walk, to about 1e-2 in bf16 and 1e-3
# in tf32; the limits leave room for a factor of ten. A single tensor with a small gradient may be a few times further off
# than all together. What is wrong is off by about 1.
LIMITS = {
    "f32": {"output": 1e-4, "norm": 1e-3, "gradients": 1e-3, "worst": 1e-2, "losses": 2e-3, "recorded": 1e-4},
    "tf32": {"output": 1e-2, "norm": 2e-2, "gradients": 2e-2, "worst": 1e-1, "losses": 2e-2, "recorded": 1e-3},
    "bf16": {"output": 1e-1, "norm": 1e-1, "gradients": 1e-1, "worst": 5e-1, "losses": 1e-1, "recorded": 1e-2},
}
SMALL = "tiny-16"


def run(stage):
    pairs = [(preset, None) for preset in stage.facts["presets"]]
    pairs += [(SMALL, objective) for objective in stage.facts["objectives"]]
    precisions = ["f32", "bf16", "tf32"] if stage.on_gpu else ["f32"]
    trained, drawn = {}, {}
    # One broken pair must not hide the others.
    for pair in pairs:
        attempt(stage, pair, "f32", lambda: trained.update({pair: train(stage, pair, "reference", "f32")}))
    for precision in precisions:
        for pair in (pair for pair in pairs if pair in trained):
            attempt(stage, pair, precision, lambda: pair_of(stage, pair, precision, trained[pair]))
        solvers.run(stage, precision, {pair[1]: model["run"] for pair, model in trained.items() if pair[1]}, drawn)
    if not stage.on_gpu:
        stage.results.skipped(stage.name, "tf32 and bf16", "a CPU is compared with itself in f32")
        stage.results.skipped(stage.name, "with and without recordings", "a CPU records nothing")


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
    name = f"{name_of(pair)}, {precision}"

    def check(what, value, limit, why=None):
        stage.results.check(stage.name, f"{name}: {what}", value, LIMITS[precision][limit], "relative", why)

    if "output" not in reference:
        reference["shape"] = shape_of(stage, reference["run"])
        reference["output"] = predict(stage, reference, "reference", "f32")
    got = predict(stage, reference, "compared", precision)
    check("output", arrays.relative(got, reference["output"]), "output")
    words = ["check-device", "--model", checkpoint(reference["run"]), "--weights", "raw", "--precision", precision]
    found = stage.children.run(stage.ddpm([*words, "--quiet"])).answer()
    gradients = found["gradients"]
    check("all gradients", gradients["relative"], "gradients")
    worst = f"{gradients['worst_tensor']} of {gradients['tensors']} tensors"
    check("worst gradient", gradients["worst"], "worst", worst)
    if stage.on_gpu:
        for what, number in (("steps", "losses"), ("calls", "outputs")):
            if found["recordings"][what]:
                check(f"recorded {what}", found["recordings"][number], "recorded")
            elif what == "steps" and pair[1] == "consistency":
                stage.results.skipped(stage.name, f"{name}: recorded steps", "these are never recorded")
            else:
                stage.results.passed(stage.name, f"{name}: recorded {what}", False, "nothing was recorded")
    there = train(stage, pair, "compared", precision)
    norm = abs(there["gradient"] - reference["gradient"]) / reference["gradient"]
    check("norm of the first gradient", norm, "norm")
    check(f"{STEPS} losses", arrays.relative(there["losses"], reference["losses"]), "losses")


def shape_of(stage, run):
    """The shape of a batch."""
    words = ["train", "--run", run, "--resume", "--dump-config", "--json", "--quiet"]
    model = stage.children.run(stage.ddpm(words, "cpu")).answer()["model"]
    return (BATCH, model["in_channels"], model["image_size"], model["image_size"])


def predict(stage, reference, place, precision):
    """The network's output for noise at several t."""
    run, shape = reference["run"], reference["shape"]
    out = f"{run}-{place}-{precision}.npy"
    draws = random.Random(0)
    x, t = f"{run}-x.npy", f"{run}-t.npy"
    arrays.write_f32(x, [draws.gauss(0.0, 1.0) for _ in range(shape[0] * shape[1] * shape[2] * shape[3])], shape)
    arrays.write_f32(t, [0.0, 99.0, 500.0, 999.0], (BATCH,))
    words = ["predict", "--model", checkpoint(run), "--weights", "raw", "--precision", precision]
    stage.children.run(stage.ddpm([*words, "--x", x, "--t", t, "--out", out, "--quiet"], devices(stage)[place]))
    return arrays.read(out)[0]
