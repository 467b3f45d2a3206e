"""Numbers of layers and terms that callbacks change, which are in no state: a run that resumes without them says so."""

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.regularizers import R1
from resume_toys import StopsAt, fit, same_run, trainer


class Changes(ig.Callback):
    """From step 3 on there is more dropout, and the weight of a term falls."""

    def __init__(self, at_start=False):
        self.at_start = at_start

    def change(self, t):
        if t.steps >= 3:
            t.model.discriminator[4].p = 0.6
            self.term.weight = 1 / t.steps

    def on_fit_start(self, trainer, total_steps):
        if self.at_start:
            self.change(trainer)

    def on_step_end(self, trainer, metrics):
        self.change(trainer)


def run(folder, *, at_start=False, killed_at=None):
    changes = Changes(at_start)
    changes.term = R1(1.0)
    t = trainer(regularizers=[changes.term])
    return fit(t, callbacks=[changes, StopsAt(killed_at)], checkpoints=folder and Checkpoints(folder, every=2))


def test_what_a_callback_had_changed_is_named_where_a_run_resumes_without_it(tmp_path):
    with pytest.raises(KeyError):
        run(tmp_path, killed_at=7)
    changed = r"'discriminator\.4\.p' was 0\.6 and is 0\.3; 'regularizers\[0\]\.weight' was 0\.16\d+ and is 0\.5"
    with pytest.warns(UserWarning, match=changed):
        run(tmp_path)


def test_a_callback_that_sets_it_at_the_start_resumes_right(tmp_path):
    with pytest.raises(KeyError):
        run(tmp_path, at_start=True, killed_at=7)
    assert same_run(run(tmp_path, at_start=True), run(None, at_start=True))


def test_what_a_program_changes_before_or_between_its_calls_is_no_change(tmp_path):
    def calls(folder, killed_at=None):
        t = trainer()
        for p in (0.1, 0.5):
            t.model.discriminator[4].p = p
            fit(t, steps=4, callbacks=[StopsAt(killed_at)], checkpoints=folder and Checkpoints(folder, every=1))
        return t

    with pytest.raises(KeyError):
        calls(tmp_path, killed_at=6)
    assert same_run(calls(tmp_path), calls(None))
