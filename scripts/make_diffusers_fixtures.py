"""Writes tests/fixtures/diffusers: three small models as diffusers saves them, and the images it draws with them from given noise.

    ddim/      the current layout
    plms/      the 2022 layout: all files in one folder, attention projections under their old names
    dpm/       sharded weights, 16x8 images
    pipelines.json   images from the same models and noise with other schedulers

The weights come from hashes (hashed_weights.py). The schedulers are deterministic and take 12 steps.

Needs torch 2.11.0, diffusers 0.35.1, numpy: python3 scripts/make_diffusers_fixtures.py
"""

import json
import pathlib
import shutil
import tempfile

import hashed_weights as rule
import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UNet2DModel,
    UniPCMultistepScheduler,
)
from safetensors.torch import load_file, save_file

FIXTURES = pathlib.Path(__file__).parent.parent / "tests/fixtures/diffusers"
STEPS = 12
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
SMALL = {
    "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4, "in_channels": 1, "out_channels": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}

# Model, scheduler, its settings and number of steps. With eps output, the images of an untrained network grow without
# bounds unless there is little noise. When T is not a multiple of the steps, diffusers' DDIM steps to other t than it
# evaluates next, so it gets 10 steps. Its tables are f32, which moves the images of Karras levels by up to 7e-4 at high
# noise, so those get little noise.
LITTLE = {"beta_end": 0.002}
V = {"prediction_type": "v_prediction"}
X_0 = {"prediction_type": "sample"}
PIPELINES = [
    ("ddim", DDIMScheduler, {**X_0, "timestep_spacing": "trailing", "clip_sample": False}, 10),
    ("ddim", UniPCMultistepScheduler, X_0, 12),
    ("ddim", HeunDiscreteScheduler, {**X_0, "timestep_spacing": "trailing"}, 12),
    ("ddim", DPMSolverMultistepScheduler, {**X_0, "timestep_spacing": "trailing", "solver_order": 1}, 12),
    ("plms", DDIMScheduler, {**LITTLE, "steps_offset": 1, "set_alpha_to_one": False}, 12),
    ("plms", PNDMScheduler, {**LITTLE, "skip_prk_steps": True, "beta_schedule": "scaled_linear"}, 12),
    ("plms", DEISMultistepScheduler, LITTLE, 12),
    ("plms", EulerDiscreteScheduler, {**LITTLE, "timestep_spacing": "leading", "steps_offset": 1}, 12),
    ("plms", EulerDiscreteScheduler, {"beta_start": 0.001, "beta_end": 0.003, "use_karras_sigmas": True}, 12),
    ("plms", DPMSolverMultistepScheduler, {**LITTLE, "use_karras_sigmas": True}, 12),
    ("dpm", DDIMScheduler, {**V, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, 10),
    ("dpm", DPMSolverMultistepScheduler, {**V, "solver_order": 3, "use_lu_lambdas": True}, 12),
    ("dpm", UniPCMultistepScheduler, {**V, "solver_order": 3, "timestep_spacing": "leading"}, 12),
    ("dpm", EulerDiscreteScheduler, V, 12),
    ("dpm", HeunDiscreteScheduler, {**V, "timestep_spacing": "linspace"}, 7),
]


def network(**more):
    model = UNet2DModel(**SMALL, **more).eval()
    model.load_state_dict({name: rule.tensor(name, tuple(value.shape)) for name, value in model.state_dict().items()})
    return model


def drawn(model, scheduler, noise, steps=STEPS):
    scheduler.set_timesteps(steps)
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
    """Saves the 2022 layout."""
    weights = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    for new, old in OLD_NAMES.items():
        weights = {name.replace(f".{new}.", f".{old}."): tensor for name, tensor in weights.items()}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    shutil.move(folder / "unet/config.json", folder / "config.json")
    shutil.move(folder / "scheduler/scheduler_config.json", folder / "scheduler_config.json")
    (folder / "model_index.json").unlink()
    shutil.rmtree(folder / "unet")
    shutil.rmtree(folder / "scheduler")


def pipelines(models):
    """Images of the models with other schedulers, each from its model's noise."""
    rows = []
    for name, kind, settings, steps in PIPELINES:
        scheduler = kind(**settings)
        with tempfile.TemporaryDirectory() as folder:
            scheduler.save_pretrained(folder)
            # A string, since Python writes numbers that JSON lacks.
            config = json.dumps(json.loads((pathlib.Path(folder) / "scheduler_config.json").read_text()))
        images = drawn(models[name], scheduler, torch.from_numpy(np.load(FIXTURES / name / "noise.npy")), steps)
        assert images.abs().max() < 20, (name, kind, images.abs().max())
        drawn_ = [float(f"{x:.7g}") for x in images.flatten().tolist()]
        rows.append({"model": name, "scheduler": config, "steps": steps, "drawn": drawn_})
    lines = ",\n".join(" " + json.dumps(row) for row in rows)
    (FIXTURES / "pipelines.json").write_text(f"[\n{lines}\n]\n")


def main():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    ddim = network(sample_size=8)
    written("ddim", ddim, DDIMScheduler(prediction_type="sample"), (8, 8))
    # Little noise, so the images of an untrained network stay small.
    plms = PNDMScheduler(skip_prk_steps=True, beta_end=0.002, steps_offset=1)
    old = network(sample_size=8, attention_head_dim=None, downsample_padding=0)
    flattened(written("plms", old, plms, (8, 8)))
    dpm = DPMSolverMultistepScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    tall = network(sample_size=[16, 8], act_fn="gelu", resnet_time_scale_shift="scale_shift")
    written("dpm", tall, dpm, (16, 8), max_shard_size="30KB")
    pipelines({"ddim": ddim, "plms": old, "dpm": tall})
    for path in FIXTURES.rglob("*/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()), indent=1) + "\n")
    print(sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
