"""A callback that evaluates a run now and then, so that what was learned can be followed like a loss."""

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_int
from infogan_lib.data.pixels import check_real_images
from infogan_lib.data.rng import kept
from infogan_lib.evaluation.codes import code_information
from infogan_lib.latent.category_names import categorical_code
from infogan_lib.metrics.clustering import match_categories
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer


class Evaluator(Callback):
    """Adds figures of the model in eval mode to `trainer.history` every so many steps. Changes nothing in the run.

    "eval/bound/CODE" in nats, or "eval/mse/CODE", on fresh samples; with labels also "eval/accuracy/CODE",
    "eval/purity/CODE", "eval/nmi/CODE" and "eval/ari/CODE" of a categorical code on labelled images.

    Args:
        images: labelled images (N, *image_shape), as for `model.encode`; None to look at the bounds only.
        labels: their labels, whole numbers from 0, shape (N,).
        code: the categorical code to compare with the labels; the only one if None.
        every: the number of steps between two evaluations.
        samples: fresh samples for the bounds, at least 2.

    Raises:
        TypeError, ValueError: images without labels or labels without images, of different numbers, or whole numbers
            that are none. Images and labels that do not fit the model are refused when the fit begins.
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
        if images is not None and labels is not None and len(images) != len(labels):
            raise ValueError(f"there must be a label for each image, but got {len(images)} and {len(labels)}")
        self.images = images
        self.labels = None if labels is None else torch.as_tensor(labels)
        self.code = code
        self.every = check_int("every", every, minimum=1)
        self.samples = check_int("samples", samples, minimum=2)

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if self.images is not None and self.labels is not None:  # what is wrong is named before the first step
            model = trainer.model
            code = categorical_code(model.latent, self.code)
            check_real_images(self.images, model.image_shape, model.pixel_range)
            none = torch.zeros(len(self.labels), dtype=torch.int64)
            _ = match_categories(none.numpy(), self.labels.cpu().numpy(), category_count=model.latent[code].width).nmi

    @override
    def needs_model(self, step: int) -> bool:
        return step % self.every == 0

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0:
            with kept(trainer.device):  # networks with noise of their own draw in eval mode as well
                found = self.evaluate(trainer)
            trainer.history.record(trainer.steps, found)

    def evaluate(self, trainer: InfoGANTrainer) -> dict[str, float]:
        """The figures as they are now."""
        model, found = trainer.model, {}
        for name, of_code in code_information(model, n=self.samples).items():
            kind, value = ("mse", of_code.loss) if of_code.bound is None else ("bound", of_code.bound)
            found[f"eval/{kind}/{name}"] = value
        if self.images is not None and self.labels is not None:
            code = categorical_code(model.latent, self.code)
            categories = model.encode(self.images)[code].mode.argmax(1).cpu().numpy()
            match = match_categories(categories, self.labels.cpu().numpy(), category_count=model.latent[code].width)
            of_match = {"accuracy": match.accuracy, "purity": match.purity, "nmi": match.nmi, "ari": match.ari}
            found |= {f"eval/{name}/{code}": value for name, value in of_match.items()}
        return found
