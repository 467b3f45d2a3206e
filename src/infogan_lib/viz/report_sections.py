"""The sections of a report, as HTML."""

import platform
from collections.abc import Mapping
from itertools import islice
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from infogan_lib._checks import join_names
from infogan_lib._version import __version__
from infogan_lib.latent import Bernoulli, Categorical, Gaussian, Noise, Uniform
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.metrics.appearance import Effect
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.introspection import device_and_dtype
from infogan_lib.viz import html
from infogan_lib.viz.findings import Findings, continuous_dimensions
from infogan_lib.viz.grids import plot_grid
from infogan_lib.viz.samples import plot_categories, plot_traversal
from infogan_lib.viz.scores import plot_calibration, plot_confusion

_MAX_PLOTS, _MAX_COLUMNS, _MAX_LABELS = 12, 20, 100
"""The most plots of a section, columns of a grid of samples, and labels or categories of a confusion matrix."""


def lead(model: InfoGAN) -> str:
    """What goes in and what comes out, in one sentence."""
    variables = ", ".join(f"{name} ({_in_words(variable)})" for name, variable in model.latent.items())
    shape = " x ".join(map(str, model.image_shape))
    return f"Images of {shape}, generated from {model.latent.width} numbers: {variables}."


def _in_words(variable: object) -> str:
    match variable:
        case Noise(dim=dim):
            return f"noise, {dim} numbers"
        case Categorical(k=k):
            return f"one of {k} categories"
        case Bernoulli(dim=dim):
            return f"{dim} bits"
        case Uniform(dim=dim, low=low, high=high):
            return f"{dim} numbers from {low:g} to {high:g}"
        case Gaussian(dim=dim):
            return f"{dim} normal numbers"
    return type(variable).__name__


def facts(findings: Findings) -> str:
    """The main figures in boxes."""
    pairs, match = [], findings.match
    if match is not None:
        pairs.append((f"{match.accuracy:.1%}", "of the images are in the category matched to their label"))
        pairs += [(f"{match.nmi:.3f}", "normalized mutual information"), (f"{match.ari:.3f}", "adjusted Rand index")]
    for name, info in findings.information.items():
        if info.bound is not None:
            pairs.append((f"{info.bound:.2f} nats", f"of information about {name} in an image, at least"))
        else:
            pairs.append((f"{info.loss:.3g}", f"squared error of {name}"))
    return html.facts(pairs)


def next_steps(findings: Findings) -> list[str]:
    """What the monitor saw, and what to try next."""
    parts = []
    if findings.symptoms is not None:
        parts.append(html.heading("What the monitor saw"))
        seen = findings.symptoms
        parts.append(html.points(seen) if seen else html.paragraph("No symptom of collapse in the whole run."))
    return [*parts, html.heading("What to try next"), html.points(findings.advice())]


def codes(model: InfoGAN, findings: Findings) -> list[str]:
    """How much Q recovers of each code."""
    rows, entropy = [], model.latent.entropy
    for name, code in model.latent.codes.items():
        info = findings.information[name]
        bound = f"none; squared error {info.loss:.3f}" if info.bound is None else f"{info.bound:.3f}"
        fraction = "" if info.fraction is None else f"{info.fraction:.1%}"
        rows.append([name, repr(code), f"{entropy[name]:.3f}", bound, f"{info.standard_error:.3f}", fraction])
    header = ["code", "prior", "H(c), nats", "bound on I(c; x), nats", "standard error", "fraction of H(c)"]
    caption = "How much Q recovers of each code, measured on 2,000 fresh samples."
    return [html.heading("The codes"), html.table(rows, header=header, numeric=(2, 3, 4, 5), caption=caption)]


def effects(findings: Findings) -> list[str]:
    """What the continuous codes do to the image."""
    rows = []
    for name, found in findings.effects.items():
        for effect in found[:3]:
            rows.append([name, effect.measure, *_ends(effect), f"{effect.correlation:+.2f}"])
    if not rows:
        return []
    caption = (
        "Measured on 100 traversals of each dimension, all other inputs random: the mean of each measure at both ends, "
        "and its rank correlation with the code."
    )
    header = ["code", "measure", "from", "to", "unit", "rank correlation"]
    table = html.table(rows, header=header, numeric=(2, 3, 5), caption=caption)
    return [html.heading("What the continuous codes do"), table]


def _ends(effect: Effect) -> list[str]:
    """The measure at both ends, and its unit; a fraction is in percent."""
    if effect.unit == "of 1":
        return [f"{100 * effect.low:.1f}", f"{100 * effect.high:.1f}", "percent"]
    return [f"{effect.low:.3g}", f"{effect.high:.3g}", effect.unit]


