"""The benchmark of a device: its stages resume, and what it checks on a device holds."""

import json
import sys
import time

import pytest
import torch

import gpu
from on_device import checks
from on_device.sizes import Sizes, UnfinishedError


def sizes(tmp_path, seconds=100.0):
    return Sizes(torch.device("cpu"), tmp_path, time.monotonic() + seconds, True)


def test_a_stage_that_fails_or_is_not_finished_says_so(tmp_path, capsys):
    def unfinished(sizes, results):
        raise UnfinishedError

    given = sizes(tmp_path)
    assert gpu.perform(lambda sizes, results: {"a": 1.0}, given, {}) == {"status": "done", "a": 1.0, "seconds": 0.0}
    assert gpu.perform(unfinished, given, {})["status"] == "unfinished"
    failed = gpu.perform(lambda sizes, results: {"a": 1 / 0}, given, {})
    assert (failed["status"], failed["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_stages_that_are_done_are_not_repeated(tmp_path, monkeypatch):
    calls = []

    def first(sizes, results):
        calls.append("first")
        return {"figure": 1.5}

    def second(sizes, results):
        calls.append(results["first"]["figure"])
        if len(calls) < 3:
            raise UnfinishedError
        return {}

    monkeypatch.setattr(gpu, "stages", lambda is_rehearsal: {"first": first, "second": second})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path)])
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            gpu.main()
        assert ended.value.code == 0
    assert calls == ["first", 1.5, 1.5]
    saved = json.loads((tmp_path / "results.json").read_text())
    assert [found["status"] for found in saved.values()] == ["done", "done"]
    assert "| first | done | 0.0 | figure | 1.5 |" in (tmp_path / "results.md").read_text()


def test_every_subject_has_stages():
    subjects = {name.split("/")[0] for name in gpu.stages(is_rehearsal=False)}
    assert subjects == {
        "environment",
        "checks",
        "launches",
        "speed",
        "time_to",
        "labs",
        "seeds",
        "sprites",
        "two processes",
    }


@pytest.mark.cuda
@pytest.mark.parametrize("name", checks.NAMES)
def test_steps_in_float64_are_the_cpu_s(name):
    # Adam divides a gradient near zero by its own size, and with it the rounding of sums in another order.
    assert checks.difference_from_cpu(name, torch.device("cuda")) < 1e-9


def test_a_step_that_differs_is_seen(monkeypatch):
    real = checks.double_trainer

    def differs(name, width, device):
        trainer = real(name, width, torch.device("cpu"))
        if device.type != "cpu":
            with torch.no_grad():
                next(trainer.model.generator.parameters()).mul_(1 + 1e-6)
        return trainer

    monkeypatch.setattr(checks, "double_trainer", differs)
    assert checks.difference_from_cpu("dcgan-tutorial", torch.device("meta")) > 1e-9
    assert checks.difference_from_cpu("dcgan-tutorial", torch.device("cpu")) == 0


@pytest.mark.cuda
@pytest.mark.skipif("false_cuda" in sys.modules, reason="the false CUDA device does not count its memory")
def test_memory_does_not_grow(tmp_path):
    found = checks.memory(Sizes(torch.device("cuda"), tmp_path, time.monotonic() + 300, False))
    assert found["growth"] == 0
    assert found["peak until 2000"] <= 1.01 * found["peak until 100"]


@pytest.mark.slow
def test_two_processes_are_measured_against_one(tmp_path):
    found = gpu.two_processes(sizes(tmp_path))
    assert found["processes"] == [1, 2]
    assert found["largest difference"] < 1e-8
    assert found["ms a step"].keys() == {"one", "two"}
