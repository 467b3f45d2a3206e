"""The history of a run: its metrics step by step, in memory and in files that never change."""

from infogan_lib.history.history import History

__all__ = ["History"]
