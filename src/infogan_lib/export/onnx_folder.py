"""A model as a folder that runs without this library: ONNX files, a plan, and a page if wanted."""

import json
import os
from pathlib import Path

from torch import Tensor

from infogan_lib._checks import check_bool, check_instance, check_path, check_type
from infogan_lib.checkpoints.disk import os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.together import write_together
from infogan_lib.export.page import check_showable, page_files, read_engine, stale_page
from infogan_lib.export.plan import export_plan
from infogan_lib.export.tracing import for_export, to_onnx
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.saving import check_finite_weights


def export_onnx(
    model: InfoGAN,
    folder: str | os.PathLike[str],
    *,
    web: bool = False,
    engine: str | os.PathLike[str] = "cdn",
    images: Tensor | None = None,
) -> Path:
    """Write a model as ONNX, with the generator that `sample` uses. Needs the extra `onnx`.

    ``generator.onnx`` turns latents (N, L) into images, ``q.onnx`` images into Q's outputs, and ``plan.json`` says what
    their columns mean. Both take float32 and any number of rows, and are compared with torch where onnxruntime is
    installed. With `web`, ``index.html`` runs them in a browser, from any host of static files.

    Args:
        model: The model; it is not modified.
        folder: Made where there is none; files of the same names are replaced, and without `web` an earlier page is
            removed.
        web: Whether to write the page.
        engine: Where the page finds onnxruntime-web: "cdn" for a public server, with hashes; or a folder with its three
            files, which are copied.
        images: Real images (N, *image_shape), by which the page tells pictures that are unlike them; the model's own
            samples if None.

    Returns:
        The folder.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        ExportError: A network cannot be written as ONNX, or differs from torch by more than 1e-5 in onnxruntime.
        ValueError: The model has weights that are not finite or no images that a page could show, or `engine` has no
            engine.
        CheckpointError: An error of the disk.
    """
    check_type("model", model, InfoGAN)
    folder = check_path("folder", folder)
    check_bool("web", web)
    check_instance("images", images, Tensor)
    if not web and (engine != "cdn" or images is not None):
        raise ValueError("engine and images are for the page; give web=True as well, or leave them out")
    engine_files = read_engine(engine)
    if web:
        check_showable(model, images)
    check_finite_weights(model)
    model = for_export(model)
    content, differences = to_onnx(model)
    plan = export_plan(model, differences)
    if web:
        content |= page_files(model, plan, images, engine_files)
    content["plan.json"] = (json.dumps(plan, indent=1, allow_nan=False) + "\n").encode()
    with os_errors_as_checkpoint_errors(folder, "exporting"):
        write_together(folder, content, stale=() if web else stale_page(folder))
    return folder
