"""Kills small runs by SIGKILL at random moments, goes on with each until it is done, and compares it bit by bit with a
run that was left alone: weights, averaged weights, optimisers, streams of randomness, history and log.

    python benchmarks/resume_after_kills.py            1,000 kills, a few minutes
    python benchmarks/resume_after_kills.py --kills 50
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

from small_run import Kind, comparable, images, last_checkpoint, log_lines, same, train, trainer

KINDS = [
    Kind(),
    Kind(ema=False, accumulate=3),
    Kind(data="dataset"),
    Kind(data="loader"),
    Kind(precision="bf16"),
    Kind(data="dataset", workers=2),
]

LEAST_RUNS = 3  # compared, whatever the number of kills


def attempt(kind: Kind, run_dir: Path, seed: int) -> int:
    """Go on with a run in a process of its own, which is forked with torch already in it; the process's number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        random.seed(0)  # Python seeds it anew in every fork, and it is part of the state
        train(kind, run_dir, every=1 + seed % 2)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


class Reference(NamedTuple):
    """What a run comes to that nobody interrupts, and how many seconds it takes."""

    state: dict
    log: list
    seconds: float


def reference(kind: Kind, folder: Path) -> Reference:
    """The run that nobody interrupts, in a process of its own too."""
    started = time.monotonic()
    _, status = os.waitpid(attempt(kind, folder, seed=4), 0)
    seconds = time.monotonic() - started
    assert status == 0
    found = last_checkpoint(folder)
    assert found is not None
    return Reference(comparable(found.state), log_lines(folder), seconds)


def kill_and_resume(kills: int, seed: int = 0) -> Counter[str]:
    """What happened: kills, those inside a save or a rotation, runs completed, and runs that came out different."""
    torch.set_num_threads(1)
    trainer().step(images()[:12])  # so that the processes forked from here have imported what torch imports late
    chance, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        expected = {kind: reference(kind, Path(scratch) / f"reference{i}") for i, kind in enumerate(KINDS)}
        for number, kind in enumerate(cycle(KINDS)):
            if counts["kills"] >= kills and counts["runs identical"] + counts["RUNS DIFFERENT"] >= LEAST_RUNS:
                return counts
            run_dir = Path(scratch) / f"run{number}"
            whole_run = expected[kind]
            _until_done(kind, run_dir, chance, counts, whole_run.seconds)
            found = last_checkpoint(run_dir)
            is_same = found is not None and same(comparable(found.state), whole_run.state)
            whole = is_same and log_lines(run_dir) == whole_run.log
            counts["runs identical" if whole else "RUNS DIFFERENT"] += 1
            shutil.rmtree(run_dir)
    raise AssertionError


def _until_done(kind: Kind, run_dir: Path, chance: random.Random, counts: Counter[str], seconds: float) -> None:
    """Go on with a run until it is done, and kill it each time within two fifths of the seconds that it takes."""
    seen: set[str] = set()
    for tries in range(10_000):
        child = attempt(kind, run_dir, seed=chance.randrange(3))
        time.sleep(chance.uniform(0, 0.4 * seconds))
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
        left = {path.name for path in (run_dir / "checkpoints").glob(".*")} - seen
        seen |= left
        counts["kills inside a save"] += any(name.startswith(".saving") for name in left)
        counts["kills inside a rotation"] += any(name.startswith(".removing") for name in left)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    started = time.monotonic()
    for what, count in sorted(kill_and_resume(options.kills, options.seed).items()):
        print(f"{what:<26}{count:>6}")
    print(f"{'seconds':<26}{time.monotonic() - started:>6.0f}")
