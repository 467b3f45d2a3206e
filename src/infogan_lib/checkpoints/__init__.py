"""Storage: folders that are either whole or refused, and what may be inside them."""

from infogan_lib.checkpoints.compare import check_names, check_tensors
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.manifest import seal, unseal, verify

__all__ = ["CheckpointError", "check_names", "check_tensors", "seal", "unseal", "verify"]
