"""Processes that train together: a persistent group that runs functions, and programs that `torchrun` starts."""

import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

TIMEOUT_SECONDS = 120


class Raised:
    """An error of a worker, in words."""

    def __init__(self, error: BaseException) -> None:
        self.kind, self.message = type(error).__name__, str(error)
        self.notes = getattr(error, "__notes__", [])

    def __repr__(self) -> str:
        return f"{self.kind}: {self.message}"


def _work(rank: int, size: int, meeting: str, pipe: Connection) -> None:
    faulthandler.enable()
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    while (task := pipe.recv()) is not None:
        function, args = task
        try:
            result = function(*args)
        except BaseException as error:
            result = Raised(error)
        pipe.send(result)
    distributed.destroy_process_group()


class Workers:
    """Processes in one process group.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._start()

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        meeting, spawn = str(Path(self._folder.name) / "meeting"), multiprocessing.get_context("spawn")
        pairs = [spawn.Pipe() for _ in range(self.size)]
        self._pipes = [own for own, _ in pairs]
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"
        self._processes = [
            spawn.Process(target=_work, args=(rank, self.size, meeting, theirs))
            for rank, (_, theirs) in enumerate(pairs)
        ]
        for process in self._processes:
            process.start()
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before

    def run(self, function: Callable[..., Any], *args: Any, of: list[int] | None = None) -> list[Any]:
        """What the function returns, or `Raised`, in each process, or in those of the ranks in `of`."""
        for pipe in self._pipes:
            pipe.send((function, args))
        results = []
        for rank in range(self.size) if of is None else of:
            pipe = self._pipes[rank]
            if not pipe.poll(TIMEOUT_SECONDS):
                self._start_again()
                raise AssertionError(f"process {rank} hangs; see above where each of them is")
            results.append(pipe.recv())
        return results

    def _start_again(self) -> None:
        """End all processes, of which each prints where it is, and start others."""
        for process in self._processes:
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGABRT)
            process.join()
        self._folder.cleanup()
        self._start()

    def end(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if process.is_alive():
                pipe.send(None)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
        self._folder.cleanup()


def torchrun(
    program: Path, *arguments: str, restarts: int = 0, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes, which find the modules that this one finds."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    changes = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*command, "--max-restarts", str(restarts), str(program), *arguments],
        env=os.environ | changes | (environment or {}),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
