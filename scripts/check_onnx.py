"""Runs our ONNX files in onnxruntime and compares them with the program's predictions.

FOLDER holds pairs NAME.onnx and NAME.json, as `cargo run -p unet --example onnx -- FOLDER` writes them. Prints one row
per network: the largest error relative to the largest value, in one call for all images and in one call per image.

Needs numpy, onnx, onnxruntime: python3 scripts/check_onnx.py FOLDER
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

LIMIT = 1e-4


def error(path, case):
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {
        "x_t": np.array(case["x"], np.float32).reshape(case["shape"]),
        "t": np.array(case["t"], np.float32),
    }
    if "class" in case:
        inputs["class"] = np.array(case["class"], np.int64)
    (together,) = session.run(None, inputs)
    each = [session.run(None, {name: value[i : i + 1] for name, value in inputs.items()})[0] for i in range(len(case["t"]))]
    want = np.array(case["prediction"], np.float32).reshape(together.shape)
    gaps = [np.abs(got - want).max() / np.abs(want).max() for got in (together, np.concatenate(each))]
    return max(float(gap) if np.isfinite(gap) else np.inf for gap in gaps)


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    errors = {path.stem: error(path, json.loads(path.with_suffix(".json").read_text())) for path in paths}
    for name, value in errors.items():
        print(f"{name:<28} {value:9.1e}{'' if value <= LIMIT else '  FAILED'}")
    passed = sum(value <= LIMIT for value in errors.values())
    print(f"{passed} of {len(errors)} networks agree within {LIMIT:.0e}; the largest error is {max(errors.values()):.1e}")
    return 0 if errors and passed == len(errors) else 1


if __name__ == "__main__":
    sys.exit(main())
