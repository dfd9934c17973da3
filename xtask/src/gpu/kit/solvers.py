"""The images of every solver on both devices, from the same network and noise."""

import os

import arrays
from children import Failed

STEPS = 8
COUNT = 4
# Mean difference from the CPU's images in f32, in grey levels of 256. An error of the predicted noise moves a pixel by the
# same share of about 128 levels, and by no more in later steps: 1e-2 in bf16 is 1.3 levels, 1e-3 in tf32 is 0.1, and
# rounding to whole levels adds less than one. Other noise is off by dozens.
PIXELS = {"f32": 1.0, "tf32": 2.0, "bf16": 8.0}
# Solvers that need a network of their own; the others draw with that of the paper's objective.
OBJECTIVES = {"ddpm-learned": "learned", "consistency": "consistency"}


def run(stage, precision, runs, drawn):
    """Compares the images of a precision. `runs` has the run of each objective, `drawn` the images of the CPU so far."""
    for solver in stage.facts["solvers"]:
        objective = OBJECTIVES.get(solver, "ddpm")
        name = f"solver {solver}, {precision}: pixels"
        if objective not in runs:
            stage.results.skipped(stage.name, name, f"there is no network for {objective}")
            continue
        try:
            is_first = not drawn
            if solver not in drawn:
                drawn[solver] = sample(stage, runs[objective], solver, "f32", "cpu")
            there = sample(stage, runs[objective], solver, precision, stage.device)
            apart = arrays.mean_difference(there, drawn[solver])
            stage.results.check(stage.name, name, apart, PIXELS[precision], "grey levels")
            if is_first:
                # Otherwise the limits say nothing.
                other = sample(stage, runs[objective], solver, precision, stage.device, seed=1)
                apart, least = arrays.mean_difference(other, drawn[solver]), max(PIXELS.values())
                why = f"{apart:.1f} grey levels, expected more than {least}"
                stage.results.passed(stage.name, f"solver {solver}: other noise, other images", apart > least, why)
        except Failed as error:
            stage.results.passed(stage.name, name, False, str(error))


def sample(stage, run, solver, precision, device, seed=0):
    """Draws images and returns their pixels."""
    out = os.path.join(stage.work, f"{solver}-{device}-{precision}-{seed}")
    checkpoints = os.path.join(run, "checkpoints")
    newest = os.path.join(checkpoints, max(os.listdir(checkpoints)))
    words = ["sample", "--model", newest, "--precision", precision, "--sampler", solver, "--steps", str(STEPS)]
    words += ["--count", str(COUNT), "--seed", str(seed), "--save", "npz", "--out", out, "--quiet"]
    stage.children.run(stage.ddpm(words, device))
    return arrays.read_member(os.path.join(out, "samples.npz"), "images")[0]
