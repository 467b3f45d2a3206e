"""Checkpoints of runs on a DataLoader, made to do harm: places that it never reaches, states that no generator has."""

import copy
import itertools
import shutil

import pytest
import torch
from forged import MAX_BYTES, forge
from torch.utils.data import DataLoader, RandomSampler, Sampler

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints.run_folder import read_checkpoint
from infogan_lib.checkpoints.tensor_file import encode
from infogan_lib.data.iterable_source import LoaderSource
from resume_toys import Noisy, fit, trainer


class Endless(Sampler[int]):
    """Has no length and no end."""

    def __iter__(self):
        return itertools.cycle(range(40))


def endless():
    return DataLoader(Noisy(), 8, sampler=Endless())


def shuffled():
    return DataLoader(Noisy(), 8, sampler=RandomSampler(Noisy(), generator=torch.Generator()))


def forge_a_run(folder, data, change):
    """Change the checkpoint of a run of three steps, under right checksums."""
    fit(trainer(), data, steps=3, checkpoints=Checkpoints(folder, keep=1))
    checkpoint = read_checkpoint(folder, max_bytes=MAX_BYTES)
    state = copy.deepcopy(checkpoint.state)
    change(state)
    shutil.rmtree(checkpoint.path)
    forge(checkpoint.path, encode(state), metadata=checkpoint.metadata)


def test_a_batch_that_so_many_steps_cannot_have_led_to_is_refused(tmp_path):
    def change(state):
        state["position"]["batch_index"] = 10**9

    forge_a_run(tmp_path, endless(), change)
    with pytest.raises(ig.CheckpointError, match="position.batch_index is 1,000,000,000, after 3 steps"):
        fit(trainer(), endless(), steps=4, checkpoints=tmp_path)


@pytest.mark.parametrize("place", ["at_start", "before_last"])
@pytest.mark.parametrize(("name", "value"), [("torch", 255), ("python", 2**32 - 1), ("own", 255)])
def test_states_that_no_generator_can_have_are_refused_before_anything_is_loaded(tmp_path, place, name, value):
    def change(state):
        rng, own = state["data"]["source"][place]
        tensor = own[0] if name == "own" else rng["python"][1] if name == "python" else rng["torch"]
        tensor.fill_(value)

    forge_a_run(tmp_path, shuffled(), change)
    t, loader = trainer(), shuffled()
    generator = loader.sampler.generator.manual_seed(5)
    before, own = torch.get_rng_state(), generator.get_state()
    with pytest.raises(ig.CheckpointError, match="its data does not fit"):
        fit(t, loader, steps=4, checkpoints=tmp_path)
    assert t.steps == 0
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generator.get_state(), own)


@pytest.mark.parametrize(
    "refused", [("at_start", 0, "torch"), ("before_last", 0, "torch"), ("before_last", 1, 0), "own"]
)
def test_a_state_that_a_source_refuses_changes_no_generator(refused):
    source = LoaderSource(shuffled())
    batches = source.epoch(0)
    next(batches), next(batches)
    state = source.state_dict()
    states = state["own"] if refused == "own" else state[refused[0]][refused[1]]
    key = 0 if refused == "own" else refused[2]
    states[key] = torch.full_like(states[key], 255)
    loader = shuffled()
    source = LoaderSource(loader)
    generator = loader.sampler.generator.manual_seed(5)
    before, own = torch.get_rng_state(), generator.get_state()
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        source.load_state_dict(state)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generator.get_state(), own)
