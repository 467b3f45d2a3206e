"""A trainer's record of its run: the state that is saved, the calls of `fit` that were made, and where."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from infogan_lib._checks import shorten
from infogan_lib._schema import MAX_STEPS, Int, ListOf, MapOf, Nullable, Plain, Record, Text
from infogan_lib._version import __version__
from infogan_lib._warnings import warn
from infogan_lib.checkpoints.bundle import bundle_kind, write_bundle
from infogan_lib.checkpoints.compare import known_fields
from infogan_lib.checkpoints.disk import CheckpointError, makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.lock import hold_for_writing
from infogan_lib.checkpoints.run_folder import (
    KIND,
    TRAINER_STATE,
    Checkpoint,
    check_free,
    is_run_folder,
    read_checkpoint,
    read_with_history,
    remove_unnamed_segments,
)
from infogan_lib.checkpoints.segments import MANIFEST_FIELD, from_manifest, make_segment_folder
from infogan_lib.checkpoints.state import CompositeState, OptimizerState, StateList, check_schema
from infogan_lib.data.rng import GlobalRng, RandomStreams
from infogan_lib.data.stream import Position
from infogan_lib.history.history import History
from infogan_lib.model.fingerprint import FINGERPRINT, Fingerprint, model_fingerprint, warn_if_changed
from infogan_lib.model.state import ModelState
from infogan_lib.resume.config import attributes, check_config
from infogan_lib.step.step import InfoGANStep
from infogan_lib.step.whole_step import StepQueue

_FORMAT = 2
"""The version of a run's state and settings; 0.1 wrote none, which is 1."""

FIT_PARTS = ("data", "callbacks")
"""The parts of a run's state that belong to one call of `fit`."""

_FIELDS = {
    "step": Int(high=MAX_STEPS),
    "epoch": Int(high=MAX_STEPS),
    "library": Text(),
    "torch": Text(),
    "id": Text(),
    "parent_checkpoint": Nullable(Text()),
    "parent_path": Nullable(Text()),
    "branch_differences": ListOf(Text()),
    "changed_attributes": MapOf(Plain()),
    "run_format": Int(),
    "settings": Plain(),  # compared with those of the trainer
    "fingerprint": FINGERPRINT,
    "history": MANIFEST_FIELD,
}

RUN_METADATA = Record(
    _FIELDS, optional=frozenset({"fingerprint", "branch_differences", "changed_attributes", "parent_path"})
)
"""The fields of `RunLedger.metadata`."""


