"""A branch: a new run that begins from a checkpoint of another one, with other settings or other data if it likes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from infogan_lib._schema import Items, ListOf, Plain, Text
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.state import CompositeState, StateList, check_schema
from infogan_lib.data.stream import DataStream
from infogan_lib.resume.ledger import RunLedger
from infogan_lib.step.optimizers import advance

MAX_RESCHEDULED_STEPS = 10**7
"""The most steps that schedules are advanced by, one after the other, which takes minutes."""


class Branch:
    """What a branch loads of a checkpoint.

    Rates and schedules that differ are the branch's own, the schedules as after so many steps; a callback that the run
    did not have begins anew; and data in which the run's position makes no sense begins an epoch.

    Attributes:
        differences: The settings that differ from those in the checkpoint, in words, and callbacks and data that do.
    """

    def __init__(
        self, ledger: RunLedger, stream: DataStream, callbacks: StateList, path: Path, differences: Sequence[str]
    ) -> None:
        self.differences = list(differences)
        self._ledger, self._stream, self._callbacks, self._path = ledger, stream, callbacks, path
        self._reschedules = any(text.startswith(("optimizers[", "schedulers")) for text in differences)

    def adapt(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of a checkpoint as the branch loads it.

        Raises CheckpointError for callbacks of another form, and where schedules differ for a trainer that has made
        steps, or a checkpoint of too many to advance them by.
        """
        if self._reschedules:
            self._check_steps(state["step"]["count"])
            state = self._with_own_schedules(state)
        check_schema(self._path, "step", state["step"], self._ledger.parts["step"].schema)
        check_schema(self._path, "data", state["data"], self._stream.schema)
        step = {name: value for name, value in state["step"].items() if name != "frozen"}
        state = state | {"callbacks": self._with_own_callbacks(state["callbacks"]), "step": step}
        if (reason := self._misfit_of_data(state)) is not None:
            self.differences.append(f"the data is another: {reason}")
            position = dict(state["position"])
            if position["batch_index"] > 0:
                position |= {"epoch_index": position["epoch_index"] + 1, "batch_index": 0}
            state |= {"position": position} | CompositeState(data=self._stream).state_dict()
        return state

    def finish(self, step: int) -> None:
        """Advance the schedules of the branch, once the state is loaded, to a number of steps."""
        for _ in range(step if self._reschedules and self._ledger.schedulers else 0):
            advance(self._ledger.schedulers, is_early=True)

    def _check_steps(self, step: int) -> None:
        if self._ledger.schedulers and step > MAX_RESCHEDULED_STEPS:
            raise CheckpointError(
                self._path,
                f"it is of step {step:,}, and a branch advances schedules that differ ({self.differences[0]}) by at "
                f"most {MAX_RESCHEDULED_STEPS:,} steps; keep the run's rates and schedules",
            )

    def _with_own_schedules(self, state: dict[str, Any]) -> dict[str, Any]:
        if any(map(_has_advanced, self._ledger.schedulers)):
            raise CheckpointError(
                self._path,
                f"a run with other rates or schedules ({self.differences[0]}) begins from it with a new trainer only, "
                "as the schedules of this one have advanced",
            )
        own = CompositeState(schedulers=self._ledger.parts["schedulers"]).state_dict()
        return self._ledger.optimizers.with_current_param_groups(self._path, state) | own

    def _with_own_callbacks(self, saved: Any) -> list[list[Any]]:
        """The states of callbacks by class, in the branch's order."""
        check_schema(self._path, "callbacks", saved, ListOf(Items((Text(), Plain()))))
        left = [list(entry) for entry in saved]
        own = CompositeState(callbacks=self._callbacks).state_dict()["callbacks"]
        merged, before, now = list(own), [name for name, _ in left], [name for name, _ in own]
        if before != now:
            self.differences.append(f"callbacks were {', '.join(before) or 'none'} and are {', '.join(now) or 'none'}")
        for i, (name, _) in enumerate(merged):
            match = next((entry for entry in left if entry[0] == name), None)
            if match is not None:
                left.remove(match)
                merged[i] = match
        self._callbacks.check(self._path, merged)
        anew = [getattr(part, "begins_anew_in_branch", False) for part in self._callbacks.parts]
        return [mine if is_anew else theirs for mine, theirs, is_anew in zip(own, merged, anew, strict=True)]

    def _misfit_of_data(self, state: dict[str, Any]) -> str | None:
        """Why the run's position makes no sense in the branch's data; None where it does."""
        position = self._ledger.position
        before = position.state_dict()
        try:
            trial = CompositeState(position=position, data=self._stream)
            trial.load(self._path, {name: state[name] for name in ("position", "data")})
        except CheckpointError as error:
            return str(error.__cause__ or error)
        finally:
            position.load_state_dict(before)
        return None


def _has_advanced(scheduler: LRScheduler) -> bool:
    """Whether a scheduler has made a step; a ChainedScheduler counts in those that it is made of."""
    counts = [scheduler, *getattr(scheduler, "_schedulers", ())]
    return any(getattr(counted, "last_epoch", 0) > 0 for counted in counts)
