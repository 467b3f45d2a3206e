"""HTML in one file: styles and images are embedded, and nothing is loaded from a network."""

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from infogan_lib import _html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2330; --soft: #5a6375; --line: #dfe3ea; --tint: #f5f7fa;
  --mark: #1f5fbf; --dim: none; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171d; --ink: #e4e8ef; --soft: #a4aebf; --line: #343b47; --tint: #1e232b; --mark: #8ab8ff;
    --dim: brightness(.88); }
}
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; padding-top: .8rem; border-top: 1px solid var(--line);
  scroll-margin-top: .5rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
a { color: var(--mark); }
.lead { color: var(--soft); }
nav { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .8rem; margin: 1.2rem 0 0; font-size: .9rem; }
nav summary { cursor: pointer; color: var(--soft); }
nav ol { margin: .4rem 0 0; padding-left: 1.4rem; columns: 17rem; }
nav li { padding: .12rem 0; break-inside: avoid; }
ul.facts { list-style: none; padding: 0; margin: 1rem 0; display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
ul.facts li { background: var(--tint); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem;
  color: var(--soft); font-size: .85rem; }
ul.facts b { display: block; font-size: 1.35rem; line-height: 1.3; color: var(--mark); }
ul.points { max-width: 46rem; padding-left: 1.2rem; margin: .4rem 0 .8rem; }
ul.points li { margin: .35rem 0; }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding: 0 0 .3rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 3.2rem; }
th[scope="row"] { font-weight: 400; color: var(--soft); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .85em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: .8rem 0 1.2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; padding: .25rem; border-radius: .3rem;
  filter: var(--dim); }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .2rem; max-width: 46rem; }
.side { display: grid; gap: .4rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
@media screen and (max-width: 40rem) {
  table.stack, .stack tbody, .stack caption { display: block; width: 100%; }
  .stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stack tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  .stack td { display: flex; justify-content: space-between; gap: 1rem; padding: .1rem 0; border: 0; }
  .stack td::before { content: attr(data-label); color: var(--soft); flex: none; max-width: 55%; }
  .stack td:empty { display: none; }
  .stack td:first-child { font-weight: 600; }
  .stack td, .stack td.n { text-align: right; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #ccc; --tint: #fff; --mark: #000; --dim: none; }
  main { max-width: none; padding: 0; }
  body { font-size: 11pt; }
  nav { display: none; }
  figure, ul.facts li, table { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  ul.facts li { background: none; }
}
"""

_NARROW, _WIDEST = 3.6, 4.6
"""The width in inches of a figure on a phone, and up to which width one figure serves for both."""

_PHONE = "(max-width: 40rem)"

_DPI = 110


def page(title: str, parts: Sequence[str]) -> str:
    """Join parts that are HTML already into a complete page, with a table of contents before the first section."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        "<main>\n" + "\n".join(_with_contents(parts)) + "\n</main>\n</body>\n</html>\n"
    )


def _with_contents(parts: Sequence[str]) -> list[str]:
    """The parts with an anchor at each heading of a section, and in front of the first one the list of them."""
    named, links, first = list[str](), list[str](), len(parts)
    for i, part in enumerate(parts):
        if part.startswith("<h2>"):
            first = min(first, i)
            text = part.removeprefix("<h2>").partition("</h2>")[0]
            links.append(f'<li><a href="#section-{len(links) + 1}">{text}</a></li>')
            part = f'<h2 id="section-{len(links)}">' + part.removeprefix("<h2>")
        named.append(part)
    nav = (
        f'<nav aria-label="Contents"><details open><summary>Contents</summary><ol>{"".join(links)}</ol></details></nav>'
    )
    return [*named[:first], nav, *named[first:]] if links else named


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


def points(items: Iterable[str]) -> str:
    """A list of sentences."""
    return f'<ul class="points">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>'


def table(
    rows: Iterable[Sequence[str]],
    *,
    header: Sequence[str] = (),
    caption: str = "",
    numeric: Collection[int] = (),
) -> str:
    """A table that scrolls where it is wide; see `_html.table`. With a header, each row is a card on a phone."""
    made = _html.table(rows, header=header, caption=caption, numeric=numeric, inline=False)
    return f'<div class="scroll">{made}</div>'


def image(png: bytes, alt: str, *, caption: str = "", narrow: bytes | None = None) -> str:
    """A PNG file embedded in the page, with text for those who do not see it; a phone shows the `narrow` one."""
    made = f'<img src="{_as_url(png)}" alt="{escape(alt)}">'
    if narrow is not None:
        made = f'<picture><source media="{_PHONE}" srcset="{_as_url(narrow)}">{made}</picture>'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{made}{below}</figure>"


def _as_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def figure(figure: "Figure", alt: str, *, caption: str = "") -> str:
    """A matplotlib figure embedded in the page as a PNG; a wide one twice, the second time laid out for a phone."""
    wide = _png(figure)
    width, height = figure.get_size_inches()
    if width <= _WIDEST:
        return image(wide, alt, caption=caption)
    # Pictures keep the ratio of their sides, and curves keep their height.
    is_grid = any(axes.images for axes in figure.axes)
    figure.set_size_inches(_NARROW, height * _NARROW / width + 0.3 if is_grid else height)
    narrow = _png(figure)
    figure.set_size_inches(width, height)
    return image(wide, alt, caption=caption, narrow=narrow)


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def side_by_side(parts: Iterable[str]) -> str:
    """Parts next to each other where there is room, below each other on a phone."""
    return f'<div class="side">{"".join(parts)}</div>'
