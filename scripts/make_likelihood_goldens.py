"""Writes the goldens of crates/likelihood: terms of the variational bound on several paths, for every output and variance.

- src/terms.json: single terms for given images, noise and network outputs.
- tests/known/expected.json: the expectation of every term for one grey level, under the optimal network for Gaussian data.

Everything follows from x_t = alpha x_0 + sigma eps by Bayes' rule for Gaussians and the KL divergence between two
Gaussians, in float64. The decoder is that of Ho et al. 2020, Sec. 3.3; learned variances are those of Nichol & Dhariwal
2021, Eq. 15. Needs numpy and scipy: python3 scripts/make_likelihood_goldens.py
"""

import json
import pathlib

import numpy as np
from scipy.special import log_ndtr, ndtr

CRATE = pathlib.Path(__file__).parent.parent / "crates/likelihood"
T = 1000
LEAST = 1e-12
FARTHEST = 160
MEAN, DEVIATION = 0.4, 0.3  # of the Gaussian data
SIGMA_DATA = 0.5


# Levels (t, alpha, sigma), the least noisy first.


def chain(count):
    """Ho et al. 2020, Sec. 4: `count` of the 1000 steps, evenly spaced."""
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, T))
    kept = np.round(np.linspace(0, T - 1, count)).astype(int)
    return [(float(t), np.sqrt(alpha_bar[t]), np.sqrt(1 - alpha_bar[t])) for t in kept]


def ratios(low, high, count):
    return np.exp(np.linspace(np.log(low), np.log(min(high, FARTHEST)), count))


def edm(count):
    """Karras et al. 2022: alpha = 1, ln sigma even in t."""
    sigmas = ratios(0.002, 80, count)
    return [(np.log(s / 0.002) / np.log(40000) * (T - 1), 1.0, s) for s in sigmas]


def straight(count):
    """alpha = 1 - s, sigma = s with s = (t + 1) / T."""
    shares = [r / (1 + r) for r in ratios(0.001 / 0.999, np.inf, count)]
    return [(s * T - 1, 1 - s, s) for s in shares]


def cosine(count):
    """alpha = cos(pi s / 2), sigma = sin(pi s / 2)."""
    angles = [np.arctan(r) for r in ratios(np.tan(np.pi / 2 / T), np.inf, count)]
    return [(a / (np.pi / 2) * T - 1, np.cos(a), np.sin(a)) for a in angles]


PATHS = {"linear": chain, "edm": edm, "straight": straight, "cosine-continuous": cosine}


def output_of(name, level, x_0, eps):
    """What the network should put out."""
    _, alpha, sigma = level
    norm = np.hypot(alpha, sigma)
    x_t = alpha * x_0 + sigma * eps
    if name == "eps":
        return eps
    if name == "x_0":
        return x_0
    if name == "v":
        return (alpha * eps - sigma * x_0) / norm
    if name == "velocity":
        return eps - x_0
    total = np.hypot(alpha * SIGMA_DATA, sigma)
    skip = alpha * SIGMA_DATA**2 / total**2
    return (x_0 - skip * x_t) / (sigma * SIGMA_DATA / total)


def x_0_of(name, level, x_t, output):
    """The x_0 that an output implies."""
    _, alpha, sigma = level
    if name == "eps":
        return (x_t - sigma * output) / alpha
    if name == "x_0":
        return output
    if name == "v":
        norm = np.hypot(alpha, sigma)
        return (alpha * x_t - sigma * norm * output) / norm**2
    if name == "velocity":
        return (x_t - sigma * output) / (alpha + sigma)
    total = np.hypot(alpha * SIGMA_DATA, sigma)
    return alpha * SIGMA_DATA**2 / total**2 * x_t + sigma * SIGMA_DATA / total * output


# Reverse steps.


def posterior(start, end):
    """q(x_end | x_start, x_0): weights of x_0 and x_start in the mean, variance, and beta."""
    (_, alpha, sigma), (_, alpha_to, sigma_to) = start, end
    keep = alpha / alpha_to
    beta = sigma**2 - keep**2 * sigma_to**2
    variance = 1 / (1 / sigma_to**2 + keep**2 / beta)
    return variance * alpha_to / sigma_to**2, variance * keep / beta, variance, beta


def log_variance(levels, discrete, i, kind, said):
    """The log variance of the reverse step from level i; i = 0 is the decoder."""
    second = posterior(levels[1], levels[0])[2]
    if i == 0:
        least, most = second, levels[0][2] ** 2
        fixed = second if discrete else (levels[0][2] / levels[0][1]) ** 2
    else:
        _, _, least, most = posterior(levels[i], levels[i - 1])
        fixed = most if kind == "fixed-large" else least
    if kind == "learned":
        return (said + 1) / 2 * np.log(most) + (1 - said) / 2 * np.log(least)
    return np.log(fixed) + 0 * said


