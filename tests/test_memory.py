"""The bound on memory that other tests rely on."""

import pytest

import memory


@pytest.mark.parametrize("counted_by", ["the system", "Python"])
def test_a_bound_on_memory_fails_also_after_something_larger(monkeypatch, tmp_path, counted_by):
    if counted_by == "Python":
        monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear_refs")
    bytearray(b"x") * 2**26
    with pytest.raises(AssertionError, match="MiB were taken"), memory.bounded_memory(16):
        bytearray(b"x") * 2**25
    with memory.bounded_memory(48):
        bytearray(b"x") * 2**25
