"""The first two stages: `ddpm doctor`, and the test programs that need a GPU."""

import os
import zipfile

from children import Failed


def doctor(stage):
    """Each check of the program is a check here."""
    ended = stage.children.end(stage.ddpm(["doctor", "--json", "--quiet"]))
    if not ended.out.strip():
        raise Failed(ended.last_line())
    answer = ended.answer()
    for check in answer["checks"]:
        stage.results.passed(stage.name, check["name"], check["status"] != "FAIL", check["found"])
    if ended.code != 0 and answer["ok"]:
        raise Failed(f"expected exit code 0, found {ended.code}")


def tests(stage):
    """Runs every test program; its tests are marked as ignored, since most machines have no GPU."""
    with zipfile.ZipFile(os.path.join(stage.kit, "tests.zip")) as archive:
        names = sorted(archive.namelist())
        archive.extractall(stage.programs, names)
    for name in names:
        program = os.path.join(stage.programs, name)
        os.chmod(program, 0o755)
        if not stage.on_gpu:
            # Without a GPU it is only started.
            ended = stage.children.end([program, "--list", "--ignored"])
            stage.results.passed(stage.name, f"{name} starts", ended.code == 0, ended.last_line())
            stage.results.skipped(stage.name, f"the tests of {name}", "they need a GPU")
            continue
        ended = stage.children.end([program, "--ignored", "--test-threads=1"])
        found = [line.split() for line in ended.out.splitlines() if line.startswith("test ")]
        outcomes = [(words[1], words[-1]) for words in found if len(words) >= 4 and words[-2] == "..."]
        for test, outcome in outcomes:
            stage.results.passed(stage.name, f"{name}: {test}", outcome == "ok", why(ended, test, outcome))
        if ended.code != 0 and all(outcome == "ok" for _, outcome in outcomes):
            # It was killed, or could not start.
            stage.results.passed(stage.name, name, False, ended.last_line())


def why(ended, test, outcome):
    """The first line of the panic of a failed test."""
    if outcome == "ok":
        return None
    _, found, rest = ended.out.partition(f"---- {test} stdout ----\n")
    lines = [line for line in rest.splitlines() if line and not line.startswith(("thread ", "note: "))]
    return lines[0][:200] if found and lines else "failed"
