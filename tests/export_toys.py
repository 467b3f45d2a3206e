"""Networks of every form that an export takes, and a model of drawn digits that needs no training."""

from functools import partial

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, Uniform
from infogan_lib.networks.ema import make_ema
from toys import PartsGenerator, dense_discriminator

STROKES = {
    "0": [(0.5, 0.15), (0.3, 0.3), (0.3, 0.7), (0.5, 0.85), (0.7, 0.7), (0.7, 0.3), (0.5, 0.15)],
    "1": [(0.5, 0.15), (0.5, 0.85)],
    "4": [(0.6, 0.85), (0.6, 0.15), (0.25, 0.6), (0.75, 0.6)],
    "7": [(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)],
}
"""Digits as one stroke each, in the unit square."""

DIGITS = LatentSpec(z=Noise(3), digit=Categorical(4), style=Uniform(2))


def drawn(strokes: list[tuple[float, float]], size: int = 28, width: float = 0.09, ink: int = 255) -> Image.Image:
    """A stroke on a square, light on dark, or dark on light for other ink."""
    picture = Image.new("L", (8 * size, 8 * size), 255 - ink)
    points = [(8 * size * x, 8 * size * y) for x, y in strokes]
    draw = ImageDraw.Draw(picture)
    draw.line(points, fill=ink, width=round(8 * size * width), joint="curve")
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def as_tensor(picture: Image.Image) -> Tensor:
    """A gray picture (1, H, W) from 0 to 1."""
    return (
        torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).reshape(1, *picture.size[::-1]).float() / 255
    )


class DigitGenerator(nn.Module):
    """Draws the digit of the category; the first style makes it brighter, noise adds a faint pattern."""

    def __init__(self) -> None:
        super().__init__()
        self.templates = nn.Parameter(torch.stack([as_tensor(drawn(s)) for s in STROKES.values()]))
        self.pattern = nn.Parameter(0.01 * torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)))

    def forward(self, latent):
        z, digit, style = latent.split([3, 4, 2], dim=1)
        ink = (digit @ self.templates.flatten(1)).unflatten(1, (1, 28, 28))
        noise = (z @ self.pattern.flatten(1)).unflatten(1, (1, 28, 28))
        faint = 0.01 * style[:, 1:, None, None]
        return (ink * (0.7 + 0.2 * style[:, :1, None, None]) + (noise + faint) * ink).clamp(0, 1)


class DigitReader(nn.Module):
    """Correlates a picture with the four digits; the style is its brightness."""

    def __init__(self, templates: Tensor) -> None:
        super().__init__()
        self.templates = nn.Parameter(_normalized(templates.detach()))
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images):
        logits = self.scale * _normalized(images) @ self.templates.t()
        brightness = images.flatten(1).amax(1, keepdim=True) * self.scale / 20
        return torch.cat([logits, 5 * (brightness - 0.7), 0 * brightness, brightness - 2, brightness - 2], dim=1)


def _normalized(images: Tensor) -> Tensor:
    rows = images.flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)


def digit_model() -> InfoGAN:
    """A model whose categories are four digits, with names."""
    generator = DigitGenerator()
    reader = DigitReader(generator.templates)
    model = InfoGAN(generator, dense_discriminator((1, 28, 28)), DIGITS, q_network=reader, pixel_range=(0, 1))
    model.set_category_names("digit", list(STROKES))
    return model


def hand_drawn(n: int = 128) -> Tensor:
    """The digits in other hands (n, 1, 28, 28): shifted points, thick and thin."""
    rng = torch.Generator().manual_seed(0)
    pictures = []
    for i in range(n):
        strokes = list(STROKES.values())[i % 4]
        moves = 0.04 * torch.randn(len(strokes), 2, generator=rng)
        moved = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(strokes, moves.tolist(), strict=True)]
        pictures.append(as_tensor(drawn(moved, width=0.07 + 0.05 * torch.rand(1, generator=rng).item())))
    return torch.stack(pictures)


class MapGenerator(nn.Sequential):
    """Takes (N, L, 1, 1)."""

    def __init__(self, width: int) -> None:
        layers = [nn.ConvTranspose2d(width, 6, 4), nn.BatchNorm2d(6), nn.ReLU()]
        super().__init__(*layers, nn.ConvTranspose2d(6, 1, 4, 2, 1), nn.Tanh())


class ConvDiscriminator(nn.Sequential):
    def __init__(self) -> None:
        layers = [nn.Conv2d(1, 6, 4, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(6, 8, 4, 2, 1), nn.BatchNorm2d(8)]
        super().__init__(*layers, nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(32, 1))


class SequenceGenerator(nn.Sequential):
    """Takes (N, L, 1), gives sounds (N, 1, 8)."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.ConvTranspose1d(width, 4, 4), nn.ReLU(), nn.ConvTranspose1d(4, 1, 4, 2, 1), nn.Tanh())


class IndexGenerator(nn.Module):
    """Takes noise, the index of a category, and style."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.parts = PartsGenerator()

    def forward(self, noise, category, style):
        return self.parts(noise, self.embedding(category), style)


class OwnHead(nn.Module):
    """A dict of Q's outputs, per code."""

    def __init__(self, shape, outputs, sizes) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(torch.Size(shape).numel(), n) for name, n in sizes.items()})

    def forward(self, features):
        return {name: head(features.flatten(1)) for name, head in self.heads.items()}


def own_head(latent: LatentSpec):
    return partial(OwnHead, sizes={name: code.num_outputs for name, code in latent.codes.items()})


def with_moved_average(model: InfoGAN) -> InfoGAN:
    """The model with an average of G that has other weights than G."""
    model.ema_generator = make_ema(model.generator, 0.9)
    with torch.no_grad():
        for parameter in model.ema_generator.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model
