"""Writes crates/unet/tests/state_dicts/goldens.json: predictions of networks of guided-diffusion and the original DDPM.

The networks are written here in torch, from what is known of those architectures, with the names of their state dicts.
Weights are hashes of names (hashed_weights.py), so none are stored. Every fifth value of a prediction is kept.

Needs torch 2.11.0, numpy: python3 scripts/make_state_dict_goldens.py
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from hashed_weights import hashed, tensor
from torch import nn

GOLDENS = pathlib.Path(__file__).parent.parent / "crates/unet/tests/state_dicts/goldens.json"
STRIDE = 5


def sinusoids(t, dim, cos_first, shift):
    half = dim // 2
    angles = t.double()[:, None] * torch.exp(-math.log(10000.0) * torch.arange(half).double() / (half - shift))
    parts = [angles.cos(), angles.sin()] if cos_first else [angles.sin(), angles.cos()]
    return torch.cat(parts, 1).float()


def attend(q, k, v):
    """[b, heads, d, pixels] each."""
    weights = torch.softmax(torch.einsum("bhdi,bhdj->bhij", q, k) / math.sqrt(q.shape[2]), -1)
    return torch.einsum("bhij,bhdj->bhdi", weights, v)


class GuidedBlock(nn.Module):
    def __init__(self, c_in, c_out, width, scale_shift, resize=None):
        super().__init__()
        self.scale_shift, self.resize = scale_shift, resize
        self.in_layers = nn.ModuleDict({"0": nn.GroupNorm(32, c_in), "2": nn.Conv2d(c_in, c_out, 3, padding=1)})
        self.emb_layers = nn.ModuleDict({"1": nn.Linear(width, (1 + scale_shift) * c_out)})
        self.out_layers = nn.ModuleDict({"0": nn.GroupNorm(32, c_out), "3": nn.Conv2d(c_out, c_out, 3, padding=1)})
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def resized(self, x):
        if self.resize == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.resize == "up" else x

    def forward(self, x, temb):
        h = self.in_layers["2"](self.resized(F.silu(self.in_layers["0"](x))))
        of_time = self.emb_layers["1"](F.silu(temb))[:, :, None, None]
        if self.scale_shift:
            scale, shift = of_time.chunk(2, 1)
            h = self.out_layers["0"](h) * (1 + scale) + shift
        else:
            h = self.out_layers["0"](h + of_time)
        return self.skip_connection(self.resized(x)) + self.out_layers["3"](F.silu(h))


class GuidedAttention(nn.Module):
    def __init__(self, channels, heads, order):
        super().__init__()
        self.heads, self.order = heads, order
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x, temb):
        b, c, height, width = x.shape
        flat = x.reshape(b, c, height * width)
        qkv = self.qkv(self.norm(flat))
        if self.order == "legacy":
            q, k, v = qkv.reshape(b, self.heads, 3, c // self.heads, -1).unbind(2)
        else:
            q, k, v = qkv.reshape(b, 3, self.heads, c // self.heads, -1).unbind(1)
        return (flat + self.proj_out(attend(q, k, v).reshape(b, c, -1))).reshape(x.shape)


class Resample(nn.Module):
    """Resampling outside a block, with a convolution or without weights."""

    def __init__(self, channels, direction, conv):
        super().__init__()
        self.direction = direction
        if conv and direction == "down":
            self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        elif conv:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, temb):
        if self.direction == "down":
            return self.op(x) if hasattr(self, "op") else F.avg_pool2d(x, 2)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv(x) if hasattr(self, "conv") else x


class First(nn.Conv2d):
    def forward(self, x, temb):
        return super().forward(x)


class Guided(nn.Module):
    def __init__(self, model_channels, mults, blocks, attention, learn_sigma=False, classes=None, scale_shift=True,
                 updown=False, conv_resample=True, heads=4, head_channels=None, order="legacy", channels=3, t_scale=1.0):
        super().__init__()
        self.model_channels, self.t_scale = model_channels, t_scale
        width = 4 * model_channels
        self.time_embed = nn.ModuleDict({"0": nn.Linear(model_channels, width), "2": nn.Linear(width, width)})
        if classes is not None:
            self.label_emb = nn.Embedding(classes, width)
        levels = [int(mult * model_channels) for mult in mults]

        def block(c_in, c_out, resize=None):
            return GuidedBlock(c_in, c_out, width, scale_shift, resize)

        def mixed(c):
            return GuidedAttention(c, heads if head_channels is None else c // head_channels, order)

        def resampled(c, direction):
            return block(c, c, direction) if updown else Resample(c, direction, conv_resample)

        c = levels[0]
        entries, skips = [[First(channels, c, 3, padding=1)]], [c]
        for level, c_out in enumerate(levels):
            for _ in range(blocks):
                entries.append([block(c, c_out)] + ([mixed(c_out)] if level in attention else []))
                c = c_out
                skips.append(c)
            if level + 1 < len(levels):
                entries.append([resampled(c, "down")])
                skips.append(c)
        self.input_blocks = nn.ModuleList(nn.ModuleList(entry) for entry in entries)
        self.middle_block = nn.ModuleList([block(c, c), mixed(c), block(c, c)])
        entries = []
        for level in reversed(range(len(levels))):
            for number in range(blocks + 1):
                entry = [block(c + skips.pop(), levels[level])]
                c = levels[level]
                if level in attention:
                    entry.append(mixed(c))
                if level > 0 and number == blocks:
                    entry.append(resampled(c, "up"))
                entries.append(entry)
        self.output_blocks = nn.ModuleList(nn.ModuleList(entry) for entry in entries)
        self.out = nn.ModuleDict({
            "0": nn.GroupNorm(32, c), "2": nn.Conv2d(c, (1 + learn_sigma) * channels, 3, padding=1),
        })

    def forward(self, x, t, labels=None):
        encoded = sinusoids(t.double() * self.t_scale, self.model_channels, True, 0)
        temb = self.time_embed["2"](F.silu(self.time_embed["0"](encoded)))
        if labels is not None:
            temb = temb + self.label_emb(labels)
        skips, h = [], x
        for entry in self.input_blocks:
            for module in entry:
                h = module(h, temb)
            skips.append(h)
        for module in self.middle_block:
            h = module(h, temb)
        for entry in self.output_blocks:
            h = torch.cat([h, skips.pop()], 1)
            for module in entry:
                h = module(h, temb)
        return self.out["2"](F.silu(self.out["0"](h)))


class OriginalBlock(nn.Module):
    def __init__(self, c_in, c_out, width):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, c_in, 1e-6), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.temb_proj = nn.Linear(width, c_out)
        self.norm2, self.conv2 = nn.GroupNorm(32, c_out, 1e-6), nn.Conv2d(c_out, c_out, 3, padding=1)
        if c_in != c_out:
            self.nin_shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class OriginalAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        mixed = attend(*(layer(h).flatten(2)[:, None] for layer in (self.q, self.k, self.v)))
        return x + self.proj_out(mixed.reshape(x.shape))


class Holder(nn.Module):
    """A module of named parts."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Original(nn.Module):
    def __init__(self, model_channels, mults, blocks, attention, conv_resample=True, channels=3):
        super().__init__()
        self.model_channels, self.conv_resample = model_channels, conv_resample
        width = 4 * model_channels
        levels = [mult * model_channels for mult in mults]
        self.temb = Holder(dense=nn.ModuleList([nn.Linear(model_channels, width), nn.Linear(width, width)]))
        self.conv_in = nn.Conv2d(channels, model_channels, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        c, skips = model_channels, [model_channels]
        for level, c_out in enumerate(levels):
            block, attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks):
                block.append(OriginalBlock(c, c_out, width))
                c = c_out
                skips.append(c)
                if level in attention:
                    attn.append(OriginalAttention(c))
            parts = {"block": block, "attn": attn}
            if level + 1 < len(levels):
                skips.append(c)
                parts["downsample"] = Holder(conv=nn.Conv2d(c, c, 3, stride=2)) if conv_resample else Holder()
            self.down.append(Holder(**parts))
        self.mid = Holder(block_1=OriginalBlock(c, c, width), attn_1=OriginalAttention(c), block_2=OriginalBlock(c, c, width))
        for level in reversed(range(len(levels))):
            block, attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks + 1):
                block.append(OriginalBlock(c + skips.pop(), levels[level], width))
                c = levels[level]
                if level in attention:
                    attn.append(OriginalAttention(c))
            parts = {"block": block, "attn": attn}
            if level > 0:
                parts["upsample"] = Holder(conv=nn.Conv2d(c, c, 3, padding=1)) if conv_resample else Holder()
            self.up.insert(0, Holder(**parts))
        self.norm_out, self.conv_out = nn.GroupNorm(32, c, 1e-6), nn.Conv2d(c, channels, 3, padding=1)

    def stage(self, level, number, h, temb):
        h = level.block[number](h, temb)
        return level.attn[number](h) if len(level.attn) > 0 else h

    def forward(self, x, t, labels=None):
        temb = self.temb.dense[1](F.silu(self.temb.dense[0](sinusoids(t, self.model_channels, False, 1))))
        h = self.conv_in(x)
        skips = [h]
        for level in self.down:
            for number in range(len(level.block)):
                h = self.stage(level, number, h, temb)
                skips.append(h)
            if hasattr(level, "downsample"):
                h = level.downsample.conv(F.pad(h, (0, 1, 0, 1))) if self.conv_resample else F.avg_pool2d(h, 2)
                skips.append(h)
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(h, temb)), temb)
        for level in reversed(self.up):
            for number in range(len(level.block)):
                h = self.stage(level, number, torch.cat([h, skips.pop()], 1), temb)
            if hasattr(level, "upsample"):
                h = F.interpolate(h, scale_factor=2, mode="nearest")
                h = level.upsample.conv(h) if self.conv_resample else h
        return self.conv_out(F.silu(self.norm_out(h)))