class RunLedger:
    """A trainer's record of its fits and their folders.

    Args:
        step: The step, with the model, the schedulers and the networks of regularizers.
        optimizers: The part with the optimizers.
        streams: The part with the streams of random numbers.
        position: The part with the position in the data.
        history: The metrics so far, which are saved beside the state.
        settings: The settings that a resumed run must share.
        queue: The steps launched and read.
        augmented: The augmentations by the name of their argument, which the fingerprint is of as well.

    Attributes:
        completed_fits: The number of calls of `fit` in the run that were completed, by this program or an earlier one.
        has_stepped: Whether the trainer has made steps of its own or loaded a state.
        folders: The run folders that the trainer has a checkpoint in, saved or loaded.
        interrupted: The folder of the call that was interrupted in this process, a snapshot of its stream, its last
            checkpoint and its callbacks.
        pending: The checkpoint of a later call that was interrupted.
        parent_checkpoint: The id of the checkpoint that the run began from, if it is a branch.
        parent_path: What the branch was asked to begin from, a run's folder or a checkpoint.
        branch_differences: What differed in the branch from the run that it began from.
    """

    def __init__(
        self,
        step: InfoGANStep,
        optimizers: OptimizerState,
        streams: RandomStreams,
        position: Position,
        history: History,
        settings: dict[str, Any],
        *,
        queue: StepQueue,
        augmented: Mapping[str, Any],
    ) -> None:
        model, networks = step.model, step.networks
        self.parts: dict[str, Any] = {
            "model": ModelState(model),
            "optimizers": optimizers,
            "schedulers": StateList(step.schedulers),
            "step": step,
            "streams": streams,
            "global_rng": GlobalRng(next(model.parameters()).device),
            "position": position,
        }
        if networks:
            self.parts["regularizers"] = networks
        held = [*model.parameters(), *model.buffers(), *networks.parameters(), *networks.buffers()]
        self.size = sum(tensor.numel() * tensor.element_size() for tensor in held)  # in bytes
        self.max_bytes = 64 * self.size + 2**30
        self.optimizers, self.schedulers, self.streams = optimizers, step.schedulers, streams
        self.position, self.history, self.settings, self._queue = position, history, settings, queue
        self.check_weights, self.check_state = step.check_weights, step.check_state
        self._model, self._augmented, self._terms = model, augmented, step.regularizers
        self._attributes: dict[str, Any] = {}  # as they were before the callbacks of a call of `fit`
        self.completed_fits = 0
        self.has_stepped = False
        self.folders: set[str] = set()
        self.interrupted: tuple[str, dict[str, Any], Path, StateList] | None = None
        self.pending: Checkpoint | None = None
        self.parent_checkpoint: str | None = None
        self.parent_path: str | None = None
        self.branch_differences: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        """What is copied: a call of `fit` under way, in which a callback copies the trainer, is over in the copy."""
        is_between = self.interrupted is not None or self.pending is not None
        return self.__dict__ | ({} if is_between else {"completed_fits": len(self.position.fit_starts)})

    def step(self) -> int:
        """The number of steps made and read."""
        return self._queue.steps

    def fingerprint(self, runs: int) -> Fingerprint:
        """What the networks and augmentations compute now from fixed inputs, in so many runs."""
        views = {f"regularizers[{i}].augment": getattr(term, "augment", None) for i, term in enumerate(self._terms)}
        return model_fingerprint(self._model, {**self._augmented, **views}, runs=runs)

    def metadata(self, segments: Path) -> dict[str, Any]:
        """The metadata of a checkpoint of now, for its manifest; the history is written into a folder of segments."""
        now = {"step": self.step(), "epoch": self.position.epochs, "library": __version__, "torch": torch.__version__}
        identity = {"id": secrets.token_hex(8), "parent_checkpoint": self.parent_checkpoint}
        run = {"run_format": _FORMAT, "settings": self.settings, "fingerprint": self.fingerprint(1)}
        branch = {"branch_differences": self.branch_differences, "parent_path": self.parent_path}
        run |= branch if self.parent_checkpoint else {}
        changed = {
            name: value for name, value in self._read_attributes().items() if self._attributes.get(name, value) != value
        }
        run |= {"changed_attributes": changed} if changed else {}
        return now | identity | run | {"history": self.history.seal(segments)}

    def _read_attributes(self) -> dict[str, Any]:
        return attributes(self._model, self._terms)

    def begin_call(self) -> None:
        """Remember what the callbacks of a call of `fit` may change, before it begins."""
        self._attributes = self._read_attributes()
        self._watch(is_on=True)

    def end_call(self) -> None:
        """Forget what was remembered of optimizers and schedules, which the program may change between its calls."""
        self._watch(is_on=False)

    def _watch(self, *, is_on: bool) -> None:
        self.optimizers.watch(is_on=is_on)
        self.parts["schedulers"].watch(is_on=is_on)

    def check_savable(self, path: Path, state: Mapping[str, Any]) -> None:
        """Check that a state can be resumed by a trainer as this one was before the call. Raises CheckpointError."""
        self.optimizers.check_savable(path, state["optimizers"])
        self.parts["schedulers"].check_savable(path, state["schedulers"])

    def warn_of_attributes(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """Warn of what callbacks had changed when a checkpoint was saved, and have not changed again by now."""
        now = self._read_attributes()
        told = [
            f"{shorten(name)} was {shorten(value)} and is {shorten(now.get(name))}"
            for name, value in metadata.get("changed_attributes", {}).items()
            if now.get(name) != value
        ]
        if told:
            warn(
                f"{path} was saved when a callback had changed what no checkpoint holds: {'; '.join(told[:4])}. "
                "The run resumes, but will differ from one that was not interrupted; let the callback set it in "
                "on_fit_start, from trainer.steps",
            )

    def check(self, path: Path, metadata: Mapping[str, Any], *, allow_branch: bool = False) -> list[str]:
        """Check that a checkpoint can be resumed, or that a branch, which may differ in part, can begin from it.

        Returns the settings that differ, in words; none unless it is a branch. Raises CheckpointError for another
        version of the library, settings that differ, or metadata that is not a run's.
        """
        if (run_format := metadata.get("run_format", 1)) != _FORMAT:
            age = "an older" if isinstance(run_format, int) and run_format < _FORMAT else "another"
            raise CheckpointError(
                path,
                f"it was written by infogan-lib {metadata.get('library')}, {age} version, whose runs cannot be resumed "
                "by this one; finish the run with that version, or begin a new run in another folder",
            )
        known = known_fields(path, "metadata", metadata, RUN_METADATA)
        check_schema(path, "metadata", known, RUN_METADATA)
        differences = check_config(path, metadata.get("settings"), self.settings, allow_branch=allow_branch)
        if metadata.get("torch") != torch.__version__:
            warn(
                f"{path} was saved with torch {metadata.get('torch')}, and this is {torch.__version__}: the run "
                "resumes, but not necessarily bitwise as it would have continued",
            )
        return differences

    def check_counts(self, path: Path, metadata: Mapping[str, Any], state: Any) -> None:
        """Check that the counts of steps and epochs in a checkpoint agree with each other; its metadata was checked."""
        try:
            step, position = state["step"], state["position"]
        except (TypeError, LookupError) as error:
            raise CheckpointError(path, f"its state is not that of a run: {error!r}") from error
        check_schema(path, "step", step, Record({"count": Int(high=MAX_STEPS)}, is_open=True))
        check_schema(path, "position", position, self.position.schema)
        for name, counted, saved in (
            ("step.count", step["count"], metadata["step"]),
            ("position.epochs", position["epochs"], metadata["epoch"]),
        ):
            if counted != saved:
                raise CheckpointError(
                    path, f"{name} is {counted:,} in its state and {saved:,} in its manifest; it is damaged or forged"
                )
        try:
            self.position.check_counts(position, step["count"])
        except ValueError as error:
            raise CheckpointError(path, f"its state does not fit: position.{error}; it is damaged or forged") from error

    def on_own_device(self, path: Path, metadata: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        """A run's state with what belongs to the trainer's own device and precision, for a branch.

        Random generators of another kind of device cannot be restored: the branch has streams of its own, whose seeds
        derive from the trainer's and from the step. A loss scale belongs to its precision.
        """
        before = metadata["settings"]
        try:
            if before["device"] != self.settings["device"]:
                own, rng = self.parts["global_rng"].state_dict(), dict(state["global_rng"])
                rng.pop("device", None)
                rng |= {"device": own["device"]} if "device" in own else {}
                streams = self.streams.branched(f"step {metadata['step']}").state_dict()
                state = state | {"global_rng": rng, "streams": streams}
            if before["precision"] != self.settings["precision"]:
                state = state | {"step": state["step"] | {"precision": {}}}
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(
                path, f"its state is not that of a run: {error!r}; it is damaged or forged"
            ) from error
        return state

    def save(self, folder: Path) -> None:
        """Write the trainer's own state into a folder; one of before stays where a later call of `fit` is pending.

        Raises:
            CheckpointError: A folder in which something else was saved, or an error of the disk.
            NonFiniteLossError: A weight is not finite; what was saved before is still there.
        """
        if self.pending is not None and bundle_kind(folder) == TRAINER_STATE:
            warn(
                f"{folder} stays as it is: the trainer is at step {self.step()} of a later call of fit, which was "
                "interrupted, and no longer at the step at which the program saves",
            )
            return
        self.check_weights(self.step())
        check_free(folder, TRAINER_STATE)  # a run that is under way holds its folder, so look before waiting for it
        with os_errors_as_checkpoint_errors(folder, "making the folder"):
            makedirs_synced(folder)
        state = CompositeState(**self.parts).state_dict()
        self.check_savable(folder, state)
        with hold_for_writing(folder) as is_alone:
            check_free(folder, TRAINER_STATE)
            metadata = self.metadata(make_segment_folder(folder))
            write_bundle(folder, TRAINER_STATE, metadata, state, max_bytes=self.max_bytes, sweep=is_alone)
            if is_alone:
                remove_unnamed_segments(folder)

    def load(self, folder: Path) -> None:
        """Load the state in a folder, written by `save` or by a fit, a run folder or a checkpoint of it.

        Raises CheckpointError for a state that is damaged or does not fit; the trainer is then as it was.
        """
        if is_run_folder(folder):
            read = read_checkpoint(folder, max_bytes=self.max_bytes, check=self.check_state)
        else:
            read = read_with_history(folder, TRAINER_STATE, KIND, max_bytes=self.max_bytes)
        folder, metadata, state, held = read
        self.check(folder, metadata)
        self.check_state(folder, state)
        self.check_counts(folder, metadata, state)
        segments = from_manifest(folder, metadata)
        CompositeState(**self.parts).load(folder, without_fit_parts(state))
        self.history.restore(segments, folder, held)
        warn_if_changed(folder, metadata.get("fingerprint"), self.fingerprint(2))
        self.has_stepped = True
        self.completed_fits = len(self.position.fit_starts)
        self.interrupted = self.pending = None


def without_fit_parts(state: Any) -> Any:
    """A run's state without the parts that belong to one call of `fit`."""
    return {name: part for name, part in state.items() if name not in FIT_PARTS} if isinstance(state, dict) else state
