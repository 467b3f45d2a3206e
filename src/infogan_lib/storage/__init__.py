"""Storage: folders that are either whole or refused, and what may be inside them."""

from infogan_lib.storage.disk import CheckpointError
from infogan_lib.storage.matching import check_names, check_tensors
from infogan_lib.storage.sealed import seal, unseal, verify

__all__ = ["CheckpointError", "check_names", "check_tensors", "seal", "unseal", "verify"]
