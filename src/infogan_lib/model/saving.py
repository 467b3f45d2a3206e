"""A model in a folder: its weights, and the plan by which its parts fit together.

The plan is data: a latent as JSON, names, numbers. The networks themselves are built by whoever loads it, and compared
with what was saved tensor by tensor before anything is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from infogan_lib._version import __version__
from infogan_lib.checkpoints.compare import check_names, check_tensors, versions, with_versions
from infogan_lib.checkpoints.disk import CheckpointError, faults_named, make_folder
from infogan_lib.checkpoints.manifest import seal, unseal
from infogan_lib.checkpoints.safe_torch import plain
from infogan_lib.data.pixels import PixelRange, pixel_range
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.adapters import DiscriminatorOutput, GeneratorInput
from infogan_lib.model.tap import Tap

QKind = Literal["default", "head", "network"]

_KIND = "model"

_Q_KINDS = {
    "default": "the library's own head or inside the discriminator",
    "head": "a q_head of the user's",
    "network": "a q_network of the user's",
}


@dataclass(frozen=True)
class ModelPlan:
    """What is to be known of a model beside its weights; the fields are those of `InfoGAN`."""

    latent: LatentSpec
    image_shape: tuple[int, ...]
    category_names: dict[str, CategoryNames]
    pixel_range: PixelRange | None
    generator_input: GeneratorInput
    discriminator_output: DiscriminatorOutput
    tap: Tap | None
    q: QKind
    ema_decay: float | None

    def to_plain(self) -> dict[str, Any]:
        """The plan as JSON data."""
        return {
            "library": __version__,
            "torch": torch.__version__,
            "latent": self.latent.to_json(),
            "image_shape": list(self.image_shape),
            "category_names": {code: list(names) for code, names in self.category_names.items()},
            "pixel_range": self.pixel_range and list(self.pixel_range),
            "generator_input": self.generator_input,
            "discriminator_output": self.discriminator_output,
            "tap": self.tap and [self.tap.layer, self.tap.at],
            "q": self.q,
            "ema_decay": self.ema_decay,
        }

    @classmethod
    def from_plain(cls, path: Path, plan: Mapping[str, Any]) -> "ModelPlan":
        """The plan that `to_plain` wrote.

        Raises:
            CheckpointError: a name missing or unknown, or a value that is none.
        """
        names = [*cls.__dataclass_fields__, "library", "torch"]
        check_names(path, "plan", plan, names)
        try:
            return cls(
                latent=LatentSpec.from_json(plan["latent"]),
                image_shape=tuple(plan["image_shape"]),
                category_names={code: tuple(names) for code, names in plan["category_names"].items()},
                pixel_range=plan["pixel_range"] and pixel_range(plan["pixel_range"]),
                generator_input=plan["generator_input"],
                discriminator_output=plan["discriminator_output"],
                tap=plan["tap"] and Tap(*plan["tap"]),
                q=plan["q"],
                ema_decay=plan["ema_decay"],
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(path, f"its plan cannot be read: {error}") from error


def write_model(folder: Path, plan: ModelPlan, tensors: Mapping[str, Any]) -> None:
    """Write a plan and weights into a folder, made where there is none."""
    about = plan.to_plain()
    with faults_named(folder, "making the folder"):
        make_folder(folder)
    state = plain({"tensors": dict(tensors), "versions": versions(tensors)}, "model")
    seal(folder, _KIND, about, state, largest=_largest(tensors))


def read_model(
    folder: Path,
    generator: nn.Module,
    discriminator: nn.Module,
    q_head: nn.Module | None,
    q_network: nn.Module | None,
) -> tuple[ModelPlan, dict[str, Tensor]]:
    """The plan and the weights in a folder, if they are of these networks.

    Raises:
        CheckpointError: damage, or another network; the message names the first tensor that differs.
    """
    q = q_network if q_head is None else q_head
    own = {"generator": generator.state_dict(), "discriminator": discriminator.state_dict()}
    if q is not None:
        own["q"] = q.state_dict()
    size = sum(_size(tensors) for tensors in own.values())
    about, state = unseal(folder, _KIND, largest=8 * size + 2**30)
    plan = ModelPlan.from_plain(folder, about)
    kind = "head" if q_head is not None else "network" if q_network is not None else "default"
    if plan.q != kind:
        raise CheckpointError(
            folder, f"its Q is {_Q_KINDS.get(plan.q, repr(plan.q))}, and what was given is {_Q_KINDS[kind]}"
        )
    check_names(folder, "model", state, ("tensors", "versions"))
    tensors = state["tensors"]
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise CheckpointError(folder, "it holds no tensors by name")
    for name, mine in own.items():
        saved = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
        check_tensors(folder, name, saved, mine)
    return plan, with_versions(tensors, state["versions"])


def _size(tensors: Mapping[str, Any]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values() if isinstance(value, Tensor))


def _largest(tensors: Mapping[str, Any]) -> int:
    return 4 * _size(tensors) + 2**30
