"""JSON that a folder holds beside its weights, read with bounds: whoever sent the folder has written it."""

import json
from pathlib import Path
from typing import Any

from infogan_lib.checkpoints.disk import CheckpointError, open_regular, os_errors_as_checkpoint_errors

_MAX_BYTES = 2**24


def read_object(path: Path, *, follow: bool = False) -> dict[str, Any]:
    """The names and values in a JSON file; see `read_json`. Raises CheckpointError if it holds anything else."""
    data = read_json(path, follow=follow)
    if not isinstance(data, dict):
        raise CheckpointError(path, "it must be an object of names")
    return data


def read_json(path: Path, *, follow: bool = False) -> Any:
    """What a JSON file of at most 16 MiB holds; `follow` is that of `open_regular`.

    Raises CheckpointError for no such file, one that is not regular, or one that is no JSON.
    """
    file, size = open_regular(path, follow=follow)
    with file, os_errors_as_checkpoint_errors(path, "reading"):
        if size > _MAX_BYTES:
            raise CheckpointError(path, f"it has {size:,} bytes, and no such file is that long")
        content = file.read(_MAX_BYTES)
    return parse_json(path, content)


def parse_json(path: Path, content: bytes) -> Any:
    """What bytes from a file hold as JSON. Raises CheckpointError if they are not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"it is no JSON: {str(error)[:200]}") from error
