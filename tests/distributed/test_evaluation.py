"""Encoding and reports by several processes."""

import pytest
import torch
from test_faults import messages

import distributed_faults as faults


@pytest.mark.parametrize("count", [4, 9, 18])
def test_processes_that_encode_together_give_what_one_gives(two, count):
    one = faults.encoded(count)
    for ours in two.run(faults.encoded, count):
        assert all(torch.equal(mine, expected) for mine, expected in zip(ours, one, strict=True))


def test_one_process_may_encode_alone(two):
    ours, _ = two.run(faults.encoded_by_one)
    torch.testing.assert_close(ours, faults.encoded(8)[0])


def test_an_image_that_one_process_cannot_encode_ends_all(two):
    first, second = messages(two.run(faults.encoded, 18, 17))
    assert "NaN or infinite" in second
    assert first == f"ProcessError: process 1 has failed: {second}"


def test_images_that_do_not_fit_in_one_process_end_all(two):
    first, second = messages(two.run(faults.encoded_of_another_shape))
    assert "images must have" in second
    assert first == f"ProcessError: process 1 has failed: {second}"


def test_processes_that_encode_other_images_are_told(two):
    for message in messages(two.run(faults.encoded_of_rank)):
        assert "the same arguments, but 'images' is [8, 1, 4, 4] in process 0 and [9, 1, 4, 4] in process 1" in message


@pytest.mark.slow
def test_a_report_that_all_write_is_whole(two, tmp_path):
    first, second = two.run(faults.reported, tmp_path)
    assert first == second
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["report.html", "report.json"]
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")
