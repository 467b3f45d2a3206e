"""The report: what each code does, how well Q knows it, and where categories and labels meet, on one page."""

import os
import platform
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from infogan_lib._checks import check_int, describe
from infogan_lib._version import __version__
from infogan_lib.data.pixels import check_real_images
from infogan_lib.evaluation.codes import CodeInformation, calibration, code_information
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.latent.category_names import categorical_code
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.metrics.clustering import CategoryMatch, match_categories
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.introspection import device_and_dtype
from infogan_lib.training.history import History
from infogan_lib.viz import html as page
from infogan_lib.viz.curves import plot_history
from infogan_lib.viz.grids import plot_categories, plot_grid, plot_traversal
from infogan_lib.viz.scores import plot_calibration, plot_confusion


def write_report(
    model: InfoGAN,
    images: Tensor,
    labels: Tensor | None = None,
    out: str | os.PathLike[str] = "report.html",
    *,
    code: str | None = None,
    label_names: Sequence[str] | None = None,
    history: History | None = None,
    settings: Mapping[str, Any] | None = None,
    title: str = "What this InfoGAN learned",
    seed: int = 0,
) -> Path:
    """Write one HTML file with pictures inside; it opens without a network. Needs the extras `viz` and `eval`.

    Args:
        model: a trained model.
        images: real images (N, *image_shape), as for `model.encode`, that were not trained on.
        labels: their labels, whole numbers from 0, shape (N,); None to leave out what needs them.
        out: the file; its folder is made, and a file of that name is replaced.
        code: the categorical code to compare with the labels; the only one if None.
        label_names: names of the labels; "0", "1", ... if None.
        history: of the run, for its curves.
        settings: what to say of how the model was trained, by name.
        title: of the page.
        seed: of all samples in it.

    Returns:
        The path of the file.

    Raises:
        TypeError, ValueError, KeyError: images, labels or a code that do not fit the model, as `model.encode` and
            `match_categories` say.
        ImportError: matplotlib, scipy or scikit-learn is not installed.
        OSError: the file cannot be written.
    """
    seed = check_int("seed", seed, minimum=0)
    if settings is not None and not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping of names to values, but got {describe(settings)}")
    check_real_images(images, model.image_shape, model.pixel_range)
    found = model.encode(images)
    match = None if labels is None else _match(model, found, labels, code, label_names)
    known = code_information(model, seed=seed)
    shape = model.image_shape
    with_pictures = len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 2
    parts = [page.heading(title, _lead(model), level=1), _facts(known, match)]
    parts += _codes(model, known, seed, with_pictures)
    if with_pictures:
        parts += _pictures(model, images, seed)
    parts += _categories(model, found, match, label_names)
    parts += _calibration(model, seed)
    if history:
        parts += [
            page.heading("How it was trained", "Faint lines are single steps, strong ones a running mean."),
            page.picture(plot_history(history, entropy=model.latent.entropy), "Losses, opinions and bounds by step"),
        ]
    parts += _settings(model, settings or {})
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.page(title, parts), encoding="utf-8")
    return path


def _match(
    model: InfoGAN,
    found: Mapping[str, Distribution],
    labels: Tensor,
    code: str | None,
    label_names: Sequence[str] | None,
) -> CategoryMatch:
    code = categorical_code(model.latent, code)
    categories = found[code].mode.argmax(1).cpu().numpy()
    count = None if label_names is None else len(label_names)
    true = torch.as_tensor(labels).cpu().numpy()
    return match_categories(categories, true, category_count=model.latent[code].width, label_count=count)


def _lead(model: InfoGAN) -> str:
    variables = ", ".join(f"{name} {variable!r}" for name, variable in model.latent.items())
    shape = " x ".join(map(str, model.image_shape))
    return f"Images of {shape}, made from {model.latent.width} numbers: {variables}."


