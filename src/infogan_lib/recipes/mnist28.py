"""The InfoGAN paper's MNIST, and what this library does by default."""

from infogan_lib.latent.continuous import Noise, Uniform
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import NormalNLL
from infogan_lib.recipes.architectures import paper_discriminator, paper_generator
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.regularizers.real_information import RealImageInformation
from infogan_lib.training import Optimizers


def latent_with_light_styles() -> LatentSpec:
    """The paper's latent; a small weight, and a floor under Q's scale, keep the styles from deciding the digit."""
    style = Uniform(2, weight=0.05, loss=NormalNLL(log_scale_range=(-1.5, 0.5)))
    return LatentSpec(z=Noise(62), digit=Categorical(10), style=style)


@register("default")
def default(width: float = 1.0) -> Recipe:
    """Finds the ten digits within minutes on a CPU.

    The paper's networks, narrower, with a D without BatchNorm, so that Q sees real and generated images alike. Q is
    asked to be decided about real images as well; a floor under its scale keeps the styles from crowding out the
    digits; the average of G's last weights is shown.
    """
    latent = latent_with_light_styles()
    channels, hidden = max(1, round(32 * width)), max(1, round(256 * width))
    return Recipe(
        generator=paper_generator(latent.width, channels=channels, hidden=hidden),
        discriminator=paper_discriminator(channels=channels, hidden=hidden, norm=False),
        latent=latent,
        image_size=28,
        batch_size=128,
        steps=1400,
        optimizers=Optimizers(d=5e-4),
        trainer_kwargs={
            "ema_decay": 0.995,
            "regularizers": [RealImageInformation("digit", weight=2.0)],
        },
    )


@register("paper")
def paper(width: float = 1.0) -> Recipe:
    """The InfoGAN paper's MNIST: nothing but the bound.

    From the paper: both networks, 62 noise, one code of ten, two uniform codes, Adam 1e-3 for G and 2e-4 for D with
    beta1 0.5, batch 128, 50 epochs of 100 updates. Q is the library's own head, which has the paper's form.

    Source: Chen et al., InfoGAN, NeurIPS 2016, appendix C.1.
    """
    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2))
    channels, hidden = max(1, round(64 * width)), max(1, round(1024 * width))
    return Recipe(
        generator=paper_generator(latent.width, channels=channels, hidden=hidden),
        discriminator=paper_discriminator(channels=channels, hidden=hidden),
        latent=latent,
        image_size=28,
        batch_size=128,
        steps=5000,
        optimizers=Optimizers(g=1e-3, d=2e-4),
    )
