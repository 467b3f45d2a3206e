"""A model in a folder: its weights, and the plan of how its parts fit together.

The networks are built by whoever loads the model, and compared with what was saved tensor by tensor before anything is
changed.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from infogan_lib._checks import check_path, join_names, shorten
from infogan_lib._schema import MAX_EXACT_INT
from infogan_lib.checkpoints.bundle import read_bundle, write_bundle
from infogan_lib.checkpoints.compare import (
    check_tensors,
    module_versions,
    renamed_like,
    with_module_versions,
    without_wrappers,
)
from infogan_lib.checkpoints.disk import CheckpointError, makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.lock import hold_for_writing
from infogan_lib.checkpoints.run_folder import check_free
from infogan_lib.checkpoints.state import check_schema
from infogan_lib.checkpoints.tensor_file import to_plain_data
from infogan_lib.model.fingerprint import model_fingerprint, warn_if_changed
from infogan_lib.model.plan import VERSIONS, ModelPlan, q_kind
from infogan_lib.model.priors import is_prior
from infogan_lib.networks.ema import make_ema
from infogan_lib.networks.introspection import device_and_dtype
from infogan_lib.networks.q_head import LIBRARY_HEADS, QHeadFactory, saved_head
from infogan_lib.networks.validation import check_modules

if TYPE_CHECKING:
    from infogan_lib.model.infogan import InfoGAN

    Model = TypeVar("Model", bound=InfoGAN)

_KIND = "model"

_Q_KINDS = {
    "default": "the library's own head or inside the discriminator",
    "head": "a q_head of the user's",
    "network": "a q_network of the user's",
}


def save_model(model: "InfoGAN", folder: str | os.PathLike[str]) -> None:
    """Write a model into a folder; see `InfoGAN.save`."""
    folder, tensors = check_path("folder", folder), model.state_dict()
    metadata = ModelPlan.of(model).to_dict()
    check_free(folder, _KIND)  # a run that is under way holds its folder, so look before waiting for it
    with os_errors_as_checkpoint_errors(folder, "making the folder"):
        makedirs_synced(folder)
    state = to_plain_data({_VERSIONS: module_versions(tensors), **tensors}, "model")
    with hold_for_writing(folder) as is_alone:
        check_free(folder, _KIND)
        write_bundle(folder, _KIND, metadata, state, max_bytes=4 * size_in_bytes(model) + 2**30, sweep=is_alone)


_VERSIONS = "versions"


class SavedModel(NamedTuple):
    """A model as a folder holds it.

    Attributes:
        folder: The folder.
        plan: How the parts fit together.
        tensors: The tensors by name.
        versions: What `module_versions` noted of the modules.
    """

    folder: Path
    plan: ModelPlan
    tensors: Mapping[str, Any]
    versions: Mapping[str, Any]


@dataclass(frozen=True)
class GivenNetworks:
    """The networks that get a saved model's weights; the fields are those of `InfoGAN.load`.

    Attributes:
        readers: The functions that the model was made with, by the argument's name; None for those without.
    """

    generator: nn.Module
    discriminator: nn.Module
    q_head: nn.Module | QHeadFactory | None
    q_network: nn.Module | None
    readers: Mapping[str, Callable[[Any], Any] | None]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Those that are modules, by the name that their tensors have in a model."""
        q = self.q_network if self.q_head is None else self.q_head
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return networks | ({"q": q} if isinstance(q, nn.Module) else {})


def load_model(cls: "type[Model]", folder: str | os.PathLike[str], given: GivenNetworks) -> "Model":
    """Read a model from a folder; see `InfoGAN.load`."""
    check_modules(given.generator, given.discriminator, given.q_head, given.q_network)
    folder = check_path("folder", folder)
    metadata, state = read_bundle(folder, _KIND, max_bytes=max_weight_bytes(given.modules.values()))
    return assemble_model(cls, SavedModel(folder, ModelPlan.from_dict(folder, metadata), *_split(folder, state)), given)


