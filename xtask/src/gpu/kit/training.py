"""The rest of the time: training that the next run continues, from files of at most 15 MiB."""

import hashlib
import json
import os
import shutil
import signal
import time

from children import Cut, Failed

PIECE = 15 << 20
# Seconds that are kept for the last checkpoint and its pieces.
ENDING = 30.0


def run(stage):
    folder = os.path.join(stage.out, "training")
    pieces = os.path.join(stage.out, "pieces")
    if not os.path.isdir(folder) and os.path.isdir(pieces):
        join(pieces, folder)
    words = ["train", "--preset", stage.facts["training"], "--data", stage.data(), "--run", folder, "--quiet", "--json"]
    words += ["--set", "train.sample_every=0", "--set", "train.log_every=20"]
    if not stage.on_gpu:
        # Only to see that it works.
        words += ["--set", "train.batch=1", "--set", "model.base_channels=32", "--set", "sample.count=1"]
    before = steps(folder)
    child = stage.children.start(stage.ddpm(words))
    time_to_train = stage.children.left() - min(ENDING, stage.children.left() / 3)
    until = time.monotonic() + time_to_train
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    ended = stage.children.wait(child)
    # 130: stopped and saved.
    if ended.code not in (0, 130):
        raise Failed(ended.last_line())
    newest = steps(folder)
    if newest is None:
        raise Cut()
    stage.results.passed(stage.name, "a run is saved", newest > (before or 0), f"steps {before or 0} to {newest}")
    split(folder, pieces)
    last = None
    metrics = os.path.join(folder, "metrics.jsonl")
    # A run that was stopped before its first logged step has none.
    if os.path.isfile(metrics):
        with open(metrics, encoding="utf-8") as file:
            for line in file:
                last = json.loads(line)
    if last is not None:
        stage.results.add(
            "training", stage=stage.name, steps=newest, loss=last["loss"], images_per_s=last["images_per_s"]
        )


def checkpoints(folder):
    try:
        names = os.listdir(os.path.join(folder, "checkpoints"))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name.startswith("step-"))


def steps(folder):
    """The step of the newest checkpoint, `None` without one."""
    found = checkpoints(folder)
    return int(found[-1].removeprefix("step-")) if found else None


def split(folder, pieces):
    """Writes what a run needs to go on: its own files and the newest checkpoint."""
    shutil.rmtree(pieces, ignore_errors=True)
    newest = checkpoints(folder)[-1]
    inside = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    of_checkpoint = os.path.join("checkpoints", newest)
    inside += [os.path.join(of_checkpoint, name) for name in os.listdir(os.path.join(folder, of_checkpoint))]
    listed = []
    for name in sorted(name for name in inside if name != "run.lock"):
        target = os.path.join(pieces, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        whole, parts = hashlib.sha256(), 0
        with open(os.path.join(folder, name), "rb") as file:
            while True:
                data = file.read(PIECE)
                if not data and parts > 0:
                    break
                whole.update(data)
                with open(f"{target}.{parts:03}", "wb") as piece:
                    piece.write(data)
                parts += 1
        listed.append({"name": name, "parts": parts, "sha256": whole.hexdigest()})
    # Written last: without it the pieces are not complete.
    with open(os.path.join(pieces, "pieces.json"), "w", encoding="utf-8") as file:
        json.dump(listed, file, indent=1)


def join(pieces, folder):
    """Puts a run together again; what is damaged is an error, and then nothing is left."""
    try:
        with open(os.path.join(pieces, "pieces.json"), encoding="utf-8") as file:
            listed = json.load(file)
    except (OSError, ValueError):
        raise Failed(f"{pieces}: expected pieces.json, found none that can be read; remove the folder") from None
    partial = folder + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    for one in listed:
        target = os.path.join(partial, one["name"])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        whole = hashlib.sha256()
        with open(target, "wb") as file:
            for part in range(one["parts"]):
                try:
                    with open(os.path.join(pieces, f"{one['name']}.{part:03}"), "rb") as piece:
                        data = piece.read()
                except FileNotFoundError:
                    data = b""
                whole.update(data)
                file.write(data)
        if whole.hexdigest() != one["sha256"]:
            shutil.rmtree(partial)
            raise Failed(f"{pieces}: {one['name']} is damaged; remove the folder to begin anew")
    os.rename(partial, folder)
