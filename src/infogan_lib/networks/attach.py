"""Q attached to a discriminator: the default head where the user gives none, checked by one forward pass of both."""

from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib._checks import describe
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.networks.activations import probed_outputs
from infogan_lib.networks.discriminator_adapter import HOW_TO_READ, DiscriminatorAdapter, OutputReader
from infogan_lib.networks.introspection import SharedNames, apply_reader, dry_run, parameters_read_by_q
from infogan_lib.networks.q_head import QHeadFactory, flat_outputs, outputs_in_order, proportionate_head
from infogan_lib.networks.validation import check_is_tensors, check_num_outputs, check_q_gradients, check_reach


def attach_q(
    q: nn.Module | QHeadFactory | None,
    discriminator: nn.Module,
    adapter: DiscriminatorAdapter,
    images: Tensor,
    latent: LatentSpec,
    *,
    read_output: OutputReader | None,
    seed: int,
) -> tuple[nn.Module | None, SharedNames]:
    """Find or make the module that is Q, and check that it fits D and the codes.

    Args:
        q: The user's head or network, or what makes a head; a `QHead` in proportion to D if None.
        discriminator: D.
        adapter: How D is read.
        images: A batch of G's images on D's device.
        latent: The codes.
        read_output: What picks the raw outputs out of what Q returns; None where it returns them.
        seed: The seed of the initial weights of a head that is made here.

    Returns:
        Q, None where it is inside D; and the names of D's parameters that Q's outputs depend on.

    Raises:
        TypeError: a head that was made and is no module.
        ValueError: a Q beside the one in D, or outputs that do not fit the codes.
    """
    if adapter.returns_codes and q is not None:
        raise ValueError(
            "this discriminator returns codes itself, so it takes no q_head or q_network; leave that out, "
            "or let discriminator_output= pick the validity alone, as with lambda out: out[0]"
        )
    images = images.requires_grad_()
    with dry_run(discriminator):
        logits, q_input = _read(discriminator, adapter, images)
        head = q if isinstance(q, nn.Module) else None
        if head is None and not adapter.returns_codes:
            head = _make_head(q, discriminator, q_input, latent.num_outputs, seed)

    def run_q(q_input: Any) -> list[Tensor]:
        returned = q_input if head is None else _forward(head, q_input)
        returned = apply_reader("q_output, a function,", read_output, returned, "Q")
        check_is_tensors(returned)
        return outputs_in_order(returned, latent)

    def probe() -> Tensor:
        return probed_outputs(lambda x: flat_outputs(run_q(adapter(discriminator, x)[1]), latent), images)

    with dry_run(discriminator, head):
        outputs = run_q(q_input)
        how = HOW_TO_READ if adapter.returns_codes else "pick them by q_output=, a function of what Q returns"
        check_num_outputs(outputs, latent, len(images), hint=f"; or {how}")
        check_q_gradients(outputs, latent, images)
        check_reach(outputs, latent, probe)
        q_outputs = flat_outputs(outputs, latent)
    # Scored once here, so that a code of the user's own that cannot be scored fails before training.
    codes = latent.sample(len(images), rng=torch.Generator().manual_seed(0))
    latent.nll(q_outputs, codes.to(q_outputs))
    return head, parameters_read_by_q(discriminator, logits, q_outputs)


def _read(discriminator: nn.Module, adapter: DiscriminatorAdapter, images: Tensor) -> tuple[Tensor, Any]:
    """The validity and what Q reads, in the dry run. Raises ValueError where the user's function for `tap` fails."""
    try:
        return adapter(discriminator, images)
    except (RuntimeError, IndexError, KeyError, AttributeError) as error:
        if adapter.read_features is None:
            raise
        raise ValueError(
            f"tap, a function, failed on what the discriminator returned: {type(error).__name__}: {error}"
        ) from error


def _forward(q: nn.Module, q_input: Tensor) -> Any:
    """What Q returns in the dry run. Raises ValueError where its forward fails."""
    try:
        return q(q_input)
    except Exception as error:  # whatever a user's module raises belongs in the message
        raise ValueError(
            f"Q, as q_head or q_network gives it, did not take a batch of shape {tuple(q_input.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _make_head(
    factory: QHeadFactory | None, discriminator: nn.Module, features: Tensor, outputs: int, seed: int
) -> nn.Module:
    """A head for features (N, *), on their device; torch's generator is seeded. Raises TypeError if it is no module."""
    feature_shape = tuple(features.shape[1:])
    torch.default_generator.manual_seed(seed)
    if factory is None:
        size = sum(parameter.numel() for parameter in discriminator.parameters())
        return proportionate_head(feature_shape, outputs, discriminator_size=size).to(features)
    try:
        head = factory(feature_shape, outputs)
    except Exception as error:  # whatever a user's function raises belongs in the message
        raise TypeError(
            f"q_head must be a module, or a function that makes one of the features' shape {feature_shape} and "
            f"{outputs} outputs, but it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(head, nn.Module):
        raise TypeError(f"q_head must make a torch.nn.Module of the features' shape, but made {describe(head)}")
    return head.to(features)
