"""Latents in which one or two variables change and everything else stays."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from infogan_lib._checks import check_rows, check_tensor, describe
from infogan_lib.latent.base import LatentCode, LatentVariable, check_rows_of


class Traversable(Mapping[str, LatentVariable]):
    """The traversals of a `LatentSpec`."""

    slices: "cached_property[Mapping[str, slice]]"
    """The columns of each variable."""

    width: "cached_property[int]"
    """The number of columns."""

    @abstractmethod
    def center(self, n: int = 1) -> Tensor:
        """n latents (n, width) in the middle of their range."""

    @abstractmethod
    def sample(self, n: int, *, rng: torch.Generator | None = None, device: torch.device | str | None = None) -> Tensor:
        """n latents (n, width) from the prior."""

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
        """Latents in which one variable changes: k categories in order, or one dimension from low to high.

        Args:
            name: The variable.
            dim: The dimension that changes.
            steps: Number of values; 10, or the number of categories, if None.
            base: Latents to start from, shape (n, width); `center()` if None.
            low: First value; that of the variable's `traversal_range` if None.
            high: Last value; that of the variable's `traversal_range` if None.

        Returns:
            Shape (n * steps, width), all steps of the first base first.
        """
        variable, columns = self[name], self.slices[name]
        bases = self.center() if base is None else check_tensor("base", base, ("N", self.width))
        if steps is not None:
            check_rows("steps", steps, self.width * len(bases))
        latents = []
        for row in bases:
            values = variable.traverse(row[columns], dim=dim, steps=steps, low=low, high=high)
            rows = row.repeat(len(check_rows_of(variable, "traverse", values, "steps")), 1)
            rows[:, columns] = values
            latents.append(rows)
        return torch.cat(latents)

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
        """Latents for a grid of images in which one variable changes along the columns.

        Args:
            rows: A number of rows, each with its own sample of everything else (or a row of `base`); or a second
                variable that changes along the rows while everything else is the same everywhere.
            columns: The variable along the columns; ``("style", 1)`` names its second dimension.
            steps: Number of values of a continuous variable; 10 if None.
            base: Latents to start from: (rows, width), or (1, width) if two variables change.
            rng: Random generator of the samples; torch's global one if None.
            device: Device of the samples; that of `rng`, else torch's default, if None.

        Returns:
            The latents row by row, shape (rows * columns, width), and the number of columns.
        """
        column, column_dim = _name_and_dim("columns", columns)
        if base is not None:
            check_tensor("base", base, ("N", self.width))
        if isinstance(rows, (str, tuple)):
            row, row_dim = _name_and_dim("rows", rows)
            if base is None:
                base = self.sample(1, rng=rng, device=device)
            base = self.traverse(row, dim=row_dim, steps=self.traversal_steps(row, steps), base=base)
        elif base is None:
            base = self.sample(check_rows("rows", rows, self.width), rng=rng, device=device)
        latents = self.traverse(column, dim=column_dim, steps=self.traversal_steps(column, steps), base=base)
        return latents, len(latents) // len(base)

    def traversal_steps(self, name: str, steps: int | None) -> int | None:
        """`steps` for a continuous variable; None for a discrete one, whose traversal has its own number of values."""
        variable, count = self[name], None if steps is None else check_rows("steps", steps)
        return None if isinstance(variable, LatentCode) and variable.is_discrete else count


def _name_and_dim(argument: str, value: object) -> tuple[str, int]:
    """A variable's name and the dimension to vary: the first one, or that of a pair such as ``("style", 1)``.

    Raises TypeError for anything else.
    """
    name, dim = value if isinstance(value, tuple) and len(value) == 2 else (value, 0)
    if not isinstance(name, str):
        raise TypeError(f'{argument} must be a name or a pair such as ("style", 1), but got {describe(value)}')
    return name, dim
