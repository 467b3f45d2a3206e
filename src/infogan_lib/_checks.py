"""Checks of arguments and optional packages, with errors of one style: expected, received, what to change."""

import inspect
import math
import numbers
import operator
import os
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.masked import MaskedTensor
from torch.nn.parameter import is_lazy

from infogan_lib._messages import MAX_NAME as MAX_NAME
from infogan_lib._messages import describe as describe
from infogan_lib._messages import join_names as join_names
from infogan_lib._messages import one_line as one_line
from infogan_lib._messages import shorten as shorten

MAX_INT64 = 2**63 - 1
"""The largest whole number that torch takes, as a seed too."""

_MAX_NUMBERS = 2**31
"""The most numbers that one call makes, so that a typing error does not fill the memory."""

_MAX_PATH, _MAX_PATH_PART, _MAX_PATH_PARTS = 4096, 255, 255


def check_int(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int within the bounds, or raise an error that names the argument."""
    message = f"{name} must be a whole number of at least {minimum}, but got {describe(value)}"
    try:
        number = None if _is_truth(value) else operator.index(value)  # type: ignore[arg-type]
    except Exception:  # also of a lazy module's parameter, or of another object's own __index__
        number = None
    if number is None:
        raise TypeError(message)
    if number < minimum:
        raise ValueError(message)
    if number > (MAX_INT64 if maximum is None else maximum):
        most = "2**63 - 1" if maximum is None else f"{maximum:,}"
        raise ValueError(f"{name} must be a whole number of at most {most}, but got {describe(value)}")
    return number


def _is_truth(value: object) -> bool:
    """Whether a value is True or False, also one of numpy or torch."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def _is_no_real(value: object) -> bool:
    """Whether a value is True, False or complex, of which numpy would drop a part."""
    return _is_truth(value) or (isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real))


def check_rows(name: str, value: object, width: int = 1) -> int:
    """Return a number of rows of so many columns as an int, or raise an error that names the argument."""
    return check_int(name, value, minimum=1, maximum=max(1, _MAX_NUMBERS // width))


def check_seed(value: object) -> int:
    """Return a seed as an int from 0 to 2**63 - 1, or raise an error that names the argument."""
    return check_int("seed", value, minimum=0)


def check_float(name: str, value: object, *, minimum: float | None = None, above: float | None = None) -> float:
    """Return `value` as a finite float within the bounds, or raise an error that names the argument."""
    wanted = "a finite number"
    if minimum is not None:
        wanted += f" of at least {minimum:g}"
    if above is not None:
        wanted += f" above {above:g}"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__") or _is_no_real(value):
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except Exception as error:  # of the object's own __float__
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}") from error
    too_small = (minimum is not None and number < minimum) or (above is not None and number <= above)
    if not math.isfinite(number) or too_small:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}")
    return number


def check_pair(name: str, value: object, wanted: str) -> tuple[float, float]:
    """Return `value` as two finite floats, or raise an error that names the argument and describes what is `wanted`."""
    try:
        if isinstance(value, (Set, Mapping)):
            raise TypeError("it has no order")
        first, second = (check_float(name, number) for number in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}") from error
    return first, second


def check_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False, or raise an error that names the argument."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, but got {describe(value)}")
    return value


def check_choice(name: str, value: object, options: Collection[str]) -> str:
    """Return `value` if it is one of `options`, or raise an error that lists them."""
    if isinstance(value, str) and value in options:
        return value
    raise ValueError(f"{name} must be one of {join_names(options)}, but got {describe(value)}")


