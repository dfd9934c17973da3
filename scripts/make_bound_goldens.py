"""Writes crates/trainer/src/bound.json: terms of the variational bound with a learned variance, and their gradients.

The formulas come from Ho et al. 2020 (Eq. 5 to 7 and Sec. 3.3) and Nichol & Dhariwal 2021 (Eq. 15), in float64 with
numpy and scipy. Gradients are central differences. Needs numpy and scipy: python3 scripts/make_bound_goldens.py
"""

import json
import pathlib

import numpy as np
from scipy.special import log_ndtr, ndtr

T = 1000
BETAS = np.linspace(1e-4, 0.02, T)
ALPHA_BARS = np.cumprod(1 - BETAS)
PREVIOUS = np.append(1.0, ALPHA_BARS[:-1])
VARIANCE = BETAS * (1 - PREVIOUS) / (1 - ALPHA_BARS)  # Eq. 7
LOG_VARIANCE = np.log(np.append(VARIANCE[1], VARIANCE[1:]))


def posterior_mean(x_0, x_t, t):
    of_x_0 = np.sqrt(PREVIOUS[t]) * BETAS[t] / (1 - ALPHA_BARS[t])
    of_x_t = np.sqrt(1 - BETAS[t]) * (1 - PREVIOUS[t]) / (1 - ALPHA_BARS[t])
    return of_x_0 * x_0 + of_x_t * x_t


def bits(x_0, eps, t, eps_theta, v):
    x_t = np.sqrt(ALPHA_BARS[t]) * x_0 + np.sqrt(1 - ALPHA_BARS[t]) * eps
    x_0_theta = (x_t - np.sqrt(1 - ALPHA_BARS[t]) * eps_theta) / np.sqrt(ALPHA_BARS[t])
    mean = posterior_mean(x_0_theta, x_t, t)
    share = (v + 1) / 2
    log_variance = share * np.log(BETAS[t]) + (1 - share) * LOG_VARIANCE[t]  # Eq. 15
    if t == 0:
        deviation = np.exp(log_variance / 2)
        upper = (x_0 - mean + 1 / 255) / deviation
        lower = (x_0 - mean - 1 / 255) / deviation
        inner = np.log(np.maximum(ndtr(upper) - ndtr(lower), 1e-12))
        logs = np.where(x_0 < -0.999, log_ndtr(upper), np.where(x_0 > 0.999, log_ndtr(-lower), inner))
        nats = -np.maximum(logs, np.log(1e-12))
    else:
        true = posterior_mean(x_0, x_t, t)
        gap = LOG_VARIANCE[t] - log_variance
        nats = 0.5 * (-1 - gap + np.exp(gap) + (true - mean) ** 2 * np.exp(-log_variance))
    return nats.mean() / np.log(2)


def slope(f, x):
    gradient = np.zeros_like(x)
    for i in range(x.size):
        step = np.zeros_like(x)
        step[i] = 1e-5
        gradient[i] = (f(x + step) - f(x - step)) / 2e-5
    return gradient


def main():
    rng = np.random.default_rng(7)
    cases = []
    for t in [0, 0, 1, 2, 17, 400, 998, 999]:
        x_0 = rng.integers(0, 256, 6) / 127.5 - 1
        x_0[:2] = [-1, 1]
        eps = rng.normal(size=6)
        eps_theta = eps + 0.1 * rng.normal(size=6)
        v = rng.uniform(-1.2, 1.2, 6)
        cases.append(
            {
                "t": t,
                "x_0": x_0.tolist(),
                "eps": eps.tolist(),
                "eps_theta": eps_theta.tolist(),
                "v": v.tolist(),
                "bits": bits(x_0, eps, t, eps_theta, v),
                "by_eps_theta": slope(lambda e: bits(x_0, eps, t, e, v), eps_theta).tolist(),
                "by_v": slope(lambda w: bits(x_0, eps, t, eps_theta, w), v).tolist(),
            }
        )
    out = pathlib.Path(__file__).parent.parent / "crates/trainer/src/bound.json"
    out.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
