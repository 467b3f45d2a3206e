"""Bundles: what is read of older and newer versions, and what is left where a write fails."""

import os
import warnings
from pathlib import Path

import pytest
import torch
from forged import forge, honest_pickle

import infogan_lib as ig
from infogan_lib._schema import Int, ListOf, Record, Text
from infogan_lib.checkpoints.bundle import read_bundle, verify_bundle, write_bundle
from infogan_lib.checkpoints.compare import known_fields, renamed_like

MAX_BYTES = 1 << 20


PLAN = Record({"name": Text(), "size": Int(), "tags": ListOf(Text())}, optional=frozenset({"size", "tags"}))


def test_what_was_written_is_read(tmp_path):
    write_bundle(tmp_path, "thing", {"a": 1}, {"x": torch.arange(3), "y": (1, None)}, max_bytes=MAX_BYTES)
    metadata, state = read_bundle(tmp_path, "other", "thing", max_bytes=MAX_BYTES)
    assert metadata == {"a": 1}
    assert state["x"].tolist() == [0, 1, 2]
    assert state["y"] == (1, None)
    verify_bundle(tmp_path, "thing")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_format_1_is_read(tmp_path):
    forge(tmp_path, honest_pickle(), version=1, about={"a": 1})
    metadata, state = read_bundle(tmp_path, "checkpoint", max_bytes=MAX_BYTES)
    assert metadata == {"a": 1}
    assert torch.equal(state["a"], torch.zeros(1000))


def test_a_pickle_in_format_2_is_refused(tmp_path):
    forge(tmp_path, honest_pickle())
    with pytest.raises(ig.CheckpointError, match="its content is not what was saved"):
        read_bundle(tmp_path, "checkpoint", max_bytes=MAX_BYTES)


def test_a_newer_format_is_named(tmp_path):
    forge(tmp_path, b"", format=3)
    with pytest.raises(ig.CheckpointError, match="format 3, and this version of infogan-lib reads 2 and older"):
        read_bundle(tmp_path, "checkpoint", max_bytes=MAX_BYTES)


def test_a_state_or_manifest_that_could_not_be_read_is_not_written(tmp_path):
    for metadata, state in (({}, torch.zeros(1 << 20)), ({"names": "x" * (1 << 20)}, None)):
        with pytest.raises(ig.CheckpointError, match="were to be saved, and at most"):
            write_bundle(tmp_path, "thing", metadata, state, max_bytes=MAX_BYTES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", range(4))
def test_a_failed_write_leaves_the_old_bundle(tmp_path, failing, monkeypatch):
    write_bundle(tmp_path, "thing", {}, "old", max_bytes=MAX_BYTES)
    calls, real = [], os.fsync

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) - 1 == failing:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ig.CheckpointError, match="the disk is full"):
        write_bundle(tmp_path, "thing", {}, "new", max_bytes=MAX_BYTES)
    monkeypatch.undo()
    state = read_bundle(tmp_path, "thing", max_bytes=MAX_BYTES)[1]
    assert state == ("old" if failing < 3 else "new")
    assert not list(tmp_path.glob(".writing-*"))


def test_fields_with_a_default_may_be_missing():
    assert known_fields(Path("p"), "plan", {"name": "a"}, PLAN) == {"name": "a"}
    with pytest.raises(ig.CheckpointError, match="p: its plan does not fit: 'name' is not in it"):
        known_fields(Path("p"), "plan", {"size": 3}, PLAN)


def test_unknown_fields_are_named_and_ignored_unless_they_are_required():
    saved = {"name": "a", "color": 1, "shade": 2}
    with pytest.warns(UserWarning, match="p: its plan holds 'color' and 'shade', unknown to this version"):
        assert known_fields(Path("p"), "plan", saved, PLAN) == {"name": "a"}
    with pytest.raises(ig.CheckpointError, match="its plan needs 'shade', unknown to this version"):
        known_fields(Path("p"), "plan", saved | {"required": ["name", "shade"]}, PLAN)
    with pytest.raises(ig.CheckpointError, match="its plan needs 'all'"):
        known_fields(Path("p"), "plan", saved | {"required": "all"}, PLAN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known_fields(Path("p"), "plan", {"name": "a", "required": ["name"]}, PLAN)


def test_names_that_differ_by_wrappers_are_the_same():
    saved = {"_orig_mod.a.weight": 1, "module._orig_mod.b": 2}
    assert renamed_like(saved, ["a.weight", "b"]) == {"a.weight": 1, "b": 2}
    assert renamed_like({"a.weight": 1, "b": 2}, list(saved)) == saved
    assert renamed_like(saved, ["a.weight"]) == saved  # it does not fit so either


def test_a_module_that_is_called_module_is_none_of_the_wrappers():
    own = {"module.weight": 1, "weight": 2}
    assert renamed_like(own, list(own)) == own
    assert renamed_like({"_orig_mod.module.weight": 1, "_orig_mod.weight": 2}, list(own)) == {
        "_orig_mod.module.weight": 1,
        "_orig_mod.weight": 2,
    }


def test_manifests_are_for_people(tmp_path):
    write_bundle(tmp_path, "thing", {"a": 1}, None, max_bytes=MAX_BYTES)
    text = (tmp_path / "manifest.json").read_text()
    assert text.startswith('{\n "kind": "thing",\n "format": 2,\n "metadata": {\n  "a": 1\n }')
    assert text.endswith("}\n")
