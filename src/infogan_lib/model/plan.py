"""The plan of a saved model: how its parts fit together, as data.

A latent as JSON, names and numbers; no networks and no functions, which are given again when the model is loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from infogan_lib._schema import Float, Int, Items, ListOf, MapOf, Nullable, OneOf, Plain, Record, Text
from infogan_lib._version import __version__
from infogan_lib.checkpoints.compare import known_fields
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.data.pixels import PixelRange, pixel_range
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.fingerprint import FINGERPRINT, Fingerprint, model_fingerprint
from infogan_lib.networks.discriminator_adapter import DiscriminatorOutput
from infogan_lib.networks.ema import ema_decay
from infogan_lib.networks.generator_adapter import GENERATOR_INPUTS, GeneratorInput
from infogan_lib.networks.q_head import is_library_head
from infogan_lib.networks.tap import Tap

if TYPE_CHECKING:
    from infogan_lib.model.infogan import InfoGAN

QKind = Literal["default", "head", "network"]

READERS = ("tap", "generator_output", "discriminator_output", "q_output")
"""The arguments of `InfoGAN` that may be functions of what a network returns."""

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
    "functions": ListOf(OneOf(READERS), longest=len(READERS)),
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
    functions: tuple[str, ...] = ()

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
            functions=tuple(name for name, function in _readers_of(model).items() if function is not None),
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
            "functions": list(self.functions),
        }

    @classmethod
    def from_dict(cls, path: Path, saved: Mapping[str, Any]) -> "ModelPlan":
        """The plan that `to_dict` wrote, here or in another version.

        Raises CheckpointError for a field that is missing, unknown and required, of another type or out of bounds.
        """
        plan = known_fields(path, "plan", saved, PLAN)
        if plan.get("generator_input") == "parts":  # version 0.1's name
            plan["generator_input"] = "separate"
        parsers = {
            "latent": LatentSpec.from_json,
            "image_shape": tuple,
            "functions": tuple,
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
    return "default" if q_head is None or is_library_head(q_head) else "head"


def _readers_of(model: "InfoGAN") -> dict[str, Callable[[Any], Any] | None]:
    return {
        "tap": model.discriminator_adapter.read_features,
        "generator_output": model.generator_adapter.output,
        "discriminator_output": model.discriminator_adapter.read_output,
        "q_output": model.q_output,
    }


def _parse(name: str, parser: Callable[[Any], Any] | None, value: Any) -> Any:
    """A field of a plan from its JSON, or an error that names it."""
    try:
        return value if parser is None else parser(value)
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from error
