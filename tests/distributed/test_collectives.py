"""Collective operations end when no thread of the backend holds their tensors: a fork beside one can hang."""

import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch

import infogan_lib.distributed.processes as processes_module
from infogan_lib.distributed import Processes


class LateBackend:
    """Operations of one rank of two that hold their tensors a while after they are over, as gloo's threads do."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.held = seconds, []

    def _hold(self, *tensors):
        held = [tensor.view(-1) for tensor in tensors]  # each holds its tensor, as C++ does
        self.held.append(held)
        threading.Thread(target=lambda: (time.sleep(self.seconds), held.clear()), daemon=True).start()

    def all_reduce(self, tensor):
        self._hold(tensor)

    def broadcast(self, tensor, source, group):
        self._hold(tensor)

    def all_gather(self, whole, own, group=None, async_op=False):
        whole.view(2, -1).copy_(own)
        self._hold(whole, own)
        return SimpleNamespace(wait=lambda timeout=timedelta(0): None)

    @property
    def holds(self) -> bool:
        return any(self.held)


@pytest.fixture
def use(monkeypatch):
    def replace(seconds):
        backend = LateBackend(seconds)
        monkeypatch.setattr(processes_module, "distributed", backend)
        monkeypatch.setattr(processes_module, "all_gather", backend.all_gather)
        processes = Processes()
        processes.world_size = 2
        return backend, processes

    return replace


@pytest.mark.parametrize(
    "operation",
    [
        lambda processes: processes.all_reduce(torch.ones(3)),
        lambda processes: processes.all_gather(torch.ones(6), torch.ones(3)),
        lambda processes: processes.exchange("a"),
        lambda processes: processes.send([torch.ones(3), torch.ones(2)], 0),
    ],
    ids=["all_reduce", "all_gather", "exchange", "send"],
)
def test_an_operation_ends_when_its_tensors_are_released(use, operation):
    backend, processes = use(0.1)
    operation(processes)
    assert backend.held
    assert not backend.holds


def test_a_backend_that_keeps_tensors_is_not_waited_for_long(use):
    backend, processes = use(60)
    start = time.monotonic()
    processes.all_reduce(torch.ones(3))
    assert backend.holds
    assert 0.9 < time.monotonic() - start < 30
