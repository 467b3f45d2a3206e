"""A bundle: a folder with one file of state, and a manifest with its checksums.

    FOLDER/state-<first 16 digits of its SHA-256>.safetensors
    FOLDER/manifest.json     kind, format, metadata, size and SHA-256 of the state, SHA-256 of the manifest itself

The manifest is written last and renamed into place, so the folder always holds the old bundle or the new one. A state
is hashed before it is decoded. No file name is taken from the manifest.

The checksums find damage. They cannot find forgery, as nobody has signed them.

Format 1, of version 0.1, is still read: its state is a pickle (`legacy_pickle`) with the suffix .pt.
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from infogan_lib._checks import shorten
from infogan_lib.checkpoints.disk import (
    CheckpointError,
    atomic_write,
    fsync_dir,
    is_folder,
    open_regular,
    os_errors_as_checkpoint_errors,
)
from infogan_lib.checkpoints.legacy_pickle import decode_pickle
from infogan_lib.checkpoints.tensor_file import decode, encode

FORMAT = 2

MANIFEST = "manifest.json"

_MAX_MANIFEST_BYTES = 1 << 20

_READ_BY = {
    "checkpoint": "; trainer.load_checkpoint and Checkpoints(resume=...) read it",
    "trainer state": "; trainer.load_checkpoint reads it",
    "model": "; InfoGAN.load reads it",
}


class _Layout(NamedTuple):
    """The names in the manifest of a format, and the suffix of its state."""

    metadata: str
    checksum: str
    suffix: str


_LAYOUTS = {1: _Layout("about", "seal", ".pt"), FORMAT: _Layout("metadata", "checksum", ".safetensors")}


def write_bundle(
    folder: Path, kind: str, metadata: dict[str, Any], state: Any, *, max_bytes: int, sweep: bool = True
) -> None:
    """Write a state and its metadata into a folder, in place of the bundle in it.

    Args:
        folder: An existing folder.
        kind: What the bundle is, such as "checkpoint".
        metadata: JSON data, for the manifest.
        state: Plain data and tensors, as `to_plain_data` returns them.
        max_bytes: The largest state that `read_bundle` will accept.
        sweep: Whether nobody else can be writing here, so that what dead processes left is removed as well.

    Raises:
        CheckpointError: an error of the disk, or a state that would be too large to read. The old bundle is kept.
    """
    try:
        data = encode(state)
    except ValueError as error:
        raise CheckpointError(folder, f"{error}; keep less in callbacks, or keep it as tensors") from error
    size, digest = len(data), _sha256(data)
    layout = _LAYOUTS[FORMAT]
    manifest = {"kind": kind, "format": FORMAT, layout.metadata: metadata, "state": {"bytes": size, "sha256": digest}}
    text = _to_json(manifest | {layout.checksum: _checksum(manifest)}).encode()
    if size > max_bytes or len(text) > _MAX_MANIFEST_BYTES:
        raise CheckpointError(
            folder,
            f"{size:,} bytes of state and {len(text):,} of manifest were to be saved, and at most {max_bytes:,} and "
            f"{_MAX_MANIFEST_BYTES:,} can be; keep less in callbacks, buffers or names",
        )
    path, replaced = _state_path(folder, digest, layout), _current_state(folder, kind)
    with os_errors_as_checkpoint_errors(folder, "saving"):
        atomic_write(path, data)
        fsync_dir(folder)
        atomic_write(folder / MANIFEST, text)
        fsync_dir(folder)
    for entry in folder.iterdir():
        is_old = entry == replaced or (sweep and entry.name.startswith((".writing-", "state-")))
        if is_old and entry != path:
            with suppress(OSError):
                entry.unlink()


def verify_bundle(folder: Path, kind: str) -> dict[str, Any]:
    """Check a bundle's checksums.

    Returns:
        The metadata.

    Raises:
        CheckpointError: damage of any kind, or a bundle of another kind.
    """
    return _metadata(_read_undamaged(folder, kind)[0])


def read_metadata(folder: Path, *kinds: str) -> dict[str, Any]:
    """The metadata of a bundle of one of these kinds, whose state is not looked at.

    Raises CheckpointError for a manifest that is missing or damaged, or of a bundle of another kind.
    """
    return _metadata(_read_manifest(folder, *kinds))


def read_bundle(folder: Path, *kinds: str, max_bytes: int) -> tuple[dict[str, Any], Any]:
    """Read a bundle.

    Args:
        folder: The folder.
        *kinds: The kinds of bundle that are accepted.
        max_bytes: The largest state that is accepted.

    Returns:
        The metadata, and the state with its tensors on the CPU.

    Raises:
        CheckpointError: damage of any kind, a bundle of another kind, or a state that is not plain data.
    """
    manifest, path, data = _read_undamaged(folder, *kinds, max_bytes=max_bytes)
    try:
        state = decode_pickle(data) if manifest["format"] == 1 else decode(data)
    except Exception as error:
        raise CheckpointError(path, f"its content is not what was saved: {error}") from error
    return _metadata(manifest), state


def check_replaceable(folder: Path, kind: str) -> None:
    """Check that a bundle overwrites nothing but one of the same kind, damaged or not; the folder may not exist yet.

    Raises CheckpointError if the folder holds something else that was saved, or that cannot be read.
    """
    if not os.path.lexists(folder / MANIFEST):
        return
    try:
        found = _read_manifest(folder, *_READ_BY)["kind"]
    except CheckpointError as error:
        found, version = _written_kind(folder)
        if found is None or version not in _LAYOUTS:
            raise CheckpointError(
                folder, f"it holds something that cannot be read ({error.reason}); give the {kind} another folder"
            ) from error
    if found != kind:
        raise CheckpointError(folder, f"it holds a {found}, which would be lost; give the {kind} a folder of its own")


def bundle_kind(folder: Path) -> str | None:
    """The kind of the bundle in a folder, even a damaged one; None if there is none, or another program's manifest."""
    return _written_kind(folder)[0]


