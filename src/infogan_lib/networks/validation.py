"""Checks that networks and codes fit each other."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib._checks import check_function, describe, join_names
from infogan_lib.latent.loss_code import LossCode
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.latent.vectorized import adjacent_slices
from infogan_lib.networks.activations import Operation, column_operations
from infogan_lib.networks.introspection import describe_output, device_and_dtype, reachable_parameters
from infogan_lib.networks.tap import Tap


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
        check_function(
            "tap", tap, "the name of a layer of the discriminator, a Tap, or a function of what D returns", 1
        )


def check_readers(generator_output: Any, discriminator_output: Any, q_output: Any) -> None:
    """Check the types of the arguments that tell how to read what networks return. Raises TypeError."""
    if generator_output is not None:
        check_function("generator_output", generator_output, "a function of what the generator returns", 1)
    if not isinstance(discriminator_output, str):
        wanted = "'auto', 'logits', 'probabilities' or a function of what the discriminator returns"
        check_function("discriminator_output", discriminator_output, wanted, 1)
    if q_output is not None:
        check_function("q_output", q_output, "a function of what Q returns", 1)


def check_reader_functions(readers: Mapping[str, object]) -> None:
    """Check that what reads the networks' outputs, by the name of its argument, is a function of one value or None."""
    for name, reader in readers.items():
        if reader is not None:
            check_function(name, reader, "a function of what a network returns", 1)


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


def check_is_tensors(returned: Any) -> None:
    """Check that Q returned a Tensor, or several in a tuple, list or dict. Raises TypeError."""
    if isinstance(returned, Tensor):
        return
    parts = returned.values() if isinstance(returned, Mapping) else returned
    if not isinstance(returned, (Mapping, tuple, list)) or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(
            "Q must return its raw outputs as one Tensor, or as several in the codes' order or in a dict by name, but "
            f"got {describe_output(returned)}; pick them by q_output=, such as lambda out: (out[0], out[1])"
        )


def check_q_gradients(parts: Sequence[Tensor], latent: LatentSpec, images: Tensor) -> None:
    """Check that Q's outputs have gradients with respect to the images; a scale beside a mean may be fixed.

    Raises ValueError if those of a code have none.
    """
    columns = adjacent_slices(part.flatten(1).shape[1] for part in parts)
    learned = [at for at, part in zip(columns, parts, strict=True) if id(images) in reachable_parameters(part)]
    for name, at in latent.output_slices.items():
        means = slice(at.start, min(at.stop, at.start + latent[name].width))
        if not any(_overlap(means, other) for other in learned) and not torch.is_inference_mode_enabled():
            raise ValueError(
                f"Q's outputs for {name!r} have no gradients with respect to the images, so the generator could never "
                "learn that code; take the detach(), the no_grad() or the rounding out of Q"
            )


def check_num_outputs(parts: Sequence[Tensor], latent: LatentSpec, batch_size: int, *, hint: str = "") -> None:
    """Check the number of Q's outputs, one for all codes or each for one, and that none spans several codes.

    Raises ValueError, with a hint of what to do where their number is wrong.
    """
    needs = ", ".join(f"{name} {code.num_outputs}" for name, code in latent.codes.items())
    if any(part.ndim < 2 for part in parts):
        shapes = " and ".join(str(tuple(part.shape)) for part in parts)
        raise ValueError(f"Q must give raw outputs (N, columns), but gave {shapes} for {batch_size} images{hint}")
    widths = [part.flatten(1).shape[1] for part in parts]
    if sum(widths) != latent.num_outputs or any(len(part) != batch_size for part in parts):
        shapes = " and ".join(str((len(part), width)) for part, width in zip(parts, widths, strict=True))
        raise ValueError(
            f"Q gave raw outputs of shape {shapes} for a batch of {batch_size}, but the codes need "
            f"{latent.num_outputs} ({needs}); a NormalNLL takes a mean and a log-scale per dimension{hint}"
        )
    for columns in adjacent_slices(widths):
        names = [name for name, at in latent.output_slices.items() if _overlap(at, columns)]
        if len(parts) > 1 and len(names) > 1:
            raise ValueError(
                f"Q gave outputs of widths {widths}, one of which runs over {join_names(names)}, but the codes need, "
                f"in order, {needs}; return them in the latent's order, or as a dict by name"
            )


def _overlap(one: slice, other: slice) -> bool:
    return one.start < other.stop and other.start < one.stop


