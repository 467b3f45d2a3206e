r"""The named set of latent variables that a generator is given.

The generator's input is noise z and codes c side by side. A `LatentSpec` names and orders them, and scores Q's outputs
for all codes at once:

.. math:: L_I = \sum_i \lambda_i E[-\log Q(c_i \mid G(z, c))]

Codes are summed and the batch is averaged, so adding a code changes no other code's gradient
(Chen et al., *InfoGAN*, NeurIPS 2016, sections 4 and 5).
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import check_int, describe, join_names
from infogan_lib.latent.base import LatentCode, LatentVariable, drawing_device
from infogan_lib.latent.serialization import from_plain, read_object, to_plain
from infogan_lib.latent.vectorized import VectorizedLoss, VectorizedSampler

RESERVED_NAMES = frozenset({"seed", "rng", "n", "dim", "steps", "low", "high"})
"""Keywords of `InfoGAN.sample` and `InfoGAN.traverse`, which take code names as keywords too."""


class LatentSpec(Mapping[str, LatentVariable]):
    """Named latent variables in order: the layout of the generator's input and of Q's output. Immutable.

    Args:
        variables: names and variables, for names that are no Python identifiers.
        **named: the same as keywords: ``LatentSpec(z=Noise(62), digit=Categorical(10))``.

    Specs and variables add up: ``Noise(62) + Categorical(10)`` names them "z" and "category".

    Raises:
        TypeError: something that is no `LatentVariable`, or a name that is no string.
        ValueError: no variable at all, a name used twice, or one of `RESERVED_NAMES`.
    """

    def __init__(self, variables: Mapping[str, LatentVariable] | None = None, /, **named: LatentVariable) -> None:
        given = dict(variables or {})
        _check_unique(given, named)
        self._variables = given | named
        if not self._variables:
            raise ValueError("a LatentSpec needs at least one variable, such as LatentSpec(z=Noise(62))")
        for name, variable in self._variables.items():
            if not isinstance(name, str) or not name:
                raise TypeError(f"a name in a LatentSpec must be a non-empty string, but got {describe(name)}")
            if name in RESERVED_NAMES:
                raise ValueError(
                    f"{name!r} cannot name a code: it is a keyword of InfoGAN.sample or traverse; rename it"
                )
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
            raise KeyError(f"no {name!r} in this latent; it has {join_names(self)}") from None

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
            _check_unique(self, other)
            return LatentSpec({**self, **other})
        return NotImplemented

    @cached_property
    def codes(self) -> Mapping[str, LatentCode]:
        """The variables that Q recovers, in order; noise is left out."""
        return MappingProxyType({name: v for name, v in self.items() if isinstance(v, LatentCode)})

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Where each variable stands in the flat latent."""
        return _side_by_side({name: variable.width for name, variable in self.items()})

    @cached_property
    def width(self) -> int:
        """The width L of the generator's input."""
        return sum(v.width for v in self.values())

    @cached_property
    def num_outputs(self) -> int:
        """The number of raw outputs Q must give for all codes."""
        return sum(code.num_outputs for code in self.codes.values())

    @cached_property
    def output_slices(self) -> Mapping[str, slice]:
        """Where each code's raw outputs stand in Q's output."""
        return _side_by_side({name: code.num_outputs for name, code in self.codes.items()})

    @cached_property
    def entropy(self) -> Mapping[str, float]:
        """H(c) of each code under its true prior, in nats."""
        return MappingProxyType({name: code.entropy for name, code in self.codes.items()})

    def sample(
        self,
        n: int,
        *,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw n latents.

        Args:
            n: how many, at least 1.
            rng: where the randomness comes from; torch's global generator if None.
            device: where to draw; the generator's device if None.
            dtype: torch's default if None.

        Returns:
            Shape (n, width), the variables side by side in order.
        """
        n = check_int("n", n, minimum=1)
        return self._draw(n, rng, drawing_device(rng, device), dtype or torch.get_default_dtype())

    @cached_property
    def _draw(self) -> VectorizedSampler:
        return VectorizedSampler(list(self.values()))

    def split(self, latent: Tensor) -> dict[str, Tensor]:
        """A flat latent (N, width) as named parts, each (N, its width); views, not copies."""
        self._check_width(latent)
        return {name: latent[:, columns] for name, columns in self.slices.items()}

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Named parts, in any order, as a flat latent (N, width) in the declared order.

        Raises:
            ValueError: a part that is missing, unknown, or of another width.
        """
        if set(parts) != set(self):
            raise ValueError(f"join needs exactly the parts {join_names(self)}, but got {join_names(parts)}")
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
    def _score(self) -> VectorizedLoss:
        columns = [range(self.slices[n].start, self.slices[n].stop) for n in self.codes]
        return VectorizedLoss(list(self.codes.values()), columns)

    def posteriors(self, raw: Tensor) -> dict[str, Distribution]:
        """Q(c|x) of each code from Q's raw outputs, shape (N, outputs)."""
        self._check_outputs(raw)
        parts = raw.split([code.num_outputs for code in self.codes.values()], dim=1)
        return {name: code.posterior(part) for (name, code), part in zip(self.codes.items(), parts, strict=True)}

    def center(self, n: int = 1, *, device: torch.device | str | None = None) -> Tensor:
        """n latents with zero noise, first categories and continuous codes in mid-range, shape (n, width)."""
        return torch.cat([v.center() for v in self.values()]).to(device).repeat(n, 1)

    def replace_values(self, latent: Tensor, values: Mapping[str, Any]) -> Tensor:
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
            variable = self[name]
            try:
                rows = variable.as_rows(value, len(latent))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{name}: {error}") from error
            latent[:, self.slices[name]] = rows.to(latent)
        return latent

    def traverse(
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
            base: the latents to start from, shape (n, width); `center()` if None.
            low, high: the ends; the variable's own if None.

        Returns:
            Shape (n * steps, width), all steps of the first base first.
        """
        variable, columns = self[name], self.slices[name]
        bases = self.center() if base is None else base
        self._check_width(bases)
        swept = []
        for row in bases:
            moved = variable.traverse(row[columns], dim=dim, steps=steps, low=low, high=high)
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
        rng: torch.Generator | None = None,
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
                base = self.sample(1, rng=rng, device=device)
            base = self.traverse(down, dim=down_dim, steps=self.steps_of(down, steps), base=base)
        elif base is None:
            base = self.sample(check_int("rows", rows, minimum=1), rng=rng, device=device)
        latents = self.traverse(across, dim=across_dim, steps=self.steps_of(across, steps), base=base)
        return latents, len(latents) // len(base)

    def steps_of(self, name: str, steps: int | None) -> int | None:
        """`steps` for the sweep of a variable that takes them; None for a discrete one, which has its own values."""
        variable = self[name]
        return None if isinstance(variable, LatentCode) and variable.is_discrete else steps

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
        if raw.ndim != 2 or raw.shape[1] != self.num_outputs:
            needs = ", ".join(f"{name} {code.num_outputs}" for name, code in self.codes.items())
            raise ValueError(
                f"Q must give shape (N, {self.num_outputs}) for these codes ({needs}), but got {tuple(raw.shape)}"
            )


def _side_by_side(widths: Mapping[str, int]) -> Mapping[str, slice]:
    ends = list(accumulate(widths.values()))
    columns = [slice(end - width, end) for end, width in zip(ends, widths.values(), strict=True)]
    return MappingProxyType(dict(zip(widths, columns, strict=True)))


def _check_unique(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    twice = [name for name in first if name in second]
    if twice:
        raise ValueError(f"the name {join_names(twice)} is used twice in the latent; rename one of them")


def _alone(self: LatentVariable) -> LatentSpec:
    return LatentSpec({self.short_name or type(self).__name__.lower(): self})


# Variables add up to specs, and specs are made of variables: this is the one place where the two meet.
LatentVariable._alone = _alone
