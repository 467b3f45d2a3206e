"""How the page looks: system fonts, one accent colour, the picture in view while the codes move."""

import html
from base64 import b64encode
from typing import Any

from infogan_lib._checks import require
from infogan_lib.explorer.views import Picture, Reading

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; overflow: clip !important; }
#title h1 { font-size: 1.45rem; font-weight: 650; margin: .2rem 0 .1rem; }
#title p { margin: 0; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
#shown { position: sticky; top: .8rem; align-self: flex-start; }
#title, #picture, #message, #told { padding: 0; }
#message:not(:has(.problem)), #told:not(:has(table)) { display: none; }
#picture figure { margin: 0; }
#picture img { display: block; max-width: 100%; max-height: 74vh; width: auto; height: auto; margin: 0 auto;
  border-radius: 6px; background: white; padding: 6px; box-sizing: border-box; }
#picture figcaption { margin-top: .5rem; font-size: .85rem; color: var(--body-text-color-subdued);
  overflow-wrap: anywhere; }
.problem { padding: .5rem .7rem; border-radius: 6px; border: 1px solid #d9822b; background: #fff4e5; color: #7a3e00;
  overflow-wrap: anywhere; }
.note { font-size: .88rem; color: var(--body-text-color-subdued); margin: 0; }
.told { width: 100%; border-collapse: collapse; font-size: .88rem; }
.told caption { text-align: left; font-weight: 600; padding: .5rem 0 .2rem; }
.told, .told tbody, .told tr, .told th, .told td { border: 0 !important; }
.told th, .told td { text-align: left; font-weight: 400; padding: .1rem .5rem .1rem 0; white-space: nowrap; }
.told td.bar { width: 100%; padding-right: 0; }
.told td.bar div { height: .65rem; border-radius: 3px; background: var(--color-accent); min-width: 1px; }
.told td.long { white-space: normal; }
@media (max-width: 767px) {
  #shown { top: 0; z-index: 20; background: var(--body-background-fill); padding-bottom: .3rem; }
  #picture img { max-height: 42vh; }
}
"""

_LINES = 6

DOWNLOAD = """() => {
  const image = document.querySelector("#picture img");
  if (!image) return;
  const link = document.createElement("a");
  link.href = image.src;
  link.download = image.dataset.name;
  document.body.appendChild(link);
  link.click();
  link.remove();
}"""


def theme() -> Any:
    """A plain theme in the fonts of the system, so that none is fetched."""
    return require().themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )


def figure(picture: Picture) -> str:
    """A picture and its caption as HTML, the file inside it."""
    caption = html.escape(picture.caption)
    return (
        f'<figure><img src="data:image/png;base64,{b64encode(picture.png).decode()}" width="{picture.width}" '
        f'height="{picture.height}" data-name="{html.escape(picture.name)}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def problem(message: str) -> str:
    """A one-line message as HTML; nothing for an empty one."""
    return f'<div class="problem" role="alert">{html.escape(message)}</div>' if message else ""


def table(reading: Reading) -> str:
    """What Q says of an uploaded picture as HTML: bars for the largest probabilities, means and spreads for numbers."""
    parts = []
    for name, lines in reading.told.items():
        rows = "".join(_row(*line) for line in lines[:_LINES]) or '<tr><td class="long">cannot be shown</td></tr>'
        parts.append(f'<table class="told"><caption>{html.escape(name)}</caption>{rows}</table>')
    return "".join(parts)


def _row(label: str, text: str, share: float | None) -> str:
    head = f'<tr><th scope="row">{html.escape(label)}</th>'
    if share is None:
        return f'{head}<td class="long" colspan="2">{html.escape(text)}</td></tr>'
    bar = f'<td class="bar"><div style="width:{share:.1%}"></div></td>'
    return f"{head}<td>{html.escape(text)}</td>{bar}</tr>"
