"""The trainer's replicas: one in each process, with the same weights, settings, data and random numbers."""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from infogan_lib._version import __version__
from infogan_lib.data.labels import Batch, LabeledBatch
from infogan_lib.data.rng import TorchRng
from infogan_lib.distributed import ProcessError, Processes
from infogan_lib.distributed.processes import digest
from infogan_lib.distributed.rows import check_bare, spread
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.step.precision import Precision
from infogan_lib.step.snapshot import Snapshot

if TYPE_CHECKING:
    from infogan_lib.step.engine import Engine

_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-2}
"""The relative difference between two ways to compute a batch that is rounding, with TF32 where a device has it."""

_ROUGH = 0.2
"""The same for the dtypes of 16 bits."""

_ROWS = 16


def check_networks(processes: Processes, engine: "Engine", *networks: Any) -> None:
    """Check that networks can be trained by several processes.

    Raises TypeError for networks in a wrapper, and ValueError for networks that are to be compiled.
    """
    if processes.world_size == 1:
        return
    check_bare(*(network for network in networks if isinstance(network, nn.Module)))
    if engine.compile:
        raise ValueError(
            f"engine.compile must be False with {processes.world_size} processes: compiled networks would not see the "
            "rows of the others"
        )


def begin_alike(
    processes: Processes, modules: Sequence[nn.Module], settings: Mapping[str, Any], device: torch.device
) -> None:
    """Check that all processes have the same code and settings, and give them the weights and generators of process 0.

    Raises ProcessError for versions, code, settings or networks that differ.
    """
    if processes.world_size == 1:
        return
    processes.check_device(device)
    processes.check_settings("versions", {"infogan-lib": __version__, "torch": torch.__version__})
    tensors = [pair for module in modules for pair in [*module.named_parameters(), *module.named_buffers()]]
    processes.check_settings("networks", {name: f"{t.dtype} {tuple(t.shape)}" for name, t in tensors})
    processes.check_settings("code", _code(modules))
    processes.check_settings("settings", settings)
    processes.share(tensor for _, tensor in tensors)
    rng = TorchRng(device)
    rng.load_state_dict(processes.exchange(rng.state_dict())[0])


def _code(modules: Sequence[nn.Module]) -> dict[str, str]:
    """What the networks do: each layer with its settings, and a digest of the source of each class but torch's."""
    layers = [pair for module in modules for pair in module.named_modules()]
    classes = {type(layer) for _, layer in layers if not type(layer).__module__.startswith("torch.")}
    sources = {f"class {kind.__qualname__}": _source_digest(kind) for kind in classes}
    return {name: f"{type(layer).__qualname__}({layer.extra_repr()})" for name, layer in layers} | sources


def _source_digest(kind: type) -> str:
    try:
        return hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # made in an interpreter, of which no source is kept
        return "unknown"


def check_first_batch(processes: Processes, model: InfoGAN, precision: Precision, real: Batch) -> None:
    """Check that all processes have the same batch, the whole one, and that the networks can be spread over them.

    Raises ProcessError for batches that differ, and ValueError for a network with a layer that looks at other rows, in
    its running statistics too, and is no BatchNorm.
    """
    images = real.images if isinstance(real, LabeledBatch) else real
    held = real.tensors if isinstance(real, LabeledBatch) else [real]
    digests = processes.exchange([digest(tensor) for tensor in held])
    if others := [rank for rank, own in enumerate(digests) if own != digests[0]]:
        raise ProcessError(
            f"process {others[0]} has another batch than process 0; every process needs the whole batch, and trains on "
            "its own rows of it: leave out a DistributedSampler, and give what shuffles the same seed"
        )
    # A few rows of each process show what there is to see, and fit into the memory of one.
    count = min(len(images), max(_ROWS, 2 * processes.world_size))
    rng = torch.Generator(images.device).manual_seed(0)
    latents = model.latent.sample(count, rng=rng, device=images.device, dtype=images.dtype)
    before, global_rng = Snapshot([model]), TorchRng(images.device)
    before.take()
    states = global_rng.state_dict()
    try:
        for name, network, function, batch in (
            ("the generator", model.generator, model.generate, latents),
            ("the discriminator or Q", model, model.discriminate, images[:count]),
        ):
            parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
            results: list[tuple[list[Tensor], list[Tensor]]] = []
            for run in (spread(function, processes), function):
                before.restore()  # a pass of spectral normalization depends on the buffers that the last one left
                global_rng.load_state_dict(states)
                with precision.step():
                    made = _outputs_and_gradients(run, batch, parameters, precision)
                results.append((made, [buffer.clone() for buffer in network.buffers() if buffer.is_floating_point()]))
            (ours, own_buffers), (one, buffers) = results
            processes.average(ours[-len(parameters) :] if parameters else [])
            _check_same(name, ours, one, precision, processes)
            _check_same(name, own_buffers, buffers, precision, processes)
    finally:
        global_rng.load_state_dict(states)
        before.restore()


def _outputs_and_gradients(
    run: Callable[[Tensor], Any], batch: Tensor, parameters: list[nn.Parameter], precision: Precision
) -> list[Tensor]:
    """What a network makes of a batch, and the gradient of the sum of its sines, in which each number has its part."""
    with precision.forward():
        made = run(batch)
    outputs = [made] if isinstance(made, Tensor) else [part for part in made if part is not None]
    loss = torch.stack([output.float().sin().sum() for output in outputs]).sum()
    if not parameters or not loss.requires_grad:
        return [output.detach() for output in outputs] + [torch.zeros_like(p) for p in parameters]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return [output.detach() for output in outputs] + list(gradients)


def _check_same(name: str, ours: list[Tensor], one: list[Tensor], precision: Precision, processes: Processes) -> None:
    if not one or not all(tensor.isfinite().all() for tensor in one):
        return
    tolerance = _TOLERANCES.get(one[0].dtype, _ROUGH) if precision.name == "fp32" else _ROUGH
    errors = [(mine - expected).float().norm() for mine, expected in zip(ours, one, strict=True)]
    norms = [expected.float().norm() for expected in one]
    largest = torch.stack(norms).max()
    for error, norm in zip(errors, norms, strict=True):
        if not error <= tolerance * torch.maximum(norm, 0.01 * largest) + 1e-12:
            raise ValueError(
                f"{name} makes something else of a batch on {processes.world_size} processes than on one, as a layer "
                "does that looks at the whole batch, such as a standard deviation over it or the running statistics of "
                "InstanceNorm, or that draws random numbers; of these only BatchNorm and dropout can be spread over "
                "processes, and not in a part that torch.utils.checkpoint computes again. Leave it out, or train in "
                "one process"
            )


def tensors_in(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in a state, with their places in it as names."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, Mapping | list | tuple):
        for key, value in state.items() if isinstance(state, Mapping) else enumerate(state):
            yield from tensors_in(value, f"{name}.{key}" if name else str(key))
