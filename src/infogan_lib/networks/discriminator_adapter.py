"""How a user's discriminator is read: where in what it returns the validity, the codes and the features are.

An adapter is data, not a wrapper. It is found by dry forward passes in eval mode, and torch's random state is restored
afterwards, so nothing of the discriminator changes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from infogan_lib._checks import check_choice, describe
from infogan_lib.networks.activations import Interval, final_operation, measured_interval, probed_outputs
from infogan_lib.networks.introspection import apply_reader, describe_output, dry_run, reachable_parameters
from infogan_lib.networks.sigmoids import RecordSigmoids, SigmoidCall, find_call, logits_of
from infogan_lib.networks.tap import FeatureHook, Tap, capture_features, default_tap

DiscriminatorOutput = Literal["logits", "probabilities"]

OutputReader = Callable[[Any], Any]
"""Turns what a discriminator returns into its validity, or into (validity, codes, ...)."""

FeatureReader = Callable[[Any], Tensor]
"""Picks the features for Q out of what a discriminator returns."""


class DiscriminatorResult(NamedTuple):
    """D's logits (N, *) for images, and Q's raw outputs (N, R) where asked for."""

    logits: Tensor
    q_outputs: Tensor | None


@dataclass(frozen=True)
class DiscriminatorAdapter:
    """How to read the discriminator.

    Args:
        output: Whether D returns "logits" or "probabilities" (a Sigmoid at its end).
        tap: Where its features are taken for the Q head; None where Q reads what D returns, or the images.
        returns_codes: Whether D returns (validity, codes, ...) and so contains Q itself.
        sigmoid: Which Sigmoid makes its probabilities, where that is known.
        read_output: What turns D's return value into its validity, or (validity, codes, ...); None where it is that.
        read_features: What picks the features for Q out of D's return value, in place of a tap.
    """

    output: DiscriminatorOutput
    tap: Tap | None = None
    returns_codes: bool = False
    sigmoid: SigmoidCall | None = field(default=None, compare=False)
    read_output: OutputReader | None = None
    read_features: FeatureReader | None = None

    def __call__(self, discriminator: nn.Module, images: Tensor, hook: FeatureHook | None = None) -> tuple[Tensor, Any]:
        """D's logits for images, and what Q reads: the features, the codes that D itself returned, or the images.

        `hook` is the one at the tap, where D has it already; otherwise there is one for this pass alone. Raises
        TypeError if the tapped layer did not run, or the features are no tensor.
        """
        if self.tap is not None and (hook is None or not hook.active):  # an interrupt may leave one behind
            with capture_features(discriminator, self.tap) as hook:
                return self(discriminator, images, hook)
        if self.output == "probabilities":
            calls = []
            with RecordSigmoids(calls):
                returned = discriminator(images)
                validity, codes = self.read(returned)
            logits = logits_of(validity, calls, self.sigmoid)
        else:
            returned = discriminator(images)
            logits, codes = self.read(returned)
        if self.returns_codes:
            return logits, codes
        if self.read_features is not None:
            return logits, _check_features("tap=, a function, returned", self.read_features(returned))
        if hook is None:
            return logits, images
        return logits, _check_features(f"the tapped layer {self.tap} gave", hook.take())

    def read(self, returned: Any) -> tuple[Tensor, Any]:
        """The validity in what D returned, and the codes beside it where it returns them."""
        value = returned if self.read_output is None else self.read_output(returned)
        return (value[0], _codes_beside(value)) if self.returns_codes else (value, None)

    @property
    def feeds_q(self) -> bool:
        """Whether Q reads anything of D, rather than the images."""
        return self.tap is not None or self.returns_codes or self.read_features is not None


def _check_features(source: str, features: Any) -> Tensor:
    if not isinstance(features, Tensor):
        raise TypeError(
            f"{source} {type(features).__name__} instead of a Tensor in this forward pass; tap a layer that always "
            "runs, outside of compiled modules, and handles one tensor"
        )
    if features.ndim < 2 or not features.is_floating_point():
        raise ValueError(f"{source} {describe(features)}, but Q's head takes features (N, *) of floats")
    return features


def _codes_beside(read: Sequence[Any]) -> Any:
    """What follows the validity in what D returned: the codes' outputs, or a dict of them."""
    return read[1] if len(read) == 2 and isinstance(read[1], Mapping) else read[1:]