def assemble_model(cls: "type[Model]", saved: SavedModel, given: GivenNetworks) -> "Model":
    """A saved model in given networks.

    Raises CheckpointError for networks of other layers, or other arguments; the networks are then as they were.
    """
    folder, plan, tensors, versions = saved
    own = {name: network.state_dict() for name, network in given.modules.items()}
    q_head, kind = given.q_head, q_kind(given.q_head, given.q_network)
    if plan.q != kind:
        raise CheckpointError(
            folder,
            f"its Q is {_Q_KINDS.get(str(plan.q)[:20], repr(plan.q)[:60])}, but what was given is {_Q_KINDS[kind]}",
        )
    if plan.head is not None and plan.head not in LIBRARY_HEADS:
        raise CheckpointError(
            folder, f"its Q head is {shorten(plan.head)}, but this version has {join_names(LIBRARY_HEADS)}"
        )
    readers = {name: function for name, function in given.readers.items() if function is not None}
    if set(readers) != set(plan.functions):
        raise CheckpointError(
            folder,
            f"it was made with {_functions(plan.functions)}, but what was given is {_functions(readers)}; files hold "
            "no functions, so give those that it was made with",
        )
    for name, network in own.items():
        check_tensors(folder, name, renamed_like(tensors_of(tensors, name), network), network)
    if kind == "default" and plan.head and (plan.tap is not None or "tap" in readers):
        q_head = saved_head(plan.head, tensors_of(tensors, "q"), plan.latent.num_outputs)
    places: dict[str, Any] = {"tap": plan.tap, "discriminator_output": plan.discriminator_output} | readers
    try:
        model = cls(
            given.generator,
            given.discriminator,
            plan.latent,
            q_head=q_head,
            q_network=given.q_network,
            generator_input=plan.generator_input,
            pixel_range=plan.pixel_range,
            **places,
        )
        for code, names in plan.category_names.items():
            model.set_category_names(code, names)
        if plan.ema_decay is not None:
            model.ema_generator = make_ema(given.generator, plan.ema_decay)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(folder, f"what it holds does not fit these networks: {error}") from error
    if model.image_shape != plan.image_shape:
        raise CheckpointError(folder, f"its images have shape {plan.image_shape}, but those here {model.image_shape}")
    model.to(*device_and_dtype(given.generator))
    load_tensors(model, folder, tensors, versions)
    if plan.fingerprint is not None:
        warn_if_changed(folder, plan.fingerprint, model_fingerprint(model, runs=2))
    return model


def load_tensors(model: nn.Module, path: Path, tensors: Mapping[str, Any], versions: Mapping[str, Any]) -> None:
    """Load tensors into a model, once all are known to fit; names may differ by wrappers such as torch.compile's.

    `versions` is what `module_versions` noted of the modules. Raises CheckpointError for tensors of another model.
    """
    own = model.state_dict()
    saved, versions = current_names(tensors), current_names(versions)
    tensors = renamed_like(saved, own)
    check_tensors(path, "network", tensors, own)
    check_values(path, tensors)
    if set(tensors) != set(saved):
        unwrapped = {without_wrappers(name): value for name, value in versions.items()}
        names = {name: without_wrappers(name) for name in module_versions(own)}
        versions = {name: unwrapped[key] for name, key in names.items() if key in unwrapped}
    model.load_state_dict(with_module_versions(tensors, versions))


def check_values(path: Path, tensors: Mapping[str, Any]) -> None:
    """Check the counts that BatchNorm and the average keep, which they divide by, and the learned priors.

    Raises CheckpointError for a count below 0 or beyond any run, or a prior that is none.
    """
    counts = {
        name: t for name, t in tensors.items() if name.rpartition(".")[2] in ("n_averaged", "num_batches_tracked")
    }
    for name, count in counts.items():
        if isinstance(count, Tensor) and not bool(((count >= 0) & (count <= MAX_EXACT_INT)).all()):
            raise CheckpointError(path, f"its {name} must be from 0 to {MAX_EXACT_INT:,}; it is damaged or forged")
    for name, prior in tensors.items():
        if name.startswith("priors.") and isinstance(prior, Tensor) and not is_prior(prior):
            raise CheckpointError(
                path, f"its {name} must be numbers of at least 0 that add up to 1; it is damaged or forged"
            )


def current_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors by the names that they have today; version 0.1 had another one for the averaged generator."""
    old, new = "averaged_generator", "ema_generator"
    return {
        new + name.removeprefix(old) if name.partition(".")[0] == old else name: value
        for name, value in tensors.items()
    }


def _split(path: Path, state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(path, "it does not hold tensors by name")
    tensors: dict[str, Any] = state
    versions: Any = state.get(_VERSIONS)
    if set(state) == {"tensors", _VERSIONS}:  # format 1
        tensors = state["tensors"]
    if not isinstance(tensors, dict):
        raise CheckpointError(path, "it does not hold tensors by name")
    check_schema(path, _VERSIONS, versions, VERSIONS)
    return {str(name): value for name, value in tensors.items() if name != _VERSIONS}, versions


def tensors_of(tensors: Mapping[str, Any], network: str) -> dict[str, Any]:
    """The tensors of one network, by the names that it has for them."""
    return {name.removeprefix(f"{network}."): t for name, t in tensors.items() if name.startswith(f"{network}.")}


def _functions(names: Collection[str]) -> str:
    return f"functions for {join_names(names)}" if names else "no functions"


def max_weight_bytes(networks: Iterable[nn.Module]) -> int:
    """The most bytes that the saved weights of a model with these networks may have, averages and Q among them."""
    return 8 * sum(map(size_in_bytes, networks)) + 2**30


def size_in_bytes(module: nn.Module) -> int:
    """The size of all parameters and buffers; those of a lazy module have none yet."""
    tensors = [value for value in module.state_dict().values() if isinstance(value, Tensor) and not is_lazy(value)]
    return sum(value.numel() * value.element_size() for value in tensors)


def check_finite_weights(model: nn.Module) -> None:
    """Check that there is no NaN or infinity in a model that others are to use. Raises ValueError naming the first."""
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"model must have finite weights, but its {name!r} holds NaN or infinity")
