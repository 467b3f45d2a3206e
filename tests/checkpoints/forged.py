"""Bundles made to do harm, with all checksums right, for the tests of this folder."""

import hashlib
import io
import json

import pytest
import torch

import infogan_lib as ig
from infogan_lib.checkpoints.run_folder import read_checkpoint
from infogan_lib.checkpoints.tensor_file import encode
from memory import bounded_memory

MAX_BYTES = 1 << 27

SUFFIXES = {1: ".pt", 2: ".safetensors"}


def to_json(manifest):
    return json.dumps(manifest, indent=1) + "\n"


def forge(folder, data, *, version=2, **fields):
    """A bundle around any bytes."""
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    (folder / f"state-{digest[:16]}{SUFFIXES[version]}").write_bytes(data)
    manifest = {
        "kind": "checkpoint",
        "format": version,
        "about" if version == 1 else "metadata": {},
        "state": {"bytes": len(data), "sha256": digest},
    }
    write_manifest(folder, manifest | fields)
    return folder


def write_manifest(folder, manifest):
    checksum = hashlib.sha256(to_json(manifest).encode()).hexdigest()
    name = "seal" if manifest["format"] == 1 else "checksum"
    (folder / "manifest.json").write_text(to_json(manifest | {name: checksum}))


def honest():
    """The bytes of a sound state."""
    return encode({"a": torch.zeros(1000)})


def honest_pickle():
    """The bytes of a sound state of format 1."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    return buffer.getvalue()


def assert_refused(folder, match=None):
    """It is a CheckpointError, in bounded memory."""
    with bounded_memory(300), pytest.raises(ig.CheckpointError, match=match):
        read_checkpoint(folder, max_bytes=MAX_BYTES)
