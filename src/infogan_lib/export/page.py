"""The page of an exported model: index.html, which runs `generator.onnx` and `q.onnx` in the browser.

The engine is onnxruntime-web, three files of it. They come from a server, each with the hash of the version that the
page was tested with, or lie beside the page.
"""

import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor

from infogan_lib._checks import check_instance, check_path, describe
from infogan_lib.data.pixels import UNKNOWN_RANGE, check_finite_images, check_real_images, is_showable
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.export.statistics import image_statistics
from infogan_lib.model.infogan import InfoGAN

ENGINE_VERSION = "1.30.0"

ENGINE_FILES = {
    "ort.wasm.min.mjs": "sha384-SfFfy/pvthiOsgaw3KX0bV5TfQ6Iq+oY9KutMe4SxIuHH4cl+DCSD4rTsYOoG1tJ",
    "ort-wasm-simd-threaded.mjs": "sha384-XcXA/MtAf0WpB8e023xQH9CM7RIjiugakT7x99DIwpFf7k56BIFFcAPerIF7FDad",
    "ort-wasm-simd-threaded.wasm": "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
"""The files of onnxruntime-web that the page loads, with their hashes (Subresource Integrity, W3C 2016)."""

_SERVER = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{ENGINE_VERSION}/dist/"
_FOLDER, _PAGE = "engine", "index.html"
_TITLE = b"<title>InfoGAN, code by code</title>"
_MARK = "/*ENGINE*/null/*ENGINE*/"
_MAX_EFFECTS = 12
_CLEAR_CORRELATION, _CLEAR_CHANGE = 0.6, 0.8


def page_files(
    model: InfoGAN, plan: dict[str, Any], images: Tensor | None, engine: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The files of the page by their path in the folder; the plan gets what the page needs besides."""
    complete_plan(model, plan, images)
    source = {"base": f"./{_FOLDER}/"} if engine else {"base": _SERVER, "integrity": ENGINE_FILES}
    page = page_html(source | {"files": list(ENGINE_FILES)})
    return {_PAGE: page, **{f"{_FOLDER}/{name}": data for name, data in engine.items()}}


def complete_plan(model: InfoGAN, plan: dict[str, Any], images: Tensor | None) -> None:
    """Add to a plan what the page needs: the range that is shown, statistics of images, and what sliders do."""
    plan["shown_range"] = list(model.pixel_range or UNKNOWN_RANGE)
    plan["statistics"] = image_statistics(model, images)
    measured = 0
    for variable in plan["variables"]:
        if variable["values"] == "numbers" and measured + variable["width"] <= _MAX_EFFECTS:
            measured += variable["width"]
            variable["effects"] = [_effect(model, variable["name"], dim) for dim in range(variable["width"])]


def page_html(engine: Mapping[str, Any]) -> bytes:
    """The page, with where it finds its engine."""
    page = files("infogan_lib.export").joinpath("index.html").read_text("utf-8")
    return page.replace(_MARK, json.dumps(engine)).encode()


def stale_page(folder: Path) -> list[str]:
    """The page of an earlier export in a folder, which does not fit the files of another one; none of a user's own."""
    try:
        with (folder / _PAGE).open("rb") as file:
            return [_PAGE] if _TITLE in file.read(1000) else []
    except OSError:
        return []


def check_showable(model: InfoGAN, images: Tensor | None) -> None:
    """Check that a page can show a model, with statistics of real images if there are some.

    Raises TypeError or ValueError for a model of other images, or images that are not the model's.
    """
    if not is_showable(model.image_shape):
        raise ValueError(f"the page shows images (1 or 3, H, W), but this model makes {model.image_shape}")
    check_instance("images", images, Tensor)
    if images is not None:
        check_real_images(images, model.image_shape, model.pixel_range, model.output_range)
        check_finite_images(images)


def read_engine(engine: str | os.PathLike[str]) -> dict[str, bytes]:
    """The engine's files to copy: none for "cdn", else those of a folder. Raises ValueError if one is missing."""
    if isinstance(engine, str) and engine == "cdn":
        return {}
    folder = check_path("engine", engine)
    missing = [name for name in ENGINE_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"engine must be 'cdn' or a folder with onnxruntime-web's files, but {describe(str(folder))} has no "
            f"{', '.join(missing)}; npm pack onnxruntime-web@{ENGINE_VERSION} has them in package/dist"
        )
    return {name: (folder / name).read_bytes() for name in ENGINE_FILES}


def _effect(model: InfoGAN, code: str, dim: int) -> str | None:
    """What a dimension does, such as "slant", where that is clear and scipy is there to measure it."""
    if min(model.image_shape[1:]) < 2:
        return None
    try:
        effects = code_effects(model, code, dim=dim, n=50)
    except ImportError:
        return None
    clear = [e for e in effects if abs(e.correlation) >= _CLEAR_CORRELATION and abs(e.change) >= _CLEAR_CHANGE]
    return clear[0].measure if clear else None