GUIDED = [
    {"model_channels": 32, "mults": [1, 2], "blocks": 1, "attention": [1], "scale_shift": False},
    {"model_channels": 32, "mults": [1, 1, 2], "blocks": 2, "attention": [1, 2], "learn_sigma": True},
    {"model_channels": 32, "mults": [1, 2], "blocks": 1, "attention": [0, 1], "classes": 5, "order": "new", "heads": 2},
    {"model_channels": 32, "mults": [1, 2, 3], "blocks": 1, "attention": [1, 2], "updown": True, "head_channels": 16,
     "order": "new", "classes": 7, "learn_sigma": True},
    {"model_channels": 64, "mults": [0.5, 1, 1], "blocks": 1, "attention": [2], "updown": True, "head_channels": 16},
    {"model_channels": 32, "mults": [1, 1], "blocks": 2, "attention": [1], "conv_resample": False, "heads": 1},
    {"model_channels": 64, "mults": [0.5, 1.5], "blocks": 1, "attention": [0], "conv_resample": False, "channels": 1},
    {"model_channels": 32, "mults": [2], "blocks": 2, "attention": [], "heads": 8},
    {"model_channels": 32, "mults": [1, 1, 1], "blocks": 1, "attention": [2], "learn_sigma": True, "t_scale": 0.25},
]
ORIGINAL = [
    {"model_channels": 32, "mults": [1, 2], "blocks": 1, "attention": [1]},
    {"model_channels": 32, "mults": [1, 1, 2], "blocks": 2, "attention": [1]},
    {"model_channels": 32, "mults": [1, 1], "blocks": 1, "attention": [0, 1], "conv_resample": False, "channels": 1},
]


