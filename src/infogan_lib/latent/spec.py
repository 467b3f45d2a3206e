r"""The latent of a model: named variables in order.

The generator's input is noise z and codes c side by side. A `LatentSpec` names and orders them, and scores Q's outputs
for all codes at once:

.. math:: L_I = \sum_i \lambda_i E[-\log Q(c_i \mid G(z, c))]

Codes are summed and the batch is averaged, so adding a code changes no other code's gradient
(Chen et al., *InfoGAN*, NeurIPS 2016, sections 4 and 5).
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import (
    check_dense,
    check_dtype,
    check_floats,
    check_mapping,
    check_name,
    check_rows,
    check_type,
    describe,
    join_names,
    shorten,
)
from infogan_lib.latent.base import (
    MAX_WIDTH,
    LatentCode,
    LatentVariable,
    check_rows_of,
    check_sizes,
    posterior_of,
    sampling_device,
)
from infogan_lib.latent.discrete import Categorical, sample_categories
from infogan_lib.latent.label import Label
from infogan_lib.latent.serialization import from_dict, parse_object, to_dict
from infogan_lib.latent.traversal import Traversable
from infogan_lib.latent.vectorized import VectorizedLoss, VectorizedSampler, adjacent_slices


class Priors(Protocol):
    """The priors of a model, which change as it learns them."""

    def __getitem__(self, name: str, /) -> Tensor:
        """p(c) of a code, shape (k,)."""
        ...


class LatentSpec(Traversable):
    """Named latent variables in order: the layout of the generator's input and of Q's outputs. Immutable.

    ``spec_a + spec_b`` has the variables of both.

    Args:
        variables: Variables by name, for names that are no Python identifiers.
        **named: Variables by name, as keywords.

    Raises:
        TypeError: A value is no `LatentVariable`, a name no non-empty string, or a width or an entropy no number.
        ValueError: There is no variable, a name is used twice, or the variables have more than 2**20 columns.

    Example:
        >>> import torch
        >>> from infogan_lib import Categorical, Noise, Uniform
        >>> latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))
        >>> latent.width, latent.num_outputs
        (74, 14)
        >>> c = latent.sample(8, rng=torch.Generator().manual_seed(0))
        >>> {name: tuple(part.shape) for name, part in latent.split(c).items()}
        {'z': (8, 62), 'digit': (8, 10), 'style': (8, 2)}
        >>> latent.nll(torch.zeros(8, 14), c).shape
        torch.Size([8, 2])
    """

    def __init__(self, variables: Mapping[str, LatentVariable] | None = None, /, **named: LatentVariable) -> None:
        positional = {} if variables is None else dict(check_mapping("the variables of a LatentSpec", variables))
        _check_unique(positional, named)
        self._variables = positional | named
        if not self._variables:
            raise ValueError("a LatentSpec needs at least one variable, such as LatentSpec(z=Noise(62))")
        for name, variable in self._variables.items():
            _check_variable(name, variable)
        if self.width > MAX_WIDTH:
            raise ValueError(f"a latent has at most {MAX_WIDTH:,} columns, but these variables have {self.width:,}")
        self._priors: Priors | None = None

    def bind(self, priors: Priors) -> "LatentSpec":
        """The same variables with the priors of a model, where there are codes whose prior is learned."""
        if not self.learned:
            return self
        bound = LatentSpec(self._variables)
        bound._priors = priors
        return bound

    def learned_prior(self, name: str) -> Tensor | None:
        """p(c) (k,) of a variable as a model has learned it so far; None for a prior that stays."""
        is_learned = isinstance(self[name], Categorical) and name in self.learned
        return self._priors[name] if is_learned and self._priors is not None else None

    @override
    def __getitem__(self, name: str) -> LatentVariable:
        try:
            return self._variables[name]
        except (KeyError, TypeError):  # a list cannot be a key
            raise KeyError(f"no {shorten(name)} in this latent; it has {join_names(self)}") from None

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

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._variables,), {"_priors": self._priors}

    def __add__(self, other: object) -> "LatentSpec":
        if not isinstance(other, LatentSpec):
            return NotImplemented
        _check_unique(self, other)
        return LatentSpec({**self, **other})

    @cached_property
    def codes(self) -> Mapping[str, LatentCode]:
        """The variables that Q recovers, in order; noise is left out."""
        return MappingProxyType({name: v for name, v in self.items() if isinstance(v, LatentCode)})

    @cached_property
    def labels(self) -> Mapping[str, Label]:
        """The codes that Q also learns from the labels of real images, in order."""
        return MappingProxyType({name: code for name, code in self.codes.items() if isinstance(code, Label)})

    @cached_property
    def learned(self) -> Mapping[str, Categorical]:
        """The codes whose prior a model learns, in order."""
        named = {name: code for name, code in self.codes.items() if isinstance(code, Categorical)}
        return MappingProxyType({name: code for name, code in named.items() if code.learn_probs_after is not None})

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """The columns of each variable in the flat latent."""
        columns = adjacent_slices(variable.width for variable in self.values())
        return MappingProxyType(dict(zip(self, columns, strict=True)))

    @cached_property
    def width(self) -> int:
        """The width L of the generator's input."""
        return sum(variable.width for variable in self.values())

    @cached_property
    def num_outputs(self) -> int:
        """The number of outputs that Q needs for all codes."""
        return sum(code.num_outputs for code in self.codes.values())

    @cached_property
    def output_slices(self) -> Mapping[str, slice]:
        """The columns of each code in Q's outputs."""
        columns = adjacent_slices(code.num_outputs for code in self.codes.values())
        return MappingProxyType(dict(zip(self.codes, columns, strict=True)))

    @property
    def entropy(self) -> Mapping[str, float]:
        """H(c) of each code under its true prior, in nats; a learned prior is read from the device."""
        learned = {name: prior for name in self.learned if (prior := self.learned_prior(name)) is not None}
        own = {name: torch.special.entr(prior.double()).sum().item() for name, prior in learned.items()}
        return MappingProxyType({name: own.get(name, code.entropy) for name, code in self.codes.items()})

    def sample(
        self,
        n: int,
        *,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Sample latents from the prior.

        Args:
            n: Number of samples, at least 1.
            rng: Random generator; torch's global one if None.
            device: Device of the samples; that of `rng`, else torch's default, if None.
            dtype: Type of the samples; torch's default if None.

        Returns:
            Shape (n, width), the variables side by side in order.
        """
        n = check_rows("n", n, self.width)
        latent = self._sampler(n, rng, sampling_device(rng, device), check_dtype("dtype", dtype))
        for name in self.learned:
            if (prior := self.learned_prior(name)) is not None:
                latent[:, self.slices[name]] = sample_categories(prior.to(latent.device), n, rng)
        return latent

    @cached_property
    def _sampler(self) -> VectorizedSampler:
        return VectorizedSampler(list(self.values()))

    def split(self, latent: Tensor) -> dict[str, Tensor]:
        """Split a flat latent (N, width) into named parts, each (N, its width); views, not copies."""
        self._check_width(latent)
        return {name: latent[:, columns] for name, columns in self.slices.items()}

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Join named parts, given in any order, into a flat latent (N, width) in the spec's order.

        Raises:
            ValueError: A part is missing, unknown, or of another width.
        """
        if set(check_mapping("parts", parts)) != set(self):
            raise ValueError(f"join needs exactly the parts {join_names(self)}, but got {join_names(parts)}")
        for name, variable in self.items():
            part = check_dense(f"part {name!r}", check_type(f"part {name!r}", parts[name], Tensor))
            if part.ndim != 2 or part.shape[1] != variable.width:
                raise ValueError(f"part {name!r} must have shape (N, {variable.width}), but got {tuple(part.shape)}")
        if len(set(map(len, parts.values()))) > 1:
            raise ValueError(f"all parts must have as many rows, but got {[len(part) for part in parts.values()]}")
        return torch.cat([parts[name] for name in self], dim=1)

    def nll(self, outputs: Tensor, latent: Tensor) -> Tensor:
        """The information loss of every code for every sample.

        Args:
            outputs: Q's outputs, shape (N, num_outputs), the codes side by side in order.
            latent: The generator's input, shape (N, width).

        Returns:
            Shape (N, codes): -log Q(c|x) in nats, or the squared error of a code with `MSE`.

        Raises:
            ValueError: `outputs` or `latent` has another width.
        """
        self._check_width(latent)
        self._check_outputs(outputs)
        if len(outputs) != len(latent):
            raise ValueError(f"outputs and latent must have as many rows, but got {len(outputs)} and {len(latent)}")
        return self._loss(outputs, latent)

    @cached_property
    def _loss(self) -> VectorizedLoss:
        return VectorizedLoss(list(self.codes.values()), [self.slices[name] for name in self.codes])

    def posteriors(self, outputs: Tensor) -> dict[str, Distribution]:
        """Q(c|x) of each code, of batch shape (N,), from Q's outputs, shape (N, num_outputs)."""
        self._check_outputs(outputs)
        return {name: posterior_of(code, outputs[:, self.output_slices[name]]) for name, code in self.codes.items()}

    def center(self, n: int = 1, *, device: torch.device | str | None = None) -> Tensor:
        """n latents with zero noise, first categories and continuous codes in mid-range, shape (n, width)."""
        n, center = check_rows("n", n, self.width), torch.cat([v.center() for v in self.values()])
        return (center if device is None else center.to(sampling_device(None, device))).repeat(n, 1)

    def replace_values(self, latent: Tensor, values: Mapping[str, Any]) -> Tensor:
        """A copy of the latents with some variables set.

        Args:
            latent: Latents, shape (n, width).
            values: Values by name, each as the variable's `as_rows` takes it: a category, one number, or a row for
                every latent.

        Returns:
            Shape (n, width).

        Raises:
            KeyError: There is no variable of that name.
            TypeError, ValueError: A value has a type, range or shape that the variable does not take.
        """
        self._check_width(latent)
        check_mapping("values", values)
        latent = check_floats("latent", latent).clone()
        for name, value in values.items():
            variable = self[name]
            try:
                rows = variable.as_rows(value, len(latent))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{name}: {error}") from error
            latent[:, self.slices[name]] = check_rows_of(variable, "as_rows", rows, len(latent)).to(latent)
        return latent

    def to_json(self) -> str:
        """The spec as JSON text: names, kinds and settings in order. Raises TypeError if a code is no dataclass."""
        return json.dumps({name: to_dict(variable) for name, variable in self.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The spec that `to_json` wrote. Import the modules that define your own codes before.

        Raises ValueError for no such JSON, a name twice, an unknown kind, or settings that a kind refuses.
        """
        variables = parse_object(text, "a LatentSpec")
        return cls({name: from_dict(LatentVariable, data, name) for name, data in variables.items()})

    def _check_width(self, latent: Tensor) -> None:
        check_dense("latent", check_type("latent", latent, Tensor))
        if latent.ndim != 2 or latent.shape[1] != self.width:
            raise ValueError(f"a latent of this spec has shape (N, {self.width}), but got {tuple(latent.shape)}")

    def _check_outputs(self, outputs: Tensor) -> None:
        check_floats("outputs", check_dense("outputs", check_type("outputs", outputs, Tensor)))
        if outputs.ndim != 2 or outputs.shape[1] != self.num_outputs or len(outputs) == 0:
            needs = ", ".join(f"{name} {code.num_outputs}" for name, code in self.codes.items())
            raise ValueError(
                f"outputs: Q must give shape (N, {self.num_outputs}) for these codes ({needs}), "
                f"but got {tuple(outputs.shape)}"
            )


def _check_variable(name: object, variable: object) -> None:
    """Check a named variable.

    Raises TypeError for a name that is no string or something that is no variable, and ValueError for a name that is
    blank, too long, has control characters or is one of Python's own.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"a name in a LatentSpec must be a non-empty string, but got {describe(name)}")
    check_name("a name in a LatentSpec", name)
    if name.startswith("__") and name.endswith("__"):
        raise ValueError(f"a name in a LatentSpec must not be one of Python's own, but got {describe(name)}")
    if not isinstance(variable, LatentVariable):
        hint = f"; did you mean {variable.__name__}(...)?" if isinstance(variable, type) else ""
        raise TypeError(f"{name} must be a latent variable such as Categorical(10), but got {describe(variable)}{hint}")
    check_sizes(name, variable)


def _check_unique(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    duplicates = [name for name in first if name in second]
    if duplicates:
        raise ValueError(f"the name {join_names(duplicates)} is used twice in the latent; rename one of them")
