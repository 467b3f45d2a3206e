"""What the manifest of a run's checkpoint says of it."""

from infogan_lib._schema import MAX_STEPS, Int, ListOf, Nullable, Plain, Record, Text
from infogan_lib.checkpoints.segments import MANIFEST_FIELD
from infogan_lib.model.fingerprint import FINGERPRINT

_FIELDS = {
    "step": Int(high=MAX_STEPS),
    "epoch": Int(high=MAX_STEPS),
    "library": Text(),
    "torch": Text(),
    "id": Text(),
    "parent_checkpoint": Nullable(Text()),
    "parent_path": Nullable(Text()),
    "branch_differences": ListOf(Text()),
    "run_format": Int(),
    "settings": Plain(),  # compared with those of the trainer
    "fingerprint": FINGERPRINT,
    "history": MANIFEST_FIELD,
}

RUN_METADATA = Record(_FIELDS, optional=frozenset({"fingerprint", "branch_differences", "parent_path"}))
"""The fields of `RunLedger.metadata`."""
