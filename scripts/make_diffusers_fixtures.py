"""Writes tests/fixtures/diffusers: three small models as diffusers saves them, and what it draws with them from one noise.

    ddim/      the layout of today
    plms/      the layout of 2022: all files in one folder, attention projections under their old names
    dpm/       weights in shards, images of 16x8

The weights are made of hashes (hashed_weights.py). Deterministic schedulers, 12 steps.

Needs torch 2.11.0, diffusers 0.35.1, numpy: python3 scripts/make_diffusers_fixtures.py
"""

import json
import pathlib
import shutil

import hashed_weights as rule
import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DPMSolverMultistepScheduler, PNDMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

FIXTURES = pathlib.Path(__file__).parent.parent / "tests/fixtures/diffusers"
STEPS = 12
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
SMALL = {
    "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4, "in_channels": 1, "out_channels": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}


def network(**more):
    model = UNet2DModel(**SMALL, **more).eval()
    model.load_state_dict({name: rule.tensor(name, tuple(value.shape)) for name, value in model.state_dict().items()})
    return model


def drawn(model, scheduler, noise):
    scheduler.set_timesteps(STEPS)
    x = noise * scheduler.init_noise_sigma
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(model(scheduler.scale_model_input(x, t), t).sample, t, x).prev_sample
    return x


def written(name, model, scheduler, size, **save):
    folder = FIXTURES / name
    DDPMPipeline(unet=model, scheduler=scheduler).save_pretrained(folder, **save)
    count = 3 * size[0] * size[1]
    # The sum of four even numbers is nearly normal.
    noise = (rule.hashed(f"noise {name}", 4 * count).reshape(4, count).sum(0) - 2.0) * np.sqrt(3.0)
    noise = torch.from_numpy(noise.astype(np.float32).reshape(3, 1, *size))
    np.save(folder / "noise.npy", noise.numpy())
    np.save(folder / "drawn.npy", drawn(model, scheduler, noise).numpy())
    return folder


def flattened(folder):
    """As in 2022."""
    weights = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    for new, old in OLD_NAMES.items():
        weights = {name.replace(f".{new}.", f".{old}."): tensor for name, tensor in weights.items()}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    shutil.move(folder / "unet/config.json", folder / "config.json")
    shutil.move(folder / "scheduler/scheduler_config.json", folder / "scheduler_config.json")
    (folder / "model_index.json").unlink()
    shutil.rmtree(folder / "unet")
    shutil.rmtree(folder / "scheduler")


def main():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    written("ddim", network(sample_size=8), DDIMScheduler(prediction_type="sample"), (8, 8))
    # A short way into the noise: the images of a network that was never trained stay small.
    plms = PNDMScheduler(skip_prk_steps=True, beta_end=0.002, steps_offset=1)
    flattened(written("plms", network(sample_size=8, attention_head_dim=None, downsample_padding=0), plms, (8, 8)))
    dpm = DPMSolverMultistepScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    written("dpm", network(sample_size=[16, 8], act_fn="gelu", resnet_time_scale_shift="scale_shift"), dpm, (16, 8),
            max_shard_size="30KB")
    for path in FIXTURES.rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()), indent=1) + "\n")
    print(sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
