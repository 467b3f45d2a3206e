"""Runs in folders: what is saved of a run, and how a fit resumes from it."""

from infogan_lib.resume.checkpoint_settings import Checkpoints

__all__ = ["Checkpoints"]