def check_reach(parts: Sequence[Tensor], latent: LatentSpec, probe: Callable[[], Tensor]) -> None:
    """Check that Q's last operations leave each output the values that its code needs.

    A Softmax before a cross-entropy, or a variance where a log-scale belongs, trains badly without any error. `probe`
    returns the outputs (N, R) for many kinds of images. Raises ValueError for outputs that are bounded where they must
    not be.
    """
    operations = [operation for part in parts for operation in column_operations(part)]
    is_known = all(_is_known(operation) and not operation.is_shifted for operation in operations)
    values = parts[0].new_empty(0, latent.num_outputs) if is_known else probe()
    for name, code in latent.codes.items():
        if isinstance(code, LossCode):
            columns = latent.output_slices[name]
            _check_operations(name, code, operations[columns], values[:, columns])
            _check_values(name, code, operations[columns], values[:, columns])


def _check_operations(name: str, code: LossCode, operations: Sequence[Operation], values: Tensor) -> None:
    """Check that what made a code's outputs leaves them the values that its loss needs. Raises ValueError.

    `values` are the outputs (N, R) for many kinds of images, where constants were added to some.
    """
    for i, operation in enumerate(operations):
        low, high = _reach(operation, values[:, i])
        ends = f"Q's outputs for {name!r} come out of {_with_article(operation.name)}"
        if code.is_discrete and (low, high) != (-math.inf, math.inf) and operation.name != "LogSoftmax":
            raise ValueError(
                f"{ends}, but the cross-entropy of {code!r} takes logits; remove the {operation.name} from the end of Q"
            )
        if code.is_discrete:
            continue
        if i >= code.width:
            if low >= 0:
                raise ValueError(
                    f"{ends} where {code.loss!r} takes a log-scale, the logarithm of the standard deviation, which may "
                    f"be negative; remove the {operation.name} that makes it positive"
                )
        elif low > code.support[0] or high < code.support[1] or operation.name in ("Softmax", "LogSoftmax"):
            raise ValueError(
                f"{ends} and lie in [{low:g}, {high:g}], but {code!r} has values in [{code.support[0]:g}, "
                f"{code.support[1]:g}]; remove the {operation.name} from the end of Q"
            )


_SIGNED = ("LeakyRelu", "Prelu", "Elu", "Silu", "Gelu", "NativeBatchNorm", "NativeLayerNorm", "NativeGroupNorm")
"""Operations of unknown reach whose results have both signs, whatever a batch shows."""


_FEWEST = 16
"""The images, of all kinds, by which outputs are judged at least."""


def _is_known(operation: Operation) -> bool:
    return operation.reach is not None or (not operation.is_shifted and operation.name.startswith(_SIGNED))


def _check_values(name: str, code: LossCode, operations: Sequence[Operation], values: Tensor) -> None:
    """Check outputs (N, R) of unknown operations, such as a sigmoid written by hand, by value. Raises ValueError."""
    finite = values[values.isfinite().all(1)]
    means, scales = finite[:, : code.width], finite[:, code.width :]
    has_unknown_means, has_unknown_scales = (
        not any(_is_known(operation) and not (code.is_discrete and operation.is_shifted) for operation in part)
        for part in (operations[: code.width], operations[code.width :])
    )
    if len(finite) < _FEWEST:
        return
    has_unknown_means &= bool((means.amax(0) > means.amin(0)).all())  # all zeros, as those of a new head, show nothing
    low, high = means.min().item(), means.max().item()
    seen = f"Q's outputs for {name!r} lie in [{low:.3g}, {high:.3g}] for all kinds of images"
    if code.is_discrete:
        if has_unknown_means and low >= 0 and high <= 1:
            raise ValueError(
                f"{seen}, as probabilities do, but the cross-entropy of {code!r} takes logits; return those"
            )
    elif has_unknown_means and low >= 0 > code.support[0]:
        raise ValueError(
            f"{seen}, but {code!r} has values in [{code.support[0]:g}, {code.support[1]:g}]; remove what bounds them "
            "from the end of Q, or end it in a linear layer"
        )
    elif scales.shape[1] and has_unknown_scales and bool(((scales >= 0) & (scales.amax(0) > scales.amin(0))).all()):
        raise ValueError(
            f"Q's outputs for {name!r} where {code.loss!r} takes a log-scale, the logarithm of the standard deviation, "
            "are never negative for any kind of images; remove what makes them positive, or end Q in a linear layer"
        )


def _reach(operation: Operation, values: Tensor) -> tuple[float, float]:
    """The values that an output can take; after a shift or a scale, as far as a batch shows it."""
    if operation.reach is None:
        return -math.inf, math.inf
    if not operation.is_shifted:
        return operation.reach
    is_one_sided = math.isinf(operation.reach[1]) and not math.isinf(operation.reach[0])
    return (0.0, math.inf) if is_one_sided and bool((values >= 0).all()) else (-math.inf, math.inf)


def _with_article(operation: str) -> str:
    return operation if operation.startswith("a ") else f"{'an' if operation[0] in 'aeiouAEIO' else 'a'} {operation}"
