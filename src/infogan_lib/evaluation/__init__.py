"""What the codes came to mean."""

from infogan_lib.evaluation.clustering import CategoryMatch, match_categories

__all__ = ["CategoryMatch", "match_categories"]
