"""The images of a batch: which part of it they are, and arrays and pictures as tensors."""

import sys
import warnings
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from infogan_lib._checks import describe, join_names
from infogan_lib.data.rng import preserve_rng


def extract_images(batch: Any, key: str | None = None) -> Tensor:
    """The images of a batch: itself, the first part of a tuple or list, or one value of a dict.

    Without a `key`, those of a dict are the only tensor that looks like images: of floats or bytes, with at least two
    dimensions, and with more than any other such tensor. Raises TypeError where there are none, or they cannot be told.
    """
    if isinstance(batch, Mapping):
        found = _find_by_key(batch, key)
    elif key is not None:
        raise TypeError(f"image_key={key!r} is for batches that are dicts, but a batch is a {type(batch).__name__}")
    else:
        found = batch[0] if isinstance(batch, (tuple, list)) and len(batch) > 0 else batch
    for part in (batch, found):
        if isinstance(part, _Unbatched):
            raise TypeError(_refusal_of(part))
    images = to_tensor(found)
    if not isinstance(images, Tensor):
        raise TypeError(
            "a batch must be a Tensor of images, or a tuple or list that starts with one, or a dict with one, "
            f"but got {type(batch).__name__}" + (f" of {type(images).__name__}" if images is not batch else "")
        )
    return images


def _find_by_key(batch: Mapping[Any, Any], key: str | None) -> Any:
    if key is not None:
        if key not in batch:
            raise TypeError(f"image_key={key!r} is not in the batches, which have {join_names(map(str, batch))}")
        return batch[key]
    tensors = {name: to_tensor(value) for name, value in batch.items()}
    ranks = {name: value.ndim for name, value in tensors.items() if _may_be_images(value)}
    named = [name for name, rank in ranks.items() if rank == max(ranks.values())]
    if len(named) != 1:
        why = "several tensors that may be images" if named else "no tensor that may be images"
        advice = "name them by fit(..., image_key=), or give the images alone" if named else "give floats or uint8"
        raise TypeError(f"a batch is a dict with {why} ({describe_parts(tensors)}); {advice}")
    return tensors[named[0]]


def describe_parts(batch: Any) -> str:
    """What a batch holds, in an error message."""
    if not isinstance(batch, Mapping):
        return describe(batch)
    return ", ".join(
        f"{name!r}: {describe(value) if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in batch.items()
    )


def _may_be_images(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim >= 2 and (value.is_floating_point() or value.dtype == torch.uint8)


_SHOWN_AS = {"1": "L", **dict.fromkeys(("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"), "RGB")}
"""The mode that a picture of another mode is converted to."""


class _Unbatched(list[Any]):
    """The values of a part of a batch of which no tensor can be made."""


def _refusal_of(values: _Unbatched) -> str:
    shapes = list(dict.fromkeys(tuple(value.shape) for value in values if isinstance(value, Tensor)))
    if len(shapes) > 1:
        remedy = "resize them to one" if shapes[0][1:] != shapes[1][1:] else "convert them to as many channels"
        return f"the images of a batch must have one shape, but got {shapes[0]} and {shapes[1]}; {remedy}"
    return f"the items of data must be images, or tuples that start with one, but got {describe(values[0])}"


def collate(items: Sequence[Any]) -> Any:
    """Items of a data set as one batch: tensors, arrays, pictures and numbers are stacked; other parts stay lists."""
    first = items[0]
    if isinstance(first, Mapping):
        return {name: collate([item[name] for item in items]) for name in first}
    if isinstance(first, (tuple, list)):
        return [collate(part) for part in zip(*items, strict=True)]
    values = [to_tensor(item) for item in items]
    try:
        return default_collate(values)
    except (TypeError, RuntimeError):  # such as None, or boxes of different number; it matters if these are the images
        return _Unbatched(values)


def to_tensor(value: Any) -> Any:
    """A numpy array or a Pillow picture as a tensor; anything else as it is.

    A picture becomes (C, H, W), of bytes unless it has deeper pixels; one of another color space is converted to RGB.
    """
    if is_picture(value):
        value = value.convert(_SHOWN_AS.get(value.mode, value.mode))
        pixels = np.array(value)
        return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0).copy())
    if not isinstance(value, np.ndarray):
        return value
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor will it be written to
            return torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape)
    except (TypeError, ValueError) as error:
        raise TypeError(f"an array of data must hold numbers in this machine's order, but got {value.dtype}") from error


def is_picture(value: Any) -> bool:
    """Whether a value is a picture of Pillow, which is not imported for this."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def holds_pictures(data: Any) -> bool:
    """Whether the items of a list, or of another sequence that is no DataLoader, are pictures or hold some."""
    if isinstance(data, (DataLoader, Tensor, str, bytes, Mapping)) or not isinstance(data, Sized):
        return False
    if not hasattr(data, "__getitem__") or len(data) == 0:
        return False
    try:
        with preserve_rng(torch.device("cpu")):  # an item may draw from them
            first = data[0]  # type: ignore[index]
    except (LookupError, TypeError):  # it is no sequence
        return False
    parts = first.values() if isinstance(first, Mapping) else first if isinstance(first, (tuple, list)) else [first]
    return any(map(is_picture, parts))
