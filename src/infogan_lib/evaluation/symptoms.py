"""Symptoms of a failing InfoGAN: how each one is detected, and what to try."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infogan_lib._checks import join_names
from infogan_lib.evaluation.probe import ProbeResult
from infogan_lib.history.history import History
from infogan_lib.latent import LatentCode, LatentSpec
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.losses import AdversarialLoss, NormalNLL, PairedAdversarialLoss
from infogan_lib.metrics.sensitivity import merged_categories, unused_categories
from infogan_lib.model.infogan import Part


@dataclass(frozen=True)
class Symptom:
    """Something that is wrong with a run.

    Attributes:
        kind: "identical outputs", "inactive code", "merged categories", "unused categories", "train/eval mismatch",
            "flat bound", "categories not of the data", "discriminator saturated", "vanishing gradient" or "exploding
            gradient".
        subject: The code, variable or network concerned; "" for the whole model.
        finding: What was found, with its value.
        advice: What to try.
        step: Step of the check that found it.
        categories: The categories that are merged or unused.
    """

    kind: str
    subject: str
    finding: str
    advice: str
    step: int = 0
    categories: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"step {self.step}: {self.kind}: {self.finding}. Try: {self.advice}"


def summarize(symptoms: Iterable[Symptom]) -> list[str]:
    """Symptoms in words, each once: as it was last reported, with how often and since when if it recurred."""
    alike: dict[tuple[str, str, tuple[int, ...]], list[Symptom]] = {}
    for symptom in symptoms:
        alike.setdefault((symptom.kind, symptom.subject, symptom.categories), []).append(symptom)
    return [
        f"{last} (reported {len(earlier) + 1} times since step {earlier[0].step})" if earlier else str(last)
        for *earlier, last in alike.values()
    ]


MIN_BETWEEN_IMAGE_VARIANCE = 0.03

MIN_NOISE_EFFECT, MIN_NOISE_EFFECT_BESIDE_CODES = 0.01, 0.002
"""Continuous codes make images vary as well, so that noise may contribute less beside them."""

MIN_CODE_EFFECT, MIN_EFFECT_RATIO = 0.001, 0.02

MIN_KNOWN_FRACTION, DIVERGED = 0.05, -0.25

D_SATURATED_BELOW = 0.015

MIN_TRAIN_ACCURACY, MIN_KNOWN_IN_TRAINING, MIN_EVAL_RATIO = 0.5, 0.9, 0.7

VANISHED_BELOW, EXPLODED_ABOVE = 1e-3, 50.0

ADAM_EPSILON = 1e-8


def image_symptoms(result: ProbeResult, latent: LatentSpec, known: Mapping[str, float]) -> Iterator[Symptom]:
    """Symptoms in generated images: alike images, inactive variables, merged and unused categories.

    `known` is the fraction of each code that Q recovers, by name, where it is defined; see `known_fraction`.
    """
    if result.between_image_variance < MIN_BETWEEN_IMAGE_VARIANCE:
        yield Symptom(
            "identical outputs",
            "",
            f"the generator makes nearly the same image for every latent; only {result.between_image_variance:.2%} of "
            "the variance of the pixels lies between images",
            "lower learning rates, from an earlier checkpoint; a discriminator without BatchNorm; a check of the data",
        )
        return
    yield from _inactive_codes(result, latent, known)
    mismatches = list(_train_eval_mismatches(result, known))
    yield from mismatches
    unreliable = {symptom.subject for symptom in mismatches} - set(result.eval_confusion)
    for name, counts in result.confusion.items():
        if name not in unreliable:  # else these counts are the ones of eval mode
            yield from _confused_categories(name, counts)


def _confused_categories(name: str, counts: Tensor) -> Iterator[Symptom]:
    merged = merged_categories(counts)
    if len(merged) == 1 and len(merged[0]) == len(counts):
        return  # no category can be distinguished from any other: that is a flat bound
    for group in merged:
        yield Symptom(
            "merged categories",
            name,
            f"Q cannot distinguish the images of categories {_format_categories(group)} of {name!r}",
            f"a higher weight of {name!r} or a lower one of the other codes; RealImageInformation({name!r}); "
            "fewer categories, if the data has fewer kinds",
            categories=tuple(group),
        )
    in_a_group = {category for group in merged for category in group}
    for category in unused_categories(counts):
        if category not in in_a_group:
            yield Symptom(
                "unused categories",
                name,
                f"Q almost never predicts category {category} of {name!r}, although G is conditioned on it",
                f"a higher weight of {name!r}, a higher learning rate of Q, or RealImageInformation({name!r})",
                categories=(category,),
            )


def _train_eval_mismatches(result: ProbeResult, known: Mapping[str, float]) -> Iterator[Symptom]:
    for name, counts in result.confusion.items():
        accuracy = _accuracy(counts)
        if name in result.eval_confusion:
            eval_accuracy = _accuracy(result.eval_confusion[name])
            if accuracy >= MIN_TRAIN_ACCURACY and eval_accuracy < MIN_EVAL_RATIO * accuracy:
                yield Symptom(
                    "train/eval mismatch",
                    name,
                    f"Q predicts {name!r} correctly for {accuracy:.0%} of generated images in training mode, but for "
                    f"{eval_accuracy:.0%} in eval mode, because BatchNorm's running statistics mix real and generated "
                    "images; its predictions for real images may be as unreliable",
                    "joint_batches=True, or a D and a Q without BatchNorm",
                )
        elif known.get(name, 0.0) >= MIN_KNOWN_IN_TRAINING and accuracy < MIN_EVAL_RATIO:
            yield Symptom(
                "train/eval mismatch",
                name,
                f"Q recovers {known[name]:.0%} of {name!r} in training mode, but predicts it correctly for only "
                f"{accuracy:.0%} of generated images in eval mode, because BatchNorm's running statistics lag behind",
                "a higher momentum of BatchNorm, or a lower learning rate",
            )


def _accuracy(counts: Tensor) -> float:
    return (counts.trace() / counts.sum().clamp(min=1)).item()


def _inactive_codes(result: ProbeResult, latent: LatentSpec, known: Mapping[str, float]) -> Iterator[Symptom]:
    num_noises = sum(not isinstance(variable, LatentCode) for variable in latent.values())
    has_continuous = any(not code.is_discrete for code in latent.codes.values())
    min_noise_effect = MIN_NOISE_EFFECT_BESIDE_CODES if has_continuous else MIN_NOISE_EFFECT
    min_noise_effect /= max(1.0, num_noises / 16)
    for factor, effect in result.total_effects.items():
        finding = f"{factor} accounts for {effect:.2%} of the variance of the images"
        if not isinstance(latent[factor.name], LatentCode):
            if effect < min_noise_effect:
                yield Symptom(
                    "inactive code",
                    str(factor),
                    finding + ", so images of the same codes look alike",
                    "regularizers.ModeSeeking(after=...); a lower weight of the codes; a lower learning rate of G; a "
                    "wider generator",
                )
            continue
        # A code may affect the image little and still be recovered; compared with other dimensions a dead one shows.
        largest = max(other for sibling, other in result.total_effects.items() if sibling.name == factor.name)
        is_recovered = known.get(factor.name, 0.0) >= MIN_KNOWN_FRACTION
        if effect < MIN_CODE_EFFECT and (not is_recovered or effect < MIN_EFFECT_RATIO * largest):
            yield Symptom(
                "inactive code",
                str(factor),
                finding,
                f"a higher weight of {factor.name!r}; 'generator' in information_trains; a generator whose first layer "
                "reads every input",
            )


def metric_symptoms(
    history: History,
    latent: LatentSpec,
    adversarial: AdversarialLoss | PairedAdversarialLoss,
    num_parameters: Mapping[str, int],
    window: int,
) -> Iterator[Symptom]:
    """Symptoms in the last `window` values of the metrics: flat bounds, a saturated D, gradients.

    `num_parameters` has the number of parameters behind "grad_norm/d" and "grad_norm/g", by "d" and "g".
    """
    for name, code in latent.codes.items():
        fraction = known_fraction(history, name, code, window)
        if fraction is not None and fraction < MIN_KNOWN_FRACTION:
            advice = (
                f"a higher weight of {name!r} or a higher learning rate of Q; 'generator' and 'q_head' in "
                "information_trains; if D's loss is near 0 as well, a lower learning rate of D"
            )
            if fraction < DIVERGED and not code.is_discrete:
                advice = f"a lower learning rate of Q, as Q's estimates lie far outside the range of {name!r}"
            yield Symptom(
                "flat bound",
                name,
                f"Q recovers almost nothing of {name!r}: {_describe_loss(history, name, code, window)} "
                f"(mean of {window} updates)",
                advice,
            )
    constant_loss = uninformed_loss(adversarial)
    loss = float(np.median(history.last("loss/d", window)))
    if constant_loss > 0 and 0 <= loss < D_SATURATED_BELOW * constant_loss:
        yield Symptom(
            "discriminator saturated",
            "",
            f"D separates real and generated images almost without error: its loss is {loss:.2g} (median of {window} "
            f"steps); a constant D scores {constant_loss:.2g}",
            "a lower learning rate of D or a higher one of G, g_steps=2, discriminator_augment=Translation(), or a "
            "smaller D",
        )
    for short, network in (("d", "D"), ("g", "G and Q")):
        if f"grad_norm/{short}" in history:
            norms = history[f"grad_norm/{short}"]
            yield from _gradient_symptoms(norms, network, num_parameters[short], window)


def known_fraction(history: History, name: str, code: LatentCode, window: int) -> float | None:
    """Fraction of a code that Q recovers, from the last `window` values of its metric; None if it is unknown.

    For a discrete code, the bound over H(c). For a continuous code, the nats per dimension by which the bound exceeds
    that of a Q that knows only the mean and variance of the code; without a bound, or with a fixed scale, the explained
    fraction of the variance. It is 0 or less if Q recovers nothing.
    """
    error = _squared_error(history, name, code, window)
    if error is not None:
        return 1 - error / _variances(code).sum().item()
    if f"bound/{name}" not in history:
        return None
    bound = float(history.last(f"bound/{name}", window).mean())
    if isinstance(code, VectorCode) and not code.is_discrete:
        normal_entropy = 0.5 * (2 * math.pi * math.e * _variances(code)).log().sum().item()
        return (bound - (code.entropy - normal_entropy)) / code.width
    if f"bound_fraction/{name}" in history:  # of H(c) at each step, which changes where the prior is learned
        return float(history.last(f"bound_fraction/{name}", window).mean())
    return bound / code.entropy if code.entropy > 0 else None


def _squared_error(history: History, name: str, code: LatentCode, window: int) -> float | None:
    loss = getattr(code, "loss", None)
    if f"mse/{name}" in history:
        return float(history.last(f"mse/{name}", window).mean())
    if isinstance(loss, NormalNLL) and loss.scale is not None and f"nll/{name}" in history:
        # The bound of a fixed scale has a maximum, which may lie below 0; the squared error shows what Q learns.
        constant = code.width * (math.log(loss.scale) + 0.5 * math.log(2 * math.pi))
        return 2 * loss.scale**2 * (float(history.last(f"nll/{name}", window).mean()) - constant)
    return None


def _describe_loss(history: History, name: str, code: LatentCode, window: int) -> str:
    error = _squared_error(history, name, code, window)
    if error is not None:
        return f"its squared error is {error:.3g} for a variance of {_variances(code).sum().item():.3g}"
    return f"the bound is {history.last(f'bound/{name}', window).mean():.3g} nats, of H(c) = {code.entropy:.3g} nats"


def _variances(code: LatentCode) -> Tensor:
    return code.sample(4096, rng=torch.Generator().manual_seed(0)).double().var(0)


def uninformed_loss(adversarial: AdversarialLoss | PairedAdversarialLoss) -> float:
    """The smallest loss of a D with the same logit for every image: 2 ln 2 for `NonSaturating`, 2 for `Hinge`."""
    logits = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    return float(sum(adversarial.discriminator_terms(logits, logits).values(), torch.zeros(())).min())


def _gradient_symptoms(norms: NDArray[np.float64], network: str, count: int, window: int) -> Iterator[Symptom]:
    recent, earlier = norms[-window:], norms[:-window]
    norm = _finite_median(recent)
    before = _finite_median(earlier[:: max(1, len(earlier) // 2000)]) if len(earlier) else norm
    finding = f"the gradient norm of {network} is {norm:.2g} (median of {window} updates); it was {before:.2g} before"
    if norm < VANISHED_BELOW * before or norm < ADAM_EPSILON * count**0.5:
        yield Symptom(
            "vanishing gradient",
            network,
            finding,
            "NonSaturating() instead of Minimax(); a lower learning rate of D; normalization in G",
        )
    elif norm > EXPLODED_ABOVE * before:
        yield Symptom(
            "exploding gradient",
            network,
            finding,
            "a lower learning rate, from an earlier checkpoint; spectral norm in D; a lower bound on the scale of "
            "NormalNLL (log_scale_range)",
        )


def _finite_median(norms: NDArray[np.float64]) -> float:
    """Median of the finite norms; 0 if there are none, as in steps whose loss was scaled too high for float16."""
    finite = norms[np.isfinite(norms)]
    return float(np.median(finite)) if len(finite) else 0.0


def parameter_counts(groups: Mapping[Part, list[nn.Parameter]]) -> dict[str, int]:
    """Number of parameters behind "grad_norm/d" and "grad_norm/g", by "d" and "g"."""
    counts = {name: sum(p.numel() for p in parameters) for name, parameters in groups.items()}
    return {"d": counts["trunk"] + counts["d_head"], "g": counts["generator"] + counts["q_head"]}


def _format_categories(categories: list[int]) -> str:
    return join_names(map(str, categories)).replace("'", "")
