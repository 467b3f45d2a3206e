"""The monitor on real runs: it reports each failure on a run that fails that way, and nothing on a healthy one."""

import re

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

import infogan_lib as ig
from infogan_lib import Tap, losses
from infogan_lib.evaluation import CollapseMonitor
from infogan_lib.evaluation.probe import Probe
from infogan_lib.networks import BatchNormQHead
from toys import make_trainer


def blobs(n=512):
    """Images (n, 1, 8, 8) of four kinds: a square in one of the corners, shifted by a pixel and of any brightness."""
    rng = torch.Generator().manual_seed(0)
    images = torch.full((n, 1, 8, 8), -1.0)
    corner = torch.randint(4, (n,), generator=rng)
    down, right = torch.randint(2, (2, n), generator=rng)
    bright = torch.rand(n, generator=rng)
    for i in range(n):
        y, x = 4 * (corner[i] // 2) + down[i], 4 * (corner[i] % 2) + right[i]
        images[i, 0, y : y + 3, x : x + 3] = bright[i]
    return images


def spec(**changes):
    parts = {"z": ig.Noise(8), "digit": ig.Categorical(4), "style": ig.Uniform(2, weight=0.3)}
    return ig.LatentSpec({**parts, **changes})


class Altered(nn.Module):
    """A generator that alters its latents first: it ignores an input, or merges two categories."""

    def __init__(self, alter):
        super().__init__()
        self.alter = alter
        self.body = generator()

    def forward(self, latents):
        return self.body(self.alter(latents.clone()))


class NeverPredicts(nn.Module):
    """A Q head that never predicts one category."""

    def __init__(self, category):
        super().__init__()
        self.category = category
        self.body = nn.Linear(64, 8)

    def forward(self, features):
        raw = self.body(features)
        logits = raw[:, :4].clone()
        logits[:, self.category] = logits.min(1).values - 1
        return torch.cat([logits, raw[:, 4:]], 1)


def generator(width=14):
    layers = [nn.Linear(width, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh())


def discriminator():
    hidden = [nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64), nn.LeakyReLU(0.1)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 1))


def symptoms(steps=400, *, latent=None, g=None, every=100, after=200, real_after=10_000, **settings):
    """What the monitor reports for a run on the blobs; test_real_image_runs.py has the categories of real images."""
    torch.manual_seed(0)
    monitor = CollapseMonitor(every=every, after=after, real_after=real_after, on_symptom=lambda symptom: None)
    trainer = make_trainer((g or generator)(), discriminator(), latent or spec(), device="cpu", **settings)
    trainer.fit(blobs(), steps=steps, batch_size=64, callbacks=[monitor])
    return monitor.symptoms


def saturated():
    """A generator whose Tanh passes no gradient."""
    network = generator()
    nn.init.constant_(network[6].bias, 100.0)
    return network


def silenced(columns):
    def alter(latents):
        latents[:, columns] *= 1e-12
        return latents

    return lambda: Altered(alter)


def merged(latents):
    latents[:, 10:12] = latents[:, 10:12].mean(1, keepdim=True)  # categories 2 and 3 of 'digit'
    return latents


NO_INFORMATION = {"digit": ig.Categorical(4, weight=0), "style": ig.Uniform(2, weight=0)}


QUICK = {"steps": 80, "every": 40, "after": 40}


def test_a_healthy_run_has_no_symptoms():
    assert symptoms(200, every=50, after=100) == []


@pytest.mark.slow
def test_a_long_healthy_run_has_no_symptoms():
    assert symptoms(1500) == []


@pytest.mark.slow
def test_a_healthy_run_with_the_default_terms_has_no_symptoms():
    assert symptoms(regularizers=None, real_after=200) == []


