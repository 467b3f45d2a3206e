"""Kills small runs, of one or of many calls of `fit`, by SIGKILL at random moments, resumes each until it is completed,
and compares it bitwise with an uninterrupted run: weights, averaged weights, optimizers, random streams, history and
log. A kill in three is aimed at a save, which takes so little of a run that random moments may miss it.

    python tests/stress/resume_after_kills.py            1,000 kills, a few minutes
    python tests/stress/resume_after_kills.py --kills 50
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import torch
from small_run import Kind, images, last_state, log_lines, same, train, trainer

KINDS = [
    Kind(),
    Kind(ema=False, accumulation_steps=3),
    Kind(data="dataset"),
    Kind(data="loader"),
    Kind(precision="bf16"),
    Kind(data="dataset", num_workers=2),
    Kind(calls=20, keep=1),
]

MIN_RUNS = 3  # that are compared, whatever the number of kills


def attempt(kind: Kind, folder: Path, every: int) -> int:
    """Begin or resume a run in a process of its own, forked with torch already imported.

    Args:
        kind: The settings of the run.
        folder: The run's folder.
        every: Save every so many steps.

    Returns:
        The id of the process.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        random.seed(0)  # Python reseeds it in every fork, and it is part of the state
        train(kind, folder, every=every)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


class Reference(NamedTuple):
    """The end of an uninterrupted run, and the seconds that it takes."""

    state: dict | None
    log: list
    seconds: float


def reference(kind: Kind, folder: Path) -> Reference:
    """The uninterrupted run, in a process of its own too."""
    started = time.monotonic()
    _, status = os.waitpid(attempt(kind, folder, every=1), 0)
    seconds = time.monotonic() - started
    assert status == 0
    return Reference(last_state(folder), log_lines(folder), seconds)


def kill_and_resume(kills: int, seed: int = 0) -> Counter[str]:
    """Kill and resume runs.

    Args:
        kills: The number of kills.
        seed: The seed of the moments.

    Returns:
        The numbers of kills, of those inside a save or a rotation, and of runs that ended identically or not.
    """
    torch.set_num_threads(1)
    trainer().step(images()[:12])  # so that the processes forked from here have imported what torch imports late
    rng, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        expected = {kind: reference(kind, Path(scratch) / f"reference{i}") for i, kind in enumerate(KINDS)}
        for number, kind in enumerate(cycle(KINDS)):
            if counts["kills"] >= kills and counts["runs identical"] + counts["RUNS DIFFERENT"] >= MIN_RUNS:
                return counts
            folder, whole_run = Path(scratch) / f"run{number}", expected[kind]
            _until_done(kind, folder, rng, counts, whole_run.seconds)
            is_same = same(last_state(folder), whole_run.state)
            counts["runs identical" if is_same and log_lines(folder) == whole_run.log else "RUNS DIFFERENT"] += 1
            shutil.rmtree(folder)
    raise AssertionError


def _until_done(kind: Kind, folder: Path, rng: random.Random, counts: Counter[str], seconds: float) -> None:
    """Resume a run until it is completed, and kill it each time within two fifths of the seconds that it takes, or in
    the first save after that."""
    counted: set[str] = set()
    for tries in range(10_000):
        child = attempt(kind, folder, every=rng.choice((1, 2, 1)))
        time.sleep(rng.uniform(0, 0.4 * seconds))
        if rng.random() < 1 / 3:
            _wait_for_a_save(child, folder)
            time.sleep(rng.uniform(0, 0.002))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.WEXITSTATUS(status) != 0:
                counts["ATTEMPTS FAILED"] += 1
                if tries > 100:
                    return
                continue
            return
        counts["kills"] += 1
        leftovers = {path.name for path in (folder / "checkpoints").glob(".*")} - counted
        counted |= leftovers
        counts["kills inside a save"] += any(name.startswith(".saving") for name in leftovers)
        counts["kills inside a rotation"] += any(name.startswith(".removing") for name in leftovers)


def _wait_for_a_save(child: int, folder: Path) -> None:
    """Return as soon as a process writes a checkpoint, or has ended."""
    seen = set((folder / "checkpoints").glob(".saving*"))  # left by earlier kills
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if set((folder / "checkpoints").glob(".saving*")) - seen:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # where there is one core
    started = time.monotonic()
    for outcome, count in sorted(kill_and_resume(options.kills, options.seed).items()):
        print(f"{outcome:<26}{count:>6}")
    print(f"{'seconds':<26}{time.monotonic() - started:>6.0f}")