def _written_kind(folder: Path) -> tuple[str | None, int]:
    """The kind and the format with which a manifest begins; None and 0 for other files."""
    try:
        with open_regular(folder / MANIFEST)[0] as file:
            match = _BEGINNING.match(file.read(200))
    except (CheckpointError, OSError):
        match = None
    kind = None if match is None else match[1].decode()
    return (kind, int(match[2])) if match is not None and kind in _READ_BY else (None, 0)


_BEGINNING = re.compile(rb'\{\s*"kind": "([a-z ]+)",\s*"format": ([0-9]{1,9})\b')


def _metadata(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest[_LAYOUTS[manifest["format"]].metadata]


def _current_state(folder: Path, kind: str) -> Path | None:
    """The state of the bundle in a folder, if there is one."""
    try:
        return _named_state(folder, _read_manifest(folder, kind))[0]
    except CheckpointError:
        return None


def _read_undamaged(folder: Path, *kinds: str, max_bytes: int | None = None) -> tuple[dict[str, Any], Path, bytes]:
    """The manifest, the path of the state and its bytes; again where the bundle is replaced while it is read."""
    manifest = _read_manifest(folder, *kinds)
    for _ in range(_MAX_TRIES):
        path, size, _ = _named_state(folder, manifest)
        if max_bytes is not None and size > max_bytes:
            raise CheckpointError(path, f"it has {size:,} bytes, but a state of this model has at most {max_bytes:,}")
        try:
            return manifest, path, _read_state(folder, manifest)
        except CheckpointError:
            before, manifest = manifest, _read_manifest(folder, *kinds)
            if manifest == before:
                raise
    raise CheckpointError(folder, f"it was replaced {_MAX_TRIES} times while it was read; read it when it is finished")


_MAX_TRIES = 100


def _read_manifest(folder: Path, *kinds: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not is_folder(folder):
        raise CheckpointError(folder, "there is no such folder")
    if is_folder(folder / "checkpoints") and not os.path.lexists(path):
        raise CheckpointError(folder, f"this is a run folder, not a {' or a '.join(kinds)}{_READ_BY['checkpoint']}")
    file, size = open_regular(path)
    with file, os_errors_as_checkpoint_errors(path, "reading"):
        if size > _MAX_MANIFEST_BYTES:
            raise CheckpointError(path, f"it has {size:,} bytes, and no manifest is that long; it is damaged")
        content = file.read(_MAX_MANIFEST_BYTES)
    manifest = _undamaged(content)
    if manifest is None:
        raise CheckpointError(path, "it is not as it was written; it is damaged")
    version, kind = manifest.get("format"), str(manifest.get("kind"))
    if type(version) is not int or version not in _LAYOUTS:
        raise CheckpointError(
            path,
            f"it has format {shorten(version)}, and this version of infogan-lib reads {FORMAT} and older; use the "
            "version that wrote it",
        )
    if kind not in kinds:
        raise CheckpointError(path, f"this is a {kind}, not a {' or a '.join(kinds)}{_READ_BY.get(kind, '')}")
    if not isinstance(manifest.get(_LAYOUTS[version].metadata), dict):
        raise CheckpointError(path, "it has no metadata")
    return manifest


def _undamaged(content: bytes) -> dict[str, Any] | None:
    """The manifest in a file, without its checksum, if every byte is as it was written."""
    try:
        text = content.decode()
        manifest = json.loads(text)
        if isinstance(manifest, dict) and _to_json(manifest) == text:
            layout = _LAYOUTS[1 if "seal" in manifest else FORMAT]
            if manifest.pop(layout.checksum, None) == _checksum(manifest):
                return manifest
    except (ValueError, RecursionError):
        pass
    return None


def _read_state(folder: Path, manifest: dict[str, Any]) -> bytes:
    """The bytes of the state, if they are those that were saved."""
    path, size, digest = _named_state(folder, manifest)
    file, actual_size = open_regular(path)
    with file, os_errors_as_checkpoint_errors(path, "reading"):
        if actual_size != size:
            raise CheckpointError(path, f"it has {actual_size:,} bytes, but {size:,} were saved; it is damaged")
        data = file.read(size)
    if _sha256(data) != digest:
        raise CheckpointError(path, "its content is not what was saved (SHA-256); it is damaged")
    return data


def _named_state(folder: Path, manifest: dict[str, Any]) -> tuple[Path, int, str]:
    """The path, size and SHA-256 of the state that a manifest names."""
    state = manifest.get("state")
    size, digest = (state.get("bytes"), state.get("sha256")) if isinstance(state, dict) else (None, None)
    if type(size) is not int or not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise CheckpointError(folder / MANIFEST, "it does not name a state")
    return _state_path(folder, digest, _LAYOUTS[manifest["format"]]), size, digest


def _state_path(folder: Path, digest: str, layout: _Layout) -> Path:
    return folder / f"state-{digest[:16]}{layout.suffix}"


def _checksum(manifest: dict[str, Any]) -> str:
    return _sha256(_to_json(manifest).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _to_json(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1, allow_nan=False) + "\n"
