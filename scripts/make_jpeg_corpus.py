#!/usr/bin/env python3
"""Makes crates/dataset/tests/jpeg: small JPEG files, and the pixels libjpeg-turbo decodes from them.

    scripts/make_jpeg_corpus.py [FOLDER]

In `read`, each NAME.jpg has a NAME.png with the pixels as Pillow decodes them (orientation applied, the four inks
composited). `refused` holds files of unsupported kinds. Needs Pillow, NumPy and libjpeg-turbo's `cjpeg`. Other versions
may give other bytes; the committed files came from Pillow 13.0 with libjpeg-turbo 3.2, and from `cjpeg` 2.1.5.
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

MAX_BYTES = 100_000
SEPARATE = "0;\n1;\n2;\n"
REVERSED = "2;\n1;\n0;\n"
TWO = "0;\n1 2;\n"
JFIF = 20  # Bytes up to the end of the JFIF segment: start of image, marker, 16 more.


def picture(width: int, height: int) -> np.ndarray:
    """Waves and two patches with hard edges."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [128 + 100 * np.sin(x / 5 + y / 9), 128 + 90 * np.cos(x / 7 - y / 4), 255 * x / max(width - 1, 1)]
    image = np.stack(waves, -1)
    image[height // 3 : height // 2, width // 4 : width // 2] = [230, 30, 40]
    image[height // 2 : height // 2 + height // 4, width // 2 :] = [20, 60, 220]
    return np.clip(image, 0, 255).astype(np.uint8)


def cjpeg(image: np.ndarray, *arguments: str, scans: str | None = None) -> bytes:
    kind = "P6" if image.ndim == 3 else "P5"
    netpbm = f"{kind} {image.shape[1]} {image.shape[0]} 255\n".encode() + image.tobytes()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        if scans:
            script.write(scans)
            script.flush()
            arguments += ("-scans", script.name)
        return subprocess.run(["cjpeg", *arguments], input=netpbm, stdout=subprocess.PIPE, check=True).stdout


def pillow(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    if data.count(old) != 1:
        sys.exit(f"expected {old!r} once in a file, found it {data.count(old)} times")
    return data.replace(old, new)


def with_identifiers(data: bytes, identifiers: list[int]) -> bytes:
    """Renames the three components in the frame header and in the only scan header."""
    changed = bytearray(data)
    frame, scan = data.index(b"\xff\xc0") + 10, data.index(b"\xff\xda") + 5
    changed[frame : frame + 9 : 3] = identifiers
    changed[scan : scan + 6 : 2] = identifiers
    return bytes(changed)


def read_files() -> dict[str, bytes]:
    large, small, tiny, dot = picture(35, 23), picture(17, 9), picture(7, 5), picture(1, 1)
    grey = large[..., 0]
    files = {}
    samplings = {"444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1", "410": "4x2", "441": "1x4"}
    for name, factors in samplings.items():
        files[f"baseline-{name}-35x23"] = cjpeg(large, "-sample", factors)
    for name in ("444", "422", "420"):
        factors = samplings[name]
        files[f"one-scan-each-{name}-17x9"] = cjpeg(small, "-sample", factors, scans=SEPARATE)
        files[f"progressive-{name}-17x9"] = cjpeg(small, "-sample", factors, "-progressive")
    for size, image in (("7x5", tiny), ("1x1", dot)):
        files[f"baseline-420-{size}"] = cjpeg(image, "-sample", "2x2")
        files[f"one-scan-each-420-{size}"] = cjpeg(image, "-sample", "2x2", scans=SEPARATE)
        files[f"progressive-420-{size}"] = cjpeg(image, "-sample", "2x2", "-progressive")
    files["one-scan-each-420-35x23"] = cjpeg(large, "-sample", "2x2", scans=SEPARATE)
    files["last-component-first-17x9"] = cjpeg(small, "-sample", "2x2", scans=REVERSED)
    files["two-scans-17x9"] = cjpeg(small, "-sample", "2x1", scans=TWO)
    files["progressive-420-35x23"] = cjpeg(large, "-sample", "2x2", "-progressive")
    files["finer-chroma-17x9"] = cjpeg(small, "-sample", "1x1,2x2,1x1")
    files["mixed-factors-17x9"] = cjpeg(small, "-sample", "2x2,2x1,1x1")
    files["restart-each-unit-35x23"] = cjpeg(large, "-restart", "1B", "-sample", "2x2")
    files["restart-every-3-units-17x9"] = cjpeg(small, "-restart", "3B", "-sample", "1x1")
    files["restart-progressive-17x9"] = cjpeg(small, "-restart", "2B", "-progressive")
    files["restart-one-scan-each-17x9"] = cjpeg(small, "-restart", "2B", scans=SEPARATE)
    files["quality-100-17x9"] = cjpeg(small, "-quality", "100", "-sample", "1x1")
    files["quality-3-17x9"] = cjpeg(small, "-quality", "3")
    files["optimised-codes-17x9"] = cjpeg(small, "-optimize")
    files["grey-35x23"] = cjpeg(grey)
    files["grey-of-2x2-35x23"] = cjpeg(grey, "-sample", "2x2")
    files["grey-progressive-17x9"] = cjpeg(small[..., 0], "-progressive")
    files["rgb-17x9"] = cjpeg(small, "-rgb")
    files["rgb-one-scan-each-17x9"] = cjpeg(small, "-rgb", scans=SEPARATE)

    inks = pillow(Image.fromarray(small).convert("CMYK"))
    # "Adobe", version and flags in six bytes, then the transform: 0 for CMYK, 2 for YCCK.
    transform = inks.index(b"Adobe") + 11
    files["cmyk-adobe-17x9"] = inks
    files["ycck-adobe-17x9"] = inks[:transform] + b"\x02" + inks[transform + 1 :]

    base = Image.fromarray(tiny)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"exif-orientation-{orientation}-7x5"] = pillow(base, exif=exif)
    plain = pillow(base)
    thumbnail = pillow(Image.fromarray(dot))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    files["icc-profile-7x5"] = pillow(base, icc_profile=profile)
    # The last two bytes of the segment are the sizes of a thumbnail, whose RGB pixels follow.
    with_thumbnail = segment(0xE0, plain[6 : JFIF - 2] + bytes([4, 3]) + bytes(range(36)))
    files["jfif-thumbnail-7x5"] = plain[:2] + with_thumbnail + plain[JFIF:]
    files["jpeg-in-exif-7x5"] = plain[:2] + segment(0xE1, b"Exif\0\0" + thumbnail) + plain[2:]
    files["comment-with-markers-7x5"] = plain[:2] + segment(0xFE, b"\xff\xd9\xff\xda\xff\xc0") + plain[2:]
    files["fill-bytes-7x5"] = plain[:2] + b"\xff\xff\xff" + plain[2:-2] + b"\xff\xff" + plain[-2:]
    files["jpeg-after-the-end-7x5"] = plain + thumbnail
    files["zeros-after-the-end-7x5"] = plain + bytes(64)
    files["text-after-the-end-7x5"] = plain + b"a trailer of the camera's own \xff\xda\xff\xd8\xff"
    return files


def refused_files() -> dict[str, bytes]:
    small = picture(17, 9)
    plain = cjpeg(small)
    frame = bytes.fromhex("ffc00011 08")
    return {
        "arithmetic": cjpeg(small, "-arithmetic"),
        "arithmetic-progressive": cjpeg(small, "-arithmetic", "-progressive"),
        # Only the header is changed; the decoder reads no further.
        "12-bits": replaced(plain, frame, bytes.fromhex("ffc10011 0c")),
        "lossless": replaced(plain, frame, bytes.fromhex("ffc30011 08")),
        "one-scan-each-4x1-2x1-1x1": cjpeg(picture(35, 23), "-sample", "4x1,2x1,1x1", scans=SEPARATE),
        "wide-gamut": with_identifiers(plain[:2] + plain[JFIF:], [1, 34, 35]),
    }


def expected(data: bytes) -> Image.Image:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode != "CMYK":
        return image
    inks = np.asarray(image).astype(float)
    return Image.fromarray(np.rint((255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255).astype(np.uint8))


def main() -> None:
    here = Path(__file__).resolve().parent.parent / "crates/dataset/tests/jpeg"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else here
    total = 0
    for name, files in (("read", read_files()), ("refused", refused_files())):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for stem, data in files.items():
            path = folder / name / f"{stem}.jpg"
            path.write_bytes(data)
            total += len(data)
            if name == "read":
                pixels = path.with_suffix(".png")
                image = expected(data)
                # Drop the metadata of the JPEG.
                Image.fromarray(np.asarray(image)).save(pixels, optimize=True)
                total += pixels.stat().st_size
    print(f"{folder}: {total} bytes")
    if total > MAX_BYTES:
        sys.exit(f"expected at most {MAX_BYTES} bytes, found {total}")


if __name__ == "__main__":
    main()
