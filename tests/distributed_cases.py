"""Trainings that several processes and one process make alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import infogan_lib as ig
from infogan_lib import losses, regularizers
from infogan_lib.callbacks import PretrainQ
from infogan_lib.data.augmentation import RandomAffine, Translation
from infogan_lib.step.replicas import tensors_in
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

SGD = {"g_optimizer": torch.optim.SGD, "d_optimizer": torch.optim.SGD, "q_optimizer": torch.optim.SGD}


class Result(NamedTuple):
    """What a training ended with."""

    rank: int
    world_size: int
    state: dict[str, Tensor]
    history: dict[str, list[float]]


class RandomItems(Dataset):
    """Images with noise from torch's global generator."""

    def __init__(self, n: int) -> None:
        self.images = images(n, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return 0.9 * self.images[index] + 0.1 * torch.rand(1, 4, 4, dtype=torch.float64)


class NormOfHalves(nn.BatchNorm1d):
    """BatchNorm of each half of a batch by itself, with the running statistics of all of it."""

    def forward(self, x: Tensor) -> Tensor:
        whole = super().forward(x)
        if not self.training:
            return whole
        scale = {"weight": self.weight, "bias": self.bias, "training": True, "eps": self.eps}
        return torch.cat([nn.functional.batch_norm(half, None, None, **scale) for half in x.tensor_split(2)])


def with_norms_of_halves() -> tuple[nn.Module, nn.Module]:
    networks = dense_generator(), dense_discriminator()
    for network in networks:
        for i, layer in enumerate(network):
            if isinstance(layer, nn.BatchNorm1d):
                network[i] = NormOfHalves(layer.num_features)
    return networks


def convolutional() -> tuple[nn.Module, nn.Module]:
    g = nn.Sequential(
        nn.Unflatten(1, (LATENT.width, 1, 1)),
        nn.ConvTranspose2d(LATENT.width, 8, 4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Tanh(),
    )
    d = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(128, 1),
    )
    return g, d


def dropping_discriminator() -> nn.Module:
    layers = [nn.Linear(16, 12), nn.Dropout(0.3), nn.LeakyReLU(0.1), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 1)]
    return nn.Sequential(nn.Flatten(), *layers)


def spectral() -> tuple[nn.Module, nn.Module]:
    """A discriminator of spectral norm 1, each of whose layers keeps a buffer that every pass changes."""
    g, d = convolutional()
    return g, nn.Sequential(*(nn.utils.spectral_norm(x) if isinstance(x, nn.Conv2d | nn.Linear) else x for x in d))


def contrastive() -> regularizers.Contrastive:
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    return regularizers.Contrastive(classifier, weight=0.5, every=2)


def augment(x: Tensor, rng: torch.Generator) -> Tensor:
    return x + 0.1 * torch.randn(len(x), 1, 1, 1, generator=rng, dtype=x.dtype)


