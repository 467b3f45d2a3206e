"""What a trainer makes of the environment of a launcher, and of a process group that is there."""

import pytest
import torch

from toys import images, make_trainer


@pytest.mark.parametrize("size", ["", "1", "none"])
def test_one_process_may_be_launched(monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    make_trainer()


def test_a_launcher_must_say_how_to_meet(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(RuntimeError, match="one of 4 processes.*MASTER_ADDR.*start the program with torchrun"):
        make_trainer()


@pytest.mark.parametrize(
    ("name", "value"), [("RANK", "x"), ("RANK", "-1"), ("RANK", "4"), ("MASTER_PORT", ""), ("MASTER_PORT", "65536")]
)
def test_a_rank_or_a_port_that_is_none_is_named(monkeypatch, name, value):
    for variable in {"WORLD_SIZE": "4", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(*variable)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda *_, **__: pytest.fail("it would wait for the others"))
    with pytest.raises(RuntimeError, match=f"{name} must be a whole number from 0 to .*, but is '{value}'"):
        make_trainer()


def test_a_process_group_counts_more_than_the_environment(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    trainer = make_trainer()
    assert (trainer.distributed.rank, trainer.distributed.world_size) == (0, 1)


def test_gradients_are_averaged_of_what_is_updated_and_of_nothing_else(monkeypatch):
    trainer, averaged = make_trainer(), []
    monkeypatch.setattr(trainer.distributed, "average_gradients", lambda parameters: averaged.append({*parameters}))
    trainer.model.train()
    trainer.step(images(8))
    groups = {name: {*parameters} for name, parameters in trainer.model.parameter_groups().items()}
    assert averaged == [groups["trunk"] | groups["d_head"], groups["generator"] | groups["q_head"]]