def _facts(known: Mapping[str, CodeInformation], match: CategoryMatch | None) -> str:
    pairs = []
    if match is not None:
        pairs.append((f"{match.accuracy:.1%}", "of the images in the category matched to their label"))
        pairs += [(f"{match.nmi:.3f}", "normalised mutual information"), (f"{match.ari:.3f}", "adjusted Rand index")]
    for name, of_code in known.items():
        if of_code.bound is not None:
            pairs.append((f"{max(of_code.bound, 0):.2f} nats", f"of {name} can be read from the image, at least"))
        else:
            pairs.append((f"{of_code.loss:.3g}", f"squared error of {name}"))
    return page.facts(pairs)


def _codes(model: InfoGAN, known: Mapping[str, CodeInformation], seed: int, with_pictures: bool) -> list[str]:
    rows = []
    for name, code in model.latent.codes.items():
        found = known[name]
        bound = f"none; squared error {found.loss:.3f}" if found.bound is None else f"{found.bound:.3f}"
        share = "" if found.fraction is None else f"{found.fraction:.1%}"
        rows.append([name, repr(code), f"{code.entropy:.3f}", bound, f"{found.standard_error:.3f}", share])
    header = ["code", "prior", "H(c), nats", "bound on I(c; x), nats", "standard error", "share of H(c)"]
    parts = [
        page.heading("The codes", "What Q recovers of each code from 2,000 fresh images."),
        page.table(header, rows, numeric=(2, 3, 4, 5)),
    ]
    said = [line for name, dim in _dimensions(model) for line in _said(model, name, dim, seed)] if with_pictures else []
    if said:
        parts.append(
            page.heading(
                "What the continuous codes do",
                "Measured on 100 sweeps of each dimension, everything else drawn at random: the mean of each measure "
                "at the two ends, and its rank correlation with the code.",
            )
        )
        parts.append(page.table(["code", "measure", "from", "to", "unit", "rank correlation"], said, numeric=(2, 3, 5)))
    return parts


def _said(model: InfoGAN, name: str, dim: int, seed: int) -> list[list[str]]:
    strongest = code_effects(model, name, dim=dim, seed=seed)[:3]
    return [
        [
            f"{name}[{dim}]" if place == 0 else "",
            effect.measure,
            f"{effect.low:.3g}",
            f"{effect.high:.3g}",
            effect.unit,
            f"{effect.correlation:+.2f}",
        ]
        for place, effect in enumerate(strongest)
    ]


def _dimensions(model: InfoGAN) -> list[tuple[str, int]]:
    """The continuous codes by dimension; one of the user's own kind as a whole, as it has a sweep of its own."""
    continuous = [(name, code) for name, code in model.latent.codes.items() if not code.is_discrete]
    of_each = [
        (name, dim) for name, code in continuous for dim in range(code.width if isinstance(code, VectorCode) else 1)
    ]
    return of_each[:_MOST_DIMENSIONS]


def _pictures(model: InfoGAN, images: Tensor, seed: int) -> list[str]:
    narrow = [name for name, code in model.latent.codes.items() if isinstance(code, Categorical)]
    narrow = [name for name in narrow if model.latent[name].width <= _MOST_COLUMNS][:_MOST_DIMENSIONS]
    real_range = (0.0, 255.0) if images.dtype == torch.uint8 else model.display_range
    pairs = [
        page.picture(plot_grid(images[:60], 10, pixel_range=real_range, title="Real images"), "A grid of real images"),
        page.picture(
            plot_grid(model.sample(60, seed=seed), 10, pixel_range=model.display_range, title="Samples"),
            "A grid of generated images",
        ),
    ]
    parts = [page.heading("Real and generated"), page.side_by_side(pairs)]
    for name in narrow:
        figure = plot_categories(model, name, rows=8, seed=seed)
        parts += [page.heading(f"Samples by {name}"), page.picture(figure, f"Samples, one value of {name} per column")]
    parts += _bits(model, seed)
    dimensions = _dimensions(model)
    if dimensions:
        columns = narrow[0] if narrow else 10
        sweeps = [
            page.picture(plot_traversal(model, name, dim=dim, columns=columns, seed=seed), f"Sweep of {name}[{dim}]")
            for name, dim in dimensions
        ]
        parts += [page.heading("Sweeps", "One code from its low end to its high end."), page.side_by_side(sweeps)]
    return parts


