"""The categories on real images: the statistics, what is reported of a Q that fails in each way, and what is not."""

import math
import re

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.evaluation.real_images import (
    MIN_IMAGES,
    RealImageProbe,
    RealImageResult,
    RealPosterior,
    real_image_symptoms,
    real_posterior,
    small_change,
)
from infogan_lib.networks.tap import Tap
from toys import dense_discriminator

K = 4
LATENT = ig.LatentSpec(z=ig.Noise(4), kind=ig.Categorical(K))
SHAPE = (1, 8, 8)


def corners(kind, brightness=1.0):
    """Images (N, 1, 8, 8), black but for a square in the corner that the kind (N,) says."""
    images = torch.full((len(kind), *SHAPE), -1.0)
    for image, corner in zip(images, kind.tolist(), strict=True):
        y, x = 4 * (corner // 2), 4 * (corner % 2)
        image[0, y : y + 4, x : x + 4] = 2 * brightness - 1
    return images


class DrawsCorners(nn.Module):
    """A generator that draws the corner it was asked for, without a fault."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(1, 1)

    def forward(self, latents):
        return corners(latents[:, -K:].argmax(1)) + 0.01 * latents[:, 0].reshape(-1, 1, 1, 1)


class ReadsCorners(nn.Module):
    """A Q that reads how bright each corner is: as sure of an image as it is bright."""

    def forward(self, images):
        return 12 * torch.nn.functional.avg_pool2d(images, 4).flatten(1)


class ReadsDetail(nn.Module):
    """A Q that is sure of every image by what its corners' brightness is far behind the decimal point."""

    def forward(self, images):
        return 1000 * (1000 * torch.nn.functional.avg_pool2d(images, 4).flatten(1)).sin()


def model_of(q, latent=LATENT, g=None, shape=SHAPE):
    d = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 4), nn.ReLU(), nn.Linear(4, 1))
    return ig.InfoGAN(g or DrawsCorners(), d, latent, q_network=q).train()


def findings(q, real, known=0.98, **settings):
    """The symptoms of one code on real images."""
    model = model_of(q)
    result = RealImageProbe(model, **settings)(real, 0)
    return list(real_image_symptoms(result, LATENT, SHAPE, {"kind": known}))


EVEN = torch.arange(64) % K


def test_a_q_that_knows_the_kinds_of_real_images_has_no_symptoms():
    assert findings(ReadsCorners(), corners(EVEN)) == []
    assert findings(ReadsCorners(), corners(EVEN, 0.7)) == []  # darker ones, of which it is sure as well
    assert findings(ReadsCorners(), corners(EVEN), joint=True) == []


@pytest.mark.parametrize(
    ("q", "real", "found"),
    [
        pytest.param(
            ReadsCorners(),
            corners(EVEN, 0.02),
            [r"unsure of them \(entropy 9\d% of ln k\)", "generated image than of a real one in 100% of pairs"],
            id="unsure",
        ),
        pytest.param(
            ReadsCorners(),
            corners(torch.zeros(64, dtype=torch.int64)),
            [r"a few categories hold most of them \(entropy \d% of H\(c\)\)"],
            id="uneven",
        ),
        pytest.param(
            ReadsDetail(),
            corners(EVEN, 0.6) + 0.1 * torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(0)),
            [r"only \d\d% of them keep their category under a small warp"],
            id="unsteady",
        ),
        pytest.param(
            ReadsCorners(),
            corners(EVEN, 0.2),
            ["it is surer of a generated image than of a real one in 100% of pairs"],
            id="less sure",
        ),
    ],
)
def test_each_failure_on_real_images_is_reported_in_its_words(q, real, found):
    (symptom,) = findings(q, real)
    assert (symptom.kind, symptom.subject) == ("categories not of the data", "kind")
    start, said = symptom.finding.split(": ", 1)
    assert start == "Q recovers 98% of 'kind' on generated images, but its categories are no kinds of the real images"
    for text, pattern in zip(said.split("; "), found, strict=True):
        assert re.search(pattern, text), text


def test_nothing_is_said_before_the_bound_is_nearly_full():
    assert findings(ReadsCorners(), corners(EVEN, 0.05), known=0.85) == []


def test_the_statistics_are_those_of_the_equations():
    real = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]], dtype=torch.float64).clamp(min=1e-300).log()
    generated = torch.tensor([[0.8, 0.2], [0.4, 0.6]], dtype=torch.float64).log()
    views = [real.flip(1), real]
    result = real_posterior(real.repeat(4, 1), generated, [view.repeat(4, 1) for view in views])
    entropy = (-0.75 * math.log(0.75) - 0.25 * math.log(0.25) + math.log(2)) / 3
    share = 2.25 / 3
    marginal = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert result.entropy == pytest.approx(entropy / math.log(2), rel=1e-12)
    assert result.marginal_entropy == pytest.approx(marginal / math.log(2), rel=1e-12)
    assert result.steadiness == pytest.approx((1 + 1 / 3) / 2)  # the tie of the second image is the first category
    assert result.confidence_auc == pytest.approx((2 + 1) / 6)


