"""Checks that networks and codes fit each other."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from infogan_lib._checks import describe, join_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.introspection import device_and_dtype, final_activation
from infogan_lib.model.tap import Tap


def check_arguments(generator: Any, discriminator: Any, latent: Any, q_head: Any, q_network: Any, tap: Any) -> None:
    """Check the types of `InfoGAN`'s arguments, and that they go together. Raises TypeError or ValueError."""
    check_modules(generator, discriminator, q_head, q_network)
    if not isinstance(latent, LatentSpec):
        raise TypeError(
            "latent must be a LatentSpec such as LatentSpec(z=Noise(62), digit=Categorical(10)), "
            f"but got {describe(latent)}"
        )
    if not latent.codes:
        raise ValueError(f"an InfoGAN needs at least one code beside the noise, such as Categorical(10), in {latent!r}")
    if q_network is not None and (q_head is not None or tap is not None):
        raise ValueError("q_network takes the images themselves; give either it, or q_head and tap")
    if tap is not None and not isinstance(tap, (str, Tap)):
        raise TypeError(f"tap must be the name of a layer of the discriminator or a Tap, but got {describe(tap)}")


def check_modules(generator: Any, discriminator: Any, q_head: Any, q_network: Any) -> None:
    """Check that networks are modules. Raises TypeError."""
    for name, module in (("generator", generator), ("discriminator", discriminator)):
        if not isinstance(module, nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module, but got {describe(module)}")
    if q_network is not None and not isinstance(q_network, nn.Module):
        raise TypeError(f"q_network must be a torch.nn.Module or None, but got {describe(q_network)}")
    if q_head is not None and not isinstance(q_head, nn.Module) and not callable(q_head):
        raise TypeError(
            "q_head must be a torch.nn.Module, or a function of the features' shape and the number of outputs that "
            f"makes one, such as QHead, but got {describe(q_head)}"
        )


def check_no_shared_parameters(
    generator: nn.Module, discriminator: nn.Module, q_head: object, q_network: nn.Module | None
) -> None:
    """Check that networks have one dtype, and that no two of them share a parameter. Raises ValueError."""
    networks = {"generator": generator, "discriminator": discriminator, "q_head": q_head, "q_network": q_network}
    modules = {name: network for name, network in networks.items() if isinstance(network, nn.Module)}
    dtypes = {name: device_and_dtype(net)[1] for name, net in modules.items() if any(True for _ in net.parameters())}
    if len(set(dtypes.values())) > 1:
        raise ValueError(
            f"all networks must have one dtype, but got {dtypes}; convert them, for instance with .float()"
        )
    owners: dict[int, str] = {}
    for owner, network in modules.items():
        for name, parameter in network.named_parameters():
            other = owners.setdefault(id(parameter), owner)
            if other == owner:
                continue
            advice = "tie no weights between them"
            if owner in ("q_head", "q_network") and other == "discriminator":
                advice = "give q_head= only the layers after the shared ones, and tap= the name of the last shared one"
            raise ValueError(f"{owner} and {other} share the parameter {name!r}; {advice}")


def check_q_outputs(parts: Sequence[Tensor], latent: LatentSpec, batch_size: int) -> None:
    """Check the number of Q's outputs, that none spans several codes, and that discrete codes get logits.

    A Softmax or Sigmoid before a cross-entropy trains badly without any error.

    Args:
        parts: Q's outputs in the codes' order, one for all codes or each for one, with their graph.
        latent: the codes.
        batch_size: the number of images that Q was given.

    Raises:
        ValueError: outputs that do not fit.
    """
    needs = ", ".join(f"{name} {code.num_outputs}" for name, code in latent.codes.items())
    widths = [part.flatten(1).shape[1] for part in parts]
    if sum(widths) != latent.num_outputs or any(len(part) != batch_size for part in parts):
        shapes = " and ".join(str((len(part), width)) for part, width in zip(parts, widths, strict=True))
        raise ValueError(
            f"Q gave raw outputs of shape {shapes} for a batch of {batch_size}, but the codes need "
            f"{latent.num_outputs} ({needs}); a NormalNLL takes a mean and a log-scale per dimension"
        )
    start = 0
    for part, width in zip(parts, widths, strict=True):
        stop = start + width
        names = [name for name, at in latent.output_slices.items() if at.start < stop and start < at.stop]
        if len(parts) > 1 and len(names) > 1:
            raise ValueError(
                f"Q gave outputs of widths {widths}, one of which runs over {join_names(names)}, but the codes need, "
                f"in order, {needs}; return them in the latent's order, or as a dict by name"
            )
        activation = final_activation(part)
        for name in names:
            if latent.codes[name].is_discrete and activation in ("sigmoid", "softmax"):
                raise ValueError(
                    f"Q's outputs for {name!r} come out of a {activation.capitalize()}, but the cross-entropy of "
                    f"{latent.codes[name]!r} takes logits; remove the {activation.capitalize()} from the end of Q"
                )
        start = stop
