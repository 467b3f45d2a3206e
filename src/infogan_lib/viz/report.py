"""The report: what each code does, how well Q recovers it, and how categories match labels, on one HTML page."""

import os
import platform
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from infogan_lib._checks import (
    check_instance,
    check_names,
    check_path,
    check_seed,
    check_text,
    check_type,
    describe,
    join_names,
)
from infogan_lib._version import __version__
from infogan_lib.data.pixels import check_real_images
from infogan_lib.evaluation.codes import CodeInformation, calibration, code_information
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.latent.category_names import LabelNames, categorical_code, has_categories
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.metrics.clustering import CategoryMatch, check_labels, match_categories
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.introspection import device_and_dtype
from infogan_lib.training.history import History
from infogan_lib.viz import html
from infogan_lib.viz.curves import plot_history
from infogan_lib.viz.grids import plot_grid
from infogan_lib.viz.report_file import Report
from infogan_lib.viz.samples import plot_categories, plot_traversal
from infogan_lib.viz.scores import plot_calibration, plot_confusion

_MAX_PLOTS, _MAX_COLUMNS, _MAX_LABELS = 12, 20, 100
"""The most plots of a section, columns of a grid of samples, and labels or categories of a confusion matrix."""


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
    title: str = "What this InfoGAN learned",
    seed: int = 0,
) -> Report:
    """Write a report on a model as one HTML file that needs no network. Needs the extras `viz` and `eval`.

    Args:
        model: A trained model.
        images: Real images (N, *image_shape) that were not trained on, as for `InfoGAN.encode`.
        labels: Labels of the images, integers from 0, shape (N,), to compare with the categories of a code; None for a
            report without this comparison.
        out: Path of the file. Its folder is created if missing, and an existing file is replaced.
        code: Name of the categorical code to compare with the labels; may be None if there is only one.
        label_names: One name per label, in order or as a dict by number; "0", "1", ... if None.
        history: History of the run, for its curves.
        settings: Settings of the run by name, for the last table.
        title: Title of the page.
        seed: Seed for all samples.

    Returns:
        The file, as a path that a notebook shows as the page.

    Raises:
        TypeError: If `images`, `labels` or `settings` have the wrong type.
        ValueError: If `images`, `labels` or `label_names` do not fit the model or each other.
        KeyError: If there is no code of that name.
        ImportError: If matplotlib, scipy or scikit-learn is not installed.
        OSError: If the file cannot be written.
    """
    # All arguments are checked before minutes of evaluation.
    seed, title, path = check_seed(seed), check_text("title", title, lines=True), check_path("out", out)
    check_type("model", model, InfoGAN)
    if settings is not None and not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping of names to values, but got {describe(settings)}")
    check_instance("history", history, History)
    label_names = None if label_names is None else check_names("label_names", label_names)
    check_real_images(images, model.image_shape, model.pixel_range, model.output_range)
    path.parent.mkdir(parents=True, exist_ok=True)
    posteriors = model.encode(images)
    match = None
    if labels is not None and (code is not None or has_categories(model.latent)):
        match = _match(model, posteriors, labels, code, label_names)
    elif labels is not None and len(check_labels("labels", labels)) != len(images):
        raise ValueError(f"labels: there must be one for each of {len(images)} images, but got {len(labels)}")
    information = code_information(model, seed=seed)
    parts = [html.heading(title, _lead(model), level=1), _facts(information, match), *_codes(model, information)]
    shape = model.image_shape
    if len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 2:
        parts += [*_effects(model, seed), *_samples(model, images, seed)]
    if match is not None:
        parts += _match_with_labels(match, label_names)
    else:
        parts += _category_counts(model, posteriors)
    if labels is not None and match is None:
        parts += _unused_labels(model)
    parts += _calibration(model, seed)
    if history:
        parts += [
            html.heading("How it was trained", "Faint lines are single steps, strong lines a running mean."),
            html.figure(plot_history(history, entropy=model.latent.entropy), "Losses, scores and bounds by step"),
        ]
    parts += _settings(model, settings or {})
    # A setting may be a file's name that is no text; a surrogate in it is written as its number.
    path.write_text(html.page(title, parts), encoding="utf-8", errors="backslashreplace")
    return Report(path)


