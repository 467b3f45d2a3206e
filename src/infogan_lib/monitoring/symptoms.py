"""What goes wrong with an InfoGAN, how it is recognised, and what to try."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from infogan_lib._checks import listed
from infogan_lib.evaluation.collapse import merged_categories, unused_categories
from infogan_lib.latent import LatentSpec
from infogan_lib.losses.adversarial import AdversarialLoss
from infogan_lib.model import Part
from infogan_lib.monitoring.probe import Findings
from infogan_lib.training.history import History
from infogan_lib.variables import LatentCode


@dataclass(frozen=True)
class Symptom:
    """One thing that is wrong.

    Attributes:
        kind: "identical outputs", "no effect", "merged categories", "unused categories", "flat bound",
            "discriminator wins", "vanishing gradient" or "exploding gradient".
        subject: the code, variable or network that it is about; "" where it is the whole.
        seen: what was seen, with its figure.
        advice: what to try.
        step: at which step.
    """

    kind: str
    subject: str
    seen: str
    advice: str
    step: int = 0

    def __str__(self) -> str:
        return f"step {self.step}: {self.kind}: {self.seen}. Try: {self.advice}"


LEAST_SPREAD = 0.01
LEAST_EFFECT = {"noise": 0.005, "code": 0.001}
FLAT_BOUND = 0.05
WON_BELOW = 0.015
VANISHED, EXPLODED = 1e-3, 50.0
ADAMS_EPSILON = 1e-8


def symptoms_of_images(found: Findings, latent: LatentSpec) -> Iterator[Symptom]:
    """What a probe shows: images that are alike, variables without effect, categories that are one or are not used."""
    if found.spread < LEAST_SPREAD:
        yield Symptom(
            "identical outputs",
            "",
            f"the generator makes the same image whatever it is given; {found.spread:.2%} of the images' variance lies "
            "between them",
            "a lower lr_d or lr_g, from a checkpoint before it; a discriminator without BatchNorm; a look at the data",
        )
        return
    for knob, share in found.effects.items():
        variable = latent[knob.name]
        is_code = isinstance(variable, LatentCode)
        if share >= LEAST_EFFECT["code" if is_code else "noise"]:
            continue
        seen = f"{knob} changes the images by {share:.2%} of their variance"
        if not is_code:
            seen += ", so that images of the same codes are alike"
            advice = "a lower weight of the codes, or a lower lr_g; more noise; a wider generator"
        else:
            advice = (
                f"a higher weight of {knob.name!r}; 'generator' in information_trains; a generator whose first layer "
                "reads every input"
            )
        yield Symptom("no effect", str(knob), seen, advice)
    for name, table in found.tables.items():
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
            )
        alone = set(unused_categories(table)) - {category for group in merged for category in group}
        if alone:
            yield Symptom(
                "unused categories",
                name,
                f"Q finds categories {_numbers(sorted(alone))} of {name!r} in none of the images made for them",
                f"a higher weight of {name!r}, a higher lr_q, or RealImageInformation({name!r})",
            )


def symptoms_of_figures(
    history: History, latent: LatentSpec, game: AdversarialLoss, sizes: dict[str, int], window: int
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
        known = _known(history, name, code, latent, window)
        if known is not None and known[0] < FLAT_BOUND:
            yield Symptom(
                "flat bound",
                name,
                f"Q knows next to nothing of {name!r}: {known[1]}, over {window} steps",
                f"a higher weight of {name!r} or a higher lr_q; 'generator' and 'q_head' in information_trains; if D's "
                "loss is near 0 as well, a lower lr_d",
            )
    of_ignorance = float(game.real(torch.zeros(())) + game.fake(torch.zeros(())))
    loss = float(np.median(history["loss/d"][-window:]))
    if of_ignorance > 0 and 0 <= loss < WON_BELOW * of_ignorance:
        yield Symptom(
            "discriminator wins",
            "",
            f"D tells real images from generated ones with next to no error; its loss is {loss:.2g}, over {window} "
            f"steps, and {of_ignorance:.2g} for one that knows nothing",
            "a lower lr_d or a higher lr_g, g_steps=2, augment=RandomAffine(), or a smaller D",
        )
    for short, network in (("d", "D"), ("g", "G and Q")):
        figure = f"grad_norm/{short}"
        if figure in history:
            yield from _symptoms_of_gradient(history[figure], network, sizes[short], window)


def _known(history: History, name: str, code: LatentCode, latent: LatentSpec, window: int) -> tuple[float, str] | None:
    """How much Q knows of a code, as a share of what there is to know, and in words."""
    scale = getattr(getattr(code, "loss", None), "scale", None)
    if f"mse/{name}" in history:
        error = float(history[f"mse/{name}"][-window:].mean())
    elif f"nll/{name}" in history and scale is not None:
        # With a fixed scale the bound has a ceiling, which may lie below 0; what can fall is the squared error.
        constant = code.width * (math.log(scale) + 0.5 * math.log(2 * math.pi))
        error = 2 * scale**2 * (float(history[f"nll/{name}"][-window:].mean()) - constant)
    elif f"bound/{name}" in history and code.entropy > 0:
        nats = float(history[f"bound/{name}"][-window:].mean())
        return nats / code.entropy, f"the bound is {nats:.3g} of {code.entropy:.3g} nats"
    else:
        return None
    draws = latent.sample(4096, generator=torch.Generator().manual_seed(0), device="cpu")[:, latent.columns[name]]
    variance = float(draws.double().var(0).sum())
    return 1 - error / variance, f"its squared error is {error:.3g} for a variance of {variance:.3g}"


def _symptoms_of_gradient(norms: np.ndarray, network: str, size: int, window: int) -> Iterator[Symptom]:
    of_windows = [_median(norms[max(0, end - window) : end]) for end in range(len(norms), 0, -window)]
    norm, earlier = of_windows[0], of_windows[1:] or of_windows
    highest, usual = max(earlier), float(np.median(earlier))
    if norm < VANISHED * highest or norm < ADAMS_EPSILON * size**0.5:
        yield Symptom(
            "vanishing gradient",
            network,
            f"the gradient of {network} has the norm {norm:.2g}, over {window} steps, after {highest:.2g} before",
            "NonSaturating() instead of Minimax(); a lower lr_d; normalisation in G",
        )
    elif norm > EXPLODED * usual:
        yield Symptom(
            "exploding gradient",
            network,
            f"the gradient of {network} has the norm {norm:.2g}, over {window} steps, after {usual:.2g} before",
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
    return listed(map(str, categories)).replace("'", "")
