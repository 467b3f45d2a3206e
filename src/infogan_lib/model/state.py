"""A model as a part of a run's checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from typing_extensions import override

from infogan_lib.checkpoints.compare import check_names, check_tensors, versions, with_versions
from infogan_lib.checkpoints.state import CheckedPart
from infogan_lib.model.infogan import InfoGAN


class ModelState(CheckedPart):
    """The weights and buffers of all networks, buffers that a module keeps out of its own state included.

    Args:
        model: the model.
    """

    def __init__(self, model: InfoGAN) -> None:
        self._model = model

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name, and the names of categories."""
        return {
            "tensors": (tensors := self._model.state_dict()),
            "versions": versions(tensors),
            "unsaved_buffers": self._unsaved_buffers(),
            "category_names": {name: list(names) for name, names in self._model.category_names.items()},
            "pixel_range": self._model.pixel_range,
        }

    @override
    def check(self, path: Path, state: Any) -> None:
        """Raise CheckpointError unless the tensors fit by name, shape and dtype."""
        mine = self.state_dict()
        check_names(path, "model", state, mine)
        for part in ("tensors", "unsaved_buffers"):
            check_tensors(path, "network", state[part], mine[part])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the tensors, in place, and the names."""
        self._model.load_state_dict(with_versions(state["tensors"], state["versions"]))
        for name, buffer in self._unsaved_buffers().items():
            buffer.copy_(state["unsaved_buffers"][name])
        self._model.category_names |= {name: tuple(names) for name, names in state["category_names"].items()}
        self._model.pixel_range = state["pixel_range"]

    def _unsaved_buffers(self) -> dict[str, Tensor]:
        saved = self._model.state_dict()
        return {name: buffer for name, buffer in self._model.named_buffers() if name not in saved}
