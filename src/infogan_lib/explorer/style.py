"""The look of the page: system fonts, one accent color, the picture in view while the codes move."""

from html import escape
from typing import Any

from infogan_lib._checks import require
from infogan_lib.explorer.views import Encoding, Picture
from infogan_lib.viz import html

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; overflow: clip !important; }
#title h1 { font-size: 1.45rem; font-weight: 650; margin: .2rem 0 .1rem; }
#title p { margin: 0; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
#shown { position: sticky; top: .8rem; align-self: flex-start; }
#title, #picture, #message, #readout { padding: 0; }
#message:not(:has(.problem)), #readout:not(:has(table)) { display: none; }
#picture figure { margin: 0; }
#picture img { display: block; max-width: 100%; max-height: 74vh; width: auto; height: auto; margin: 0 auto;
  border-radius: 6px; background: white; padding: 6px; box-sizing: border-box; }
#picture figcaption { margin-top: .5rem; font-size: .85rem; color: var(--body-text-color-subdued);
  overflow-wrap: anywhere; }
.problem { padding: .5rem .7rem; border-radius: 6px; border: 1px solid #d9822b; background: #fff4e5; color: #7a3e00;
  overflow-wrap: anywhere; }
.note { font-size: .88rem; color: var(--body-text-color-subdued); margin: 0; }
#readout table { width: 100%; border-collapse: collapse; font-size: .88rem; }
#readout caption { text-align: left; font-weight: 600; padding: .5rem 0 .2rem; }
#readout :is(table, tbody, tr, th, td) { border: 0 !important; }
#readout :is(th, td) { text-align: left; font-weight: 400; padding: .1rem .5rem .1rem 0; }
#readout tr:has(.bar) > * { white-space: nowrap; }
#readout td:last-child { width: 100%; padding-right: 0; }
#readout .bar { height: .65rem; border-radius: 3px; background: var(--color-accent); min-width: 1px; }
@media (max-width: 767px) {
  #shown { top: 0; z-index: 20; background: var(--body-background-fill); padding-bottom: .3rem; }
  #picture img { max-height: 42vh; }
}
"""

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

_MAX_LINES = 6


def theme() -> Any:
    """A plain Gradio theme in system fonts, so that no font is fetched."""
    return require().themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )


def picture_html(picture: Picture) -> str:
    """A picture with its caption, the file embedded."""
    attributes = {"width": picture.width, "height": picture.height, "data_name": picture.name}
    return html.image(picture.png, picture.caption, caption=picture.caption, **attributes)


def problem_html(message: str) -> str:
    """A one-line message; nothing if it is empty."""
    return f'<div class="problem" role="alert">{escape(message)}</div>' if message else ""


def readout_html(encoding: Encoding) -> str:
    """What Q predicts for an uploaded picture: bars for the largest probabilities, mean and deviation for numbers."""
    tables = []
    for name, prediction in encoding.predictions.items():
        rows = [[cell for cell in line if cell is not None] for line in prediction.readouts[:_MAX_LINES]]
        tables.append(html.table(rows or [["cannot be shown"]], caption=name))
    return "".join(tables)
