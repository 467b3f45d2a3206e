"""Many latent variables as few tensors: joint sampling and joint scoring.

A hundred codes sampled and scored one by one cost a hundred times the call overhead of one. Variables of one class are
sampled by one call, and codes that share a loss are scored by one call, padded to a common width if their loss knows
an output that changes nothing (a hugely negative logit for a cross-entropy).
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from infogan_lib._checks import check_floats, check_type
from infogan_lib.latent.base import LatentCode, LatentVariable, Sampler, sample_each
from infogan_lib.losses.information import InformationLoss, at_least_float32


class ConstantTensor:
    """A constant with one copy per device and dtype, so that no step waits for a transfer."""

    def __init__(self, values: Sequence) -> None:
        self._values = values
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def to(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The constant on a device in a dtype."""
        if (device, dtype) not in self._copies:
            with torch.inference_mode(False):  # autograd refuses tensors that were made in inference mode
                self._copies[device, dtype] = torch.tensor(self._values, device=device, dtype=dtype)
        return self._copies[device, dtype]


def adjacent_slices(widths: Iterable[int]) -> list[slice]:
    """Slices of the given widths, side by side."""
    return [slice(start, stop) for start, stop in pairwise([0, *accumulate(widths)])]


class VectorizedSampler:
    """Samples all variables, shape (n, sum of widths), with one call per class of variable."""

    def __init__(self, variables: Sequence[LatentVariable]) -> None:
        by_class: dict[type[LatentVariable], list[int]] = {}
        for i, variable in enumerate(variables):
            by_class.setdefault(type(variable), []).append(i)
        self._samplers = [_joint_sampler(kind, [variables[i] for i in indices]) for kind, indices in by_class.items()]
        sampled = [i for indices in by_class.values() for i in indices]
        slices = dict(zip(sampled, adjacent_slices(variables[i].width for i in sampled), strict=True))
        columns = [column for i in range(len(variables)) for column in range(slices[i].start, slices[i].stop)]
        self._order = None if columns == sorted(columns) else ConstantTensor(columns)

    def __call__(self, n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        samples = [sampler(n, rng, device, dtype) for sampler in self._samplers]
        rows = samples[0] if len(samples) == 1 else torch.cat(samples, dim=1)
        return rows if self._order is None else rows.index_select(1, self._order.to(device, torch.int64))


def _joint_sampler(kind: type[LatentVariable], variables: Sequence[LatentVariable]) -> Sampler:
    """The joint sampler of a class, or one `sample` after another if a subclass overrides only `sample`."""
    joint = _overrides_together(kind, "sample_many", "sample")
    return kind.sample_many(variables) if joint else sample_each(variables)


def _batched_loss(code: LatentCode) -> InformationLoss | None:
    """The batched loss of a code, or None if a subclass overrides only `nll`."""
    return code.batched_loss() if _overrides_together(type(code), "batched_loss", "nll") else None


def _overrides_together(kind: type, joint: str, single: str) -> bool:
    """Whether `joint` is defined in the same class as `single`, or in one more derived."""
    depths = [next(i for i, base in enumerate(kind.__mro__) if name in vars(base)) for name in (joint, single)]
    return depths[0] <= depths[1]


class VectorizedLoss:
    """The information loss of all codes, shape (N, codes), with one call per batched loss and width.

    Q's outputs for the codes are side by side in their order; `slices` are their columns in the latent.
    """

    def __init__(self, codes: Sequence[LatentCode], slices: Sequence[slice]) -> None:
        output_slices = adjacent_slices(code.num_outputs for code in codes)
        groups = _group_codes(codes)
        self._groups = [
            (
                codes[indices[0]],
                _RowGather([output_slices[i] for i in indices]),
                _RowGather([slices[i] for i in indices]),
            )
            for indices in groups
        ]
        scored = [i for indices in groups for i in indices]
        order = sorted(range(len(codes)), key=scored.__getitem__)
        self._order = None if order == sorted(order) else ConstantTensor(order)

    def __call__(self, outputs: Tensor, latent: Tensor) -> Tensor:
        # Samples last: picking codes out is then copying of whole rows, and losses run along the samples, which
        # is several times faster than torch's softmax along a short last dimension.
        outputs, latent = at_least_float32(outputs).t().contiguous(), latent.t().contiguous()
        losses = []
        for code, gather_outputs, gather_values in self._groups:
            loss = _batched_loss(code)
            if loss is not None:
                losses.append(loss(gather_outputs(outputs, loss.padding or 0.0), gather_values(latent, 0.0)))
                continue
            nll = code.nll(gather_outputs(outputs, 0.0)[0].t(), gather_values(latent, 0.0)[0].t())
            name = f"what {type(code).__name__}.nll returns"
            check_floats(name, check_type(name, nll, Tensor))
            if nll.shape != outputs.shape[1:]:
                raise ValueError(
                    f"nll of {code!r} must return one number per sample, shape {tuple(outputs.shape[1:])}, but "
                    f"returned shape {tuple(nll.shape)}; wrap a posterior over several numbers in Independent(..., 1)"
                )
            losses.append(nll[None])
        joined = losses[0] if len(losses) == 1 else torch.cat(losses)
        if self._order is not None:
            joined = joined.index_select(0, self._order.to(joined.device, torch.int64))
        return joined.t()


def _group_codes(codes: Sequence[LatentCode]) -> list[list[int]]:
    """Indices of codes that are scored together: those of one loss and width.

    Widths that fewer than four codes have are padded together if the loss allows it, as long as no more than half of
    what is computed is padding.
    """
    same_width: dict[Hashable, list[int]] = {}
    for i, code in enumerate(codes):
        loss = _batched_loss(code)
        same_width.setdefault(i if loss is None else (loss, code.width), []).append(i)
    groups: list[list[int]] = []
    to_pad: dict[InformationLoss, list[int]] = {}
    for indices in same_width.values():
        loss = _batched_loss(codes[indices[0]])
        if loss is None or loss.padding is None or len(indices) >= 4:
            groups.append(indices)
        else:
            to_pad.setdefault(loss, []).extend(indices)
    for indices in to_pad.values():
        group: list[int] = []
        for i in sorted(indices, key=lambda i: codes[i].width):
            widths = [codes[j].width for j in (*group, i)]
            if group and widths[-1] * len(widths) > 2 * sum(widths):
                groups.append(group)
                group = []
            group.append(i)
        groups.append(group)
    return sorted(groups)  # so that losses come out in the order of the codes where they can


class _RowGather:
    """Gathers m slices of the rows of a matrix (rows, N) as (m, longest, N), with shorter slices padded."""

    def __init__(self, slices: Sequence[slice]) -> None:
        longest = max(s.stop - s.start for s in slices)
        self._shape = len(slices), longest
        rows, padded = list[int](), list[int]()
        for s in slices:
            rows += range(s.start, s.stop)
            padding = range(len(rows), len(rows) + longest - (s.stop - s.start))
            rows += [0] * len(padding)
            padded += padding
        contiguous = rows == list(range(rows[0], rows[0] + len(rows)))
        self._slice = slice(rows[0], rows[0] + len(rows)) if contiguous else None
        self._rows = ConstantTensor(rows)
        self._padded = ConstantTensor(padded) if padded else None

    def __call__(self, matrix: Tensor, padding: float) -> Tensor:
        if self._slice is not None:
            return matrix[self._slice].unflatten(0, self._shape)
        gathered = matrix.index_select(0, self._rows.to(matrix.device, torch.int64))
        if self._padded is not None:
            gathered.index_fill_(0, self._padded.to(matrix.device, torch.int64), padding)
        return gathered.unflatten(0, self._shape)
