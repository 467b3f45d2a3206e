"""Two trainers never save into one folder, and copies by hand never cost a run its progress."""

import os
import shutil

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints import lock
from infogan_lib.resume.session import FitSession
from resume_toys import StopsAt, fit, same_run, trainer
from run_folder_changes import checkpoints_linked, lock_removed, lock_replaced


class Calls(ig.Callback):
    """Calls a function once, at a step."""

    def __init__(self, step, function):
        self.step, self.function = step, function

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            self.function()


def message_of(run):
    """What a call in a fork of this process ends with."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        message = "no error"
        try:
            run()
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, message.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


def unchanged(folder):
    return folder


def folder_linked(folder):
    other = folder.with_name("link")
    other.symlink_to(folder)
    return other


@pytest.mark.parametrize("change", [unchanged, lock_removed, lock_replaced, checkpoints_linked, folder_linked])
def test_a_second_trainer_is_refused_while_the_first_runs(tmp_path, change):
    folder, found = tmp_path / "run", []

    def second():
        other = change(folder)
        found.append(message_of(lambda: fit(trainer(), checkpoints=other)))

    first = fit(trainer(), callbacks=[Calls(5, second)], checkpoints=Checkpoints(folder, every=2))
    assert found[0].startswith("FolderInUseError: ")
    assert "is using it; wait until it ends, stop it, or give another folder" in found[0]
    assert same_run(first, fit(trainer()))


@pytest.mark.cpu
def test_a_fork_in_a_callback_trains_on_without_the_folder(tmp_path):
    """Its first save is refused in words, and nothing in the folder has changed by then."""
    parent, (reader, writer), message = os.getpid(), os.pipe(), "no error"

    def names():
        return sorted(path.name for part in ("checkpoints", "history") for path in (tmp_path / part).iterdir())

    def forks():
        child = os.fork()
        if child:
            before = names()
            os.waitpid(child, 0)
            assert names() == before

    try:
        t = fit(trainer(), callbacks=[Calls(5, forks)], checkpoints=Checkpoints(tmp_path, every=2))
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
    finally:
        if os.getpid() != parent:
            os.write(writer, message.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        assert f"CheckpointError: {tmp_path}: process {parent} is using it, and this is a fork" in file.read()
    assert same_run(t, fit(trainer()))


@pytest.mark.parametrize("keep", [1, 2])
def test_a_checkpoint_renamed_to_a_later_step_costs_no_progress(tmp_path, keep):
    fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path, every=2, keep=keep))
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(checkpoints / f"step_{6:010d}", checkpoints / f"step_{900:010d}")
    with pytest.warns(UserWarning, match="it holds step 6"), pytest.raises(KeyError):
        fit(trainer(), callbacks=[StopsAt(11)], checkpoints=Checkpoints(tmp_path, every=2, keep=keep))
    assert (checkpoints / f"step_{10:010d}").exists()
    with pytest.warns(UserWarning, match="it holds step 6"):
        again = fit(trainer(), checkpoints=Checkpoints(tmp_path, keep=keep))
    assert same_run(again, fit(trainer()))


def test_swapped_checkpoints_are_both_damage(tmp_path):
    fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path, every=2, keep=3))
    checkpoints = tmp_path / "checkpoints"
    first, second, aside = (checkpoints / name for name in (f"step_{4:010d}", f"step_{6:010d}", "aside"))
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    with pytest.warns(UserWarning, match="it holds step"):
        again = fit(trainer(), checkpoints=tmp_path)
    assert same_run(again, fit(trainer()))


def test_a_folder_replaced_during_a_run_stops_it(tmp_path):
    def replace():
        (tmp_path / "run").rename(tmp_path / "away")
        shutil.copytree(tmp_path / "away", tmp_path / "run")

    settings = Checkpoints(tmp_path / "run", every=2)
    with pytest.raises(ig.CheckpointError, match="moved, removed or replaced during the run"):
        fit(trainer(), callbacks=[Calls(5, replace)], checkpoints=settings)
    assert same_run(fit(trainer(), checkpoints=settings), fit(trainer()))


@pytest.mark.parametrize("place", ["the release of a lock", "the end of a call"])
def test_an_interrupt_while_the_folder_is_released_does_not_keep_it(tmp_path, monkeypatch, place):
    owner, name = (lock, "_release") if place == "the release of a lock" else (FitSession, "__exit__")
    left, function = [1], getattr(owner, name)

    def interrupted(*arguments):
        if left:
            left.pop()
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), steps=2, checkpoints=tmp_path)
    assert fit(trainer(), steps=2, checkpoints=tmp_path).steps == 2
