"""Which call of `fit` in a run a call of the program is.

A run records where each of its calls of `fit` began, and how far the last one trains. The same program, started again,
makes the same calls: those that were completed are skipped, and the last one is resumed.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from infogan_lib._checks import check_int
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.data.stream import Target


def as_target(epochs: object, steps: object) -> Target:
    """How far a call of `fit` trains, checked. Raises TypeError or ValueError."""
    if (epochs is None) == (steps is None):
        raise ValueError(f"give either epochs or steps to fit, but got epochs={epochs} and steps={steps}")
    if steps is None:
        return Target(None, check_int("epochs", epochs, minimum=1))
    return Target(check_int("steps", steps, minimum=1), None)


def find_call(
    run: Path,
    starts: Sequence[tuple[int, int]],
    last_target: Target,
    stopped: Collection[int],
    index: int,
    target: Target,
) -> int | None:
    """The index in a run of a call of the program.

    Args:
        run: The run's folder or checkpoint, for messages.
        starts: The step and the number of completed epochs at which each call of the run began.
        last_target: How far the last of them trains.
        stopped: The indices of those that were stopped before the end of what they train.
        index: The number of the program's calls before this one.
        target: How far this call trains.

    Returns:
        The index of the call to train; None if this call was completed before and another one followed it, or it was
        stopped and is to train no further than then.

    Raises:
        CheckpointError: The run has a call in the place of this one that did not train as far, and others after it.
    """
    last = len(starts) - 1
    if index in stopped and (index < last or target == last_target):
        return None
    if index >= last:
        return index
    if target.is_reached(starts[index], starts[index + 1]):
        return None
    if target == last_target:
        return last  # the calls before it are no longer in the program, such as a trial
    asked = f"{target.steps} steps" if target.epochs is None else f"{target.epochs} epochs"
    raise CheckpointError(
        run,
        f"call {index + 1} of fit in this run began at step {starts[index][0]} and ended at step "
        f"{starts[index + 1][0]}, before the {asked} that it is called for now, and another call followed; call fit as "
        "the run did, or begin another run from this one with Checkpoints(another_folder, resume=this_one)",
    )
