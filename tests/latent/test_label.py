"""A category that is the label of the image: a `Categorical` with a supervision of its own."""

import numpy as np
import pytest
import torch

import infogan_lib as ig
from infogan_lib import Categorical, Label, LatentSpec, Noise
from infogan_lib.metrics import match_categories
from toys import dense_discriminator, dense_generator, images

SPEC = LatentSpec(z=Noise(5), digit=Label(4, supervision=0.5), size=Categorical(3))


def model():
    torch.manual_seed(0)
    return ig.InfoGAN(dense_generator(SPEC.width), dense_discriminator(), SPEC)


def test_it_is_sampled_and_scored_as_a_category():
    same = LatentSpec(z=Noise(5), digit=Categorical(4))
    spec = LatentSpec(z=Noise(5), digit=Label(4))
    c = spec.sample(6, rng=torch.Generator().manual_seed(0))
    assert torch.equal(c, same.sample(6, rng=torch.Generator().manual_seed(0)))
    outputs = torch.randn(6, 4)
    assert torch.equal(spec.nll(outputs, c), same.nll(outputs, c))
    assert dict(SPEC.labels) == {"digit": Label(4, supervision=0.5)}


def test_it_is_saved_with_its_supervision(tmp_path):
    assert LatentSpec.from_json(SPEC.to_json()) == SPEC != LatentSpec(z=Noise(5), digit=Label(4), size=Categorical(3))
    saved = model()
    saved.save(tmp_path)
    loaded = ig.InfoGAN.load(tmp_path, generator=dense_generator(SPEC.width), discriminator=dense_discriminator())
    assert loaded.latent == SPEC
    assert torch.equal(saved.sample(3, seed=1, digit=2), loaded.sample(3, seed=1, digit=2))


def test_its_categories_are_the_labels():
    """Although another matching would agree with more of them."""
    labels = (model().encode(images(40))["digit"].mode.argmax(1) + 1) % 4
    labels[0] = (labels[0] - 1) % 4
    m = model()
    match = m.name_categories(images(40), labels, code="digit")
    assert match.accuracy == pytest.approx(1 / 40)
    assert m.category_names["digit"] == ("0", "1", "2", "3")
    m.name_categories(images(40), labels, code="digit", names=["a", "b", "c", "d"])
    assert m.category_names["digit"] == ("a", "b", "c", "d")
    matched = match_categories((labels - 1) % 4, labels)
    assert matched.accuracy == 1


def test_the_identity_leaves_labels_without_a_category_unmatched():
    match = match_categories([0, 1, 1], [0, 1, 5], category_count=3, identity=True)
    assert match.accuracy == pytest.approx(2 / 3)
    assert match.label_per_category.tolist() == [0, 1, -1]
    assert np.array_equal(match.contingency, [[1, 0, 0], [0, 1, 1], [0, 0, 0]])
    assert match.unmatched_labels == [5]
