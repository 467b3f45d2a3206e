"""Bytes on the disk: bundles that are whole or refused, and run folders of them."""

from infogan_lib.checkpoints.bundle import read_bundle, verify_bundle, write_bundle
from infogan_lib.checkpoints.compare import check_names, check_tensors
from infogan_lib.checkpoints.disk import CheckpointError

__all__ = ["CheckpointError", "check_names", "check_tensors", "read_bundle", "verify_bundle", "write_bundle"]
