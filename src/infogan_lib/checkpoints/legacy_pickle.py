"""The states of format 1 (version 0.1): torch files, read by `torch.load(weights_only=True)` behind two checks.

Before torch reads a file, its zip archive must hold what it says (stored, not compressed), and its pickle may name
nothing but torch's function that rebuilds a tensor. Only plain data and tensors can come out of it, and no more than
the file is long. Nothing writes this format any longer.
"""

import io
import pickletools
import re
import struct
import zipfile
from typing import Any

import torch
from torch import Tensor


def decode_pickle(data: bytes) -> Any:
    """The plain data and tensors in a torch file. Raises ValueError for one that holds anything else."""
    _check_pickle(_pickle_in(data))
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    _check_plain(state)
    return state


_ENTRY = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id)"
)


_MAX_PICKLE_BYTES = 1 << 22
"""The longest pickle that is read: each of its bytes may be a list, and tensors are beside it."""


def _pickle_in(data: bytes) -> bytes:
    _check_ends(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
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
                raise ValueError("its archive is compressed, and checkpoints are not")
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its archive says that it holds more than it does")
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"its archive holds {len(pickles)} pickles, not one")
        if (size := archive.getinfo(pickles[0]).file_size) > _MAX_PICKLE_BYTES:
            raise ValueError(f"its pickle has {size:,} bytes, and version 0.1 wrote none above {_MAX_PICKLE_BYTES:,}")
        return archive.read(pickles[0])


def _check_ends(data: bytes) -> None:
    """An archive that fills the file, so that any reader finds the same directory in it as this one."""
    end = data[-22:]
    if len(end) != 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise ValueError("it is not a torch file")
    length, start = struct.unpack("<LL", end[12:20])
    expected = len(data) - 22
    extra = data[max(0, len(data) - 98) : expected]
    if extra[:4] == b"PK\x06\x06" and extra[56:60] == b"PK\x06\x07":  # the records of large archives
        wide_length, wide_start = struct.unpack("<QQ", extra[40:56])
        (wide_at,) = struct.unpack("<Q", extra[64:72])
        expected = len(data) - 98
        if wide_at != expected or wide_length + wide_start != expected:
            raise ValueError("its archive does not fill the file")
    if 0xFFFFFFFF not in (length, start) and length + start != expected:
        raise ValueError("its archive does not fill the file")


_ALLOWED_GLOBALS = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "collections OrderedDict"}

_OBJECT_OPCODES = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD", "EXT1", "EXT2", "EXT4", "PERSID"}


def _check_pickle(pickle: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in _OBJECT_OPCODES:
            raise ValueError(f"its pickle builds objects ({opcode.name}), and a checkpoint holds plain data")
        if opcode.name == "GLOBAL" and argument not in _ALLOWED_GLOBALS and not _is_storage_or_dtype(str(argument)):
            raise ValueError(f"its pickle names {argument!r}, and a checkpoint names nothing but tensors")


def _is_storage_or_dtype(name: str) -> bool:
    module, _, member = name.partition(" ")
    if name == "torch.storage UntypedStorage":
        return True
    if module != "torch" or not member.isidentifier():
        return False
    return member.endswith("Storage") or isinstance(getattr(torch, member, None), torch.dtype)


_MAX_DEPTH = 64


def _check_plain(state: Any) -> None:
    """Refuse anything but a tree of plain data, a deep one, and a tensor larger than its storage."""
    visited: set[int] = set()
    stack = [(state, 0)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, Tensor):
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError("a tensor in it is larger than its storage")
        elif isinstance(value, (dict, list, tuple)):
            if (id(value) in visited and value) or depth > _MAX_DEPTH:
                raise ValueError("a container in it is used twice, or lies too deep")
            visited.add(id(value))
            children = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            stack.extend((child, depth + 1) for child in children)
        elif value is not None and type(value) not in (bool, int, float, str):
            raise ValueError(f"it holds a {type(value).__name__}")
