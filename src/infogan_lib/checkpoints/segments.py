"""Segments of a record that only grows: what was recorded between two checkpoints, in a file that never changes.

    RUN/history/segment-<first 16 digits of its SHA-256>.safetensors

The manifest of a checkpoint names all segments up to it, with their sizes and checksums, so a save writes what is new
and nothing else. A file is named by its content: runs that branch share the segments from before they parted and
cannot mix up later ones. A segment is removed once no checkpoint of the folder names it.

Segments that are lost or damaged do not make a checkpoint unusable, as the weights are not in them.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infogan_lib._schema import ListOf, Record, Text
from infogan_lib.checkpoints.disk import (
    CheckpointError,
    atomic_write,
    is_folder,
    makedirs_synced,
    open_regular,
    os_errors_as_checkpoint_errors,
    remove_leftovers,
)
from infogan_lib.checkpoints.tensor_file import decode, encode

MAX_BYTES = 2**31
"""The largest file of a segment that is read, as a whole."""

HELD_BYTES = 2**26
"""The size of the segments that are read with a checkpoint, and that a history keeps in memory."""

FOLDER = "history"
"""The name of the folder of segments, beside the checkpoints of a run or inside a checkpoint that stands alone."""


@dataclass(frozen=True)
class Segment:
    """A file of values that were recorded.

    Args:
        digest: The SHA-256 of the file.
        size: The bytes of the file.
        first: The first step in it.
        last: The last step in it.
        names: The names of the metrics in it.
        folder: The folder that it is in.
    """

    digest: str
    size: int
    first: int
    last: int
    names: tuple[str, ...]
    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / _file_name(self.digest)

    def check_presence(self) -> None:
        """Check that there is a file of this name and size, without reading it. Raises CheckpointError."""
        try:
            status = self.path.lstat()
        except OSError:
            raise CheckpointError(self.path, "this file is missing") from None
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(self.path, "this is not a regular file")
        self._check_size(status.st_size)

    def read(self, held: Mapping[str, bytes] | None = None) -> Any:
        """The values, held or in the file. Raises CheckpointError if the file is missing or damaged."""
        data = (held or {}).get(self.digest) or self.read_bytes()
        try:
            return decode(data)
        except ValueError as error:
            raise CheckpointError(self.path, f"its content is not what was saved: {error}") from error

    def in_folder(self, folder: Path) -> "Segment":
        """The same segment in another folder, linked into it or copied.

        Raises CheckpointError if the file is missing or damaged, and OSError for an error of the disk.
        """
        moved = replace(self, folder=folder)
        with suppress(CheckpointError):
            moved.check_presence()
            return moved
        self.check_presence()
        with suppress(OSError):
            os.link(self.path, moved.path, follow_symlinks=False)
            return moved
        atomic_write(moved.path, self.read_bytes())  # another disk, or one without links
        return moved

    def read_bytes(self) -> bytes:
        """The bytes of the file. Raises CheckpointError if it is missing or damaged."""
        file, size = open_regular(self.path)
        with file, os_errors_as_checkpoint_errors(self.path, "reading"):
            self._check_size(size)
            if size > MAX_BYTES:
                raise CheckpointError(self.path, f"it has {size:,} bytes, and no segment is larger than {MAX_BYTES:,}")
            data = file.read(size)
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise CheckpointError(self.path, "its content is not what was saved (SHA-256); it is damaged")
        return data

    def _check_size(self, size: int) -> None:
        if size != self.size:
            raise CheckpointError(self.path, f"it has {size:,} bytes, but {self.size:,} were saved; it is damaged")


def write_segment(folder: Path, state: Any, names: Iterable[str], first: int, last: int) -> Segment:
    """Write plain data and tensors into a synced file; the folder is yet to be synced."""
    data = encode(state)
    segment = Segment(hashlib.sha256(data).hexdigest(), len(data), first, last, tuple(names), folder)
    atomic_write(segment.path, data)
    return segment


def make_segment_folder(run: Path) -> Path:
    """The folder of a run's segments, made where there is none; what a process that died has left is removed.

    Raises CheckpointError for an error of the disk, or for a link, as another run may be using what it leads to.
    """
    folder = run / FOLDER
    with os_errors_as_checkpoint_errors(folder, "making the folder of the history"):
        if folder.is_symlink():
            raise CheckpointError(folder, "it is a symbolic link, and links are not followed here")
        makedirs_synced(folder)
        remove_leftovers(folder)
    return folder


_DIGEST = 64

_LINE = "[0-9a-f]{64} [0-9]{1,18} -?[0-9]{1,19} -?[0-9]{1,19} [0-9]{1,9}"

MANIFEST_FIELD = Record({"columns": ListOf(ListOf(Text())), "segments": ListOf(Text(160, _LINE))})
"""What a manifest says of segments: lists of names, and the SHA-256, size, two steps and index of a list of each."""


def to_manifest(segments: Iterable[Segment]) -> dict[str, Any]:
    """Segments as JSON data for a manifest: a line each, and the lists of names, of which there are few, once."""
    columns: dict[tuple[str, ...], int] = {}
    lines = [f"{s.digest} {s.size} {s.first} {s.last} {columns.setdefault(s.names, len(columns))}" for s in segments]
    return {"columns": [list(names) for names in columns], "segments": lines}


def from_manifest(checkpoint: Path, metadata: Mapping[str, Any]) -> list[Segment]:
    """The segments, unread, that a checkpoint names; they are in its folder, or beside the checkpoints of its run.

    Raises CheckpointError if the metadata of its manifest names none.
    """
    beside, inside = checkpoint.absolute().parent.parent / FOLDER, checkpoint.absolute() / FOLDER
    folder = inside if is_folder(inside) else beside
    try:
        saved = metadata["history"]
        MANIFEST_FIELD.check(saved, "history")
        columns = [tuple(names) for names in saved["columns"]]
        if len({line[:_DIGEST] for line in saved["segments"]}) < len(saved["segments"]):
            raise ValueError("a segment is named twice; it is damaged or forged")
        return [
            Segment(digest, size, first, last, columns[column], folder)
            for digest, size, first, last, column in map(_parse, saved["segments"])
        ]
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(checkpoint, f"its manifest does not name a history: {error!r}") from error


def hold(checkpoint: Path, metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """The bytes of the newest segments that a checkpoint names, by digest, as far as they can be read."""
    held, free = dict[str, bytes](), HELD_BYTES
    with suppress(CheckpointError):  # it names none
        for segment in reversed(from_manifest(checkpoint, metadata)):
            if (free := free - segment.size) >= 0:
                with suppress(CheckpointError):
                    held[segment.digest] = segment.read_bytes()
    return held


def spans(segments: Sequence[Segment]) -> str:
    """The steps of segments in order, such as "1 to 500, 1001 to 1500"."""
    found: list[tuple[int, int]] = []
    for segment in segments:
        if found and segment.first <= found[-1][1] + 1:
            found[-1] = found[-1][0], segment.last
        else:
            found.append((segment.first, segment.last))
    return ", ".join(f"{first} to {last}" for first, last in found)


def remove_unnamed(folder: Path, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Remove the segments in a folder that no checkpoint, of those that are kept, names in its metadata.

    Raises CheckpointError for metadata that does not name segments.
    """
    named = {_file_name(segment.digest) for metadata in manifests for segment in from_manifest(folder, metadata)}
    with suppress(OSError):
        for name in {entry.name for entry in os.scandir(folder)} - named:
            if _FILE.fullmatch(name):
                (folder / name).unlink()


_FILE = re.compile(r"segment-[0-9a-f]{16}\.safetensors")


def _file_name(digest: str) -> str:
    return f"segment-{digest[:16]}.safetensors"


def _parse(line: str) -> tuple[str, int, int, int, int]:
    digest, size, first, last, column = line.split(" ")
    return digest, int(size), int(first), int(last), int(column)
