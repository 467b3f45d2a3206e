"""Builds the false CUDA device: `python tests/false_cuda/build.py`; half a minute, once for each version of torch.

Its exit status is 0 where it is built, and 3, with the reason, where it cannot be built here.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAME = "false_cuda_device"
SOURCE = Path(__file__).with_name("device.cpp")
CANNOT = 3


def torch_libraries() -> Path:
    """The folder of torch's libraries, found without importing torch."""
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "lib"


def obstacle() -> str | None:
    """Why the device cannot be built here; None where it can."""
    if list(torch_libraries().glob("libtorch_cuda*")):
        return "this torch is built with CUDA, whose own device would be in the way; it needs torch's CPU build"
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return "there is no C++ compiler (g++)"
    if shutil.which("ninja") is None:
        return "there is no ninja, which torch.utils.cpp_extension needs"
    return None


def library() -> Path:
    """The built library's path, named by the source and the versions of torch and Python."""
    versions = f"{importlib.metadata.version('torch')} {sys.version}".encode()
    key = hashlib.sha256(SOURCE.read_bytes() + versions).hexdigest()[:16]
    base = Path(os.environ.get("FALSE_CUDA_BUILD", Path(tempfile.gettempdir()) / f"false_cuda-{os.getuid()}"))
    return base / key / f"{NAME}.so"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "building").open("w") as file:  # torch has a file "lock" of its own
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build() -> Path:
    """Build the library unless it is there; processes that ask at once wait for the first.

    Returns:
        Its path.

    Raises:
        RuntimeError: it cannot be built here.
        CalledProcessError: the compiler refuses it.
    """
    path = library()
    with _alone(path.parent):
        if not path.exists():
            if (reason := obstacle()) is not None:
                raise RuntimeError(f"no false CUDA device: {reason}")
            load = (
                "from torch.utils.cpp_extension import load; "
                f"load({NAME!r}, [{str(SOURCE)!r}], build_directory={str(path.parent)!r}, "
                "extra_cflags=['-O1'], is_python_module=False)"
            )
            # In a process of its own: here the library must be loaded before torch is imported.
            subprocess.run([sys.executable, "-c", load], check=True, env=os.environ | {"MAX_JOBS": "1"})
    return path


if __name__ == "__main__":
    if not library().exists() and (reason := obstacle()) is not None:
        sys.stderr.write(f"no false CUDA device: {reason}\n")
        sys.exit(CANNOT)
    build()