@pytest.mark.slow
def test_a_bound_that_cannot_be_positive_is_not_flat():
    style = ig.Uniform(2, loss=losses.NormalNLL(scale=1.0))  # at most 2 (ln 2 - 0.919), which is below 0
    assert symptoms(latent=spec(style=style)) == []


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", [losses.Hinge(), losses.LeastSquares(), losses.Wasserstein()])
def test_a_healthy_run_of_another_loss_has_no_symptoms(adversarial):
    rates = {"lr_g": 1e-4, "lr_d": 1e-4} if isinstance(adversarial, losses.Wasserstein) else {}
    assert symptoms(adversarial=adversarial, **rates) == []


def check_report(reported, kind, subject, finding, steps):
    (symptom,) = [symptom for symptom in reported if (symptom.kind, symptom.subject) == (kind, subject)]
    assert symptom.step in steps
    assert re.search(finding, symptom.finding), symptom.finding
    assert str(symptom) == f"step {symptom.step}: {kind}: {symptom.finding}. Try: {symptom.advice}"


SQUARED_ERROR = r"its squared error is [\d.]+ for a variance of 0\.6"


@pytest.mark.parametrize(
    ("settings", "kind", "subject", "finding"),
    [
        ({"g": silenced(slice(0, 8))}, "inactive code", "'z'", "'z' accounts for 0.00% of the variance of the images"),
        ({"g": silenced(slice(8, 12))}, "inactive code", "'digit'", "'digit' accounts for 0.00%"),
        ({"g": silenced(slice(13, 14))}, "inactive code", "dimension 1 of 'style'", "dimension 1 of 'style' accounts"),
        ({"g": lambda: Altered(merged)}, "merged categories", "digit", "the images of categories 2 and 3 of 'digit'"),
        (
            {"latent": spec(digit=ig.Categorical(4, weight=0))},
            *("flat bound", "digit", r"of 'digit': the bound is -0\.\d+ nats, of H\(c\) = 1\.39"),
        ),
        (
            {"latent": spec(style=ig.Uniform(2, weight=0))},
            *("flat bound", "style", r"H\(c\) = 1.39 nats \(mean of 40 updates\)"),
        ),
        ({"latent": spec(style=ig.Uniform(2, weight=0, loss=losses.MSE()))}, "flat bound", "style", SQUARED_ERROR),
        (
            {"latent": spec(style=ig.Uniform(2, weight=0, loss=losses.NormalNLL(scale=1.0)))},
            *("flat bound", "style", SQUARED_ERROR),
        ),
        (
            {"g": saturated, "latent": spec(**NO_INFORMATION)},
            *("vanishing gradient", "G and Q", r"of G and Q is 0 \(median of 40 updates\)"),
        ),
    ],
)
def test_a_failing_run_is_reported(settings, kind, subject, finding):
    check_report(symptoms(**QUICK, **settings), kind, subject, finding, steps=(80,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "kind", "subject", "finding"),
    [
        ({"lr_g": 1.0}, "identical outputs", "", "makes nearly the same image for every latent; only 0.00%"),
        (
            {"lr_d": 3e-3, "lr_g": 1e-6},
            *("discriminator saturated", "", r"without error: its loss is \S+ .*; a constant D scores 1\.4"),
        ),
        (
            {"lr_d": 3e-3, "lr_g": 1e-6, "adversarial": losses.Hinge()},
            *("discriminator saturated", "", "a constant D scores 2"),
        ),
        (
            {"lr_d": 3e-3, "lr_g": 1e-6, "adversarial": losses.LeastSquares()},
            *("discriminator saturated", "", "a constant D scores 0.25"),
        ),
        (
            {"scheduler": lambda o: LambdaLR(o, lambda n: 1 if n < 200 else 100), "adversarial": losses.Wasserstein()},
            *("exploding gradient", "D", r"of D is [\d.]+e\+\d+ \(median of 100 updates\); it was \d"),
        ),
    ],
)
def test_a_longer_failing_run_is_reported(settings, kind, subject, finding):
    check_report(symptoms(**settings), kind, subject, finding, steps=(300, 400))


