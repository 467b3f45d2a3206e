"""The checks of benchmarks/ that need minutes or hours, shortened."""

import pytest

from damaged_checkpoints import damage
from long_run import watch
from resume_after_kills import LEAST_RUNS, kill_and_resume
from resume_at_every_step import KINDS, resume_at
from save_faults import inject
from saving_time import measure
from stop_signals import stop_many

pytestmark = pytest.mark.filterwarnings("ignore:.*is not the log", "ignore:.*old checkpoint")


def test_runs_killed_at_random_end_as_if_nobody_had_killed_them():
    counts = kill_and_resume(50)
    assert counts["kills"] >= 50
    assert counts["kills inside a save"] >= 3
    assert counts["runs identical"] >= LEAST_RUNS
    assert not counts["RUNS DIFFERENT"]
    assert not counts["ATTEMPTS FAILED"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_runs_resumed_at_a_step_end_as_if_they_had_not_stopped(kind):
    assert resume_at(kind, (0, 3, 9, 16), length=18) == []


def test_a_save_that_fails_leaves_a_checkpoint_that_loads():
    calls, results = inject(every=3)
    assert {"mkdir", "write", "fsync", "replace", "rename", "unlink", "rmdir"} <= set(calls)
    outcomes = {outcome for _, outcome in results}
    assert not [outcome for outcome in outcomes if any(word in outcome for word in ("NOTHING", "STUCK", "CRASH"))]
    assert any("the previous loads" in outcome for outcome in outcomes)
    assert any("the new one loads" in outcome for outcome in outcomes)
    assert {"killed", "CheckpointError"} <= {outcome.split(";")[0] for outcome in outcomes}


def test_damaged_checkpoints_are_refused():
    results = damage(1000)
    assert results.total() == 1000
    assert all(outcome.endswith(": CheckpointError") for outcome in results), results


def test_programs_that_get_a_signal_save_and_say_so():
    assert stop_many(4) == {"SIGINT: right": 2, "SIGTERM: right": 2}


def test_nothing_grows_in_a_long_run():
    uses = watch(600, 100, num_workers=1)
    first, last = uses[1], uses[-1]
    assert len(uses) == 6
    assert last.files <= first.files
    assert last.threads <= first.threads
    assert last.mib - first.mib < 16


def test_saving_is_timed():
    step, spent, size = measure(4, 2)
    assert step > 0
    assert len(spent) == 4  # at the beginning, twice on the way, and at the end
    assert 15 < size < 40
