"""How a user's generator takes its latent and where its images are, found by dry forward passes.

An adapter is data, not a wrapper. The generator is called in eval mode, and torch's random state is restored
afterwards, so nothing of it changes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from infogan_lib._checks import check_choice
from infogan_lib.data.rng import seed_all
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.networks.introspection import apply_reader, describe_output, device_and_dtype, dry_run

GeneratorInput = Literal["flat", "1d", "2d", "3d", "separate", "indices"]

GENERATOR_INPUTS: tuple[GeneratorInput, ...] = ("flat", "2d", "1d", "3d", "separate", "indices")

GeneratorOutput = Callable[[Any], Tensor]
"""Picks the images out of what a generator returns."""


@dataclass(frozen=True)
class GeneratorAdapter:
    """How to call the generator.

    Args:
        input: "flat" for (N, L); "1d", "2d", "3d" for (N, L, 1), (N, L, 1, 1), (N, L, 1, 1, 1); "separate" for one
            argument (N, width) per variable of the spec, in order; "indices" for the same with a categorical code as
            the index of its category, int64 (N,), as `nn.Embedding` takes it.
        output: Picks the images out of what it returns; None where it returns them.
    """

    input: GeneratorInput
    output: GeneratorOutput | None = None

    def __call__(self, generator: nn.Module, latent: Tensor, spec: LatentSpec) -> Tensor:
        """Images (N, *) from a flat latent (N, L)."""
        returned = generator(*self._arguments(latent, spec))
        return returned if self.output is None else self.output(returned)

    def _arguments(self, latent: Tensor, spec: LatentSpec) -> list[Tensor]:
        if self.input == "flat":
            return [latent]
        if self.input == "separate":
            return [*spec.split(latent).values()]
        if self.input == "indices":
            values = spec.split(latent)
            return [v.argmax(1) if isinstance(spec[name], Categorical) else v for name, v in values.items()]
        return [latent.reshape(*latent.shape, *[1] * int(self.input[0]))]


def infer_generator_adapter(
    generator: nn.Module,
    spec: LatentSpec,
    *,
    input: GeneratorInput | Literal["auto"] = "auto",
    output: GeneratorOutput | None = None,
    batch_size: int | None = None,
    discriminator: nn.Module | None = None,
) -> tuple[GeneratorAdapter, Tensor]:
    """How to call the generator: the first way in which it runs.

    Args:
        generator: G.
        spec: The latent.
        input: The only way to try, or "auto" for all.
        output: Picks the images out of what G returns.
        batch_size: The number of latents in a dry run; two or three if None.
        discriminator: D, to tell whether the two were swapped.

    Returns:
        The adapter, and the images of the dry run, still with their graph.

    Raises:
        ValueError: it runs in none of them, and the message says how each failed; or its images have no gradients, or
            do not depend on one of the codes.
    """
    check_choice("generator_input", input, ("auto", *GENERATOR_INPUTS))
    n = batch_size or (2 if spec.width != 2 else 3)
    latent, fresh = _latents(spec, n, generator)
    failures = []
    for attempt in _inputs_to_try(spec) if input == "auto" else (input,):
        adapter = GeneratorAdapter(attempt, output)
        images = _try(generator, spec, adapter, latent)
        if isinstance(images, _Failure):
            failures.append(images)
            continue
        _check_can_learn(generator, images)
        _check_reads_all_codes(generator, spec, adapter, latent, images, fresh)
        return adapter, images
    widths = " + ".join(f"{name} {variable.width}" for name, variable in spec.items())
    raise ValueError(
        f"the generator did not turn a latent of width {spec.width} ({widths}) into a batch of images. Called as\n  "
        + "\n  ".join(f"{failure.input}: {failure.reason}" for failure in failures)
        + f"\n{_remedy(spec, failures, discriminator)}"
    )


def _inputs_to_try(spec: LatentSpec) -> tuple[GeneratorInput, ...]:
    """The ways that can differ for this latent: separate arguments need several variables, indices a category."""
    has_category = any(isinstance(code, Categorical) for code in spec.codes.values())
    return GENERATOR_INPUTS if has_category else GENERATOR_INPUTS[:-1]


@dataclass(frozen=True)
class _Failure:
    """One way to call the generator that did not give images.

    Args:
        input: The way.
        reason: What happened.
        returned: What it returned; None where it raised.
        is_misfit: Whether it raised in a layer that takes another number of inputs than the latent has.
    """

    input: GeneratorInput
    reason: str
    returned: Any = None
    is_misfit: bool = False


def _latents(spec: LatentSpec, n: int, network: nn.Module) -> tuple[Tensor, Tensor]:
    """Two batches of n latents as a network takes them."""
    rng = torch.Generator().manual_seed(0)
    first, second = (spec.sample(n, rng=rng).to(*device_and_dtype(network)) for _ in range(2))
    return first.requires_grad_(), second


def _try(generator: nn.Module, spec: LatentSpec, adapter: GeneratorAdapter, latent: Tensor) -> Tensor | _Failure:
    """Images (N, *) of latents (N, L), or why there are none."""
    n = len(latent)
    try:
        returned = _run(generator, spec, replace(adapter, output=None), latent)
    except Exception as error:  # whatever a user's module raises belongs in the message
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        misfit = re.search(rf"\b{n}x{spec.width} and |input\[{n}, {spec.width}[,\]].* to have", reason) is not None
        return _Failure(adapter.input, f"{type(error).__name__}: {reason}", None, misfit)
    try:
        images = apply_reader("generator_output", adapter.output, returned, "the generator")
    except ValueError as error:
        return _Failure(adapter.input, str(error), returned=returned)
    if isinstance(images, Tensor) and images.ndim >= 2 and len(images) == n:
        return images
    got = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else describe_output(images)
    return _Failure(adapter.input, f"returned {got} for a batch of {n}", returned=images)


def _run(generator: nn.Module, spec: LatentSpec, adapter: GeneratorAdapter, latent: Tensor) -> Any:
    """What a generator makes of latents (N, L), with the same noise inside it in each call."""
    with dry_run(generator):
        seed_all(0, latent.device)
        return adapter(generator, latent, spec)


def _remedy(spec: LatentSpec, failures: list[_Failure], discriminator: nn.Module | None) -> str:
    if discriminator is not None:
        latent, _ = _latents(spec, 3, discriminator)
        swapped = (_try(discriminator, spec, GeneratorAdapter(way), latent) for way in ("flat", "2d"))
        if any(isinstance(result, Tensor) for result in swapped):
            return "The discriminator takes such a latent: are generator and discriminator swapped?"
    returned = [failure.returned for failure in failures if failure.returned is not None]
    if any(not isinstance(value, Tensor) for value in returned):
        return (
            "Where the images are in what it returns has to be said: generator_output=lambda out: out[0], for instance."
        )
    if returned:
        return "It must return images (N, *) for latents (N, L), one for each."
    if any(failure.is_misfit for failure in failures):
        return f"Its first layer must take {spec.width} inputs: change that layer, or the noise in the LatentSpec."
    return "It must run on latents in one of these forms; call it by hand on latent.sample(2) to see where it fails."


def _check_can_learn(generator: nn.Module, images: Tensor) -> None:
    is_trained = any(parameter.requires_grad for parameter in generator.parameters())
    if is_trained and not images.requires_grad and not torch.is_inference_mode_enabled():
        raise ValueError(
            f"the generator's images ({images.dtype}) have no gradients, so it could never learn; take the detach(), "
            "the no_grad() or the conversion to whole numbers out of its forward"
        )


def _check_reads_all_codes(
    generator: nn.Module, spec: LatentSpec, adapter: GeneratorAdapter, latent: Tensor, images: Tensor, fresh: Tensor
) -> None:
    """Check that every code has an effect on the images of some latents, which require gradients; `fresh` are others.

    A code has one if the images have a gradient with respect to it, or if new values of it change them, or if NaN in
    its place comes through: from layers that begin with weights of zero, and learn to read it. Raises ValueError.
    """
    gradient = None
    if images.requires_grad:
        weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
        with torch.enable_grad():
            projection = (weights * images).sum()  # for gradients of anything but a number torch imports sympy
        gradient = torch.autograd.grad(projection, latent, retain_graph=True, allow_unused=True)[0]

    def lets_through_nan(changed: Tensor) -> bool:
        try:
            return bool(_run(generator, spec, adapter, changed).isnan().any())
        except (RuntimeError, IndexError):  # an index made of NaN
            return True

    without = [name for name in spec.codes if gradient is None or not gradient[:, spec.slices[name]].any()]
    if not without:
        return
    has_effect = not torch.equal(images, _run(generator, spec, adapter, fresh))
    if not has_effect and lets_through_nan(torch.full_like(fresh, torch.nan)):
        return  # nothing has an effect yet, as with a last layer of zeros
    for name in without:
        columns = spec.slices[name]
        changed = latent.detach().clone()
        changed[:, columns] = fresh[:, columns]
        is_index = adapter.input == "indices" and isinstance(spec[name], Categorical)
        if is_index or torch.equal(changed, latent) or not torch.equal(images, _run(generator, spec, adapter, changed)):
            continue
        changed[:, columns] = torch.nan
        if not lets_through_nan(changed):
            widths = ", ".join(f"{other} {variable.width}" for other, variable in spec.items())
            raise ValueError(
                f"the generator ignores {name!r}: its images stay the same whatever that code is, so Q could never "
                f"learn it; let the generator read all of its input ({widths}), or leave {name!r} out of the latent"
            )
