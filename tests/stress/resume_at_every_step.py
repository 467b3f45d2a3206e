"""Resumes a run of 60 steps at every step, for each of EMA on/off, accumulation 1/3, workers 0/2, fp32/bf16, each kind
of data and joint batches, and compares the end with that of the uninterrupted run, by torch.equal.

    python tests/stress/resume_at_every_step.py
"""

import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from small_run import Kind, last_state, same, train

STEPS = 60
KINDS = [
    Kind(ema, accumulation_steps, precision, "dataset", num_workers)
    for ema, accumulation_steps, num_workers, precision in product((True, False), (1, 3), (0, 2), ("fp32", "bf16"))
]
KINDS += [Kind(data="tensor"), Kind(data="loader"), Kind(data="loader", num_workers=2), Kind(joint_batches=True)]


def resume_at(kind: Kind, steps: Sequence[int], length: int = STEPS) -> list[int]:
    """Resume a run at each of some steps.

    Args:
        kind: The settings of the run.
        steps: The steps to resume at.
        length: The length of the run.

    Returns:
        The steps at which the resumed run ended differently.
    """
    different = []
    with tempfile.TemporaryDirectory() as scratch:
        run, again = Path(scratch) / "run", Path(scratch) / "again"
        train(kind, run, every=1, keep=length + 1, steps=length)
        expected = _final_state(run)
        for step in steps:
            torch.manual_seed(step)
            target = again / str(step)
            train(kind, target, resume=run / "checkpoints" / f"step_{step:010d}", every=1000, steps=length)
            if not same(_final_state(target), expected):
                different.append(step)
    return different


def _final_state(folder: Path) -> dict:
    state = last_state(folder)
    assert state is not None
    return {name: part for name, part in state.items() if name != "callbacks"}  # each of these runs has its own log


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*is not the log|This DataLoader will create")
    print(f"{'EMA':<7}{'accumulate':<12}{'precision':<11}{'data':<9}{'workers':<9}{'joint':<7}{'equal':<9}seconds")
    for kind in KINDS:
        started = time.monotonic()
        equal = STEPS + 1 - len(resume_at(kind, range(STEPS + 1)))
        print(
            f"{kind.ema!s:<7}{kind.accumulation_steps:<12}{kind.precision:<11}{kind.data:<9}{kind.num_workers:<9}{kind.joint_batches!s:<7}"
            f"{equal}/{STEPS + 1:<6}{time.monotonic() - started:.0f}",
            flush=True,
        )
