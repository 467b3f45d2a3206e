"""Adapters: how a user's generator and discriminator want to be called, inferred from dry forward passes.

An adapter is data, not a wrapper: in which shape a generator takes its latent, and where in a discriminator's output
the logits and the codes are. The modules are called in eval mode, and torch's random state is restored afterwards, so
nothing of theirs changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from infogan_lib._checks import check_choice, check_int
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.default_tap import default_tap
from infogan_lib.model.introspection import device_and_dtype, dry_run, final_activation
from infogan_lib.model.sigmoids import RecordSigmoids, SigmoidCall, find_call, logits_of
from infogan_lib.model.tap import FeatureHook, Tap, capture_features

GeneratorInput = Literal["flat", "1d", "2d", "3d", "separate"]

DiscriminatorOutput = Literal["logits", "probabilities"]

GENERATOR_INPUTS: tuple[GeneratorInput, ...] = ("flat", "2d", "1d", "3d", "separate")


class DiscriminatorResult(NamedTuple):
    """D's logits (N, *) for images, and Q's raw outputs (N, R) where asked for."""

    logits: Tensor
    q_outputs: Tensor | None


@dataclass(frozen=True)
class GeneratorAdapter:
    """How the generator takes its latent.

    Args:
        input: "flat" for (N, L); "1d", "2d", "3d" for (N, L, 1), (N, L, 1, 1), (N, L, 1, 1, 1); "separate" for one
            argument (N, width) per variable of the spec, in order.
    """

    input: GeneratorInput

    def __call__(self, generator: nn.Module, latent: Tensor, spec: LatentSpec) -> Tensor:
        """Images (N, *) from a flat latent (N, L)."""
        if self.input == "flat":
            return generator(latent)
        if self.input == "separate":
            return generator(*spec.split(latent).values())
        return generator(latent.reshape(*latent.shape, *[1] * int(self.input[0])))


@dataclass(frozen=True)
class DiscriminatorAdapter:
    """How to read the discriminator.

    Args:
        output: whether D returns "logits" or "probabilities" (a Sigmoid at its end).
        tap: where its features are taken for the Q head; None where Q reads the images, or is inside D.
        returns_codes: whether D returns (validity, codes, ...) and so contains Q itself.
        sigmoid: which Sigmoid makes its probabilities, where that is known.
    """

    output: DiscriminatorOutput
    tap: Tap | None = None
    returns_codes: bool = False
    sigmoid: SigmoidCall | None = field(default=None, compare=False)

    def __call__(self, discriminator: nn.Module, images: Tensor, hook: FeatureHook | None = None) -> tuple[Tensor, Any]:
        """Run the discriminator.

        Args:
            discriminator: D.
            images: shape (N, *image_shape).
            hook: the hook at the tap, where one is on D already; otherwise there is one for this pass alone.

        Returns:
            D's logits, and what Q reads: the features at the tap, the codes that D itself returned, or the images.

        Raises:
            TypeError: the tapped layer did not run, or returned something other than a tensor.
        """
        if self.tap is not None and (hook is None or not hook.active):  # an interrupt may leave one behind
            with capture_features(discriminator, self.tap) as hook:
                return self(discriminator, images, hook)
        if self.output == "probabilities":
            calls = []
            with RecordSigmoids(calls):
                returned = discriminator(images)
            logits = logits_of(self._validity(returned), calls, self.sigmoid)
        else:
            returned = discriminator(images)
            logits = self._validity(returned)
        if self.returns_codes:
            return logits, returned[1:]
        if hook is None:
            return logits, images
        features = hook.take()
        if not isinstance(features, Tensor):
            raise TypeError(
                f"the tapped layer {self.tap} gave {type(features).__name__} instead of a Tensor in this forward pass; "
                "tap a layer that always runs, outside of compiled modules, and handles one tensor"
            )
        return logits, features

    @property
    def feeds_q(self) -> bool:
        """Whether Q reads anything of D, rather than the images."""
        return self.tap is not None or self.returns_codes

    def _validity(self, returned: Any) -> Tensor:
        return returned[0] if self.returns_codes else returned


class Adapters(NamedTuple):
    """How G and D are called; G's images (N, *) of a dry run, with their graph; and a batch of them that D takes."""

    generator: GeneratorAdapter
    discriminator: DiscriminatorAdapter
    images: Tensor
    batch: Tensor


_OTHER_SIZES = (4, 8, 16, 32, 64, 3, 5, 6, 7, 9, 10, 12)
"""The sizes of batches that are tried where D does not take two images, as minibatch statistics may need groups."""


