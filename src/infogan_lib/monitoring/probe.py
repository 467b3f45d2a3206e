"""What a trained generator makes of a few latents, and what Q makes of that, without a trace on the run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from infogan_lib.codes import Categorical
from infogan_lib.evaluation.collapse import confusion, difference, effects, spread
from infogan_lib.latent import LatentSpec
from infogan_lib.model import InfoGAN
from infogan_lib.networks.forms import placement
from infogan_lib.training.undo import Undo
from infogan_lib.variables import LatentCode


class Knob(NamedTuple):
    """What can be redrawn on its own: a noise or a discrete code as a whole, or one dimension of a continuous code."""

    name: str
    dim: int | None

    def __str__(self) -> str:
        return repr(self.name) if self.dim is None else f"dimension {self.dim} of {self.name!r}"


@dataclass(frozen=True)
class Findings:
    """What a probe saw.

    Attributes:
        spread: the share of the images' variance that lies between them.
        effects: the total effect of each knob, 0 to 1.
        tables: for each categorical code, what was asked for (rows) against what Q found (columns).
    """

    spread: float
    effects: Mapping[Knob, float]
    tables: Mapping[str, Tensor]


class Probe:
    """Draws latents, renders them as they are rendered in training, and has Q read the images.

    The networks stay in the mode that they are in, with batches of the size given; buffers and the global generator
    are put back, so that a run with a probe is the same to the last bit as one without.

    Args:
        model: whose generator and Q are looked at.
        samples: images in a batch.
    """

    def __init__(self, model: InfoGAN, *, samples: int) -> None:
        self._model, self._samples = model, samples
        self._knobs = list(_knobs(model.latent))
        self._codes = {name: code.width for name, code in model.latent.codes.items() if isinstance(code, Categorical)}
        self._undo = Undo()

    @torch.no_grad()
    def __call__(self, seed: int) -> Findings:
        """One look, with latents from this seed."""
        generator = torch.Generator().manual_seed(seed)
        base = self._draw(generator)
        redrawn, knob_of = self._redrawn(base, self._draw(generator))
        batches = [base, *redrawn.split(self._samples)]
        per_category = 16 * max(self._codes.values(), default=0)
        missing = -(-per_category // self._samples) - len(batches)
        batches += [self._draw(generator) for _ in range(min(missing, _MOST_BATCHES))]

        tables = {name: torch.zeros(count, count, dtype=torch.int64) for name, count in self._codes.items()}
        of_base, differences = torch.empty(0), []
        with self._undisturbed():
            for number, batch in enumerate(batches):
                torch.default_generator.manual_seed(seed)  # dropout falls alike on images that are compared
                images, raw = self._look_at(batch)
                if number == 0:
                    of_base = images
                elif number * self._samples <= len(redrawn):
                    differences.append(difference(of_base, images).cpu())
                posteriors = self._model.latent.posteriors(raw) if tables else {}
                for name, table in tables.items():
                    asked = batch[:, self._model.latent.columns[name]].argmax(1)
                    table += confusion(asked, posteriors[name].mode.argmax(1).cpu(), len(table))
        shares = effects(torch.cat(differences), knob_of, of_base, len(self._knobs)).tolist()
        return Findings(spread(of_base), dict(zip(self._knobs, shares, strict=True)), tables)

    def _draw(self, generator: torch.Generator) -> Tensor:
        return self._model.latent.sample(self._samples, generator=generator, device="cpu")

    def _redrawn(self, base: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """The base over and over, one knob redrawn in each row, and which: a batch a knob, or a share of a few."""
        copies = min(len(self._knobs), _MOST_BATCHES)
        latents = base.repeat(copies, 1)
        knob_of = torch.arange(len(latents)) * len(self._knobs) // len(latents)
        others = fresh.repeat(copies, 1)
        for number, knob in enumerate(self._knobs):
            columns = self._model.latent.columns[knob.name]
            if knob.dim is not None:
                columns = slice(columns.start + knob.dim, columns.start + knob.dim + 1)
            rows = knob_of == number
            latents[rows, columns] = others[rows, columns]
        return latents, knob_of

    def _look_at(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        images = self._model.generate(latents.to(*placement(self._model.generator)))
        return images, self._model.raw_codes(images)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        device = placement(self._model)[0]
        self._undo.remember(self._model, (), ())
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            try:
                yield
            finally:
                self._undo()


_MOST_BATCHES = 16


def _knobs(latent: LatentSpec) -> Iterator[Knob]:
    for name, variable in latent.items():
        if isinstance(variable, LatentCode) and not variable.discrete:
            yield from (Knob(name, dim) for dim in range(variable.width))
        else:
            yield Knob(name, None)
