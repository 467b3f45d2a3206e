"""What the state of an optimizer may hold, so that no moment of another shape reaches a kernel.

A fused kernel reads and writes as many numbers as the parameter has, whatever the shapes of its moments. Which moments
an optimizer of torch keeps, and of which shapes, is read off a twin of it that makes one step with gradients of zero.
Other optimizers keep what they like, and nobody but they can tell what fits.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infogan_lib._schema import (
    MAX_EXACT_INT,
    Array,
    Float,
    Int,
    Items,
    Kind,
    ListOf,
    MapOf,
    OneOf,
    Plain,
    Record,
    similar,
)
from infogan_lib.checkpoints.tensor_file import to_plain_data

_BOUNDS = {
    "lr": Float(low=0, high=torch.finfo(torch.float32).max),  # more is an error of torch's in the next step
    "betas": Float(low=0, high=1),
    "eps": Float(low=0),
    "weight_decay": Float(low=0),
    "momentum": Float(low=0),
}
"""The bounds of settings that torch checks when an optimizer is made, but not when its state is loaded."""

_COUNTS = {"step", "mu_product", "mu", "eta"}
_SQUARES = {"exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg", "acc_delta", "sum", "variance", "step_size"}

OUTLINE = Record(
    {"state": MapOf(Plain(), key=Plain()), "param_groups": ListOf(Record({"params": ListOf(Plain())}, is_open=True))},
    is_open=True,
)
"""What is looked at in the state of any optimizer, to compare the numbers of parameters."""

_SCHEDULER_ATTRIBUTES = {
    "last_epoch": Int(low=-1),
    "_step_count": Int(),
    "T_cur": Float(low=-1),
    "T_i": Float(low=1),
    "milestones": MapOf(Int(), key=Float()),
}
"""The attributes of torch's schedulers that are not of a certain form, or have bounds."""


def optimizer_schema(optimizer: Optimizer, groups: Sequence[Mapping[str, Any]] | None = None) -> Record:
    """The description of what `optimizer.load_state_dict` may be given.

    Args:
        optimizer: The optimizer.
        groups: Its groups as plain data, by whose settings others are judged; those of now if None.
    """
    base = _torch_class(optimizer)
    state: dict[int, Kind] = {}
    kinds: list[Kind] = []
    for group, plain in zip(optimizer.param_groups, groups or plain_groups(optimizer), strict=False):
        numbers = plain["params"]
        for number, parameter in zip(numbers, group["params"], strict=True):
            moments = None if base is None else _moments(optimizer, base, group, parameter)
            own = MapOf(Plain()) if moments is None else _parameter_schema(moments, is_open=base is not type(optimizer))
            state[number] = own
        # The order of parameters decides which moments are whose, and flags such as "fused" which kernel reads them.
        # What settings of other classes may be only they know, but a learning rate is one.
        judged = plain if base is type(optimizer) else {k: v for k, v in plain.items() if k == "lr" and v is not None}
        settings = {name: _setting(name, value) for name, value in judged.items()}
        kinds.append(Record(settings | {"params": OneOf((numbers,))}, is_open=True))
    is_open = base is not type(optimizer)  # which may keep more, and also in `state` by another key than a parameter
    fields = {"state": Record(state, optional=frozenset(state), is_open=is_open), "param_groups": Items(tuple(kinds))}
    return Record(fields, is_open=is_open)


def plain_groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    """An optimizer's groups as they are saved: numbers of numpy as plain ones."""
    return to_plain_data(optimizer.state_dict()["param_groups"])


def misfits(optimizer: Optimizer, saved: Any, schema: Record) -> Iterator[tuple[nn.Parameter, str, Tensor]]:
    """Parameter, name and value of every saved moment that has another shape than `optimizer_schema` says."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    of_parameters: Any = schema.fields["state"]
    for number, parameter in enumerate(parameters):
        moments = saved.get(number) if isinstance(saved, Mapping) else None
        for name, kind in getattr(of_parameters.fields[number], "fields", {}).items():
            value = moments.get(name) if isinstance(moments, Mapping) else None
            if isinstance(kind, Array) and isinstance(value, Tensor) and not kind.fits(value):
                yield parameter, name, value


def _torch_class(optimizer: Optimizer) -> type[Optimizer] | None:
    """The class of torch's that an optimizer is, or derives from."""
    classes = [
        c for c in type(optimizer).__mro__ if f"{c.__module__}.".startswith("torch.optim.") and c is not Optimizer
    ]
    return classes[0] if classes else None


def _moments(
    optimizer: Optimizer, base: type[Optimizer], group: Mapping[str, Any], parameter: nn.Parameter
) -> Mapping[str, Any] | None:
    """What the optimizer keeps of a parameter after a step; None where it makes none with dense gradients of zero."""
    if optimizer.state.get(parameter):
        return optimizer.state[parameter]
    twin = nn.Parameter(torch.zeros_like(parameter))
    twin.grad = torch.zeros_like(twin)
    probe = base.__new__(base)
    groups = [{**group, "params": [twin]}]
    probe.__setstate__({"defaults": dict(optimizer.defaults), "state": defaultdict(dict), "param_groups": groups})
    try:
        probe.step()
    except Exception:  # one that needs a closure, sparse gradients or another device
        return None
    return probe.state[twin]


def _parameter_schema(moments: Mapping[str, Any], *, is_open: bool) -> Record:
    return Record({name: _moment(name, value) for name, value in moments.items()}, is_open=is_open)


def _moment(name: str, value: Any) -> Kind:
    is_count = name in _COUNTS
    if isinstance(value, Tensor):
        low = 0 if is_count or name in _SQUARES else -math.inf if value.is_floating_point() else None
        return Array(value.dtype, tuple(value.shape), low, MAX_EXACT_INT if is_count else None)
    return Float(low=0 if is_count else -MAX_EXACT_INT) if isinstance(value, (int, float)) else Plain()


def _setting(name: str, value: Any) -> Kind:
    if isinstance(value, (list, tuple)):
        return Items(tuple(_setting(name, item) for item in value))
    if isinstance(value, Tensor):
        return Array(None, tuple(value.shape), low=0, high=MAX_EXACT_INT)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _BOUNDS.get(name.removeprefix("initial_"), Float())
    return OneOf((value,))


def scheduler_schema(scheduler: Any) -> Kind:
    """The description of what the `load_state_dict` of a scheduler of torch may be given.

    It would take any attribute, also in place of the scheduler's own methods. What a scheduler, or a function of rates,
    of the user's keeps may be anything.
    """
    if not type(scheduler).__module__.startswith("torch.optim."):
        return Plain()
    state = scheduler.state_dict()
    inner = [scheduler_schema(part) for part in getattr(scheduler, "_schedulers", ())]
    own = {name: to_plain_data(value) for name, value in state.items() if name not in ("_schedulers", "lr_lambdas")}
    fields: dict[str, Kind] = {name: _scheduled(name, value) for name, value in own.items()}
    fields |= {"_schedulers": Items(tuple(inner))} if inner else {}
    functions = getattr(scheduler, "lr_lambdas", ())
    kinds = [
        similar(to_plain_data(vars(f))) if type(f).__module__.startswith("infogan_lib.") else Plain() for f in functions
    ]
    return Record(fields | ({"lr_lambdas": Items(tuple(kinds))} if functions else {}))


def _scheduled(name: str, value: Any) -> Kind:
    """An attribute of a scheduler: a callback may have changed a setting, and `run_config` compares those at first."""
    return _SCHEDULER_ATTRIBUTES.get(name, similar(value))
