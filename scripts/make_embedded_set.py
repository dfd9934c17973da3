#!/usr/bin/env python3
"""Makes assets/fashion-mnist-12k.npz, the dataset compiled into the program.

    scripts/make_embedded_set.py FOLDER [OUT.npz]

FOLDER holds the four IDX .gz files of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), as Debian's package
`dataset-fashion-mnist` installs them in /usr/share/datasets/fashion-mnist. The subset is stratified by a fixed rule:
the first 1000 images of every class for training and the first 200 for testing, in the order of each file, so any
prefix mixes the classes.

Only the standard library is used. The bytes are the same on every run, because the dates in the zip are fixed. (Another
zlib may compress to other bytes. The recorded sha256 then differs, but the arrays are the same.)
"""

import gzip
import hashlib
import struct
import sys
import zipfile
from pathlib import Path

CLASSES = 10
PER_CLASS = {"train": 1000, "test": 200}
FILES = {"train": "train", "test": "t10k"}
MAX_BYTES = 6_000_000


def read_idx(path: Path, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """Shape and bytes of an IDX file of u8 (magic 00 00 08 and the number of dimensions)."""
    data = gzip.decompress(path.read_bytes())
    magic = bytes([0, 0, 8, dimensions])
    if data[:4] != magic:
        sys.exit(f"{path}: expected magic {magic.hex()}, found {data[:4].hex()}")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    body = data[4 + 4 * dimensions :]
    size = 1
    for extent in shape:
        size *= extent
    if len(body) != size:
        sys.exit(f"{path}: shape {shape} needs {size} bytes, found {len(body)}")
    return shape, body


def subset(folder: Path, split: str) -> tuple[tuple[int, ...], bytes, bytes]:
    """Shape [n, 28, 28], pixels and labels of one split's subset."""
    stem = FILES[split]
    (count, height, width), pixels = read_idx(folder / f"{stem}-images-idx3-ubyte.gz", 3)
    (label_count,), labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", 1)
    if count != label_count:
        sys.exit(f"{stem}: {count} images but {label_count} labels")
    taken = [0] * CLASSES
    chosen = []
    for index, label in enumerate(labels):
        if taken[label] < PER_CLASS[split]:
            taken[label] += 1
            chosen.append(index)
    if taken != [PER_CLASS[split]] * CLASSES:
        sys.exit(f"{stem}: expected {PER_CLASS[split]} images of each class, found {taken}")
    item = height * width
    images = b"".join(pixels[i * item : (i + 1) * item] for i in chosen)
    return (len(chosen), height, width), images, bytes(labels[i] for i in chosen)


def npy(shape: tuple[int, ...], data: bytes) -> bytes:
    """A version 1.0 .npy file of u8 in C order; its header is padded to a multiple of 64 bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    default = Path(__file__).resolve().parent.parent / "assets" / "fashion-mnist-12k.npz"
    folder, out = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else default
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for split in PER_CLASS:
            shape, images, labels = subset(folder, split)
            for name, data in [("images", npy(shape, images)), ("labels", npy(shape[:1], labels))]:
                entry = zipfile.ZipInfo(f"{split}_{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data, compresslevel=9)
    data = out.read_bytes()
    if len(data) > MAX_BYTES:
        sys.exit(f"{out}: {len(data)} bytes, more than {MAX_BYTES}")
    digest = hashlib.sha256(data).hexdigest()
    out.with_name(out.name + ".sha256").write_text(f"{digest}  {out.name}\n")
    print(f"{out}: {len(data)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
