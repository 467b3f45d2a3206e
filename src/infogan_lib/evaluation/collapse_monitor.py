"""A callback that reports collapse during training."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from typing_extensions import override

from infogan_lib._checks import check_function, check_int
from infogan_lib._schema import Described, Int, Items, Kind, ListOf, Record, Text
from infogan_lib._warnings import warn
from infogan_lib.data.rng import derive_seed
from infogan_lib.evaluation.alerts import AlertFilter, AlertKey
from infogan_lib.evaluation.probe import Probe, ProbeResult
from infogan_lib.evaluation.real_images import RealImageProbe, real_image_symptoms
from infogan_lib.evaluation.symptoms import (
    Symptom,
    image_symptoms,
    known_fraction,
    metric_symptoms,
    parameter_counts,
)
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer


class CollapseWarning(UserWarning):
    """A symptom of collapse in a run that continues."""


class CollapseMonitor(Callback, Described):
    """Checks the model during training and reports what is wrong, at which step, and what to try.

    It detects outputs that become identical, variables without an effect on the image, categories that are merged or
    unused, categories that mean nothing for the real images, a Q that predicts differently in training and eval mode, a
    flat bound, a saturated discriminator, and vanishing or exploding gradients. A symptom that two consecutive checks
    find is reported once, and again if it recurs. The monitor does not affect training: the run is bitwise the same
    without it.

    Args:
        every: Number of steps between checks.
        after: First step at which a check may run, as every run begins with a G that has learned nothing.
        real_after: First step at which the categories of real images may be checked, once the bound is nearly full.
        samples: Images per batch of a check, which generates up to 33 batches, or 49 if Q reads through BatchNorm; use
            fewer if memory is short.
        on_symptom: Called with each reported `Symptom`; None to warn with a `CollapseWarning`.

    Attributes:
        symptoms: All reported symptoms, in order.

    Raises:
        TypeError: If a number is not a whole number, or `on_symptom` is not callable.
        ValueError: If a number is too small.
    """

    def __init__(
        self,
        *,
        every: int = 100,
        after: int = 500,
        real_after: int = 200,
        samples: int = 64,
        on_symptom: Callable[[Symptom], object] | None = None,
    ) -> None:
        self.every = check_int("every", every, minimum=1)
        self.after = check_int("after", after, minimum=0)
        self.real_after = check_int("real_after", real_after, minimum=0)
        self.samples = check_int("samples", samples, minimum=8)
        if on_symptom is not None:
            check_function("on_symptom", on_symptom, "a function of a Symptom, or None to warn", 1)
        self._on_symptom = on_symptom
        self.symptoms: list[Symptom] = []
        self._filter = AlertFilter()
        self._trainer: InfoGANTrainer | None = None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if self._trainer is not None and self._trainer is not trainer:
            self._filter = AlertFilter()
        self._trainer = trainer

    @override
    def needs_model(self, step: int) -> bool:
        return step % self.every == 0

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every or not _has_updated_g(trainer):
            return
        symptoms: list[Symptom] = []
        perturbed: set[str] = set()
        if trainer.steps >= self.after:
            result, symptoms = self._check(trainer)
            perturbed = {str(factor) for factor in result.total_effects}
        if trainer.steps >= self.real_after:
            symptoms = [*symptoms, *self._check_real_images(trainer)]
        by_key = {AlertKey(symptom.kind, symptom.subject, symptom.categories): symptom for symptom in symptoms}
        for key in self._filter(by_key, perturbed):
            self._report(by_key[key])

    def check(self, trainer: InfoGANTrainer) -> list[Symptom]:
        """Find what is wrong now, without waiting for a second check.

        Args:
            trainer: A trainer that has made at least one update of G.

        Raises:
            ValueError: If the trainer has not updated G yet.
        """
        if not _has_updated_g(trainer):
            raise ValueError("there is nothing to check before the first update of G; make some steps first")
        return [*self._check(trainer)[1], *self._check_real_images(trainer)]

    def _check(self, trainer: InfoGANTrainer) -> tuple[ProbeResult, list[Symptom]]:
        model, history = trainer.model, trainer.history
        probe = Probe(model, samples=self.samples, joint=trainer.joint_batches)
        result = probe(derive_seed(0, "monitor", trainer.steps), trainer.steps // self.every)
        known = self._known(trainer)
        counts = parameter_counts(model.parameter_groups())
        symptoms = [
            *image_symptoms(result, model.latent, known),
            *metric_symptoms(history, model.latent, trainer.adversarial, counts, self.every),
        ]
        return result, [replace(symptom, step=trainer.steps) for symptom in symptoms]

    def _check_real_images(self, trainer: InfoGANTrainer) -> list[Symptom]:
        if trainer.last_batch is None:
            return []
        model, seed = trainer.model, derive_seed(0, "monitor/real", trainer.steps)
        result = RealImageProbe(model, joint=trainer.joint_batches)(trainer.last_batch, seed)
        symptoms = real_image_symptoms(result, model.latent, model.image_shape, self._known(trainer))
        return [replace(symptom, step=trainer.steps) for symptom in symptoms]

    def _known(self, trainer: InfoGANTrainer) -> dict[str, float]:
        """Fraction of each code that Q recovers, by name, where it is defined."""
        codes, history = trainer.model.latent.codes.items(), trainer.history
        fractions = {name: known_fraction(history, name, code, self.every) for name, code in codes}
        return {name: fraction for name, fraction in fractions.items() if fraction is not None}

    def _report(self, symptom: Symptom) -> None:
        self.symptoms.append(symptom)
        if self._on_symptom is None:
            warn(str(symptom), CollapseWarning)
        else:
            self._on_symptom(symptom)

    @property
    @override
    def schema(self) -> Kind:
        """Symptoms with their fields, and keys of the alert filter."""
        categories = ListOf(Int())
        texts = {name: Text() for name in ("kind", "subject", "finding", "advice")}
        keys = ListOf(Items((Text(), Text(), categories)))
        symptom = Record(texts | {"step": Int(), "categories": categories})
        return Record({"symptoms": ListOf(symptom), "pending": keys, "reported": keys})

    @override
    def state_dict(self) -> dict[str, Any]:
        """All reported symptoms, and the state of the alert filter."""
        return {
            "symptoms": [asdict(symptom) for symptom in self.symptoms],
            "pending": list(self._filter.pending),
            "reported": list(self._filter.reported),
        }

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state; symptoms reported before are not reported again."""
        self.symptoms[:] = [
            Symptom(**{**symptom, "categories": tuple(symptom["categories"])}) for symptom in state["symptoms"]
        ]
        self._filter.pending, self._filter.reported = (
            [AlertKey(kind, subject, tuple(categories)) for kind, subject, categories in state[name]]
            for name in ("pending", "reported")
        )


def _has_updated_g(trainer: InfoGANTrainer) -> bool:
    return "loss/g" in trainer.history
