"""Images before D and Q: real and generated ones apart, or in one batch."""

import torch
from torch import Tensor

from infogan_lib.model.infogan import InfoGAN, Judgement
from infogan_lib.training.precision import Precision


class Judging:
    """How D and Q are asked.

    A layer that looks at a whole batch, such as BatchNorm, sees real and generated images apart and treats each kind by
    itself, or sees both at once and treats them alike.

    Args:
        model: whose D and Q they are.
        precision: of the forward passes.
        joint: whether images share a batch with those of the other kind.
    """

    def __init__(self, model: InfoGAN, precision: Precision, *, joint: bool) -> None:
        self.joint = joint
        self._model, self._precision = model, precision

    def together(self, real: Tensor, fake: Tensor, *, codes: bool) -> tuple[Judgement, Judgement]:
        """Of real and of generated images, in one batch."""
        said = self._ask(torch.cat([real, fake]), codes=codes)
        return _part(said, slice(len(real))), _part(said, slice(len(real), None))

    def __call__(self, images: Tensor, beside: Tensor, *, codes: bool) -> Judgement:
        """Of images, in a batch of their own or, where batches are joint, beside those of the other kind."""
        if self.joint:
            return self.together(images, beside, codes=codes)[0]
        return self._ask(images, codes=codes)

    def raw_codes(self, images: Tensor, beside: Tensor) -> Tensor:
        """Q's raw outputs (N, R), likewise."""
        with self._precision.forward():
            if self.joint:
                return self._model.raw_codes(torch.cat([images, beside]))[: len(images)]
            return self._model.raw_codes(images)

    def _ask(self, images: Tensor, *, codes: bool) -> Judgement:
        with self._precision.forward():
            return self._model.discriminate(images, codes=codes)


def _part(said: Judgement, of: slice) -> Judgement:
    return Judgement(said.logits[of], None if said.raw is None else said.raw[of])
