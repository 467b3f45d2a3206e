"""A callback that names collapse while it happens."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from typing_extensions import override

from infogan_lib._checks import check_int, describe
from infogan_lib.data.rng import derived_seed
from infogan_lib.evaluation.probe import Findings, Probe
from infogan_lib.evaluation.symptoms import Symptom, knowledge, symptoms_of_figures, symptoms_of_images, weights_behind
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer


class CollapseWarning(UserWarning):
    """Something is wrong with a run that goes on."""


class CollapseMonitor(Callback):
    """Looks at a run now and then, and says what is wrong with it, at which step, and what to try.

    It looks for outputs that grow identical, variables without an effect on the image, categories that are merged or
    unused, a Q that reads otherwise in evaluation than in training, a flat bound, a discriminator that wins outright,
    and gradients that vanish or explode. Whatever is seen in two looks in a row is told once, and again if it had gone
    and comes back. It changes nothing in the run: not one bit.

    Args:
        every: the number of steps between two looks.
        after: the first look is not before this step, as every run begins with a G that has learned nothing.
        samples: images in a batch of the probe, which makes up to 33 of them, or 49 where Q reads through BatchNorm;
            fewer where memory is short.
        on_symptom: called with each `Symptom`; None to warn with a `CollapseWarning`.

    Attributes:
        symptoms: all that was told, in order.

    Raises:
        TypeError, ValueError: a number that is no whole one or too small, a `on_symptom` that cannot be called.
    """

    def __init__(
        self,
        *,
        every: int = 100,
        after: int = 500,
        samples: int = 64,
        on_symptom: Callable[[Symptom], object] | None = None,
    ) -> None:
        self.every = check_int("every", every, minimum=1)
        self.after = check_int("after", after, minimum=0)
        self.samples = check_int("samples", samples, minimum=8)
        if on_symptom is not None and not callable(on_symptom):
            raise TypeError(
                f"on_symptom must be a function of a Symptom, or None to warn, but got {describe(on_symptom)}"
            )
        self._on_symptom = on_symptom
        self.symptoms: list[Symptom] = []
        self._telling = Telling()
        self._of: InfoGANTrainer | None = None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if self._of is not None and self._of is not trainer:
            self._telling = Telling()
        self._of = trainer

    @override
    def needs_model(self, step: int) -> bool:
        return step % self.every == 0

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps < self.after or trainer.steps % self.every or not _has_updated(trainer):
            return
        found, symptoms = self._look(trainer)
        seen = {About(symptom.kind, symptom.subject, symptom.categories): symptom for symptom in symptoms}
        turned = {str(knob) for knob in found.effects}
        for about in self._telling(seen, turned):
            self._say(seen[about])

    def check(self, trainer: InfoGANTrainer) -> list[Symptom]:
        """What is wrong now, at once and without waiting for a second look.

        Args:
            trainer: after at least one step that updated G.

        Raises:
            ValueError: a trainer that has not updated G yet.
        """
        if not _has_updated(trainer):
            raise ValueError("there is nothing to look at before the first update of G; make some steps first")
        return self._look(trainer)[1]

    def _look(self, trainer: InfoGANTrainer) -> tuple[Findings, list[Symptom]]:
        model, history = trainer.model, trainer.history
        found = Probe(model, samples=self.samples, joint=trainer.joint_batches)(
            derived_seed(0, "monitor", trainer.steps), trainer.steps // self.every
        )
        shares = {name: knowledge(history, name, code, self.every) for name, code in model.latent.codes.items()}
        known = {name: share for name, share in shares.items() if share is not None}
        sizes = weights_behind(model.parameter_groups())
        of_figures = symptoms_of_figures(history, model.latent, trainer.adversarial, sizes, self.every)
        symptoms = [*symptoms_of_images(found, model.latent, known), *of_figures]
        return found, [replace(symptom, step=trainer.steps) for symptom in symptoms]

    def _say(self, symptom: Symptom) -> None:
        self.symptoms.append(symptom)
        if self._on_symptom is None:
            warnings.warn(str(symptom), CollapseWarning, stacklevel=2)
        else:
            self._on_symptom(symptom)

    @override
    def state_dict(self) -> dict[str, Any]:
        """All that was told or suspected."""
        return {
            "symptoms": [asdict(symptom) for symptom in self.symptoms],
            "suspected": list(self._telling.suspected),
            "told": list(self._telling.told),
        }

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there, without telling it again."""
        self.symptoms[:] = [Symptom(**{**of, "categories": tuple(of["categories"])}) for of in state["symptoms"]]
        self._telling.suspected, self._telling.told = (
            [About(kind, subject, tuple(categories)) for kind, subject, categories in state[name]]
            for name in ("suspected", "told")
        )


def _has_updated(trainer: InfoGANTrainer) -> bool:
    return "loss/g" in trainer.history


class About(NamedTuple):
    """What a symptom is about; see `Symptom`."""

    kind: str
    subject: str
    categories: tuple[int, ...] = ()


class Telling:
    """Decides what is told.

    Categories are followed one by one: the images of one that Q cannot say are heard as a second one's now, as a third
    one's then, so that it is merged with another at every look, or unused.

    Attributes:
        suspected: what the last look saw.
        told: what was told and is still there.
    """

    def __init__(self) -> None:
        self.suspected: list[About] = []
        self.told: list[About] = []

    def __call__(self, seen: Collection[About], turned: Collection[str]) -> list[About]:
        """What of this look is to be told.

        Args:
            seen: in this look.
            turned: the subjects whose effect this look could see.
        """
        self.told = list(self._still_there(seen, turned))
        before, told = _troubled(self.suspected), _troubled(self.told)
        to_tell = []
        for about in seen:
            categories = {(about.subject, category) for category in about.categories}
            if about in self.suspected:
                is_new = not any(_covers(of, about) for of in self.told)
            else:
                is_new = bool((categories & before) - told)
            if is_new:
                to_tell.append(about)
        self.told += to_tell
        self.suspected = list(seen)
        return to_tell

    def _still_there(self, seen: Collection[About], turned: Collection[str]) -> Iterable[About]:
        troubled = _troubled(seen)
        for of in self.told:
            if of.categories:
                left = tuple(category for category in of.categories if (of.subject, category) in troubled)
                if left:
                    yield of._replace(categories=left)
            elif of in seen or (of.kind == "inactive code" and of.subject not in turned):
                yield of


def _covers(told: About, about: About) -> bool:
    return told[:2] == about[:2] and set(told.categories) >= set(about.categories)


def _troubled(abouts: Iterable[About]) -> set[tuple[str, int]]:
    return {(about.subject, category) for about in abouts for category in about.categories}
