"""What a report says in numbers: measured once, shown on the page, and written as JSON beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib.data.pixels import is_showable
from infogan_lib.evaluation.codes import CodeInformation, calibration, code_information
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.latent.category_names import categorical_code, categorical_names
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.metrics import Coverage, Effect, Reliability
from infogan_lib.metrics.clustering import CategoryMatch, check_labels
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.naming import match_labels

MAX_DIMENSIONS = 12
"""The most dimensions of continuous codes that are looked at."""

_GOOD_ACCURACY, _FULL_BOUND, _POOR_BOUND, _MISCALIBRATED, _WEAK = 0.9, 0.9, 0.5, 0.1, 0.3


@dataclass(frozen=True)
class Findings:
    """What was measured of a model.

    Attributes:
        information: Bound or squared error of each code.
        code: The categorical code that was compared with labels; None if none was.
        match: Its categories matched to the labels; None without labels.
        names: Names of the categories of each categorical code, as the page shows them.
        label_names: Names of the labels that occur.
        counts: Number of real images in each category, by code.
        effects: Effects of each dimension of a continuous code on the image, strongest first, by "code[dim]".
        curves: Calibration by code.
        symptoms: What the monitor saw; None if it is not known.
    """

    information: Mapping[str, CodeInformation]
    code: str | None
    match: CategoryMatch | None
    names: Mapping[str, Sequence[str]]
    label_names: Sequence[str]
    counts: Mapping[str, NDArray[np.int64]]
    effects: Mapping[str, Sequence[Effect]]
    curves: Mapping[str, Reliability | Coverage]
    symptoms: Sequence[str] | None

    def advice(self) -> list[str]:
        """What to try next, from the numbers; the symptoms have advice of their own."""
        found = []
        for name, info in self.information.items():
            if info.fraction is not None and 0 <= info.fraction < _POOR_BOUND and name in self.names:
                found.append(
                    f"Q reads {max(info.fraction, 0):.0%} of {name}: train for longer, or give {name} a higher weight."
                )
            elif info.bound is not None and info.bound < 0:
                found.append(
                    f"The bound of {name} is below zero, so Q is sure and wrong about the samples: a short run's "
                    "average of G lags behind, so train for longer; else give the code a higher weight."
                )
        if self.match is not None and self.code is not None:
            found += self._about_categories(self.match, self.information[self.code])
        for name, curve in self.curves.items():
            if curve.error > _MISCALIBRATED:
                found.append(f"Q's confidence in {name} is {curve.error:.0%} off: do not read it as a probability.")
        for name, effects in self.effects.items():
            if effects and max(abs(effect.correlation) for effect in effects) < _WEAK:
                found.append(
                    f"{name} changes none of the measures steadily: look at its traversal; a higher weight may help."
                )
        return found or [
            "Nothing here calls for a change. A figure of one run says little: repeat it with other seeds "
            "(infogan_lib.sweep)."
        ]

    def _about_categories(self, match: CategoryMatch, info: CodeInformation) -> list[str]:
        found = []
        missing = [self.label_names[i] for i, label in enumerate(match.labels) if label in match.unmatched_labels]
        if missing:
            found.append(
                f"No category is matched to {', '.join(missing)}: other seeds may find them; so may more categories "
                "than labels, of which several may then share a label."
            )
        if match.accuracy < _GOOD_ACCURACY and (info.fraction or 0) > _FULL_BOUND:
            found.append(
                "The bound is full, but the categories are not those of the labels: train for longer, try other seeds, "
                "or, if the run is without it, RealImageInformation, for categories of the real images."
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """All numbers as JSON data; null where there is none."""
        codes = {
            name: asdict(info) | {"calibration_error": self.curves[name].error if name in self.curves else None}
            for name, info in self.information.items()
        }
        shown = ("measure", "low", "high", "unit", "correlation")
        effects = {
            name: [{field: getattr(effect, field) for field in shown} for effect in found]
            for name, found in self.effects.items()
        }
        content: dict[str, Any] = {"codes": codes, "effects": effects}
        content["categories"] = {
            name: {"names": list(self.names[name]), "images": counts.tolist()} for name, counts in self.counts.items()
        }
        if self.match is not None:
            content["labels"] = {
                "code": self.code,
                "names": list(self.label_names),
                **{name: getattr(self.match, name) for name in ("accuracy", "purity", "nmi", "ari")},
                "contingency": self.match.contingency.tolist(),
                "category_purity": self.match.category_purity.tolist(),
            }
        content["symptoms"] = None if self.symptoms is None else list(self.symptoms)
        content["advice"] = self.advice()
        return _without_nan(content)


def measure(
    model: InfoGAN,
    images: Tensor,
    labels: Tensor | None,
    *,
    code: str | None,
    label_names: Sequence[str] | None,
    symptoms: Sequence[str] | None,
    seed: int,
) -> Findings:
    """Measure everything that a report says of a model.

    Args:
        model: The model.
        images: Real images (N, *image_shape), which were checked.
        labels: Their labels, or None.
        code: Name of the code to compare with the labels; None for the only categorical one.
        label_names: Names of the labels by number; None for their numbers.
        symptoms: What the monitor saw.
        seed: Seed for all samples.

    Raises:
        ValueError: If the labels do not fit the images or their names.
        KeyError, TypeError: If there is no such code, or it has no categories.
    """
    posteriors = model.encode(images)
    categorical = categorical_names(model.latent)
    predicted = {name: posteriors[name].mode.argmax(1).cpu().numpy() for name in categorical}
    counts = {name: np.bincount(found, minlength=model.latent[name].width) for name, found in predicted.items()}
    match = None
    if labels is not None and (code is not None or categorical):
        code = categorical_code(model.latent, code)
        match = match_labels(model.latent, code, predicted[code], labels, label_names)
    elif labels is not None and len(check_labels("labels", labels)) != len(images):
        raise ValueError(f"labels: there must be one for each of {len(images)} images, but got {len(labels)}")
    shown_labels = list[str]()
    if match is not None:
        numbers: list[int] = match.labels.tolist()
        shown_labels = [str(label) if label_names is None else label_names[label] for label in numbers]
    return Findings(
        information=code_information(model, seed=seed),
        code=None if match is None else code,
        match=match,
        names={name: _names(model, name, match if name == code else None, shown_labels) for name in categorical},
        label_names=shown_labels,
        counts=counts,
        effects=_effects(model, seed) if has_pictures(model) else {},
        curves=calibration(model, seed=seed),
        symptoms=symptoms,
    )


def has_pictures(model: InfoGAN) -> bool:
    """Whether a model makes pictures, large enough to measure what is on them."""
    return is_showable(model.image_shape) and min(model.image_shape[1:]) >= 2


def continuous_dimensions(model: InfoGAN) -> list[tuple[str, int]]:
    """Dimensions of the continuous codes; a user-defined code counts as one, as its traversal is its own."""
    continuous = [(name, code) for name, code in model.latent.codes.items() if not code.is_discrete]
    dimensions = [
        (name, dim) for name, code in continuous for dim in range(code.dim if isinstance(code, VectorCode) else 1)
    ]
    return dimensions[:MAX_DIMENSIONS]


def _effects(model: InfoGAN, seed: int) -> dict[str, list[Effect]]:
    return {
        f"{name}[{dim}]": code_effects(model, name, dim=dim, seed=seed) for name, dim in continuous_dimensions(model)
    }


def _names(model: InfoGAN, code: str, match: CategoryMatch | None, label_names: Sequence[str]) -> list[str]:
    """Names of a code's categories: their own, else that of the matched label, else their number."""
    width = model.latent[code].width
    own = model.category_names.get(code) or [None] * width
    by_label = {} if match is None else dict(zip(match.labels.tolist(), label_names, strict=True))
    matched = [None] * width if match is None else [by_label.get(label) for label in match.label_per_category.tolist()]
    return [own[i] or matched[i] or f"category {i}" for i in range(width)]


def _without_nan(value: Any) -> Any:
    """JSON data with null for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
