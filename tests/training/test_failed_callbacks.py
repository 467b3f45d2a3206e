"""A run that an error ended continues in the same trainer with nothing missing: no step, no batch, no line of a log."""

import json
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.training.callbacks import JSONLLogger
from resume_toys import STEPS, fit, lines_in, same_run, trainer
from toys import images


class Fails(ig.Callback):
    """Raises once, at a step or at the end of an epoch.

    Args:
        hook: The method that raises.
        at: The step at which it does.
        error: What is raised.
        looks: Whether the callback needs the model.
    """

    def __init__(self, hook: str, at: int, error: type[BaseException] = RuntimeError, *, looks: bool = True) -> None:
        self.hook, self.at, self.error, self.looks = hook, at, error, looks

    def needs_model(self, step: int) -> bool:
        return self.looks

    def _fail(self, hook: str, step: int) -> None:
        if (hook, step) == (self.hook, self.at):
            self.hook = "done"
            raise self.error("once")

    def on_fit_start(self, trainer: Any, total_steps: int | None) -> None:
        self._fail("on_fit_start", trainer.steps)

    def on_step_end(self, trainer: Any, metrics: Any) -> None:
        self._fail("on_step_end", trainer.steps)

    def on_epoch_end(self, trainer: Any) -> None:
        self._fail("on_epoch_end", trainer.steps)


class Epochs(ig.Callback):
    """Notes the ends of epochs."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_epoch_end(self, trainer: Any) -> None:
        self.seen.append(trainer.steps)


def whole_run(data: Any = None) -> Any:
    return fit(trainer(), data)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize(("hook", "at"), [("on_step_end", 7), ("on_step_end", 5), ("on_epoch_end", 5)])
def test_a_callback_that_raises_leaves_the_logs_of_others_whole(tmp_path, hook, at, looks, error):
    log, epochs, t = JSONLLogger(tmp_path / "log.jsonl"), Epochs(), trainer()
    callbacks = [Fails(hook, at, error, looks=looks), log, epochs]
    with pytest.raises(error, match="once"):
        fit(t, callbacks=callbacks, checkpoints=tmp_path / "run")
    assert t.steps == t.launched == at
    assert lines_in(log.path) == list(range(1, at + 1))
    fit(t, callbacks=callbacks, checkpoints=tmp_path / "run")
    assert lines_in(log.path) == list(range(1, STEPS + 1))
    assert epochs.seen == [5, 10]
    assert same_run(t, whole_run())


def test_all_callbacks_that_raise_are_called_and_the_first_error_is_raised():
    first, second = Fails("on_step_end", 3), Fails("on_step_end", 3, KeyError)
    with pytest.raises(RuntimeError, match="once"):
        fit(trainer(), callbacks=[first, second])
    assert second.hook == "done"


class FailsOnce(Dataset[Any]):
    """Images of which one cannot be loaded at first."""

    def __init__(self, at: int) -> None:
        self.at, self.loaded = at, 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        self.loaded += 1
        if self.loaded == self.at:
            raise OSError("once")
        return images(40)[index]


@pytest.mark.parametrize("at", [1, 9, 50])
def test_data_that_fails_once_costs_no_step_and_no_line(tmp_path, at):
    log, t, data = JSONLLogger(tmp_path / "log.jsonl"), trainer(), FailsOnce(at)
    with pytest.raises(OSError, match="once"):
        fit(t, data, callbacks=[log], checkpoints=tmp_path / "run")
    assert t.steps == t.launched == (at - 1) // 8
    assert lines_in(log.path) == list(range(1, t.steps + 1))
    fit(t, data, callbacks=[log], checkpoints=tmp_path / "run")
    assert lines_in(log.path) == list(range(1, STEPS + 1))
    assert same_run(t, whole_run(FailsOnce(0)))


class Spoilt(Dataset[Any]):
    """Images that hold NaN, until they are mended."""

    def __init__(self, spoilt: range = range(0)) -> None:
        self.images, self.right = images(40), images(40)
        self.images[list(spoilt)] = float("nan")

    def mend(self) -> None:
        self.images = self.right

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        return self.images[index]


@pytest.mark.parametrize("spoilt", [range(40), range(7, 8)], ids=["all", "one"])
def test_a_batch_that_was_refused_is_made_anew_from_data_that_was_mended(tmp_path, spoilt):
    t, data = trainer(), Spoilt(spoilt)
    for _ in range(2):
        with pytest.raises(ValueError, match="NaN or infinite"):
            fit(t, data, checkpoints=tmp_path)
    data.mend()
    fit(t, data, checkpoints=tmp_path)
    assert same_run(t, whole_run(Spoilt()))


def test_a_loader_whose_first_batch_was_refused_can_be_used_once_it_is_mended(tmp_path):
    t, data = trainer(), Spoilt(range(40))
    loader = DataLoader(data, 8)
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit(t, loader, checkpoints=tmp_path)
    data.mend()
    with pytest.warns(UserWarning, match="batch 1 of epoch 0 is not what it was"):
        assert fit(t, loader, checkpoints=tmp_path).steps == STEPS


@pytest.mark.parametrize("every", [1, 3, 500])
def test_a_run_continues_from_wherever_its_callbacks_failed(tmp_path, every):
    log, t = JSONLLogger(tmp_path / "log.jsonl"), trainer()
    for at in range(1, STEPS):
        with pytest.raises(RuntimeError):
            fit(
                t,
                callbacks=[Fails("on_step_end", at, looks=at % 2 == 0), log],
                checkpoints=Checkpoints(tmp_path / "run", every=every),
            )
    fit(t, callbacks=[log], checkpoints=Checkpoints(tmp_path / "run", every=every))
    assert lines_in(log.path) == list(range(1, STEPS + 1))
    assert same_run(t, whole_run())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_step_is_reported_though_an_error_came_before_its_report(tmp_path, monkeypatch, error):
    whole = fit(trainer(), callbacks=[JSONLLogger(tmp_path / "whole.jsonl")], checkpoints=tmp_path / "whole")
    record = ig.History.record

    def fails(history, step, metrics):
        if step == 7 and list(metrics) == ["images_per_second"]:
            monkeypatch.undo()
            raise error("once")
        record(history, step, metrics)

    monkeypatch.setattr(ig.History, "record", fails)
    t, log = trainer(), JSONLLogger(tmp_path / "log.jsonl")
    with pytest.raises(error, match="once"):
        fit(t, callbacks=[log], checkpoints=tmp_path / "run")
    fit(t, callbacks=[log], checkpoints=tmp_path / "run")
    assert same_run(t, whole)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["loss/g"] for line in lines] == t.history["loss/g"].tolist()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("again", [True, False])
def test_an_epoch_that_ends_with_the_last_step_is_counted_where_a_callback_raised_at_it(tmp_path, again, error):
    whole, epochs, t = fit(trainer(), steps=10), Epochs(), trainer()
    callbacks = [Fails("on_step_end", 10, error), epochs]
    with pytest.raises(error, match="once"):
        fit(t, steps=10, callbacks=callbacks, checkpoints=tmp_path / "run")
    t = t if again else trainer()
    fit(t, steps=10, callbacks=callbacks, checkpoints=tmp_path / "run")
    assert same_run(t, whole)
    assert (t.epochs, epochs.seen[-2:]) == (2, [5, 10])
