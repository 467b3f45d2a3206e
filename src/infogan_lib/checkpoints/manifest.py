"""A sealed folder: one file of state and a manifest that vouches for it.

    FOLDER/state-<first 16 digits of its SHA-256>.pt
    FOLDER/manifest.json     what it is, its size and SHA-256, and a SHA-256 of the manifest itself

The manifest comes last and is moved into place in one piece, so at every moment the folder holds what was sealed
before, or what is sealed now. Reading hashes first. No file name is taken from the manifest.

A manifest that nobody has signed finds damage; it cannot find forgery.
"""

import hashlib
import json
import re
from io import BufferedReader
from pathlib import Path
from typing import Any

from infogan_lib.checkpoints.disk import (
    CheckpointError,
    faults_named,
    open_plain,
    suppressed_faults,
    sync_folder,
    write_synced,
)
from infogan_lib.checkpoints.safe_torch import Plain, from_file, to_bytes

FORMAT = 1

MANIFEST = "manifest.json"

_READ_BY = {
    "checkpoint": "; trainer.load_checkpoint and fit(resume=...) read it",
    "trainer state": "; trainer.load_checkpoint reads it",
    "model": "; InfoGAN.load reads it",
}

_LONGEST_MANIFEST = 1 << 20


def seal(folder: Path, kind: str, about: dict[str, Any], state: Plain, *, largest: int) -> None:
    """Write a state and what is to be known of it into a folder that exists, in place of what was sealed there.

    Args:
        folder: where to.
        kind: what it is, such as "checkpoint".
        about: plain JSON data; a person can read it in the manifest.
        state: plain data and tensors.
        largest: the most bytes that it may have, as for `unseal`.

    Raises:
        CheckpointError: a fault of the disk, or more than could be read again. What was sealed before is still there.
    """
    data = to_bytes(state)
    digest = hashlib.sha256(data).hexdigest()
    body = {"kind": kind, "format": FORMAT, "about": about, "state": {"bytes": len(data), "sha256": digest}}
    manifest = _text(body | {"seal": _seal_of(body)}).encode()
    if len(data) > largest or len(manifest) > _LONGEST_MANIFEST:
        raise CheckpointError(
            folder,
            f"{len(data):,} bytes of state and {len(manifest):,} of manifest were to be saved, and at most {largest:,} "
            f"and {_LONGEST_MANIFEST:,} can be; keep less in callbacks, buffers or names",
        )
    with faults_named(folder, "saving"):
        write_synced(folder / _state_name(digest), data)
        sync_folder(folder)
        write_synced(folder / MANIFEST, manifest)
        sync_folder(folder)
    for leftover in folder.iterdir():
        if leftover.name.startswith((".writing-", "state-")) and leftover.name != _state_name(digest):
            with suppressed_faults():
                leftover.unlink()


def verify(folder: Path, kind: str) -> dict[str, Any]:
    """What a sealed folder says of itself, once its content has been hashed.

    Raises:
        CheckpointError: damage of any kind, or another kind of folder.
    """
    body = _read_manifest(folder, kind)
    path, size, digest = _state_of(folder, body)
    with _hashed(path, size, digest):
        return body["about"]


def unseal(folder: Path, *kinds: str, largest: int) -> tuple[dict[str, Any], Any]:
    """What a sealed folder says of itself, and its state, on the CPU.

    Args:
        folder: the folder.
        kinds: what it may be.
        largest: the most bytes that its state may have.

    Raises:
        CheckpointError: damage of any kind, another kind of folder, or content that is no plain data.
    """
    body = _read_manifest(folder, *kinds)
    path, size, digest = _state_of(folder, body)
    if size > largest:
        raise CheckpointError(path, f"it has {size:,} bytes, and a state of this model has at most {largest:,}")
    with _hashed(path, size, digest) as file:
        try:
            return body["about"], from_file(file, size)
        except Exception as error:
            raise CheckpointError(path, f"its content is not what was saved: {error}") from error


def _hashed(path: Path, size: int, digest: str) -> BufferedReader:
    """The open file, if it is the one that was sealed."""
    file, found = open_plain(path)
    try:
        if found != size:
            raise CheckpointError(path, f"it has {found:,} bytes, but {size:,} were saved; it is damaged")
        with faults_named(path, "reading"):
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise CheckpointError(path, "its content is not what was saved (SHA-256); it is damaged")
            file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _read_manifest(folder: Path, *kinds: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise CheckpointError(folder, "there is no such folder")
    if (folder / "checkpoints").is_dir() and not path.exists():
        raise CheckpointError(folder, f"this is a run folder, not a {' or a '.join(kinds)}{_READ_BY['checkpoint']}")
    file, size = open_plain(path)
    with file, faults_named(path, "reading"):
        if size > _LONGEST_MANIFEST:
            raise CheckpointError(path, f"it has {size:,} bytes, and no manifest is that long; it is damaged")
        content = file.read(_LONGEST_MANIFEST)
    body = _intact(content)
    if body is None:
        raise CheckpointError(path, "it is not as it was written; it is damaged")
    if body.get("format") != FORMAT:
        raise CheckpointError(
            path,
            f"it has format {body.get('format')!r}, and this version of infogan-lib reads {FORMAT}; use the version "
            "that wrote it",
        )
    if body.get("kind") not in kinds:
        found = str(body.get("kind"))
        raise CheckpointError(path, f"this is a {found}, not a {' or a '.join(kinds)}{_READ_BY.get(found, '')}")
    if not isinstance(body.get("about"), dict):
        raise CheckpointError(path, "it says nothing of what was saved")
    return body


def _intact(content: bytes) -> dict[str, Any] | None:
    """What a manifest says, if every byte of it is as it was written."""
    try:
        text = content.decode()
        body = json.loads(text)
        if isinstance(body, dict) and _text(body) == text and body.pop("seal", None) == _seal_of(body):
            return body
    except (ValueError, RecursionError):
        pass
    return None


def _state_of(folder: Path, body: dict[str, Any]) -> tuple[Path, int, str]:
    state = body.get("state")
    size, digest = (state.get("bytes"), state.get("sha256")) if isinstance(state, dict) else (None, None)
    if type(size) is not int or not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise CheckpointError(folder / MANIFEST, "it does not name a state")
    return folder / _state_name(digest), size, digest


def _state_name(digest: str) -> str:
    return f"state-{digest[:16]}.pt"


def _seal_of(body: dict[str, Any]) -> str:
    return hashlib.sha256(_text(body).encode()).hexdigest()


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, indent=1, allow_nan=False) + "\n"
