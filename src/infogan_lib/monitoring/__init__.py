"""Watching a run: collapse is named while it happens."""

from infogan_lib.monitoring.monitor import CollapseMonitor, CollapseWarning
from infogan_lib.monitoring.symptoms import Symptom

__all__ = ["CollapseMonitor", "CollapseWarning", "Symptom"]
