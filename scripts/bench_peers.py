"""Times a training step or a sampling step of a Python peer, for `cargo xtask bench --peers`.

The networks are those of `ddpm bench --config small32` and `cifar10`; images are synthetic and weights random. Prints
one JSON object with the keys of `ddpm bench --json`. Install with:

    pip install diffusers==0.42.1 denoising-diffusion-pytorch==2.3.4 torch==2.11.0 torchvision==0.26.0

With --device cuda steps are queued without waiting, as ours are, and their mean stands for each of them.

A training step draws t and noise, computes x_t, runs forward and backward, clips the gradients to 1, takes an Adam step
and updates the EMA. A sampling step is one network call and one DDIM step.
"""

import argparse
import contextlib
import json
import resource
import statistics
import time
import warnings

ARRIVED = time.perf_counter()


def age_of_process():
    """Seconds since the system started this process; 0 if unknown."""
    try:
        with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
            started = float(stat.read().rpartition(")")[2].split()[19]) / 100.0
            return float(uptime.read().split()[0]) - started
    except OSError:
        return 0.0


# Includes the time the interpreter used before the first line here.
BEFORE = age_of_process()

import torch  # noqa: E402  (its import is part of the timed start)
from torch import nn  # noqa: E402

STEPS = 1000
EMA_DECAY = 0.9999
# Image channels, width, width multipliers by level, size with attention, dropout.
NETWORKS = {
    "small32": dict(channels=1, width=32, levels=(1, 2, 2), attention=8, dropout=0.0),
    "cifar10": dict(channels=3, width=128, levels=(1, 2, 2, 2), attention=16, dropout=0.1),
}
SIZE = 32


