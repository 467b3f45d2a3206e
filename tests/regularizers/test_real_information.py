"""RealImageInformation: the term against cases worked out by hand, what it trains, and its arguments."""

import math

import pytest
import torch

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.data.augmentation import Compose, RandomAffine
from infogan_lib.regularizers import RealImageInformation
from infogan_lib.regularizers.real_information import VIEW, cluster_contrastive_loss
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

TERM = RealImageInformation("digit", information=1, balance=1, augment=lambda x, rng: x, views=1, cluster_contrast=0)


def q_outputs(categories, logit=50.0):
    """Outputs of LATENT's Q that predict these categories."""
    outputs = torch.zeros(len(categories), LATENT.num_outputs, dtype=torch.float64)
    outputs[torch.arange(len(categories)), torch.tensor(categories)] = logit
    return outputs


def term_of(term, real, views):
    """A term, where Q predicts these outputs for the real images and those for their views."""
    return term(LATENT, torch.zeros(len(real), 1), real, lambda _: views, torch.Generator())


CASES = {
    "confident, balanced, invariant: minus the entropy of four categories": ([0, 1, 2, 3], [0, 1, 2, 3], -math.log(4)),
    "confident, but one category for all": ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
    "confident and balanced, but the warp changes all": ([0, 1, 2, 3], [1, 2, 3, 0], -math.log(4) + 50),
    "two categories": ([0, 0, 1, 1], [0, 0, 1, 1], -math.log(2)),
}


@pytest.mark.parametrize(("real", "views", "value"), CASES.values(), ids=CASES)
def test_value_of_constructed_cases(real, views, value):
    assert term_of(TERM, q_outputs(real), q_outputs(views)).item() == pytest.approx(value, abs=1e-9)


def test_a_q_without_an_opinion_scores_log_k():
    uniform = torch.zeros(4, LATENT.num_outputs, dtype=torch.float64)
    assert term_of(TERM, uniform, uniform).item() == pytest.approx(math.log(4))


def test_the_weights_are_those_of_the_formula():
    real, views = q_outputs([0, 0, 1, 1], logit=2.0), q_outputs([0, 1, 1, 1], logit=1.0)
    q, p = real[:, :4].softmax(1), views[:, :4].softmax(1)
    invariance = -(q * p.log()).sum(1).mean()
    entropy, marginal = -(q * q.log()).sum(1).mean(), q.mean(0)
    expected = invariance + 0.3 * (entropy + 5 * (marginal * marginal.log()).sum())
    columns = [column / column.norm() for column in (*q.T, *p.T)]
    for i, column in enumerate(columns):
        other = [torch.exp(column @ columns[j]) for j in range(8) if j != i]
        expected -= 0.7 / 8 * torch.log(torch.exp(column @ columns[(i + 4) % 8]) / sum(other))
    settings = {"information": 0.3, "balance": 5, "augment": lambda x, rng: x, "cluster_contrast": 0.7}
    term = RealImageInformation("digit", views=1, **settings)
    assert term_of(term, real, views).item() == pytest.approx(expected.item())


def test_categories_with_images_of_their_own_contrast_most():
    own, merged, shared = (torch.eye(4, dtype=torch.float64) for _ in range(3))
    merged[2:] = torch.tensor([0.0, 0.0, 0.5, 0.5])
    shared[:] = 0.25
    values = [cluster_contrastive_loss(q.repeat(8, 1), q.repeat(8, 1)).item() for q in (own, merged, shared)]
    assert values[0] == pytest.approx(math.log(1 + 6 / math.e))
    assert values[0] < values[1] < values[2] == pytest.approx(math.log(7))


def test_the_contrast_is_with_the_first_view():
    real, first, second = (q_outputs([0, 1, 2, 3], logit=scale) for scale in (2.0, 1.0, 0.5))
    with_contrast, without = (
        RealImageInformation("digit", augment=lambda x, rng: x, views=2, cluster_contrast=weight) for weight in (2, 0)
    )
    views = torch.cat([first, second])
    contrast = cluster_contrastive_loss(real[:, :4].softmax(1), first[:, :4].softmax(1))
    torch.testing.assert_close(term_of(with_contrast, real, views), term_of(without, real, views) + 2 * contrast)


def test_a_category_without_images_has_a_finite_gradient():
    logits = torch.tensor([[0.0, 0.0, -300.0, -60.0]]).repeat(8, 1).requires_grad_()
    posterior = logits.softmax(1)
    cluster_contrastive_loss(posterior, posterior.flip(0)).backward()
    assert logits.grad.isfinite().all()


def test_the_terms_of_several_views_add_up():
    real, first, second = (q_outputs([0, 1, 2, 3], logit=scale) for scale in (2.0, 1.0, 0.5))
    single = RealImageInformation("digit", augment=lambda x, rng: x, views=1, cluster_contrast=0)
    double = RealImageInformation("digit", augment=lambda x, rng: x, views=2, cluster_contrast=0)
    bracket = RealImageInformation("digit", augment=None)
    expected = term_of(single, real, first) + term_of(single, real, second) - term_of(bracket, real, None)
    torch.testing.assert_close(term_of(double, real, torch.cat([first, second])), expected)


def test_each_view_is_drawn_anew():
    term, seen = RealImageInformation("digit", views=3), []
    rng, real = torch.Generator().manual_seed(0), torch.rand(2, 1, 8, 8)

    def q(images):
        seen.append(images)
        return torch.zeros(len(images), LATENT.num_outputs)

    term(LATENT, real, torch.zeros(2, LATENT.num_outputs), q, rng)
    first, second, third = seen[0].split(2)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert not torch.equal(first, real)


