"""Plain data and tensors as bytes in the layout of safetensors, which holds no code and names no class.

    8 bytes    the length of the header, little-endian
    header     JSON: {name: {"dtype", "shape", "data_offsets"}, ..., "__metadata__": {"tree": JSON}}
    data       the tensors' bytes, one after the other without a gap

The tree is the state with a reference in place of each tensor: {"tensor": name}. A dict is
{"dict": [[key, value], ...]} and a tuple {"tuple": [...]}; lists, numbers, strings and None are themselves.

Source: https://huggingface.co/docs/safetensors (format); other tools can read the tensors by name.
"""

import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import check_dense, shorten
from infogan_lib._schema import MAX_DEPTH

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "C128": torch.complex128,
}

_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

MAX_SIDES = 64
"""The most sides of a tensor: torch holds tensors of more, and cannot compute with them."""

_MAX_HEADER_BYTES, _MAX_CONTAINERS = 1 << 26, 1 << 20
"""The most bytes outside of tensors, and the most lists and dicts, which take up to thirty times as much memory."""


def to_plain_data(state: Any, name: str = "state", deepest: int = MAX_DEPTH) -> Any:
    """A state as it can be saved: dicts made plain, tensors on the CPU.

    Raises TypeError for what is neither a tensor nor plain data: numbers, strings, None, and lists, tuples and dicts;
    and for data that is nested deeper than is loaded.
    """
    if deepest == 0 and isinstance(state, (dict, list, tuple)):
        raise TypeError(f"{name} cannot be saved: a state is nested at most {MAX_DEPTH} deep, and this is deeper")
    if isinstance(state, Tensor):
        return _to_cpu(state, name)
    if isinstance(state, dict):
        state = {key.item() if isinstance(key, np.generic) else key: value for key, value in state.items()}
        for key in state:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise TypeError(f"{name} cannot be saved: a key must be a string or an integer, but got {shorten(key)}")
        return {key: to_plain_data(value, f"{name}[{key!r}]", deepest - 1) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        items = [to_plain_data(value, f"{name}[{i}]", deepest - 1) for i, value in enumerate(state)]
        return tuple(items) if isinstance(state, tuple) else items
    if state is None or isinstance(state, bool):
        return state
    if isinstance(state, np.generic):
        return to_plain_data(state.item(), name)
    for kind in (int, float, str):
        if isinstance(state, kind):
            return kind(state)
    raise TypeError(
        f"{name} cannot be saved: it is a {type(state).__name__}, but a state holds tensors, numbers, strings, None, "
        "and lists, tuples and dicts of them"
    )


def _to_cpu(tensor: Tensor, name: str) -> Tensor:
    reason = f"{name} cannot be saved: it is a tensor that is sparse, quantized or without data"
    try:
        check_dense(name, tensor)
    except TypeError as error:
        raise TypeError(reason) from error
    if tensor.dtype not in _DTYPE_NAMES:
        raise TypeError(reason)
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    return tensor if type(tensor) is Tensor else tensor.as_subclass(Tensor)


def encode(state: Any) -> bytes:
    """The bytes of a state that `to_plain_data` made plain. Raises ValueError for one that `decode` would refuse."""
    tensors: dict[str, Tensor] = {}
    tree = _to_tree(state, (), tensors)
    header: dict[str, Any] = {"__metadata__": {"tree": json.dumps(tree)}}
    parts, end = [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):  # each is aligned then
        part = _bytes_of(tensor)
        start, end = end, end + len(part)
        header[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER_BYTES:
        raise ValueError(f"a state has at most {_MAX_HEADER_BYTES:,} bytes outside of tensors, but got {len(text):,}")
    _check_containers(text)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(data: bytes) -> Any:
    """The state that `encode` wrote; its tensors have memory of their own. Raises ValueError for other bytes."""
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or start > min(len(data), 8 + _MAX_HEADER_BYTES):
        raise ValueError("it is not in the layout of safetensors")
    try:
        header = _parse(data[8:start])
        tree = _parse(header.pop("__metadata__")["tree"].encode(errors="surrogatepass"))
        tensors = dict(_read_tensors(header, memoryview(data)[start:]))
        state = _from_tree(tree, tensors)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its header is not that of a state: {shorten(error, 200)}") from error
    if tensors:
        raise ValueError(f"its tensor {shorten(next(iter(tensors)))} is not part of the state")
    return state


def _parse(text: bytes) -> Any:
    _check_containers(text)
    return json.loads(text)


def _check_containers(text: bytes) -> None:
    """Check the number of lists and dicts in JSON before it is parsed, which brackets in strings add to."""
    count = text.count(b"[") + text.count(b"{")
    if count > _MAX_CONTAINERS:
        raise ValueError(f"a state has at most {_MAX_CONTAINERS:,} lists and dicts, but got {count:,}")


def _read_tensors(header: dict[str, Any], data: memoryview) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a header describes, which must fill the data one after the other."""
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, offsets = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if len(shape) > MAX_SIDES or not all(number >= 0 for number in (*shape, *offsets)):
            raise ValueError(f"its tensor {shorten(name)} has the shape {shorten(shape)} at {shorten(offsets)}")
        start, stop = offsets
        if start != end or stop > len(data) or stop - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"its tensor {shorten(name)} does not fit its place in the file")
        end = stop
        raw = torch.empty(stop - start, dtype=torch.uint8)
        raw.numpy()[:] = np.frombuffer(data[start:stop], np.uint8)
        yield name, raw.view(dtype).reshape(shape)
    if end != len(data):
        raise ValueError("it holds more than its tensors")


def _bytes_of(tensor: Tensor) -> memoryview:
    if sys.byteorder != "little":
        raise ValueError("states are saved and loaded on little-endian machines only")
    flat = tensor.contiguous().as_strided((tensor.numel(),), (1,))  # that of a single number may be 0
    return flat.view(torch.uint8).numpy().data


def _to_tree(state: Any, path: tuple[Any, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(state, Tensor):
        name = ".".join(map(str, path)) or "state"
        while name in tensors or name == "__metadata__":
            name += "'"
        tensors[name] = state
        return {"tensor": name}
    if isinstance(state, dict):
        return {"dict": [[key, _to_tree(value, (*path, key), tensors)] for key, value in state.items()]}
    if isinstance(state, (list, tuple)):
        items = [_to_tree(value, (*path, i), tensors) for i, value in enumerate(state)]
        return {"tuple": items} if isinstance(state, tuple) else items
    return state


def _from_tree(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The state of a tree; each tensor is taken out of `tensors`, so none can be in it twice."""
    if isinstance(tree, list):
        return [_from_tree(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors.pop(content)
    if kind == "tuple":
        return tuple(_from_tree(item, tensors) for item in content)
    if kind != "dict":
        raise ValueError(f"it holds a {shorten(kind)}, which no state does")
    return {key: _from_tree(value, tensors) for key, value in content}