class OfDiffusers(nn.Module):
    """UNet2DModel as a function of (x_t, t) to a tensor."""

    def __init__(self, channels, width, levels, attention, dropout):
        super().__init__()
        from diffusers import UNet2DModel

        has_attention = [SIZE // 2**level == attention for level in range(len(levels))]
        down = ["AttnDownBlock2D" if has else "DownBlock2D" for has in has_attention]
        up = ["AttnUpBlock2D" if has else "UpBlock2D" for has in reversed(has_attention)]
        self.net = UNet2DModel(
            sample_size=SIZE,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=[width * level for level in levels],
            layers_per_block=2,
            down_block_types=down,
            up_block_types=up,
            # As in Ho et al. 2020: padding below and right, sines first, one head, norm eps 1e-6.
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            attention_head_dim=None,
            norm_num_groups=32,
            norm_eps=1e-6,
            dropout=dropout,
        )

    def forward(self, x_t, t):
        return self.net(x_t, t, return_dict=False)[0]


def of_lucidrains(channels, width, levels, attention, dropout):
    """The Unet of denoising-diffusion-pytorch with the same widths and otherwise its own defaults."""
    from denoising_diffusion_pytorch import Unet

    return Unet(dim=width, dim_mults=levels, channels=channels, dropout=dropout)


def training(net, call, args, shape, alpha_bars):
    """A function that takes one training step."""
    weights = list(net.parameters())
    average = [weight.detach().clone() for weight in weights]
    adam = torch.optim.Adam(weights, lr=2e-4)
    x_0 = laid_out(torch.rand(shape, device=args.device) * 2 - 1, args)

    def step():
        t = torch.randint(STEPS, (args.batch,), device=args.device)
        eps = torch.randn_like(x_0)
        level = alpha_bars[t][:, None, None, None]
        x_t = level.sqrt() * x_0 + (1 - level).sqrt() * eps
        with precision(args):
            predicted = call(x_t, t)
        nn.functional.mse_loss(predicted.float(), eps).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        adam.zero_grad()
        with torch.no_grad():
            for mean, weight in zip(average, weights):
                mean.lerp_(weight, 1 - EMA_DECAY)

    return step


def sampling(call, args, shape, alpha_bars):
    """A function that takes one DDIM step, from T down, and starts over at the end."""
    chain = {"x_t": laid_out(torch.randn(shape, device=args.device), args), "t": STEPS - 1}

    @torch.inference_mode()
    def step():
        x_t, t = chain["x_t"], chain["t"]
        with precision(args):
            eps = call(x_t, torch.full((args.batch,), t, device=args.device)).float()
        here, there = alpha_bars[t], alpha_bars[t - 1]
        x_0 = ((x_t - (1 - here).sqrt() * eps) / here.sqrt()).clamp(-1, 1)
        chain["x_t"] = there.sqrt() * x_0 + (1 - there).sqrt() * eps
        chain["t"] = t - 1 if t > 1 else STEPS - 1

    return step


def precision(args):
    # A frozen graph contains its casts.
    on = args.precision == "bf16" and not args.torchscript
    return torch.autocast(args.device, torch.bfloat16) if on else contextlib.nullcontext()


def laid_out(x, args):
    return x.contiguous(memory_format=torch.channels_last) if args.channels_last else x


def frozen(net, args, shape):
    """The traced network, with weights converted and folded into the graph, optimised for inference."""
    kind = torch.bfloat16 if args.precision == "bf16" else torch.float32

    # UNet2DModel computes the embedding of t in f32 and casts it to the type of its weights.
    net = net.to(kind)
    x_t = laid_out(torch.randn(shape, device=args.device), args).to(kind)
    t = torch.zeros(args.batch, dtype=torch.long, device=args.device)
    with torch.inference_mode(), warnings.catch_warnings():
        # Sizes become constants of the graph; only one shape is used.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, (x_t, t))))
    return lambda x_t, t: traced(x_t.to(kind), t)


def timed(step, args):
    """When the first step had ended, and the seconds of each step after the warm-up."""
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    seconds = []
    first = None
    for _ in range(args.warmup + (args.steps if args.device == "cpu" else 0)):
        begun = time.perf_counter()
        step()
        wait()
        ended = time.perf_counter()
        seconds.append(ended - begun)
        first = first or BEFORE + ended - ARRIVED
    if args.device == "cpu":
        return first, seconds[args.warmup :]
    begun = time.perf_counter()
    for _ in range(args.steps):
        step()
    wait()
    ended = time.perf_counter()
    return first or BEFORE + ended - ARRIVED, [(ended - begun) / args.steps] * args.steps


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["train", "sample"])
    parser.add_argument("--peer", choices=["diffusers", "lucidrains"], default="diffusers")
    parser.add_argument("--config", choices=sorted(NETWORKS), default="small32")
    parser.add_argument("--batch", type=int, default=64, metavar="N")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, metavar="N", help="untimed steps before them")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--torchscript", action="store_true", help="use a frozen graph (sample only)")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    args = parser.parse_args()
    if args.torchscript and args.task != "sample":
        parser.error("--torchscript: expected the task sample, found train")
    return args


def main():
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    make = OfDiffusers if args.peer == "diffusers" else of_lucidrains
    net = make(**NETWORKS[args.config]).to(args.device)
    params = sum(weight.numel() for weight in net.parameters())
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
    net.train(args.task == "train")

    shape = (args.batch, NETWORKS[args.config]["channels"], SIZE, SIZE)
    betas = torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64)
    alpha_bars = torch.cumprod(1 - betas, 0).float().to(args.device)
    call = net
    if args.torchscript:
        call = frozen(net, args, shape)
    elif args.compile:
        call = torch.compile(net)
    if args.task == "train":
        step = training(net, call, args, shape, alpha_bars)
    else:
        step = sampling(call, args, shape, alpha_bars)

    first, seconds = timed(step, args)
    median = statistics.median(seconds)
    said = {
        "what": args.task,
        "peer": args.peer,
        "preset": args.config,
        "batch": args.batch,
        "parameters": params,
        "precision": args.precision,
        "channels_last": args.channels_last,
        "torchscript": args.torchscript,
        "compile": args.compile,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "warmup": args.warmup,
        "steps": args.steps,
        "median_s": median,
        "min_s": min(seconds),
        "mean_s": statistics.fmean(seconds),
        "images_per_s": args.batch / median,
        # In KiB on Linux.
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "first_step_after_s": first,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