def code_length(x_0, mean, deviation):
    upper, lower = (x_0 - mean + 1 / 255) / deviation, (x_0 - mean - 1 / 255) / deviation
    inner = np.log(np.maximum(ndtr(upper) - ndtr(lower), LEAST))
    logs = np.where(x_0 < -0.999, log_ndtr(upper), np.where(x_0 > 0.999, log_ndtr(-lower), inner))
    return -np.maximum(logs, np.log(LEAST))


def kl(mean_a, log_a, mean_b, log_b):
    return 0.5 * (log_b - log_a + np.exp(log_a - log_b) + (mean_a - mean_b) ** 2 / np.exp(log_b) - 1)


def term(levels, discrete, i, kind, x_0, x_t, x_0_theta, said):
    """Nats per dimension."""
    theta = log_variance(levels, discrete, i, kind, said)
    if i == 0:
        return code_length(x_0, x_0_theta, np.exp(theta / 2))
    of_x_0, of_x_t, variance, _ = posterior(levels[i], levels[i - 1])
    return kl(of_x_0 * x_0 + of_x_t * x_t, np.log(variance), of_x_0 * x_0_theta + of_x_t * x_t, theta)


def prior(levels, x_0):
    _, alpha, sigma = levels[-1]
    return kl(alpha * x_0, 2 * np.log(sigma), 0, np.log(alpha**2 + sigma**2))


def terms():
    rng = np.random.default_rng(11)
    cases = []
    for path, make in PATHS.items():
        count = 40
        levels, discrete = make(count), path == "linear"
        for name in ["eps", "x_0", "v", "edm", "velocity"]:
            for kind in ["fixed-small", "fixed-large", "learned"]:
                for i in [0, int(rng.integers(1, count - 1)), count - 1]:
                    level = levels[i]
                    grey = rng.integers(0, 256, 3)
                    grey[0] = rng.choice([0, 255])
                    x_0 = grey / 127.5 - 1
                    eps, said = rng.normal(size=3).round(3), rng.uniform(-1.2, 1.2, 3).round(3)
                    x_t = level[1] * x_0 + level[2] * eps
                    # The network's error is a fraction of the noise, small enough that x_0 is not clipped everywhere.
                    guess = x_0 + min(level[2] / level[1], 0.3) * 0.2 * rng.normal(size=3)
                    output = output_of(name, level, guess, (x_t - level[1] * guess) / level[2])
                    output = np.array([float(f"{value:.7g}") for value in output])
                    x_0_theta = np.clip(x_0_of(name, level, x_t, output), -1, 1)
                    nats = term(levels, discrete, i, kind, x_0, x_t, x_0_theta, said)
                    cases.append(
                        {
                            "path": path,
                            "count": count,
                            "output": name,
                            "variance": kind,
                            "step": i,
                            "grey": grey.tolist(),
                            "eps": eps.tolist(),
                            "put_out": output.tolist(),
                            "said": said.tolist(),
                            "bits": float(nats.mean() / np.log(2)),
                            "prior": float(prior(levels, x_0).mean() / np.log(2)),
                        }
                    )
    return cases


def expected():
    """For one grey level, the expectation over the noise. The network is optimal for Gaussian data, and nothing is clipped."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    weights = weights / weights.sum()
    grey = 150
    x_0 = grey / 127.5 - 1
    cases = []
    for path, make in PATHS.items():
        levels, discrete = make(50), path == "linear"
        for kind in ["fixed-small", "fixed-large"]:
            bits = []
            for i, level in enumerate(levels):
                _, alpha, sigma = level
                x_t = alpha * x_0 + sigma * nodes
                gain = alpha * DEVIATION**2 / ((alpha * DEVIATION) ** 2 + sigma**2)
                guess = MEAN + gain * (x_t - alpha * MEAN)
                nats = term(levels, discrete, i, kind, x_0 + 0 * nodes, x_t, guess, 0 * nodes)
                bits.append(float((weights * nats).sum() / np.log(2)))
            cases.append(
                {
                    "path": path,
                    "variance": kind,
                    "grey": grey,
                    "t": [float(level[0]) for level in levels],
                    "terms": bits,
                    "prior": float(prior(levels, x_0) / np.log(2)),
                }
            )
    return cases


def rounded(value):
    """The tests compare fewer than ten digits."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


def lines(cases):
    return "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"


def main():
    (CRATE / "src/terms.json").write_text(lines(rounded(terms())))
    (CRATE / "tests/known").mkdir(parents=True, exist_ok=True)
    (CRATE / "tests/known/expected.json").write_text(lines(rounded(expected())))


if __name__ == "__main__":
    main()
