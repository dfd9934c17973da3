"""Weights that need no file: values from a hash of the tensor's name and the element's index. Same rule as
crates/unet/tests/unet2d/rule.rs."""

import numpy as np
import torch


def hashed(name, count):
    """Values in [0, 1) for the indices of a tensor: SplitMix64's finaliser on FNV-1a of the name plus the index."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = (np.arange(count, dtype=np.uint64) + np.uint64(start)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def tensor(name, shape):
    """The weight for a name and a shape. One-dimensional weights belong to normalisations."""
    if len(shape) == 1:
        least, span = (0.9, 0.2) if name.endswith("weight") else (-0.2, 0.4)
    else:
        most = np.sqrt(3.0 / np.prod(shape[1:]))
        least, span = -most, 2.0 * most
    values = least + span * hashed(name, int(np.prod(shape)))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))
