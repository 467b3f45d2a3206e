"""Steps that were launched and not read yet. A step that is interrupted anywhere is made whole or not at all."""

from collections import deque
from collections.abc import Callable

from torch import Tensor

from infogan_lib.data.labels import Batch
from infogan_lib.training.guard import NonFiniteLossError, PendingStep
from infogan_lib.training.history import History
from infogan_lib.training.step import InfoGANStep

_MAX_PENDING = 2


class StepQueue:
    """Launches steps and reads them in order, into a history.

    Attributes:
        last_batch: The real images of the last step read; None before the first.
    """

    def __init__(self, step: InfoGANStep, history: History) -> None:
        self._step, self._history = step, history
        self._pending: deque[PendingStep] = deque()
        self.last_batch: Tensor | None = None

    @property
    def steps(self) -> int:
        """How many steps have been made and read."""
        return self._step.count - len(self._pending)

    def launch(self, real: Batch, draw: Callable[[int], Tensor]) -> None:
        """Launch a step; see `InfoGANStep.launch`. Raises RuntimeError if two steps are waiting to be read already."""
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
