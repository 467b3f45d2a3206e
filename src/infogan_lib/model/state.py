"""A model as a part of a run's checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from typing_extensions import override

from infogan_lib._schema import MapOf, Plain, Record
from infogan_lib.checkpoints.compare import check_names, check_tensors, module_versions, renamed_like
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.state import Checkable, check_schema
from infogan_lib.data.pixels import pixel_range
from infogan_lib.latent.category_names import check_category_names
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.plan import CATEGORY_NAMES, PIXEL_RANGE, VERSIONS
from infogan_lib.model.saving import check_values, current_names, load_tensors

MODEL_STATE = Record(
    {
        "tensors": MapOf(Plain()),
        "versions": VERSIONS,
        "unsaved_buffers": MapOf(Plain()),
        "category_names": CATEGORY_NAMES,
        "pixel_range": PIXEL_RANGE,
    }
)
"""What `ModelState.state_dict` returns; the tensors are compared with those of the model."""


class ModelState(Checkable):
    """The weights and buffers of all networks, including buffers that a module keeps out of its own state."""

    def __init__(self, model: InfoGAN) -> None:
        self._model = model

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name, and the names of categories."""
        tensors = self._model.state_dict()
        return {
            "tensors": tensors,
            "versions": module_versions(tensors),
            "unsaved_buffers": self._unsaved_buffers(),
            "category_names": {name: list(names) for name, names in self._model.category_names.items()},
            "pixel_range": self._model.pixel_range,
        }

    @override
    def check(self, path: Path, state: Any) -> None:
        """Check that the tensors fit by name, shape and dtype, and that names and numbers are what they can be.

        Raises CheckpointError if they do not.
        """
        own = self.state_dict()
        check_names(path, "model", state, own)
        check_schema(path, "model", state, MODEL_STATE)
        try:
            for code, names in state["category_names"].items():
                check_category_names(self._model.latent, code, names)
            if state["pixel_range"] is not None:
                pixel_range(state["pixel_range"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(path, f"its model does not fit: {error}") from error
        for part in ("tensors", "unsaved_buffers"):
            check_tensors(path, "network", renamed_like(current_names(state[part]), own[part]), own[part])
        check_values(path, state["tensors"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the tensors, in place, and the names."""
        load_tensors(self._model, Path(), state["tensors"], state["versions"])
        buffers = self._unsaved_buffers()
        for name, value in renamed_like(state["unsaved_buffers"], buffers).items():
            buffers[name].copy_(value)
        self._model.category_names |= {name: tuple(names) for name, names in state["category_names"].items()}
        self._model.pixel_range = state["pixel_range"]

    def _unsaved_buffers(self) -> dict[str, Tensor]:
        saved = self._model.state_dict()
        return {name: buffer for name, buffer in self._model.named_buffers() if name not in saved}
