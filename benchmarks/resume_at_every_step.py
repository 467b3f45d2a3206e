"""Resumes a run of 60 steps at every step, for each of EMA on/off, accumulation 1/3, workers 0/2, fp32/bf16, each kind
of data and joint batches, and compares the end with that of the run that was not interrupted, by torch.equal.

    python benchmarks/resume_at_every_step.py
"""

import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

from small_run import Kind, comparable, last_checkpoint, same, train

STEPS = 60
KINDS = [
    Kind(ema=ema, accumulate=accumulate, precision=precision, data="dataset", workers=workers)
    for ema, accumulate, workers, precision in product((True, False), (1, 3), (0, 2), ("fp32", "bf16"))
]
KINDS += [Kind(data="tensor"), Kind(data="loader"), Kind(data="loader", workers=2), Kind(joint=True)]


def resume_at(kind: Kind, steps: Sequence[int], length: int = STEPS) -> list[int]:
    """The steps of these at which a resumed run of some length ended differently."""
    different = []
    with tempfile.TemporaryDirectory() as scratch:
        run, again = Path(scratch) / "run", Path(scratch) / "again"
        train(kind, run, every=1, keep=length + 1, steps=length)
        found = last_checkpoint(run)
        assert found is not None
        expected = comparable(found.state)
        for step in steps:
            torch.manual_seed(step)
            target = again / str(step)
            train(kind, target, resume=run / "checkpoints" / f"step_{step:010d}", every=1000, steps=length)
            found = last_checkpoint(target)
            assert found is not None
            if not same(_without_log(comparable(found.state)), _without_log(expected)):
                different.append(step)
    return different


def _without_log(state: dict) -> dict:
    return {name: of for name, of in state.items() if name != "callbacks"}  # each of these runs has a log of its own


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*is not the log")
    print(f"{'EMA':<7}{'accumulate':<12}{'precision':<11}{'data':<9}{'workers':<9}{'joint':<7}{'equal':<9}seconds")
    for kind in KINDS:
        started = time.monotonic()
        equal = STEPS + 1 - len(resume_at(kind, range(STEPS + 1)))
        print(
            f"{kind.ema!s:<7}{kind.accumulate:<12}{kind.precision:<11}{kind.data:<9}{kind.workers:<9}{kind.joint!s:<7}"
            f"{equal}/{STEPS + 1:<6}{time.monotonic() - started:.0f}",
            flush=True,
        )