def _match(
    model: InfoGAN,
    posteriors: Mapping[str, Distribution],
    labels: Tensor,
    code: str | None,
    label_names: Sequence[str] | None,
) -> CategoryMatch:
    code = categorical_code(model.latent, code)
    categories = posteriors[code].mode.argmax(1).cpu().numpy()
    label_count = None if label_names is None else len(label_names)
    return match_categories(
        categories,
        labels,
        category_count=model.latent[code].width,
        label_count=label_count,
        identity=code in model.latent.labels,
    )


def _lead(model: InfoGAN) -> str:
    variables = ", ".join(f"{name} {variable!r}" for name, variable in model.latent.items())
    shape = " x ".join(map(str, model.image_shape))
    return f"Images of {shape}, generated from {model.latent.width} numbers: {variables}."


def _facts(information: Mapping[str, CodeInformation], match: CategoryMatch | None) -> str:
    pairs = []
    if match is not None:
        pairs.append((f"{match.accuracy:.1%}", "of the images are in the category matched to their label"))
        pairs += [(f"{match.nmi:.3f}", "normalized mutual information"), (f"{match.ari:.3f}", "adjusted Rand index")]
    for name, info in information.items():
        if info.bound is not None:
            pairs.append((f"{info.bound:.2f} nats", f"of information about {name} in an image, at least"))
        else:
            pairs.append((f"{info.loss:.3g}", f"squared error of {name}"))
    return html.facts(pairs)


def _codes(model: InfoGAN, information: Mapping[str, CodeInformation]) -> list[str]:
    rows, entropy = [], model.latent.entropy
    for name, code in model.latent.codes.items():
        info = information[name]
        bound = f"none; squared error {info.loss:.3f}" if info.bound is None else f"{info.bound:.3f}"
        fraction = "" if info.fraction is None else f"{info.fraction:.1%}"
        rows.append([name, repr(code), f"{entropy[name]:.3f}", bound, f"{info.standard_error:.3f}", fraction])
    header = ["code", "prior", "H(c), nats", "bound on I(c; x), nats", "standard error", "fraction of H(c)"]
    return [
        html.heading("The codes", "How much Q recovers of each code, measured on 2,000 fresh samples."),
        html.table(rows, header=header, numeric=(2, 3, 4, 5)),
    ]


def _effects(model: InfoGAN, seed: int) -> list[str]:
    rows = []
    for name, dim in _continuous_dimensions(model):
        for rank, effect in enumerate(code_effects(model, name, dim=dim, seed=seed)[:3]):
            code = f"{name}[{dim}]" if rank == 0 else ""
            ends = [f"{effect.low:.3g}", f"{effect.high:.3g}"]
            rows.append([code, effect.measure, *ends, effect.unit, f"{effect.correlation:+.2f}"])
    if not rows:
        return []
    return [
        html.heading(
            "What the continuous codes do",
            "Measured on 100 traversals of each dimension, all other inputs random: the mean of each measure at both "
            "ends, and its rank correlation with the code.",
        ),
        html.table(rows, header=["code", "measure", "from", "to", "unit", "rank correlation"], numeric=(2, 3, 5)),
    ]


def _continuous_dimensions(model: InfoGAN) -> list[tuple[str, int]]:
    """Dimensions of the continuous codes; a user-defined code counts as one, as its traversal is its own."""
    continuous = [(name, code) for name, code in model.latent.codes.items() if not code.is_discrete]
    dimensions = [
        (name, dim) for name, code in continuous for dim in range(code.dim if isinstance(code, VectorCode) else 1)
    ]
    return dimensions[:_MAX_PLOTS]


