"""HTML in one file: styles and images are embedded, and nothing is loaded from a network."""

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; --ink: #1d2330; --soft: #5a6375; --line: #dfe3ea; --tint: #f5f7fa; --mark: #1f5fbf; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.lead { color: var(--soft); }
ul.facts { list-style: none; padding: 0; margin: 1rem 0; display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
ul.facts li { background: var(--tint); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem;
  color: var(--soft); font-size: .85rem; }
ul.facts b { display: block; font-size: 1.35rem; line-height: 1.3; color: var(--mark); }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .85em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: .8rem 0 1.2rem; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .2rem; max-width: 46rem; }
.side { display: grid; gap: .4rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  figure, ul.facts li, table { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  ul.facts li { background: none; }
}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Join parts that are HTML already into a complete page."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(text: str, lead: str = "", *, level: int = 2) -> str:
    """A heading, with a sentence below it if `lead` is not empty."""
    below = f'\n<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<h{level}>{escape(text)}</h{level}>{below}"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Boxes with a value and its description each."""
    items = "".join(f"<li><b>{escape(value)}</b>{escape(description)}</li>" for value, description in pairs)
    return f'<ul class="facts">{items}</ul>'


def table(
    rows: Iterable[Sequence[str | float]],
    *,
    header: Sequence[str] = (),
    caption: str = "",
    numeric: Collection[int] = (),
) -> str:
    """A table of plain text and bars.

    Args:
        rows: Cells of each row: text, or a fraction in [0, 1] that is drawn as a bar.
        header: Names of the columns. If empty, the first cell of each row is the name of the row.
        caption: Title of the table; no title if empty.
        numeric: Indices of the columns that are aligned to the right.
    """

    def row(cells: Sequence[str | float], tag: str, first_tag: str) -> str:
        parts = []
        for column, cell in enumerate(cells):
            name = tag if column else first_tag
            attribute = ' class="n"' if column in numeric else ' scope="row"' if name == "th" and not header else ""
            parts.append(f"<{name}{attribute}>{_cell(cell)}</{name}>")
        return f"<tr>{''.join(parts)}</tr>"

    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    above += f"<thead>{row(header, 'th', 'th')}</thead>" if header else ""
    body = "".join(row(cells, "td", "td" if header else "th") for cells in rows)
    return f'<div class="scroll"><table>{above}<tbody>{body}</tbody></table></div>'


def image(png: bytes, alt: str, *, caption: str = "", **attributes: object) -> str:
    """A PNG file embedded in the page.

    Args:
        png: Bytes of the file.
        alt: Text for those who do not see the image.
        caption: Text below the image; none if empty.
        **attributes: Further attributes of the `img` element, underscores for hyphens: ``data_name="a.png"``.
    """
    data = base64.b64encode(png).decode("ascii")
    further = "".join(f' {name.replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items())
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt)}"{further}>{below}</figure>'


def figure(figure: "Figure", alt: str) -> str:
    """A matplotlib figure embedded in the page as a PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return image(file.getvalue(), alt)


def side_by_side(parts: Iterable[str]) -> str:
    """Parts next to each other where there is room, below each other on a phone."""
    return f'<div class="side">{"".join(parts)}</div>'


def _cell(cell: str | float) -> str:
    return escape(cell) if isinstance(cell, str) else f'<div class="bar" style="width:{cell:.1%}"></div>'
