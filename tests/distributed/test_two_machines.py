"""Two nodes of two processes each, in network namespaces that a pair of virtual devices joins."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from distributed_cases import train

TRAIN = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import torch
from distributed_cases import train

torch.set_num_threads(1)
result = train("default", 8)
if result.rank == 0:
    torch.save(result.state, Path(sys.argv[1]) / "state")
"""

TRAIN_UNTIL_ALONE = """
import sys, time, warnings
from datetime import timedelta
from pathlib import Path
warnings.simplefilter("ignore")
import torch
import infogan_lib as ig
from toys import images, make_trainer

class Tell(ig.Callback):
    def on_step_end(self, trainer, metrics):
        (Path(sys.argv[1]) / "trains").touch()

torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=15))
make_trainer().fit(images(60), steps=1_000_000, batch_size=12, callbacks=[Tell()])
"""

MISSED = "ProcessError: another process has ended, or has not answered in time"

TRAIN_ON = """
import sys, time, warnings
from datetime import timedelta
from pathlib import Path
warnings.simplefilter("ignore")
import torch
import infogan_lib as ig
from distributed_cases import CASES, build, result_of

class Tell(ig.Callback):
    def on_step_end(self, trainer, metrics):
        time.sleep(0.2)
        (Path(sys.argv[1]) / "steps").write_text(str(trainer.steps))

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=15))
trainer, data, fit = build(CASES["Adam"] | {"steps": 60})
trainer.fit(data, **fit, callbacks=[Tell()], checkpoints=ig.Checkpoints(Path(sys.argv[1]) / "run", every=5))
result = result_of(trainer)
if result.rank == 0:
    torch.save((result.state, result.history), Path(sys.argv[1]) / "state")
"""


class Machines:
    """Two network namespaces.

    Args:
        folder: Where programs and their output are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, f"ig{os.getpid() % 100_000}"

    def make(self) -> None:
        for i in (0, 1):
            self._ip("netns", "add", f"{self._name}-{i}")
        self._ip("link", "add", f"{self._name}v0", "type", "veth", "peer", "name", f"{self._name}v1")
        for i in (0, 1):
            self._ip("link", "set", f"{self._name}v{i}", "netns", f"{self._name}-{i}")
            self._ip("-n", f"{self._name}-{i}", "addr", "add", f"10.99.0.{i + 1}/24", "dev", f"{self._name}v{i}")
            self._ip("-n", f"{self._name}-{i}", "link", "set", f"{self._name}v{i}", "up")
            self._ip("-n", f"{self._name}-{i}", "link", "set", "lo", "up")

    def remove(self) -> None:
        for i in (0, 1):
            subprocess.run(["ip", "netns", "del", f"{self._name}-{i}"], check=False, capture_output=True)

    def part(self) -> None:
        """Take the link down."""
        self._ip("-n", f"{self._name}-1", "link", "set", f"{self._name}v1", "down")

    def join(self) -> None:
        """Take the link up again."""
        self._ip("-n", f"{self._name}-1", "link", "set", f"{self._name}v1", "up")

    def start(self, i: int, program: str, folder: Path, restarts: int) -> "subprocess.Popen[bytes]":
        """Start one of the nodes, whose program writes into a folder."""
        (self._folder / f"program{i}.py").write_text(program)
        node = ["--nnodes", "2", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-id", "two"]
        node += ["--rdzv-endpoint", "10.99.0.1:29511", "--rdzv-conf", f"is_host={1 - i},read_timeout=300"]
        node += ["--max-restarts", str(restarts)]
        node += ["--local-addr", f"10.99.0.{i + 1}", str(self._folder / f"program{i}.py"), str(folder)]
        changes = {
            "GLOO_SOCKET_IFNAME": f"{self._name}v{i}",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # these programs make their group themselves
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with (self._folder / f"output{i}").open("wb") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", f"{self._name}-{i}", sys.executable, "-m", "torch.distributed.run", *node],
                env=os.environ | changes,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def outputs(self) -> list[str]:
        return [(self._folder / f"output{i}").read_text() for i in (0, 1)]

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    try:
        try:
            machines.make()
        except FileNotFoundError:
            pytest.skip("there is no program ip, of the package iproute2")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces or virtual devices are not allowed here: {error.stderr.strip()}")
        yield machines
    finally:
        machines.remove()


def run(
    machines: Machines, program: str, folder: Path, restarts: int = 0
) -> tuple[ExitStack, "list[subprocess.Popen[bytes]]"]:
    """Both nodes, and what ends them."""
    nodes = [machines.start(i, program, folder, restarts) for i in (0, 1)]
    stack = ExitStack()
    for node in nodes:
        stack.callback(node.wait)
        stack.callback(node.kill)
    return stack, nodes


def wait_for(condition: Callable[[], bool], machines: Machines, seconds: float = 100) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, machines.outputs()
        time.sleep(0.1)


@pytest.mark.slow
def test_two_machines_train_as_one_process(machines, tmp_path):
    stack, nodes = run(machines, TRAIN, tmp_path)
    with stack:
        assert [node.wait(100) for node in nodes] == [0, 0], machines.outputs()
    state, one = torch.load(tmp_path / "state"), train("default", 8).state
    assert state.keys() == one.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_machine_whose_link_is_down_is_missed_within_the_timeout(machines, tmp_path):
    stack, _ = run(machines, TRAIN_UNTIL_ALONE, tmp_path)
    with stack:
        wait_for((tmp_path / "trains").exists, machines)
        machines.part()
        # The launcher of the second machine itself waits for the first, for longer.
        wait_for(lambda: all(MISSED in output for output in machines.outputs()), machines, 60)


def last_step(folder: Path) -> int:
    """The number of steps that a run has told of."""
    return int((folder / "steps").read_text() or 0) if (folder / "steps").exists() else 0


@pytest.mark.stress
def test_a_job_goes_on_when_the_link_is_back(machines, tmp_path):
    ends = []
    for name in ("straight", "parted"):
        folder = tmp_path / name
        folder.mkdir()
        stack, nodes = run(machines, TRAIN_ON, folder, restarts=3)
        with stack:
            if name == "parted":
                wait_for(lambda: last_step(tmp_path / "parted") > 20, machines)
                machines.part()
                started = time.monotonic()
                wait_for(lambda: all(MISSED in output for output in machines.outputs()), machines, 45)
                missed = time.monotonic() - started
                time.sleep(10)
                machines.join()
                started = time.monotonic()
            assert [node.wait(200) for node in nodes] == [0, 0], machines.outputs()
        ends.append(torch.load(folder / "state"))
    logging.getLogger(__name__).info(
        "missed after %.1f s, ended %.1f s after the link was back", missed, time.monotonic() - started
    )
    (straight_state, straight_history), (state, history) = ends
    assert state.keys() == straight_state.keys()
    assert all(torch.equal(tensor, straight_state[name]) for name, tensor in state.items())
    assert repr(history) == repr(straight_history)
