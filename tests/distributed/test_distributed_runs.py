"""Checkpoints, signals and callbacks of several processes."""

import json

import pytest
import torch
from test_same_training import assert_alike

import distributed_faults as faults
from distributed_cases import train
from toys import images


def assert_identical(ours, others):
    assert ours.state.keys() == others.state.keys()
    assert all(torch.equal(tensor, others.state[name]) for name, tensor in ours.state.items())
    assert repr(ours.history) == repr(others.history)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_stops_all_at_the_same_step(two, tmp_path, rank):
    (steps, code), other = two.run(faults.run, "default", tmp_path / "run", rank)
    assert (steps, code) == other
    assert code == 143
    assert 5 <= steps <= 7
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    assert newest.name == f"step_{steps:010d}"
    resumed = two.run(faults.run, "default", tmp_path / "run")
    straight = two.run(train, "default", 12)
    for one, undisturbed in zip(resumed, straight, strict=True):
        assert_identical(one, undisturbed)


def test_a_signal_that_ends_the_reading_of_data_saves_all(two, tmp_path):
    first, second = two.run(faults.ended_with_its_workers, tmp_path)
    assert first == second
    steps, code, checkpoints = first
    assert code == 143
    assert steps > 0
    assert checkpoints[-1] == f"step_{steps:010d}"


@pytest.mark.parametrize("name", ["Adam", "random items", "loader with dropout"])
def test_a_run_resumes_on_another_number_of_processes(two, tmp_path, name):
    one = train(name, 12)
    two.run(faults.run, name, tmp_path / "down", 1)
    assert_alike(faults.run(name, tmp_path / "down"), one, 1e-9)
    faults.run(name, tmp_path / "up", 0)
    for result in two.run(faults.run, name, tmp_path / "up"):
        assert_alike(result, one, 1e-9)


def test_the_trainers_own_checkpoint(two, tmp_path):
    for saved, loaded in two.run(faults.save_and_load, tmp_path / "saved"):
        assert_identical(saved, loaded)


def test_callbacks_are_called_in_process_0_alone_unless_they_ask(two):
    assert [calls for _, calls in two.run(faults.steps_with, faults.Recorder())][1] == []
    (_, first), (_, second) = two.run(faults.steps_with, faults.Recorder(everywhere=True))
    assert [(step, loss) for _, step, loss in first] == [(step, loss) for _, step, loss in second]
    assert [rank for rank, _, _ in second] == [1] * 12


@pytest.mark.parametrize("late", [False, True])
def test_a_stop_in_process_0_stops_all(two, late):
    ours = [steps for steps, _ in two.run(faults.steps_with, faults.Stopping(late=late))]
    assert ours == [faults.steps_with(faults.Stopping(late=late))[0]] * 2


def test_a_log_is_written_once(two, tmp_path):
    two.run(faults.write_log, tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))


def test_what_a_callback_draws_in_process_0_all_leave_out(two):
    one = faults.drawing_callback()
    for result in two.run(faults.drawing_callback):
        assert_alike(result, one, 1e-12)


def test_networks_and_dropout_begin_with_those_of_process_0(two):
    first, second = two.run(faults.other_initial_weights)
    assert_identical(first, second)
    one = faults.other_initial_weights()
    assert first.history["loss/d"] == pytest.approx(one.history["loss/d"], rel=1e-5)


def test_a_loop_of_ones_own(two):
    batches = [images(n, dtype=torch.float64, seed=n) for n in (11, 8, 13)]
    ours, one = two.run(faults.own_loop, batches), faults.own_loop(batches)
    assert ours[0] == ours[1]
    for metrics, expected in zip(ours[0], one, strict=True):
        assert metrics == pytest.approx(expected, abs=1e-11)


def test_bf16_to_its_rounding(two):
    (ours, dtypes), (other, _) = two.run(faults.in_bf16, 8)
    (start, _), (one, _) = faults.in_bf16(0), faults.in_bf16(8)
    assert_identical(ours, other)
    assert dtypes == {torch.bfloat16}
    weights = [name for name in one.state if name.startswith("model.") and name.endswith("weight")]
    assert len(weights) > 6
    for name in weights:
        moved = (one.state[name] - start.state[name]).norm()
        assert moved > 0
        assert (ours.state[name] - one.state[name]).norm() < 0.1 * moved, name


def test_averages_of_any_dtypes(two):
    for first, second in two.run(faults.averaged):
        assert torch.equal(first, torch.full((3, 2), 0.5))
        assert torch.equal(second, torch.ones(4, dtype=torch.float64))
