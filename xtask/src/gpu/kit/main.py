"""Runs the stages: each with a time limit and a log, whatever became of the others."""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import time

import compare
import robust
import smoke
import speed
import training
from children import Children, Cut, Failed, gpu_facts
from results import Results, table

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# The stages in order, and the share of the minutes that each may take. A stage that ends early leaves its time to the
# last one, which trains until the end.
STAGES = {
    "doctor": (smoke.doctor, 0.08),
    "tests": (smoke.tests, 0.12),
    "compare": (compare.run, 0.30),
    "robust": (robust.run, 0.15),
    "speed": (speed.run, 0.25),
    "training": (training.run, 0.10),
}


class Stage:
    """What a stage gets: the folder, the device, child processes and a place for results."""

    def __init__(self, name, args, facts, results, children):
        self.name, self.device, self.out, self.facts = name, args.device, args.out, facts
        self.results, self.children = results, children
        self.on_gpu = args.device != "cpu"
        self.kit = HERE
        self.programs = os.path.join(args.out, "programs")
        self.work = os.path.join(args.out, "work", name)
        os.makedirs(self.work, exist_ok=True)

    def ddpm(self, words, device=None):
        """The words of a call of the program, on the device of this run unless another is named."""
        return [os.path.join(HERE, "ddpm"), *words, "--device", device or self.device]

    def data(self):
        return os.path.join(HERE, self.facts["data"])


def parse():
    parser = argparse.ArgumentParser(prog="run", description="Checks ddpm on a GPU and measures it.")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for results; an older one is added to")
    parser.add_argument("--minutes", type=float, default=9.0, metavar="N", help="time for all stages (default 9)")
    parser.add_argument("--only", metavar="STAGE,...", help=f"only these stages: {', '.join(STAGES)}")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="default cuda")
    args = parser.parse_args()
    if not 0.0 < args.minutes <= 1440.0:
        parser.error(f"--minutes {args.minutes}: expected more than 0, at most 1440")
    args.only = args.only.split(",") if args.only else list(STAGES)
    for name in args.only:
        if name not in STAGES:
            parser.error(f"--only {name}: expected some of {', '.join(STAGES)}")
    args.out = os.path.abspath(args.out)
    return args


def has_libtorch(folder):
    return os.path.isabs(folder) and os.path.isfile(os.path.join(folder, "libtorch_cpu.so"))


def libtorch():
    """The folder of libtorch: in LD_LIBRARY_PATH, else in the PyTorch 2.11 of this Python, which is not imported."""
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if has_libtorch(folder):
            return folder
    found = None
    try:
        found = importlib.metadata.version("torch")
        folder = os.path.join(importlib.util.find_spec("torch").submodule_search_locations[0], "lib")
        if found.split(".")[:2] == ["2", "11"] and has_libtorch(folder):
            return folder
    except (importlib.metadata.PackageNotFoundError, AttributeError, TypeError, IndexError):
        pass
    sys.exit(
        f"run: expected PyTorch 2.11 in {sys.executable}, found {found or 'none'}; "
        "python3 -m pip install torch==2.11.0, or set PYTHON"
    )


def ensure_device(stage):
    """Ends the program with one line if there is no such device."""
    ended = stage.children.end(stage.ddpm(["doctor", "--no-timing", "--json", "--quiet"]))
    try:
        answer = ended.answer()
    except Failed:
        sys.exit(f"run: `ddpm doctor` does not start: {ended.last_line()}")
    if stage.on_gpu and not str(answer.get("device")).startswith("cuda"):
        found = [check["found"] for check in answer["checks"] if check["name"] == "device"]
        sys.exit(f"run: expected a GPU, found none: {(found or ['no message'])[0]}; try --device cpu")


def run(name, work, stage):
    """Runs a stage and notes how it ended."""
    begun, why = time.monotonic(), None
    try:
        work(stage)
        outcome = "ok"
    except Cut:
        outcome, why = "cut", "its time was used up"
    except Failed as error:
        outcome, why = "FAILED", str(error)
    except Exception as error:  # Whatever is wrong with one stage, the next ones run.
        outcome, why = "FAILED", f"{type(error).__name__}: {error}"
        stage.children.note(why)
    if any(check["ok"] is False for check in stage.results.of("check", name)):
        outcome = "FAILED"
    seconds = time.monotonic() - begun
    stage.results.add("stage", stage=name, outcome=outcome, seconds=seconds, why=why, log=f"logs/{name}.log")
    return outcome


def main():
    args = parse()
    with open(os.path.join(HERE, "kit.json"), encoding="utf-8") as file:
        facts = json.load(file)
    env = {**os.environ, "LD_LIBRARY_PATH": libtorch()}
    # The caller's settings of the log must neither add nor hide lines.
    for name in ("RUST_LOG", "DDPM_LOG"):
        env.pop(name, None)
    begun = time.monotonic()
    end = begun + args.minutes * 60.0
    for folder in ("logs", "work"):
        os.makedirs(os.path.join(args.out, folder), exist_ok=True)

    def stage(name, deadline):
        log = os.path.join(args.out, "logs", f"{name}.log")
        return Stage(name, args, facts, results, Children(log, deadline, env))

    results = Results(os.path.join(args.out, "results.jsonl"))
    ensure_device(stage("doctor", begun + 120.0))
    of_gpu = gpu_facts() if args.device == "cuda" else {}
    facts.update(of_gpu)
    results.add(
        "head",
        date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        device=args.device,
        processor=processor(),
        threads=os.cpu_count(),
        minutes=args.minutes,
        version=facts["version"],
        commit=facts["commit"],
        gpu=of_gpu.get("gpu"),
        driver=of_gpu.get("driver"),
        memory_mib=of_gpu.get("memory_mib"),
    )
    outcomes = []
    for name in (name for name in STAGES if name in args.only):
        work, share = STAGES[name]
        now = time.monotonic()
        # The last stage takes what is left, and one that is alone everything.
        share = 1.0 if name == "training" or len(args.only) == 1 else share
        limit = max(min(end - now, share * args.minutes * 60.0), 1.0)
        print(f"{name}: at most {limit:.0f} s", file=sys.stderr, flush=True)
        outcomes.append(run(name, work, stage(name, now + limit)))
    print(table(results))
    print(f"\nresults: {results.path}")
    sys.exit(1 if "FAILED" in outcomes else 0)


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(": ")[2].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.machine()


if __name__ == "__main__":
    main()
