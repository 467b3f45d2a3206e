"""VirtualAdversarial: the worst change against a closed form, what it trains, and its arguments."""

import math

import pytest
import torch
from torch import nn

from infogan_lib import Categorical, LatentSpec, Noise
from infogan_lib.regularizers import RealImageInformation, VirtualAdversarial
from infogan_lib.regularizers.virtual_adversarial import distance_between_images
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

TWO = LatentSpec(z=Noise(1), side=Categorical(2))


def call(term, real, q, latent=TWO):
    return term(latent, real, q(real), q, torch.Generator().manual_seed(0))


def test_of_a_linear_q_the_worst_change_is_along_its_weights():
    """For logits (w.x, 0) the divergence grows along w alone, so |w.r| = epsilon |w| and the term is known."""
    torch.manual_seed(0)
    real, w = torch.randn(16, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    q = lambda x: torch.stack([x @ w, torch.zeros(len(x), dtype=x.dtype)], 1)  # noqa: E731
    seen = []
    value = call(VirtualAdversarial("side", radius=0.3), real, lambda x: (seen.append(x), q(x))[1])
    change = seen[-1] - real
    epsilon = 0.3 * distance_between_images(real)
    torch.testing.assert_close((change @ w).abs(), (epsilon * w.norm()).expand(16))
    torch.testing.assert_close(change.norm(dim=1), epsilon.expand(16))
    target, log_q = q(real).softmax(1), q(real + change).log_softmax(1)
    torch.testing.assert_close(value, -(target * log_q).sum(1).mean())


def test_the_change_is_worse_than_random_ones_of_the_same_length():
    torch.manual_seed(1)
    real, network = (
        torch.randn(32, 6, dtype=torch.float64),
        nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)),
    )
    network.double()
    value = call(VirtualAdversarial("side", radius=0.2), real, network)
    epsilon, target = 0.2 * distance_between_images(real), network(real).softmax(1)
    for _ in range(20):
        change = torch.randn_like(real)
        log_q = network(real + epsilon * change / change.norm(dim=1, keepdim=True)).log_softmax(1)
        assert value > -(target * log_q).sum(1).mean()


def test_the_distance_is_that_of_a_batch_s_pairs():
    real = images(9, dtype=torch.float64)
    squared = torch.cdist(real.flatten(1), real.flatten(1)).square().sum() / (9 * 8)
    torch.testing.assert_close(distance_between_images(real), squared.sqrt())


def test_images_of_another_scale_have_the_same_term():
    torch.manual_seed(0)
    real, network = torch.randn(16, 6, dtype=torch.float64), nn.Linear(6, 2).double()
    term = VirtualAdversarial("side")
    torch.testing.assert_close(
        call(term, 100 * real, lambda x: network(x / 100)), call(term, real, network), rtol=1e-6, atol=0
    )


def test_no_gradient_flows_into_the_target_or_the_direction():
    real, w = torch.randn(8, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64, requires_grad=True)
    seen = []

    def q(x):
        seen.append(x)
        return torch.stack([x @ w, torch.zeros(len(x), dtype=x.dtype)], 1)

    call(VirtualAdversarial("side"), real, q).backward()
    gradient, w.grad = w.grad.clone(), None
    worst, target = seen[-1].detach(), q(real).softmax(1).detach()
    (-(target * q(worst).log_softmax(1)).sum(1).mean()).backward()
    torch.testing.assert_close(gradient, w.grad)


def test_images_that_are_all_alike_are_left_alone():
    value = call(VirtualAdversarial("side"), torch.ones(4, 3), nn.Linear(3, 2))
    assert math.isfinite(value.item())


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_trains_beside_the_other_term_once_it_is_due(joint, precision):
    trainer = make_trainer(
        *(dense_generator(), dense_discriminator(), LATENT),
        joint_batches=joint,
        precision=precision,
        regularizers=[RealImageInformation("digit"), VirtualAdversarial("digit", after=1)],
    )
    first, second = trainer.step(images(16)), trainer.step(images(16))
    assert "regularizer/digit/adversarial" not in first
    assert math.isfinite(second["regularizer/digit/adversarial"])


def test_vectors_need_no_warp():
    trainer = make_trainer(
        *(nn.Linear(LATENT.width, 6), nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)), LATENT),
        regularizers=[RealImageInformation("digit", augment=None), VirtualAdversarial("digit", after=0)],
    )
    assert math.isfinite(trainer.step(torch.randn(16, 6))["regularizer/digit/adversarial"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: VirtualAdversarial("digit", radius=0), ValueError, "radius must be a finite number above 0"),
        (lambda: VirtualAdversarial("digit", probe=-1), ValueError, "probe must be a finite number above 0"),
        (lambda: VirtualAdversarial("digit", after=-1), ValueError, "after must be a whole number of at least 0"),
        (
            lambda: make_trainer(
                dense_generator(), dense_discriminator(), LATENT, regularizers=[VirtualAdversarial("hue")]
            ),
            ValueError,
            "VirtualAdversarial needs the name of a Categorical code; this latent has 'digit', but got 'hue'",
        ),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()