def _returns_codes(read: Any, n: int, *, is_told: bool) -> bool:
    """Whether D returns (validity, codes, ...): a tuple of batches in which what follows the validity can be codes.

    What a function of the user's made is taken by its word, if it `is_told`. Raises ValueError for a tuple that cannot
    be read so, and says how to say what it is.
    """
    if not isinstance(read, (tuple, list)):
        return False
    if len(read) < 2:
        raise ValueError(
            f"the discriminator returned {describe_output(read)}, where the validity or a tuple (validity, codes, ...) "
            "was expected; return the validity itself, or say discriminator_output=lambda out: out[0]"
        )
    codes = _codes_beside(read)
    for code in codes.values() if isinstance(codes, Mapping) else codes:
        is_batch = isinstance(code, Tensor) and code.ndim > 0 and len(code) == n
        if not is_batch or math.prod(code.shape[2:]) > 1:  # a map is a validity at another scale, or features
            raise ValueError(
                f"the discriminator returned {describe_output(read)}, of which the first is taken as the validity, but "
                f"{describe_output(code)} cannot be the codes' outputs (N, R); {HOW_TO_READ}"
            )
    if not is_told and isinstance(read[0], Tensor) and read[0].ndim == 2 and read[0].shape[1] > 1:
        raise ValueError(
            f"the discriminator returned {describe_output(read)}, of which the first would be the validity, but it "
            f"has {read[0].shape[1]} numbers per image, as codes or a flattened map have; {HOW_TO_READ}"
        )
    return True


HOW_TO_READ = (
    "say what it returns: discriminator_output=lambda out: out[0], for instance, picks the validity, and "
    "tap=lambda out: out[1] features that Q is to read"
)


def _check_validity(validity: Any, n: int) -> None:
    if isinstance(validity, Tensor) and validity.ndim > 0 and len(validity) == n:
        return
    is_tensor = isinstance(validity, Tensor)
    raise ValueError(
        f"the discriminator must return one validity (or a map of them) per image, shape ({n}, *), or a tuple that "
        f"starts with it, but got {f'shape {tuple(validity.shape)}' if is_tensor else describe_output(validity)}"
        + (f"; {HOW_TO_READ}" if not is_tensor else "" if validity.ndim else "; leave the mean over the batch out of D")
    )


def _check_gradients(validity: Tensor, images: Tensor) -> None:
    if id(images) not in reachable_parameters(validity) and not torch.is_inference_mode_enabled():
        raise ValueError(
            "the discriminator's validity has no gradients with respect to the images, so the generator could never "
            "learn from it; take the detach(), the no_grad() or the rounding out of its forward"
        )


def _check_probabilities(low: float, high: float) -> None:
    if low < 0 or high > 1:
        raise ValueError(
            f"discriminator_output is 'probabilities', but D returned values from {low:.3g} to {high:.3g}; say "
            "'logits', or end D in a Sigmoid"
        )


