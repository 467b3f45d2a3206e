"""Values of codes for `InfoGAN.sample` and `traverse`: codes={...} beside keywords, for codes of any name."""

import pytest
import torch

import infogan_lib as ig
from infogan_lib.latent.category_names import RESERVED_NAMES
from toys import LATENT, dense_discriminator, dense_generator

MODEL = ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)


@pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "self", "two words", "数"])
def test_a_code_of_any_name_can_be_set_and_traversed(name):
    latent = ig.LatentSpec({"z": ig.Noise(8), name: ig.Uniform(3)})
    model = ig.InfoGAN(dense_generator(), dense_discriminator(), latent)
    base = latent.replace_values(latent.sample(64, rng=torch.Generator().manual_seed(0))[:1], {name: 0.5})
    assert torch.equal(model.sample(1, seed=0, codes={name: 0.5}), model.decode(base))
    images = model.traverse("z", dim=1, steps=3, seed=0, codes={name: 0.5})
    assert torch.equal(images, model.decode(latent.traverse("z", dim=1, steps=3, base=base)))
    assert model.traverse(name, dim=1, steps=3, seed=0).shape == (3, 1, 4, 4)


def test_mapping_and_keywords_are_the_same():
    images = MODEL.sample(3, seed=1, digit=2, style=[0.5, -0.5])
    assert torch.equal(MODEL.sample(3, seed=1, codes={"digit": 2, "style": [0.5, -0.5]}), images)
    assert torch.equal(MODEL.sample(3, seed=1, codes={"digit": 2}, style=[0.5, -0.5]), images)
    images = MODEL.traverse("style", seed=1, digit=2)
    assert torch.equal(MODEL.traverse("style", seed=1, codes={"digit": 2}), images)
    assert not torch.equal(MODEL.traverse("style", seed=1, codes={"digit": 3}), images)


def test_category_names_work_in_a_mapping():
    MODEL.set_category_names("digit", ["zero", "one", "two", "three"])
    expected = MODEL.sample(2, seed=0, digit=[3, 1])
    assert torch.equal(MODEL.sample(2, seed=0, codes={"digit": ["three", "one"]}), expected)


@pytest.mark.parametrize("name", ["steps", "n", "dim"])
def test_a_reserved_keyword_names_the_mapping(name):
    model = ig.InfoGAN(dense_generator(), dense_discriminator(), ig.LatentSpec({"z": ig.Noise(8), name: ig.Uniform(3)}))
    with pytest.raises(
        ValueError, match=rf"'{name}' cannot be set by keyword.*give codes={{'{name}': \.\.\.}} instead"
    ):
        model.sample(1, **{name: 0.5})


REFUSALS = [
    (lambda: MODEL.sample(1, codes={"digit": 1}, digit=1), ValueError, "'digit' is given in codes= and as a keyword"),
    (lambda: MODEL.traverse("style", codes={"digit": 1}, digit=1), ValueError, "'digit' is given in codes= and as a"),
    (lambda: MODEL.traverse("style", codes={"style": 1}), ValueError, "'style' is what moves"),
    (lambda: MODEL.sample(1, codes=[3]), TypeError, r"codes must be a mapping .*, but got \[3\]"),
    (lambda: MODEL.sample(1, codes={"steps": 1}), KeyError, "no 'steps' in this latent"),
    (lambda: MODEL.sample(1, steps=1), KeyError, "no 'steps' in this latent"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()
