"""Writes crates/unet/tests/unet2d/goldens.json: predictions of diffusers' UNet2DModel for networks of all kinds.

Each network is a diffusers configuration, drawn at random within the supported range. Both sides generate its weights
from a hash of the tensor's name and the element's index, so none are stored. Every third value of a prediction is kept.

Needs torch 2.11.0, diffusers 0.35.1, numpy: python3 scripts/make_unet2d_goldens.py
"""

import json
import pathlib
import random

import numpy as np
import torch
from diffusers import UNet2DModel
from hashed_weights import hashed, tensor

GOLDENS = pathlib.Path(__file__).parent.parent / "crates/unet/tests/unet2d/goldens.json"
# Networks in addition to those written out below.
DRAWN = 32
STRIDE = 3
DOWN = {"UpBlock2D": "DownBlock2D", "AttnUpBlock2D": "AttnDownBlock2D", "ResnetUpsampleBlock2D": "ResnetDownsampleBlock2D"}


def drawn(rng):
    """A supported configuration with at most 250,000 parameters."""
    while True:
        levels = rng.choice([1, 2, 2, 3, 3, 4])
        groups = rng.choice([1, 2, 4, 8])
        head = rng.choice([None, 4, 8, 2])
        unit = int(np.lcm(groups, 8))
        up = [rng.choice(list(DOWN)) for _ in range(levels)]
        down = [DOWN[rng.choice(list(DOWN))] for _ in range(levels)]
        side = 2 ** (levels - 1)
        size = [side * rng.randint(1, 4), side * rng.randint(1, 4)]
        channels = rng.choice([1, 3])
        scale_shift = rng.random() < 0.4
        config = {
            "sample_size": size if size[0] != size[1] else size[0],
            "in_channels": channels,
            "out_channels": channels * rng.choice([1, 1, 2]),
            "center_input_sample": rng.random() < 0.3,
            "freq_shift": rng.choice([0, 1]),
            "flip_sin_to_cos": rng.random() < 0.5,
            "time_embedding_dim": rng.choice([None, None, 24]),
            "down_block_types": down,
            "mid_block_type": rng.choice(["UNetMidBlock2D", "UNetMidBlock2D", "UNetMidBlock2D", None]),
            "up_block_types": up,
            "block_out_channels": [unit * rng.randint(1, 3) for _ in range(levels)],
            "layers_per_block": rng.randint(1, 2),
            "mid_block_scale_factor": rng.choice([1, 1, 1.5]),
            "downsample_padding": rng.choice([0, 1]),
            "downsample_type": rng.choice(["conv", "resnet"]),
            "upsample_type": rng.choice(["conv", "resnet"]),
            "act_fn": rng.choice(["silu", "silu", "swish", "relu", "gelu", "mish"]),
            "attention_head_dim": head,
            "norm_num_groups": groups,
            "attn_norm_num_groups": rng.choice([None, None, 2]),
            "norm_eps": rng.choice([1e-5, 1e-6, 1e-3]),
            "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
            "add_attention": rng.random() < 0.8,
            "num_class_embeds": rng.choice([None, None, 7]),
        }
        model = UNet2DModel(**config)
        if sum(value.numel() for value in model.state_dict().values()) <= 250_000:
            return config


# The keys of the published networks, made smaller.
PUBLISHED = [
    {  # DDPM for CIFAR-10
        "act_fn": "silu", "attention_head_dim": None, "block_out_channels": [16, 32, 32, 32], "center_input_sample": False,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"], "downsample_padding": 0,
        "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1,
        "norm_eps": 1e-06, "norm_num_groups": 8, "out_channels": 3, "sample_size": 16, "time_embedding_type": "positional",
        "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    },
    {  # DDPM for LSUN and CelebA-HQ, 256 pixels
        "act_fn": "silu", "attention_head_dim": None, "block_out_channels": [8, 8, 16, 16, 32, 32],
        "center_input_sample": False,
        "down_block_types": ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"], "downsample_padding": 0,
        "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1,
        "norm_eps": 1e-06, "norm_num_groups": 8, "out_channels": 3, "sample_size": 32, "time_embedding_type": "positional",
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
    },
    {  # The defaults of UNet2DModel, as in its training example
        "sample_size": 16, "in_channels": 3, "out_channels": 3, "layers_per_block": 2, "norm_num_groups": 8,
        "block_out_channels": [16, 16, 32, 32],
    },
]


def outcome(config, number):
    model = UNet2DModel(**config).eval()
    state = {name: tensor(name, tuple(value.shape)) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    shape = (2, config["in_channels"], height, width)
    x = torch.from_numpy((4.0 * hashed(f"x {number}", int(np.prod(shape))) - 2.0).astype(np.float32).reshape(shape))
    t = [int(1000 * u) for u in hashed(f"t {number}", 2)]
    classes = config.get("num_class_embeds")
    labels = None if classes is None else [int(classes * u) for u in hashed(f"label {number}", 2)]
    with torch.no_grad():
        y = model(x, torch.tensor(t), class_labels=None if labels is None else torch.tensor(labels)).sample
    kept = [float(f"{value:.8g}") for value in y.double().numpy().ravel()[::STRIDE]]
    written = {key: value for key, value in model.config.items() if key != "_use_default_values"}
    written |= {"_class_name": "UNet2DModel", "_diffusers_version": "0.35.1"}
    return {"config": written, "shape": list(shape), "t": t, "labels": labels, "prediction": kept}


def main():
    torch.manual_seed(0)
    rng = random.Random(0)
    configs = PUBLISHED + [drawn(rng) for _ in range(DRAWN)]
    lines = [json.dumps(outcome(config, number)) for number, config in enumerate(configs)]
    GOLDENS.write_text("[" + ",\n".join(lines) + "]\n")
    print(f"{len(lines)} networks, {GOLDENS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
