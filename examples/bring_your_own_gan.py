"""Turn an ordinary DCGAN into an InfoGAN: the networks know nothing of codes, the library attaches Q to D's own layers.

The networks have the shape of the DCGAN in PyTorch's tutorial: 64 x 64 images, a latent (N, 100, 1, 1), a Sigmoid at
the end of D. They are not changed; of the 100 inputs, 10 are now a categorical code.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from infogan_lib import Categorical, InfoGANTrainer, LatentSpec, Noise
from infogan_lib.viz import plot_categories, save_figure
from mnist_files import load_mnist

NZ, NGF, NDF, NC = 100, 64, 64, 1  # the tutorial's names: width of the latent, channels of G, of D, of the images


def dcgan_generator(nz: int = NZ, ngf: int = NGF, nc: int = NC) -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(ngf * 8),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf * 4),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def dcgan_discriminator(ndf: int = NDF, nc: int = NC) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ndf * 2),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ndf * 4),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ndf * 8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500, help="number of updates of each network (default: 500)")
    parser.add_argument("--batch-size", type=int, default=64, help="images per batch (default: 64)")
    parser.add_argument("--out", type=Path, default=Path("runs/own_gan"), help="output folder (default: runs/own_gan)")
    options = parser.parse_args()
    images = F.interpolate(load_mnist()["train"][0][:20_000].float() / 127.5 - 1, size=64)

    torch.manual_seed(0)
    generator, discriminator = dcgan_generator(), dcgan_discriminator()

    latent = LatentSpec(z=Noise(90), digit=Categorical(10))
    trainer = InfoGANTrainer(generator, discriminator, latent)
    trainer.fit(images, steps=options.steps, batch_size=options.batch_size)

    save_figure(plot_categories(trainer.model, "digit"), options.out / "categories.png")
    bound = trainer.history["bound/digit"][-20:].mean()
    print(f"the digit code carries {bound:.2f} of {latent.entropy['digit']:.2f} nats; see {options.out}/categories.png")


if __name__ == "__main__":
    main()