def test_two_sure_kinds_of_image_are_not_told_apart():
    real, generated = (torch.tensor([[p, 1 - p]]).log() for p in (0.995, 0.9999999))
    assert real_posterior(real, generated, [real]).confidence_auc == 0.5


@pytest.mark.parametrize("n", [MIN_IMAGES - 1, MIN_IMAGES])
def test_a_few_images_are_not_judged(n):
    result = RealImageProbe(model_of(ReadsCorners()))(corners(EVEN[:n]), 0)
    assert bool(result.posteriors) == (n == MIN_IMAGES)


def test_the_evenness_of_many_categories_takes_more_images():
    log_q = torch.full((32, 10), 0.1).log()
    assert real_posterior(log_q, log_q, [log_q]).marginal_entropy is None
    assert real_posterior(log_q, log_q, [log_q]).entropy == pytest.approx(1.0)
    assert real_posterior(*[log_q.repeat(2, 1)] * 2, [log_q.repeat(2, 1)]).marginal_entropy == pytest.approx(1.0)


@pytest.mark.parametrize(
    "latent",
    [
        ig.LatentSpec(z=ig.Noise(4), style=ig.Uniform(2)),
        ig.LatentSpec(z=ig.Noise(4), style=ig.Uniform(2, loss=losses.MSE())),
        ig.LatentSpec(z=ig.Noise(4), bits=ig.Bernoulli(K)),
    ],
)
def test_codes_without_categories_are_not_judged(latent):
    g = nn.Sequential(nn.Linear(latent.width, 64), nn.Unflatten(1, SHAPE))
    q = nn.Sequential(nn.Flatten(), nn.Linear(64, latent.num_outputs))
    assert RealImageProbe(model_of(q, latent, g))(corners(EVEN), 0).posteriors == {}


UNSURE = RealPosterior(entropy=0.9, marginal_entropy=1.0, steadiness=0.5, confidence_auc=1.0)


@pytest.mark.parametrize(
    ("latent", "shape", "reads_batch", "advice"),
    [
        (
            *(LATENT, SHAPE, False),
            "the default regularizers (leave out regularizers=()), or RealImageInformation('kind') among your own",
        ),
        (
            *(LATENT, SHAPE, True),
            "the default regularizers (leave out regularizers=()), or RealImageInformation('kind') among your own; a "
            "tap before any layer that looks at the batch, such as BatchNorm (tap=None), with QHead; or "
            "joint_batches=True",
        ),
        (
            *(LATENT, (16,), False),
            "the default regularizers (leave out regularizers=()), or RealImageInformation('kind', augment=None) and "
            "VirtualAdversarial('kind') among your own",
        ),
        (
            *(ig.LatentSpec(kind=ig.Categorical(4), color=ig.Categorical(3)), SHAPE, False),
            "RealImageInformation('kind') among your own",
        ),
    ],
)
def test_the_advice_is_of_this_model(latent, shape, reads_batch, advice):
    result = RealImageResult({"kind": UNSURE}, reads_batch)
    (symptom,) = real_image_symptoms(result, latent, shape, {"kind": 0.95})
    assert symptom.advice == advice
    assert ("small warp" in symptom.finding) == (len(shape) == 3)


@pytest.mark.parametrize(
    ("tap", "joint", "reads_batch"),
    [(Tap("4", "input"), False, True), (Tap("4", "input"), True, False), (Tap("1", "output"), False, False)],
)
def test_a_q_behind_batch_norm_reads_the_batch_unless_batches_are_joint(tap, joint, reads_batch):
    torch.manual_seed(0)
    model = ig.InfoGAN(DrawsCorners(), dense_discriminator(SHAPE), LATENT, tap=tap).train()
    assert RealImageProbe(model, joint=joint)(corners(EVEN), 0).reads_batch is reads_batch


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 30), (5,)])
def test_a_small_change_is_small(shape):
    images = torch.randn(64, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(-1)
    changed = small_change(images, torch.Generator().manual_seed(1))
    moved = (changed - images).flatten(1).norm(dim=1).square().mean().sqrt()
    between = torch.pdist(images.flatten(1)).square().mean().sqrt()
    assert changed.dtype == torch.float64
    if len(shape) == 3:
        assert 0 < moved < 0.5 * between
    else:
        assert moved.item() == pytest.approx(0.2 * between.item(), rel=0.1)


def test_two_probes_of_one_seed_are_the_same():
    probe = RealImageProbe(model_of(ReadsDetail()))
    assert probe(corners(EVEN, 0.6), 3) == probe(corners(EVEN, 0.6), 3)
