"""The versions of modules, which torch keeps beside a state dict, so that a module knows how to read it."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any


def versions(state: Mapping[str, Any]) -> dict[str, Any]:
    """What `nn.Module.state_dict` noted of each module."""
    return {name: dict(of) for name, of in getattr(state, "_metadata", {}).items()}


def with_versions(tensors: Mapping[str, Any], noted: Any) -> OrderedDict[str, Any]:
    """Tensors by name as `nn.Module.load_state_dict` wants them."""
    state: OrderedDict[str, Any] = OrderedDict(tensors)
    if isinstance(noted, Mapping):
        state._metadata = OrderedDict(noted)  # type: ignore[attr-defined]
    return state
