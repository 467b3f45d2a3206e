"""Files that belong together: all of them are written aside before the first is renamed into place.

A full disk, an interrupt or an error so leaves all files as they were. What remains are the microseconds between two
renames, in which only the death of the process leaves some files new and others old: an interrupt waits for the last.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from infogan_lib.checkpoints.disk import fsync_dir, makedirs_synced, write_aside
from infogan_lib.checkpoints.holding import hold_for_writing

_DRAFT = ".together-"


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, one process at a time; those that exist are replaced.

    Args:
        folder: The folder, made where there is none.
        files: The contents by path in the folder.

    Raises:
        OSError: A file cannot be written; the others are then as they were.
        CheckpointError: Another process has been writing into the folder for a minute.
    """
    makedirs_synced(folder)
    with hold_for_writing(folder) as is_alone:
        if is_alone:
            for leftover in folder.glob(f"{_DRAFT}*"):  # of processes that died
                leftover.unlink()
        drafts: dict[Path, Path] = {}
        try:
            for name, data in files.items():
                path = folder / name
                makedirs_synced(path.parent)
                if path.is_dir():
                    raise IsADirectoryError(21, "a folder is in its place", str(path))
                drafts[path] = write_aside(path, data, _DRAFT)
            _rename_all(drafts)
        except BaseException:
            for draft in drafts.values():
                with suppress(OSError):
                    draft.unlink()
            raise
        for parent in {path.parent for path in drafts}:
            fsync_dir(parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write one file and the folder that it is in; see `write_together`."""
    write_together(path.parent, {path.name: data})


def _rename_all(drafts: Mapping[Path, Path]) -> None:
    """Rename drafts into place in a thread, which Ctrl-C does not reach."""
    errors: list[OSError] = []

    def rename() -> None:
        try:
            for path, draft in drafts.items():
                draft.replace(path)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=rename)
    try:
        thread.start()
        thread.join()
    except BaseException:
        if thread.ident is not None:
            thread.join()
        raise
    if errors:
        raise errors[0]