def _bits(model: InfoGAN, seed: int) -> list[str]:
    """Each bit of a discrete code without categories, off and on."""
    bits = [
        (name, dim)
        for name, code in model.latent.codes.items()
        if code.is_discrete and isinstance(code, VectorCode)
        for dim in range(code.width)
    ][:_MOST_DIMENSIONS]
    pictures = []
    for name, dim in bits:
        generator = torch.Generator().manual_seed(seed)
        latents, columns = model.latent.grid(rows=8, columns=(name, dim), rng=generator, device="cpu")
        figure = plot_grid(
            model.decode(latents),
            columns,
            pixel_range=model.display_range,
            title=f"{name}[{dim}]",
            column_labels=[str(value) for value in range(columns)],
        )
        pictures.append(page.picture(figure, f"{name}[{dim}] off and on"))
    return [page.heading("Bits, off and on"), page.side_by_side(pictures)] if pictures else []


def _categories(
    model: InfoGAN,
    found: Mapping[str, Distribution],
    match: CategoryMatch | None,
    label_names: Sequence[str] | None,
) -> list[str]:
    if match is not None:
        left = match.unmatched_labels
        names = [str(label) if label_names is None else label_names[label] for label in left]
        text = (
            f"{match.accuracy:.1%} of {match.contingency.sum():,} images are in the category matched to their label; "
        )
        text += f"{match.purity:.1%} bear the most frequent label of their category. "
        text += f"No category stands for {', '.join(names)}." if left else "Every label has a category of its own."
        rows = [
            [str(c), str(count), "" if count == 0 else f"{purity:.1%}"]
            for c, (count, purity) in enumerate(zip(match.category_counts, match.category_purity, strict=True))
        ]
        return [
            page.heading("Categories and labels"),
            page.paragraph(text),
            *([] if max(match.contingency.shape) > _MOST_CELLS else [_confusion(match, label_names)]),
            page.table(["category", "images", "purity"], rows, numeric=(1, 2)),
        ]
    parts = []
    for name, code in model.latent.codes.items():
        if isinstance(code, Categorical):
            counts = np.bincount(found[name].mode.argmax(1).cpu().numpy(), minlength=code.k)
            names = model.category_names.get(name) or [None] * code.k
            rows = [[str(c), names[c] or "", str(count)] for c, count in enumerate(counts)]
            parts.append(page.heading(f"Real images by {name}", "What Q says of them; no labels were given."))
            parts.append(page.table(["category", "name", "images"], rows, numeric=(2,)))
    return parts


def _confusion(match: CategoryMatch, label_names: Sequence[str] | None) -> str:
    return page.picture(plot_confusion(match, label_names=label_names), "Images by category and label")


def _calibration(model: InfoGAN, seed: int) -> list[str]:
    found = dict(islice(calibration(model, seed=seed).items(), _MOST_DIMENSIONS))
    if not found:
        return []
    lead = "On the diagonal Q is as sure as it should be; below it, too sure. On 2,000 fresh images."
    return [page.heading("Is Q as sure as it should be?", lead), page.picture(plot_calibration(found), "Calibration")]


def _settings(model: InfoGAN, settings: Mapping[str, Any]) -> list[str]:
    sizes = {part: sum(p.numel() for p in parameters) for part, parameters in model.parameter_groups().items()}
    device, dtype = device_and_dtype(model.generator)
    rows = [[name, str(value)] for name, value in settings.items()]
    rows += [["latent", repr(model.latent)]]
    rows += [[f"weights of {part.replace('_', ' ')}", f"{size:,}"] for part, size in sizes.items()]
    rows += [
        ["weights of the samples", "averaged over the last steps" if model.ema_generator else "the last ones"],
        ["device and precision", f"{device}, {str(dtype).removeprefix('torch.')}"],
        ["infogan-lib, torch, Python", f"{__version__}, {torch.__version__}, {platform.python_version()}"],
        ["system", platform.platform()],
    ]
    return [page.heading("Settings and environment"), page.table(["what", "value"], rows)]


_MOST_DIMENSIONS, _MOST_COLUMNS, _MOST_CELLS = 12, 20, 100
