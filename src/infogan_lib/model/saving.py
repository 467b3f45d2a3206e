"""A model in a folder: its weights, and a plan of how its parts fit together.

The plan is data: a latent as JSON, names, numbers. The networks are built by whoever loads the model, and compared with
what was saved tensor by tensor before anything is changed.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from infogan_lib._checks import check_path, join_names
from infogan_lib._schema import MAX_INT, Float, Int, Items, ListOf, MapOf, Nullable, OneOf, Plain, Record, Text
from infogan_lib._version import __version__
from infogan_lib.checkpoints.bundle import read_bundle, write_bundle
from infogan_lib.checkpoints.compare import (
    check_tensors,
    known_fields,
    module_versions,
    renamed_like,
    with_module_versions,
    without_wrappers,
)
from infogan_lib.checkpoints.disk import CheckpointError, makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.holding import hold_for_writing
from infogan_lib.checkpoints.state import check_schema
from infogan_lib.checkpoints.tensor_file import to_plain_data
from infogan_lib.data.pixels import PixelRange, pixel_range
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.adapters import GENERATOR_INPUTS, DiscriminatorOutput, GeneratorInput
from infogan_lib.model.ema import ema_decay, make_ema
from infogan_lib.model.fingerprint import FINGERPRINT, Fingerprint, model_fingerprint, warn_if_changed
from infogan_lib.model.introspection import device_and_dtype
from infogan_lib.model.q_head import LIBRARY_HEADS, QHeadFactory
from infogan_lib.model.tap import Tap
from infogan_lib.model.validation import check_modules

if TYPE_CHECKING:
    from infogan_lib.model.infogan import InfoGAN

    Model = TypeVar("Model", bound=InfoGAN)

QKind = Literal["default", "head", "network"]

_KIND = "model"

_Q_KINDS = {
    "default": "the library's own head or inside the discriminator",
    "head": "a q_head of the user's",
    "network": "a q_network of the user's",
}


CATEGORY_NAMES = MapOf(ListOf(Nullable(Text())))

PIXEL_RANGE = Nullable(Items((Float(), Float())))

VERSIONS = MapOf(Record({"version": Nullable(Int())}, optional=frozenset({"version"}), is_open=True))

_FIELDS = {
    "latent": Text(),
    "image_shape": ListOf(Int(1, 2**31), shortest=1, longest=8),
    "category_names": CATEGORY_NAMES,
    "pixel_range": PIXEL_RANGE,
    "generator_input": OneOf(("auto", *GENERATOR_INPUTS)),
    "discriminator_output": OneOf(("auto", "logits", "probabilities")),
    "tap": Nullable(Items((Text(), OneOf(("input", "output"))))),
    "q": Plain(),  # compared with the networks that are given
    "head": Nullable(Text()),
    "ema_decay": Nullable(Float(0, 1)),
    "library": Text(),
    "torch": Text(),
    "fingerprint": FINGERPRINT,
}

PLAN = Record(_FIELDS, optional=frozenset(_FIELDS) - {"latent", "image_shape"})
"""The fields of `ModelPlan` as they are saved."""


@dataclass(frozen=True)
class ModelPlan:
    """What a saved model holds beside its weights; the fields are those of `InfoGAN`.

    A field without a default is in every file. One that is added later needs a default, which then stands for the
    models that were saved before, and a place in `PLAN`.
    """

    latent: LatentSpec
    image_shape: tuple[int, ...]
    category_names: dict[str, CategoryNames] = field(default_factory=dict)
    pixel_range: PixelRange | None = None
    generator_input: GeneratorInput | Literal["auto"] = "auto"
    discriminator_output: DiscriminatorOutput | Literal["auto"] = "auto"
    tap: Tap | None = None
    q: QKind = "default"
    head: str | None = "BatchNormQHead"
    ema_decay: float | None = None
    library: str = "unknown"
    torch: str = "unknown"
    fingerprint: Fingerprint | None = None

    @classmethod
    def of(cls, model: "InfoGAN") -> "ModelPlan":
        """The plan of a model."""
        return cls(
            latent=model.latent,
            image_shape=model.image_shape,
            category_names=model.category_names,
            pixel_range=model.pixel_range,
            generator_input=model.generator_adapter.input,
            discriminator_output=model.discriminator_adapter.output,
            tap=model.discriminator_adapter.tap,
            q=model.q_kind,
            head=None if model.q is None or model.q_kind != "default" else type(model.q).__name__,
            ema_decay=ema_decay(model.ema_generator),
            library=__version__,
            torch=torch.__version__,
            fingerprint=model_fingerprint(model),
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON data."""
        return {
            "library": self.library,
            "torch": self.torch,
            "latent": self.latent.to_json(),
            "image_shape": list(self.image_shape),
            "category_names": {code: list(names) for code, names in self.category_names.items()},
            "pixel_range": self.pixel_range and list(self.pixel_range),
            "generator_input": self.generator_input,
            "discriminator_output": self.discriminator_output,
            "tap": self.tap and [self.tap.layer, self.tap.at],
            "q": self.q,
            "head": self.head,
            "ema_decay": self.ema_decay,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_dict(cls, path: Path, saved: Mapping[str, Any]) -> "ModelPlan":
        """The plan that `to_dict` wrote, here or in another version.

        Args:
            path: where it was saved, for messages.
            saved: JSON data.

        Raises:
            CheckpointError: a field that is missing, unknown and required, of another type or out of bounds.
        """
        plan = known_fields(path, "plan", saved, PLAN)
        if plan.get("generator_input") == "parts":  # version 0.1's name
            plan["generator_input"] = "separate"
        parsers = {
            "latent": LatentSpec.from_json,
            "image_shape": tuple,
            "category_names": lambda named: {code: tuple(names) for code, names in named.items()},
            "pixel_range": lambda ends: None if ends is None else pixel_range(ends),
            "tap": lambda place: None if place is None else Tap(*place),
        }
        try:
            PLAN.check(plan, "plan")
            return cls(**{name: _parse(name, parsers.get(name), value) for name, value in plan.items()})
        except (TypeError, ValueError) as error:
            raise CheckpointError(path, f"its plan cannot be read: {error}") from error


def q_kind(q_head: object, q_network: object) -> QKind:
    """Whose Q a model has, by the arguments of `InfoGAN`."""
    if q_network is not None:
        return "network"
    return "default" if q_head is None or q_head in LIBRARY_HEADS.values() else "head"


def _parse(name: str, parser: Callable[[Any], Any] | None, value: Any) -> Any:
    """A field of a plan from its JSON, or an error that names it."""
    try:
        return value if parser is None else parser(value)
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from error


def save_model(model: "InfoGAN", folder: str | os.PathLike[str]) -> None:
    """Write a model into a folder; see `InfoGAN.save`."""
    folder, tensors = check_path("folder", folder), model.state_dict()
    metadata = ModelPlan.of(model).to_dict()
    with os_errors_as_checkpoint_errors(folder, "making the folder"):
        makedirs_synced(folder)
    state = to_plain_data({_VERSIONS: module_versions(tensors), **tensors}, "model")
    with hold_for_writing(folder) as is_alone:
        write_bundle(folder, _KIND, metadata, state, max_bytes=4 * _size(tensors) + 2**30, sweep=is_alone)


_VERSIONS = "versions"


def load_model(
    cls: "type[Model]",
    folder: str | os.PathLike[str],
    *,
    generator: nn.Module,
    discriminator: nn.Module,
    q_head: nn.Module | QHeadFactory | None,
    q_network: nn.Module | None,
) -> "Model":
    """Read a model from a folder; see `InfoGAN.load`."""
    check_modules(generator, discriminator, q_head, q_network)
    folder, q = check_path("folder", folder), q_network if q_head is None else q_head
    networks = {"generator": generator, "discriminator": discriminator} | ({"q": q} if isinstance(q, nn.Module) else {})
    own = {name: network.state_dict() for name, network in networks.items()}
    max_bytes = 8 * sum(_size(tensors) for tensors in own.values()) + 2**30
    metadata, state = read_bundle(folder, _KIND, max_bytes=max_bytes)
    plan = ModelPlan.from_dict(folder, metadata)
    kind = q_kind(q_head, q_network)
    if plan.q != kind:
        raise CheckpointError(
            folder,
            f"its Q is {_Q_KINDS.get(str(plan.q)[:20], repr(plan.q)[:60])}, but what was given is {_Q_KINDS[kind]}",
        )
    if plan.head is not None and plan.head not in LIBRARY_HEADS:
        raise CheckpointError(folder, f"its Q head is {plan.head!r}, but this version has {join_names(LIBRARY_HEADS)}")
    tensors, versions = _split(folder, state)
    for name, network in own.items():
        check_tensors(folder, name, renamed_like(_part(tensors, name), network), network)
    try:
        model = cls(
            generator,
            discriminator,
            plan.latent,
            q_head=LIBRARY_HEADS[plan.head] if kind == "default" and plan.head and plan.tap else q_head,
            q_network=q_network,
            tap=plan.tap,
            generator_input=plan.generator_input,
            discriminator_output=plan.discriminator_output,
            pixel_range=plan.pixel_range,
        )
        for code, names in plan.category_names.items():
            model.set_category_names(code, names)
        if plan.ema_decay is not None:
            model.ema_generator = make_ema(generator, plan.ema_decay)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(folder, f"what it holds does not fit these networks: {error}") from error
    if model.image_shape != plan.image_shape:
        raise CheckpointError(folder, f"its images have shape {plan.image_shape}, but those here {model.image_shape}")
    model.to(*device_and_dtype(generator))
    load_tensors(model, folder, tensors, versions)
    if plan.fingerprint is not None:
        warn_if_changed(folder, plan.fingerprint, model_fingerprint(model, runs=2))
    return model


def load_tensors(model: nn.Module, path: Path, tensors: Mapping[str, Any], versions: Mapping[str, Any]) -> None:
    """Load tensors into a model, once all are known to fit.

    Args:
        model: the model.
        path: where they were saved, for messages.
        tensors: by name; names that only differ by wrappers such as torch.compile's fit too.
        versions: what `module_versions` noted of the modules.

    Raises:
        CheckpointError: tensors of another model.
    """
    own = model.state_dict()
    saved, versions = current_names(tensors), current_names(versions)
    tensors = renamed_like(saved, own)
    check_tensors(path, "network", tensors, own)
    check_counts(path, tensors)
    if set(tensors) != set(saved):
        unwrapped = {without_wrappers(name): value for name, value in versions.items()}
        names = {name: without_wrappers(name) for name in module_versions(own)}
        versions = {name: unwrapped[key] for name, key in names.items() if key in unwrapped}
    model.load_state_dict(with_module_versions(tensors, versions))


def check_counts(path: Path, tensors: Mapping[str, Any]) -> None:
    """Check the counts that BatchNorm and the average keep, which they divide by.

    Args:
        path: where they were saved, for messages.
        tensors: tensors by name.

    Raises:
        CheckpointError: a count below 0 or beyond any run.
    """
    counts = {
        name: t for name, t in tensors.items() if name.rpartition(".")[2] in ("n_averaged", "num_batches_tracked")
    }
    for name, count in counts.items():
        if isinstance(count, Tensor) and not bool(((count >= 0) & (count <= MAX_INT)).all()):
            raise CheckpointError(path, f"its {name} must be from 0 to {MAX_INT:,}; it is damaged or forged")


def current_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors by the names that they have today; version 0.1 had another one for the averaged generator."""
    old, new = "averaged_generator", "ema_generator"
    return {
        new + name.removeprefix(old) if name.partition(".")[0] == old else name: value
        for name, value in tensors.items()
    }


def _split(path: Path, state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors by name and the modules' versions in a saved state."""
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


def _part(tensors: Mapping[str, Any], network: str) -> dict[str, Any]:
    return {name.removeprefix(f"{network}."): t for name, t in tensors.items() if name.startswith(f"{network}.")}


def _size(tensors: Mapping[str, Any]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values() if isinstance(value, Tensor))
