"""Regularisers: the term against hand-computed cases, what it trains, and the warp."""

import math

import pytest
import torch

import infogan_lib as ig
from infogan_lib.data.augmentation import RandomAffine
from infogan_lib.regularizers import RealImageInformation
from toys import LATENT, dense_discriminator, dense_generator, images

TERM = RealImageInformation("digit", information=1, balance=1)


def raw_of(categories, sure=50.0):
    """Raw outputs of LATENT's Q that are sure of these categories."""
    raw = torch.zeros(len(categories), LATENT.num_outputs, dtype=torch.float64)
    raw[torch.arange(len(categories)), torch.tensor(categories)] = sure
    return raw


CASES = {
    "sure, balanced, agreed: minus the entropy of four categories": ([0, 1, 2, 3], [0, 1, 2, 3], -math.log(4)),
    "sure, but one category for all": ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
    "sure and balanced, but the warp changes all": ([0, 1, 2, 3], [1, 2, 3, 0], -math.log(4) + 50),
    "two categories": ([0, 0, 1, 1], [0, 0, 1, 1], -math.log(2)),
}


@pytest.mark.parametrize(("real", "views", "value"), CASES.values(), ids=CASES)
def test_value_of_constructed_cases(real, views, value):
    assert TERM(LATENT, raw_of(real), raw_of(views)).item() == pytest.approx(value, abs=1e-9)


def test_an_undecided_q_is_worth_nothing():
    undecided = torch.zeros(4, LATENT.num_outputs, dtype=torch.float64)
    assert TERM(LATENT, undecided, undecided).item() == pytest.approx(math.log(4))


def test_the_weights_are_those_of_the_formula():
    raw, views = raw_of([0, 0, 1, 1], sure=2.0), raw_of([0, 1, 1, 1], sure=1.0)
    q, p = raw[:, :4].softmax(1), views[:, :4].softmax(1)
    agreement = -(q * p.log()).sum(1).mean()
    surprise, mean = -(q * q.log()).sum(1).mean(), q.mean(0)
    expected = agreement + 0.3 * (surprise + 5 * (mean * mean.log()).sum())
    term = RealImageInformation("digit", information=0.3, balance=5)
    assert term(LATENT, raw, views).item() == pytest.approx(expected.item())


def test_stays_finite_for_extreme_outputs():
    raw = (torch.randn(8, LATENT.num_outputs) * 1e4).requires_grad_()
    TERM(LATENT, raw, raw.flip(0)).backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("trains_q", [True, False])
def test_trains_the_trunk_and_the_q_head_only(trains_q):
    class Indifferent(ig.AdversarialLoss):
        def real(self, logits):
            return 0 * logits

        fake = generator = real

    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4, weight=0), style=ig.Uniform(2, weight=0))
    sgd = lambda p: torch.optim.SGD(p, 0.1)  # noqa: E731
    trainer = ig.InfoGANTrainer(
        dense_generator(),
        dense_discriminator(),
        latent,
        adversarial=Indifferent(),
        g_optimizer=sgd,
        d_optimizer=sgd,
        q_optimizer=sgd if trains_q else None,
        information_trains=["generator", "q_head"] if trains_q else ["generator"],
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))],
    )
    groups = trainer.model.parameter_groups()
    before = {part: [p.detach().clone() for p in params] for part, params in groups.items()}
    figures = trainer.step(images(32))
    moved = {
        part: any(not torch.equal(a, b) for a, b in zip(groups[part], before[part], strict=True)) for part in groups
    }
    assert moved == {"generator": False, "trunk": True, "d_head": False, "q_head": trains_q}
    assert math.isfinite(figures["regularizer/digit"])


def test_in_a_joint_batch_the_q_head_hears_of_codes_once():
    """D's update passes the information loss on to the trunk alone; what waits for the Q head is the regularizer's."""
    steps = {}
    for weight, regularized in ((0.0, True), (1.0, False), (1.0, True)):
        torch.manual_seed(0)
        trainer = ig.InfoGANTrainer(
            dense_generator().double(),
            torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
            ).double(),
            ig.LatentSpec(z=ig.Noise(7), digit=ig.Categorical(4, weight=weight)),
            g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            d_optimizer=lambda p: torch.optim.SGD(p, 1e-12),  # so that G and Q meet the same D in all three
            q_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            joint_batches=True,
            regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))] if regularized else [],
        )
        before = trainer.model.q.out.weight.detach().clone()
        trainer.step(images(16, dtype=torch.float64))
        steps[weight, regularized] = trainer.model.q.out.weight.detach() - before
    torch.testing.assert_close(steps[1, True], steps[0, True] + steps[1, False], rtol=0, atol=1e-9)


