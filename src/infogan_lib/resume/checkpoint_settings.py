"""The settings of checkpoints: where and how often a fit is saved, and what it resumes from."""

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from infogan_lib._checks import check_int, check_path, describe
from infogan_lib._keywords import explains_arguments

Resume = Literal["auto", False] | str | os.PathLike[str]


@explains_arguments(path="did you mean folder=?")
@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a fit is saved, and what it resumes from.

    Args:
        folder: The run's folder, for one trainer at a time; None to save nothing and only begin from `resume`.
        every: Save every so many steps.
        keep: The number of newest checkpoints to keep.
        resume: "auto" to resume from what is in the folder; False to refuse a folder that holds a run; or a run folder
            or checkpoint from which a run in the folder begins, with other rates and losses if you like.

    Raises:
        TypeError: A setting of another type.
        ValueError: A number below 1, or neither a folder nor a checkpoint to begin from.
    """

    folder: str | os.PathLike[str] | None
    _: KW_ONLY
    every: int = 500
    keep: int = 2
    resume: Resume = "auto"

    def __post_init__(self) -> None:
        if self.folder is not None:
            if not isinstance(self.folder, (str, os.PathLike)):
                raise TypeError(f"checkpoints must name a folder, but got {describe(self.folder)}")
            check_path("the folder of checkpoints", self.folder)
        for name in ("every", "keep"):
            object.__setattr__(self, name, check_int(name, getattr(self, name), minimum=1))
        if self.resume is not False and not isinstance(self.resume, (str, os.PathLike)):
            raise TypeError(
                f"resume must be 'auto', False or the path of a checkpoint, but got {describe(self.resume)}"
            )
        if self.resume is not False:
            check_path("resume", self.resume)
        if self.folder is None and self.start is None:
            raise ValueError("without a folder nothing is saved; give one, or resume= a checkpoint to begin from")

    @property
    def path(self) -> Path | None:
        """The folder as an absolute path."""
        return None if self.folder is None else Path(self.folder).expanduser().absolute()

    @property
    def start(self) -> Path | None:
        """The checkpoint or run folder to begin from, if one was named."""
        return None if self.resume in ("auto", False) else Path(self.resume).expanduser()


def as_checkpoints(value: object) -> Checkpoints | None:
    """The `checkpoints` argument of `fit`: settings, a folder, or None. Raises TypeError for anything else."""
    if value is None or isinstance(value, Checkpoints):
        return value
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"checkpoints must be a folder or Checkpoints(...), but got {describe(value)}")
    return Checkpoints(value)
