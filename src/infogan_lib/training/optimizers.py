"""Which optimiser updates which parameters: the paper's Adam by default, or the user's own, checked."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from infogan_lib._checks import check_float, check_pair, describe, join_names
from infogan_lib.model.infogan import InfoGAN

Part = Literal["generator", "q_head", "trunk"]

PARTS: tuple[Part, ...] = ("generator", "q_head", "trunk")


def check_information_trains(information_trains: Iterable[str] | None, model: InfoGAN) -> frozenset[Part]:
    """What the information loss trains, checked: all that there is where None is given.

    Raises:
        ValueError: an unknown part, or the trunk of a D that shares nothing with Q.
    """
    shares = bool(model.parameter_groups()["trunk"])
    if information_trains is None:
        return frozenset(PARTS if shares else PARTS[:2])
    try:
        given = {information_trains} if isinstance(information_trains, str) else set(information_trains)
    except TypeError:
        given = set()
    if not given or given - set(PARTS):
        raise ValueError(
            f"information_trains must name some of {join_names(PARTS)}, but got {describe(information_trains)}"
        )
    if "trunk" in given and not shares:
        raise ValueError(
            "information_trains names the trunk, but Q shares no trainable layers with the discriminator; leave it out"
        )
    return frozenset(part for part in PARTS if part in given)


OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]

OptimizerChoice = Optimizer | OptimizerFactory | None

PAPER_LR = {"generator": 1e-3, "discriminator": 2e-4}

PAPER_BETAS = (0.5, 0.999)


def build_optimizers(
    model: InfoGAN,
    trains: frozenset[Part],
    *,
    g_optimizer: OptimizerChoice,
    d_optimizer: OptimizerChoice,
    q_optimizer: OptimizerChoice,
    lr_g: float | None,
    lr_d: float | None,
    lr_q: float | None,
    betas: tuple[float, float] | None,
) -> tuple[list[Optimizer], list[Optimizer]]:
    """The optimisers of D, and those of G and Q.

    Q's parameters go to `q_optimizer`, unless an optimiser given for G holds them already.

    Raises:
        TypeError: something that is neither an optimiser nor makes one.
        ValueError: parameters that no optimiser holds or that two hold, or a learning rate beside an optimiser
            that brings its own.
    """
    groups, names = model.parameter_groups(), {id(p): name for name, p in model.named_parameters()}
    given = {"generator": g_optimizer, "discriminator": d_optimizer, "q": q_optimizer}
    rates = {"generator": lr_g, "discriminator": lr_d, "q": lr_q}
    for who, optimizer in given.items():
        if optimizer is not None and rates[who] is not None:
            raise ValueError(
                f"lr_{who[0]} and {who[0]}_optimizer were both given; set the rate in the optimiser and leave "
                f"lr_{who[0]} out"
            )

    g_holds = _held(g_optimizer)
    q_parameters = [p for p in groups["q_head"] if id(p) not in g_holds] if "q_head" in trains else []
    wanted = {
        "generator": groups["generator"],
        "discriminator": groups["trunk"] + groups["d_head"],
        "q": q_parameters,
    }
    if not q_parameters and q_optimizer is not None:
        raise ValueError("q_optimizer has nothing to train; leave it out")
    default_rates = {**PAPER_LR, "q": PAPER_LR["generator"] if lr_g is None else lr_g}
    built = {}
    for who, parameters in wanted.items():
        if not parameters:
            continue
        optimizer = given[who]
        if optimizer is None:
            rate = default_rates[who] if rates[who] is None else rates[who]
            lr = check_float(f"lr_{who[0]}", rate, above=0)
            built[who] = Adam(parameters, lr, _betas(betas), fused=_has_fused_kernel(parameters))
        elif isinstance(optimizer, Optimizer):
            built[who] = optimizer
        elif callable(optimizer):
            built[who] = optimizer(parameters)
            if not isinstance(built[who], Optimizer):
                raise TypeError(f"{who[0]}_optimizer must make a torch Optimizer, but made {describe(built[who])}")
        else:
            raise TypeError(
                f"{who[0]}_optimizer must be a torch Optimizer or a function that makes one of a list of parameters, "
                f"but got {describe(optimizer)}"
            )
    _refuse_idle({"lr_q": lr_q}, "q" in built and q_optimizer is None, "Q has no Adam of its own here")
    _refuse_idle({"betas": betas}, any(given[who] is None for who in built), "no Adam is left to use them")
    _check_holders(wanted, built, names)
    return (
        [built[who] for who in ("discriminator",) if who in built],
        [built[who] for who in ("generator", "q") if who in built],
    )


def build_schedulers(
    schedule: Callable[[Optimizer], LRScheduler] | None, optimizers: Iterable[Optimizer]
) -> list[LRScheduler]:
    """A scheduler for each optimiser; none without a schedule.

    Raises:
        TypeError: something that makes no scheduler, or one that waits for a metric.
    """
    if schedule is None:
        return []
    if not callable(schedule):
        raise TypeError(f"schedule must be a function that makes an LRScheduler, but got {describe(schedule)}")
    made = [schedule(optimizer) for optimizer in optimizers]
    for scheduler in made:
        if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
            raise TypeError(
                "schedule must make a torch LRScheduler of an optimiser, such as lambda o: LinearLR(o, 1, 0, 5000), "
                f"and one that needs no metric, but made {describe(scheduler)}"
            )
    return made


def _refuse_idle(settings: dict[str, Any], used: bool, why: str) -> None:
    """Refuse a setting that was given and would do nothing."""
    for name, value in settings.items():
        if value is not None and not used:
            raise ValueError(f"{name} would do nothing: {why}; leave it out")


def _check_holders(wanted: dict[str, list[nn.Parameter]], built: dict[str, Optimizer], names: dict[int, str]) -> None:
    """Every parameter in its own optimiser and in no other."""
    held = {who: _held(optimizer) for who, optimizer in built.items()}
    for who, parameters in wanted.items():
        missing = [names[id(p)] for p in parameters if id(p) not in held.get(who, set())]
        if missing:
            raise ValueError(
                f"{who[0]}_optimizer does not hold {len(missing)} parameters that it must train, {missing[0]!r} first; "
                "make it of all of them, or give a function that makes it of the list it is given"
            )
        twice = [names[id(p)] for p in parameters for other in held if other != who and id(p) in held[other]]
        if twice:
            raise ValueError(f"two optimisers hold {twice[0]!r}; take it out of the one that is not {who[0]}_optimizer")


def _held(optimizer: Any) -> set[int]:
    if not isinstance(optimizer, Optimizer):
        return set()
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _betas(betas: Iterable[float] | None) -> tuple[float, float]:
    if betas is None:
        return PAPER_BETAS
    wanted = "two numbers in [0, 1)"
    found = check_pair("betas", betas, wanted)
    if not all(0 <= beta < 1 for beta in found):
        raise ValueError(f"betas must be {wanted}, but got {describe(betas)}")
    return found


def _has_fused_kernel(parameters: list[nn.Parameter]) -> bool:
    """Whether torch updates all these parameters in one fused kernel."""
    return all(torch.is_floating_point(p) and p.device.type in ("cpu", "cuda") for p in parameters)
