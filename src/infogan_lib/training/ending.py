"""What ends a fit before its time: a callback that stops it, or a signal."""

from signal import Signals
from typing import TYPE_CHECKING

from infogan_lib.data.rng import TorchRng
from infogan_lib.training.signals import StopSignals

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


class Ending:
    """What ends a fit before its time: in one process as of now, in several as of their last agreement.

    Of several processes a signal may reach one alone, and callbacks are called in one. They agree after each call of
    callbacks, so that all end after the same step.
    """

    def __init__(self, trainer: "InfoGANTrainer", signals: StopSignals) -> None:
        self._trainer, self._signals = trainer, signals
        self._is_alone = trainer.distributed.world_size == 1
        self._is_stopping, self._signal = False, None  # as all processes know it

    @property
    def is_stopping(self) -> bool:
        """Whether a callback has stopped the fit."""
        return self._trainer.is_stopping if self._is_alone else self._is_stopping

    @property
    def signal(self) -> Signals | None:
        """The signal that was received."""
        return self._signals.received if self._is_alone else self._signal

    def agree(self) -> None:
        """Give all processes the stop or signal of any, and process 0's global generators, which callbacks use."""
        if self._is_alone:
            return
        rng = TorchRng(self._trainer.device)
        given = self._trainer.distributed.exchange(
            (self._trainer.is_stopping, self._signals.received, rng.state_dict())
        )
        stops, signals, states = zip(*given, strict=True)
        rng.load_state_dict(states[0])
        self._is_stopping = self._trainer.is_stopping = any(stops)
        if received := [signal for signal in signals if signal is not None]:
            self._signals.received = self._signal = received[0]
