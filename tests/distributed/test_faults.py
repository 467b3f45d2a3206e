"""What goes wrong in one process ends all of them, and what the processes do not share is refused."""

import re
import time

import pytest
import torch

import distributed_faults as faults
import distributed_refused as refused
from distributed_workers import Workers


def messages(results):
    assert all(hasattr(result, "kind") for result in results), results
    return [f"{result.kind}: {result.message}" for result in results]


@pytest.mark.parametrize(
    ("function", "own", "others"),
    [
        (faults.failing_callback, "OSError: the disk is full", "process 0 has failed: OSError: the disk is full"),
        (faults.broken_iterable, "OSError: the connection", "process 0 has failed: OSError: the connection was lost"),
    ],
)
def test_an_error_of_process_0_ends_all(two, function, own, others):
    first, second = messages(two.run(function))
    assert own in first
    assert f"ProcessError: {others}" in second


def test_an_item_that_one_process_cannot_read_ends_all(two):
    said = messages(two.run(faults.broken_data))
    assert sorted(message.split(":")[0] for message in said) == ["OSError", "ProcessError"]
    assert all("picture 7 is damaged" in message for message in said)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (refused.other_seeds, "the same settings, but 'seed' is 0 in process 0 and 1 in process 1"),
        (refused.other_lengths, "the same data, but 'number of batches' is 5 in process 0 and 6 in process 1"),
        (refused.other_images, "process 1 has another batch than process 0; every process needs the whole batch"),
        (refused.other_networks, "the same networks, but 'discriminator.2.weight' is"),
        (refused.other_activations, "the same code, but 'discriminator.*' is 'LeakyReLU.* in process 0 and 'ELU"),
        (refused.other_sources, "the same code, but 'class Doubled' is"),
        (refused.other_versions, "the same versions, but 'torch' is '2.13.0' in process 0 and '2.14.0' in process 1"),
        (refused.other_targets, "the same arguments of fit, but 'steps' is 2 in process 0 and 3 in process 1"),
        (
            refused.other_callbacks,
            r"arguments of fit, but 'callbacks' is \['Callback'\] in process 0 and \[\] in process 1",
        ),
        (refused.steps_alone, "Steps is called in process 0 alone.*give it on_all_processes = True"),
        (refused.saves_alone, "Saves is called in process 0 alone.*give it on_all_processes = True"),
        (refused.wrapped, "one is in a DistributedDataParallel.*give the module that was wrapped"),
        (refused.fully_sharded, "one is in a FSDPLinear.*leave out DistributedDataParallel, fully_shard"),
        (refused.compiled, "engine.compile must be False with 2 processes"),
        (refused.minibatch_std, "the discriminator or Q makes something else of a batch on 2 processes"),
        (refused.statistics_of_rows, "the discriminator or Q makes something else of a batch on 2 processes"),
        (refused.random_layer, "the generator makes something else of a batch on 2 processes"),
        (refused.gradient_of_batch, "the generator makes something else of a batch on 2 processes"),
        (refused.dealt_out, "gives each process a part of the data.*without DistributedSampler"),
        (refused.dealt_out_stream, "gives each process a part of the data.*before accelerator.prepare"),
        (refused.dispatched, "gives each process a part of the data.*before accelerator.prepare"),
        (refused.recomputed, "the generator makes something else|different number of tensors|metadata"),
        (refused.few_rows, "1 rows cannot be spread over 2 processes; give a larger batch_size"),
        (refused.changed_weight, "process 1 and process 0 hold different values of 'model.tensors.generator.0.weight'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_processes_cannot_share_is_refused_in_all(two, function, expected):
    for message in messages(two.run(function)):
        assert re.search(expected, message), message


def test_a_loss_that_is_not_finite_in_one_process_stops_all(two):
    (first, before, after), (second, *_) = two.run(faults.not_finite_here)
    assert "discriminator" in first
    assert first == second
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
@pytest.mark.parametrize("as_own_loop", [False, True])
def test_an_error_in_the_middle_of_a_step_ends_all_with_its_message(as_own_loop):
    workers = Workers(2)  # of its own, as the group is of no use afterwards
    try:
        workers.run(faults.rank)  # imports take long
        started = time.monotonic()
        first, second = messages(workers.run(faults.failing_layer, as_own_loop))
        assert time.monotonic() - started < 30, time.monotonic() - started
        assert second == "MemoryError: this device is full"
        assert first == "ProcessError: process 1 has failed: MemoryError: this device is full"
    finally:
        workers.end()


@pytest.mark.slow
def test_a_process_that_ends_without_a_word_is_missed():
    workers = Workers(2)
    try:
        (message,) = messages(workers.run(faults.killed_in_a_step, of=[0]))
        assert message.startswith("ProcessError: another process has ended, or has not answered in time")
    finally:
        workers.end()


def test_the_group_is_of_use_after_errors(two):
    assert [steps for steps, _ in two.run(faults.steps_with, faults.Recorder())] == [12, 12]
