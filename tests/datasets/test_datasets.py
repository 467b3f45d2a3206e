"""Data sets that come along, and the pair of networks to begin with."""

import gzip
import struct

import pytest
import torch

from infogan_lib import Categorical, Engine, InfoGANTrainer, LatentSpec, Noise, datasets
from infogan_lib.recipes import dcgan_pair
from mnist_files import BUNDLED


def test_digits_are_scikit_learns_at_any_size():
    images, labels = datasets.digits(8)
    assert (images.shape, images.dtype) == ((1797, 1, 8, 8), torch.uint8)
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0, 0, 5, 13, 9, 1, 0, 0 of 16
    larger, same_labels = datasets.digits(28)
    assert larger.shape == (1797, 1, 28, 28)
    assert torch.equal(labels, same_labels)
    pooled = torch.nn.functional.adaptive_avg_pool2d(datasets.digits(16)[0].float(), 8)
    assert (pooled - images.float()).abs().mean() < 40
    with pytest.raises(ValueError, match="size must be a whole number of at least 8, but got 4"):
        datasets.digits(4)


def test_mnist_is_read_from_a_folder():
    images, labels = datasets.mnist(BUNDLED, "test")
    assert (images.shape, images.dtype, labels.dtype) == ((10_000, 1, 28, 28), torch.uint8, torch.int64)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    with pytest.raises(ValueError, match="split must be one of 'train' and 'test', but got 'valid'"):
        datasets.mnist(BUNDLED, "valid")
    with pytest.raises(datasets.DataFileError, match=r"no file train-images-idx3-ubyte.gz or .* in nowhere"):
        datasets.mnist("nowhere")


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (1, 32, 32), (3, 64, 64), (2, 48, 96), (1, 8, 14)])
def test_the_pair_makes_and_judges_images_of_a_shape(shape):
    generator, discriminator = dcgan_pair(20, shape, channels=4)
    images = generator(torch.randn(3, 20, 1, 1))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (3, 1, 1, 1)
    again = dcgan_pair(20, shape, channels=4)[0]
    assert all(torch.equal(p, q) for p, q in zip(generator.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(1, 15, 15), (1, 7, 7), (1, 16, 50), (16, 16), (1, 1, 16, 16)])
def test_shapes_that_the_pair_cannot_have_are_refused(shape):
    with pytest.raises(ValueError, match="image_shape must"):
        dcgan_pair(20, shape)


def test_the_pair_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    dcgan_pair(20, (1, 16, 16))
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.slow
def test_the_first_lines_find_the_digits():
    """As in the README, with fewer steps."""
    images, labels = datasets.digits()
    latent = LatentSpec(z=Noise(30), digit=Categorical(10))
    trainer = InfoGANTrainer(*dcgan_pair(latent.width, images.shape[1:]), latent, engine=Engine("cpu"))
    trainer.fit(images, steps=400)
    assert trainer.model.name_categories(images, labels).accuracy > 0.7


def idx_files(folder, shape, data, labels=4):
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + data, 1))
    (folder / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", labels) + bytes(labels))


@pytest.mark.parametrize("shape", [(0, 5, 5), (4, 0, 5), (4, 5, 0)])
def test_images_without_pixels_are_refused(tmp_path, shape):
    idx_files(tmp_path, shape, b"")
    with pytest.raises(datasets.DataFileError, match="holds nothing: its header says"):
        datasets.mnist(tmp_path)
