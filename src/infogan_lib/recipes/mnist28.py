"""Recipes on MNIST's 28 x 28 images: default, this library's own, and paper, that of the InfoGAN paper."""

from infogan_lib.data.augmentation import RandomAffine
from infogan_lib.latent import Categorical, LatentSpec, Noise, Uniform
from infogan_lib.losses.information import NormalNLL
from infogan_lib.networks import BatchNormQHead, Tap
from infogan_lib.recipes.architectures import (
    late_norm_discriminator,
    paper_discriminator,
    paper_generator,
    scale_channels,
)
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.regularizers import RealImageInformation, VirtualAdversarial
from infogan_lib.step import Engine, Optimizers


def latent_with_light_styles() -> LatentSpec:
    """Return the paper's latent with styles that do not take over the digit.

    The styles have a small weight, and the scale of their posterior has a lower bound.
    """
    style = Uniform(2, weight=0.05, loss=NormalNLL(log_scale_range=(-1.5, 0.5)))
    return LatentSpec(z=Noise(62), digit=Categorical(10), style=style)


@register("default")
def default(width: float = 1.0) -> Recipe:
    """Finds the ten digits within minutes on a CPU, and draws them in many hands.

    The paper's networks, narrower. Q reads D's convolutions, in front of all BatchNorm, through a head without it. Real
    images of one category should stay so under a small warp (`RealImageInformation`) and, once the categories have
    formed, under the worst small change (`VirtualAdversarial`). A lower bound on the scale of the styles' posterior
    keeps them from taking over the digits; rates fall to zero over the second half; samples come from a moving average
    of G's weights. Q is begun on real images alone, five times, and goes on from the start that agrees most with the
    others (`PretrainQ`), as in some runs two digits else share a category.
    """
    return _with_late_norm(width, steps=2000)


@register("best")
def best(width: float = 1.0) -> Recipe:
    """The default recipe for three times as long."""
    return _with_late_norm(width, steps=6000)


def _with_late_norm(width: float, *, steps: int) -> Recipe:
    style = Uniform(2, weight=0.3, loss=NormalNLL(log_scale_range=(-1.5, 0.5)))
    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=style)
    channels, hidden = scale_channels(width, 32, 256)
    terms = [
        RealImageInformation("digit", weight=1.0, balance=4.0, augment=RandomAffine(), cluster_contrast=0.0),
        VirtualAdversarial("digit", weight=2.0, after=steps // 2),
    ]
    return Recipe(
        generator=paper_generator(latent.width, channels=channels, hidden=hidden),
        discriminator=late_norm_discriminator(channels=channels, hidden=hidden),
        latent=latent,
        image_size=28,
        batch_size=128,
        steps=steps,
        optimizers=Optimizers(g=1e-3, d=1e-3),
        decay_start=0.5,
        engine=Engine(precision="auto"),
        starts=5,
        trainer_kwargs={"ema_decay": 0.995, "regularizers": terms},
    )


@register("paper")
def paper(width: float = 1.0) -> Recipe:
    """The InfoGAN paper's MNIST: the bound and no further term.

    From the paper: both networks, 62 noise, one code of ten categories, two uniform codes, Adam 1e-3 for G and 2e-4 for
    D with beta1 0.5, batch 128, 50 epochs of 100 updates. Q is the paper's head on D's last hidden layer.

    Source: Chen et al., InfoGAN, NeurIPS 2016, appendix C.1.
    """
    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2))
    channels, hidden = scale_channels(width, 64, 1024)
    return Recipe(
        generator=paper_generator(latent.width, channels=channels, hidden=hidden),
        discriminator=paper_discriminator(channels=channels, hidden=hidden),
        q_head=BatchNormQHead,
        tap=Tap("9", "input"),
        latent=latent,
        image_size=28,
        batch_size=128,
        steps=5000,
        optimizers=Optimizers(g=1e-3, d=2e-4),
    )
