"""Training and sampling steps of this program and of diffusers, in turns."""

import importlib.util
import os
import sys

from children import Failed, GpuWatch

# Other ways to use the GPU, as flags of our program.
WAYS = {
    "ours, not recorded": ["--no-recording"],
    "ours, channels innermost": ["--channels-last"],
}
# The ways of diffusers, as flags of its script.
PEERS = {
    "diffusers": [],
    "diffusers channels_last": ["--channels-last"],
    "diffusers compiled": ["--compile"],
}


def run(stage):
    has_peers = all(importlib.util.find_spec(name) for name in ("torch", "diffusers"))
    if not has_peers:
        advice = "diffusers and torch are not in this Python: python3 -m pip install diffusers==0.42.1"
        stage.results.skipped(stage.name, "beside diffusers", advice)
    if not stage.on_gpu:
        stage.results.skipped(stage.name, "without recordings, and with channels innermost", "these are choices of a GPU")
    measured = set()
    for task, network, batch, shared, has_goal in stage.facts["speed"]:
        work = f"{task} {network}, " + (f"{batch} images" if stage.on_gpu else "1 image")
        if work in measured:
            # On a CPU they differ in nothing.
            continue
        measured.add(work)
        ours = words_of_ours(stage, task, network, batch)
        measure(stage, work, "ours", ours, stage.children.env)
        for who, flags in WAYS.items():
            if stage.on_gpu and has_goal:
                measure(stage, work, who, [*ours, *flags], stage.children.env)
        if not (has_peers and shared):
            continue
        for who, flags in PEERS.items():
            if who == "diffusers compiled" and not stage.on_gpu:
                # It compiles for minutes.
                continue
            measure(stage, work, who, words_of_theirs(stage, task, network, batch, flags), peer_env(stage))
        # Once more, so that a drift of the clock shows.
        measure(stage, work, "ours again", ours, stage.children.env)


def counts(stage, batch):
    """Batch, steps and warm-up: on the CPU just enough to run everything."""
    sizes = (batch, 30, 5) if stage.on_gpu else (1, 1, 1)
    return [word for pair in zip(("--batch", "--steps", "--warmup"), map(str, sizes)) for word in pair]


def words_of_ours(stage, task, network, batch):
    words = ["bench", task, *counts(stage, batch), "--json", "--quiet"]
    if network == "images 64":
        words += ["--preset", "images", "--set", "model.image_size=64"]
    else:
        words += ["--config", network]
    if stage.on_gpu:
        words += ["--precision", "bf16"]
    return stage.ddpm(words)


def words_of_theirs(stage, task, network, batch, flags):
    script = os.path.join(stage.kit, "scripts", "bench_peers.py")
    words = [sys.executable, "-B", script, task, "--config", network, *counts(stage, batch), *flags]
    return words + (["--precision", "bf16", "--device", "cuda"] if stage.on_gpu else ["--precision", "f32"])


def peer_env(stage):
    """PyTorch finds its own libraries, and must not find ours."""
    return {key: value for key, value in stage.children.env.items() if key != "LD_LIBRARY_PATH"}


def measure(stage, work, who, words, env):
    watch = GpuWatch(stage.on_gpu)
    try:
        said = stage.children.run(words, env).answer()
        keys = ("precision", "median_s", "min_s", "images_per_s", "parameters", "peak_mib", "share_of_peak")
        found = {key: said.get(key) for key in keys}
        found["peak_gflop_per_s"] = said.get("peak_gflop_per_s")
        # The steps that are measured in parts wait for the GPU; those of training are not recorded either.
        found["waited_s"] = said.get("parts_step_s")
    except Failed as error:
        if who in PEERS:
            # It says nothing about this program.
            stage.results.skipped(stage.name, f"{work}: {who}", str(error))
        else:
            stage.results.passed(stage.name, f"{work}: {who}", False, str(error))
        return
    finally:
        load = watch.end()
    if not found["median_s"] or not found["images_per_s"]:
        stage.results.passed(stage.name, f"{work}: {who}", False, "expected median_s and images_per_s, found none")
        return
    stage.results.add("speed", stage=stage.name, work=work, who=who, **found, **load)