def with_hashed_weights(model):
    model.load_state_dict({name: tensor(name, tuple(value.shape)) for name, value in model.state_dict().items()})
    return model.eval()


def outcome(number, kind, settings):
    model = with_hashed_weights({"guided": Guided, "original": Original}[kind](**settings))
    side = 4 * 2 ** (len(settings["mults"]) - 1)
    shape = (2, settings.get("channels", 3), side, side)
    x = torch.from_numpy((4.0 * hashed(f"x {number}", math.prod(shape)) - 2.0).astype(np.float32).reshape(shape))
    steps = round(1000 / settings.get("t_scale", 1.0))
    t = [int(steps * u) for u in hashed(f"t {number}", 2)]
    classes = settings.get("classes")
    labels = None if classes is None else [int(classes * u) for u in hashed(f"label {number}", 2)]
    with torch.no_grad():
        y = model(x, torch.tensor(t), None if labels is None else torch.tensor(labels))
    kept = [float(f"{value:.8g}") for value in y.double().numpy().ravel()[::STRIDE]]
    options = {
        "image_size": side, "steps": steps, "order": settings.get("order", "legacy"),
        "heads": settings.get("heads", 4), "head_channels": settings.get("head_channels"),
    }
    tensors = {name: list(value.shape) for name, value in model.state_dict().items()}
    return {"kind": kind, "options": options, "tensors": tensors, "shape": list(shape), "t": t, "labels": labels, "prediction": kept}


def main():
    cases = [("guided", settings) for settings in GUIDED] + [("original", settings) for settings in ORIGINAL]
    lines = [json.dumps(outcome(number, *case), separators=(",", ":")) for number, case in enumerate(cases)]
    GOLDENS.parent.mkdir(exist_ok=True)
    GOLDENS.write_text("[" + ",\n".join(lines) + "]\n")
    print(f"{len(lines)} networks, {GOLDENS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
