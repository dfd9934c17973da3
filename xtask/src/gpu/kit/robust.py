"""Stopped, killed and resumed trainings, values that are not finite, and memory that is not enough."""

import os
import shutil
import signal
import time

from children import Failed

# Steps and steps between checkpoints. A run must go on for longer than it takes to notice its first checkpoint.
ON_GPU = (600, 100)
ON_CPU = (200, 20)
# On the CPU memory is limited to this, so that the check takes none from others.
CPU_BYTES = 600_000_000


def run(stage):
    for work in (stopped_and_killed, not_finite, out_of_memory):
        try:
            work(stage)
        except Failed as error:
            stage.results.passed(stage.name, work.__name__.replace("_", " "), False, str(error))


def flags(values):
    usual = {"train.sample_every": 0, "sample.count": 1, "sample.steps": 2}
    return [word for key, value in {**usual, **values}.items() for word in ("--set", f"{key}={value}")]


def fresh(stage, name):
    run = os.path.join(stage.work, name)
    shutil.rmtree(run, ignore_errors=True)
    return run


def stopped_and_killed(stage):
    """A run that was stopped or killed ends with the same bytes as one that was not."""
    steps, every = ON_GPU if stage.on_gpu else ON_CPU
    values = {"train.steps": steps, "train.checkpoint_every": every, "train.batch": 4}
    words = ["train", "--preset", "tiny-16", *flags(values), "--deterministic", "--quiet"]
    whole = fresh(stage, "whole")
    stage.children.run(stage.ddpm([*words, "--run", whole]))
    for name, sent, expected in (("stopped", signal.SIGINT, 130), ("killed", signal.SIGKILL, -signal.SIGKILL)):
        run = fresh(stage, name)
        call = stage.ddpm([*words, "--run", run])
        child = stage.children.start(call)
        checkpoints = os.path.join(run, "checkpoints")
        while child.poll() is None and not any(n.startswith("step-") for n in names(checkpoints)):
            if stage.children.left() <= 0:
                break
            time.sleep(0.02)
        if child.poll() is None:
            child.send_signal(sent)
        code = stage.children.wait(child).code
        stage.results.passed(stage.name, f"a run is {name}", code == expected, f"exit code {code}")
        stage.children.run(call)
        different = differences(*(os.path.join(place, "checkpoints", f"step-{steps:08}") for place in (whole, run)))
        why = f"different: {', '.join(different)}" if different else "the same bytes"
        stage.results.passed(stage.name, f"{name} and resumed", not different, why)


def names(folder):
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def differences(one, other):
    """The files of a checkpoint that differ."""

    def bytes_of(folder, name):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    all_names = sorted(set(names(one)) | set(names(other)))
    if not all_names:
        raise Failed("the undisturbed run left no checkpoint")
    return [name for name in all_names if bytes_of(one, name) != bytes_of(other, name)]


def not_finite(stage):
    """A training that diverges in every try ends with its own exit code, after what `--on-nan` asks for. So small an eps
    divides 0 by 0."""
    for policy, said, expected in (("stop", None, 0), ("skip", "skipping step ", 10), ("rollback", "back to step 0,", 5)):
        words = ["train", "--preset", "tiny-16", "--run", fresh(stage, f"nan-{policy}"), "--on-nan", policy]
        words += flags({"train.steps": 40, "train.batch": 4, "train.adam_eps": 1e-300})
        ended = stage.children.end(stage.ddpm(words))
        times = ended.err.count(said) if said else 0
        why = f"exit code {ended.code}, expected 3"
        why += f"; {said.strip(' ,')!r} {times} times, expected {expected}" if said else ""
        name = f"a training that diverges, --on-nan {policy}"
        stage.results.passed(stage.name, name, ended.code == 3 and times == expected, f"{why}; {ended.last_line()}")


def out_of_memory(stage):
    """Too large a batch is an error with its own exit code, and `--batch auto` trains it in parts."""
    if stage.on_gpu:
        # Twice what fits: an image of this network takes about 80 MiB in f32.
        batch = max(64, int((stage.facts.get("memory_mib") or 80_000) / 40))
        words = ["train", "--preset", "ddpm-cifar10", "--data", stage.data(), "--set", "precision=f32"]
    else:
        batch = 2048
        # The stacks of many threads would need the memory.
        words = ["train", "--preset", "tiny-16", "--threads", "1"]
    words += [*flags({"train.steps": 1, "train.batch": batch}), "--quiet"]
    limit = None if stage.on_gpu else CPU_BYTES
    ended = stage.children.end(stage.ddpm([*words, "--run", fresh(stage, "too-large")]), limit=limit)
    ok = ended.code == 6 and "not enough memory" in ended.last_line()
    stage.results.passed(stage.name, f"a batch of {batch}", ok, f"exit code {ended.code}: {ended.last_line()}")
    auto = [*words, "--batch", "auto", "--run", fresh(stage, "auto")]
    ended = stage.children.end(stage.ddpm(auto), limit=limit)
    why = f"exit code {ended.code}" + (f": {ended.last_line()}" if ended.code else "")
    stage.results.passed(stage.name, f"a batch of {batch} in parts, --batch auto", ended.code == 0, why)
