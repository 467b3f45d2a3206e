"""The InfoGAN of InfoGAN-CR on images as in dSprites: sprites."""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from infogan_lib.latent import LatentSpec, Noise, Uniform
from infogan_lib.losses.information import NormalNLL
from infogan_lib.recipes.architectures import init_paper, scale_channels
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.step import Optimizers


@register("sprites")
def sprites(width: float = 1.0) -> Recipe:
    """Five continuous codes on binary images of 64 x 64, for disentanglement scores.

    The InfoGAN that InfoGAN-CR starts from, the row "InfoGAN (modified)" of its tables: a D under spectral norm, two
    updates of G for one of D, a small information weight. The contrastive regularizer, which the paper adds for the
    last tenth of its run, is not part of it.

    From the paper: the layers, five codes and five noise from U(-1, 1), Adam 1e-3 for G and 2e-3 for D with beta1 0.5,
    batch 64, 28 epochs of 737,280 images, information weight 0.05.

    From its authors' code, where the paper is silent: weights from N(0, 0.02) and biases 0; BatchNorm after the
    activation; leaky ReLU 0.2; Q is under spectral norm as well and learns at D's rate; Q's scale is fixed at 1. The
    information loss is then half the squared error, whose gradient fades as a code is found; under a learned scale it
    would grow with 1/scale^2, and a weight of 0.05 would no longer be small. The bound cannot rise above
    5 (ln 2 - 0.919) = -1.13 nats; "nll/code" falls from 5.43, where Q knows nothing, towards 4.59.

    Different here: the second update of G draws its own latents, and Q is updated along with G, twice per step; the
    authors use one batch for both and update Q once, with D.

    Source: Lin et al., InfoGAN-CR and ModelCentrality: Self-supervised Model Training and Selection for
    Disentangling GANs, ICML 2020.
    """
    n32, n64, n128 = scale_channels(width, 32, 64, 128)
    latent = LatentSpec(z=Noise(5, distribution="uniform"), code=Uniform(5, weight=0.05, loss=NormalNLL(scale=1.0)))
    generator = nn.Sequential(
        *(nn.Linear(latent.width, n128), nn.ReLU(), nn.BatchNorm1d(n128)),
        *(nn.Linear(n128, 16 * n64), nn.ReLU(), nn.BatchNorm1d(16 * n64)),
        nn.Unflatten(1, (n64, 4, 4)),
        *(nn.ConvTranspose2d(n64, n64, 4, 2, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(n64)),
        *(nn.ConvTranspose2d(n64, n32, 4, 2, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(n32)),
        *(nn.ConvTranspose2d(n32, n32, 4, 2, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(n32)),
        *(nn.ConvTranspose2d(n32, 1, 4, 2, 1), nn.Sigmoid()),
    )
    trunk = nn.Sequential(
        *(nn.Conv2d(1, n32, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(n32, n32, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(n32, n64, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(n64, n64, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(16 * n64, n128), nn.LeakyReLU(0.2)),
    )
    d_head = nn.Sequential(nn.Linear(n128, 1))
    q_head = nn.Sequential(nn.Linear(n128, n128), nn.LeakyReLU(0.2), nn.Linear(n128, latent.num_outputs))
    return Recipe(
        generator=init_paper(generator),
        discriminator=nn.Sequential(_with_spectral_norm(trunk), _with_spectral_norm(d_head)),
        q_head=_with_spectral_norm(q_head),
        tap="0",
        latent=latent,
        image_size=64,
        batch_size=64,
        epochs=28,
        optimizers=Optimizers(g=1e-3, d=2e-3, q=2e-3),
        trainer_kwargs={"g_steps": 2},
    )


def _with_spectral_norm(network: nn.Sequential) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            spectral_norm(init_paper(layer))
    return network
