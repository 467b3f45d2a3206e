"""The head that Q gets unasked: in proportion to D, and the same when a saved model is loaded."""

from functools import partial

import pytest
import torch
from torch import nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, QHead
from infogan_lib.networks.q_head import LEAST_WIDTH, SMALL_HEAD, WIDTH, proportionate_head

LATENT = LatentSpec(z=Noise(6), digit=Categorical(10))


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    "feature_shape", [(200_000,), (3, 256, 256), (128, 64, 64), (512, 8, 8), (64, 5000), (8, 40, 40, 40), (16,)]
)
@pytest.mark.parametrize("discriminator_size", [1_000, 760_000, 3_000_000])
def test_a_head_is_as_wide_as_its_size_beside_d_allows(feature_shape, discriminator_size):
    head = proportionate_head(feature_shape, 10, discriminator_size=discriminator_size)
    width, most = head.out.in_features, max(discriminator_size, SMALL_HEAD)
    assert size(head) <= most or width == LEAST_WIDTH
    assert width == WIDTH or size(QHead(feature_shape, 10, hidden=2 * width)) > most


def pair(side: int) -> dict[str, nn.Module]:
    """G, and a D that flattens its images at once."""
    g = nn.Sequential(nn.Linear(LATENT.width, 3 * side**2), nn.Unflatten(1, (3, side, side)), nn.Tanh())
    d = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    return {"generator": g, "discriminator": d}


@pytest.mark.parametrize("q_head", [None, partial(QHead, hidden=3)], ids=["in proportion", "given"])
def test_a_model_is_loaded_with_a_head_of_the_width_that_it_was_saved_with(tmp_path, q_head):
    model = InfoGAN(**pair(64), latent=LATENT, q_head=q_head, tap="0")
    width = model.q.out.in_features
    assert width == (3 if q_head else 32), "of 12,288 features, beside a D of 787 thousand parameters"
    model.save(tmp_path / "model")
    loaded = InfoGAN.load(tmp_path / "model", **pair(64))
    assert loaded.q.out.in_features == width
    loaded.save(tmp_path / "again")
    x = 2 * torch.rand(2, 3, 64, 64) - 1
    again = InfoGAN.load(tmp_path / "again", **pair(64))
    assert torch.equal(again.q_outputs(x), model.q_outputs(x))
