"""Progress of a fit: a bar in a terminal or a notebook, lines elsewhere, and nothing where it is not wanted."""

import io
import os
import sys
import types

import pytest

import infogan_lib as ig
from infogan_lib.training import progress
from infogan_lib.training.progress import ProgressBar
from toys import images, make_trainer


class Terminal(io.StringIO):
    def isatty(self):
        return True


def open_terminal(monkeypatch):
    """A terminal for stderr, from the test's body on, as pytest sets stderr again after the fixtures."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


@pytest.fixture
def clock(monkeypatch):
    """A clock in which each reading takes a second."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))


def fit(**arguments):
    trainer = make_trainer()
    trainer.fit(images(32), steps=4, batch_size=8, **arguments)
    return trainer


def test_fit_shows_a_bar_in_a_terminal(monkeypatch):
    terminal = open_terminal(monkeypatch)
    fit()
    last = terminal.getvalue().split("\r")[-1]
    assert "4/4" in last
    assert "D " in last
    assert "nats" in last


def test_fit_shows_nothing_where_progress_is_false(clock, monkeypatch):
    terminal = open_terminal(monkeypatch)
    fit(progress=False)
    assert terminal.getvalue() == ""


def test_ones_own_bar_replaces_the_default(clock, monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(progress, "_find_tqdm", lambda file: None)
    fit(callbacks=[ProgressBar(seconds=3)])
    assert terminal.getvalue().count("step ") == 2  # one due, and the last; the default would give none before 10 s


def test_without_a_terminal_a_short_fit_shows_nothing_and_a_long_one_lines(capsys, clock):
    fit()
    assert capsys.readouterr() == ("", "")
    fit(callbacks=[ProgressBar(seconds=2)])
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first.startswith("step 2/4  0:02 left  D ")
    assert last.startswith("step 4/4  0:00 left  D ")
    assert "nats" in last


def test_lines_by_steps_end_with_the_last_one_wherever_they_are_written(capsys):
    fit(callbacks=[ProgressBar(every=3, file=sys.stdout)])
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split("  ")[0] for line in out.splitlines()] == ["step 3/4", "step 4/4"]
    assert all(line.endswith(" images/s") for line in out.splitlines())


def test_a_bar_is_shown_in_the_terminal_that_is_given(monkeypatch, capsys):
    terminal = Terminal()
    fit(callbacks=[ProgressBar(every=3, file=terminal)])
    assert "4/4" in terminal.getvalue().split("\r")[-1]
    assert "\n" not in terminal.getvalue().rstrip("\n")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_without_tqdm_gets_lines(clock, monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    fit(callbacks=[ProgressBar(seconds=1)])
    assert terminal.getvalue().startswith("step 1/4")
    assert "\r" not in terminal.getvalue()


def test_a_second_fit_continues_the_count(monkeypatch):
    terminal = open_terminal(monkeypatch)
    trainer = fit()
    trainer.fit(images(32), steps=2, batch_size=8)
    assert "6/6" in terminal.getvalue().split("\r")[-1]


def test_a_fit_that_raises_closes_its_bar(monkeypatch):
    terminal = open_terminal(monkeypatch)

    class Fails(ig.Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 2:
                raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(callbacks=[Fails()])
    assert "2/4" in terminal.getvalue().split("\r")[-1]
    assert terminal.getvalue().endswith("\n")


def test_a_kernel_without_ipywidgets_gets_a_bar_of_text(monkeypatch, capsys):
    kernel = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    found = {name: progress.find_spec(name) for name in ("tqdm",)}
    monkeypatch.setattr(progress, "find_spec", found.get)
    fit()
    assert "4/4" in capsys.readouterr().err.split("\r")[-1]


def test_a_bar_has_no_need_of_the_model():
    assert not ProgressBar().needs_model(1)


def test_hours_are_shown_as_such():
    assert [progress._clock(seconds) for seconds in (0.4, 61, 3599.6, 3725)] == ["0:00", "1:01", "1:00:00", "1:02:05"]


class Gone(Terminal):
    """A terminal that was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_a_terminal_that_is_gone_does_not_end_the_training(monkeypatch, clock, has_tqdm):
    monkeypatch.setattr(sys, "stderr", Gone())
    if not has_tqdm:
        monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert fit(callbacks=[ProgressBar(seconds=1)]).steps == 4


def test_a_terminal_without_a_width_gets_a_bar_of_80_columns(monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr(progress.os, "get_terminal_size", lambda number: os.terminal_size((0, 0)))
    fit()
    assert "4/4" in terminal.getvalue().split("\r")[-1]