def data_of(kind: str) -> Any:
    x = images(60, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    return {
        "tensor": lambda: x,
        "items": lambda: RandomItems(60),
        "list": lambda: list(x.split(11)),
        "loader": lambda: DataLoader(TensorDataset(x), 9, shuffle=True, drop_last=True),
        "own loader": lambda: DataLoader(TensorDataset(x), 9, shuffle=True, drop_last=True, generator=generator),
        "iterable": lambda: (batch for batch in x.repeat(100, 1, 1, 1).split(10)),
        "wide": lambda: images(60, (1, 8, 8), dtype=torch.float64),
        "labeled": lambda: (x, torch.arange(60) % 4),
        "half labeled": lambda: (x, torch.where(torch.arange(60) % 5 < 2, torch.arange(60) % 4, -1)),
    }[kind]()


LABELED = ig.LatentSpec(z=ig.Noise(5), digit=ig.Label(4), style=ig.Uniform(2, weight=0.5))

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "Adam": {"sgd": False},
    "default regularizers": {"regularizers": None},
    "adversarial images": {
        "regularizers": lambda: [
            regularizers.RealImageInformation("digit", augment=None),
            regularizers.VirtualAdversarial("digit", after=0),
        ]
    },
    "joint": {"joint_batches": True, "regularizers": None},
    "accumulated": {"accumulation_steps": 3, "batch_size": 14},
    "several updates": {"d_steps": 2, "g_steps": 3, "ema_decay": 0.9},
    "augmented": {"augment": augment, "discriminator_augment": Translation(0.25)},
    "affine": {"augment": RandomAffine()},
    "mode seeking": {"regularizers": lambda: [regularizers.ModeSeeking(after=2)], "batch_size": 13},
    "contrastive": {"regularizers": lambda: [contrastive()], "batch_size": 13},
    "penalties": {
        "regularizers": lambda: [regularizers.R1(1.0, every=2), regularizers.GradientPenalty()],
    },
    "consistency": {"regularizers": lambda: [regularizers.Consistency(weight=1.0)]},
    "relativistic average": {"adversarial": losses.RelativisticAverage()},
    "relativistic joint": {"adversarial": losses.RelativisticPair(), "joint_batches": True},
    "no information in the generator": {"information_trains": ("trunk", "q_head")},
    "convolutions": {"networks": convolutional, "data": "wide"},
    "spectral normalization": {"networks": spectral, "data": "wide"},
    "dropout": {"networks": lambda: (dense_generator(), dropping_discriminator())},
    "schedule": {"scheduler": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 5)},
    "random items": {"data": "items"},
    "random items by workers": {"data": "items", "num_workers": 1},
    "list of batches": {"data": "list"},
    "loader": {"data": "loader"},
    "loader with dropout": {"data": "loader", "networks": lambda: (dense_generator(), dropping_discriminator())},
    "own loader": {"data": "own loader"},
    "iterable": {"data": "iterable"},
    "labels": {"data": "labeled", "latent": LABELED},
    "labels of some": {"data": "half labeled", "latent": LABELED, "accumulation_steps": 2},
    "pretrained": {
        "regularizers": lambda: [regularizers.RealImageInformation("digit")],
        "callbacks": lambda: [PretrainQ(images(40, dtype=torch.float64), steps=3, starts=3, batch_size=8)],
    },
    "learned prior": {
        "latent": ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4, learn_probs_after=3), style=ig.Uniform(2)),
        "regularizers": None,
    },
}


def build(case: dict[str, Any]) -> tuple[ig.InfoGANTrainer, Any, dict[str, Any]]:
    """A trainer in float64, its data and the arguments of `fit`."""
    case = {"steps": 50, "batch_size": 11, "data": "tensor", "sgd": True, "regularizers": (), **case}
    torch.manual_seed(1)
    latent, networks = case.pop("latent", LATENT), case.pop("networks", None)
    g, d = (dense_generator(), dense_discriminator()) if networks is None else networks()
    fit = {name: case.pop(name) for name in ("steps", "batch_size", "num_workers", "checkpoints") if name in case}
    fit |= {"callbacks": case.pop("callbacks")()} if "callbacks" in case else {}
    if case["data"] in ("list", "loader", "own loader", "iterable"):
        del fit["batch_size"]
    terms, data, sgd = case.pop("regularizers"), data_of(case.pop("data")), case.pop("sgd")
    optimizers = {**SGD, "lr_g": 0.05, "lr_d": 0.05, "lr_q": 0.05} if sgd else {}
    terms = terms() if isinstance(terms, Callable) else terms
    trainer = make_trainer(g.double(), d.double(), latent, regularizers=terms, **optimizers, **case)
    torch.manual_seed(2)
    return trainer, data, fit


def result_of(trainer: ig.InfoGANTrainer) -> Result:
    """The state and history of a trainer."""
    parts = {name: part.state_dict() for name, part in trainer._ledger.parts.items() if name != "global_rng"}
    state = {name: tensor.clone() for name, tensor in tensors_in(parts)}
    history = {name: [*map(float, trainer.history[name])] for name in trainer.history if name != "images_per_second"}
    return Result(trainer.distributed.rank, trainer.distributed.world_size, state, history)


def train(name: str, steps: int = 50, **changes: Any) -> Result:
    """Train one of the cases."""
    trainer, data, fit = build(CASES[name] | changes | {"steps": steps})
    trainer.fit(data, **fit)
    return result_of(trainer)
