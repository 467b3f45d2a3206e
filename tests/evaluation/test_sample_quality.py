"""Sample quality of a toy model."""

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.evaluation.sample_quality import extract_features, sample_quality
from toys import LATENT, dense_discriminator, dense_generator, images


def toy_model():
    torch.manual_seed(0)
    return ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)


def test_quality_of_a_models_samples():
    model = toy_model()
    extractor = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.Dropout(0.9))
    own = model.sample(64, seed=5)
    result = sample_quality(model, own, extractor, name="four random features", seed=5)
    assert result.features == "four random features"
    assert (result.frechet, result.precision, result.recall) == (pytest.approx(0, abs=1e-6), 1.0, 1.0)
    assert (result.num_real, result.num_generated) == (64, 64)
    assert extractor.training
    other = sample_quality(model, images(64), extractor, name="four random features")
    assert other.frechet > 0.01
    bytes_ = ((own + 1) * 127.5).round().to(torch.uint8)
    close = sample_quality(model, bytes_, lambda x: x, name="pixels", seed=5, neighbors=1)
    assert close.frechet == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: extract_features(lambda x: x.mean(), images(4)), r"features \(N, \*\) for 4 images, but gave \(\)"),
        (
            lambda: sample_quality(toy_model(), images(9, (1, 8, 8)), nn.Flatten(), name="x"),
            r"have shape \(N, 1, 4, 4\)",
        ),
        (lambda: sample_quality(toy_model(), images(30), nn.Flatten(), name=" "), "name must say what the features"),
    ],
)
def test_bad_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
