"""The bound on memory that other tests rely on."""

import pytest

import memory


@pytest.mark.parametrize("counted_by", ["the system", "Python"])
def test_a_bound_on_memory_fails_also_after_something_larger(monkeypatch, tmp_path, counted_by):
    if counted_by == "Python":
        monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear_refs")
    bytearray(b"x") * 2**26
    _assert_that_32_mib_are_counted()


def test_a_bound_on_memory_counts_what_was_freed_and_is_taken_again():
    bytearray(31 * 2**20)  # once it is freed, glibc takes also large blocks from its heap
    blocks = [bytearray(b"x") * 2**20 for _ in range(80)]
    last = blocks.pop()  # keeps the heap from shrinking
    blocks.clear()
    _assert_that_32_mib_are_counted()
    del last


def _assert_that_32_mib_are_counted():
    with pytest.raises(AssertionError, match="MiB were taken"), memory.bounded_memory(16):
        bytearray(b"x") * 2**25
    with memory.bounded_memory(48):
        bytearray(b"x") * 2**25
