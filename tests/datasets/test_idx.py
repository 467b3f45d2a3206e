"""IDX files that are damaged, or made to do harm."""

import gzip
import shutil
import struct

import pytest

from infogan_lib import datasets
from memory import bounded_memory

NAMES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(*shape, body=b""):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


def write(folder, images, labels=None):
    for name, content in zip(NAMES, (images, labels or idx(2, body=bytes(2))), strict=True):
        (folder / f"{name}.gz").write_bytes(content if content[:2] == b"\x1f\x8b" else gzip.compress(content))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (idx(2, 3, 3, body=bytes(17)), "33 bytes, but its header says 34"),
        (idx(2, 3, 3, body=bytes(19)), "more bytes, but its header says 34"),
        (idx(*[2**32 - 1] * 3), "16 bytes, but its header says 79,228,162,458,924,105,385,300,197,391"),
        (idx(0, 2**32 - 1, 2**32 - 1), r"its header says \(0, 4294967295, 4294967295\)"),
        (idx(2, 3, body=bytes(6)), "not an IDX file of bytes with 3 dimensions"),
        (gzip.compress(idx(2, 3, 3, body=bytes(18)), mtime=0)[:-6], "is damaged: Compressed file ended"),
    ],
    ids=["short", "long", "huge", "empty", "flat", "cut"],
)
def test_a_file_that_is_not_what_its_header_says_is_refused(tmp_path, images, message):
    write(tmp_path, images)
    with pytest.raises(datasets.DataFileError, match=message):
        datasets.mnist(tmp_path)


def test_a_small_file_is_not_unpacked_beyond_what_its_header_says(tmp_path):
    packed = gzip.compress(bytes(2**20), 1)
    write(tmp_path, gzip.compress(idx(2, 3, 3)) + 256 * packed)  # as one file, of 256 MiB
    refused = pytest.raises(datasets.DataFileError, match="more bytes, but its header says 34")
    with bounded_memory(64), refused:
        datasets.mnist(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_larger_than_the_memory_is_refused_before_it_is_read_whole(tmp_path, monkeypatch, packed):
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 2**10, "SC_PAGE_SIZE": 2**12}.__getitem__)  # 4 MiB
    write(tmp_path, idx(2**16, 2**5, 2**7, body=bytes(2**28)))
    if not packed:
        path = tmp_path / f"{NAMES[0]}.gz"
        with gzip.open(path) as file, (tmp_path / NAMES[0]).open("wb") as raw:
            shutil.copyfileobj(file, raw)
        path.unlink()
    refused = pytest.raises(datasets.DataFileError, match="268,435,456 bytes, which do not fit into the memory")
    with bounded_memory(64), refused:
        datasets.mnist(tmp_path)