def infer_adapters(
    networks: tuple[nn.Module, nn.Module],
    spec: LatentSpec,
    *,
    inputs: GeneratorInput | Literal["auto"],
    outputs: DiscriminatorOutput | Literal["auto"],
    tap: Tap | None,
    needs_features: bool,
    batch_size: int | None,
) -> Adapters:
    """How to call G and D; the arguments and errors are those of the two functions below.

    Args:
        networks: G and D.
        spec: the latent.
        inputs: how G takes its latent.
        outputs: what D returns.
        tap: where to take D's features.
        needs_features: whether Q reads them.
        batch_size: the number of images in dry runs; None for two or three, or for the first of some more that D takes.
    """
    generator, discriminator = networks
    size = None if batch_size is None else check_int("dry_run_batch_size", batch_size, minimum=2, maximum=2**16)
    generator_adapter, images = infer_generator_adapter(generator, spec, input=inputs, batch_size=size)
    discriminator_adapter, batch = infer_discriminator_adapter(
        discriminator,
        images.detach().to(*device_and_dtype(discriminator)),
        tap=tap,
        needs_features=needs_features,
        output=outputs,
        other_sizes=_OTHER_SIZES if size is None else (),
    )
    return Adapters(generator_adapter, discriminator_adapter, images, batch)


def infer_generator_adapter(
    generator: nn.Module,
    spec: LatentSpec,
    *,
    input: GeneratorInput | Literal["auto"] = "auto",
    batch_size: int | None = None,
) -> tuple[GeneratorAdapter, Tensor]:
    """How to call the generator: the first way in which it runs.

    Args:
        generator: G.
        spec: the latent.
        input: the only way to try, or "auto" for all.
        batch_size: the number of latents in a dry run; two or three if None.

    Returns:
        The adapter, and the images of the dry run, still with their graph.

    Raises:
        ValueError: it runs in none of them; the message says how each failed.
    """
    if input != "auto":
        check_choice("generator_input", input, ("auto", *GENERATOR_INPUTS))
    n = batch_size or (2 if spec.width != 2 else 3)
    device, dtype = device_and_dtype(generator)
    failures = []
    for attempt in GENERATOR_INPUTS if input == "auto" else (input,):
        adapter = GeneratorAdapter(attempt)
        with dry_run(generator):
            latent = spec.sample(n, rng=torch.Generator().manual_seed(0)).to(device, dtype).requires_grad_()
            try:
                images = adapter(generator, latent, spec)
            except Exception as error:  # whatever a user's module raises belongs in the message below
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                failures.append(f"{attempt}: {type(error).__name__}: {reason}")
                continue
        if isinstance(images, Tensor) and images.ndim >= 2 and len(images) == n:
            return adapter, images
        got = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        failures.append(f"{attempt}: returned {got} for a batch of {n}")
    widths = " + ".join(f"{name} {variable.width}" for name, variable in spec.items())
    raise ValueError(
        f"the generator did not turn a latent of width {spec.width} ({widths}) into a batch of images. Called as\n  "
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
    other_sizes: Sequence[int] = (),
) -> tuple[DiscriminatorAdapter, Tensor]:
    """How to read the discriminator, inferred from dry forward passes on generated images.

    Args:
        discriminator: D.
        images: a batch of G's images.
        tap: where to take the features; inferred if None.
        needs_features: whether Q reads features of D.
        output: what D returns, or "auto" to infer it.
        other_sizes: sizes of batches to try where D does not take this one, such as for minibatch statistics of groups.

    Returns:
        The adapter, and a batch of images that D takes.

    Raises:
        ValueError: D does not take such images, returns no batch of validities, or the tap is not there.
    """
    check_choice("discriminator_output", output, ("auto", "logits", "probabilities"))
    if tap is not None:
        tap.module(discriminator)
    with dry_run(discriminator):
        # With a graph from the images on, a frozen D shows its last activation as well.
        images, returned = _first_batch_taken(discriminator, images, other_sizes)
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
        sigmoid = None
        if output == "probabilities":
            calls = []
            with RecordSigmoids(calls):
                returned = discriminator(images)
            sigmoid = find_call(calls, returned[0] if returns_codes else returned)
    if needs_features and not returns_codes and tap is None:
        tap = default_tap(discriminator, images)
    return DiscriminatorAdapter(output, tap if needs_features else None, returns_codes, sigmoid), images.detach()


def _first_batch_taken(discriminator: nn.Module, images: Tensor, other_sizes: Sequence[int]) -> tuple[Tensor, Any]:
    """A batch of images that D takes, and what it returns for it; the first error if it takes none."""
    first_error = None
    for size in (len(images), *other_sizes):
        batch = images.detach().repeat(-(-size // len(images)), *[1] * (images.ndim - 1))[:size]
        try:
            batch.requires_grad_(images.is_floating_point())
            return batch, discriminator(batch)
        except Exception as error:  # whatever a user's module raises belongs in the message
            first_error = first_error or error
    raise ValueError(
        f"the discriminator did not take images of shape {tuple(images.shape)}, which the generator makes: "
        f"{type(first_error).__name__}: {first_error}"
    ) from first_error
