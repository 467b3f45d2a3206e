"""Small pieces of HTML: what results show of themselves in a notebook, and the tables of pages."""

from collections.abc import Collection, Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

_POINTS, _WIDTH, _HEIGHT = 80, 120, 20


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(
    rows: Iterable[Sequence[str]],
    *,
    header: Sequence[str] = (),
    caption: str = "",
    numeric: Collection[int] = (),
    inline: bool = True,
) -> str:
    """A table. The first cell of a row is its heading, except with a header where `inline` is False.

    Args:
        rows: The cells of each row, escaped unless they are `Markup`.
        header: The names of the columns; none if empty.
        caption: A line above the table; none if empty.
        numeric: Indices of the columns that are aligned to the right, where the page has a style sheet.
        inline: Whether the table is aligned without a style sheet, as in a notebook. If not, the style sheet has the
            classes ``stack`` (a table with a header, whose cells name their column) and ``n`` (a numeric column).
    """
    left = ' style="text-align:left"' if inline else ""

    def kind(column: int) -> str:
        return ' class="n"' if column in numeric and not inline else ""

    def cell(text: str, column: int) -> str:
        content = text if isinstance(text, Markup) else escape(text)
        if column == 0 and (inline or not header):
            return f'<th scope="row"{left}>{content}</th>'
        label = f' data-label="{escape(header[column])}"' if header and not inline else ""
        return f"<td{kind(column)}{label}{left}>{content}</td>"

    above = f"<caption{left}>{escape(caption)}</caption>" if caption else ""
    if header:
        names = (f'<th{kind(column)} scope="col"{left}>{escape(name)}</th>' for column, name in enumerate(header))
        above += f"<thead><tr>{''.join(names)}</tr></thead>"
    body = "".join(f"<tr>{''.join(cell(text, column) for column, text in enumerate(row))}</tr>" for row in rows)
    stack = ' class="stack"' if header and not inline else ""
    return f"<table{stack}>{above}<tbody>{body}</tbody></table>"


def sparkline(values: NDArray[np.float64]) -> Markup:
    """A curve of numbers (N,) in order, as high as a line of text; those that are not finite are left out."""
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
