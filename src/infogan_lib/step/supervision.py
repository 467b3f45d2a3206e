r"""Supervision: what Q says of real images whose label is known.

.. math:: L_S = \sum_l \mu_l E_{(x, y)}[-\log Q(c_l = y_l \mid x)]

over the label codes l, with the mean over the images whose label of l is known. It is a part of L_D that trains the
layers Q shares with D, and the Q head in the update of G and Q (Spurr et al., *Guiding InfoGAN with Semi-Supervision*,
ECML 2017, section 3.1: "the mutual information of the labeled real images").
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from infogan_lib._checks import join_names
from infogan_lib._warnings import warn
from infogan_lib.data.labels import UNKNOWN, Batch, LabeledBatch
from infogan_lib.latent import LatentSpec
from infogan_lib.step.guard import name_nan
from infogan_lib.step.metrics import Terms


class LabeledImages(NamedTuple):
    """The labeled images of a step, or of a micro-batch of it.

    Attributes:
        labels: Labels (N, L), one column per label code; `UNKNOWN` where one is not known.
        shares: The share (N, L) of each image in the mean over the whole batch: 0 where the label is unknown.
        images: The images (N, *image_shape); None for the batch's own.
    """

    labels: Tensor
    shares: Tensor
    images: Tensor | None = None


def labeled_images(real: Batch, augment: Callable[[Tensor], Tensor]) -> LabeledImages | None:
    """The labels of a whole batch, with the augmented images they belong to where these are not the batch's own."""
    if not isinstance(real, LabeledBatch):
        return None
    is_known = (real.labels != UNKNOWN).to(real.images.dtype)
    images = None if real.labeled_images is None else augment(real.labeled_images)
    return LabeledImages(real.labels, is_known / is_known.sum(0).clamp(min=1), images)


def supervised_loss(latent: LatentSpec, q_outputs: Tensor, labeled: LabeledImages, terms: Terms, step: int) -> Tensor:
    """L_S, the weighted sum of the label codes' mean losses, which are added to the terms of a step."""
    with name_nan(q_outputs, "output of Q", step):
        nll = _mean_nll(latent, q_outputs, labeled)
    # Known labels are not even over micro-batches, so that each has its part of the mean rather than a mean.
    nll = terms.add("supervision", nll if terms.share == 1 else nll / terms.share)
    weighted = [code.supervision * mean for code, mean in zip(latent.labels.values(), nll.unbind(), strict=True)]
    return torch.stack(weighted).sum()


def _mean_nll(latent: LatentSpec, q_outputs: Tensor, labeled: LabeledImages) -> Tensor:
    """E[-log Q(c = y | x)] of each label code, shape (L,), as far as these images, with outputs (N, R), contribute."""
    means = []
    for (name, code), labels, shares in zip(latent.labels.items(), labeled.labels.t(), labeled.shares.t(), strict=True):
        is_label = labels[:, None] == torch.arange(code.k, device=labels.device)
        nll = code.nll(q_outputs[:, latent.output_slices[name]], is_label.to(q_outputs.dtype))
        means.append((nll * shares).sum())
    return torch.stack(means)


class MissingLabels:
    """Warns, once, of label codes of which none of the first hundred batches has a label."""

    def __init__(self, codes: Iterable[str]) -> None:
        self._codes, self._seen, self._batches = [*codes], set[str](), 0

    def watch(self, labels: Tensor) -> None:
        """Look at the labels (N, L) of a batch, unless they are on a device, which would be waited for."""
        if self._batches == _WATCHED or labels.device.type != "cpu":
            return
        is_known = (labels != UNKNOWN).any(0).tolist()
        self._seen |= {code for code, known in zip(self._codes, is_known, strict=True) if known}
        self._batches += 1
        missing = [code for code in self._codes if code not in self._seen]
        if missing and self._batches == _WATCHED:
            warn(
                f"no image of the first {_WATCHED} batches has a label of {join_names(missing)}: all are {UNKNOWN}, "
                "so Q learns categories of its own; give some labels or, if few images have one, the data set itself, "
                "with all labels as its .targets, or a sampler that prefers labeled images",
            )


_WATCHED = 100
