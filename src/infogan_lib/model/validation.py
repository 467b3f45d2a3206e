"""Whether networks and codes fit each other, and which parameters serve what."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from infogan_lib._checks import describe, join_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.introspection import final_activation, placement
from infogan_lib.model.tap import Tap


def check_parts(generator: Any, discriminator: Any, latent: Any, q_head: Any, q_network: Any, tap: Any) -> None:
    """Arguments of the right types, in combinations that mean something. Raises TypeError or ValueError."""
    check_modules(generator, discriminator, q_head, q_network)
    if not isinstance(latent, LatentSpec):
        raise TypeError(
            "latent must be a LatentSpec such as LatentSpec(z=Noise(62), digit=Categorical(10)), "
            f"but got {describe(latent)}"
        )
    if not latent.codes:
        raise ValueError(f"an InfoGAN needs at least one code beside the noise, such as Categorical(10), in {latent!r}")
    if q_network is not None and (q_head is not None or tap is not None):
        raise ValueError("q_network looks at the images itself; give either it, or q_head and tap")
    if tap is not None and not isinstance(tap, (str, Tap)):
        raise TypeError(f"tap must be the name of a layer of the discriminator or a Tap, but got {describe(tap)}")


def check_modules(generator: Any, discriminator: Any, q_head: Any, q_network: Any) -> None:
    """Networks where networks belong. Raises TypeError."""
    for name, module in (("generator", generator), ("discriminator", discriminator)):
        if not isinstance(module, nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module, but got {describe(module)}")
    for name, module in (("q_head", q_head), ("q_network", q_network)):
        if module is not None and not isinstance(module, nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module or None, but got {describe(module)}")


def check_separate(
    generator: nn.Module, discriminator: nn.Module, q_head: nn.Module | None, q_network: nn.Module | None
) -> None:
    """Networks of one dtype, each with parameters of its own."""
    networks = {"generator": generator, "discriminator": discriminator, "q_head": q_head, "q_network": q_network}
    found = {name: network for name, network in networks.items() if network is not None}
    dtypes = {name: placement(network)[1] for name, network in found.items() if any(True for _ in network.parameters())}
    if len(set(dtypes.values())) > 1:
        raise ValueError(
            f"all networks must have one dtype, but got {dtypes}; convert them, for instance with .float()"
        )
    owners: dict[int, tuple[str, str]] = {}
    for who, network in found.items():
        for name, parameter in network.named_parameters():
            other, _ = owners.setdefault(id(parameter), (who, name))
            if other == who:
                continue
            advice = "tie no weights between them"
            if who in ("q_head", "q_network") and other == "discriminator":
                advice = "give q_head= only the layers after the shared ones, and tap= the name of the last shared one"
            raise ValueError(f"{who} and {other} share the parameter {name!r}; {advice}")


def check_q_outputs(parts: Sequence[Tensor], raw: Tensor, n: int, latent: LatentSpec) -> None:
    """As many outputs of Q as the codes need, each within one code unless there is one for all, and logits where due.

    A Softmax or Sigmoid before a cross-entropy is a mistake that trains badly in silence.
    """
    if raw.shape != (n, latent.num_outputs):
        needs = ", ".join(f"{name} {code.num_outputs}" for name, code in latent.codes.items())
        raise ValueError(
            f"Q gave raw outputs of shape {tuple(raw.shape)} for a batch of {n}, but the codes need "
            f"{latent.num_outputs} ({needs}); a NormalNLL takes a mean and a log-scale per dimension"
        )
    start, widths = 0, [part.flatten(1).shape[1] for part in parts]
    for part, width in zip(parts, widths, strict=True):
        within = [name for name, at in latent.output_slices.items() if at.start < start + width and start < at.stop]
        if len(parts) > 1 and len(within) > 1:
            needs = ", ".join(f"{name} {code.num_outputs}" for name, code in latent.codes.items())
            raise ValueError(
                f"Q gave outputs of widths {widths}, one of which runs over {join_names(within)}, but the codes need, "
                f"in order, {needs}; return them in the latent's order, or as a dict by name"
            )
        activation = final_activation(part)
        for name in within:
            if latent.codes[name].is_discrete and activation in ("sigmoid", "softmax"):
                raise ValueError(
                    f"Q's outputs for {name!r} come out of a {activation.capitalize()}, but the cross-entropy of "
                    f"{latent.codes[name]!r} takes logits; remove the {activation.capitalize()} from the end of Q"
                )
        start += width
