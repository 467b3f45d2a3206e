"""What all regularizers share: when they are due, what they weigh, and how a user's own is checked."""

import pytest
import torch

import infogan_lib as ig
from infogan_lib.data import RandomAffine
from infogan_lib.regularizers import (
    R1,
    R2,
    Consistency,
    Contrastive,
    DiscriminatorRegularizer,
    GradientPenalty,
    ModeSeeking,
    RealImageInformation,
)
from infogan_lib.regularizers.base import check_regularizers
from toys import LATENT

BUILT_IN = [
    lambda **schedule: R1(4, **schedule),
    lambda **schedule: R2(4, **schedule),
    lambda **schedule: GradientPenalty(2, **schedule),
    lambda **schedule: Consistency(weight=2, **schedule),
    lambda **schedule: Contrastive(weight=2, **schedule),
    lambda **schedule: ModeSeeking(weight=2, **schedule),
    lambda **schedule: RealImageInformation("digit", weight=2, augment=RandomAffine(), **schedule),
]


@pytest.mark.parametrize("make", BUILT_IN)
def test_every_built_in_term_has_a_schedule(make):
    term = make(after=3, every=4)
    assert [step for step in range(16) if term.is_due(step)] == [3, 7, 11, 15]
    assert term.effective_weight == 8
    assert make(after=0).effective_weight == term.weight == 2
    assert [step for step in range(3) if make(after=1).is_due(step)] == [1, 2]
    assert check_regularizers([term], LATENT) == (term,)


class Own(DiscriminatorRegularizer):
    name, weight = "own", 2.0

    def __call__(self, real, fake, discriminate, rng):
        return discriminate(real).square().mean()


def test_a_term_of_the_users_own_is_due_in_every_step_and_owns_no_network():
    term = Own()
    assert all(term.is_due(step) for step in range(5))
    assert term.effective_weight == 2
    assert term.key == "regularizer/own"
    assert term.prepare(LATENT, (1, 4, 4), torch.device("cpu"), 0) is None
    assert term.set_step(7) is None
    assert term.network is None


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({"weight": -1.0}, ValueError, "weight of Changed must be a finite number of at least 0, but got -1.0"),
        ({"weight": "2"}, TypeError, "weight of Changed must be a finite number"),
        ({"after": 0.5}, TypeError, "after of Changed must be a whole number of at least 0"),
        ({"every": 0}, ValueError, "every of Changed must be a whole number of at least 1, but got 0"),
    ],
)
def test_the_attributes_of_a_users_own_are_checked(attributes, error, message):
    term = type("Changed", (Own,), attributes)()
    with pytest.raises(error, match=message):
        check_regularizers([term], LATENT)


def test_two_terms_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two regularizers are named 'own'"):
        check_regularizers([Own(), Own()], LATENT)


def test_one_term_needs_no_list():
    assert len(check_regularizers(Own(), LATENT)) == 1
    with pytest.raises(TypeError, match=r"DiscriminatorRegularizer .* but got 3 \(int\)"):
        check_regularizers(3, LATENT)
    with pytest.raises(TypeError, match=r"did you mean Own\(...\)"):
        check_regularizers(Own, ig.LatentSpec(z=ig.Noise(2)))
