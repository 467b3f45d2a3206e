"""Which optimizer updates which parameters: Adam by default, or the user's own, checked."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from infogan_lib._checks import check_float, check_function, check_int, check_pair, describe, join_names
from infogan_lib._keywords import explains_arguments
from infogan_lib.latent.category_names import only_categorical_code
from infogan_lib.model.infogan import InfoGAN

Part = Literal["generator", "q_head", "trunk"]

PARTS: tuple[Part, ...] = ("generator", "q_head", "trunk")


def check_information_trains(information_trains: Iterable[str] | None, model: InfoGAN) -> frozenset[Part]:
    """The parts that the information loss trains, checked; all there are if None is given.

    Raises ValueError for an unknown part, or the trunk of a D that shares nothing with Q.
    """
    shares = bool(model.parameter_groups()["trunk"])
    if information_trains is None:
        return frozenset(PARTS if shares else PARTS[:2])
    try:
        given = {information_trains} if isinstance(information_trains, str) else set(islice(information_trains, 100))
    except Exception:  # of what is iterated, too
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

OptimizerChoice = float | Optimizer | OptimizerFactory
"""The learning rate of Adam, an optimizer, or a function that makes one for a list of parameters."""

PAPER_BETAS = (0.5, 0.999)


@explains_arguments()
@dataclass(frozen=True)
class LinearDecay:
    """A schedule for `Optimizers(scheduler=)`: rates are constant at first, then fall linearly to zero.

    Args:
        steps: The number of steps of the whole run, at the end of which the rates are zero.
        start: The fraction of them after which the rates begin to fall, 0 to 1.

    Raises:
        TypeError: an argument that is no number.
        ValueError: fewer than one step, or a start outside [0, 1).

    Source: Zhu et al., *Unpaired Image-to-Image Translation*, ICCV 2017, section 4, who begin at the half.
    """

    steps: int
    start: float = 0.5

    def __post_init__(self) -> None:
        check_int("steps", self.steps, minimum=1)
        if check_float("start", self.start, minimum=0) >= 1:
            raise ValueError(f"start must be below 1, but got {self.start}")

    def __call__(self, optimizer: Optimizer) -> LRScheduler:
        """The scheduler of one optimizer."""
        return LambdaLR(optimizer, _Factor(self.steps, self.start))


class _Factor:
    """The factor on the rates after a number of steps; an object, so that a scheduler's state tells its settings."""

    def __init__(self, steps: int, start: float) -> None:
        self.steps, self.start = steps, start

    def __call__(self, step: int) -> float:
        return min(1.0, max(0.0, (1 - step / self.steps) / (1 - self.start)))