def check_text(name: str, value: object, *, lines: bool = False) -> str:
    """Return text that can be drawn and encoded, with line breaks only if `lines`, or raise naming the argument."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, but got {describe(value)}")
    kept = value.replace("\n", "") if lines else value
    # Control characters, line separators, and surrogates, which are halves of a character. Letters of any script,
    # joiners and emoji are fine.
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 or c in "\u2028\u2029" for c in kept):
        raise ValueError(
            f"{name} must be text without control characters and lone surrogates, but got {describe(value)}"
        )
    return value


def check_name(name: str, value: object) -> str:
    """Return a name, which is text that is not blank and not too long, or raise an error that names the argument."""
    text = check_text(name, value)
    if not text.strip() or len(text) > MAX_NAME:
        raise ValueError(f"{name} must be 1 to {MAX_NAME} characters, not all of them spaces, but got {describe(text)}")
    return text


def check_names(name: str, value: object) -> list[str]:
    """Return names, a sequence or a dict by number, as a list, or raise an error that names the argument."""
    if isinstance(value, Mapping):
        value = names_by_number(name, value, len(value))
    return [check_name(f"one of {name}", item) for item in check_items(name, value, "a sequence of strings")]


def check_items(name: str, value: object, wanted: str, most: int = 2**20) -> list[Any]:
    """Return at most `most` items of an iterable that ends and has an order, or raise saying what is `wanted`."""
    try:
        items = None if isinstance(value, (str, bytes, Set)) else list(islice(iter(value), most + 1))  # type: ignore[call-overload]
    except TypeError:  # a Tensor of no dimension has __iter__ and refuses to iterate
        items = None
    if items is None:
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}")
    if len(items) > most:
        raise ValueError(f"{name} must be {wanted}, at most {most:,} of them, but got {describe(value)}")
    return items


def names_by_number(name: str, value: Mapping[Any, Any], count: int) -> list[Any]:
    """Return names that are given by number as a list of so many, None where there is none, or raise naming them."""
    form = f'{name} must be strings in a list, or in a dict by number from 0 to {count - 1}, such as {{0: "zero"}}'
    if not all(isinstance(key, numbers.Integral) and 0 <= int(key) < count for key in value):
        raise TypeError(f"{form}, but got {describe(value)}")
    return [value.get(number) for number in range(count)]


def check_path(name: str, value: object) -> Path:
    """Return a path with its ~ expanded, or raise an error that names the argument."""
    wanted = f"{name} must be the path of a file or folder"
    try:
        text = os.fspath(value)  # type: ignore[arg-type]
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"{wanted}, as a string or Path, but got {describe(value)}")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{wanted}, but got {describe(value)}, which is no text") from error
    if not text or "\0" in text:
        raise ValueError(f"{wanted}, but got {describe(value)}, which is {'empty' if not text else 'cut by a NUL'}")
    parts = Path(text).parts
    too_long = len(encoded) > _MAX_PATH or any(len(os.fsencode(part)) > _MAX_PATH_PART for part in parts)
    if too_long or len(parts) > _MAX_PATH_PARTS:
        raise ValueError(f"{wanted}, but got {describe(value)}, which is too long: {len(encoded)} bytes")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{wanted}, but got {describe(value)}, and there is no such user; give ./~... for a file so named"
        ) from error


def check_tensor(name: str, value: object, shape: tuple[int | str, ...] | None = None) -> Tensor:
    """Return a Tensor of at least one row whose values are all there, or raise an error that names the argument.

    A letter in `shape` stands for a side of any length from 1; None for any shape.
    """
    wanted = (
        "a Tensor" if shape is None else f"a Tensor of shape ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    )
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}")
    check_dense(name, value)
    sides = value.shape if shape is None else shape
    fits = len(sides) == value.ndim and all(
        n > 0 if isinstance(side, str) else n == side for n, side in zip(value.shape, sides, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must be {wanted} with at least one row, but got {describe(value)}")
    return value


def check_shape(name: str, value: object) -> tuple[int, ...]:
    """Return a shape as a tuple of at least one side, or raise an error that names the argument."""
    sides = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()
    if not sides:
        raise TypeError(f"{name} must be a shape such as (128,) or (C, H, W), but got {describe(value)}")
    return tuple(check_int(f"each side of {name}", side, minimum=1) for side in sides)


def check_dense(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor that holds its values, which a sparse, quantized or meta tensor does not, or raise naming it."""
    kinds = {"uninitialized": is_lazy(tensor), "nested": tensor.is_nested, "masked": isinstance(tensor, MaskedTensor)}
    kinds |= {"sparse": tensor.layout is not torch.strided, "quantized": tensor.is_quantized, "meta": tensor.is_meta}
    kind = next((kind for kind, is_kind in kinds.items() if is_kind), None)
    if kind is not None:
        has_values = kind not in ("meta", "uninitialized")
        advice = "convert it, for instance with .to_dense()" if has_values else "give the values themselves"
        shape = "" if kind in ("nested", "uninitialized") else f" of shape {tuple(tensor.shape)}"  # that have none
        raise TypeError(f"{name} must be a dense Tensor, but got a {kind} one{shape}; {advice}")
    return tensor