def _samples(model: InfoGAN, images: Tensor, seed: int) -> list[str]:
    samples = model.sample(60, seed=seed)
    grids = [
        html.figure(
            plot_grid(images[:60], 10, pixel_range=model.display_range, title="Real images"), "A grid of real images"
        ),
        html.figure(
            plot_grid(samples, 10, pixel_range=model.display_range, title="Samples"), "A grid of generated images"
        ),
    ]
    parts = [html.heading("Real and generated"), html.side_by_side(grids)]
    categorical = [
        name for name, code in model.latent.codes.items() if isinstance(code, Categorical) and code.k <= _MAX_COLUMNS
    ][:_MAX_PLOTS]
    for name in categorical:
        figure = plot_categories(model, name, rows=8, seed=seed)
        parts += [html.heading(f"Samples by {name}"), html.figure(figure, f"Samples, one value of {name} per column")]
    bits = [
        (name, dim)
        for name, code in model.latent.codes.items()
        if code.is_discrete and isinstance(code, VectorCode)
        for dim in range(code.dim)
    ][:_MAX_PLOTS]
    if bits:
        figures = [
            html.figure(
                plot_categories(model, name, dim=dim, rows=8, seed=seed, title=f"{name}[{dim}]"),
                f"{name}[{dim}] off and on",
            )
            for name, dim in bits
        ]
        parts += [html.heading("Bits, off and on"), html.side_by_side(figures)]
    dimensions = _continuous_dimensions(model)
    if dimensions:
        columns = categorical[0] if categorical else 10
        figures = [
            html.figure(plot_traversal(model, name, dim=dim, columns=columns, seed=seed), f"Traversal of {name}[{dim}]")
            for name, dim in dimensions
        ]
        parts += [html.heading("Traversals", "One code from its low end to its high end."), html.side_by_side(figures)]
    return parts


def _match_with_labels(match: CategoryMatch, label_names: Sequence[str] | None) -> list[str]:
    unmatched = [str(label) if label_names is None else label_names[label] for label in match.unmatched_labels]
    text = (
        f"{match.accuracy:.1%} of {match.contingency.sum():,} images are in the category matched to their label; "
        f"{match.purity:.1%} have the most frequent label of their category. "
    )
    text += f"No category is matched to {', '.join(unmatched)}." if unmatched else "Every label has its own category."
    rows = [
        [str(category), str(count), "" if count == 0 else f"{purity:.1%}"]
        for category, (count, purity) in enumerate(zip(match.category_counts, match.category_purity, strict=True))
    ]
    parts = [html.heading("Categories and labels"), html.paragraph(text)]
    if max(match.contingency.shape) <= _MAX_LABELS:
        parts.append(html.figure(plot_confusion(match, label_names=label_names), "Images by category and label"))
    return [*parts, html.table(rows, header=["category", "images", "purity"], numeric=(1, 2))]


def _unused_labels(model: InfoGAN) -> list[str]:
    text = (
        "Labels were given, but only the categories of a Categorical code are compared with labels, and the codes are "
        f"{join_names(model.latent.codes)}. Everything else on this page does without labels."
    )
    return [html.heading("Categories and labels"), html.paragraph(text)]


def _category_counts(model: InfoGAN, posteriors: Mapping[str, Distribution]) -> list[str]:
    parts = []
    for name, code in model.latent.codes.items():
        if isinstance(code, Categorical):
            counts = np.bincount(posteriors[name].mode.argmax(1).cpu().numpy(), minlength=code.k)
            names = model.category_names.get(name) or [None] * code.k
            rows = [[str(category), names[category] or "", str(count)] for category, count in enumerate(counts)]
            parts.append(html.heading(f"Real images by {name}", "Q's predictions; no labels were given."))
            parts.append(html.table(rows, header=["category", "name", "images"], numeric=(2,)))
    return parts


def _calibration(model: InfoGAN, seed: int) -> list[str]:
    curves = dict(islice(calibration(model, seed=seed).items(), _MAX_PLOTS))
    if not curves:
        return []
    lead = (
        "On the diagonal Q is as confident as it is accurate; below it, overconfident. Measured on 2,000 fresh samples."
    )
    return [html.heading("Calibration of Q", lead), html.figure(plot_calibration(curves), "Calibration")]


def _settings(model: InfoGAN, settings: Mapping[str, Any]) -> list[str]:
    sizes = {part: sum(p.numel() for p in parameters) for part, parameters in model.parameter_groups().items()}
    device, dtype = device_and_dtype(model.generator)
    rows = [[name, str(value)] for name, value in settings.items()]
    rows += [["latent", repr(model.latent)]]
    rows += [[f"parameters of the {part.replace('_', ' ')}", f"{size:,}"] for part, size in sizes.items()]
    rows += [
        ["generator weights", "averaged over the last steps" if model.ema_generator else "those of the last step"],
        ["device and precision", f"{device}, {str(dtype).removeprefix('torch.')}"],
        ["infogan-lib, torch, Python", f"{__version__}, {torch.__version__}, {platform.python_version()}"],
        ["system", platform.platform()],
    ]
    return [html.heading("Settings and environment"), html.table(rows, header=["name", "value"])]
