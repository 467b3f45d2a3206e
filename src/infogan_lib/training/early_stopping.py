"""A callback that ends training once a metric no longer improves."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from infogan_lib._checks import check_choice, check_float, check_int, check_name, join_names
from infogan_lib._keywords import explains_arguments
from infogan_lib._schema import Described, Float, Int, Kind, Nullable, Record
from infogan_lib._warnings import warn
from infogan_lib.training.callbacks import Callback

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


@explains_arguments(monitor="did you mean metric=?")
class EarlyStopping(Callback, Described):
    """Ends a call of `fit` once a metric has not improved for so many checks; the weights are those of the last step.

    A check compares the mean of the values since the last check, and there is none where there are no values. A run
    that is resumed stops at the same step.

    Args:
        metric: The name of a metric in `trainer.history`, such as "bound/digit"; one that another callback records,
            such as "eval/accuracy/digit", if that callback comes before this one.
        mode: "min" if less is better, "max" if more is.
        patience: The number of checks without an improvement after which to stop.
        min_delta: By how much a value must be better than the best one to count as an improvement.
        every: The number of steps between checks.

    Attributes:
        best: The best mean; None before the first check.
        best_step: The step of that check.
        waited: The number of checks since then.

    Raises:
        TypeError: an argument of another type.
        ValueError: a value out of range.
    """

    def __init__(
        self, metric: str, *, mode: Literal["min", "max"], patience: int = 10, min_delta: float = 0.0, every: int = 100
    ) -> None:
        self.metric, self.mode = check_name("metric", metric), check_choice("mode", mode, ("min", "max"))
        self.patience = check_int("patience", patience, minimum=1)
        self.min_delta = check_float("min_delta", min_delta, minimum=0)
        self.every = check_int("every", every, minimum=1)
        self.best: float | None = None
        self.best_step = self.waited = self._checked = 0
        self._resumes = self._has_warned = False

    @override
    def needs_model(self, step: int) -> bool:
        return step % self.every == 0  # so that no step beyond this one has been launched

    @override
    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        """Begin anew if the call of `fit` before was stopped, and end this one if it is that call, resumed."""
        is_only_loaded = self._resumes and trainer.is_stopping  # a call that is over; the next one begins anew
        if self.waited >= self.patience and not is_only_loaded:
            if self._resumes:
                warn(
                    f"EarlyStopping stopped this run at step {self._checked}, and stops it again; to train further, "
                    "give it more patience or leave it out of a new run that begins from this one",
                )
                trainer.stop()
            else:
                self.best, self.best_step, self.waited = None, 0, 0
        self._resumes = False

    @override
    def on_step_end(self, trainer: "InfoGANTrainer", metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every != 0:
            return
        history, since, self._checked = trainer.history, self._checked, trainer.steps
        if self.metric not in history:
            if not self._has_warned:
                self._has_warned = True
                warn(
                    f"EarlyStopping watches {self.metric!r}, which no step has recorded up to step {trainer.steps}; "
                    f"there are {join_names(history)}",
                )
            return
        values = history.since(self.metric, since)
        if len(values) > 0:
            self._check(float(values.mean()), trainer.steps)
        if self.waited >= self.patience:
            trainer.stop()

    def _check(self, mean: float, step: int) -> None:
        sign = 1 if self.mode == "max" else -1
        is_first = self.best is None and math.isfinite(mean)
        if is_first or (self.best is not None and sign * (mean - self.best) > self.min_delta):
            self.best, self.best_step, self.waited = mean, step, 0
        else:
            self.waited += 1

    @property
    @override
    def schema(self) -> Kind:
        """The best mean and its step, the checks since then, and the step of the last check."""
        return Record({"best": Nullable(Float()), "best_step": Int(), "waited": Int(), "checked": Int()})

    @override
    def state_dict(self) -> dict[str, Any]:
        """All that decides when to stop."""
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited, "checked": self._checked}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self.best_step, self.waited = state["best"], state["best_step"], state["waited"]
        self._checked, self._resumes = state["checked"], True
