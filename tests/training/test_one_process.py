"""A trainer is refused in one of several processes, which would train apart."""

import pytest
import torch

from toys import make_trainer


@pytest.mark.parametrize("size", ["", "1", "none"])
def test_one_process_may_be_launched(monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    make_trainer()


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="one of 4 processes.*start the program with python.*without WORLD_SIZE"):
        make_trainer()


def test_a_process_group_counts_more_than_the_environment(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    make_trainer()
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="one of 2 processes"):
        make_trainer()
