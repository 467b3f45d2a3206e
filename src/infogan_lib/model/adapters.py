"""Forms: how a user's generator and discriminator want to be called, found out by one dry forward each.

A form is data, not a wrapper: it says in which shape a generator takes its latent, and where in a discriminator's
output the logits and the codes are. The modules are called in eval mode, with torch's random state put back
afterwards, so that nothing of theirs changes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from infogan_lib._checks import check_choice
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.introspection import dry_run, final_activation, placement
from infogan_lib.model.tap import Tap, find_tap, tapped

GeneratorInput = Literal["flat", "1d", "2d", "3d", "parts"]

DiscriminatorOutput = Literal["logits", "probabilities"]

GENERATOR_INPUTS: tuple[GeneratorInput, ...] = ("flat", "2d", "1d", "3d", "parts")


@dataclass(frozen=True)
class GeneratorAdapter:
    """How the generator takes its latent.

    Args:
        input: "flat" for (N, L); "1d", "2d", "3d" for (N, L, 1), (N, L, 1, 1), (N, L, 1, 1, 1); "parts" for one
            argument (N, width) per variable of the spec, in order.
    """

    input: GeneratorInput

    def __call__(self, generator: nn.Module, latent: Tensor, spec: LatentSpec) -> Tensor:
        """Images (N, *) from a flat latent (N, L)."""
        if self.input == "flat":
            return generator(latent)
        if self.input == "parts":
            return generator(*spec.split(latent).values())
        return generator(latent.reshape(*latent.shape, *[1] * int(self.input[0])))


@dataclass(frozen=True)
class DiscriminatorAdapter:
    """How to read the discriminator.

    Args:
        output: whether D gives "logits" or "probabilities" (a Sigmoid at its end).
        tap: where its features are taken for the Q head, or None where Q needs none.
        returns_codes: whether D returns (validity, codes, ...) and so contains Q itself.
    """

    output: DiscriminatorOutput
    tap: Tap | None = None
    returns_codes: bool = False

    def __call__(self, discriminator: nn.Module, images: Tensor) -> tuple[Tensor, Any]:
        """Logits, and what Q reads: the features at the tap, the codes that D itself returned, or None."""
        with ExitStack() as stack:
            caught = stack.enter_context(tapped(discriminator, self.tap)) if self.tap else None
            sigmoid = stack.enter_context(_Sigmoids()) if self.output == "probabilities" else None
            returned = discriminator(images)
        validity = returned[0] if self.returns_codes else returned
        logits = validity if sigmoid is None else sigmoid.logits_of(validity)
        if self.returns_codes:
            return logits, returned[1:]
        if caught is None:
            return logits, None
        if not isinstance(caught.features, Tensor):
            raise TypeError(
                f"the tapped layer {self.tap} gave {type(caught.features).__name__} instead of a Tensor in this "
                "forward pass; tap a layer that always runs and handles one tensor"
            )
        return logits, caught.features


def output_parts(returned: Any, spec: LatentSpec) -> list[Tensor]:
    """What a Q head returned, one tensor or several in a tuple, list or dict, as tensors (N, *) in the codes' order.

    A dict whose keys are the codes' names is put into their order; any other keeps its own.
    """
    if isinstance(returned, Tensor):
        return [returned]
    if isinstance(returned, dict):
        return [returned[name] for name in spec.codes] if set(returned) == set(spec.codes) else list(returned.values())
    return list(returned)


def flat_outputs(returned: Any, spec: LatentSpec) -> Tensor:
    """What a Q head returned as raw outputs (N, R)."""
    parts = [part.flatten(1) for part in output_parts(returned, spec)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def infer_generator_adapter(
    generator: nn.Module, spec: LatentSpec, *, input: GeneratorInput | Literal["auto"] = "auto"
) -> tuple[GeneratorAdapter, Tensor]:
    """The first form in which the generator runs, and the images it made, still with their graph.

    Raises:
        ValueError: it runs in none; the message says what each attempt met.
    """
    if input != "auto":
        check_choice("generator_input", input, ("auto", *GENERATOR_INPUTS))
    n = 2 if spec.width != 2 else 3
    device, dtype = placement(generator)
    failures = []
    for attempt in GENERATOR_INPUTS if input == "auto" else (input,):
        form = GeneratorAdapter(attempt)
        with dry_run(generator):
            latent = spec.sample(n, rng=torch.Generator().manual_seed(0)).to(device, dtype).requires_grad_()
            try:
                images = form(generator, latent, spec)
            except Exception as error:  # whatever a user's module raises belongs in the message below
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                failures.append(f"{attempt}: {type(error).__name__}: {reason}")
                continue
        if isinstance(images, Tensor) and images.ndim >= 2 and len(images) == n:
            return form, images
        got = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        failures.append(f"{attempt}: returned {got} for a batch of {n}")
    widths = " + ".join(f"{name} {variable.width}" for name, variable in spec.items())
    raise ValueError(
        f"the generator did not turn a latent of width {spec.width} ({widths}) into a batch of images. It was given\n  "
        + "\n  ".join(failures)
        + f"\nIts first layer must take {spec.width} inputs: change that layer, or the noise in the LatentSpec."
    )


def infer_discriminator_adapter(
    discriminator: nn.Module,
    images: Tensor,
    *,
    tap: Tap | None = None,
    needs_features: bool = True,
    output: DiscriminatorOutput | Literal["auto"] = "auto",
) -> DiscriminatorAdapter:
    """How to read the discriminator, from one dry forward on generated images.

    Args:
        tap: where to take the features; found if None.
        needs_features: whether anything reads them.

    Raises:
        ValueError: D does not take such images, returns no batch of validities, or the tap is not there.
    """
    check_choice("discriminator_output", output, ("auto", "logits", "probabilities"))
    if tap is not None:
        tap.module(discriminator)
    with dry_run(discriminator):
        # With a graph from the images on, a frozen D shows its last activation as well.
        images = images.detach().requires_grad_(images.is_floating_point())
        try:
            returned = discriminator(images)
        except Exception as error:
            raise ValueError(
                f"the discriminator did not take images of shape {tuple(images.shape)}, which the generator makes: "
                f"{type(error).__name__}: {error}"
            ) from error
        returns_codes = isinstance(returned, (tuple, list))
        validity = returned[0] if returns_codes else returned
        if returns_codes and len(returned) < 2:
            raise ValueError("the discriminator returned a tuple of one; expected validity, or (validity, codes, ...)")
        if not isinstance(validity, Tensor) or validity.ndim == 0 or len(validity) != len(images):
            got = f"shape {tuple(validity.shape)}" if isinstance(validity, Tensor) else type(validity).__name__
            raise ValueError(
                f"the discriminator must return one validity (or a map of them) per image, shape ({len(images)}, *), "
                f"or a tuple that starts with it, but got {got}"
            )
        if returns_codes and tap is not None:
            raise ValueError(
                "this discriminator returns codes itself, so there is nothing to tap; leave tap out, "
                "or let it return the validity alone"
            )
        if output == "auto":
            output = "probabilities" if final_activation(validity) == "sigmoid" else "logits"
        if needs_features and not returns_codes and tap is None:
            tap = find_tap(discriminator, images)
    return DiscriminatorAdapter(output, tap if needs_features else None, returns_codes)


class _Sigmoids(TorchFunctionMode):
    """Remembers what each Sigmoid was given: D's logits, exactly, with no logarithm of a rounded probability."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[tuple[Tensor, Tensor]] = []

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func not in _SIGMOIDS:
            return func(*args, **(kwargs or {}))
        given = args[0] if args else (kwargs or {})["input"]
        logits = given.clone() if func in _IN_PLACE else given
        probabilities = func(*args, **(kwargs or {}))
        self._seen.append((logits, probabilities))
        return probabilities

    def logits_of(self, validity: Tensor) -> Tensor:
        """The logits of D's output: the input of the Sigmoid that made it, else the inverse of a Sigmoid."""
        for logits, probabilities in reversed(self._seen):
            if probabilities.numel() == validity.numel() and probabilities.data_ptr() == validity.data_ptr():
                return logits.reshape(validity.shape)
        p = validity.float() if validity.dtype in (torch.float16, torch.bfloat16) else validity
        p = p.clamp(torch.finfo(p.dtype).tiny, 1 - torch.finfo(p.dtype).eps / 2)
        return p.log() - (-p).log1p()


_IN_PLACE = frozenset({torch.sigmoid_, Tensor.sigmoid_})

_SIGMOIDS = frozenset({torch.sigmoid, torch.special.expit, Tensor.sigmoid}) | _IN_PLACE
