"""Many latent variables as few tensors: joint drawing and joint scoring.

A hundred codes drawn and scored one by one cost a hundred times the call overhead of one. Variables of one class
are drawn by one call, and codes that share a loss are scored by one call, padded to a common width where their
loss knows a raw output that changes nothing (a hugely negative logit for a cross-entropy).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from infogan_lib.losses.information import InformationLoss, at_least_float32

Draw = Callable[[int, torch.Generator | None, torch.device, torch.dtype], Tensor]
"""Draws n rows from a generator, on a device, in a dtype: shape (n, columns)."""


class Drawable(Protocol):
    """What the joint sampler asks of a latent variable."""

    @property
    def width(self) -> int:
        """Columns in the latent."""
        ...

    @classmethod
    def sample_many(cls, variables: Sequence) -> Draw:
        """A function that draws all of them side by side."""
        ...


class Scorable(Protocol):
    """What the joint scorer asks of a code."""

    @property
    def width(self) -> int:
        """Columns in the latent."""
        ...

    @property
    def num_outputs(self) -> int:
        """Raw outputs of Q."""
        ...

    def batched_loss(self) -> InformationLoss | None:
        """The loss by which codes alike are scored together, or None."""
        ...

    def nll(self, raw: Tensor, value: Tensor) -> Tensor:
        """The loss of the code alone, per sample."""
        ...


class VectorizedSampler:
    """Draws all variables, shape (n, sum of widths), with one call per class of variable."""

    def __init__(self, variables: Sequence[Drawable]) -> None:
        by_class: dict[type, list[int]] = {}
        for i, variable in enumerate(variables):
            by_class.setdefault(type(variable), []).append(i)
        self._draws = [_joint_draw(kind, [variables[i] for i in of]) for kind, of in by_class.items()]
        drawn_order = [i for of in by_class.values() for i in of]
        columns = _column_ranges([variables[i].width for i in drawn_order])
        where = dict(zip(drawn_order, columns, strict=True))
        order = [column for i in range(len(variables)) for column in where[i]]
        self._order = None if order == sorted(order) else _Constant(order)

    def __call__(self, n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        drawn = [draw(n, rng, device, dtype) for draw in self._draws]
        rows = drawn[0] if len(drawn) == 1 else torch.cat(drawn, dim=1)
        return rows if self._order is None else rows.index_select(1, self._order.on(device))


def _joint_draw(kind: type, variables: Sequence) -> Draw:
    """The joint draw of a class, or one draw after another where a subclass changed how it samples."""
    return kind.sample_many(variables) if _says_later(kind, "sample_many", "sample") else one_by_one(variables)


def one_by_one(variables: Sequence) -> Draw:
    """A draw that asks each variable for its own sample."""
    return lambda n, rng, device, dtype: torch.cat(
        [v.sample(n, rng=rng, device=device, dtype=dtype) for v in variables], dim=1
    )


def _shared_loss(code: "Scorable") -> InformationLoss | None:
    """The loss a code shares, or None where a subclass changed how it is scored."""
    return code.batched_loss() if _says_later(type(code), "batched_loss", "nll") else None


def _says_later(kind: type, first: str, second: str) -> bool:
    """Whether a class says `first` at the same level of its ancestry as `second`, or nearer to itself."""
    level = [next(i for i, base in enumerate(kind.__mro__) if name in vars(base)) for name in (first, second)]
    return level[0] <= level[1]


class VectorizedLoss:
    """The information loss of all codes, shape (N, codes), with one call per shared loss and size.

    Args:
        codes: the codes in order; their raw outputs stand side by side in that order.
        columns: where each code's value stands in the latent, one range per code.
    """

    def __init__(self, codes: Sequence[Scorable], columns: Sequence[range]) -> None:
        output_slices = _column_ranges([code.num_outputs for code in codes])
        groups = _groups(codes)
        self._groups = [
            (
                [codes[i] for i in of],
                _Block([output_slices[i] for i in of]),
                _Block([columns[i] for i in of]),
            )
            for of in groups
        ]
        scored_order = [i for of in groups for i in of]
        order = [scored_order.index(i) for i in range(len(codes))]
        self._order = None if order == sorted(order) else _Constant(order)

    def __call__(self, raw: Tensor, latent: Tensor) -> Tensor:
        # Samples last: picking codes out is then copying of whole rows, and losses run along the samples, which
        # is several times faster than torch's softmax along a short last dimension.
        raw, latent = at_least_float32(raw).t().contiguous(), latent.t().contiguous()
        scores = []
        for codes, raw_block, value_block in self._groups:
            loss = _shared_loss(codes[0])
            if loss is None:
                alone = codes[0].nll(raw_block.take(raw, 0.0)[0].t(), value_block.take(latent, 0.0)[0].t())
                if alone.shape != raw.shape[1:]:
                    raise ValueError(
                        f"nll of {codes[0]!r} must give one number per sample, shape {tuple(raw.shape[1:])}, but gave "
                        f"{tuple(alone.shape)}; a posterior over several numbers is wrapped in Independent(..., 1)"
                    )
                scores.append(alone[None])
            else:
                scores.append(loss(raw_block.take(raw, loss.padding or 0.0), value_block.take(latent, 0.0)))
        scored = scores[0] if len(scores) == 1 else torch.cat(scores)
        return (scored if self._order is None else scored.index_select(0, self._order.on(scored.device))).t()


def _groups(codes: Sequence[Scorable]) -> list[list[int]]:
    """The positions of codes that are scored together: those of one loss and size.

    Sizes that fewer than four codes have are padded together where the loss allows it, as long as no more than
    half of what is computed is padding.
    """
    alike: dict[Hashable, list[int]] = {}
    for i, code in enumerate(codes):
        loss = _shared_loss(code)
        alike.setdefault(i if loss is None else (loss, code.width), []).append(i)
    groups: list[list[int]] = []
    rare: dict[InformationLoss, list[int]] = {}
    for of in alike.values():
        loss = _shared_loss(codes[of[0]])
        if loss is None or loss.padding is None or len(of) >= 4:
            groups.append(of)
        else:
            rare.setdefault(loss, []).extend(of)
    for of in rare.values():
        merged: list[int] = []
        for i in sorted(of, key=lambda i: codes[i].width):
            widths = [codes[j].width for j in (*merged, i)]
            if merged and widths[-1] * len(widths) > 2 * sum(widths):
                groups.append(merged)
                merged = []
            merged.append(i)
        groups.append(merged)
    return groups


class _Constant:
    """Row numbers as a tensor on whichever device asks."""

    def __init__(self, values: Sequence[int]) -> None:
        self._values = values
        self._made: dict[torch.device, Tensor] = {}

    def on(self, device: torch.device) -> Tensor:
        if device not in self._made:
            self._made[device] = torch.tensor(self._values, device=device)
        return self._made[device]


class _Block:
    """m ranges of rows of a matrix (rows, N) as a block (m, width, N), padded where they differ in length."""

    def __init__(self, ranges: Sequence[range]) -> None:
        width = max(len(r) for r in ranges)
        self._shape = len(ranges), width
        rows = [row for r in ranges for row in (*r, *[0] * (width - len(r)))]
        padded = [i for i in range(len(rows)) if i % width >= len(ranges[i // width])]
        self._slice = slice(rows[0], rows[-1] + 1) if rows == list(range(rows[0], rows[-1] + 1)) else None
        self._rows = _Constant(rows)
        self._padded = _Constant(padded) if padded else None

    def take(self, matrix: Tensor, padding: float) -> Tensor:
        if self._slice is not None:
            return matrix[self._slice].unflatten(0, self._shape)
        block = matrix.index_select(0, self._rows.on(matrix.device))
        if self._padded is not None:
            block.index_fill_(0, self._padded.on(matrix.device), padding)
        return block.unflatten(0, self._shape)


def _column_ranges(widths: Sequence[int]) -> list[range]:
    ends = [sum(widths[: i + 1]) for i in range(len(widths))]
    return [range(end - width, end) for end, width in zip(ends, widths, strict=True)]
