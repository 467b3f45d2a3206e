"""`Features`: what the network is given, what the result says of it, and the same distances as by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import infogan_lib as ig
from infogan_lib.evaluation import Features, sample_quality
from infogan_lib.evaluation.sample_quality import extract_features
from infogan_lib.metrics import frechet_distance
from toys import LATENT, dense_discriminator, dense_generator, images


class Backbone(nn.Module):
    """A network of color images of 8 x 8 with statistics of its own; it keeps what it was given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5), nn.Dropout(0.9))
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return self.layers(x.float())


def toy_model():
    torch.manual_seed(0)
    return ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)


def test_a_network_of_bytes_gets_bytes():
    backbone = Backbone()
    prepared = Features(backbone, size=8, value_range=(0, 255), as_bytes=True).prepare(torch.rand(4, 1, 4, 4))
    assert (prepared.shape, prepared.dtype) == ((4, 3, 8, 8), torch.uint8)
    assert torch.equal(prepared[:, 0], prepared[:, 2])
    ends = Features(backbone, value_range=(0, 255), as_bytes=True, color=False).prepare(torch.tensor([[[[0.0, 1.0]]]]))
    assert ends.flatten().tolist() == [0, 255]


def test_images_are_normalized_after_they_are_resized():
    mean, std = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
    pictures = torch.rand(2, 3, 4, 4)
    prepared = Features(nn.Flatten(), size=8, mean=mean, std=std, resize="bicubic").prepare(pictures)
    resized = F.interpolate(pictures, (8, 8), mode="bicubic", antialias=True).clamp(0, 1)
    by_hand = (resized - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(prepared, by_hand)


def test_the_distance_is_that_of_the_prepared_images():
    model, backbone, real = toy_model(), Backbone(), images(64)
    features = Features(backbone, size=8, value_range=(-1, 1), mean=0.5)
    result = sample_quality(model, real, features, name="a backbone", seed=3)
    assert backbone.training
    backbone.eval()
    by_hand = [
        extract_features(lambda x: backbone(features.prepare((x + 1) / 2)), x) for x in (real, model.sample(64, seed=3))
    ]
    assert result.frechet == pytest.approx(frechet_distance(*by_hand))
    assert np.std(by_hand[0]) > 0
    assert (result.num_real, result.num_generated) == (64, 64)
    words = "values -1 to 1; resized to 8 x 8, bilinear, antialiased; mean 0.5; gray as three channels"
    assert result.preprocessing == words
    assert sample_quality(model, real, nn.Flatten(), name="pixels").preprocessing == "as generated"


def test_a_transform_of_ones_own_is_named():
    def doubled(pictures):
        return 2 * pictures

    features = Features(nn.Flatten(), preprocess=doubled)
    assert features(torch.ones(1, 1, 2, 2)).tolist() == [[2.0] * 4]
    assert "doubled" in features.preprocessing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_bytes": True}, "as_bytes needs value_range"),
        ({"std": [0, 1, 1]}, "std must be above 0"),
        ({"value_range": (1, 0)}, "value_range must begin with the lower"),
        ({"mean": [1, 2]}, "mean must be 1 or 3"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        Features(nn.Flatten(), **options)


@pytest.mark.parametrize(
    "change", [torch.Tensor.to_sparse, lambda x: x.to("meta"), lambda x: x + 1j, lambda x: x[:, :0]]
)
def test_features_that_are_no_numbers_are_refused(change):
    with pytest.raises((TypeError, ValueError), match="the extractor (gives )?must (be|give)"):
        extract_features(lambda x: change(x.flatten(1)), images(4))


@pytest.mark.parametrize("returned", [None, 0.5, [1.0], np.ones((4, 3))])
def test_what_preprocess_returns_is_a_tensor(returned):
    with pytest.raises(TypeError, match="what preprocess returns must be a Tensor"):
        Features(nn.Flatten(), preprocess=lambda x: returned)(images(4))


def test_a_mean_without_values_is_refused_by_name():
    with pytest.raises(TypeError, match="mean must be a number for each channel, but got"):
        Features(nn.Flatten(), mean=torch.empty(3, device="meta"))
