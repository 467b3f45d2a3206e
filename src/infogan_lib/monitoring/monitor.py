"""A callback that names collapse while it happens."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from typing_extensions import override

from infogan_lib._checks import describe, whole_number
from infogan_lib.monitoring.probe import Findings, Probe
from infogan_lib.monitoring.symptoms import (
    Symptom,
    knowledge,
    symptoms_of_figures,
    symptoms_of_images,
    weights_behind,
)
from infogan_lib.training.callback import Callback
from infogan_lib.training.randomness import derived_seed
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
        samples: images in a batch of the probe, which makes up to 33 of them; fewer where memory is short.
        tell: called with each `Symptom`; None to warn with a `CollapseWarning`.

    Attributes:
        symptoms: all that was told, in order.

    Raises:
        TypeError, ValueError: a number that is no whole one or too small, a `tell` that cannot be called.
    """

    def __init__(
        self,
        *,
        every: int = 100,
        after: int = 500,
        samples: int = 64,
        tell: Callable[[Symptom], object] | None = None,
    ) -> None:
        self.every = whole_number("every", every, minimum=1)
        self.after = whole_number("after", after, minimum=0)
        self.samples = whole_number("samples", samples, minimum=8)
        if tell is not None and not callable(tell):
            raise TypeError(f"tell must be a function of a Symptom, or None to warn, but got {describe(tell)}")
        self._tell = tell
        self.symptoms: list[Symptom] = []
        self._suspected: list[_About] = []
        self._told: list[_About] = []
        self._of: InfoGANTrainer | None = None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if self._of is not None and self._of is not trainer:
            self._suspected, self._told = [], []
        self._of = trainer

    @override
    def on_step_end(self, trainer: InfoGANTrainer, figures: Mapping[str, float]) -> None:
        if trainer.steps < self.after or trainer.steps % self.every or not _has_updated(trainer):
            return
        found, symptoms = self._look(trainer)
        seen = {_about(symptom): symptom for symptom in symptoms}
        turned = {str(knob) for knob in found.effects}
        self._told = [
            of for of in self._told if _any_touches(seen, of) or (of[0] == "no effect" and of[1] not in turned)
        ]
        for about, symptom in seen.items():
            if _any_touches(self._suspected, about) and not _is_told(about, self._told):
                self._say(symptom)
                self._told.append(about)
        self._suspected = list(seen)

    def look(self, trainer: InfoGANTrainer) -> list[Symptom]:
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
        if self._tell is None:
            warnings.warn(str(symptom), CollapseWarning, stacklevel=2)
        else:
            self._tell(symptom)

    @override
    def state_dict(self) -> dict[str, Any]:
        """All that was told or suspected."""
        return {
            "symptoms": [asdict(symptom) for symptom in self.symptoms],
            "suspected": list(self._suspected),
            "told": list(self._told),
        }

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there, without telling it again."""
        self.symptoms[:] = [Symptom(**{**of, "categories": tuple(of["categories"])}) for of in state["symptoms"]]
        self._suspected, self._told = (
            [(kind, subject, tuple(categories)) for kind, subject, categories in state[name]]
            for name in ("suspected", "told")
        )


_About = tuple[str, str, tuple[int, ...]]


def _about(symptom: Symptom) -> _About:
    return symptom.kind, symptom.subject, symptom.categories


def _any_touches(abouts: Iterable[_About], about: _About) -> bool:
    """Whether one of them is the same, or about a category that this is about as well.

    The images of a category that Q cannot say are heard as one other now, as several then: merged, unused, merged.
    """
    return any(of == about or (of[1] == about[1] and set(of[2]) & set(about[2])) for of in abouts)


def _is_told(about: _About, told: Collection[_About]) -> bool:
    """Whether it was told, or all of its categories were, under whatever name."""
    categories = {category for of in told if of[1] == about[1] for category in of[2]}
    return about in told or (len(about[2]) > 0 and categories.issuperset(about[2]))


def _has_updated(trainer: InfoGANTrainer) -> bool:
    return "loss/g" in trainer.history