@pytest.mark.parametrize(
    "settings",
    [
        {"g": silenced(slice(0, 8)), **QUICK},
        {"g": silenced(slice(13, 14)), **QUICK},
        {"g": lambda: Altered(merged), **QUICK},
        {"latent": spec(digit=ig.Categorical(4, weight=0)), **QUICK},
        pytest.param({"lr_d": 3e-3, "lr_g": 1e-6}, marks=pytest.mark.slow),
    ],
)
def test_one_fault_is_one_symptom(settings):
    assert len(symptoms(**settings)) == 1


@pytest.mark.slow
def test_a_category_that_q_never_predicts_is_reported():
    torch.manual_seed(1)
    reported = [symptom for symptom in symptoms(q_head=NeverPredicts(1)) if 1 in symptom.categories]
    # Its images are predicted as other categories: spread over them, or all as one, with which it has then merged.
    assert reported[0].kind in ("unused categories", "merged categories")
    assert reported[0].step == 300


class Faint(nn.Module):
    """A generator whose images differ by little."""

    def __init__(self):
        super().__init__()
        self.body = generator()

    def forward(self, latents):
        return 0.1 * self.body(latents)


def far_apart(*, joint, momentum=0.1):
    """A run whose real and generated images lie far apart for BatchNorm in D, and the reported symptoms."""
    torch.manual_seed(0)
    monitor = CollapseMonitor(every=50, after=200, real_after=10_000, on_symptom=lambda symptom: None)
    trainer = make_trainer(
        Faint(),
        nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(64, momentum=momentum), nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, 1)
        ),
        spec(),
        tap=Tap("4", "input"),  # behind the BatchNorm
        q_head=BatchNormQHead,
        adversarial=NoAdversary(),
        lr_d=2e-4,  # so that D stays behind
        joint_batches=joint,
        device="cpu",
    )
    with pytest.warns(UserWarning, match=r"data lies in .* reaches \[-0.1, 0.1\] only"):
        trainer.fit(0.1 * blobs() - 0.9, steps=400, batch_size=64, callbacks=[monitor])
    return trainer, monitor.symptoms


class NoAdversary(losses.AdversarialLoss):
    """An adversarial loss without gradients."""

    def real(self, logits):
        return 0 * logits + 0.7

    fake = generator = real


@pytest.mark.slow
def test_a_train_eval_mismatch_is_reported():
    trainer, reported = far_apart(joint=False)
    (symptom,) = [symptom for symptom in reported if symptom.kind == "train/eval mismatch"]
    assert re.search(
        r"'digit' correctly for (9\d|100)% of generated .* but for \d\d?% in eval mode", symptom.finding
    ), symptom.finding
    assert "joint_batches=True" in symptom.advice
    requested = torch.arange(4).repeat(50)
    predicted = trainer.model.encode(trainer.model.sample(200, digit=requested))["digit"].mode.argmax(1)
    assert (predicted == requested).float().mean() < 0.7
    apart, joint = (Probe(trainer.model, samples=64, joint=joint)(0, 0) for joint in (False, True))
    assert torch.equal(joint.confusion["digit"], apart.eval_confusion["digit"])  # joint batches are probed in eval mode
    assert not joint.eval_confusion


@pytest.mark.slow
def test_statistics_that_lag_behind_are_reported():
    _, reported = far_apart(joint=True, momentum=1e-4)
    assert {symptom.kind for symptom in reported} == {"train/eval mismatch"}
    assert re.search(
        r"Q recovers (9\d|100)% of 'digit' in training mode, .* for only \d\d?% of generated images",
        reported[0].finding,
    )
    assert "momentum" in reported[0].advice


@pytest.mark.slow
def test_joint_batches_cure_a_train_eval_mismatch():
    trainer, reported = far_apart(joint=True)
    assert not [symptom for symptom in reported if symptom.kind in ("train/eval mismatch", "merged categories")]
    requested = torch.arange(4).repeat(50)
    predicted = trainer.model.encode(trainer.model.sample(200, digit=requested))["digit"].mode.argmax(1)
    assert (predicted == requested).float().mean() > 0.95
