"""The settings in a checkpoint: what is recorded, and what another run is refused for."""

import shutil
from pathlib import Path

import pytest
import torch

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.data import Brightness, Compose, Contrast
from infogan_lib.regularizers import Consistency, DiscriminatorRegularizer, RealImageInformation
from resume_toys import fit, trainer, weights

RUN_BY_0_1 = Path(__file__).with_name("data") / "run_by_0_1"


class FlipOver:
    """An augmentation with a class of its own."""

    def __call__(self, images, rng):
        return images.flip(-1)


def flip(images, rng):
    return images.flip(-1)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"augment": flip}, r"augmented.augment was False and is True\. Use the run"),
        ({}, {"discriminator_augment": flip}, r"augmented.discriminator_augment was False and is True\. Use the run"),
        ({"augment": flip}, {"augment": FlipOver()}, "augmented.augment was True and is FlipOver"),
        (
            {"augment": Brightness(0.5)},
            {"augment": Contrast(0.5)},
            "augment.class was Brightness and is Contrast",
        ),
        ({"augment": Brightness(0.5)}, {"augment": Brightness(0.2)}, "augmented.augment.amount was 0.5 and is 0.2"),
        (
            {"discriminator_augment": Compose([flip, Brightness(0.5)])},
            {"discriminator_augment": Compose([flip, Contrast(0.5)])},
            r"discriminator_augment.augmentations\[1\].class was Brightness and is Contrast",
        ),
        (
            {"regularizers": [Consistency(Brightness(0.5))]},
            {"regularizers": [Consistency(Contrast(0.5))]},
            r"regularizers\[0\].augment.class was Brightness and is Contrast",
        ),
        (
            {"regularizers": [RealImageInformation("digit", augment=None)]},
            {"regularizers": [RealImageInformation("digit", augment=flip)]},
            r"regularizers\[0\].augment was absent and is True",
        ),
        (
            {"regularizers": [Consistency(flip)]},
            {"regularizers": [Consistency(FlipOver())]},
            r"regularizers\[0\].augment was True and is FlipOver",
        ),
        (
            {"regularizers": [Consistency(every=2)]},
            {"regularizers": [Consistency(every=3)]},
            r"regularizers\[0\].every was 2 and is 3",
        ),
    ],
)
def test_terms_and_augmentations_are_told_apart(tmp_path, before, after, message):
    fit(trainer(**before), steps=2, checkpoints=tmp_path)
    assert fit(trainer(**before), steps=3, checkpoints=tmp_path).steps == 3
    with pytest.raises(ig.CheckpointError, match=message):
        fit(trainer(**after), steps=4, checkpoints=tmp_path)


def test_private_attributes_of_a_regularizer_may_differ(tmp_path):
    class Caches(DiscriminatorRegularizer):
        name, weight = "caches", 0.1

        def __init__(self, cached):
            self._cached = cached

        def __call__(self, real, fake, discriminate, rng):
            return discriminate(real).square().mean()

    fit(trainer(regularizers=[Caches(1)]), steps=2, checkpoints=tmp_path)
    assert fit(trainer(regularizers=[Caches(2)]), steps=3, checkpoints=tmp_path).steps == 3


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_a_run_of_version_0_1_is_refused_and_left_alone(tmp_path):
    run = shutil.copytree(RUN_BY_0_1, tmp_path / "run")
    files = contents(run)
    t = trainer()
    before = {name: value.clone() for name, value in weights(t).items()}
    message = "it was written by infogan-lib 0.1.0, an older version, whose runs cannot be resumed by this one; finish"
    for load in (
        lambda: fit(t, checkpoints=Checkpoints(None, resume=run)),
        lambda: fit(t, checkpoints=run),
        lambda: t.load_checkpoint(run),
        lambda: t.load_checkpoint(run / "checkpoints" / "step_0000000004"),
    ):
        with pytest.raises(ig.CheckpointError, match=message):
            load()
    assert contents(run) == files
    assert all(torch.equal(value, before[name]) for name, value in weights(t).items())
