"""Docstrings as the site shows them, an extension of griffe.

Formulas become MathML, which browsers draw by themselves: no script, no request. An example becomes a section of code.
"""

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


class Docstrings(griffe.Extension):
    """Converts the formulas and the examples of every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = to_mathml(text)
