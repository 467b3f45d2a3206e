r"""Whether the categories of a code are kinds of the real images, judged without labels by what Q does on them.

InfoGAN's bound is about generated images alone. It is full once Q can tell G's categories apart, and says nothing of
real images: Q may be unsure of them, put them all into a few categories, or change its mind at the least change. With T
a small change that keeps the kind of an image,

.. math::
    h = \frac{E[H(Q(c|x))]}{\ln k}, \qquad
    m = \frac{H(E[Q(c|x)])}{H(c)}, \qquad
    s = P\big[\hat c(x) = \hat c(T(x))\big], \qquad
    a = P\big[\max_c Q(c|\hat x) > \max_c Q(c|x)\big]

for real images x, generated ones :math:`\hat x` and the category :math:`\hat c(x) = \arg\max_c Q(c|x)`. h and m are the
two terms of the information of a category on real images (Krause et al., *Discriminative Clustering by Regularized
Information Maximization*, NeurIPS 2010, section 2); a is the area under the ROC curve of Q's confidence, 1/2 where Q
treats both kinds of image alike. Ties count half, and so do confidences that are both above 99%.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from infogan_lib.data.augmentation import RandomAffine
from infogan_lib.data.rng import seed_all
from infogan_lib.evaluation.probe import no_side_effects
from infogan_lib.evaluation.symptoms import Symptom
from infogan_lib.latent.category_names import categorical_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.introspection import device_and_dtype, eval_mode
from infogan_lib.regularizers.defaults import default_regularizers
from infogan_lib.regularizers.real_information import log_posterior
from infogan_lib.regularizers.virtual_adversarial import distance_between_images
from infogan_lib.step.snapshot import Snapshot

MAX_IMAGES, MIN_IMAGES, MIN_IMAGES_PER_CATEGORY = 256, 16, 4
"""Images that are looked at; fewer are not judged. The evenness of k categories takes a few images for each."""

VIEWS = 2

SMALL_WARP = RandomAffine(degrees=11.25, scale=0.1125, shear=0.15, shift=0.06)
"""Half of the default warp of `RealImageInformation`."""

SMALL_RADIUS = 0.2
"""Length of a random change of other data, relative to the distance between two images."""

SURE = 0.99

MIN_BOUND = 0.9

MAX_ENTROPY, MIN_MARGINAL_ENTROPY, MIN_STEADINESS, MAX_CONFIDENCE_AUC = 0.33, 0.7, 0.8, 0.87


@dataclass(frozen=True)
class RealPosterior:
    """What Q(c|x) of one categorical code is like on real images.

    Attributes:
        entropy: h, the mean entropy of Q(c|x) over ln k: 0 if Q is sure of every image, 1 if it knows nothing.
        marginal_entropy: m, the entropy of the mean of Q(c|x) over H(c): 1 if the categories are as evenly frequent as
            under the prior. None for too few images.
        steadiness: s, the fraction of images whose category stays the same under a small change.
        confidence_auc: a, how often Q is surer of a generated image than of a real one.
    """

    entropy: float
    marginal_entropy: float | None
    steadiness: float
    confidence_auc: float


@dataclass(frozen=True)
class RealImageResult:
    """What Q does on real images.

    Attributes:
        posteriors: Its posterior of each categorical code, by name; empty for fewer than `MIN_IMAGES` images.
        reads_batch: Whether what Q predicts for an image depends on the other images of the batch.
    """

    posteriors: Mapping[str, RealPosterior]
    reads_batch: bool = False


class RealImageProbe:
    """Compares what Q does on real images and on as many generated ones, without side effects on the run.

    Networks stay in their current mode, and either kind of image is a batch of its own, as in training. Where Q is
    trained on `joint` batches of both, it is probed in eval mode.
    """

    def __init__(self, model: InfoGAN, *, joint: bool = False) -> None:
        self._model, self._joint = model, joint
        self._q_networks = (model.discriminator, model.q)
        self._codes = categorical_names(model.latent)
        self._snapshot = Snapshot([model])

    @torch.no_grad()
    def __call__(self, images: Tensor, seed: int) -> RealImageResult:
        """Run the probe once on real images (N, *image_shape) on the model's device, `MAX_IMAGES` of them at most."""
        if len(images) < MIN_IMAGES or not self._codes:
            return RealImageResult({})
        real, n = images[:MAX_IMAGES], min(len(images), MAX_IMAGES)
        device, dtype = device_and_dtype(self._model.generator)
        rng = torch.Generator(real.device).manual_seed(seed)
        with no_side_effects(self._snapshot, device), eval_mode(*self._q_networks if self._joint else ()):
            seed_all(seed, device)
            latents = self._model.latent.sample(n, rng=torch.Generator().manual_seed(seed), device="cpu")
            generated = self._model.generate(latents.to(device, dtype))
            q_real, q_generated = self._q(real, seed), self._q(generated, seed)
            q_changed = [self._q(small_change(real, rng), seed) for _ in range(VIEWS)]
            beside_others = self._q(torch.cat([real[: n // 2], generated[n // 2 :]]), seed)
        reads_batch = not torch.allclose(q_real[: n // 2], beside_others[: n // 2], rtol=1e-3, atol=1e-4)
        posteriors = {}
        for name in self._codes:
            of_real, of_generated, *of_changed = (
                log_posterior(self._model.latent, name, outputs) for outputs in (q_real, q_generated, *q_changed)
            )
            entropy = self._model.latent.entropy[name]
            posteriors[name] = real_posterior(of_real, of_generated, of_changed, entropy)
        return RealImageResult(posteriors, reads_batch)

    def _q(self, images: Tensor, seed: int) -> Tensor:
        seed_all(seed, images.device)  # the same dropout masks for images that are compared
        return self._model.forward_q(images)


def small_change(images: Tensor, rng: torch.Generator) -> Tensor:
    """A change that keeps the kind of an image: a small warp of images (N, C, H, W), noise on other data (N, *)."""
    if images.ndim == 4:
        return SMALL_WARP(images, rng)
    noise = torch.randn(images.shape, generator=rng, device=images.device, dtype=images.dtype)
    return images + SMALL_RADIUS * distance_between_images(images) * noise / math.sqrt(noise[0].numel())


def real_posterior(
    real: Tensor, generated: Tensor, changed: list[Tensor], prior_entropy: float | None = None
) -> RealPosterior:
    """The four statistics of one code.

    Args:
        real: Log Q(c|x) (N, k) of real images.
        generated: Log Q(c|x) (M, k) of generated images.
        changed: Log Q(c|x) (N, k) of the real images after a small change, for several changes.
        prior_entropy: H(c) of the prior, in nats; ln k if None.
    """
    n, k = real.shape
    marginal = real.exp().mean(0)
    evenness = -torch.special.xlogy(marginal, marginal).sum().item() / (prior_entropy or math.log(k))
    category = real.argmax(1)
    confidence, confidence_generated = (log_q.exp().amax(1).clamp(max=SURE) for log_q in (real, generated))
    is_enough = n >= MIN_IMAGES_PER_CATEGORY * k
    return RealPosterior(
        entropy=-(real.exp() * real).sum(1).mean().item() / math.log(k),
        marginal_entropy=evenness if is_enough else None,
        steadiness=torch.stack([view.argmax(1) == category for view in changed]).float().mean().item(),
        confidence_auc=((confidence_generated[:, None] - confidence).sign().mean().item() + 1) / 2,
    )


def real_image_symptoms(
    result: RealImageResult, latent: LatentSpec, image_shape: tuple[int, ...], known: Mapping[str, float]
) -> Iterator[Symptom]:
    """Codes whose bound is nearly full while their categories are none of the real images.

    `known` is the fraction of each code that Q recovers on generated images, by name; see `known_fraction`.
    """
    for name, posterior in result.posteriors.items():
        findings = list(_findings(posterior, is_image=len(image_shape) == 3))
        if findings and known.get(name, 0.0) >= MIN_BOUND:
            yield Symptom(
                "categories not of the data",
                name,
                f"Q recovers {known[name]:.0%} of {name!r} on generated images, but its categories are no kinds of "
                f"the real images: {'; '.join(findings)}",
                _advice(name, latent, image_shape, result.reads_batch),
            )


def _findings(posterior: RealPosterior, is_image: bool) -> Iterator[str]:
    if posterior.entropy > MAX_ENTROPY:
        yield f"it is unsure of them (entropy {posterior.entropy:.0%} of ln k)"
    if posterior.marginal_entropy is not None and posterior.marginal_entropy < MIN_MARGINAL_ENTROPY:
        yield f"a few categories hold most of them (entropy {posterior.marginal_entropy:.0%} of H(c))"
    if posterior.steadiness < MIN_STEADINESS:
        change = "warp" if is_image else "change"
        yield f"only {posterior.steadiness:.0%} of them keep their category under a small {change}"
    if posterior.confidence_auc > MAX_CONFIDENCE_AUC:
        yield f"it is surer of a generated image than of a real one in {posterior.confidence_auc:.0%} of pairs"


def _advice(name: str, latent: LatentSpec, image_shape: tuple[int, ...], reads_batch: bool) -> str:
    if default_regularizers(latent, image_shape):
        terms = "the default regularizers (leave out regularizers=()), or "
    else:
        terms = ""
    if len(image_shape) == 3:
        terms += f"RealImageInformation({name!r}) among your own"
    else:
        terms += f"RealImageInformation({name!r}, augment=None) and VirtualAdversarial({name!r}) among your own"
    if reads_batch:
        terms += (
            "; a tap before any layer that looks at the batch, such as BatchNorm (tap=None), with QHead; or "
            "joint_batches=True"
        )
    return terms
