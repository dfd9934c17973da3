"""results.jsonl, and the table at the end."""

import json
import math
import os


class Results:
    """Appends a JSON object for each result, at once, so that an interruption loses none."""

    def __init__(self, path):
        self.path, self.lines = path, []
        # An interrupted run may have left half a line.
        try:
            with open(path, "rb+") as file:
                file.seek(0, os.SEEK_END)
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
        except FileNotFoundError:
            pass

    def add(self, kind, **values):
        # JSON has no number for these.
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        line = {"kind": kind, **finite}
        self.lines.append(line)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def check(self, stage, name, value, limit, unit="", why=None):
        """A number that must not be above its limit."""
        ok = value is not None and math.isfinite(value) and value <= limit
        self.add("check", stage=stage, name=name, ok=ok, value=value, limit=limit, unit=unit, why=why)

    def passed(self, stage, name, ok, why=None):
        """Something that holds or does not."""
        self.add("check", stage=stage, name=name, ok=bool(ok), value=None, limit=None, unit="", why=why)

    def skipped(self, stage, name, why):
        self.add("check", stage=stage, name=name, ok=None, value=None, limit=None, unit="", why=why)

    def of(self, kind, stage):
        return [line for line in self.lines if line["kind"] == kind and line["stage"] == stage]


def table(results):
    """What this run found, in at most 24 lines of 100 characters."""
    lines = [f"{'stage':10} {'result':8} {'seconds':>7}  found"]
    for stage in (line for line in results.lines if line["kind"] == "stage"):
        checks = results.of("check", stage["stage"])
        failed = [check for check in checks if check["ok"] is False]
        skipped = sum(check["ok"] is None for check in checks)
        passed, tried = sum(check["ok"] is True for check in checks), len(checks) - skipped
        found = [f"{failed[0]['name']}: {reason(failed[0])}" if failed else stage["why"]]
        found += [f"{passed} of {tried} checks passed" if tried else None, f"{skipped} skipped" if skipped else None]
        text = "; ".join(part for part in found if part)
        lines.append(f"{stage['stage']:10} {stage['outcome']:8} {stage['seconds']:7.1f}  {text}")
    speeds = [line for line in results.lines if line["kind"] == "speed"]
    if speeds:
        lines.append("")
        lines.append(f"{'work':28} {'program':26} {'ms/step':>9} {'images/s':>9}")
    for speed in speeds[: 24 - len(lines)]:
        milliseconds = speed["median_s"] * 1e3
        lines.append(f"{speed['work']:28} {speed['who']:26} {milliseconds:9.2f} {speed['images_per_s']:9.1f}")
    return "\n".join(line[:100] for line in lines)


def reason(check):
    """Why a check failed: its number, and what was said."""
    number = None
    if check["limit"] is not None:
        value = "not finite" if check["value"] is None else f"{check['value']:.3g}"
        number = f"{value}, at most {check['limit']:g}"
    return "; ".join(part for part in (number, check["why"]) if part) or "failed"
