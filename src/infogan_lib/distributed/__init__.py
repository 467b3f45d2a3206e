"""Training on several processes, each with a part of every batch, to the result of one process with all of it."""

from infogan_lib.distributed.processes import ProcessError, Processes, join

__all__ = ["ProcessError", "Processes", "join"]
