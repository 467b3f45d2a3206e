"""Commands in processes of their own, some at a time, which end with the program that started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence


def run_processes(commands: Sequence[Sequence[str]], *, jobs: int) -> list[int]:
    """Run commands on one thread each. Those that run when this is stopped, by SIGTERM too, are terminated.

    Args:
        commands: Arguments of the Python interpreter, in the order in which they are started.
        jobs: The number of processes at a time.

    Returns:
        The indices of those that failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    waiting, active, failed = list(range(len(commands))), dict[subprocess.Popen[bytes], int](), list[int]()
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                index = waiting.pop(0)
                active[subprocess.Popen([sys.executable, *commands[index]], env=environment)] = index
            for process in [process for process in active if process.poll() is not None]:
                index = active.pop(process)
                failed += [index] if process.returncode else []
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in active:
            process.terminate()
    return failed
