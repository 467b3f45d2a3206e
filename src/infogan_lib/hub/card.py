"""The model card: README.md of a pretrained model, with a picture, figures and the code to load it."""

import keyword
import re
from collections.abc import Mapping

from infogan_lib._version import __version__
from infogan_lib.data.pixels import UNKNOWN_RANGE, is_showable
from infogan_lib.evaluation.codes import code_information
from infogan_lib.latent.category_names import RESERVED_NAMES, categorical_names
from infogan_lib.latent.discrete import Categorical
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.recipes.recipe import Recipe
from infogan_lib.viz.grids import image_grid, png_bytes

PICTURE = "samples.png"

_MAX_ROWS, _COLUMNS, _SAMPLES, _ENLARGED = 10, 10, 512, 3


def model_card(model: InfoGAN, source: str, recipe: Recipe | None, metrics: Mapping[str, float]) -> dict[str, bytes]:
    """README.md, and its picture where matplotlib is there to draw it.

    Its code gives `from_pretrained` the `source`, and networks unless there is a recipe that rebuilds them.
    """
    picture = _picture(model)
    low_high = "unknown" if model.pixel_range is None else "{:g} to {:g}".format(*model.pixel_range)
    parts = [
        "---\nlibrary_name: infogan-lib\ntags:\n- infogan\n- gan\n- disentanglement\n"
        "pipeline_tag: unconditional-image-generation\n---",
        f"# InfoGAN: {_cell(', '.join(model.latent.codes)) or 'no codes'}",
        f"A generator of images {model.image_shape}, pixels from {low_high}, made with infogan-lib {__version__}"
        + (f" by its recipe {_code(recipe.name)}." if recipe else "."),
    ]
    if picture:
        legend = _legend(model)
        parts.append(f"![{legend}]({PICTURE})\n\n{legend[0].upper()}{legend[1:]}.")
    parts += [_usage(model, source, recipe), _table_of_codes(model)]
    if metrics:
        rows = "\n".join(f"| {_cell(name)} | {value:.4g} |" for name, value in metrics.items())
        parts.append(f"## Figures\n\n| | |\n| --- | --- |\n{rows}")
    return {"README.md": ("\n\n".join(parts) + "\n").encode()} | ({PICTURE: picture} if picture else {})


def _usage(model: InfoGAN, source: str, recipe: Recipe | None) -> str:
    code = next(iter(model.latent.codes), None)
    networks = "" if recipe else ", generator=generator, discriminator=discriminator"
    lines = [
        "from infogan_lib.hub import from_pretrained",
        "",
        f"model = from_pretrained({source!r}{networks})",
        "images = model.sample(16)",
    ]
    if code and isinstance(model.latent[code], Categorical) and _is_argument(code):
        lines.append(f"images = model.sample(16, {code}=0)")
    if code:
        lines.append(f"codes = model.encode(images)[{code!r}]")
    alone = _on_one_line(f"from_pretrained({source!r}, generator=generator)")
    needed = "" if recipe else (
        "\n\n`generator` and `discriminator` are networks with the layers that were trained; "
        f"`{alone}` gives samples without D."
    )  # fmt: skip
    return "## Use\n\n```bash\npip install 'infogan-lib[hub]'\n```\n\n```python\n" + "\n".join(lines) + f"\n```{needed}"


def _table_of_codes(model: InfoGAN) -> str:
    information = code_information(model, n=_SAMPLES) if model.latent.codes else {}
    rows = []
    for name, variable in model.latent.items():
        known = information.get(name)
        bound = "" if known is None or known.bound is None else f"{known.bound:.2f}"
        if bound and model.latent.codes[name].is_discrete:
            bound += f" of {model.latent.entropy[name]:.2f}"
        names = ", ".join(label or "(none)" for label in model.category_names.get(name, ()))
        rows.append(f"| {_cell(name)} | {_code(repr(variable))} | {_cell(names)} | {bound} |")
    return (
        "## Codes\n\n| name | variable | categories | information, nats |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + f"\n\nInformation is the lower bound on I(c; x) of {_SAMPLES} samples, at most H(c) for a discrete code."
    )


def _legend(model: InfoGAN) -> str:
    code = _row_code(model)
    if code is None:
        return "samples"
    shown = [label or "(none)" for label in model.category_names.get(code, ())[:_MAX_ROWS]]
    return f"a row of samples per category of {_cell(code)}" + (f": {_cell(', '.join(shown))}" if shown else "")


def _row_code(model: InfoGAN) -> str | None:
    return next(iter(categorical_names(model.latent)), None)


def _picture(model: InfoGAN) -> bytes | None:
    """A PNG of samples; None for what is no picture, or where matplotlib is not installed."""
    if not is_showable(model.image_shape):
        return None
    code = _row_code(model)
    rows = min(_MAX_ROWS, model.latent[code].width) if code else _COLUMNS // 2
    values = {code: [row for row in range(rows) for _ in range(_COLUMNS)]} if code else {}
    grid = image_grid(
        model.sample(rows * _COLUMNS, seed=0, codes=values), _COLUMNS, pixel_range=model.pixel_range or UNKNOWN_RANGE
    )
    try:
        return png_bytes(grid.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1))
    except ImportError:
        return None


def _is_argument(code: str) -> bool:
    return code.isidentifier() and not keyword.iskeyword(code) and code not in RESERVED_NAMES


def _cell(text: str) -> str:
    """Text that Markdown shows as it is, in a table too: without links, pictures, HTML or emphasis."""
    return re.sub(
        r"([\\|\[\]()!*_~#])",
        r"\\\1",
        _on_one_line(text).replace("&", "&amp;").replace("<", "&lt;"),
    )


def _code(text: str) -> str:
    shown = _on_one_line(text).replace("|", "\\|")
    return f"`{shown}`"


def _on_one_line(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
