"""The report: what each code does, how well Q recovers it, and how categories match labels, on one HTML page."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import (
    check_instance,
    check_items,
    check_names,
    check_path,
    check_seed,
    check_text,
    check_type,
    describe,
)
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.json_file import read_object
from infogan_lib.checkpoints.together import write_together
from infogan_lib.data.pixels import check_real_images
from infogan_lib.evaluation.symptoms import Symptom, summarize
from infogan_lib.history.history import History
from infogan_lib.latent.category_names import LabelNames
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.viz import html
from infogan_lib.viz import report_sections as sections
from infogan_lib.viz.curves import plot_history
from infogan_lib.viz.findings import has_pictures, measure
from infogan_lib.viz.grids import require_matplotlib


class Report(os.PathLike[str]):
    """A report that was written. It can be given wherever a path can, and a notebook shows the page.

    Attributes:
        path: The path of the HTML file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    def __fspath__(self) -> str:
        return str(self.path)

    @override
    def __str__(self) -> str:
        return str(self.path)

    @override
    def __repr__(self) -> str:
        return f"Report({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """The page in a frame. It is in the output itself, so that the notebook can be sent without the file."""
        page = self.path.read_text(encoding="utf-8")
        return (
            f'<iframe title="report" srcdoc="{escape(page)}" style="width:100%;height:600px;border:1px solid #ccc">'
            "</iframe>"
        )


def write_report(
    model: InfoGAN,
    images: Tensor,
    labels: Tensor | None = None,
    out: str | os.PathLike[str] = "report.html",
    *,
    code: str | None = None,
    label_names: LabelNames | None = None,
    history: History | None = None,
    settings: Mapping[str, Any] | None = None,
    symptoms: Iterable[Symptom | str] | None = None,
    title: str = "What this InfoGAN learned",
    seed: int = 0,
) -> Report:
    """Write a report on a model as one HTML file that needs no network. Needs the extras `viz` and `eval`.

    Args:
        model: A trained model.
        images: Real images (N, *image_shape) that were not trained on, as for `InfoGAN.encode`.
        labels: Labels of the images, integers from 0, shape (N,), to compare with the categories of a code; None for a
            report without this comparison.
        out: Path of the file. Its folder is created if missing, and an existing file is replaced. The same numbers are
            written as JSON beside it, under the same name with the suffix ``.json``.
        code: Name of the categorical code to compare with the labels; may be None if there is only one.
        label_names: One name per label, in order or as a dict by number; "0", "1", ... if None.
        history: History of the run, for its curves.
        settings: Settings of the run by name, for the last table. Of a path only the last part is shown.
        symptoms: What `CollapseMonitor` saw, its `symptoms`; None if there was no monitor.
        title: Title of the page.
        seed: Seed for all samples.

    Returns:
        The file, as a path that a notebook shows as the page.

    Raises:
        TypeError: If `images`, `labels`, `settings` or `symptoms` have the wrong type.
        ValueError: If `images`, `labels` or `label_names` do not fit the model or each other, or the numbers would
            replace a JSON file that is no report's.
        KeyError: If there is no code of that name.
        ImportError: If matplotlib, scipy or scikit-learn is not installed.
        OSError: If the file cannot be written.
        CheckpointError: If another process has been writing into its folder for a minute.
    """
    # All arguments are checked before minutes of evaluation.
    seed, title, path = check_seed(seed), check_text("title", title, lines=True), _check_out(out)
    check_type("model", model, InfoGAN)
    if settings is not None and not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping of names to values, but got {describe(settings)}")
    check_instance("history", history, History)
    seen = None if symptoms is None else _as_text(symptoms)
    names = None if label_names is None else check_names("label_names", label_names)
    check_real_images(images, model.image_shape, model.pixel_range, model.output_range)
    require_matplotlib()
    findings = measure(model, images, labels, code=code, label_names=names, symptoms=seen, seed=seed)
    parts = [html.heading(title, sections.lead(model), level=1), sections.facts(findings)]
    parts += [*sections.next_steps(findings), *sections.codes(model, findings)]
    if has_pictures(model):
        parts += [*sections.effects(findings), *sections.samples(model, images, seed)]
    if findings.match is not None:
        parts += sections.match_with_labels(findings)
    else:
        parts += sections.category_counts(model, findings)
    if labels is not None and findings.match is None:
        parts += sections.unused_labels(model)
    parts += sections.calibration_of_q(findings)
    if history:
        parts += [
            html.heading("How it was trained", "Faint lines are single steps, strong lines a running mean."),
            html.figure(plot_history(history, entropy=model.latent.entropy), "Losses, scores and bounds by step"),
        ]
    environment = sections.describe_environment(model, settings or {})
    parts += sections.settings_and_environment(environment)
    numbers = {"title": title, "images": len(images), **findings.as_dict(), "settings": environment}
    # A setting may be a file's name that is no text; a surrogate in it is written as its number.
    page = html.page(title, parts).encode(errors="backslashreplace")
    beside = (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode()
    write_together(path.parent, {path.name: page, path.with_suffix(".json").name: beside})
    return Report(path)


def _check_out(out: object) -> Path:
    """Return the path of a page that is none of a folder, no JSON file, and beside none of another kind, or raise."""
    path = check_path("out", out)
    if not path.name or path.is_dir():
        raise ValueError(f"out must be the path of a file, but got {describe(out)}, which is a folder")
    if path.suffix == ".json":
        raise ValueError(f"out must be the path of an HTML file, but got {describe(out)}, where its numbers would go")
    numbers = path.with_suffix(".json")
    if numbers.is_file() and numbers.stat().st_size > 0 and not _are_a_reports(numbers):
        raise ValueError(
            f"out must be another page, as its numbers would replace {numbers}, which is no report's, but got "
            f"{describe(out)}"
        )
    return path


def _are_a_reports(path: Path) -> bool:
    """Whether a JSON file holds what a report was written with."""
    with suppress(CheckpointError):
        return read_object(path, follow=True).keys() >= {"title", "images"}
    return False


def _as_text(symptoms: Any) -> list[str]:
    items = check_items("symptoms", symptoms, "a list, such as monitor.symptoms")
    for symptom in items:
        check_type("one of symptoms", symptom, Symptom, str)
    return summarize(item for item in items if isinstance(item, Symptom)) + [i for i in items if isinstance(i, str)]
