"""What goes wrong with an InfoGAN, how it is recognised, and what to try."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from infogan_lib._checks import join_names
from infogan_lib.evaluation.probe import Findings
from infogan_lib.latent.base import LatentCode
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses import AdversarialLoss, PairedAdversarialLoss
from infogan_lib.losses.information import NormalNLL
from infogan_lib.metrics.sensitivity import merged_categories, unused_categories
from infogan_lib.model.infogan import Part
from infogan_lib.training.history import History


@dataclass(frozen=True)
class Symptom:
    """One thing that is wrong.

    Attributes:
        kind: "identical outputs", "inactive code", "merged categories", "unused categories", "train/eval mismatch",
            "flat bound", "discriminator saturated", "vanishing gradient" or "exploding gradient".
        subject: the code, variable or network that it is about; "" where it is the whole.
        finding: what was seen, with its figure.
        advice: what to try.
        step: at which step.
        categories: those that are merged or unused.
    """

    kind: str
    subject: str
    finding: str
    advice: str
    step: int = 0
    categories: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"step {self.step}: {self.kind}: {self.finding}. Try: {self.advice}"


LEAST_SPREAD = 0.03

LEAST_EFFECT_OF_NOISE, LEAST_EFFECT_BESIDE_STYLES = 0.01, 0.002

LEAST_EFFECT_OF_CODE, LEAST_OF_SIBLINGS = 0.001, 0.02

LEAST_KNOWN, ASTRAY = 0.05, -0.25

WON_BELOW = 0.015

LEAST_READ, WELL_KNOWN, MOST_LOST = 0.5, 0.9, 0.7

VANISHED, EXPLODED = 1e-3, 50.0

ADAMS_EPSILON = 1e-8


def symptoms_of_images(found: Findings, latent: LatentSpec, known: Mapping[str, float]) -> Iterator[Symptom]:
    """What a probe shows: images that are alike, variables without effect, categories that are one or are not used.

    Args:
        found: by a probe.
        latent: of the model.
        known: what share of a code Q knows, by its name, where that can be said; see `knowledge`.
    """
    if found.spread < LEAST_SPREAD:
        yield Symptom(
            "identical outputs",
            "",
            f"the generator makes nearly the same image whatever it is given; {found.spread:.2%} of the images' "
            "variance lies between them",
            "a lower lr_d or lr_g, from a checkpoint before it; a discriminator without BatchNorm; a look at the data",
        )
        return
    yield from _without_effect(found, latent, known)
    of_evaluation = list(_other_in_evaluation(found, known))
    yield from of_evaluation
    misread = {symptom.subject for symptom in of_evaluation} - set(found.evaluated)
    for name, table in found.tables.items():
        if name in misread:
            continue  # the table is of evaluation as well
        merged = merged_categories(table)
        if sum(map(len, merged)) == len(table) and len(merged) == 1:
            continue  # none can be told from any other: that is a flat bound
        for group in merged:
            yield Symptom(
                "merged categories",
                name,
                f"Q cannot tell the images of categories {_numbers(group)} of {name!r} apart",
                f"a higher weight of {name!r} or a lower one of the other codes; RealImageInformation({name!r}); "
                "fewer categories, if the data has fewer kinds",
                categories=tuple(group),
            )
        of_a_group = {category for group in merged for category in group}
        for category in unused_categories(table):
            if category not in of_a_group:
                yield Symptom(
                    "unused categories",
                    name,
                    f"Q finds category {category} of {name!r} in next to no image, though G is asked for it",
                    f"a higher weight of {name!r}, a higher lr_q, or RealImageInformation({name!r})",
                    categories=(category,),
                )


def _other_in_evaluation(found: Findings, known: Mapping[str, float]) -> Iterator[Symptom]:
    for name, table in found.tables.items():
        if name in found.evaluated:
            training, evaluation = _share_found(table), _share_found(found.evaluated[name])
            if training >= LEAST_READ and evaluation < MOST_LOST * training:
                yield Symptom(
                    "train/eval mismatch",
                    name,
                    f"Q reads {name!r} off {training:.0%} of generated images in a batch of their own, as in training, "
                    f"and off {evaluation:.0%} in evaluation, as BatchNorm's running statistics mix real and generated "
                    "ones; what it says of real images may be as far off",
                    "joint_batches=True, or a D and a Q without BatchNorm",
                )
        elif known.get(name, 0.0) >= WELL_KNOWN and _share_found(table) < MOST_LOST:
            yield Symptom(
                "train/eval mismatch",
                name,
                f"Q knows {known[name]:.0%} of {name!r} in training, and in evaluation reads it off "
                f"{_share_found(table):.0%} of generated images, as BatchNorm's running statistics lag behind",
                "a higher momentum of BatchNorm, or a lower learning rate",
            )


def _share_found(table: Tensor) -> float:
    return (table.trace() / table.sum().clamp(min=1)).item()


def _without_effect(found: Findings, latent: LatentSpec, known: Mapping[str, float]) -> Iterator[Symptom]:
    noises = sum(not isinstance(variable, LatentCode) for variable in latent.values())
    has_styles = any(not code.is_discrete for code in latent.codes.values())
    least = (LEAST_EFFECT_BESIDE_STYLES if has_styles else LEAST_EFFECT_OF_NOISE) / max(1.0, noises / 16)
    for knob, share in found.effects.items():
        seen = f"{knob} changes the images by {share:.2%} of their variance"
        if not isinstance(latent[knob.name], LatentCode):
            if share < least:
                seen += ", so that images of the same codes are alike"
                advice = (
                    "regularizers.ModeSeeking(after=...); a lower weight of the codes; a lower lr_g; a wider generator"
                )
                yield Symptom("inactive code", str(knob), seen, advice)
            continue
        # A code may do little to the image and still be read off it; beside its siblings a dead dimension shows.
        largest = max(other for sibling, other in found.effects.items() if sibling.name == knob.name)
        is_read = known.get(knob.name, 0.0) >= LEAST_KNOWN
        if share < LEAST_EFFECT_OF_CODE and (not is_read or share < LEAST_OF_SIBLINGS * largest):
            yield Symptom(
                "inactive code",
                str(knob),
                seen,
                f"a higher weight of {knob.name!r}; 'generator' in information_trains; a generator whose first layer "
                "reads every input",
            )


def symptoms_of_figures(
    history: History,
    latent: LatentSpec,
    game: AdversarialLoss | PairedAdversarialLoss,
    sizes: dict[str, int],
    window: int,
) -> Iterator[Symptom]:
    """What the last `window` values of each figure show: bounds, D's loss, gradients.

    Args:
        history: of the run.
        latent: its codes.
        game: whose losses those of the history are.
        sizes: the number of weights behind "grad_norm/d" and "grad_norm/g".
        window: how many values count as now.
    """
    for name, code in latent.codes.items():
        share = knowledge(history, name, code, window)
        if share is not None and share < LEAST_KNOWN:
            advice = (
                f"a higher weight of {name!r} or a higher lr_q; 'generator' and 'q_head' in information_trains; if D's "
                "loss is near 0 as well, a lower lr_d"
            )
            if share < ASTRAY and not code.is_discrete:
                advice = f"a lower lr_q, as Q's estimates lie far from anything that {name!r} can be"
            seen = (
                f"Q knows next to nothing of {name!r}: {_in_words(history, name, code, window)}, over {window} updates"
            )
            yield Symptom("flat bound", name, seen, advice)
    of_ignorance = loss_of_ignorance(game)
    loss = float(np.median(history["loss/d"][-window:]))
    if of_ignorance > 0 and 0 <= loss < WON_BELOW * of_ignorance:
        yield Symptom(
            "discriminator saturated",
            "",
            f"D tells real images from generated ones with next to no error; its loss is {loss:.2g}, over {window} "
            f"steps, and {of_ignorance:.2g} for one that knows nothing",
            "a lower lr_d or a higher lr_g, g_steps=2, augment=RandomAffine(), or a smaller D",
        )
    for short, network in (("d", "D"), ("g", "G and Q")):
        figure = f"grad_norm/{short}"
        if figure in history:
            yield from _symptoms_of_gradient(history[figure], network, sizes[short], window)


def knowledge(history: History, name: str, code: LatentCode, window: int) -> float | None:
    """What share of a code Q knows, from the last values of its figure: 0 or less for nothing, None if unknown.

    Of H(c) for a discrete code. For a real code with a bound, how far in nats it lies above that of a Q that knows the
    code's mean and variance only, per dimension; without one, or with a fixed scale, the share of the variance.
    """
    error = _squared_error(history, name, code, window)
    if error is not None:
        return 1 - error / _variances(code).sum().item()
    if f"bound/{name}" not in history:
        return None
    nats = float(history[f"bound/{name}"][-window:].mean())
    if isinstance(code, VectorCode) and not code.is_discrete:
        of_normal = 0.5 * (2 * math.pi * math.e * _variances(code)).log().sum().item()
        return (nats - (code.entropy - of_normal)) / code.width
    return nats / code.entropy if code.entropy > 0 else None


def _squared_error(history: History, name: str, code: LatentCode, window: int) -> float | None:
    loss = getattr(code, "loss", None)
    if f"mse/{name}" in history:
        return float(history[f"mse/{name}"][-window:].mean())
    if isinstance(loss, NormalNLL) and loss.scale is not None and f"nll/{name}" in history:
        # The bound of a fixed scale has a ceiling, which may lie below 0; what can fall is the squared error.
        constant = code.width * (math.log(loss.scale) + 0.5 * math.log(2 * math.pi))
        return 2 * loss.scale**2 * (float(history[f"nll/{name}"][-window:].mean()) - constant)
    return None


def _in_words(history: History, name: str, code: LatentCode, window: int) -> str:
    error = _squared_error(history, name, code, window)
    if error is not None:
        return f"its squared error is {error:.3g} for a variance of {_variances(code).sum().item():.3g}"
    nats = float(history[f"bound/{name}"][-window:].mean())
    return f"the bound is {nats:.3g}, and H(c) {code.entropy:.3g} nats"


def _variances(code: LatentCode) -> Tensor:
    return code.sample(4096, rng=torch.Generator().manual_seed(0)).double().var(0)


def loss_of_ignorance(game: AdversarialLoss | PairedAdversarialLoss) -> float:
    """What the best D pays that says the same of every image: 2 ln 2 for `NonSaturating`, 2 for `Hinge`."""
    constants = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    return float(sum(game.discriminator_terms(constants, constants).values(), torch.zeros(())).min())


def _symptoms_of_gradient(norms: np.ndarray, network: str, size: int, window: int) -> Iterator[Symptom]:
    now, earlier = norms[-window:], norms[:-window]
    norm = _median(now)
    before = _median(earlier[:: max(1, len(earlier) // 2000)]) if len(earlier) else norm
    if norm < VANISHED * before or norm < ADAMS_EPSILON * size**0.5:
        yield Symptom(
            "vanishing gradient",
            network,
            f"the gradient of {network} has the norm {norm:.2g}, over {window} updates, after {before:.2g} before",
            "NonSaturating() instead of Minimax(); a lower lr_d; normalisation in G",
        )
    elif norm > EXPLODED * before:
        yield Symptom(
            "exploding gradient",
            network,
            f"the gradient of {network} has the norm {norm:.2g}, over {window} updates, after {before:.2g} before",
            "a lower learning rate, from a checkpoint before it; spectral norm in D; a floor under the scale of "
            "NormalNLL (log_scale_range)",
        )


def _median(norms: np.ndarray) -> float:
    """Of what is finite; 0 where nothing is, as in steps that were scaled too high for float16."""
    finite = norms[np.isfinite(norms)]
    return float(np.median(finite)) if len(finite) else 0.0


def weights_behind(groups: Mapping[Part, list[nn.Parameter]]) -> dict[str, int]:
    """The number of weights behind "grad_norm/d" and "grad_norm/g"."""
    counts = {name: sum(p.numel() for p in parameters) for name, parameters in groups.items()}
    return {"d": counts["trunk"] + counts["d_head"], "g": counts["generator"] + counts["q_head"]}


def _numbers(categories: list[int]) -> str:
    return join_names(map(str, categories)).replace("'", "")