@explains_arguments(**dict.fromkeys(("lr", "learning_rate"), "the rates are g=1e-3, d=5e-4 and q=, one per network"))
@dataclass(frozen=True, kw_only=True)
class Optimizers:
    """The optimizers of G, D and Q: by default Adam.

    The betas and rates are the paper's, but for a D beside one `Categorical` code: at the paper's 2e-4 the layers that
    Q shares lag behind the Q head, and classes end up in one category (docs/learning.md has the measurements).

    Args:
        g: G's learning rate for Adam, or an optimizer, or a function `parameters -> optimizer`. An optimizer that
            holds Q's parameters too serves both.
        d: D's, likewise, with the layers that Q shares; None for Adam at 5e-4 if the latent has one `Categorical` code,
            as for the default regularizers, and at 2e-4 otherwise.
        q: Q's, likewise; None for Adam at G's learning rate, or at 1e-3 if G has an optimizer of yours.
        betas: Adam's betas; (0.5, 0.999) if None.
        scheduler: A function `optimizer -> LRScheduler`, such as `LinearDecay(5000)`, called once per optimizer;
            schedulers advance with each step.

    Raises:
        TypeError: something that is neither a rate nor an optimizer nor a function.
        ValueError: a rate that is not above 0, or betas outside [0, 1).

    Source: Chen et al., InfoGAN, NeurIPS 2016, appendix C (Adam and its rates).
    """

    g: OptimizerChoice = 1e-3
    d: OptimizerChoice | None = None
    q: OptimizerChoice | None = None
    betas: tuple[float, float] | None = None
    scheduler: Callable[[Optimizer], LRScheduler] | None = None

    def __post_init__(self) -> None:
        for name in ("g", "d", "q"):
            choice = getattr(self, name)
            if not (name in ("d", "q") and choice is None):
                _check_choice(f"optimizers.{name}", choice)
        if self.betas is not None:
            _check_betas(self.betas)
        if self.scheduler is not None and not callable(self.scheduler):
            raise TypeError(
                f"optimizers.scheduler must be a function that makes an LRScheduler, but got {describe(self.scheduler)}"
            )

    def build(
        self, model: InfoGAN, information_trains: frozenset[Part], networks: Iterable[nn.Module] = ()
    ) -> dict[str, Optimizer]:
        """The optimizers of "d", "g" and "q", as far as there is something to train.

        Args:
            model: The model.
            information_trains: The parts that the information loss trains; without "q_head" Q has no optimizer.
            networks: Networks of regularizers, which are trained with Q.

        Raises:
            TypeError: a function that makes no optimizer.
            ValueError: parameters that no optimizer holds or that two hold, or a setting that would do nothing.
        """
        parameters = parameters_by_optimizer(model, information_trains, networks)
        in_g = _parameter_ids(self.g)
        parameters["q"] = [parameter for parameter in parameters["q"] if id(parameter) not in in_g]
        if self.q is not None and not any(parameter.requires_grad for parameter in parameters["q"]):
            raise ValueError("optimizers.q has nothing to train; leave it out")
        default_q = self.g if isinstance(self.g, (int, float)) else Optimizers.g
        default_d = 5e-4 if only_categorical_code(model.latent) else 2e-4
        d, q = default_d if self.d is None else self.d, default_q if self.q is None else self.q
        choices = {"d": d, "g": self.g, "q": q}
        built = {name: self._make(name, choices[name], parameters[name]) for name in parameters if parameters[name]}
        if self.scheduler is None:  # one of the user's may not take more groups than the optimizer has
            _add_frozen(parameters, built)
        if self.betas is not None and not any(isinstance(choices[name], (int, float)) for name in built):
            raise ValueError("optimizers.betas would do nothing: no Adam is left to use them; leave it out")
        _check_each_parameter_once(parameters, built, {id(p): name for name, p in model.named_parameters()})
        return built

    def _make(self, name: str, choice: OptimizerChoice, parameters: list[nn.Parameter]) -> Optimizer:
        if isinstance(choice, Optimizer):
            return _check_optimizer(name, choice)
        if isinstance(choice, (int, float)):
            fused = all(torch.is_floating_point(p) and p.device.type in ("cpu", "cuda") for p in parameters)
            return Adam(parameters, float(choice), PAPER_BETAS if self.betas is None else self.betas, fused=fused)
        make = check_function(f"optimizers.{name}", choice, "a function `parameters -> optimizer`", 1)
        try:
            made = make(parameters)
        except TypeError as error:  # a class or a partial function of other arguments
            raise TypeError(f"optimizers.{name} failed on a list of parameters: {error}") from error
        if not isinstance(made, Optimizer):
            raise TypeError(f"optimizers.{name} must make a torch Optimizer, but made {describe(made)}")
        return _check_optimizer(name, made)

    def build_schedulers(self, optimizers: Iterable[Optimizer]) -> list[LRScheduler]:
        """A scheduler for each optimizer; none without `scheduler`.

        Raises:
            TypeError: something that makes no scheduler, or one that waits for a metric.
            ValueError: a scheduler of another optimizer.
        """
        if self.scheduler is None:
            return []
        check_function("optimizers.scheduler", self.scheduler, "a function `optimizer -> LRScheduler`", 1)
        made = []
        for optimizer in optimizers:
            try:
                scheduler = self.scheduler(optimizer)
            except TypeError as error:
                raise TypeError(f"optimizers.scheduler failed on an optimizer: {error}") from error
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise TypeError(
                    "optimizers.scheduler must make a torch LRScheduler of an optimizer, such as "
                    "lambda o: LinearLR(o, 1, 0, 5000), and one that needs no metric, but made "
                    f"{describe(scheduler)}"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError("optimizers.scheduler must make a scheduler of the optimizer that it is given")
            made.append(scheduler)
        return made


def parameters_by_optimizer(
    model: InfoGAN, information_trains: frozenset[Part], networks: Iterable[nn.Module] = ()
) -> dict[str, list[nn.Parameter]]:
    """The parameters of "d", "g" and "q", frozen ones too: an optimizer passes over what has no gradient.

    So what is frozen now can be trained later, in the same optimizer and with the same scheduler. Networks of
    regularizers are trained with Q, whose own parameters are left out unless the information loss trains "q_head".
    """
    groups = model.parameter_groups(frozen=True)
    of_q = [*(groups["q_head"] if "q_head" in information_trains else [])]
    of_q += [parameter for network in networks for parameter in network.parameters()]
    return {"d": groups["trunk"] + groups["d_head"], "g": groups["generator"], "q": of_q}


def check_trainable(parameters: Mapping[str, Sequence[nn.Parameter]]) -> None:
    """Check that a parameter requires gradients. Raises ValueError."""
    if not any(parameter.requires_grad for group in parameters.values() for parameter in group):
        raise ValueError(
            "no parameter requires gradients, so nothing would be trained; call model.requires_grad_(True)"
        )


def _add_frozen(parameters: Mapping[str, Sequence[nn.Parameter]], optimizers: Mapping[str, Optimizer]) -> None:
    """Add frozen parameters that a ready-made optimizer lacks, so that they can be trained later.

    Groups that were added later would be in no checkpoint from before, and in no copy of what a step changes.
    """
    held = _held(optimizers)
    for name, optimizer in optimizers.items():
        lacking = [p for p in parameters[name] if not p.requires_grad and id(p) not in held]
        if lacking:
            optimizer.add_param_group({"params": lacking})


def check_held(parameters: Mapping[str, Sequence[nn.Parameter]], optimizers: Mapping[str, Optimizer]) -> None:
    """Check that the optimizers hold the parameters that require gradients by now.

    Raises ValueError if there are others: frozen ones at first, of an optimizer that was given ready-made and has a
    scheduler, or those of a module that was put into the model since.
    """
    held = _held(optimizers)
    for name, group in parameters.items():
        lacking = sum(parameter.requires_grad and id(parameter) not in held for parameter in group)
        if lacking:
            raise ValueError(
                f"{lacking} parameters that optimizers.{name} does not hold require gradients by now; make another "
                "trainer of the model, or give the trainer a function that makes the optimizer of all parameters"
            )


def _held(optimizers: Mapping[str, Optimizer]) -> set[int]:
    return set().union(*map(_parameter_ids, optimizers.values()))


def advance(schedulers: Iterable[LRScheduler], *, is_early: bool) -> None:
    """Advance schedulers by a step. Raises ValueError for a learning rate that is negative or not finite.

    Early on an optimizer may not have made an update yet: that of G with `d_steps` above 1, or any whose gradients
    overflowed in float16. Torch then warns of an order that the caller cannot change.
    """
    with warnings.catch_warnings() if is_early else nullcontext():
        if is_early:
            warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step\(\)` before")
        for scheduler in schedulers:
            try:
                scheduler.step()
            except Exception as error:
                error.add_note(f"raised by the {type(scheduler).__name__} of optimizers.scheduler; the step was undone")
                raise
            for group in scheduler.optimizer.param_groups:
                rate = group["lr"]
                is_on_host = not isinstance(rate, Tensor) or rate.device.type == "cpu"  # a device would be waited for
                if is_on_host and not 0 <= float(rate) < math.inf:
                    raise ValueError(
                        f"optimizers.scheduler made a learning rate of {float(rate):.4g}; make none that is negative "
                        "or not finite, or train fewer steps"
                    )


def _check_choice(name: str, choice: object) -> None:
    if isinstance(choice, (int, float)) and not isinstance(choice, bool):
        check_float(name, choice, above=0)
    elif not isinstance(choice, Optimizer) and (not callable(choice) or isinstance(choice, nn.Module)):
        raise TypeError(
            f"{name} must be a learning rate, a torch Optimizer or a function that makes one for a list of parameters, "
            f"but got {describe(choice)}"
        )


def _check_optimizer(name: str, optimizer: Optimizer) -> Optimizer:
    """An optimizer whose step needs the gradients of the parameters and nothing else."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    kind = f"optimizers.{name} is of class {type(optimizer).__name__}"
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(f"{kind}, whose step calls a closure several times; give one that takes a gradient, as Adam")
    if isinstance(optimizer, SparseAdam):
        raise ValueError(f"{kind}, which takes sparse gradients only; give one for dense gradients, such as Adam")
    if any(group.get("differentiable") for group in optimizer.param_groups):
        raise ValueError(f"{kind} with differentiable=True, which keeps the graph of every step; leave it out")
    return optimizer


def _check_betas(betas: object) -> None:
    wanted = "two numbers in [0, 1)"
    if not all(0 <= beta < 1 for beta in check_pair("optimizers.betas", betas, wanted)):
        raise ValueError(f"optimizers.betas must be {wanted}, but got {describe(betas)}")


def _check_each_parameter_once(
    parameters: dict[str, list[nn.Parameter]], optimizers: dict[str, Optimizer], names: dict[int, str]
) -> None:
    """Every parameter is in its own optimizer and in no other."""
    ids = {name: _parameter_ids(optimizer) for name, optimizer in optimizers.items()}
    for name, own in parameters.items():
        lacking = [p for p in own if p.requires_grad and id(p) not in ids.get(name, set())]
        missing = [names.get(id(p), "of a regularizer") for p in lacking]
        if missing:
            raise ValueError(
                f"optimizers.{name} does not hold {len(missing)} parameters that it must train, {missing[0]!r} first; "
                "make it of all of them, or give a function that makes it of the list it is given"
            )
        others = set().union(*(ids[other] for other in ids if other != name))
        twice = [names.get(id(p), "of a regularizer") for p in own if id(p) in others]
        if twice:
            raise ValueError(f"two optimizers hold {twice[0]!r}; take it out of the one that is not optimizers.{name}")


def _parameter_ids(optimizer: object) -> set[int]:
    if not isinstance(optimizer, Optimizer):
        return set()
    return {id(p) for group in optimizer.param_groups for p in group["params"]}