def samples(model: InfoGAN, images: Tensor, seed: int) -> list[str]:
    """Real and generated images, each categorical code, bit and continuous dimension."""
    generated = model.sample(60, seed=seed)
    grids = [
        html.figure(
            plot_grid(images[:60], 10, pixel_range=model.display_range, title="Real images"), "A grid of real images"
        ),
        html.figure(
            plot_grid(generated, 10, pixel_range=model.display_range, title="Samples"), "A grid of generated images"
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
    dimensions = continuous_dimensions(model)
    if dimensions:
        columns = categorical[0] if categorical else 10
        figures = [
            html.figure(plot_traversal(model, name, dim=dim, columns=columns, seed=seed), f"Traversal of {name}[{dim}]")
            for name, dim in dimensions
        ]
        parts += [html.heading("Traversals", "One code from its low end to its high end."), html.side_by_side(figures)]
    return parts


def match_with_labels(findings: Findings) -> list[str]:
    """How the categories of the compared code agree with the labels."""
    match, code = findings.match, findings.code
    assert match is not None
    assert code is not None
    by_label = dict(zip(match.labels.tolist(), findings.label_names, strict=True))
    unmatched = [by_label.get(label, str(label)) for label in match.unmatched_labels]
    text = (
        f"{match.accuracy:.1%} of {match.contingency.sum():,} images are in the category matched to their label; "
        f"{match.purity:.1%} have the most frequent label of their category. "
    )
    text += f"No category is matched to {', '.join(unmatched)}." if unmatched else "Every label has its own category."
    names = findings.names[code]
    rows, total = [], match.contingency.sum()
    for i, (count, purity) in enumerate(zip(match.category_counts, match.category_purity, strict=True)):
        rows.append([names[i], str(i), f"{count:,}", f"{count / total:.1%}", "" if count == 0 else f"{purity:.1%}"])
    parts = [html.heading("Categories and labels"), html.paragraph(text)]
    if max(match.contingency.shape) <= _MAX_LABELS:
        figure = plot_confusion(match, label_names=findings.label_names, category_names=names)
        parts.append(html.figure(figure, "Images by category and label"))
    header = ["category", "number", "images", "fraction of all", "purity"]
    caption = f"Real images by category of {code}"
    return [*parts, html.table(rows, header=header, numeric=(1, 2, 3, 4), caption=caption)]


def unused_labels(model: InfoGAN) -> list[str]:
    """That labels were given which nothing can be compared with."""
    text = (
        "Labels were given, but only the categories of a Categorical code are compared with labels, and the codes are "
        f"{join_names(model.latent.codes)}. Everything else on this page does without labels."
    )
    return [html.heading("Categories and labels"), html.paragraph(text)]


def category_counts(model: InfoGAN, findings: Findings) -> list[str]:
    """The number of real images in each category of each code."""
    parts = []
    for name, counts in findings.counts.items():
        names = model.category_names.get(name) or [None] * len(counts)
        rows = [[str(category), names[category] or "", str(count)] for category, count in enumerate(counts)]
        parts.append(html.heading(f"Real images by {name}"))
        caption = "Q's predictions; no labels were given."
        parts.append(html.table(rows, header=["category", "name", "images"], numeric=(2,), caption=caption))
    return parts


def calibration_of_q(findings: Findings) -> list[str]:
    """Whether Q is as confident as it is accurate."""
    curves = dict(islice(findings.curves.items(), _MAX_PLOTS))
    if not curves:
        return []
    text = (
        "On the diagonal Q is as confident as it is accurate; below it, overconfident. Measured on 2,000 fresh samples."
    )
    figures = [
        html.figure(
            plot_calibration({name: curve}),
            f"Calibration of {name}",
            caption=f"{name}: {curve.error:.1%} off on average",
        )
        for name, curve in curves.items()
    ]
    return [html.heading("Calibration of Q", text), html.side_by_side(figures)]


def settings_and_environment(environment: Mapping[str, str]) -> list[str]:
    """The settings of the run, and what the report was made with, as `describe_environment` returns them."""
    table = html.table([*environment.items()], caption="What was trained, and what this page was made with")
    return [html.heading("Settings and environment"), table]


def describe_environment(model: InfoGAN, settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings, sizes of the networks, versions and system by name, without paths of this machine."""
    sizes = {part: sum(p.numel() for p in parameters) for part, parameters in model.parameter_groups().items()}
    device, dtype = device_and_dtype(model.generator)
    return {
        **{str(name): _without_folders(value) for name, value in settings.items()},
        "latent": repr(model.latent),
        **{f"parameters of the {part.replace('_', ' ')}": f"{size:,}" for part, size in sizes.items()},
        "generator weights": "averaged over the last steps" if model.ema_generator else "those of the last step",
        "device and precision": f"{device}, {str(dtype).removeprefix('torch.')}",
        "infogan-lib, torch, Python": f"{__version__}, {torch.__version__}, {platform.python_version()}",
        "system": platform.platform(),
    }


def _without_folders(value: object) -> str:
    """A setting as text. Of a path only the last part is left, as a page may be shown to others."""
    text = str(value)
    if isinstance(value, PurePath):
        return value.name or text
    if text.startswith("~") or Path(text).is_absolute() or PureWindowsPath(text).is_absolute():
        return PureWindowsPath(text).name or text
    return text
