"""Settings of a training run as text: named presets, and keywords of the trainer or the model with a value.

    plain  ema_decay=0.995  regularizers=[R1(gamma=1.0,every=16)]  optimizers=Optimizers(d=5e-4)  tap='4'

A value is a Python literal, or a call of a class of the library with such values.
"""

import ast
from collections.abc import Iterable
from typing import Any

import infogan_lib
from infogan_lib import data, losses, regularizers

PRESETS: dict[str, dict[str, str]] = {
    "plain": {"regularizers": "()"},
    "joint": {"joint_batches": "True"},
    "averaged": {"ema_decay": "0.995"},
    "light-styles": {
        "latent": "LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.05, "
        "loss=NormalNLL(log_scale_range=(-1.5, 0.5))))"
    },
}
"""Groups of settings by name; later ones replace earlier ones."""

CLASSES = {
    name: getattr(module, name)
    for module in (infogan_lib, data, losses, regularizers)
    for name in module.__all__
    if name[0].isupper()
}
"""The classes that a value may call, by name."""


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Read settings.

    Args:
        texts: Names of presets, and texts "KEY=VALUE", in order.

    Returns:
        New objects at each call, as a regularizer belongs to one trainer.

    Raises:
        ValueError: If a text is neither, or its value cannot be read.
    """
    settings: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if equals:
            settings[key] = value
        elif text in PRESETS:
            settings |= PRESETS[text]
        else:
            raise ValueError(f"settings must be KEY=VALUE or one of {', '.join(PRESETS)}, but got {text!r}")
    return {key: read_value(value) for key, value in settings.items()}


def read_value(text: str) -> Any:
    """Read a literal, or a call of a class in `CLASSES`.

    Raises:
        ValueError: If the text is anything else.
    """
    try:
        return _build(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"expected a Python literal or a call such as R1(gamma=1.0), but got {text!r}") from error


def _build(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords) if name in CLASSES:
            named = {keyword.arg: _build(keyword.value) for keyword in keywords if keyword.arg}
            return CLASSES[name](*map(_build, arguments), **named)
        case ast.List(elts=elements):
            return [_build(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_build(element) for element in elements)
        case _:
            return ast.literal_eval(node)
