"""Kills one of two processes by SIGKILL in the middle of random steps, while `torchrun` starts both again, and
compares the end bitwise with an uninterrupted run: weights, optimizers, random streams, history and log.

    python tests/stress/kill_a_rank.py            50 kills, some minutes
    python tests/stress/kill_a_rank.py --kills 5
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from small_run import Kind, last_state, log_lines, same, train
from typing_extensions import override

import infogan_lib as ig

STEPS = 60
KILLS_PER_RUN = 5
TIMEOUT_SECONDS = 200
KINDS = [Kind(), Kind(data="dataset"), Kind(ema=False, accumulation_steps=3), Kind(data="loader")]


class Kill(NamedTuple):
    """A kill: of the process of a rank, so many seconds after a step."""

    rank: int
    step: int
    delay: float


class KillInTurn(ig.Callback):
    """Carries out one kill in each life of the processes.

    Args:
        kills: The kills, at increasing steps.
        folder: Where those that were carried out are noted.
    """

    on_all_processes = True

    def __init__(self, kills: list[Kill], folder: Path) -> None:
        self._done = folder / "killed"
        self._done.touch()
        number = len(self._done.read_bytes())
        self._next = kills[number] if number < len(kills) else None

    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        kill = self._next
        if kill is not None and (trainer.distributed.rank, trainer.steps) == (kill.rank, kill.step):
            threading.Timer(kill.delay, self._die).start()

    def _die(self) -> None:
        with self._done.open("ab") as file:
            file.write(b"x")
        os.kill(os.getpid(), signal.SIGKILL)


def launch(kind: Kind, folder: Path, kills: list[Kill]) -> int:
    """Train in two processes and kill one of them every now and then.

    Returns:
        How often `torchrun` has started them.
    """
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps([vars(kind), kills]))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with (folder / "output").open("w") as output:
        subprocess.run(
            [*command, "--max-restarts", str(2 * len(kills)), __file__, "--train", str(folder)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    return len((folder / "starts").read_bytes())


def train_in_turn(folder: Path) -> None:
    """What each process does."""
    kind, kills = json.loads((folder / "job.json").read_text())
    if os.environ["RANK"] == "0":
        with (folder / "starts").open("ab") as file:
            file.write(b"x")
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the state of the global generator is part of a run
    torch.set_num_threads(1)
    called = KillInTurn([Kill(*kill) for kill in kills], folder)
    train(Kind(**kind), folder / "run", steps=STEPS, every=3, callbacks=[called])


def kill_ranks(kills: int, seed: int = 0) -> Counter[str]:
    """Kill processes, and count what came of it.

    Args:
        kills: The number of kills.
        seed: The seed of steps, ranks and moments.
    """
    rng, counts, references = random.Random(seed), Counter[str](), {}
    with tempfile.TemporaryDirectory() as name:
        for number in range((kills + KILLS_PER_RUN - 1) // KILLS_PER_RUN):
            kind, folder = KINDS[number % len(KINDS)], Path(name) / str(number)
            if kind not in references:
                references[kind] = Path(name) / f"straight {number}"
                launch(kind, references[kind], [])
            count = min(KILLS_PER_RUN, kills - number * KILLS_PER_RUN)
            steps = sorted(rng.sample(range(1, STEPS - 2), count))
            planned = [Kill(rng.randrange(2), step, rng.uniform(0, 0.02)) for step in steps]
            try:
                starts = launch(kind, folder, planned)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                counts["RUNS FAILED"] += 1
                print(error, (folder / "output").read_text()[-5000:], file=sys.stderr)
                continue
            done = len((folder / "killed").read_bytes())
            counts["kills"] += done
            counts["restarts without a kill"] += starts - 1 - done
            straight = references[kind]
            ends = [(last_state(run / "run"), log_lines(run / "run")) for run in (folder, straight)]
            counts["runs identical" if same(*ends) and ends[0][0] else "RUNS DIFFERENT"] += 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.train:
        train_in_turn(options.train)
    else:
        started = time.monotonic()
        for outcome, count in sorted(kill_ranks(options.kills, options.seed).items()):
            print(f"{outcome:<26}{count:>6}")
        print(f"{'seconds':<26}{time.monotonic() - started:>6.0f}")
