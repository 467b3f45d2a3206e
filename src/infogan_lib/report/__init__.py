"""One page that says what a model has learned."""

from infogan_lib.report.report import write_report

__all__ = ["write_report"]
