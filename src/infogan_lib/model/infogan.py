"""The InfoGAN: three networks and their latent, with what is done with them: names, files, samples and codes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from infogan_lib._checks import check_mapping, check_names
from infogan_lib.data.pixels import UNKNOWN_RANGE, PixelRange, warn_unknown_range
from infogan_lib.data.pixels import pixel_range as checked_range
from infogan_lib.distributed import Processes
from infogan_lib.latent.category_names import CategoryNames, LabelNames, categorical_code, check_category_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.clustering import CategoryMatch
from infogan_lib.model import sampling
from infogan_lib.model.module import Networks
from infogan_lib.model.naming import match_labels, names_from_labels
from infogan_lib.model.plan import QKind, q_kind
from infogan_lib.model.saving import GivenNetworks, load_model, save_model
from infogan_lib.networks.discriminator_adapter import DiscriminatorOutput, FeatureReader, OutputReader
from infogan_lib.networks.generator_adapter import GeneratorInput, GeneratorOutput
from infogan_lib.networks.introspection import Part
from infogan_lib.networks.q_head import QHeadFactory
from infogan_lib.networks.tap import Tap
from infogan_lib.networks.validation import check_reader_functions

__all__ = ["InfoGAN", "Part"]


class InfoGAN(Networks):
    """G, D and Q as one module. The given modules are neither modified nor copied; hooks live for one forward pass.

    Args:
        generator: Any module that makes images (N, *) from the latent: flat (N, L), as a map (N, L, 1, 1), or with
            one argument per variable of the spec. Which one is inferred from dry forward passes.
        discriminator: Any module that returns one validity per image, or a map of them, as logits or after a Sigmoid;
            or a tuple (validity, codes, ...), which then contains Q itself.
        latent: The noise and codes of the generator's input.
        q_head: Your own head, from the features at the tap to `latent.num_outputs` raw outputs, as one tensor or
            several in the codes' order; or a function `(feature_shape, outputs) -> head`, such as
            `partial(QHead, hidden=256)`. None for a `QHead` in proportion to D.
        q_network: Your own Q on images, sharing nothing with D. Excludes `q_head` and `tap`.
        tap: The layer of D that Q reads, by name or as a `Tap`; or a function that picks the features out of what D
            returns, such as ``lambda out: out["features"]``. None for a layer in D's first half, before any that looks
            at the batch.
        generator_input: "flat", "1d", "2d", "3d", "separate" or "indices"; "auto" to infer it.
        generator_output: A function that picks the images out of what G returns; None where G returns images.
        discriminator_output: "logits" or "probabilities"; or a function that makes the validity of what D returns, such
            as ``lambda out: out["validity"]``, or (validity, codes, ...); "auto" to infer it.
        q_output: A function that picks the raw outputs out of what Q returns; None where Q returns them.
        pixel_range: (low, high), what uint8 images are mapped onto. None for G's own `output_range`.
        dry_run_batch_size: The number of images in dry runs; None for two, or more if D does not take two.
        seed: The seed of the initial weights of a Q head that is made here.

    Attributes:
        image_shape: The shape of one image, without the batch.
        output_range: The range that G's last operations can reach, such as (-1, 1) of a Tanh or (0, 1) of a Sigmoid, a
            clamp or a scaled Tanh; None where they do not tell.
        pixel_range: As given; None where neither it nor G's range is known. `fit` then takes it from float images that
            lie in [0, 1] or in [-1, 1].
        category_names: The names of categories by code, as `set_category_names` was given them.
        ema_generator: The averaged generator, where there is one.
        q: The module that is Q; None where it is inside the discriminator.

    Raises:
        TypeError: an argument of another type.
        ValueError: networks and latent that do not fit each other; the message says which shapes met.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: LatentSpec,
        *,
        q_head: nn.Module | QHeadFactory | None = None,
        q_network: nn.Module | None = None,
        tap: str | Tap | FeatureReader | None = None,
        generator_input: GeneratorInput | Literal["auto"] = "auto",
        generator_output: GeneratorOutput | None = None,
        discriminator_output: DiscriminatorOutput | OutputReader | Literal["auto"] = "auto",
        q_output: OutputReader | None = None,
        pixel_range: PixelRange | None = None,
        dry_run_batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            latent,
            q_head=q_head,
            q_network=q_network,
            tap=tap,
            generator_input=generator_input,
            generator_output=generator_output,
            discriminator_output=discriminator_output,
            q_output=q_output,
            dry_run_batch_size=dry_run_batch_size,
            seed=seed,
        )
        self.q_kind: QKind = q_kind(q_head, q_network)
        self.pixel_range = self.output_range if pixel_range is None else checked_range(pixel_range)
        self.category_names: dict[str, CategoryNames] = {}

    @property
    def display_range(self) -> PixelRange:
        """The range in which images are shown: `pixel_range`, or (-1, 1) with a warning where that is not known."""
        if self.pixel_range is None:
            warn_unknown_range()
        return self.pixel_range or UNKNOWN_RANGE

    def set_category_names(self, code: str, names: Sequence[str | None] | Mapping[int, str | None]) -> None:
        """Name the categories of a code, for `sample` and `traverse`; saved with the model and with later checkpoints.

        Args:
            code: The name of a categorical code.
            names: One for each category, in order or as a dict by number, without duplicates; None for one without.

        Raises:
            KeyError, TypeError, ValueError: no such code, or names that do not fit its categories.
        """
        self.category_names[code] = check_category_names(self.latent, code, names)

    def name_categories(
        self, images: Tensor, labels: Tensor, *, code: str | None = None, names: LabelNames | None = None
    ) -> CategoryMatch:
        """Name the categories of a code after labels, under the one-to-one matching that most images agree with.

        Args:
            images: Labeled images (N, *image_shape), as for `encode`.
            labels: Their labels, integers from 0, shape (N,).
            code: The name of a categorical code; the only one if None. Those of a `Label` are not matched.
            names: The labels' names, in order or as a dict by number; "0", "1", ... if None.

        Returns:
            The match: its table, accuracy, purity of each category, and the unmatched categories, which get no name.

        Raises:
            KeyError, TypeError: no code of that name, or one without categories.
            ValueError: images and labels of different numbers, or labels out of range.
            ImportError: scipy is not installed.
        """
        code = categorical_code(self.latent, code)
        names = None if names is None else check_names("names", names)
        match = match_labels(self.latent, code, self.encode(images)[code].mode.argmax(1), labels, names)
        self.set_category_names(code, names_from_labels(match, self.latent, code, names))
        return match

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model into a folder: all weights, the latent, the names of categories, and how the parts fit.

        Args:
            folder: Made where there is none; a model in it is replaced in one piece.

        Raises:
            CheckpointError: an error of the disk; what was saved before is still there.
            TypeError: a latent with a code that cannot be written as JSON.
        """
        save_model(self, folder)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        q_head: nn.Module | QHeadFactory | None = None,
        q_network: nn.Module | None = None,
        tap: FeatureReader | None = None,
        generator_output: GeneratorOutput | None = None,
        discriminator_output: OutputReader | None = None,
        q_output: OutputReader | None = None,
    ) -> "InfoGAN":
        """Read a model that `save` wrote, here or in an older version, into networks of the same layers.

        Args:
            folder: Where it was saved.
            generator: The network that gets G's weights, on the device it is on.
            discriminator: Likewise for D.
            q_head: Likewise, where the model was made with one.
            q_network: Likewise, where the model was made with one.
            tap: The function that the model was made with, where it was one; files hold no functions.
            generator_output: Likewise.
            discriminator_output: Likewise.
            q_output: Likewise.

        Raises:
            CheckpointError: damage, or networks of other layers; the networks are then as they were.
        """
        readers = {
            "tap": tap,
            "generator_output": generator_output,
            "discriminator_output": discriminator_output,
            "q_output": q_output,
        }
        check_reader_functions(readers)
        return load_model(cls, folder, GivenNetworks(generator, discriminator, q_head, q_network, readers))

    def sample(
        self,
        n: int,
        /,
        *,
        seed: int | None = None,
        rng: torch.Generator | None = None,
        codes: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Tensor:
        """Make n images in eval mode, from the averaged generator where there is one.

        Args:
            n: How many, at least 1.
            seed: Fixes all that is not given, on every device; the first images are the same for every n.
            rng: A CPU generator to draw from instead; torch's global one if neither is given.
            codes: Values by name, such as ``{"digit": 7}``; needed for names such as "seed" and "steps".
            **named: Values by name: ``digit=7``, ``style=[-1.0, 0.5]``, one row per image, or ``digit="seven"`` where
                the categories have names.

        Returns:
            Shape (n, *image_shape), in the generator's own pixel range.

        Raises:
            KeyError: no code of that name; the message lists the names.
            TypeError, ValueError: a value that the code cannot take.
        """
        return self.decode(sampling.draw_latents(self, n, seed, rng, codes, named))

    def traverse(
        self,
        code: str,
        /,
        *,
        dim: int = 0,
        steps: int | None = None,
        n: int = 1,
        low: float | None = None,
        high: float | None = None,
        seed: int | None = None,
        rng: torch.Generator | None = None,
        codes: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Tensor:
        """Images in which only one variable moves.

        Args:
            code: Its name; a categorical code runs through its k categories.
            dim: The dimension of a continuous one that moves.
            steps: The number of steps; 10 if None.
            n: The number of starting points.
            low: Where the traversal begins; the prior's own range if None.
            high: Where it ends, likewise.
            seed: As in `sample`, for all that stays fixed.
            rng: As in `sample`.
            codes: As in `sample`.
            **named: As in `sample`.

        Returns:
            Shape (n * steps, *image_shape), the traversal of the first starting point first.
        """
        given = {*named, *check_mapping("codes", {} if codes is None else codes)}
        if self.latent[code] is not None and code in given:
            raise ValueError(f"{code!r} is what moves, so it cannot be set as well; leave {code}= out")
        base = sampling.draw_latents(self, n, seed, rng, codes, named)
        return self.decode(self.latent.traverse(code, dim=dim, steps=steps, base=base, low=low, high=high))

    def decode(self, latent: Tensor, *, batch_size: int = 512) -> Tensor:
        """Images for latents in eval mode, from the averaged generator where there is one.

        Args:
            latent: Shape (N, L), which gives images (N, *image_shape).
            batch_size: How many images to make at a time.
        """
        return sampling.decode(self, latent, batch_size)

    def encode(
        self, images: Tensor, *, batch_size: int = 512, distributed: Processes | None = None
    ) -> dict[str, Distribution]:
        """The posterior Q(c|x) of every code for images, in eval mode.

        Args:
            images: Shape (N, *image_shape); floats in the range the model was trained on, or uint8 where `pixel_range`
                is known.
            batch_size: How many images to read at a time.
            distributed: The processes among which the batches are divided, such as `trainer.distributed`; all must
                call with the same images, and each gets the full result. None for this process alone.

        Returns:
            A torch `Distribution` per code, of batch shape (N,), on the model's device: one-hot for a categorical code
            (see its `probs`), normal for a continuous one, `PointEstimate` for one with `MSE`.

        Raises:
            TypeError: images that are neither floats nor uint8.
            ValueError: images of another shape, none at all, or with values that are not finite.
            RuntimeError: another process has failed, or has another number of images.
        """
        return self.latent.posteriors(self.q_outputs(images, batch_size=batch_size, distributed=distributed))

    def q_outputs(self, images: Tensor, *, batch_size: int = 512, distributed: Processes | None = None) -> Tensor:
        """Q's raw outputs (N, R) for images, in eval mode; arguments and errors are those of `encode`."""
        return sampling.q_outputs(self, images, batch_size, distributed)
