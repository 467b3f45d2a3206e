"""Formulas of docstrings as MathML, which browsers draw by themselves: no script, no request. An extension of griffe."""

import re
from typing import Any

import griffe
from latex2mathml.converter import convert

_BLOCK = re.compile(r"^\.\. math::(.*?)(?=\n[ \t]*\n|\Z)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]*)`")


def to_mathml(text: str) -> str:
    """Text with its ``.. math::`` blocks and ``:math:`` roles as MathML."""
    text = _BLOCK.sub(lambda m: f'\n<div class="formula">{_convert(m[1], "block")}</div>\n', text)
    return _INLINE.sub(lambda m: _convert(m[1], "inline"), text)


def _convert(latex: str, display: str) -> str:
    latex = " ".join(latex.split())
    if "&" in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return convert(latex, display=display)


class Formulas(griffe.Extension):
    """Converts the formulas of every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None and "math:" in obj.docstring.value:
            obj.docstring.value = to_mathml(obj.docstring.value)
