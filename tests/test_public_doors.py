"""Every argument of every public function refuses what it cannot take, by its name and before anything is done."""

import re
from fnmatch import fnmatch

import numpy as np
import pytest
import torch

import infogan_lib as ig
from doors import CALLED_BY_THE_LIBRARY, OWN_ERRORS, ROWS, cases, find_doors, is_called_by_the_library
from infogan_lib._messages import shorten
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

CASES = list(cases())


def test_every_argument_of_every_door_has_a_row():
    doors = find_doors()
    wanted = {
        (door, argument) for door, names in doors.items() if not is_called_by_the_library(door) for argument in names
    }
    known = {(row.door, row.argument) for row in ROWS}
    assert not wanted - known, "add rows to tests/doors.py"
    assert not known - wanted, "these rows are of no door"
    for pattern in CALLED_BY_THE_LIBRARY:
        assert any(fnmatch(door, pattern) for door in doors), f"no door matches {pattern}"
    assert len(CASES) > 2000


def name_of(row, value):
    return f"{row.door}({row.argument}={shorten(value, 25)})"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.door}({row.argument})" for row in ROWS])
def test_malformed_values_are_refused_by_name(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faults = []
    for value in row.bad:
        try:
            row.call(value)
        except OWN_ERRORS as error:
            if not re.search(row.label, str(error)) or len(str(error)) < 25:
                faults.append(
                    f"{name_of(row, value)} does not name {row.label!r}: {type(error).__name__}: {error}"[:400]
                )
        except Exception as error:
            faults.append(f"{name_of(row, value)} is a raw {type(error).__name__}: {error}"[:400])
        else:
            faults.append(f"{name_of(row, value)} is accepted")
    assert not faults, "\n".join(faults)
    assert not list(tmp_path.iterdir()), "something was written"


@pytest.mark.parametrize(
    "three", [np.int64(3), np.array(3), torch.tensor(3), np.uint8(3)], ids=lambda x: type(x).__name__
)
def test_whole_numbers_of_other_libraries_are_whole_numbers(three):
    trainer, same = make_trainer(seed=three, d_steps=three), make_trainer(seed=3, d_steps=3)
    trainer.fit(images(16), steps=three, batch_size=8)
    same.fit(images(16), steps=3, batch_size=8)
    pairs = zip(trainer.model.parameters(), same.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert torch.equal(trainer.model.sample(three, seed=three), same.model.sample(3, seed=3))
    model = ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT, seed=three)
    assert len(model.encode(images(4), batch_size=three)["digit"].probs) == 4
    assert ig.Engine(accumulation_steps=three).accumulation_steps == ig.Checkpoints("a", keep=three).keep == 3


def test_callbacks_may_come_from_a_generator():
    seen = []

    class Seen(ig.Callback):
        def on_step_end(self, trainer, metrics):
            seen.append(trainer.steps)

    make_trainer().fit(images(16), steps=2, batch_size=8, callbacks=(Seen() for _ in range(2)))
    assert seen == [1, 1, 2, 2]


def test_an_augmentation_that_fails_leaves_the_step_unmade():
    batches = []
    trainer = make_trainer(augment=lambda x, rng: batches.append(x) or (x if len(batches) == 1 else None))
    with pytest.raises(TypeError, match="augment must return the images .*, but in step 2 it returned None"):
        trainer.fit(images(32), steps=4, batch_size=8)
    assert trainer.steps == 1


def test_a_home_folder_is_found_wherever_a_path_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    make_trainer().model.save("~/model")
    assert (tmp_path / "model").is_dir()
