"""Converts the public weights of FID's InceptionV3 to a file that `ddpm evaluate` reads.

    python3 scripts/convert_inception.py WEIGHTS.pth inception.safetensors

WEIGHTS.pth is one of these two, which hold the same values under the same names (TensorFlow's network of 2015-12-05):

    pt_inception-2015-12-05-6726825d.pth        from the releases of mseitzer/pytorch-fid
    weights-inception-2015-12-05-6726825d.pth   from the releases of toshas/torch-fidelity

--resize chooses how images are resized for the network. It is stored in the file, since distances with the two rules do
not compare:

    tensorflow   like the program of Heusel et al. 2017, torch-fidelity and the evaluations of StyleGAN, ADM and EDM (default)
    pytorch      like pytorch-fid

Needs numpy and torch. The file is read with weights_only=True, so it cannot run code.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import sys

import numpy as np
import torch

KIND = "inception-v3-fid"
LAYERS = 94
# Tensors of a layer by the end of their name.
ENDS = (".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var")


def state_of(path):
    """The tensors of a file by name, as f32 arrays."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError(f"expected a dictionary of tensors, found {type(state).__name__}")
    # Some programs nest it one level down.
    state = state.get("state_dict", state)
    tensors = {}
    for name, tensor in state.items():
        if name.endswith(".num_batches_tracked"):
            continue
        if not torch.is_tensor(tensor):
            raise ValueError(f"{name}: expected a tensor, found {type(tensor).__name__}")
        tensors[name] = np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())
    return tensors


def check(tensors):
    """Refuses other networks, such as one with ImageNet's 1000 classes or an auxiliary classifier. `ddpm` checks every shape."""
    for name, shape in [("fc.weight", (1008, 2048)), ("fc.bias", (1008,)), ("Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3))]:
        found = tensors[name].shape if name in tensors else "none"
        if found != shape:
            raise ValueError(f"{name}: expected shape {shape}, found {found}: these are not the weights of FID's InceptionV3")
    layers = {name.removesuffix(ENDS[0]) for name in tensors if name.endswith(ENDS[0])}
    wanted = {layer + end for layer in layers for end in ENDS} | {"fc.weight", "fc.bias"}
    if len(layers) != LAYERS or wanted != set(tensors):
        odd = sorted(wanted ^ set(tensors))[:3]
        raise ValueError(f"expected {LAYERS} convolutions with their normalisation, found {len(layers)} (odd ones: {odd})")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name}: a value is not finite")
        if name.endswith("running_var") and (tensor < 0).any():
            raise ValueError(f"{name}: a variance is negative")


def save(tensors, metadata, path):
    """Writes a safetensors file: header length, header, data. The same input gives the same bytes."""
    header, offset = {"__metadata__": dict(sorted(metadata.items()))}, 0
    for name, tensor in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    aside = path.with_name(path.name + ".part")
    with open(aside, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            file.write(tensor.astype("<f4").tobytes())
    aside.replace(path)


def check_output(path):
    """Checks the output path before the work: only a file may be replaced."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a file or a new name")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent}: no such folder")


def convert(source, out, resize):
    check_output(out)
    tensors = state_of(source)
    check(tensors)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    metadata = {"format": "pt", "kind": KIND, "resize": resize, "source": source.name, "source_sha256": sha256}
    save(tensors, metadata, out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path, metavar="WEIGHTS.pth")
    parser.add_argument("out", type=pathlib.Path, metavar="OUT.safetensors")
    parser.add_argument("--resize", choices=["tensorflow", "pytorch"], default="tensorflow")
    args = parser.parse_args()
    try:
        convert(args.weights, args.out, args.resize)
    except Exception as error:  # torch raises many kinds for foreign files
        sys.exit(f"error: {args.weights} to {args.out}: {str(error).splitlines()[0] if str(error) else error!r}")
    print(f"{args.out}: InceptionV3 for FID, images resized by the rule {args.resize!r}")


if __name__ == "__main__":
    main()
