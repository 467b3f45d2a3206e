"""MNIST's files: the bundled ones, raw ones, and ones that are missing or damaged."""

import gzip
import shutil

import pytest
import torch

from mnist_files import BUNDLED, DataFileError, load_mnist


def test_bundled_mnist_is_mnist():
    data = load_mnist()
    assert data["train"][0].shape == (60_000, 1, 28, 28)
    assert data["test"][0].shape == (10_000, 1, 28, 28)
    assert data["train"][0].dtype == torch.uint8
    assert data["train"][1][:5].tolist() == [5, 0, 4, 1, 9]
    assert torch.bincount(data["test"][1].long()).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_raw_files_are_read_as_well(tmp_path):
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        raw = gzip.decompress((BUNDLED / f"{name}.gz").read_bytes())
        (tmp_path / name).write_bytes(raw)
        (tmp_path / name.replace("t10k", "train")).write_bytes(raw)
    assert torch.equal(load_mnist(tmp_path)["train"][0], load_mnist()["test"][0])


def damage_flip(content):
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_flip, "t10k-labels-idx1-ubyte.gz is damaged"),
        (lambda content: content[:1000], "t10k-labels-idx1-ubyte.gz is damaged"),
        (lambda content: b"", "t10k-labels-idx1-ubyte.gz is damaged"),
        (lambda content: gzip.compress(b"\0\0\x08\x03" + bytes(12)), "not an IDX file of bytes with 1 dimensions"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1]), "10,007 bytes, but its header says 10,008"),
        (lambda content: gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab"), "10000 test images, but 2 labels"),
    ],
)
def test_damaged_files_are_named(tmp_path, damage, message):
    for path in BUNDLED.glob("*.gz"):
        shutil.copy(path, tmp_path)
    target = tmp_path / "t10k-labels-idx1-ubyte.gz"
    target.write_bytes(damage(target.read_bytes()))
    with pytest.raises(DataFileError, match=message):
        load_mnist(tmp_path)


def test_bundled_files_are_checked_by_hash(tmp_path, monkeypatch):
    for path in BUNDLED.glob("*.gz"):
        shutil.copy(path, tmp_path)
    target = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(target.read_bytes()))
    content[5000] ^= 1  # a pixel: a well-formed file that is not MNIST
    target.write_bytes(gzip.compress(bytes(content), compresslevel=1))
    monkeypatch.setattr("mnist_files.BUNDLED", tmp_path)
    with pytest.raises(DataFileError, match="its content is not MNIST's"):
        load_mnist(tmp_path)
