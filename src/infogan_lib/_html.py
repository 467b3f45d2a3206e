"""Small pieces of HTML that results show of themselves in a notebook."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

_POINTS, _WIDTH, _HEIGHT = 80, 120, 20


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = (), caption: str = "") -> str:
    """A table. The first cell of a row is its heading.

    Args:
        rows: the cells of each row, escaped unless they are `Markup`.
        header: the names of the columns; none if empty.
        caption: a line above the table; none if empty.
    """
    above = f'<caption style="text-align:left">{escape(caption)}</caption>' if caption else ""
    if header:
        columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
        above += f"<thead><tr>{columns}</tr></thead>"
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{_cell(first)}</th>'
        + "".join(f'<td style="text-align:left">{_cell(cell)}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table>{above}<tbody>{body}</tbody></table>"


def sparkline(values: NDArray[np.float64]) -> Markup:
    """A curve as high as a line of text; values that are not finite are left out.

    Args:
        values: numbers in order, shape (N,).
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Markup()
    shown = finite[np.linspace(0, len(finite) - 1, min(len(finite), _POINTS)).astype(int)]
    low, span = shown.min(), np.ptp(shown) or 1.0
    x = np.linspace(1, _WIDTH - 1, len(shown))
    y = _HEIGHT - 2 - (shown - low) / span * (_HEIGHT - 4)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return Markup(
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="from {finite[0]:.3g} to {finite[-1]:.3g}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor"/></svg>'
    )


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Markup) else escape(cell)
