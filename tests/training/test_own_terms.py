"""Losses and regularizers of one's own that return what they should not: refused by their class, the step unmade."""

import pytest
import torch
from torch import nn

from infogan_lib import losses, regularizers
from toys import images, make_trainer

RETURNED = [
    lambda x: None,
    lambda x: 0.5,
    lambda x: [0.5],
    lambda x: x.detach().cpu().numpy(),
    lambda x: x > 0,
    lambda x: x.long(),
    lambda x: x + 0j,
    lambda x: x[:0],
]


def refused(match, **settings):
    trainer = make_trainer(**settings)
    with pytest.raises((TypeError, ValueError), match=match):
        trainer.fit(images(16), steps=1, batch_size=8)
    assert trainer.steps == 0


@pytest.mark.parametrize("returned", RETURNED[:-1])
@pytest.mark.parametrize(
    ("method", "term"), [("real", "real"), ("fake", "fake"), ("generator", "generator"), ("score", "d_real")]
)
def test_what_an_adversarial_loss_returns_is_checked(method, term, returned):
    own = type("Own", (losses.NonSaturating,), {method: lambda self, logits: returned(logits)})
    refused(f"what Own returns for '{term}' must be", adversarial=own())


@pytest.mark.parametrize("method", ["discriminator_terms", "generator_terms"])
def test_the_terms_of_an_adversarial_loss_have_names(method):
    own = type("Own", (losses.NonSaturating,), {method: lambda self, real, fake: None})
    refused("the terms of Own must be a mapping of names to values", adversarial=own())


KINDS = [regularizers.RealImageRegularizer, regularizers.DiscriminatorRegularizer, regularizers.GeneratorRegularizer]


def term(kind, returned=lambda x: x.sum(), **attributes):
    """A regularizer of a kind that returns something made of the images, or of what the networks make of them."""

    def value(self, *given):
        return returned(given[2](given[0]) if callable(given[2]) else given[2])

    return type("Own", (kind,), {"name": "own", "weight": 1e-3, "__call__": value} | attributes)()


@pytest.mark.parametrize("returned", [*RETURNED, lambda x: x, lambda x: x.sum()[None], lambda x: (x.sum(),)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_regularizer_returns_is_checked(kind, returned):
    refused("what Own returns must be a", regularizers=[term(kind, returned)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"name": 3}, "name of Own must be a string"),
        ({"name": "\ud800"}, "name of Own must be text"),
        ({"weight": None}, "weight of Own must be"),
        ({"min_batch_size": "x"}, "min_batch_size of Own must be"),
        ({"network": nn.Linear}, "network of Own must be of type Module"),
        ({"network": nn.LazyLinear(3)}, "network of Own must have its shapes"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_the_attributes_of_a_regularizer_are_checked(kind, attributes, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make_trainer(regularizers=[term(kind, **attributes)])


def test_a_part_of_the_loss_that_trains_nothing_is_refused():
    message = "a part of the loss has no gradient with respect to what it trains"
    own = type("Own", (losses.NonSaturating,), {"real": lambda self, logits: logits.detach()})
    refused(message, adversarial=own())
    kind = regularizers.DiscriminatorRegularizer
    refused(message, regularizers=[term(kind, lambda x: torch.zeros(()))])


CHANGES = [
    *(*RETURNED, lambda x: x[:, :, 1:], lambda x: torch.cat([x, x]), lambda x: x.double()),
    pytest.param(lambda x: x.to_sparse(), marks=pytest.mark.cpu),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("Consistency", regularizers.Consistency),
        ("RealImageInformation", lambda augment: regularizers.RealImageInformation("digit", augment=augment)),
    ],
)
def test_what_the_augmentation_of_a_term_returns_is_checked(name, make, change):
    refused(f"augment of {name} (must|returns)", regularizers=[make(lambda x, rng: change(x))])
