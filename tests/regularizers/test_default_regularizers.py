"""The terms that a trainer has unless told otherwise."""

import pytest
import torch
from torch import nn

from infogan_lib import Bernoulli, Categorical, Engine, InfoGANTrainer, LatentSpec, Noise, Uniform
from infogan_lib.regularizers import RealImageInformation, VirtualAdversarial, default_regularizers
from toys import LATENT, dense_discriminator, dense_generator, images

IMAGES, VECTORS, SOUND = (1, 28, 28), (6,), (1, 400)


def kinds(latent, shape):
    return [type(term) for term in default_regularizers(latent, shape)]


def test_images_have_a_warp_and_other_data_the_worst_change():
    assert kinds(LATENT, IMAGES) == [RealImageInformation]
    for shape in (VECTORS, SOUND):
        assert kinds(LATENT, shape) == [RealImageInformation, VirtualAdversarial]
        assert default_regularizers(LATENT, shape)[0].augment is None
    assert {term.code for term in default_regularizers(LATENT, VECTORS)} == {"digit"}


@pytest.mark.parametrize(
    "latent",
    [
        LatentSpec(z=Noise(3), style=Uniform(2)),
        LatentSpec(z=Noise(3), parts=Bernoulli(4)),
        LatentSpec(z=Noise(3), shape=Categorical(3), color=Categorical(4)),
    ],
)
def test_other_latents_have_none(latent):
    assert default_regularizers(latent, IMAGES) == ()


@pytest.mark.parametrize("given", [None, ()])
def test_a_trainer_has_them_unless_it_is_given_others(given):
    networks = dense_generator(), dense_discriminator(), LATENT
    more = {} if given is None else {"regularizers": given}
    metrics = InfoGANTrainer(*networks, engine=Engine("cpu"), **more).step(images(16))
    assert ("regularizer/digit" in metrics) == (given is None)


def test_a_trainer_of_vectors_runs_with_them():
    trainer = InfoGANTrainer(
        nn.Sequential(nn.Linear(LATENT.width, 8), nn.ReLU(), nn.Linear(8, 2)),
        nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)),
        LATENT,
        engine=Engine("cpu"),
    )
    metrics = trainer.step(torch.randn(16, 2))
    assert {"regularizer/digit", "regularizer/digit/adversarial"} <= metrics.keys()


def test_default_terms_belong_to_one_trainer():
    first, second = default_regularizers(LATENT, IMAGES), default_regularizers(LATENT, IMAGES)
    assert first[0] is not second[0]
