"""Writes crates/features/tests/inception/goldens.json: the results of pytorch-fid and torch-fidelity with made-up weights.

The public weights take 96 MB, so both sides generate weights from a rule: a hash of the tensor's name and the element's
index. Only some of the features are kept. Both packages run unmodified, except for where they get their weights. A file
of these weights under each package's names also goes through scripts/convert_inception.py, which must give the same for
both.

Needs torch 2.11, torchvision 0.26, pytorch-fid 0.3.0, torch-fidelity 0.4.0, numpy: python3 scripts/make_inception_goldens.py
"""

import json
import pathlib
import tempfile

import convert_inception
import numpy as np
import pytorch_fid.inception
import torch
from hashed_weights import hashed
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

GOLDENS = pathlib.Path(__file__).parent.parent / "crates/features/tests/inception/goldens.json"
# Height, width, channels.
IMAGES = [(32, 32, 3), (28, 28, 1), (299, 299, 3)]
# Strides at which features and probabilities are kept.
STRIDE = 16


def tensor(name, shape):
    """Weights preserve the scale of activations; normalisations use moderate values of every parameter."""
    most = np.sqrt(6.0 / np.prod(shape[1:]))
    if name.endswith(".bn.weight"):
        least, span = 0.9, 0.2
    elif name.endswith(".bn.running_var"):
        least, span = 0.75, 0.5
    else:
        least, span = (-0.2, 0.4) if len(shape) == 1 else (-most, 2.0 * most)
    values = least + span * hashed(name, int(np.prod(shape)))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def made_up(state):
    """The same names and shapes with other values."""
    counted = lambda name: name.endswith("num_batches_tracked")
    return {name: value if counted(name) else tensor(name, tuple(value.shape)) for name, value in state.items()}


def image(height, width, channels):
    """`[h, w, c]` bytes: a ramp with noise."""
    u = hashed(f"image {height} {width} {channels}", height * width * channels).reshape(height, width, channels)
    y = np.arange(height).reshape(-1, 1, 1)
    return (128.0 * u + 127.0 * y / height).astype(np.uint8)


def kept(features, logits):
    """The score uses the logits without a bias."""
    features = features.double().numpy().ravel()
    probabilities = logits.double().softmax(-1).numpy().ravel()
    return {
        "features": [float(f"{value:.9g}") for value in features[::STRIDE]],
        "mean": float(features.mean()),
        "deviation": float(features.std()),
        "probabilities": [float(f"{value:.9g}") for value in probabilities[::STRIDE]],
    }


def converted(state, folder):
    """The weights after a PyTorch file and the script that users run."""
    source, out = folder / "weights.pth", folder / "weights.safetensors"
    torch.save(state, source)
    convert_inception.convert(source, out, "tensorflow")
    data = out.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    read = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            read[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).reshape(entry["shape"])
    return read


def with_made_up_weights(folder):
    """Both packages' networks, and their converted weight files."""
    files = []

    def state_for(network):
        state = made_up(network.state_dict())
        files.append(converted(state, folder))
        return state

    def fetched(*_, **__):
        plain = pytorch_fid.inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        return state_for(plain)

    pytorch_fid.inception.load_state_dict_from_url = fetched
    blocks = pytorch_fid.inception.InceptionV3().eval()

    load = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda network, _: load(network, state_for(network))
    nothing = folder / "nothing.pth"
    torch.save({}, nothing)
    layers = ["2048", "logits_unbiased"]
    fidelity = FeatureExtractorInceptionV3("fid", layers, feature_extractor_weights_path=str(nothing)).eval()

    own, other = files
    assert own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)
    return blocks, fidelity, own["fc.weight"]


def main():
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        blocks, fidelity, classes = with_made_up_weights(pathlib.Path(folder))
    cases = []
    for shape in IMAGES:
        x = torch.from_numpy(image(*shape)).permute(2, 0, 1).unsqueeze(0)
        x = x.expand(-1, 3, -1, -1).contiguous()
        cases.append({"shape": shape, "resize": "tensorflow", **kept(*fidelity(x))})
        # Without resizing, the rules differ only in the range.
        if shape != (299, 299, 3):
            features = blocks(x.float() / 255.0)[0].flatten(1)
            cases.append({"shape": shape, "resize": "pytorch", **kept(features, features @ classes.T)})
    GOLDENS.parent.mkdir(parents=True, exist_ok=True)
    GOLDENS.write_text(json.dumps({"stride": STRIDE, "cases": cases}).replace('{"shape"', '\n{"shape"') + "\n")
    for case in cases:
        print(case["shape"], case["resize"], case["mean"], case["deviation"], max(case["probabilities"]))


if __name__ == "__main__":
    main()
