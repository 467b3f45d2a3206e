"""Streams: read by process 0 for all, or by each process in its own share."""

import re

import pytest
from test_distributed_runs import assert_identical
from test_faults import messages

import distributed_streams as streams
import infogan_lib as ig

ROUNDS = [[0, 1, 2, 3], [9, 10, 11, 12], [4, 5, 6, 7], [13, 14, 15, 16], [17, 18, 19, 20]]
"""The batches of shards of 9 and 12 images, in turn."""


@pytest.mark.parametrize("workers", [0, 1])
def test_each_process_reads_its_share_and_all_train_on_each(two, workers):
    (first, ours), (second, theirs) = two.run(streams.of_shards, [9, 12], workers, 0.1)
    assert first == second == ROUNDS + ROUNDS
    assert_identical(ours, theirs)


def test_workers_of_each_process_have_shards_of_their_own(two):
    (first, _), (second, _) = two.run(streams.of_shards, [4, 4, 4, 4], 2)
    assert first == second
    assert sorted(number for batch in first[:4] for number in batch) == [*range(16)]


def test_one_process_reads_all_shares(two):
    assert streams.of_shards([8, 8], 0)[0] == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2


def test_a_stream_that_is_not_sharded_is_read_once(two):
    for seen, _ in two.run(streams.one_reader):
        assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]


@pytest.mark.parametrize("stop_at", [3, 6])
def test_shares_that_keep_their_places_resume_there(two, tmp_path, stop_at):
    straight, _ = two.run(streams.run, tmp_path / "straight")
    ended, _ = two.run(streams.run, tmp_path / "run", stop_at)
    assert stop_at <= len(ended) < 14
    resumed, other = two.run(streams.run, tmp_path / "run")
    assert_identical(resumed, straight)
    assert_identical(other, straight)


def test_places_of_two_processes_are_of_no_use_to_one(two, tmp_path):
    two.run(streams.run, tmp_path, 3)
    with pytest.raises(ig.CheckpointError, match="Sharded over 2 processes.*here are 1; resume with as many"):
        streams.run(tmp_path)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (streams.same_everywhere, "process 1 has read the same first batch as process 0.*without Sharded"),
        (streams.sharded_here_alone, "'kind' is 'Sharded' in process 0 and 'IterableSource' in process 1"),
        (streams.split_but_not_sharded, r"all but that of process 0 would be lost; give infogan_lib.data.Sharded\("),
        (streams.not_a_stream, "Sharded needs a stream, but got.*DataLoader"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_share_is_refused_in_all(two, function, expected):
    for message in messages(two.run(function)):
        assert re.search(expected, message), message
