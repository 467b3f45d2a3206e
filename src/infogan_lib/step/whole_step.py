"""A step as a whole: launched without waiting for the device, read later, and made entirely or not at all."""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from infogan_lib._schema import Described, Int, Kind, ListOf, Record
from infogan_lib.data.labels import Batch, images_of
from infogan_lib.distributed import Processes
from infogan_lib.history.history import History
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.regularizers.base import Regularizer, due_regularizers
from infogan_lib.step.graph import CaptureError
from infogan_lib.step.guard import Guard, NonFiniteLossError, PendingStep
from infogan_lib.step.metrics import Row, Terms, step_metrics
from infogan_lib.step.optimizers import advance
from infogan_lib.step.precision import ContextState, Precision
from infogan_lib.step.step_graphs import StepGraphs

_MAX_PENDING = 2


class WholeStep(Described):
    """What a step is beside its two equations, which a subclass has in `_updates`.

    Attributes:
        count: The number of steps launched.
        due: The regularizers of the step that is launched.
        graphs: The graphs that steps are captured in; None for none.
    """

    d_steps: int
    regularizers: Sequence[Regularizer]
    schedulers: list[LRScheduler]
    processes: Processes
    due: Sequence[Regularizer] = ()
    graphs: StepGraphs | None = None

    def __init__(
        self, model: InfoGAN, guard: Guard, precision: Precision, labels: Mapping[str, str | Sequence[str]]
    ) -> None:
        self.model, self.precision, self.count = model, precision, 0
        self._guard, self._labels = guard, labels

    @abstractmethod
    def _updates(self, real: Batch, draw: Callable[[int], Tensor]) -> list[Terms]:
        """Make all updates of a step, and return the terms of each, D's first. In a graph it runs once."""

    def _compute(self, real: Batch, draw: Callable[[int], Tensor]) -> Row:
        scale = self.precision.scale()
        phases = self._updates(real, draw)
        if self.model.latent.learned:
            phases[0]["priors"] = self.model.priors.flat()
            if "marginals" in phases[0]:
                self.model.priors.follow(phases[0].pop("marginals"), self.count)
        return self._guard.row(phases, scale)

    def _descend(self, optimizers: Sequence[Optimizer], parameters: Sequence[nn.Parameter]) -> Tensor:
        """Step optimizers along the gradients of parameters, over all processes; returns the norm of the gradients."""
        self.processes.average_gradients(parameters)
        return self.precision.update(optimizers, parameters)

    def launch(
        self, real: Batch, draw: Callable[[int], Tensor], pending: deque[PendingStep] | None = None
    ) -> PendingStep:
        """Update D and, in every `d_steps`-th step, G and Q. Nothing in it waits for the device.

        Args:
            real: Real images (N, *image_shape), on the model's device, with labels where the latent has label codes.
            draw: Makes n latents (n, L) on the model's device.
            pending: A queue that the step is added to, as the last part of it; an error leaves nothing of the step.
        """
        try:
            return self._launch(real, draw, pending)
        except CaptureError as error:
            reason, graphs = error, self.graphs
        assert graphs is not None
        graphs.give_up(reason)
        self.graphs = None
        return self._launch(real, draw, pending)

    def _launch(self, real: Batch, draw: Callable[[int], Tensor], pending: deque[PendingStep] | None) -> PendingStep:
        number, contexts, before = self.count, ContextState(self.precision.device), None
        try:
            before = self._guard.begin()
            due = due_regularizers(self.regularizers, number, self.d_steps)
            self.due = [regularizer for regularizer, _ in due]
            for regularizer, of_regularizer in due:
                regularizer.set_step(of_regularizer)
            with self.precision.step(), self.model.tapping():
                if self.graphs is None:
                    row = self._compute(real, draw)
                else:
                    row = self.graphs(lambda batch: self._compute(batch, draw), real)
            advance(self.schedulers, is_early=number < self.d_steps)
            step = PendingStep(number, row.to_host(), before, images_of(real))
            self.count = number + 1
            if pending is not None:
                pending.append(step)
        except BaseException as error:
            contexts.restore()
            self.count = number
            if pending is not None and pending and pending[-1].number == number:
                pending.pop()
            if before is not None:
                self._guard.restore(before)
            if (named := self._guard.named(error)) is not error:
                raise named from error
            raise
        return step

    def roll_back(self, step: PendingStep) -> None:
        """Restore everything as it was before a step that was launched."""
        self._guard.restore(step.before)
        self.count = step.number

    def check_weights(self, steps: int) -> None:
        """Check that the weights are finite after a number of steps, each of which has left them so."""
        self._guard.check_weights(steps)

    def check_state(self, path: Path, state: Any) -> None:
        """Check that the weights in a run's state are finite. Raises CheckpointError."""
        if isinstance(state, dict):
            model = state.get("model")
            tensors = model.get("tensors") if isinstance(model, dict) else None
            self._guard.weights.check_state(path, [tensors, state.get("regularizers")])

    def read(self, step: PendingStep) -> dict[str, float]:
        """The metrics of a step, once the device has computed them; see `InfoGANTrainer.step`.

        Raises:
            NonFiniteLossError: a loss, gradient or weight is not finite; everything is as it was before that step.
        """
        try:
            return step_metrics(self._guard.read(step, self._labels), self.model.latent)
        except NonFiniteLossError:
            self.count = step.number
            raise

    @property
    @override
    def schema(self) -> Kind:
        """A count, the state of the loss scale, and the numbers of the frozen parameters."""
        frozen = ListOf(Int(high=len(self._guard.updated) - 1))
        return Record({"count": Int(), "precision": self.precision.schema, "frozen": frozen}, frozenset({"frozen"}))

    def state_dict(self) -> dict[str, Any]:
        """The number of steps made, the state of the loss scale, and what a callback may have frozen by now."""
        frozen = [i for i, parameter in enumerate(self._guard.updated) if not parameter.requires_grad]
        return {"count": self.count, "precision": self.precision.state_dict(), "frozen": frozen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore these; what is frozen stays as it is where the state does not tell, as in a branch."""
        self.precision.load_state_dict(state["precision"])
        self.count = int(state["count"])
        for i, parameter in enumerate(self._guard.updated if "frozen" in state else ()):
            parameter.requires_grad_(i not in state["frozen"])


class StepQueue:
    """Launches steps and reads them in order, into a history.

    Attributes:
        last_batch: The real images of the last step read; None before the first.
    """

    def __init__(self, step: WholeStep, history: History) -> None:
        self._step, self._history = step, history
        self._pending: deque[PendingStep] = deque()
        self.last_batch: Tensor | None = None

    @property
    def steps(self) -> int:
        """How many steps have been made and read."""
        return self._step.count - len(self._pending)

    def launch(self, real: Batch, draw: Callable[[int], Tensor]) -> None:
        """Launch a step; see `WholeStep.launch`. Raises RuntimeError if two steps are waiting to be read already."""
        if len(self._pending) == _MAX_PENDING:
            raise RuntimeError("two steps were launched and not read; call read() first")
        self._step.launch(real, draw, self._pending)

    def read(self) -> dict[str, float]:
        """The metrics of the earliest step; see `InfoGANTrainer.read`."""
        if not self._pending:
            raise RuntimeError("no step was launched that was not read; call launch(batch) first")
        step, number = self._pending[0], self.steps
        try:
            metrics = self._step.read(step)
            self._history.record(number + 1, metrics)
            self._pending.popleft()
            self.last_batch = step.real
        except NonFiniteLossError as error:
            self._pending.clear()
            if not step.real.isfinite().all():
                raise ValueError(
                    f"the batch of step {error.step} holds NaN or infinite values; clean the data"
                ) from error
            raise
        except BaseException:
            if self._pending and self._pending[0] is step:
                self._history.truncate(number)  # it will be read again
            raise
        return metrics

    def roll_back(self, number: int) -> None:
        """Roll back the steps that were launched and not read, from the one of this number on."""
        while self._pending and self._pending[-1].number >= number:
            self._step.roll_back(self._pending[-1])
            self._pending.pop()
