r"""Latent variables, and the named set of them that a generator is given.

The generator's input is noise z and codes c side by side. A `LatentVariable` is a prior; a `LatentCode` adds what
Q needs to recover it: a posterior Q(c|x) built from the Q head's raw outputs, the information loss between the two,
:math:`-\log Q(c|x)`, and the entropy H(c) that turns the loss into a bound on mutual information. A `LatentSpec` names
and orders them:

.. math:: L_I = \sum_i \lambda_i E[-\log Q(c_i \mid G(z, c))]

Codes are summed and the batch is averaged, so adding a code changes no other code's gradient
(Chen et al., *InfoGAN*, NeurIPS 2016, sections 4 and 5).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import describe, listed, real_number, whole_number
from infogan_lib.joint import Draw, JointSampler, JointScorer
from infogan_lib.losses.information import InformationLoss
from infogan_lib.serialization import from_plain, read_object, to_plain

RESERVED_NAMES = frozenset({"seed", "generator"})
"""Keywords of `InfoGAN.sample`, which takes code names as keywords too."""


class LatentVariable(ABC):
    """A named part of the generator's input: noise, or a code that Q recovers.

    `short_name` is the name it gets where none is given, as in ``Noise(62) + Categorical(10)``.
    """

    short_name: ClassVar[str] = ""

    def __add__(self, other: object) -> "LatentSpec":
        return LatentSpec({self.short_name or type(self).__name__.lower(): self}) + other

    def __repr__(self) -> str:
        if not is_dataclass(self):
            return f"{type(self).__name__}()"
        shown = []
        for position, field in enumerate(fields(self)):
            value = getattr(self, field.name)
            if position == 0 and not field.kw_only:
                shown.append(repr(value))
            elif field.default is MISSING or value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of columns it takes in the generator's input."""

    @abstractmethod
    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw n values from the prior, shape (n, width), from `generator` (torch's global one if None)."""

    @classmethod
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        """A function drawing many variables of this kind side by side, shape (n, sum of their widths).

        Override it where one call can draw them all: that is what keeps a hundred codes cheap.
        """

        def draw(n: int, generator: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
            drawn = [v.sample(n, generator=generator, device=device, dtype=dtype) for v in variables]
            return torch.cat(drawn, dim=1)

        return draw

    def neutral(self) -> Tensor:
        """The value that stands for "nothing in particular", shape (width,): zeros unless overridden."""
        return torch.zeros(self.width)

    @property
    def sweep_range(self) -> tuple[float, float]:
        """The ends between which a sweep moves a dimension."""
        return -1.0, 1.0

    def sweep(
        self,
        base: Tensor,
        *,
        dim: int = 0,
        steps: int | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        """`steps` values (10 if None) that differ from `base` in dimension `dim` only, from low to high.

        Args:
            base: shape (width,).
            dim: which dimension moves, 0 to width - 1.
            low, high: the ends, `sweep_range` if None.

        Returns:
            Shape (steps, width).

        Raises:
            ValueError: a dimension that is not there, or fewer than one step.
        """
        steps = whole_number("steps", 10 if steps is None else steps, minimum=1)
        if whole_number("dim", dim, minimum=0) >= self.width:
            raise ValueError(f"dim must be from 0 to {self.width - 1} for {self!r}, but got {dim}")
        ends = [
            own if given is None else real_number("low and high", given)
            for given, own in zip((low, high), self.sweep_range, strict=True)
        ]
        rows = base.repeat(steps, 1)
        rows[:, dim] = torch.linspace(ends[0], ends[1], steps, device=base.device, dtype=base.dtype)
        return rows

    def rows(self, value: Any, n: int) -> Tensor:
        """The value as a person writes it, as n rows of the generator's input.

        Args:
            value: one number for all, `width` numbers for every row, or an array of shape (n, width); where
                the width is 1, also n numbers.

        Returns:
            Shape (n, width).

        Raises:
            ValueError: any other shape, or a value that is not finite.
        """
        given = numbers_of(value, self)
        if given.ndim == 0 or given.shape == (self.width,):
            return given.expand(n, self.width).clone()
        if given.shape == (n, self.width):
            return given.clone()
        if given.shape == (n,) and self.width == 1:
            return given[:, None].clone()
        raise ValueError(
            f"{self!r} takes one number, {self.width} numbers or an array of shape ({n}, {self.width}), "
            f"but got shape {tuple(given.shape)}"
        )


class LatentCode(LatentVariable):
    """A latent variable c that Q recovers from the image: prior, posterior, information loss, weight.

    Subclass it as a frozen dataclass. `width`, `outputs`, `entropy`, `sample` and `posterior` are required; `nll`,
    `sweep`, `rows` and `neutral` have defaults that suit a real-valued code.

    Attributes:
        weight: lambda of the paper, the factor on this code's information loss. Not negative.
        likelihood: whether `nll` is a negative log-likelihood in nats, so that a bound can be given.
    """

    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", real_number("weight", self.weight, minimum=0))

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many raw outputs the Q head must give for this code."""

    @property
    @abstractmethod
    def entropy(self) -> float:
        """H(c) of the true prior, in nats (a differential entropy for a continuous code)."""

    @property
    def likelihood(self) -> bool:
        return True

    @property
    def discrete(self) -> bool:
        """Whether the code takes finitely many values, so that the bound cannot exceed H(c)."""
        return False

    @abstractmethod
    def posterior(self, raw: Tensor) -> Distribution:
        """Q(c|x) from the Q head's raw outputs, shape (N, outputs)."""

    def nll(self, raw: Tensor, value: Tensor) -> Tensor:
        """The information loss per sample, shape (N,): -log Q(c|x) in nats unless overridden.

        Args:
            raw: the Q head's raw outputs, shape (N, outputs).
            value: the code in the generator's input, shape (N, width).
        """
        return -self.posterior(raw).log_prob(value)

    def shared_loss(self) -> InformationLoss | None:
        """The loss by which codes of one shape may be scored as one tensor; None to be scored alone."""
        return None


class LatentSpec(Mapping[str, LatentVariable]):
    """Named latent variables in order: the layout of the generator's input and of Q's output. Immutable.

    Args:
        variables: names and variables, for names that are no Python identifiers.
        **named: the same as keywords: ``LatentSpec(z=Noise(62), digit=Categorical(10))``.

    Specs and variables add up: ``Noise(62) + Categorical(10)`` names them "z" and "category".

    Raises:
        TypeError: something that is no `LatentVariable`, or a name that is no string.
        ValueError: no variable at all, a name used twice, or a reserved one ("seed", "generator").
    """

    def __init__(self, variables: Mapping[str, LatentVariable] | None = None, /, **named: LatentVariable) -> None:
        given = dict(variables or {})
        _refuse_twice(given, named)
        self._variables = given | named
        if not self._variables:
            raise ValueError("a LatentSpec needs at least one variable, such as LatentSpec(z=Noise(62))")
        for name, variable in self._variables.items():
            if not isinstance(name, str) or not name:
                raise TypeError(f"a name in a LatentSpec must be a non-empty string, but got {describe(name)}")
            if name in RESERVED_NAMES:
                raise ValueError(f"{name!r} cannot name a code: it is a keyword of InfoGAN.sample; rename it")
            if not isinstance(variable, LatentVariable):
                hint = f"; did you mean {variable.__name__}(...)?" if isinstance(variable, type) else ""
                raise TypeError(
                    f"{name} must be a latent variable such as Categorical(10), but got {describe(variable)}{hint}"
                )

    @override
    def __getitem__(self, name: str) -> LatentVariable:
        try:
            return self._variables[name]
        except KeyError:
            raise KeyError(f"no {name!r} in this latent; it has {listed(self)}") from None

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    @override
    def __len__(self) -> int:
        return len(self._variables)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, LatentSpec) and list(self.items()) == list(other.items())

    @override
    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    @override
    def __repr__(self) -> str:
        return f"LatentSpec({', '.join(f'{name}={variable!r}' for name, variable in self.items())})"

    def __reduce__(self) -> tuple[type, tuple[dict[str, LatentVariable]]]:
        return type(self), (self._variables,)

    def __add__(self, other: object) -> "LatentSpec":
        if isinstance(other, LatentVariable):
            short = other.short_name or type(other).__name__.lower()
            name, count = short, 2
            while name in self:
                name, count = f"{short}_{count}", count + 1
            return LatentSpec({**self, name: other})
        if isinstance(other, LatentSpec):
            _refuse_twice(self, other)
            return LatentSpec({**self, **other})
        return NotImplemented

    @cached_property
    def codes(self) -> dict[str, LatentCode]:
        """The variables that Q recovers, in order; noise is left out."""
        return {name: v for name, v in self.items() if isinstance(v, LatentCode)}

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Where each variable stands in the flat latent."""
        found, end = {}, 0
        for name, variable in self.items():
            found[name] = slice(end, end + variable.width)
            end += variable.width
        return found

    @cached_property
    def width(self) -> int:
        """The width L of the generator's input."""
        return sum(v.width for v in self.values())

    @cached_property
    def outputs(self) -> int:
        """The number of raw outputs Q must give for all codes."""
        return sum(code.outputs for code in self.codes.values())

    @cached_property
    def entropy(self) -> dict[str, float]:
        """H(c) of each code under its true prior, in nats."""
        return {name: code.entropy for name, code in self.codes.items()}

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw n latents.

        Args:
            n: how many, at least 1.
            generator: where the randomness comes from; torch's global generator if None.
            device: where to draw; the generator's device if None.
            dtype: torch's default if None.

        Returns:
            Shape (n, width), the variables side by side in order.
        """
        n = whole_number("n", n, minimum=1)
        return self._draw(n, generator, drawing_device(generator, device), dtype or torch.get_default_dtype())

    @cached_property
    def _draw(self) -> JointSampler:
        return JointSampler(list(self.values()))

    def split(self, latent: Tensor) -> dict[str, Tensor]:
        """A flat latent (N, width) as named parts, each (N, its width); views, not copies."""
        self._check_width(latent)
        return {name: latent[:, columns] for name, columns in self.columns.items()}

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Named parts, in any order, as a flat latent (N, width) in the declared order.

        Raises:
            ValueError: a part that is missing, unknown, or of another width.
        """
        if set(parts) != set(self):
            raise ValueError(f"join needs exactly the parts {listed(self)}, but got {listed(parts)}")
        for name, variable in self.items():
            if parts[name].ndim != 2 or parts[name].shape[1] != variable.width:
                raise ValueError(
                    f"part {name!r} must have shape (N, {variable.width}), but got {tuple(parts[name].shape)}"
                )
        return torch.cat([parts[name] for name in self], dim=1)

    def nll(self, raw: Tensor, latent: Tensor) -> Tensor:
        """The information loss of every code for every sample.

        Args:
            raw: Q's raw outputs, shape (N, outputs), the codes side by side in order.
            latent: what the generator was given, shape (N, width).

        Returns:
            Shape (N, codes): -log Q(c|x) in nats, or the squared error of a code with `MSE`.

        Raises:
            ValueError: a latent or raw outputs of another width.
        """
        self._check_width(latent)
        self._check_outputs(raw)
        return self._score(raw, latent)

    @cached_property
    def _score(self) -> JointScorer:
        columns = [range(self.columns[n].start, self.columns[n].stop) for n in self.codes]
        return JointScorer(list(self.codes.values()), columns)

    def posteriors(self, raw: Tensor) -> dict[str, Distribution]:
        """Q(c|x) of each code from Q's raw outputs, shape (N, outputs)."""
        self._check_outputs(raw)
        parts = raw.split([code.outputs for code in self.codes.values()], dim=1)
        return {name: code.posterior(part) for (name, code), part in zip(self.codes.items(), parts, strict=True)}

    def neutral(self, n: int = 1, *, device: torch.device | str | None = None) -> Tensor:
        """n latents with zero noise, first categories and continuous codes in mid-range, shape (n, width)."""
        return torch.cat([v.neutral() for v in self.values()]).to(device).repeat(n, 1)

    def with_values(self, latent: Tensor, values: Mapping[str, Any]) -> Tensor:
        """A copy of the latents with some variables set: a category, one number, or one row for each.

        Args:
            latent: shape (n, width).
            values: by name; what each takes is said by its `rows`.

        Raises:
            KeyError: a name that is not there.
            ValueError, TypeError: a value the variable cannot take.
        """
        self._check_width(latent)
        latent = latent.clone()
        for name, value in values.items():
            rows = self[name].rows(value, len(latent))
            latent[:, self.columns[name]] = rows.to(latent)
        return latent

    def sweep(
        self,
        name: str,
        *,
        dim: int = 0,
        steps: int | None = None,
        base: Tensor | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        """Latents in which only one variable moves: k categories in turn, or one dimension from low to high.

        Args:
            name: the variable.
            dim: the dimension that moves.
            steps: how many; 10, or the number of categories.
            base: the latents to start from, shape (n, width); `neutral()` if None.
            low, high: the ends; the variable's own if None.

        Returns:
            Shape (n * steps, width), all steps of the first base first.
        """
        variable, columns = self[name], self.columns[name]
        bases = self.neutral() if base is None else base
        self._check_width(bases)
        swept = []
        for row in bases:
            moved = variable.sweep(row[columns], dim=dim, steps=steps, low=low, high=high)
            rows = row.repeat(len(moved), 1)
            rows[:, columns] = moved
            swept.append(rows)
        return torch.cat(swept)

    def grid(
        self,
        *,
        rows: int | str | tuple[str, int],
        columns: str | tuple[str, int],
        steps: int | None = None,
        base: Tensor | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> tuple[Tensor, int]:
        """Latents for a picture in which one variable moves along the columns.

        Args:
            rows: a number of rows, each with its own draw of everything else (or `base`'s rows); or a second
                variable to move down the rows, all else the same everywhere.
            columns: the variable along the columns; ``("style", 1)`` names its second dimension.
            steps: steps of a continuous variable, 10 if None.
            base: the latents to start from: (rows, width), or (1, width) where two variables move.

        Returns:
            The latents row by row, shape (rows * columns, width), and the number of columns.
        """
        across, across_dim = (columns, 0) if isinstance(columns, str) else columns
        if isinstance(rows, (str, tuple)):
            down, down_dim = (rows, 0) if isinstance(rows, str) else rows
            if base is None:
                base = self.sample(1, generator=generator, device=device)
            base = self.sweep(down, dim=down_dim, steps=self._steps(down, steps), base=base)
        elif base is None:
            base = self.sample(whole_number("rows", rows, minimum=1), generator=generator, device=device)
        latents = self.sweep(across, dim=across_dim, steps=self._steps(across, steps), base=base)
        return latents, len(latents) // len(base)

    def _steps(self, name: str, steps: int | None) -> int | None:
        """`steps` for a variable that takes them; a discrete one has its own number of values."""
        variable = self[name]
        return None if isinstance(variable, LatentCode) and variable.discrete else steps

    def to_json(self) -> str:
        """The spec as JSON text: names, kinds and settings in order."""
        return json.dumps({name: to_plain(variable) for name, variable in self.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The spec that `to_json` wrote. Codes of your own must have been defined (imported) before.

        Raises:
            ValueError: text that is no such JSON, a name twice, a kind that is not known, or settings that the
                kind refuses.
        """
        parts = read_object(text, "a LatentSpec")
        return cls({name: from_plain(LatentVariable, part, name) for name, part in parts.items()})

    def _check_width(self, latent: Tensor) -> None:
        if latent.ndim != 2 or latent.shape[1] != self.width:
            raise ValueError(f"a latent of this spec has shape (N, {self.width}), but got {tuple(latent.shape)}")

    def _check_outputs(self, raw: Tensor) -> None:
        if raw.ndim != 2 or raw.shape[1] != self.outputs:
            needs = ", ".join(f"{name} {code.outputs}" for name, code in self.codes.items())
            raise ValueError(
                f"Q must give shape (N, {self.outputs}) for these codes ({needs}), but got {tuple(raw.shape)}"
            )


def drawing_device(generator: torch.Generator | None, device: torch.device | str | None) -> torch.device:
    """The device asked for, else the generator's, else torch's default."""
    if device is not None:
        return torch.device(device)
    return generator.device if generator is not None else torch.get_default_device()


def _refuse_twice(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    twice = [name for name in first if name in second]
    if twice:
        raise ValueError(f"the name {listed(twice)} is used twice in the latent; rename one of them")


def numbers_of(value: Any, variable: LatentVariable) -> Tensor:
    """What a person wrote as the value of a variable, as finite numbers, or an error that names both."""
    try:
        given = torch.as_tensor(value).detach().to(torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"a value of {variable!r} must be numbers, but got {describe(value)}") from error
    if not given.isfinite().all() or given.numel() == 0:
        raise ValueError(f"a value of {variable!r} must be finite numbers, but got {describe(value)}")
    return given
