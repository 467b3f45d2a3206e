"""What a trained generator makes of a few latents, and what Q makes of that, without a trace on the run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from infogan_lib.data.rng import kept, seed_all
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.sensitivity import confusion, difference, effects, spread
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.introspection import device_and_dtype, eval_mode, has_batch_norm
from infogan_lib.training.snapshot import Snapshot


class Knob(NamedTuple):
    """What can be redrawn on its own: a variable as a whole, or one dimension of a continuous code."""

    name: str
    dim: int | None

    def __str__(self) -> str:
        return repr(self.name) if self.dim is None else f"dimension {self.dim} of {self.name!r}"


@dataclass(frozen=True)
class Findings:
    """What a probe saw.

    Attributes:
        spread: the share of the images' variance that lies between them.
        effects: the total effect of each knob that was turned, 0 to 1.
        tables: for each categorical code, what was asked for (rows) against what Q found (columns): as it reads in
            training, or in evaluation where it is trained on batches of both kinds.
        evaluated: the same in evaluation, where Q is trained on batches of one kind and reads through BatchNorm.
    """

    spread: float
    effects: Mapping[Knob, float]
    tables: Mapping[str, Tensor]
    evaluated: Mapping[str, Tensor] = field(default_factory=dict)


class Probe:
    """Draws latents, renders them as they are rendered in training, and has Q read the images.

    The networks stay in the mode that they are in, with batches of the size given; buffers and the global generators
    are put back, so that a run with a probe is the same to the last bit as one without. A look makes at most 33
    batches: one, one for each of up to 16 knobs, and up to 16 in which the categories take turns; these twice where Q
    reads through BatchNorm.

    Q reads generated images by themselves, as in training; where it was trained on them beside real ones, it reads them
    in evaluation, for which there are statistics of both.

    Args:
        model: whose generator and Q are looked at.
        samples: images in a batch.
        joint: whether Q is trained on batches of real and generated images.
    """

    def __init__(self, model: InfoGAN, *, samples: int, joint: bool = False) -> None:
        self._model, self._samples, self._joint = model, samples, joint
        self._readers = [model.discriminator] + ([] if model.q is None else [model.q])
        self._normalises = any(has_batch_norm(reader) for reader in self._readers)
        self._knobs = list(_knobs(model.latent))
        widths = {name: code.width for name, code in model.latent.codes.items() if isinstance(code, Categorical)}
        most = _MOST_BATCHES * samples // _LEAST_ASKED
        self._categories = {name: width for name, width in widths.items() if width <= most}
        self._undo = Snapshot([model])

    @torch.no_grad()
    def __call__(self, seed: int, look: int) -> Findings:
        """One look.

        Args:
            seed: of the latents.
            look: its number in the run. With more than 16 knobs, two looks in a row turn the same ones, and the next
                two others.
        """
        generator, device = torch.Generator().manual_seed(seed), device_and_dtype(self._model.generator)[0]
        turned = self._turned(look)
        base, fresh = self._draw(generator), self._draw(generator)
        evaluated, differences = {}, []
        with self._undisturbed(device):
            of_base = self._images(base, seed, device)
            for knob in turned:
                images = self._images(self._redrawn(base, fresh, knob), seed, device)
                differences.append(difference(of_base, images).cpu())
            asked = list(self._asked(generator))
            # In evaluation first, as reading in training moves the running statistics.
            if self._joint or self._normalises:
                with eval_mode(*self._readers):
                    evaluated = self._read(asked, seed, device)
            tables, evaluated = (evaluated, {}) if self._joint else (self._read(asked, seed, device), evaluated)
        of = torch.arange(len(turned)).repeat_interleave(self._samples)
        shares = effects(torch.cat(differences), of, of_base, len(turned)).tolist()
        return Findings(spread(of_base), dict(zip(turned, shares, strict=True)), tables, evaluated)

    def _read(self, asked: Sequence[Tensor], seed: int, device: torch.device) -> dict[str, Tensor]:
        """What was asked for against what Q finds in the images of it, for each categorical code."""
        tables = {name: torch.zeros(k, k, dtype=torch.int64) for name, k in self._categories.items()}
        for batch in asked:
            found = self._model.latent.posteriors(self._model.forward_q(self._images(batch, seed, device)))
            for name, table in tables.items():
                wanted = batch[:, self._model.latent.slices[name]].argmax(1)
                table += confusion(wanted, found[name].mode.argmax(1).cpu(), len(table))
        return tables

    def _turned(self, look: int) -> list[Knob]:
        count = min(len(self._knobs), _MOST_BATCHES)
        start = look // 2 * count
        return [self._knobs[(start + i) % len(self._knobs)] for i in range(count)]

    def _draw(self, rng: torch.Generator) -> Tensor:
        return self._model.latent.sample(self._samples, rng=rng, device="cpu")

    def _redrawn(self, base: Tensor, fresh: Tensor, knob: Knob) -> Tensor:
        """The base with another draw of one knob."""
        columns = self._model.latent.slices[knob.name]
        if knob.dim is not None:
            columns = slice(columns.start + knob.dim, columns.start + knob.dim + 1)
        redrawn = base.clone()
        redrawn[:, columns] = fresh[:, columns]
        return redrawn

    def _asked(self, rng: torch.Generator) -> Iterator[Tensor]:
        """Batches in which all categories of every code take turns, each code's in an order of its own."""
        largest = max(self._categories.values(), default=0)
        count = min(-(-_WELL_ASKED * largest // self._samples), _MOST_BATCHES)
        turns = {}
        for name, k in self._categories.items():
            rounds = -(-count * self._samples // k)
            turns[name] = torch.cat([torch.randperm(k, generator=rng) for _ in range(rounds)])
        for number in range(count):
            batch = self._draw(rng)
            for name, order in turns.items():
                chosen = order[number * self._samples : (number + 1) * self._samples]
                columns = self._model.latent.slices[name]
                batch[:, columns] = torch.eye(self._categories[name], dtype=batch.dtype)[chosen]
            yield batch

    def _images(self, latents: Tensor, seed: int, device: torch.device) -> Tensor:
        seed_all(seed, device)  # dropout falls alike on images that are compared
        return self._model.generate(latents.to(*device_and_dtype(self._model.generator)))

    @contextmanager
    def _undisturbed(self, device: torch.device) -> Iterator[None]:
        self._undo.take()
        with kept(device):
            try:
                yield
            finally:
                self._undo.restore()


_MOST_BATCHES = 16

_LEAST_ASKED, _WELL_ASKED = 8, 16


def _knobs(latent: LatentSpec) -> Iterator[Knob]:
    for name, variable in latent.items():
        if isinstance(variable, VectorCode) and not variable.is_discrete:
            yield from (Knob(name, dim) for dim in range(variable.width))
        else:
            yield Knob(name, None)
