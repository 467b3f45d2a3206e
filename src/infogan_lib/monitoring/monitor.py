"""A callback that names collapse while it happens."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from typing_extensions import override

from infogan_lib._checks import describe, whole_number
from infogan_lib.monitoring.probe import Probe
from infogan_lib.monitoring.symptoms import Symptom, symptoms_of_figures, symptoms_of_images, weights_behind
from infogan_lib.training.callback import Callback
from infogan_lib.training.randomness import derived_seed
from infogan_lib.training.trainer import InfoGANTrainer


class CollapseWarning(UserWarning):
    """Something is wrong with a run that goes on."""


class CollapseMonitor(Callback):
    """Looks at a run now and then, and says what is wrong with it, at which step, and what to try.

    It looks for outputs that grow identical, variables without an effect on the image, categories that are merged or
    unused, a flat bound, a discriminator that wins outright, and gradients that vanish or explode. Whatever is seen in
    two looks in a row is told once, and again if it had gone and comes back. It changes nothing in the run: not one
    bit.

    Args:
        every: the number of steps between two looks.
        after: the first look is not before this step, as every run begins with a G that has learned nothing.
        samples: images in a batch of the probe; it makes one batch, and one for each variable that it redraws.
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
        self._suspected: list[tuple[str, str]] = []
        self._told: list[tuple[str, str]] = []

    @override
    def on_step_end(self, trainer: InfoGANTrainer, figures: Mapping[str, float]) -> None:
        if trainer.steps >= self.after and trainer.steps % self.every == 0:
            seen = {(symptom.kind, symptom.subject): symptom for symptom in self.look(trainer)}
            lasting = [of for of in seen if of in self._suspected]
            for of in lasting:
                if of not in self._told:
                    self._say(seen[of])
            self._told = lasting
            self._suspected = list(seen)

    def look(self, trainer: InfoGANTrainer) -> list[Symptom]:
        """What is wrong now, at once and without waiting for a second look.

        Args:
            trainer: after at least one step that updated G.
        """
        model = trainer.model
        found = Probe(model, samples=self.samples)(derived_seed(0, "monitor", trainer.steps))
        sizes = weights_behind(model.parameter_groups())
        of_figures = symptoms_of_figures(trainer.history, model.latent, trainer.adversarial, sizes, self.every)
        symptoms = [*symptoms_of_images(found, model.latent), *of_figures]
        return [replace(symptom, step=trainer.steps) for symptom in symptoms]

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
        self.symptoms[:] = [Symptom(**symptom) for symptom in state["symptoms"]]
        self._suspected = [(kind, subject) for kind, subject in state["suspected"]]
        self._told = [(kind, subject) for kind, subject in state["told"]]
