r"""Q before the game: Q is begun several times on real images alone, and goes on from the best of these starts.

Which classes share a category is settled within the first hundreds of steps, differently from seed to seed, and the
value of a term does not tell a run in which two classes do. But Q can be begun several times for little, without G and
the game; and starts that find the classes agree with each other, while each that does not fails in a way of its own. So
the one is kept whose categories tell most of those of the others,

.. math::
    \arg\max_s \frac{1}{S - 1} \sum_{t \ne s} I(C_s; C_t), \qquad
    P(C_s = i, C_t = j) = E_x[Q_s(i|x) \, Q_t(j|x)].

Source: Strehl & Ghosh, *Cluster Ensembles*, JMLR 2002, section 2, compare clusterings by the information they share; to
choose the model that agrees most with the others is the idea of Lin et al., *InfoGAN-CR and ModelCentrality*, ICML
2020, section 4. docs/learning.md has the measurements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_int
from infogan_lib.checkpoints.state import clone
from infogan_lib.data.rng import RandomStreams, derive_seed, preserve_rng, seed_all
from infogan_lib.networks.introspection import eval_mode, train_unfrozen
from infogan_lib.regularizers import RealImageInformation, RealImageRegularizer
from infogan_lib.regularizers.real_information import log_posterior
from infogan_lib.step.guard import NonFiniteLossError
from infogan_lib.step.snapshot import Snapshot
from infogan_lib.step.step import InfoGANStep
from infogan_lib.training.callbacks import Callback

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer

MAX_COMPARED = 2048
"""The number of images on which starts are compared, at most."""


@dataclass(frozen=True)
class QStarts:
    """The starts of Q, and which one it goes on from.

    Attributes:
        shared: For each start, the information in nats that its categories share with those of each other start, on
            average; summed over the codes, if there are several. Nothing for a single start.
        chosen: The number of the start that is kept, from 0.
    """

    shared: tuple[float, ...]
    chosen: int


class PretrainQ(Callback):
    """Trains Q on real images alone before the first step of a run; see `InfoGANTrainer.pretrain_q`.

    A run that is resumed, and a later call of `fit`, go on from where they are.

    Args:
        images: Images (N, *image_shape), as for `InfoGANTrainer.pretrain_q`.
        steps: The number of steps of each start.
        starts: The number of starts: 1, or at least 3.
        batch_size: The number of images in a step.

    Attributes:
        result: What was found, a `QStarts`; None as long as nothing was trained.

    Raises:
        TypeError: a number that is not a whole number.
        ValueError: a number that is too small, or two starts. What does not fit the model raises when `fit` begins.
    """

    on_all_processes = True

    def __init__(self, images: Any, *, steps: int = 300, starts: int = 5, batch_size: int = 128) -> None:
        self.images = images
        self.steps, self.starts = check_int("steps", steps, minimum=1), check_starts(starts)
        self.batch_size = check_int("batch_size", batch_size, minimum=1)
        self.result: QStarts | None = None

    @override
    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        if not trainer.is_resumed:
            sizes = {"steps": self.steps, "starts": self.starts, "batch_size": self.batch_size}
            self.result = trainer.pretrain_q(self.images, **sizes)

    @override
    def needs_model(self, step: int) -> bool:
        return False


def check_starts(starts: Any) -> int:
    """A number of starts, checked. Raises TypeError, or ValueError for two, which say the same of each other."""
    if check_int("starts", starts, minimum=1) == 2:
        raise ValueError("starts must be 1, or at least 3 of which one agrees most with the others, but got 2")
    return starts


class Pretraining:
    """Trains Q by the terms about real images of a trainer's step, with the rates of its optimizers.

    Args:
        step: The trainer's step.
        streams: The trainer's streams of random numbers, which stay as they are.
        to_floats: Makes a batch of the images that are given floats on the device.

    Raises:
        ValueError: No term that Q can be begun by, or nothing in Q that is trained.
    """

    def __init__(self, step: InfoGANStep, streams: RandomStreams, to_floats: Callable[[Tensor], Tensor]) -> None:
        self._step, self._model, self._to_floats = step, step.model, to_floats
        self._terms = [term for term in step.regularizers if isinstance(term, RealImageRegularizer)]
        self._codes = [term.code for term in self._terms if isinstance(term, RealImageInformation) and term.is_due(0)]
        if not self._codes:
            raise ValueError(
                "Q is pretrained by a RealImageInformation term, and the trainer has none from the first step on; give "
                "it regularizers=[RealImageInformation('CODE')]"
            )
        groups = self._model.parameter_groups()
        self._begun_anew = groups["trunk"] + groups["q_head"]
        self._parameters = groups["trunk"] + (groups["q_head"] if "q_head" in step.information_trains else [])
        if not self._parameters:
            raise ValueError("nothing of Q requires gradients, so it cannot be pretrained")
        optimizers, own = [*step.d_optimizers, *step.g_optimizers], {id(parameter) for parameter in self._parameters}
        self._optimizers = [o for o in optimizers if any(id(p) in own for g in o.param_groups for p in g["params"])]
        self._before = Snapshot([self._model], optimizers, [streams, step.precision])
        self._device = step.precision.device

    def run(self, images: Tensor, *, steps: int, starts: int, batch_size: int, seed: int) -> QStarts:
        """Begin Q several times, and leave it as the best start has it; everything else stays as it is.

        Raises NonFiniteLossError if what Q says of the images turns NaN or infinite; Q is then as it was, too.
        """
        rng = torch.Generator().manual_seed(derive_seed(seed, "compared"))
        compared = images[torch.randperm(len(images), generator=rng)[:MAX_COMPARED]]
        posteriors, states = [], []
        networks = [network for network in (self._model.discriminator, self._model.q) if network is not None]
        with preserve_rng(self._device), eval_mode(*networks):
            for network in networks:
                train_unfrozen(network)
            for start in range(starts):
                self._before.take()
                try:
                    self._begin(start, derive_seed(seed, "weights", start))
                    self._train(images, steps, batch_size, derive_seed(seed, "images", start))
                    posteriors.append(self._posteriors(compared, start, steps))
                    states.append([clone(network.state_dict()) for network in networks])
                finally:
                    self._before.restore()
        found = most_central(posteriors)
        self._before.take()
        try:
            for network, state in zip(networks, states[found.chosen], strict=True):
                network.load_state_dict(state)
        except BaseException:  # an interrupt between the two would leave parts of two starts
            self._before.restore()
            raise
        return found

    @torch.no_grad()
    def _begin(self, start: int, seed: int) -> None:
        """Other weights than the first start's: the same numbers in another order, whatever they were drawn from."""
        rng = torch.Generator().manual_seed(seed)
        for parameter in self._begun_anew if start else []:
            order = torch.randperm(parameter.numel(), generator=rng).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))

    def _train(self, images: Tensor, steps: int, batch_size: int, seed: int) -> None:
        model, precision, augment = self._model, self._step.precision, self._step.augmentations[1]
        host, views = torch.Generator().manual_seed(seed), torch.Generator(self._device).manual_seed(seed)
        seed_all(seed, self._device)  # of layers such as dropout

        def q(x: Tensor) -> Tensor:
            with precision.forward():
                return model.forward_q(x if augment is None else augment(x, views))

        for number in range(steps):
            x = self._to_floats(images[torch.randint(len(images), (batch_size,), generator=host)])
            with precision.step(), model.tapping():
                outputs, loss = q(x), torch.zeros((), device=self._device)
                for term in self._terms:
                    if term.is_due(number):
                        term.set_step(number)
                        loss = loss + term.effective_weight * term(model.latent, x, outputs, q, views)
                precision.backward(loss, self._parameters)
                precision.update(self._optimizers, self._parameters)
                precision.update_scale()

    @torch.no_grad()
    def _posteriors(self, images: Tensor, start: int, steps: int) -> list[Tensor]:
        """Q(c|x) (N, k) of each code on the images that starts are compared on."""
        model, found = self._model, []
        with eval_mode(model):
            outputs = torch.cat([model.forward_q(self._to_floats(part)) for part in images.split(256)])
        for code in self._codes:
            found.append(log_posterior(model.latent, code, outputs).exp())
            if not found[-1].isfinite().all():
                raise NonFiniteLossError(
                    f"output of Q for {code!r} in start {start} of pretrain_q", steps - 1, float("nan")
                )
        return found


def most_central(starts: Sequence[Sequence[Tensor]]) -> QStarts:
    """The start whose categories share most information with those of the others.

    Args:
        starts: For each start the posteriors Q(c|x) (N, k) of the same images, one for each code.
    """
    shared = [
        sum(
            shared_information(a, b)
            for other in starts
            if other is not start
            for a, b in zip(start, other, strict=True)
        )
        / max(1, len(starts) - 1)
        for start in starts
    ]
    return QStarts(tuple(shared) if len(starts) > 1 else (), max(range(len(shared)), key=shared.__getitem__))


def shared_information(first: Tensor, second: Tensor) -> float:
    """I(C; C') in nats of two categories, of which Q(c|x) (N, k) and Q'(c|x) (N, k') are known for the same images."""
    joint = first.double().T @ second.double() / len(first)
    entropies = [-torch.special.xlogy(p, p).sum() for p in (joint.sum(1), joint.sum(0), joint)]
    return float(entropies[0] + entropies[1] - entropies[2])
