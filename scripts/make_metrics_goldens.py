"""Writes crates/metrics/tests/goldens.json: what scipy, scikit-learn and prdc say of the same features.

The Frechet distance is written as pytorch-fid has it, by scipy's root of a matrix; the kernel distance as in its first
implementation, by scikit-learn's polynomial kernel; shares are those of prdc; the score is that of Salimans et al. 2016 by
scipy's relative entropy. Needs numpy, scipy, scikit-learn and prdc 0.2: python3 scripts/make_metrics_goldens.py
"""

import json
import pathlib

import numpy as np
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.special import rel_entr, softmax
from sklearn.metrics.pairwise import polynomial_kernel


def features(rows, columns, phase):
    """The same formula as in tests/goldens.rs."""
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return np.sin(0.7 * i + 1.3 * j + 0.013 * i * j + phase) + 0.2 * np.cos(3.1 * i - 0.4 * j * j)


def frechet(x, y):
    c_x, c_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    apart = x.mean(0) - y.mean(0)
    return apart @ apart + np.trace(c_x) + np.trace(c_y) - 2 * np.trace(sqrtm(c_x @ c_y).real)


def kernel(x, y):
    k_xx, k_yy, k_xy = (polynomial_kernel(a, b, degree=3, coef0=1) for a, b in [(x, x), (y, y), (x, y)])
    n = len(x)
    within = sum((k.sum() - np.trace(k)) / (n * (n - 1)) for k in (k_xx, k_yy))
    return within - 2 * k_xy.mean()


def inception(answers, splits):
    parts = [np.exp(rel_entr(part, part.mean(0)).sum(1).mean()) for part in np.array_split(answers, splits)]
    return np.mean(parts), np.std(parts)


def main():
    cases = []
    for rows, others, columns, phase in [(60, 60, 8, 0.5), (92, 70, 5, 2.0), (40, 40, 64, 1.0)]:
        x, y = features(rows, columns, 0.0), 1.2 * features(others, columns, phase) + 0.1
        size = min(rows, others)
        mean, deviation = inception(softmax(3 * x, axis=1), 4)
        cases.append(
            {
                "rows": rows,
                "others": others,
                "columns": columns,
                "phase": phase,
                "frechet": float(frechet(x, y)),
                "kernel": float(kernel(x[:size], y[:size])),
                "inception": float(mean),
                "inception_deviation": float(deviation),
                **{name: float(value) for name, value in compute_prdc(x, y, nearest_k=3).items()},
            }
        )
    out = pathlib.Path(__file__).parent.parent / "crates/metrics/tests/goldens.json"
    out.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
