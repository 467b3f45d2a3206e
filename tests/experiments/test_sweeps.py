"""Sweeps: one process for each run, tables of mean, spread and worst, and what happens to runs that stop."""

import csv
import errno
import itertools
import json
import math
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

import infogan_lib as ig
import sweep_toys
from infogan_lib.checkpoints import lock
from infogan_lib.experiments import Spread, sweep, sweeps, worker
from infogan_lib.experiments.sweeps import _row
from infogan_lib.experiments.worker import Job, run_job
from infogan_lib.regularizers import R1, R2
from toys import images

ROOT = Path(__file__).parents[2]
ZEROS = torch.zeros(200, dtype=torch.int64)


def framed(seed):
    """Images of which torch prints the first and the last ones only, and these are black."""
    return torch.cat([torch.zeros(50, 1, 4, 4), images(100, seed=seed), torch.zeros(50, 1, 4, 4)])


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs without processes of their own, which take seconds to start. Returns the folders that were trained."""
    trained = []

    def run_all(jobs, count):
        for job in jobs:
            trained.append(job.folder.name)
            try:
                run_job(job)
            except RuntimeError:
                continue
        return {}

    monkeypatch.setattr(sweeps, "_run_all", run_all)
    return trained


def test_the_tables_have_each_run_and_the_spread_over_seeds(tmp_path, in_this_process):
    grid = {"scale": [1, 2]}
    found = sweep(
        sweep_toys.tiny,
        sweep_toys.data,
        out=tmp_path,
        seeds=[3, 5],
        grid=grid,
        test=sweep_toys.labeled,
        evaluate=sweep_toys.brightness,
    )
    assert in_this_process == ["scale=1,seed=3", "scale=1,seed=5", "scale=2,seed=3", "scale=2,seed=5"]
    with (tmp_path / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert [(row["run"], row["seed"], row["error"]) for row in runs][1] == ("scale=1,seed=5", "5", "")
    accuracies = [float(row["accuracy"]) for row in runs if row["scale"] == "1"]
    spread = found.spread("accuracy")[("1",)]
    assert spread == Spread(statistics.fmean(accuracies), statistics.stdev(accuracies), min(accuracies), 2)
    losses = [float(row["loss/d"]) for row in runs if row["scale"] == "2"]
    assert losses[0] != losses[1]
    assert found.spread("loss/d")[("2",)].worst == max(losses)
    with (tmp_path / "summary.csv").open(newline="") as file:
        summary = {(row["scale"], row["metric"]): row for row in csv.DictReader(file)}
    assert float(summary["2", "loss/d"]["worst"]) == max(losses)
    assert summary["1", "brightness"]["runs"] == "2"
    assert "scale = 2" in str(found)
    assert f"accuracy                 {spread}" in str(found)


def test_a_run_is_that_of_the_same_trainer_and_is_trained_once(tmp_path, in_this_process):
    found = sweep(sweep_toys.tiny, images(32), out=tmp_path, seeds=[7])
    trainer = sweep_toys.tiny(7).trainer()
    trainer.fit(images(32), steps=4, batch_size=8)
    assert found.runs[0]["loss/d"] == trainer.history["loss/d"].mean()
    again = sweep(sweep_toys.tiny, images(32), out=tmp_path, seeds=[7, 8])
    assert in_this_process == ["seed=7", "seed=8"]
    assert again.runs[0] == found.runs[0]


@pytest.mark.parametrize("size", [4, 8])
def test_images_may_be_an_array(tmp_path, in_this_process, size):
    pictures = torch.rand(32, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = sweep(sweep_toys.tiny, pictures, out=tmp_path / "tensor", seeds=[7], test=(pictures, sweep_toys.LABELS))
    arrays = pictures.numpy(), sweep_toys.LABELS.numpy()
    for name, data in {"images": arrays[0], "labeled": arrays}.items():
        found = sweep(sweep_toys.tiny, data, out=tmp_path / name, seeds=[7], test=arrays)
        assert found.runs == expected.runs


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"make_recipe": partial(sweep_toys.tiny, steps=2)}, {"make_recipe": partial(sweep_toys.tiny, steps=3)}),
        ({"grid": {"steps": {"few": 2}}}, {"grid": {"steps": {"few": 3}}}),
        ({"data": sweep_toys.data}, {"data": sweep_toys.labeled}),
        ({"data": framed(0)}, {"data": framed(1)}),
        ({"data": framed(0).numpy()}, {"data": framed(1).numpy()}),
        ({"data": (framed(0), ZEROS)}, {"data": (framed(1), ZEROS)}),
        ({"data": TensorDataset(framed(0))}, {"data": TensorDataset(framed(1))}),
        ({"data": sweep_toys.Source(0).load}, {"data": sweep_toys.Source(1).load}),
        ({"grid": {"terms": {"r1": [R1(1.0)]}}}, {"grid": {"terms": {"r1": [R1(2.0)]}}}),
        ({"grid": {"terms": {"r1": (R1(1.0),)}}}, {"grid": {"terms": {"r1": (R1(1.0), R2(1.0))}}}),
    ],
    ids=["recipe", "named value", "function", "tensor", "array", "labeled", "dataset", "method", "object", "objects"],
)
def test_a_run_of_something_else_is_not_taken_for_one_of_this_sweep(tmp_path, in_this_process, first, then):
    arguments = {"make_recipe": sweep_toys.tiny, "data": sweep_toys.data, "out": tmp_path, "seeds": [0]}
    sweep(**arguments | first)
    with pytest.raises(ValueError, match="seed=0 was trained with .*; give another out, remove the folder to train it"):
        sweep(**arguments | then)
    sweep(**arguments | first)
    assert len(in_this_process) == 1


def test_other_images_to_measure_are_measured(tmp_path, in_this_process):
    arguments = {"make_recipe": sweep_toys.tiny, "data": framed(0), "out": tmp_path, "seeds": [0]}
    labels = torch.arange(200) % 3
    first, second = (sweep(**arguments, test=(framed(seed), labels)).runs[0] for seed in range(2))
    assert first["nmi"] != second["nmi"]
    assert len(in_this_process) == 2


def test_the_words_of_large_data_are_short_and_those_of_objects_end(tmp_path):
    knot = sweep_toys.Source(0)
    knot.own = [knot, *range(10_000)]
    job = Job(tmp_path, sweep_toys.tiny, knot.load, None, None, 0)
    assert len(job.training) < 2000
    assert Job(tmp_path, sweep_toys.tiny, pickle.loads(pickle.dumps(knot.load)), None, None, 0).training == job.training


def test_sets_are_the_same_words_in_every_process(monkeypatch):
    words = {f"word {i}" for i in range(20)}
    jobs = [
        Job(Path(), partial(sweep_toys.tiny, information_trains=given), data=None, test=None, evaluate=None, seed=3)
        for given in (words, frozenset(sorted(words, reverse=True)))
    ]
    assert jobs[0].training == jobs[1].training
    assert jobs[0].training.startswith("tiny(information_trains={'word 0', 'word 1', 'word 10'")


def test_what_is_to_be_measured_anew_is_not_trained_again(tmp_path, in_this_process):
    first = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0]).runs[0]
    states = sorted((tmp_path / "seed=0" / "checkpoints").iterdir())
    second = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0], evaluate=sweep_toys.brightness).runs[0]
    assert second == first | {"brightness": second["brightness"]}
    assert sorted((tmp_path / "seed=0" / "checkpoints").iterdir()) == states


def test_an_old_result_stays_and_does_not_hide_that_it_could_not_be_measured_again(tmp_path, in_this_process):
    first = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0])
    found = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0], evaluate=sweep_toys.unmeasurable)
    assert found.runs == [{"run": "seed=0", "seed": 0, "error": "RuntimeError: not to be measured"}]
    assert sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0]).runs == first.runs
    assert in_this_process == ["seed=0"] * 2


def test_a_run_in_use_is_waited_for_and_no_failure(tmp_path, monkeypatch, caplog):
    acquire, tries = lock._acquire, []

    def held_at_first(descriptor):
        tries.append(descriptor)
        if len(tries) < 5:
            raise BlockingIOError(errno.EAGAIN, "held")
        acquire(descriptor)

    clock = itertools.count(0.0, 250.0)  # so that the last of the four tries is told of again

    monkeypatch.setattr(lock, "_acquire", held_at_first)
    waiting = SimpleNamespace(sleep=lambda seconds: None, monotonic=lambda: next(clock))
    monkeypatch.setattr(worker, "time", waiting)
    job = Job(tmp_path, sweep_toys.tiny, images(32), None, None, 0)
    run_job(job)
    assert _row(job)["error"] == ""
    assert not (tmp_path / "error.txt").exists()
    assert [record.message.partition(" is using it")[2] for record in caplog.records] == [
        "; wait until it ends, stop it, or give another folder; waiting until it ends, and Ctrl-C stops this sweep"
    ] * 2


def test_what_another_sweep_has_finished_meanwhile_is_not_begun(tmp_path, monkeypatch):
    job = Job(tmp_path, sweep_toys.tiny, images(32), None, None, 0)
    run_job(job)
    monkeypatch.setattr(sweeps.multiprocessing, "get_context", lambda method: None)  # which has no processes
    sweeps._run_all([job], 1)


def test_the_error_of_a_row_is_neither_its_note_nor_its_last_line(tmp_path, monkeypatch):
    error = RuntimeError("the reason\nof two lines")
    error.add_note("The last checkpoint of the run is there.")

    def evaluate(model):
        raise error

    monkeypatch.setattr(sweep_toys, "brightness", evaluate)
    job = Job(tmp_path, sweep_toys.tiny, images(32), None, sweep_toys.brightness, 0)
    with pytest.raises(RuntimeError):
        run_job(job)
    assert _row(job)["error"] == "RuntimeError: the reason of two lines"
    assert "The last checkpoint of the run is there." in (tmp_path / "error.txt").read_text()


def test_a_disk_too_full_for_the_error_does_not_replace_it(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(worker, "write_whole", full)
    with pytest.raises(OSError, match="job.json"):
        run_job(Job(tmp_path, sweep_toys.tiny, images(32), None, None, 0))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["x"], "x: making the folder of the sweep failed: .*a file is in its place"),
        (["x/runs.csv/y"], "runs.csv: writing the tables of the sweep, whose runs are saved, failed: a folder is in"),
    ],
    ids=["file", "folder"],
)
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, in_this_process, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ig.CheckpointError, match=message):
        sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path / "x", seeds=[0])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"training": 3}'])
def test_a_damaged_file_of_what_was_trained_says_what_to_do(tmp_path, in_this_process, content):
    (tmp_path / "seed=0").mkdir()
    (tmp_path / "seed=0" / "job.json").write_text(content)
    with pytest.raises(ig.CheckpointError, match=r"job.json: .*; remove it if .* run is of 'tiny\(\) on data'"):
        sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0])
    assert not in_this_process


def test_a_copy_of_another_seeds_run_is_no_result(tmp_path, in_this_process):
    sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0])
    shutil.copytree(tmp_path / "seed=0", tmp_path / "seed=1")
    found = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0, 1])
    assert [row["error"] == "" for row in found.runs] == [True, False]
    assert "result.json: it is of seed 0; remove it to train the run again" in found.runs[1]["error"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (0.3, "the result of evaluate must be a mapping of names to values, but got 0.3"),
        ({"error": 0.3}, "evaluate: a metric must not be named 'error', as a column of the tables is"),
        ({"scale": 0.3}, "evaluate: a metric must not be named 'scale', as"),
        ({"": 0.3}, "a metric of evaluate"),
    ],
)
def test_what_evaluate_returns_is_checked(tmp_path, in_this_process, monkeypatch, found, message):
    monkeypatch.setattr(sweep_toys, "brightness", lambda model: found)
    job = Job(tmp_path, sweep_toys.tiny, images(32), None, sweep_toys.brightness, 0, labels={"scale": "1"})
    with pytest.raises((TypeError, ValueError), match=message):
        run_job(job)
    assert message in _row(job)["error"]


def test_a_failing_run_is_named_and_the_others_are_there(tmp_path, in_this_process):
    found = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0], grid={"fails": [True, False]})
    assert [row["error"] for row in found.runs] == ["RuntimeError: this one fails", ""]
    assert [row["run"] for row in found.failed] == ["fails=True,seed=0"]
    assert found.spread("loss/d").keys() == {("False",)}
    assert "failed: fails=True,seed=0: RuntimeError: this one fails" in str(found)


def test_values_without_a_short_name_are_given_one(tmp_path, in_this_process):
    found = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0], grid={"steps": {"a/b": 1, "a:b": 2}})
    assert [row["steps"] for row in found.runs] == ["a/b", "a:b"]
    assert len({row["run"] for row in found.runs}) == 2
    assert all("/" not in row["run"] for row in found.runs)
    with pytest.raises(ValueError, match="a value of 'engine' has no short name of its own"):
        sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, grid={"engine": [object()]})


def test_a_frame_has_the_runs(tmp_path, in_this_process):
    pytest.importorskip("pandas")
    found = sweep(sweep_toys.tiny, sweep_toys.data, out=tmp_path, seeds=[0])
    assert found.to_frame()["loss/d"].tolist() == [found.runs[0]["loss/d"]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seeds": []}, ValueError, "seeds must be at least one"),
        ({"grid": {"scale": []}}, ValueError, "grid: 'scale' must have values"),
        *(
            ({"grid": {name: [1]}}, ValueError, f"grid: a setting must not be named '{name}', as a column")
            for name in ("run", "seed", "error")
        ),
        ({"grid": {"scale": [1, 1]}}, ValueError, "have one folder, scale=1,seed=0"),
        ({"grid": {"scale": [2, "2"]}}, ValueError, "have one folder, scale=2,seed=0; give the values in a dict by"),
        ({"grid": {"scale": ["a", "A"]}}, ValueError, "have one folder, scale=A,seed=0"),
        ({"grid": {"a": ["1,b=2", "1"], "b": ["3", "2,b=3"]}}, ValueError, "have one folder, a=1,b=2,b=3,seed=0"),
        ({"make_recipe": lambda seed: sweep_toys.tiny(seed)}, TypeError, "make_recipe must be a function that other"),
        ({"test": images(4)}, TypeError, r"test must be \(images, labels\)"),
    ],
)
def test_bad_arguments_start_nothing(tmp_path, in_this_process, change, error, message):
    arguments = {"make_recipe": sweep_toys.tiny, "data": images(32), "out": tmp_path / "x"} | change
    with pytest.raises(error, match=message):
        sweep(**arguments)
    assert not (tmp_path / "x").exists()


def test_the_spread_of_one_run_and_of_metrics_that_should_be_low():
    one = Spread.of("accuracy", [0.5])
    assert (one.mean, one.worst, str(one)) == (0.5, 0.5, "0.5")
    assert math.isnan(one.sd)
    assert Spread.of("accuracy", [0.5, 0.9]).worst == 0.5
    assert Spread.of("frechet", [3.0, 9.0]).worst == 9.0
    assert str(Spread.of("mse/style", [1.0, 3.0])) == "2 ± 1.4 (worst 3)"


@pytest.mark.slow
def test_each_run_has_a_process_and_one_that_is_killed_is_repeated(tmp_path, monkeypatch):
    monkeypatch.setenv("INFOGAN_TEST_MARKER", str(tmp_path / "killed"))
    first = ig.sweep(sweep_toys.killed_once, images(32), out=tmp_path / "s", seeds=[0, 1], processes=2)
    assert [row["error"] for row in first.runs] == ["", "stopped; the same sweep resumes it"]
    second = ig.sweep(sweep_toys.killed_once, images(32), out=tmp_path / "s", seeds=[0, 1])
    assert second.failed == []
    assert second.runs[0] == first.runs[0]


@pytest.mark.slow
def test_a_run_that_could_not_begin_is_not_said_to_be_stopped(tmp_path):
    make_recipe = partial(sweep_toys.tiny, terms=sweep_toys.Unloadable())
    found = sweep(make_recipe, images(32), out=tmp_path, seeds=[0])
    assert found.runs[0]["error"] == "its process ended with exit status 1, and what it wrote on stderr says why"


@pytest.mark.slow
def test_a_sweep_that_is_killed_leaves_no_process_and_is_resumed(tmp_path):
    code = f"""
