"""A recipe that trains in a moment, for processes that the sweep starts and that import it from here."""

import os
import signal

import torch

from infogan_lib import Engine
from infogan_lib.recipes import Recipe
from toys import LATENT, dense_discriminator, dense_generator, images

LABELS = torch.arange(32) % 3


def tiny(seed=0, scale=1.0, steps=4, fails=False, terms=()):
    if fails:
        raise RuntimeError("this one fails")
    torch.manual_seed(seed)
    return Recipe(
        generator=dense_generator(),
        discriminator=dense_discriminator(),
        latent=LATENT,
        image_size=4,
        batch_size=8,
        steps=steps,
        engine=Engine("cpu"),
        trainer_kwargs={"g_steps": int(scale), "regularizers": terms},
        seed=seed,
    )


def data():
    return images(32)


def labeled():
    return images(32), LABELS


class Source:
    """Data that a method loads."""

    def __init__(self, seed):
        self.seed = seed

    def load(self):
        return images(32, seed=self.seed)


def unload():
    raise RuntimeError("it cannot be made in another process")


class Unloadable:
    """What can be sent to another process, and not be received."""

    def __reduce__(self):
        return unload, ()


def brightness(model):
    return {"brightness": model.sample(8, seed=0).mean()}


def unmeasurable(model):
    raise RuntimeError("not to be measured")


def killed_once(seed=0):
    """A recipe whose process kills itself the first time, as a power cut would."""
    marker = os.environ["INFOGAN_TEST_MARKER"]
    if seed == 1 and not os.path.exists(marker):  # noqa: PTH110
        open(marker, "w").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny(seed)