def test_a_view_is_warped_and_in_another_light_unless_told_otherwise():
    """Flat images cannot be warped: what moves them is the brightness, by up to 0.6. A line across is warped too."""
    rng, flat = torch.Generator().manual_seed(0), torch.zeros(500, 1, 8, 8)
    view = RealImageInformation("digit").augment
    values = view(flat, rng).amin((1, 2, 3)), view(flat, rng).amax((1, 2, 3))
    assert all(0.55 < value.max() <= 0.6 and -0.6 <= value.min() < -0.55 for value in values)
    line = flat.clone()
    line[:, :, 4] = 1
    warped = view(line, rng)
    moved = (warped[:, :, 4] - warped[:, :, 0]).std(2)  # along a line that lies as it did it is one number
    assert moved.min() < 0.3 < moved.max()


def test_stays_finite_for_extreme_outputs():
    outputs = (torch.randn(8, LATENT.num_outputs) * 1e4).requires_grad_()
    term_of(TERM, outputs, outputs.flip(0)).backward()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("trains_q", [True, False])
def test_trains_the_trunk_and_the_q_head_only(trains_q):
    class Zero(losses.AdversarialLoss):
        def real(self, logits):
            return 0 * logits

        fake = generator = real

    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4, weight=0), style=ig.Uniform(2, weight=0))
    sgd = lambda p: torch.optim.SGD(p, 0.1)  # noqa: E731
    trainer = make_trainer(
        dense_generator(),
        dense_discriminator(),
        latent,
        adversarial=Zero(),
        g_optimizer=sgd,
        d_optimizer=sgd,
        q_optimizer=sgd if trains_q else None,
        information_trains=["generator", "q_head"] if trains_q else ["generator"],
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))],
    )
    groups = trainer.model.parameter_groups()
    before = {part: [p.detach().clone() for p in params] for part, params in groups.items()}
    metrics = trainer.step(images(32))
    changed = {
        part: any(not torch.equal(a, b) for a, b in zip(groups[part], before[part], strict=True)) for part in groups
    }
    assert changed == {"generator": False, "trunk": True, "d_head": False, "q_head": trains_q}
    assert math.isfinite(metrics["regularizer/digit"])


def test_in_a_joint_batch_the_q_head_gets_the_information_loss_once():
    """D's update applies the information loss to the trunk only; the Q head's gradient from it is the regularizer's."""
    steps = {}
    for weight, regularized in ((0.0, True), (1.0, False), (1.0, True)):
        torch.manual_seed(0)
        trainer = make_trainer(
            dense_generator().double(),
            torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
            ).double(),
            ig.LatentSpec(z=ig.Noise(7), digit=ig.Categorical(4, weight=weight)),
            g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            d_optimizer=lambda p: torch.optim.SGD(p, 1e-12),  # so that G and Q see the same D in all three
            q_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            joint_batches=True,
            regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))] if regularized else [],
        )
        before = trainer.model.q.out.weight.detach().clone()
        trainer.step(images(16, dtype=torch.float64))
        steps[weight, regularized] = trainer.model.q.out.weight.detach() - before
    torch.testing.assert_close(steps[1, True], steps[0, True] + steps[1, False], rtol=0, atol=1e-9)


def test_weight_scales_the_step():
    updates = []
    for weight in (0.5, 1.0):
        torch.manual_seed(0)
        trainer = make_trainer(
            dense_generator(),
            dense_discriminator(),
            ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2, weight=0)),
            g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            q_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            regularizers=[RealImageInformation("digit", weight=weight, augment=lambda x, g: x)],
        )
        before = trainer.model.q.out.weight.detach().clone()
        trainer.step(images(16))
        updates.append(trainer.model.q.out.weight.detach() - before)
    torch.testing.assert_close(updates[1], 2 * updates[0], rtol=1e-4, atol=1e-7)


def test_begins_after_the_given_number_of_steps():
    t = trainer([RealImageInformation("digit", after=2)])
    metrics = [t.step(images(16)) for _ in range(3)]
    assert ["regularizer/digit" in step for step in metrics] == [False, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balance": 1.0}, "balance was 6.0 and is 1.0"),
        ({"augment": Compose([RandomAffine(shear=0.1), *VIEW.augmentations[1:]])}, "shear was 0.3 and is 0.1"),
    ],
)
def test_other_settings_are_another_run(tmp_path, changes, message):
    first = trainer([RealImageInformation("digit")])
    first.step(images(16))
    first.save_checkpoint(tmp_path)
    with pytest.raises(ig.CheckpointError, match=message):
        trainer([RealImageInformation("digit", **changes)]).load_checkpoint(tmp_path)


def test_a_non_finite_term_is_named():
    trainer = make_trainer(
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


def trainer(regularizers):
    return make_trainer(dense_generator(), dense_discriminator(), LATENT, regularizers=regularizers)


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
        (lambda: RealImageInformation("digit", views=0), ValueError, "views must be a whole number of at least 1"),
        (lambda: RealImageInformation("digit", cluster_contrast=-1), ValueError, "cluster_contrast must be a finite"),
        *(
            (
                lambda settings=settings: make_trainer(
                    *(torch.nn.Linear(LATENT.width, 6), torch.nn.Sequential(torch.nn.Linear(6, 1)), LATENT),
                    regularizers=[RealImageInformation("digit", **settings)],
                ),
                ValueError,
                r"RandomAffine takes images \(C, H, W\), but the generator makes \(6,\)",
            )
            for settings in ({}, {"augment": RandomAffine()})
        ),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()
