r"""W processes with batches of B take the path of one process with batches of B.

In float64 only the order of sums differs. Under SGD the paths stay as close as that; Adam divides by the root of its
second moment, which for a bias in front of BatchNorm, whose gradient is 0, is rounding itself.
"""

from functools import partial

import pytest
import torch

from distributed_cases import CASES, Result, train, with_norms_of_halves
from distributed_workers import Raised

QUICK = [
    "default",
    "Adam",
    "default regularizers",
    "adversarial images",
    "joint",
    "accumulated",
    "augmented",
    "several updates",
    "mode seeking",
    "penalties",
    "spectral normalization",
    "pretrained",
    "random items",
    "loader with dropout",
    "labels of some",
]


def assert_alike(ours: Result, one: Result, tolerance: float) -> None:
    """The same state and history as one process, up to rounding."""
    assert ours.state.keys() == one.state.keys()
    for name, tensor in one.state.items():
        torch.testing.assert_close(ours.state[name], tensor, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
    assert ours.history.keys() == one.history.keys()
    for name, values in one.history.items():
        got, wanted = torch.tensor(ours.history[name]), torch.tensor(values)
        torch.testing.assert_close(got, wanted, rtol=0, atol=100 * tolerance, equal_nan=True)


def check(workers, name: str, steps: int = 50) -> None:
    results, one = workers.run(train, name, steps), train(name, steps)
    assert not [result for result in results if isinstance(result, Raised)]
    for rank, result in enumerate(results):
        assert (result.rank, result.world_size) == (rank, workers.size)
        assert repr(result.history) == repr(results[0].history)
        assert all(torch.equal(tensor, results[0].state[key]) for key, tensor in result.state.items())
    assert_alike(results[0], one, 1e-12 if CASES[name].get("sgd", True) else 1e-9)


@pytest.mark.parametrize("name", QUICK)
def test_two_processes(two, name):
    check(two, name, 8)


def test_without_sync_batchnorm_each_process_normalizes_its_own_rows(two):
    settings = {"batch_size": 12}
    results = two.run(partial(train, sync_batchnorm=False, **settings), "default", 8)
    assert not [result for result in results if isinstance(result, Raised)]
    assert all(torch.equal(tensor, results[0].state[key]) for key, tensor in results[1].state.items())
    assert_alike(results[0], train("default", 8, networks=with_norms_of_halves, **settings), 1e-12)


@pytest.mark.stress
@pytest.mark.parametrize("name", CASES)
def test_two_processes_for_longer(two, name):
    check(two, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_three_processes(three, name):
    check(three, name, 20)


@pytest.mark.stress
@pytest.mark.parametrize("name", CASES)
def test_three_processes_for_longer(three, name):
    check(three, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "accumulated"])
def test_four_processes(four, name):
    check(four, name, 20)


@pytest.mark.stress
@pytest.mark.parametrize("name", CASES)
def test_four_processes_for_longer(four, name):
    check(four, name)
