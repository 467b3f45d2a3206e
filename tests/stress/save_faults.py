"""Makes every write, fsync, rename and removal of a save fail in turn: no space, an input/output error, and death
before the call or in the middle of it. Afterwards the run must have its previous checkpoint or the new one, whole, and
resume.

    python tests/stress/save_faults.py
"""

import contextlib
import errno
import os
import shutil
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from small_run import Kind, comparable, images, last_checkpoint, last_state, same, train, trainer

import infogan_lib as ig
from infogan_lib.checkpoints.segments import from_manifest
from infogan_lib.resume.session import FitSession

CALLS = ("mkdir", "open", "write", "fsync", "replace", "rename", "unlink", "rmdir")
FAULTS = ("ENOSPC", "EIO", "killed", "killed halfway")
BEFORE, AFTER = 5, 6
OUTCOMES = {BEFORE: "the previous loads", AFTER: "the new one loads"}


class Faulty:
    """Counts the system calls that may change the disk, and makes one of them fail.

    Args:
        at: Which call fails, from 0; None to let all pass.
        fault: How it fails.
    """

    def __init__(self, at: int | None = None, fault: str = "EIO") -> None:
        self._at, self._fault = at, fault
        self.calls: list[str] = []
        self._real = {name: getattr(os, name) for name in CALLS}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        for name in CALLS:
            setattr(os, name, self._wrap(name))
        try:
            yield
        finally:
            for name, real in self._real.items():
                setattr(os, name, real)

    def _wrap(self, name: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return self._real[name](*arguments, **keywords)  # it changes nothing
            self.calls.append(name)
            if len(self.calls) - 1 != self._at:
                return self._real[name](*arguments, **keywords)
            if self._fault.startswith("killed"):
                if name == "write" and self._fault == "killed halfway":
                    self._real[name](arguments[0], arguments[1][: len(arguments[1]) // 2])
                elif self._fault == "killed halfway":
                    self._real[name](*arguments, **keywords)  # death just after it
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self._fault)
            raise OSError(number, os.strerror(number))

        return call


def _save_with(folder: Path, faulty: Faulty) -> None:
    """Resume, train one step, and save with a fault."""
    real = FitSession.save

    def save(self: FitSession) -> Path | None:
        if self._ledger.step() < AFTER:
            return real(self)
        with faulty():
            return real(self)

    FitSession.save = save
    try:
        train(Kind(), folder, steps=AFTER, every=1, keep=1)
    finally:
        FitSession.save = real


def _save_in_a_process(folder: Path, faulty: Faulty) -> str:
    """Save in a process of its own, and return how it ended."""
    child = os.fork()
    if not child:
        code = 2
        try:
            _save_with(folder, faulty)
            code = 0
        except ig.CheckpointError:
            code = 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return (
        "killed" if os.WIFSIGNALED(status) else {0: "saved", 1: "CheckpointError"}.get(os.WEXITSTATUS(status), "CRASH")
    )


def inject(every: int = 1) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Make the calls of a save fail.

    Args:
        every: Fail at every so many calls.

    Returns:
        The names of the calls; and the number of times by fault and outcome.
    """
    torch.set_num_threads(1)
    trainer().step(images()[:12])
    with tempfile.TemporaryDirectory() as scratch:
        start, work = Path(scratch) / "start", Path(scratch) / "work"
        train(Kind(), start, steps=BEFORE, every=1, keep=1)
        counting = Faulty()
        shutil.copytree(start, work)
        _save_with(work, counting)
        whole = {BEFORE: last_state(start), AFTER: last_state(work)}
        results = Counter[tuple[str, str]]()
        for at in range(0, len(counting.calls), every):
            for fault in FAULTS:
                shutil.rmtree(work)
                shutil.copytree(start, work)
                ended = _save_in_a_process(work, Faulty(at, fault))
                checkpoint = last_checkpoint(work)
                loaded = "NOTHING LOADS"
                if checkpoint is not None and same(comparable(checkpoint), whole[checkpoint.step]):
                    loaded = OUTCOMES[checkpoint.step]
                train(Kind(), work, steps=AFTER, every=1, keep=1)
                tidy = [path.name for path in (work / "checkpoints").iterdir()] == [f"step_{AFTER:010d}"]
                tidy = tidy and _segments_are_those_named(work)
                recovers = same(last_state(work), whole[AFTER]) and tidy
                results[fault, f"{ended}; {loaded}{'' if recovers else '; STUCK'}"] += 1
    return counting.calls, results


def _segments_are_those_named(run: Path) -> bool:
    checkpoint = last_checkpoint(run)
    assert checkpoint is not None
    named = {segment.path.name for segment in from_manifest(checkpoint.path, checkpoint.metadata)}
    return named == {path.name for path in (run / "history").iterdir()}


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*old checkpoint")
    calls, results = inject()
    print(f"a save makes {len(calls)} calls: {', '.join(calls)}")
    for (fault, outcome), count in sorted(results.items()):
        print(f"{fault:<16}{outcome:<45}{count:>4}")
