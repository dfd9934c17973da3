"""Arrays in .npy and .npz files, and how far two differ; without numpy, which PyTorch does not need."""

import array
import ast
import math
import struct
import sys
import zipfile

CODES = {"<f4": "f", "<f8": "d", "|u1": "B", "<i8": "q"}


def parse(data, name):
    """The values and the shape of an .npy file."""
    if data[:6] != b"\x93NUMPY":
        raise ValueError(f"{name}: expected an .npy file")
    size, begin = (struct.unpack("<H", data[8:10])[0], 10) if data[6] == 1 else (struct.unpack("<I", data[8:12])[0], 12)
    header = ast.literal_eval(data[begin : begin + size].decode("latin-1"))
    if header["fortran_order"] or header["descr"] not in CODES:
        raise ValueError(f"{name}: expected one of {', '.join(CODES)} in C order, found {header['descr']}")
    values = array.array(CODES[header["descr"]])
    values.frombytes(data[begin + size :])
    if sys.byteorder == "big":
        values.byteswap()
    return values, header["shape"]


def read(path):
    with open(path, "rb") as file:
        return parse(file.read(), path)


def read_member(path, member):
    """An array of an .npz file."""
    with zipfile.ZipFile(path) as archive:
        return parse(archive.read(member + ".npy"), f"{path}: {member}")


def write_f32(path, values, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    # The data starts at a multiple of 64 bytes.
    header += " " * ((-len(header) - 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1"))
        file.write(struct.pack(f"<{len(values)}f", *values))


def relative(got, expected):
    """The norm of the difference over the norm of what is expected."""
    if len(got) != len(expected):
        return math.inf
    difference = math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(got, expected)))
    return difference / max(math.sqrt(math.fsum(b * b for b in expected)), 1e-30)


def mean_difference(got, expected):
    if len(got) != len(expected):
        return math.inf
    return math.fsum(abs(a - b) for a, b in zip(got, expected)) / max(len(expected), 1)
