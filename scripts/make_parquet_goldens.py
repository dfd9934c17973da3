"""Writes the Parquet files of crates/dataset/tests/parquet with pyarrow, the writer of most public image sets.

    pip install pyarrow==26.0.1
    python3 scripts/make_parquet_goldens.py

Image i has 6x4 grey pixels of the value 20 i, and the label i % 3. The PNG files are written here, without compression,
so that the bytes do not depend on a version of zlib.
"""

import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).resolve().parent.parent / "crates/dataset/tests/parquet"
COUNT, WIDTH, HEIGHT = 10, 6, 4


def png(value):
    """A grey PNG of one value; its data are one stored block of deflate."""
    rows = (b"\0" + bytes([value]) * WIDTH) * HEIGHT
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), 0xFFFF ^ len(rows)) + rows
    stored += struct.pack(">I", zlib.adler32(rows))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)), (b"IDAT", stored), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def main():
    images = [png(20 * i) for i in range(COUNT)]
    labels = [i % 3 for i in range(COUNT)]
    structs = pa.array(
        [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(images)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    OUT.mkdir(parents=True, exist_ok=True)
    # The layout of the datasets library: a struct, a dictionary that soon is full, snappy.
    table = pa.table({"image": structs, "label": pa.array(labels, pa.int64())})
    pq.write_table(
        table,
        OUT / "struct-snappy.parquet",
        row_group_size=4,
        data_page_size=200,
        write_batch_size=1,
        dictionary_pagesize_limit=150,
    )
    # Plain binary, pages of version 2, zstd.
    table = pa.table({"cls": pa.array(labels, pa.int32()), "image": pa.array(images, pa.binary()), "name": ["x"] * COUNT})
    pq.write_table(
        table,
        OUT / "binary-zstd.parquet",
        compression="zstd",
        data_page_version="2.0",
        use_dictionary=False,
        data_page_size=200,
        write_batch_size=1,
    )


if __name__ == "__main__":
    main()