import sweep_toys, functools
from infogan_lib import sweep
if __name__ == "__main__":
    make_recipe = functools.partial(sweep_toys.tiny, steps=300)
    found = sweep(make_recipe, sweep_toys.data, out={str(tmp_path / "s")!r}, seeds=[0])
    print(found.runs[0]["error"] == "")
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
    run = tmp_path / "s" / "seed=0"
    deadline = time.monotonic() + 60
    while not list(run.glob("checkpoints/step_*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()  # no time to tell its run
    process.wait()
    shown = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120)
    assert shown.stdout == "True\n", shown.stderr
    history = json.loads((run / "result.json").read_text())["metrics"]
    trainer = sweep_toys.tiny(0, steps=300).trainer()
    trainer.fit(images(32), steps=300, batch_size=8)
    assert history["loss/d"] == trainer.history["loss/d"][-100:].mean()


def test_an_edited_result_replaces_no_column_and_an_error_is_read_whatever_its_bytes(tmp_path):
    job = Job(tmp_path, make_recipe=dict, data=None, test=None, evaluate=None, seed=3)
    (tmp_path / "error.txt").write_bytes(b"broken \xff\n")
    assert _row(job)["error"] == "broken \ufffd"
    (tmp_path / "result.json").write_text('{"metrics": {"seed": 7, "run": 1, "a": 2}}')
    assert _row(job) == {"run": tmp_path.name, "seed": 3, "a": 2, "error": ""}
    (tmp_path / "result.json").write_text('{"seed": 7}')
    assert "result.json: it holds no metrics; remove it to train the run again" in _row(job)["error"]


@pytest.mark.parametrize("content", ['{"metrics"', '{"metrics": 7}', "[]", '{"metrics": {"a": "x"}}'])
def test_a_result_that_cannot_be_read_is_a_row_with_an_error(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    row = _row(Job(tmp_path, make_recipe=dict, data=None, test=None, evaluate=None, seed=3))
    assert row["seed"] == 3
    assert "result.json: cannot be read: " in row["error"]
    assert "; remove it to train the run again" in row["error"]


def test_processes_that_share_runs_do_not_train_several_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="whose 2 processes share each run, but got 3; start .* without torchrun"):
        ig.sweep(sweep_toys.killed_once, images(32), out=tmp_path / "s", seeds=[0, 1], processes=3)
    assert not (tmp_path / "s").exists()