def _output_kind(validity: Tensor, measure: Callable[[], Interval]) -> DiscriminatorOutput:
    """Whether D returns logits or probabilities, by its graph or by the range of its outputs that `measure` finds.

    Raises ValueError if it can be neither, or it cannot be told.
    """
    operation = final_operation(validity)
    if operation.name in ("Softmax", "LogSoftmax", "LogSigmoid") and not operation.is_shifted:
        raise ValueError(
            f"the discriminator ends in a {operation.name}, but a GAN's loss takes one logit per image; remove the "
            f"{operation.name}"
        )
    if operation.name == "Sigmoid" and not operation.is_shifted:
        return "probabilities"
    if operation.name == "a linear layer" or operation.name == "a sum of layers":
        return "logits"
    low, high = measure()
    if math.isclose(low, -1, abs_tol=2e-3) and math.isclose(high, 1, abs_tol=2e-3):
        raise ValueError(
            "the discriminator's outputs end at -1 and 1, as those of a Tanh do; as logits these never say that an "
            "image is real with more than 73%. Remove what bounds them from the end of D, or say "
            "discriminator_output='logits' where that is meant, as with a loss of least squares"
        )
    if low < 0 < high:
        return "logits"
    kind = "probabilities are" if low >= 0 and high <= 1 else "logits are not"
    raise ValueError(
        f"the discriminator returned values from {low:.3g} to {high:.3g} only, as {kind}, and its last operation does "
        "not tell what they are; say discriminator_output='probabilities' or 'logits', or remove what bounds them from "
        "the end of D"
    )


def infer_discriminator_adapter(
    discriminator: nn.Module,
    images: Tensor,
    *,
    tap: Tap | FeatureReader | None = None,
    needs_features: bool = True,
    output: DiscriminatorOutput | OutputReader | Literal["auto"] = "auto",
    other_sizes: Sequence[int] = (),
) -> tuple[DiscriminatorAdapter, Tensor]:
    """How to read the discriminator, inferred from dry forward passes on generated images.

    Args:
        discriminator: D.
        images: A batch of G's images.
        tap: Where to take the features; inferred if None.
        needs_features: Whether Q reads features of D.
        output: What D returns, or a function that reads it, or "auto" to infer it.
        other_sizes: Sizes of batches to try where D does not take this one, such as for minibatch statistics of groups.

    Returns:
        The adapter, and a batch of images that D takes.

    Raises:
        ValueError: D does not take such images, returns no batch of validities, returns something that can be read in
            several ways, or the tap is not there.
    """
    read_output = None if isinstance(output, str) else output
    kind: Any = "auto"
    if isinstance(output, str):
        kind = check_choice("discriminator_output", output, ("auto", "logits", "probabilities"))
    if isinstance(tap, Tap):
        tap.module(discriminator)
    reader = DiscriminatorAdapter("logits", read_output=read_output)
    with dry_run(discriminator):
        # With a graph from the images on, a frozen D shows its last activation as well.
        images, returned = _first_batch_taken(discriminator, images, other_sizes)
        read = apply_reader("discriminator_output, a function,", read_output, returned, "the discriminator")
        returns_codes = _returns_codes(read, len(images), is_told=read_output is not None)
        reader = replace(reader, returns_codes=returns_codes)
        validity = read[0] if returns_codes else read
        _check_validity(validity, len(images))
        _check_gradients(validity, images)
        if returns_codes and tap is not None:
            raise ValueError(
                "this discriminator returns codes itself, so there is nothing to tap; leave tap out, or let "
                "discriminator_output= pick the validity alone"
            )

        def measure() -> Interval:
            return measured_interval(probed_outputs(lambda x: reader.read(discriminator(x))[0], images))

        if kind == "auto":
            kind = _output_kind(validity, measure)
        elif kind == "probabilities":
            _check_probabilities(*measure())
        sigmoid = None
        if kind == "probabilities":
            calls = []
            with RecordSigmoids(calls):
                sigmoid = find_call(calls, reader.read(discriminator(images))[0])
    if not needs_features or returns_codes:
        tap = None
    elif tap is None:
        tap = default_tap(discriminator, images, lambda returned: reader.read(returned)[0])
    adapter = DiscriminatorAdapter(
        kind,
        tap if isinstance(tap, Tap) else None,
        returns_codes,
        sigmoid,
        read_output,
        None if isinstance(tap, Tap) else tap,
    )
    return adapter, images.detach()


OTHER_SIZES = (4, 8, 16, 32, 64, 3, 5, 6, 7, 9, 10, 12)
"""The sizes of batches that are tried where D does not take two images, as minibatch statistics may need groups."""


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
        + ("; if it takes batches of some sizes only, say one by dry_run_batch_size= of InfoGAN" if other_sizes else "")
    ) from first_error
