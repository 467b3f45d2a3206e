"""A callback that evaluates the model during training, so that what it has learned can be followed like a loss."""

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_int, check_tensor
from infogan_lib.data.pixels import check_finite_images, check_real_images
from infogan_lib.data.rng import preserve_rng
from infogan_lib.evaluation.codes import code_information
from infogan_lib.latent.category_names import categorical_code
from infogan_lib.metrics._arrays import to_array
from infogan_lib.metrics.clustering import check_labels
from infogan_lib.model.naming import match_labels
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer


class Evaluator(Callback):
    """Records metrics of the model in eval mode in `trainer.history`. It does not affect training.

    The metrics are "eval/bound/CODE" in nats, or "eval/mse/CODE", on fresh samples; with labels also
    "eval/accuracy/CODE", "eval/purity/CODE", "eval/nmi/CODE" and "eval/ari/CODE" of a categorical code on labeled
    images, which need the extra `eval`. The categories of a `Label` are the labels; those of others are matched.

    Args:
        images: Labeled images (N, *image_shape), as for `model.encode`; None to record bounds only.
        labels: Their labels, whole numbers from 0, shape (N,).
        code: The categorical code to compare with the labels; the only one if None.
        every: Number of steps between evaluations.
        samples: Number of fresh samples for the bounds, at least 2.

    Raises:
        TypeError: If a number is not a whole number.
        ValueError: If images come without labels or labels without images, their lengths differ, or a number is too
            small. Images and labels that do not fit the model raise at the start of `fit`.
    """

    def __init__(
        self,
        images: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        code: str | None = None,
        every: int = 500,
        samples: int = 1000,
    ) -> None:
        if (images is None) != (labels is None):
            raise ValueError("give images and their labels together, or neither")
        if images is not None and labels is not None:
            if check_tensor("images", images).ndim < 2:
                raise ValueError(f"images must have shape (N, *image_shape), but got {tuple(images.shape)}")
            array = to_array("labels", labels)
            if array.ndim > 0 and len(images) != len(array):
                raise ValueError(
                    f"images and labels: there must be a label for each image, but got {len(images)} and {len(array)}"
                )
            labels = torch.as_tensor(check_labels("labels", array))
            check_finite_images(images)
        self.images, self.labels, self.code = images, labels, code
        self.every = check_int("every", every, minimum=1)
        self.samples = check_int("samples", samples, minimum=2)

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if self.images is not None and self.labels is not None:  # mistakes and missing packages raise before training
            model = trainer.model
            code = categorical_code(model.latent, self.code)
            check_real_images(self.images, model.image_shape, model.pixel_range, model.output_range)
            zeros = torch.zeros(len(self.labels), dtype=torch.int64)
            _ = match_labels(model.latent, code, zeros, self.labels).nmi

    @override
    def needs_model(self, step: int) -> bool:
        return step % self.every == 0

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0:
            with preserve_rng(trainer.device):  # networks with noise of their own draw in eval mode as well
                evaluated = self.evaluate(trainer)
            trainer.history.record(trainer.steps, evaluated)

    def evaluate(self, trainer: InfoGANTrainer) -> dict[str, float]:
        """The metrics of the current model, by name."""
        model, metrics = trainer.model, {}
        for name, information in code_information(model, n=self.samples).items():
            if information.bound is None:
                metrics[f"eval/mse/{name}"] = information.loss
            else:
                metrics[f"eval/bound/{name}"] = information.bound
        if self.images is not None and self.labels is not None:
            code = categorical_code(model.latent, self.code)
            categories = model.encode(self.images)[code].mode.argmax(1)
            match = match_labels(model.latent, code, categories, self.labels)
            metrics |= {f"eval/{name}/{code}": getattr(match, name) for name in ("accuracy", "purity", "nmi", "ari")}
        return metrics