def test_weight_scales_the_step():
    moves = []
    for weight in (0.5, 1.0):
        torch.manual_seed(0)
        trainer = ig.InfoGANTrainer(
            dense_generator(),
            dense_discriminator(),
            ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2, weight=0)),
            g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            q_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            regularizers=[RealImageInformation("digit", weight=weight, augment=lambda x, g: x)],
        )
        before = trainer.model.q.out.weight.detach().clone()
        trainer.step(images(16))
        moves.append(trainer.model.q.out.weight.detach() - before)
    torch.testing.assert_close(moves[1], 2 * moves[0], rtol=1e-4, atol=1e-7)


def test_begins_after_the_steps_that_it_is_told():
    t = trainer([RealImageInformation("digit", after=2)])
    figures = [t.step(images(16)) for _ in range(3)]
    assert ["regularizer/digit" in of_step for of_step in figures] == [False, False, True]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"balance": 1.0}, "balance was 4.0 and is 1.0"),
        ({"augment": RandomAffine(shear=0.1)}, "shear was 0.3 and is 0.1"),
    ],
)
def test_other_settings_are_another_run(tmp_path, changed, named):
    first = trainer([RealImageInformation("digit")])
    first.step(images(16))
    first.save_checkpoint(tmp_path)
    with pytest.raises(ig.CheckpointError, match=named):
        trainer([RealImageInformation("digit", **changed)]).load_checkpoint(tmp_path)


def test_a_non_finite_term_is_named():
    trainer = ig.InfoGANTrainer(
        dense_generator(),
        dense_discriminator(),
        LATENT,
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x / 0)],
    )
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(ig.NonFiniteLossError, match="regularizer 'digit' became nan"):
        trainer.step(images(16))
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))
    assert all(p.grad is None for p in trainer.model.parameters())


def test_affine_without_any_change_is_the_identity():
    x = images(3, (2, 7, 9))
    still = RandomAffine(degrees=0, scale=0, shear=0, shift=0)
    torch.testing.assert_close(still(x, torch.Generator()), x, atol=1e-5, rtol=0)


def test_affine_shifts_by_at_most_what_is_said():
    x = torch.zeros(64, 1, 33, 33)
    x[:, :, 16, 16] = 1
    moved = RandomAffine(degrees=0, scale=0, shear=0, shift=0.1)(x, torch.Generator().manual_seed(0))
    columns = (moved.sum(2) * torch.arange(33)).sum((1, 2)) / moved.sum((1, 2, 3))
    assert (columns - 16).abs().max() <= 3.4
    assert (columns - 16).abs().max() > 2
    assert columns.unique().numel() > 50  # each image by itself


def test_affine_is_a_function_of_its_generator():
    x, warp = images(4, (1, 8, 8)), RandomAffine()
    assert torch.equal(warp(x, torch.Generator().manual_seed(1)), warp(x, torch.Generator().manual_seed(1)))
    assert not torch.equal(warp(x, torch.Generator().manual_seed(1)), warp(x, torch.Generator().manual_seed(2)))


def trainer(regularizers):
    return ig.InfoGANTrainer(dense_generator(), dense_discriminator(), LATENT, regularizers=regularizers)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: trainer([RealImageInformation("style")]), ValueError, "this latent has 'digit', but got 'style'"),
        (lambda: trainer([RealImageInformation("hue")]), ValueError, "but got 'hue'"),
        (lambda: trainer(["digit"]), TypeError, "GeneratorRegularizer objects, but got 'digit'"),
        (lambda: RealImageInformation("digit", weight=-1), ValueError, "weight must be a finite number of at least 0"),
        (lambda: RealImageInformation("digit", after=0.5), TypeError, "after must be a whole number"),
        (lambda: RealImageInformation("digit", information=-1), ValueError, "information must be a finite number"),
        (lambda: RealImageInformation("digit", balance="4"), TypeError, "balance must be a finite number"),
        (lambda: RealImageInformation("digit", augment=3), TypeError, "augment must be a function"),
        (lambda: RandomAffine(degrees=-1), ValueError, "degrees must be a finite number of at least 0"),
        (lambda: RandomAffine()(torch.zeros(3, 8), torch.Generator()), ValueError, r"images \(N, C, H, W\)"),
    ],
)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()
