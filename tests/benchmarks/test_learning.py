"""The script of the meter of learning: settings, the file of results, its table, and runs that were stopped."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import learning
from infogan_lib import recipes
from infogan_lib.callbacks import PretrainQ
from infogan_lib.regularizers import R1
from meter.classifier import train_classifier
from meter.data import load
from meter.reference import reference
from meter.results import COLUMNS, append_record, read_records, summary, table
from meter.settings import PRESETS, read_settings, read_value

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "learning.py"


def test_settings_are_read():
    read = read_settings(["averaged", "plain", "d_steps=2", "regularizers=[R1(gamma=0.5, every=16)]", "ema_decay=None"])
    assert read["d_steps"] == 2
    assert read["ema_decay"] is None
    assert isinstance(read["regularizers"][0], R1)
    assert (read["regularizers"][0].name, read["regularizers"][0].every) == ("r1", 16)
    assert read_settings(["plain"]) == {"regularizers": ()}
    assert read_value("LatentSpec(z=Noise(3), digit=Categorical(10))").width == 13
    assert read_settings(PRESETS)  # each can be built
    for bad in ("unknown", "a=__import__('os')", "a=1+", "a=open('x')"):
        with pytest.raises(ValueError, match=r"settings must be|expected a Python literal|malformed node"):
            read_settings([bad])


def a_run(**changes):
    run = {"data": "mnist", "select": "train", "networks": "bn", "seed": 0, "steps": 100, "batch_size": 8}
    run |= {"channels": 2, "init": "dcgan", "settings": (), "label": ""}
    return learning.Run(**run | changes)


@pytest.mark.parametrize(
    ("changes", "starts"),
    [
        ({}, []),
        ({"settings": ("starts=3",)}, [(3, 300)]),
        ({"networks": "recipe:default"}, [(5, 10)]),
        ({"networks": "recipe:default", "settings": ("starts=0",)}, []),
        ({"networks": "recipe:paper"}, []),
    ],
)
def test_q_has_the_starts_that_are_wanted_or_those_of_the_recipe(changes, starts):
    data = SimpleNamespace(train=torch.zeros(4, 1, 28, 28))
    began = [callback for callback in a_run(**changes).callbacks(data) if isinstance(callback, PretrainQ)]
    assert [(callback.starts, callback.steps) for callback in began] == starts
    assert all(callback.images is data.train for callback in began)


def record(seed, **figures):
    run = {"data": "d", "select": "train", "networks": "bn", "label": "", "steps": 5, "batch_size": 8, "channels": 4}
    run |= {"init": "dcgan", "settings": ["plain"], "seed": seed}
    real = {"samples": 7, "held_out": True, "ceiling": {"accuracy": 0.99, "frechet": 1.5}}
    every = dict.fromkeys(COLUMNS, 0.5)
    return {"key": json.dumps(run), **run, **every, **real, **figures}


def test_the_table_has_mean_spread_and_worst():
    lines = table([record(0, accuracy=0.9, frechet=3.0), record(1, accuracy=0.8, frechet=5.0)]).splitlines()
    head, _, ceiling, row = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert ceiling[:3] == ["d", "real images (held back, 7)", ""]
    assert ceiling[head.index("accuracy")] == "99.0%"
    assert row[:4] == ["d", "bn", "plain, 5 steps, batch 8, 4 channels, init dcgan", "2"]
    assert row[head.index("accuracy")] == "85.0% ± 7.1% (80.0%)"
    assert row[head.index("Frechet")] == "4.0 ± 1.4 (5.0)"
    assert row[head.index("noise")] == "0.50 ± 0.00 (0.50)"


def test_the_table_counts_runs_that_failed():
    failed = {name: value for name, value in record(1).items() if name in record(1)["key"] or name == "key"}
    lines = table([record(0, accuracy=0.9, frechet=3.0), failed | {"error": "NonFiniteLossError: D"}]).splitlines()
    assert "| 2, 1 failed |" in lines[-1]
    assert "| 90.0% |" in lines[-1]
    assert summary([None], ".2f", True) == "-"


def test_results_survive_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    assert read_records(path) == []
    append_record(path, {"key": "a", "x": 1})
    with path.open("a") as file:
        file.write('{"key": "b", "x"')
    append_record(path, {"key": "c", "x": 3})
    append_record(path, {"key": "a", "x": 4})
    assert read_records(path) == [{"key": "a", "x": 4}, {"key": "c", "x": 3}]
    assert len(path.read_text().splitlines()) == 4


@pytest.fixture(scope="module")
def made_cache(tmp_path_factory):
    """A cache with few letters and their reference, whose classifier is hardly trained."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    parts = {}
    for name in ("train", "test"):
        labels = np.arange(1200) % 4
        images = rng.integers(0, 50, (1200, 28, 28))
        images[np.arange(1200), 7 * labels + 3] += 200
        parts |= {name: images.astype(np.uint8), f"{name}_labels": labels, f"{name}_typefaces": np.arange(1200) // 4}
    np.savez(folder / "letters.npz", **parts, typefaces=np.array([f"typeface {k}" for k in range(300)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meter.reference.train_classifier", partial(train_classifier, steps=10))
        reference(load("letters", folder=folder), folder)
    return folder


@pytest.fixture
def small_cache(made_cache, tmp_path):
    """A copy of it that the test may write to."""
    return Path(shutil.copytree(made_cache, tmp_path / "cache"))


def command(cache, *more, seeds=(0, 1)):
    options = ["--data", "letters", "--channels", 2, "--batch-size", 8, "--out", cache / "out.jsonl", "--cache", cache]
    return [sys.executable, *map(str, [SCRIPT, *options, "--seeds", *seeds, *more])]


def environment():
    return os.environ | {"PYTHONPATH": str(SCRIPT.parents[1] / "src")}


def start(monkeypatch, capsys, *command):
    """Run the script in this process, with one run after another."""

    def perform_here(runs, out, cache, *, jobs):
        for run in runs:
            learning.work(run, out, cache)
        return []

    monkeypatch.setattr(learning, "perform_all", perform_here)
    monkeypatch.setattr(sys, "argv", list(command[1:]))
    learning.main()
    return capsys.readouterr().out


def test_runs_that_are_in_the_file_are_skipped(small_cache, monkeypatch, capsys):
    out = small_cache / "out.jsonl"
    printed = start(monkeypatch, capsys, *command(small_cache, "--steps", "2", seeds=[0]))
    assert "1 of 1 runs to do" in printed
    assert "| letters | bn | 2 steps, batch 8, 2 channels, init dcgan | 1 |" in printed
    (first,) = read_records(out)
    assert first["images_seen"] == 16
    assert first["test_images"] == 200
    assert first["ceiling"]["bound"] == math.log(4)
    assert "0 of 1 runs to do" in start(monkeypatch, capsys, *command(small_cache, "--steps", "2", seeds=[0]))
    assert "1 of 2 runs to do" in start(monkeypatch, capsys, *command(small_cache, "--steps", "2"))
    assert [line["seed"] for line in read_records(out)] == [0, 1]
    for more in (["--steps", "3"], ["--set", "ema_decay=0.9"], ["--label", "new"], ["--channels", "3"]):
        printed = start(monkeypatch, capsys, *command(small_cache, "--steps", "2", *more, seeds=[0]))
        assert "1 of 1 runs to do" in printed, more
    printed = start(monkeypatch, capsys, sys.executable, "learning.py", "--table", str(out))
    assert printed.count("| letters | bn |") == 5
    assert printed.count("real images") == 1


def test_a_recipe_brings_its_own_size(small_cache, monkeypatch, capsys):
    run = learning.Run(
        data="letters",
        select="train",
        networks="recipe:lab64-frontend",
        seed=3,
        steps=1,
        batch_size=8,
        channels=0,
        init="",
        settings=("ema_decay=0.5",),
        label="",
    )
    data = run.load(small_cache)
    assert data.train.shape[2:] == (64, 64)
    monkeypatch.setattr("infogan_lib.recipes.get", partial(recipes.get, width=0.05))
    trainer = run.trainer(data)
    assert trainer.model.image_shape == (1, 64, 64)
    assert trainer.model.ema_generator is not None


@pytest.mark.slow
def test_runs_that_were_stopped_are_done_at_the_next_start(small_cache):
    out = small_cache / "out.jsonl"
    process = subprocess.Popen(
        command(small_cache, "--steps", "3", seeds=range(50)), env=environment(), stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not read_records(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 143
    assert "50 of 50 runs to do" in printed
    before = read_records(out)
    assert 1 <= len(before) < 5

    seeds = range(len(before) + 1)
    done = subprocess.run(
        command(small_cache, "--steps", "3", seeds=seeds), env=environment(), capture_output=True, text=True, check=True
    )
    assert f"1 of {len(seeds)} runs to do" in done.stdout
    after = read_records(out)
    assert after[: len(before)] == before
    assert [line["seed"] for line in after] == [*seeds]
    assert f"| letters | bn | 3 steps, batch 8, 2 channels, init dcgan | {len(seeds)} |" in done.stdout
    assert after[-1]["images_seen"] == 24
    assert 0 < after[-1]["cpu_minutes"] < 1


@pytest.mark.slow
def test_a_run_that_diverges_is_a_result_and_an_error_is_not(small_cache):
    diverges = command(small_cache, "--steps", "9", "--set", "optimizers=Optimizers(g=1e30,d=1e30)", seeds=[0])
    done = subprocess.run(diverges, env=environment(), capture_output=True, text=True, check=True)
    assert "NonFiniteLossError" in done.stdout
    assert "| 1, 1 failed |" in done.stdout
    wrong = command(small_cache, "--set", "no_such_keyword=1", seeds=[0])
    done = subprocess.run(wrong, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 runs failed: letters bn no_such_keyword=1 seed 0" in done.stderr
    assert len(read_records(small_cache / "out.jsonl")) == 1
