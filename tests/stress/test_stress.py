"""The programs of this folder: shortened as slow tests, and in full length as stress tests."""

import pytest
from damaged_checkpoints import damage
from kill_a_rank import kill_ranks
from long_run import watch
from resume_after_kills import MIN_RUNS, kill_and_resume
from resume_at_every_step import KINDS, STEPS, resume_at
from save_faults import inject
from stop_signals import stop_many

pytestmark = pytest.mark.filterwarnings("ignore:.*is not the log", "ignore:.*old checkpoint")


def shortened(*values, full):
    """The arguments of the shortened and of the full program."""
    return [pytest.param(*values, marks=pytest.mark.slow), pytest.param(*full, marks=pytest.mark.stress)]


@pytest.mark.parametrize("kills", shortened(30, full=[1000]))
def test_runs_killed_at_random_end_as_if_nobody_had_killed_them(kills):
    counts = kill_and_resume(kills)
    assert counts["kills"] >= kills
    assert counts["kills inside a save"] >= 3
    assert counts["runs identical"] >= MIN_RUNS
    assert not counts["RUNS DIFFERENT"]
    assert not counts["ATTEMPTS FAILED"]


@pytest.mark.parametrize("kills", shortened(1, full=[50]))
def test_processes_of_which_one_is_killed_start_again_and_end_as_if_nobody_had_killed_it(kills):
    counts = kill_ranks(kills)
    assert counts["kills"] == kills
    assert counts["runs identical"] == (kills + 4) // 5
    assert not counts["RUNS DIFFERENT"]
    assert not counts["RUNS FAILED"]


@pytest.mark.parametrize(("steps", "length"), shortened((0, 3, 9, 16), 18, full=[range(STEPS + 1), STEPS]))
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_runs_resumed_at_a_step_end_as_if_they_had_not_stopped(kind, steps, length):
    assert resume_at(kind, steps, length=length) == []


@pytest.mark.parametrize("every", shortened(3, full=[1]))
def test_a_save_that_fails_leaves_a_checkpoint_that_loads(every):
    calls, results = inject(every=every)
    assert {"mkdir", "write", "fsync", "replace", "rename", "unlink", "rmdir"} <= set(calls)
    outcomes = {outcome for _, outcome in results}
    assert not [outcome for outcome in outcomes if any(word in outcome for word in ("NOTHING", "STUCK", "CRASH"))]
    assert any("the previous loads" in outcome for outcome in outcomes)
    assert any("the new one loads" in outcome for outcome in outcomes)
    assert {"killed", "CheckpointError"} <= {outcome.split(";")[0] for outcome in outcomes}


@pytest.mark.parametrize("count", shortened(1000, full=[25_000]))
def test_damaged_checkpoints_are_refused(count):
    results = damage(count)
    assert results.total() == count
    assert all(outcome.endswith(": CheckpointError") for outcome in results), results


@pytest.mark.parametrize("count", shortened(4, full=[100]))
def test_programs_that_get_a_signal_save_and_say_so(count):
    assert stop_many(count) == {"SIGINT: right": count // 2, "SIGTERM: right": count // 2}


@pytest.mark.parametrize(("steps", "every", "num_workers"), shortened(600, 100, 1, full=[10_000, 1_000, 2]))
def test_nothing_grows_in_a_long_run(steps, every, num_workers):
    usages = watch(steps, every, num_workers)
    first, last = usages[1], usages[-1]
    assert len(usages) == steps // every
    assert last.files <= first.files
    assert last.threads <= first.threads
    assert last.mib - first.mib < 16
