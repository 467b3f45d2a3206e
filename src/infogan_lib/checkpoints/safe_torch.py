"""Plain data and tensors as bytes and back: `torch.save`, and `torch.load(weights_only=True)` behind two checks.

What is saved is made of tensors, numbers, strings, None, and of lists, tuples and dicts of these. Before torch reads a
file, its zip archive must hold what it says (stored, not compressed) and its pickle may name nothing but torch's
function that rebuilds a tensor. Nothing else than such data can come out, and not more of it than the file is long.
"""

import io
import pickletools
import re
import struct
import zipfile
from io import BufferedReader
from typing import Any

import numpy as np
import torch
from torch import Tensor

Plain = None | bool | int | float | str | Tensor | list[Any] | tuple[Any, ...] | dict[Any, Any]


def plain(state: Any, name: str = "state") -> Any:
    """A state as it can be saved: dicts made plain, tensors on the CPU without what lies beside them in memory.

    Raises:
        TypeError: something that is neither a tensor nor plain data; `name` and the keys say where.
    """
    if isinstance(state, Tensor):
        return _compact(state, name)
    if isinstance(state, dict):
        for key in state:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise TypeError(f"{name} cannot be saved: a key must be a string or a whole number, but one is {key!r}")
        return {key: plain(value, f"{name}[{key!r}]") for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        made = [plain(value, f"{name}[{i}]") for i, value in enumerate(state)]
        return tuple(made) if isinstance(state, tuple) else made
    if state is None or isinstance(state, bool):
        return state
    if isinstance(state, np.generic):
        return plain(state.item(), name)
    for kind in (int, float, str):
        if isinstance(state, kind):
            return kind(state)
    raise TypeError(
        f"{name} cannot be saved: it is a {type(state).__name__}, and a state holds tensors, numbers, strings, None, "
        "and lists, tuples and dicts of them"
    )


def _compact(tensor: Tensor, name: str) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise TypeError(f"{name} cannot be saved: it is a tensor that is sparse, quantised or without data")
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    if type(tensor) is not Tensor:
        tensor = tensor.as_subclass(Tensor)
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if whole else tensor.clone()


def to_bytes(state: Plain) -> memoryview:
    """What `torch.save` makes of a plain state."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


def from_file(file: BufferedReader, size: int) -> Plain:
    """The plain state in a file of `size` bytes.

    Raises:
        ValueError: a file that holds anything else.
    """
    _check_pickle(_pickle_in(file, size))
    file.seek(0)
    state = torch.load(file, map_location="cpu", weights_only=True)
    _check_plain(state)
    return state


_ENTRY = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id)"
)


def _pickle_in(file: BufferedReader, size: int) -> bytes:
    _check_ends(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names) or len({name.partition("/")[0] for name in names}) > 1:
            raise ValueError("its archive holds a name twice, or more than one folder")
        if not all(_ENTRY.fullmatch(name) for name in names):
            raise ValueError("its archive holds a name that torch does not write")
        if min((entry.header_offset for entry in entries), default=0) != 0:
            raise ValueError("something stands before its archive")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise ValueError("its archive is compressed, which no checkpoint is")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its archive says that it holds more than it does")
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"its archive holds {len(pickles)} pickles, not one")
        return archive.read(pickles[0])


def _check_ends(file: BufferedReader, size: int) -> None:
    """An archive that fills the file, so that any reader finds the same directory in it as this one."""
    file.seek(max(0, size - 22))
    end = file.read(22)
    if len(end) != 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise ValueError("it is no torch file")
    length, start = struct.unpack("<LL", end[12:20])
    expected = size - 22
    file.seek(max(0, size - 98))
    extra = file.read(76)
    if extra[:4] == b"PK\x06\x06" and extra[56:60] == b"PK\x06\x07":  # the records of large archives
        wide_length, wide_start = struct.unpack("<QQ", extra[40:56])
        (wide_at,) = struct.unpack("<Q", extra[64:72])
        expected = size - 98
        if wide_at != expected or wide_length + wide_start != expected:
            raise ValueError("its archive does not fill the file")
    if 0xFFFFFFFF not in (length, start) and length + start != expected:
        raise ValueError("its archive does not fill the file")


_MAY_BE_NAMED = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "collections OrderedDict"}

_BUILDS_OBJECTS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD", "EXT1", "EXT2", "EXT4", "PERSID"}


def _check_pickle(pickle: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in _BUILDS_OBJECTS:
            raise ValueError(f"its pickle builds objects ({opcode.name}), and a checkpoint holds plain data")
        if opcode.name == "GLOBAL" and argument not in _MAY_BE_NAMED and not _is_storage_or_dtype(str(argument)):
            raise ValueError(f"its pickle names {argument!r}, and a checkpoint names nothing but tensors")


def _is_storage_or_dtype(name: str) -> bool:
    module, _, what = name.partition(" ")
    if name == "torch.storage UntypedStorage":
        return True
    if module != "torch" or not what.isidentifier():
        return False
    return what.endswith("Storage") or isinstance(getattr(torch, what, None), torch.dtype)


_DEEPEST = 64


def _check_plain(state: Any) -> None:
    """A tree of plain data, not deeper than any state is, with no tensor larger than what is stored of it."""
    seen: set[int] = set()
    waiting = [(state, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, Tensor):
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError("a tensor in it is larger than what is stored of it")
        elif isinstance(value, (dict, list, tuple)):
            if (id(value) in seen and value) or depth > _DEEPEST:
                raise ValueError("it is no tree, or a very deep one")
            seen.add(id(value))
            inside = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            waiting.extend((part, depth + 1) for part in inside)
        elif value is not None and type(value) not in (bool, int, float, str):
            raise ValueError(f"it holds a {type(value).__name__}")
