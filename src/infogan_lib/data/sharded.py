"""Streams of which each process reads a share, such as shards of files that are split by rank."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from infogan_lib._checks import describe


class Sharded:
    """A stream of which each of several processes reads a share of its own, for `InfoGANTrainer.fit`.

    Without it, process 0 alone reads a stream, and sends each batch to the others. With it each process reads batches
    of its share, in workers of its own if the loader has some, and all train on them in turn: on the first batch of
    each process, then on the second ones, until all shares are at their end. The shares may differ in length.

    Args:
        batches: A stream that is split by rank, such as a WebDataset with `nodesplitter=split_by_node`, or what
            `split_dataset_by_node` of Hugging Face's datasets returns: an IterableDataset of images, a loader of one,
            or another iterable of batches.

    Raises:
        TypeError: Data that is no stream, and would be the same in every process.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        is_stream = isinstance(batches, IterableDataset) or not isinstance(
            batches, (Tensor, np.ndarray, Dataset, Sequence, Mapping)
        )
        if not (is_stream and isinstance(batches, Iterable)):
            raise TypeError(
                "batches must be a stream that is split by rank, such as an IterableDataset or a loader of one, but "
                f"got {describe(batches)}; give other data to fit as it is"
            )
        self.batches = batches
