"""Sends real SIGTERM and SIGINT to real programs in training, and checks how they end: the exit status, the line that
says how to resume, and whether the checkpoint is that of the last step made.

    python tests/stress/stop_signals.py              100 programs, a few minutes
    python tests/stress/stop_signals.py --count 4
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from small_run import last_checkpoint, log_lines

PROGRAM = Path(__file__).with_name("small_run.py")


def stop(number: signal.Signals, delay: float) -> str:
    """Send a signal to a program in training.

    Args:
        number: The signal.
        delay: The seconds after the first checkpoint at which it is sent.

    Returns:
        The problems found, or "right".
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # A shell's background jobs ignore SIGINT, and hand that down.
        begin = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{begin}; runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
        command = [sys.executable, "-c", code, str(folder)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
            log = folder / "metrics.jsonl"
            deadline = time.monotonic() + 300
            while not (folder / "checkpoints" / f"step_{0:010d}").exists():
                if program.poll() is not None or time.monotonic() > deadline:
                    program.kill()
                    return f"DID NOT BEGIN {program.communicate()[1]!r}"
                time.sleep(0.01)
            time.sleep(delay)
            program.send_signal(number)
            _, output = program.communicate(timeout=300)
        steps = log_lines(folder)[-1]["step"] if log.stat().st_size else 0
        checkpoint = last_checkpoint(folder)
        problems = [
            *([] if program.returncode == 128 + number else [f"EXIT STATUS {program.returncode}"]),
            *([] if checkpoint is not None and checkpoint.step == steps else ["NOT THE LAST STEP"]),
            *([] if f"stopped by {number.name} after step {steps}; saved in" in output else [f"PRINTED {output!r}"]),
        ]
        return ", ".join(problems) or "right"


def stop_many(count: int, seed: int = 0) -> Counter[str]:
    """Stop programs, half of them by SIGTERM and half by SIGINT.

    Args:
        count: The number of programs.
        seed: The seed of the delays.

    Returns:
        The number of programs by signal and outcome.
    """
    rng = random.Random(seed)
    trials = [(signal.SIGTERM if i % 2 else signal.SIGINT, rng.uniform(0, 1)) for i in range(count)]
    with ThreadPoolExecutor(2) as pool:
        outcomes = pool.map(lambda trial: f"{trial[0].name}: {stop(*trial)}", trials)
        return Counter(outcomes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    for outcome, number in sorted(stop_many(parser.parse_args().count).items()):
        print(f"{outcome:<40}{number:>5}")
