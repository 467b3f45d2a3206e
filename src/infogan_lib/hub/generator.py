"""Loading the generator of a pretrained model without D and Q."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib.checkpoints.compare import check_tensors, renamed_like, with_module_versions
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.model.fingerprint import fingerprint, warn_if_changed
from infogan_lib.model.pretrained import PretrainedGenerator
from infogan_lib.model.saving import SavedModel, check_values, tensors_of
from infogan_lib.networks.generator_adapter import GeneratorAdapter, GeneratorOutput, infer_generator_adapter
from infogan_lib.networks.introspection import device_and_dtype


def load_generator(saved: SavedModel, generator: nn.Module, output: GeneratorOutput | None) -> PretrainedGenerator:
    """G alone, in a network that gets the averaged weights, or G's where there is no average.

    `output` picks the images out of what it returns; None where it returns them. Raises CheckpointError for a network
    of other layers, or another `output`.
    """
    folder, plan, _, versions = saved
    if (output is not None) != ("generator_output" in plan.functions):
        wanted = "with" if output is None else "without"
        raise CheckpointError(folder, f"it was made {wanted} a function for generator_output; load it likewise")
    weights = {kind: tensors_of(saved.tensors, kind) for kind in ("generator", "ema_generator.module")}
    own = generator.state_dict()
    for kind in [*weights]:
        weights[kind] = renamed_like(weights[kind], own)
        if kind == "generator" or plan.ema_decay is not None:
            check_tensors(folder, "generator", weights[kind], own)
    check_values(folder, saved.tensors)
    _load(generator, weights["generator"], versions)
    adapter = _adapter(saved, generator, output)
    result = PretrainedGenerator(
        generator,
        plan.latent,
        adapter,
        image_shape=plan.image_shape,
        pixel_range=plan.pixel_range,
        category_names=plan.category_names,
    )
    result.to(*device_and_dtype(generator))
    result.priors.load_state_dict(tensors_of(saved.tensors, "priors"))
    _warn_if_changed(saved, result)
    if plan.ema_decay is not None:
        _load(generator, weights["ema_generator.module"], versions)
    return result


def _load(generator: nn.Module, tensors: Mapping[str, Tensor], versions: Mapping[str, Any]) -> None:
    own = {name.removeprefix("generator").removeprefix("."): v for name, v in versions.items() if _is_of_g(name)}
    generator.load_state_dict(with_module_versions(dict(tensors), own))


def _is_of_g(name: str) -> bool:
    return name == "generator" or name.startswith("generator.")


def _adapter(saved: SavedModel, generator: nn.Module, output: GeneratorOutput | None) -> GeneratorAdapter:
    """How the generator is called; raises `CheckpointError` where it makes other images than those that were saved."""
    plan = saved.plan
    try:
        adapter, images = infer_generator_adapter(generator, plan.latent, input=plan.generator_input, output=output)
    except (TypeError, ValueError) as error:
        raise CheckpointError(saved.folder, f"what it holds does not fit this generator: {error}") from error
    if tuple(images.shape[1:]) != plan.image_shape:
        shapes = f"{plan.image_shape}, but those here {tuple(images.shape[1:])}"
        raise CheckpointError(saved.folder, f"its images have shape {shapes}")
    return adapter


def _warn_if_changed(saved: SavedModel, model: PretrainedGenerator) -> None:
    """Warn of a generator that computes something else from the same weights, as `InfoGAN.load` does."""
    if saved.plan.fingerprint is None:
        return
    device, dtype = device_and_dtype(model.generator)
    rng = torch.Generator().manual_seed(0)

    def generate() -> Tensor:
        return model(model.latent.sample(3, rng=rng.manual_seed(0)).to(device, dtype))

    warn_if_changed(saved.folder, saved.plan.fingerprint, fingerprint({"generator": generate}, model, device, 2))
