"""Child processes: their log, their time limit, their answer, and what the GPU does meanwhile."""

import json
import os
import signal
import statistics
import subprocess
import threading
import time


class Failed(Exception):
    """A child that failed, as one line."""


class Cut(Exception):
    """The time of the stage is used up."""


class Ended:
    """How a child ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def last_line(self):
        """The line that says why it failed."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        marked = [line for line in lines if line.startswith("error: ")]
        line = (marked or lines or ["no message"])[-1]
        return line.removeprefix("error: ")

    def answer(self):
        """The JSON object on its standard output, which is the last line there."""
        try:
            found = json.loads(self.out.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise Failed(f"expected a JSON object, found {self.out[-80:]!r}") from None
        if not isinstance(found, dict):
            raise Failed(f"expected a JSON object, found {self.out[-80:]!r}")
        return found


class Children:
    """Starts programs for one stage, until its deadline."""

    def __init__(self, log, deadline, env):
        self.log, self.deadline, self.env = log, deadline, env

    def left(self):
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def start(self, words, env=None, limit=None):
        """Starts a program without waiting. `limit` bounds the bytes of its data."""
        self.note("$ " + " ".join(words))

        def prepare():
            # Started in the background of a shell, this script ignores the signal that a stage sends, and so would they.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if limit:
                import resource

                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        try:
            return subprocess.Popen(
                words,
                env=env or self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # A group of its own, so that what it starts ends with it.
                start_new_session=True,
                preexec_fn=prepare,
            )
        except OSError as error:
            raise Failed(f"{words[0]} cannot be started: {error.strerror}") from None

    def wait(self, child):
        """Waits for its end, at most until the deadline."""
        try:
            out, err = child.communicate(timeout=max(self.left(), 0.0))
        except subprocess.TimeoutExpired:
            kill(child)
            out, err = child.communicate()
            self.note(out + err + "cut: the time of this stage is used up")
            raise Cut() from None
        self.note(f"{out}{err}exit code {child.returncode}")
        return Ended(child.returncode, out, err)

    def end(self, words, env=None, limit=None):
        """Runs a program to its end, however that is."""
        if self.left() <= 0:
            raise Cut()
        return self.wait(self.start(words, env, limit))

    def run(self, words, env=None):
        """Runs a program, which must succeed."""
        ended = self.end(words, env)
        if ended.code != 0:
            raise Failed(ended.last_line())
        return ended

    def note(self, text):
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(text.rstrip() + "\n")


def kill(child):
    """Ends a child and all that it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class GpuWatch:
    """Memory and load of the first GPU while something runs, as nvidia-smi sees them."""

    def __init__(self, on):
        self.memory, self.load, self.child = [], [], None
        if on:
            query = ["nvidia-smi", "--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits"]
            try:
                self.child = subprocess.Popen(
                    [*query, "-i", "0", "-lms", "200"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            except OSError:
                return
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()

    def read(self):
        for line in self.child.stdout:
            try:
                memory, load = (float(word) for word in line.split(","))
            except ValueError:
                continue
            self.memory.append(memory)
            self.load.append(load)

    def end(self):
        """The largest memory in MiB, and the mean load in percent over the busier half of the time."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.reader.join(timeout=2)
        # The start of a program does not load the GPU, so only the busier half counts.
        busy = sorted(self.load)[len(self.load) // 2 :]
        return {
            "gpu_mib": max(self.memory, default=None),
            "gpu_busy_percent": statistics.fmean(busy) if busy else None,
        }


def gpu_facts():
    """Name, driver and memory of the first GPU; empty if unknown."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run([*query, "-i", "0"], capture_output=True, text=True, timeout=30, check=True)
        name, driver, memory = (word.strip() for word in said.stdout.strip().split(","))
        return {"gpu": name, "driver": driver, "memory_mib": float(memory)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
