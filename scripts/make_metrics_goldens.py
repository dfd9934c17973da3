"""Writes crates/metrics/tests/parity/goldens.json: what pytorch-fid, torch-fidelity and prdc compute from the same features.

Features come from a rule that the test repeats, so the file holds only the peers' results. `exact` is the Frechet
distance with the trace of the square root as a sum of singular values, `|X_c Y_c^T|_* / sqrt((n - 1) (m - 1))`. It
needs no root of a product of covariances, so it loses no precision when there are fewer rows than columns.
torch-fidelity draws subsets for the kernel distance with numpy's generator; the file records them.

Needs numpy, scipy 1.17, scikit-learn, prdc 0.2, torch 2.11, pytorch-fid 0.3.0 and torch-fidelity 0.4.0:
python3 scripts/make_metrics_goldens.py
"""

import contextlib
import io
import json
import pathlib

import numpy as np
import torch
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

GOLDENS = pathlib.Path(__file__).parent.parent / "crates/metrics/tests/parity/goldens.json"
# Rows of data, rows of samples, columns, neighbours.
CASES = [(60, 60, 8, 3), (92, 70, 5, 3), (400, 300, 64, 5), (300, 320, 256, 5), (40, 30, 64, 3), (24, 20, 2048, 3)]
SUBSETS, SEED = 3, 2020
SPLITS = 4


def features(name, rows, columns, scale, shift):
    """The same rule as in tests/parity/rule.rs: values correlated along a row, rounded to f32."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = (np.arange(rows * columns, dtype=np.uint64) + np.uint64(start)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = ((z >> np.uint64(40)).astype(np.float64) / 2**24).reshape(rows, columns)
    values, last = np.empty_like(u), np.zeros(rows)
    for column in range(columns):
        last = 0.6 * last + 2.0 * (u[:, column] - 0.5)
        values[:, column] = scale * last + shift
    return values.astype(np.float32).astype(np.float64)


def exact(x, y):
    x_c, y_c = x - x.mean(0), y - y.mean(0)
    root = np.linalg.svd(x_c @ y_c.T, compute_uv=False).sum() / np.sqrt((len(x) - 1.0) * (len(y) - 1.0))
    traces = (x_c**2).sum() / (len(x) - 1) + (y_c**2).sum() / (len(y) - 1)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + traces - 2 * root


def pytorch_fid(x, y):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        of = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in (x, y)]
        distance = calculate_frechet_distance(*of[0], *of[1])
    return {"pytorch_fid": float(distance), "pytorch_fid_adds": "adding" in said.getvalue()}


def kernel(x, y, subsets, size):
    said = kid_features_to_metric(x, y, kid_subsets=subsets, kid_subset_size=size, rng_seed=SEED, verbose=False)
    return [said[KEY_METRIC_KID_MEAN], said[KEY_METRIC_KID_STD]]


def drawn(rows, others, size):
    """The subsets that kid_features_to_metric draws."""
    generator = np.random.RandomState(SEED)
    draw = lambda of: generator.choice(of, size, replace=False).tolist()
    return [[draw(rows), draw(others)] for _ in range(SUBSETS)]


def main():
    cases = []
    for rows, others, columns, k in CASES:
        data = features("data", rows, columns, 1.0, 0.0)
        samples = features("samples", others, columns, 1.2, 0.1)
        x, y = torch.from_numpy(data), torch.from_numpy(samples)
        both, size = min(rows, others), min(rows, others) // 3
        fidelity = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), False)
        shares = prc_features_to_metric(y, x, prc_neighborhood=k, verbose=False)
        with contextlib.redirect_stdout(io.StringIO()):
            prdc = compute_prdc(data, samples, nearest_k=k)
        score = isc_features_to_metric(3.0 * x, splits=SPLITS, shuffle=False)
        case = {
            "rows": rows,
            "others": others,
            "columns": columns,
            "k": k,
            "splits": SPLITS,
            "exact": float(exact(data, samples)),
            **pytorch_fid(data, samples),
            "torch_fidelity": fidelity[KEY_METRIC_FID],
            # All rows as one subset; the first rows of the larger set.
            "kernel_whole": kernel(x[:both], y[:both], 1, both)[0],
            "score": [score["inception_score_mean"], score["inception_score_std"]],
            "fidelity_shares": [shares["precision"], shares["recall"]],
            "prdc": [float(prdc[name]) for name in ("precision", "recall", "density", "coverage")],
        }
        if size <= 30:
            case |= {"subsets": drawn(rows, others, size), "kernel_subsets": kernel(x, y, SUBSETS, size)}
        cases.append(case)
    GOLDENS.parent.mkdir(parents=True, exist_ok=True)
    GOLDENS.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