def can_compute(dtype: torch.dtype) -> bool:
    """Whether torch computes in a dtype of floats, as it does not in those of 8 bits, which only hold values."""
    return dtype.is_floating_point and dtype.itemsize > 1


def check_floats(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of floats, or raise an error that names the argument."""
    if not can_compute(tensor.dtype):
        raise TypeError(f"{name} must be a Tensor of floats, but got {describe(tensor)}; convert it with .float()")
    return tensor


def check_device(name: str, value: Any) -> torch.device:
    """Return a device of this machine, or raise an error that names the argument."""
    try:
        if isinstance(value, (str, torch.device)):
            device = torch.empty(0, device=torch.device(value)).device
            if device.type == "meta":
                raise RuntimeError("its tensors hold no values")
            return device
        raise TypeError(f"{name} must be a torch device such as 'cpu', but got {describe(value)}")
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise ValueError(
            f"{name} must be a device of this machine such as 'cpu', but got {shorten(value)}: {str(error)[:200]}"
        ) from error


def check_dtype(name: str, value: Any) -> torch.dtype:
    """Return a floating dtype, torch's default for None, or raise an error that names the argument."""
    if value is None:
        return torch.get_default_dtype()
    if not isinstance(value, torch.dtype) or not can_compute(value):
        raise TypeError(f"{name} must be a floating dtype such as torch.float32, but got {describe(value)}")
    return value


def check_rng(name: str, value: object) -> torch.Generator | None:
    """Return a torch.Generator or None, or raise an error that names the argument."""
    if value is not None and not isinstance(value, torch.Generator):
        raise TypeError(f"{name} must be a torch.Generator or None, but got {describe(value)}; an int is a seed=")
    return value


def check_mapping(name: str, value: object) -> Mapping[Any, Any]:
    """Return a mapping, or raise an error that names the argument."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of names to values, but got {describe(value)}")
    return value


def check_function(name: str, value: object, wanted: str, arguments: int) -> Any:
    """Return a function that can be called with so many arguments, or raise an error that says what is `wanted`."""
    if not callable(value):
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}")
    if isinstance(value, type):
        return value
    try:
        signature = inspect.signature(value.forward if isinstance(value, torch.nn.Module) else value)
    except (TypeError, ValueError):  # functions of C have none
        return value
    try:
        signature.bind(*[None] * arguments)
    except TypeError as error:
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}, which takes {signature}") from error
    return value


@contextmanager
def importing(feature: str, package: str, extra: str) -> Iterator[None]:
    """Context of an import from a package of an extra, whose ImportError names the feature and the pip command."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{feature} needs {package}: pip install 'infogan-lib[{extra}]'") from error


def require_eval(feature: str, package: str = "scikit-learn") -> AbstractContextManager[None]:
    """Context of an import from the extra ``eval``; see `importing`."""
    return importing(feature, package, "eval")


def require(module: str, *, extra: str, feature: str) -> Any:
    """A module of an extra; see `importing`."""
    with importing(feature, module, extra):
        return import_module(module)


def check_instance(name: str, value: Any, *kinds: type) -> Any:
    """Return `value` if it is None or of one of the types, or raise naming the argument."""
    return None if value is None else check_type(name, value, *kinds)


def check_type(name: str, value: Any, *kinds: type) -> Any:
    """Return `value` if it is of one of the types, or raise naming the argument."""
    if not isinstance(value, kinds):
        hint = f"; did you mean {value.__name__}()?" if isinstance(value, type) and issubclass(value, kinds) else ""
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be of type {wanted}, but got {describe(value)}{hint}")
    return value
