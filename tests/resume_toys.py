"""Trainers, data and comparisons of runs that the tests of resuming share."""

import json
import random
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

import infogan_lib as ig
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

STEPS = 12  # of five batches an epoch


def trainer(latent=LATENT, **changes):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - what a user's items may draw from
    random.seed(0)
    discriminator = dense_discriminator()
    discriminator.insert(4, nn.Dropout(0.3))
    return make_trainer(dense_generator(latent.width), discriminator, latent, device="cpu", **changes)


def fit(t, data=None, *, steps=STEPS, **options):
    t.fit(images(40) if data is None else data, steps=steps, **{"batch_size": 8} | options)
    return t


def weights(t):
    return {**t.model.state_dict()}


def moments(t):
    return [
        torch.as_tensor(value)
        for optimizer in t.optimizers.values()
        for state in optimizer.state.values()
        for value in state.values()
    ]


def all_equal(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


def same_run(a, b):
    metrics = [name for name in a.history if name != "images_per_second"]
    return (
        all_equal(list(weights(a).values()), list(weights(b).values()))
        and all(np.array_equal(a.history[name], b.history[name], equal_nan=True) for name in metrics)
        and all_equal(moments(a), moments(b))
        and (a.steps, a.epochs, a.history.epochs) == (b.steps, b.epochs, b.history.epochs)
        and torch.equal(a.streams["latents"].get_state(), b.streams["latents"].get_state())
    )


class StopsAt(ig.Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            raise KeyError("stopped")


class Noisy(Dataset):
    """Items that draw from all three global generators."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        noise = torch.randn(1, 4, 4) + np.random.rand() + random.random()  # noqa: NPY002
        return (images(40)[index] + 0.1 * noise).clamp(-1, 1)


def lines_in(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


class WaitsForWorker(Noisy):
    def __getitem__(self, index):
        time.sleep(0.05)
        return super().__getitem__(index)
