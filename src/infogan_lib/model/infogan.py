r"""The InfoGAN: a generator, a discriminator, Q and the latent they share.

.. math::
    x = G(z, c), \qquad D(x) = \mathrm{head}(\mathrm{trunk}(x)), \qquad Q(c \mid x) = q(\mathrm{trunk}(x))

G and D are the user's and stay as they are; Q is attached to D's own features (Chen et al., *InfoGAN*, NeurIPS 2016,
section 6: "we parametrize Q as a neural network ... Q and D share all convolutional layers"), or is the user's.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from infogan_lib._checks import check_mapping, check_names, check_seed
from infogan_lib.data.pixels import UNKNOWN_RANGE, PixelRange
from infogan_lib.data.pixels import pixel_range as checked_range
from infogan_lib.latent.category_names import CategoryNames, LabelNames, categorical_code, check_category_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.clustering import CategoryMatch
from infogan_lib.model import sampling
from infogan_lib.model.adapters import DiscriminatorOutput, DiscriminatorResult, GeneratorInput, infer_adapters
from infogan_lib.model.attach import attach_q
from infogan_lib.model.fast_cpu import fast_cpu, has_convolutions
from infogan_lib.model.introspection import OUTPUT_RANGES, Part, final_activation, group_parameters
from infogan_lib.model.naming import names_from_labels
from infogan_lib.model.q_head import QHeadFactory, flat_outputs
from infogan_lib.model.saving import QKind, load_model, q_kind, save_model
from infogan_lib.model.tap import FeatureHook, Tap, capture_features
from infogan_lib.model.validation import check_arguments, check_no_shared_parameters

__all__ = ["InfoGAN", "Part"]


class InfoGAN(nn.Module):
    """G, D and Q as one module. The given modules are neither modified nor copied; hooks live for one forward pass.

    Args:
        generator: any module that makes images (N, *) from the latent: flat (N, L), as a map (N, L, 1, 1), or with
            one argument per variable of the spec. Which one is inferred from dry forward passes.
        discriminator: any module that returns one validity per image, or a map of them, as logits or after a Sigmoid;
            or a tuple (validity, codes, ...), which then contains Q itself.
        latent: the noise and codes of the generator's input.
        q_head: your own head, from the features at the tap to `latent.num_outputs` raw outputs, as one tensor or
            several in the codes' order; or a function `(feature_shape, outputs) -> head`, such as
            `partial(QHead, hidden=256)`. None for `QHead`.
        q_network: your own Q on images, sharing nothing with D. Excludes `q_head` and `tap`.
        tap: the layer of D that Q reads, by name or as a `Tap`. None for one in D's first half, before any layer that
            looks at the batch.
        generator_input: "flat", "1d", "2d", "3d" or "separate"; "auto" to infer it.
        discriminator_output: "logits" or "probabilities"; "auto" to infer it.
        pixel_range: (low, high), what uint8 images are mapped onto. None for G's own `output_range`.
        dry_run_batch_size: the number of images in dry runs; None for two, or more if D does not take two.
        seed: the seed of the initial weights of a Q head that is made here.

    Attributes:
        image_shape: the shape of one image, without the batch.
        output_range: what G's final Tanh (-1, 1) or Sigmoid (0, 1) can reach; None where it ends in neither.
        pixel_range: as given; None where neither it nor G's range is known.
        category_names: the names of categories by code, as `set_category_names` was given them.
        ema_generator: the averaged generator, where there is one.
        q: the module that is Q; None where it is inside the discriminator.

    Raises:
        TypeError: an argument of another type.
        ValueError: networks and latent that do not fit each other; the message says which shapes met.
    """

    ema_generator: AveragedModel | None
    q: nn.Module | None

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: LatentSpec,
        *,
        q_head: nn.Module | QHeadFactory | None = None,
        q_network: nn.Module | None = None,
        tap: str | Tap | None = None,
        generator_input: GeneratorInput | Literal["auto"] = "auto",
        discriminator_output: DiscriminatorOutput | Literal["auto"] = "auto",
        pixel_range: PixelRange | None = None,
        dry_run_batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_arguments(generator, discriminator, latent, q_head, q_network, tap)
        check_no_shared_parameters(generator, discriminator, q_head, q_network)
        seed = check_seed(seed)
        self.latent = latent
        self.generator = generator
        self.discriminator = discriminator
        self.ema_generator = None
        self.category_names: dict[str, CategoryNames] = {}
        self._hook: FeatureHook | None = None

        self.generator_adapter, self.discriminator_adapter, images, batch = infer_adapters(
            (generator, discriminator),
            latent,
            inputs=generator_input,
            outputs=discriminator_output,
            tap=Tap(tap) if isinstance(tap, str) else tap,
            needs_features=q_network is None,
            batch_size=dry_run_batch_size,
        )
        self.dry_run_batch_size, self.image_shape = len(batch), tuple(batch.shape[1:])
        self.output_range: PixelRange | None = OUTPUT_RANGES.get(final_activation(images))
        self.pixel_range = self.output_range if pixel_range is None else checked_range(pixel_range)
        self.q_kind: QKind = q_kind(q_head, q_network)
        q = q_network if q_head is None else q_head
        self.q, self._shared = attach_q(q, discriminator, self.discriminator_adapter, batch, latent, seed=seed)
        self._generator_convolves = has_convolutions(generator)
        self._discriminator_convolves = has_convolutions(discriminator, self.q)

    @property
    def display_range(self) -> PixelRange:
        """The range in which images are shown: `pixel_range`, or (-1, 1) where that is not known."""
        return self.pixel_range or UNKNOWN_RANGE

    def parameter_groups(self) -> dict[Part, list[nn.Parameter]]:
        """Trainable parameters of "generator", "trunk" (D as far as Q reads it), "d_head" (its rest), "q_head" (Q)."""
        return group_parameters(self.generator, self.discriminator, self.q, self._shared)

    def generate(self, latent: Tensor) -> Tensor:
        """Images G(z, c), shape (N, *image_shape), from latents (N, L), in the mode the generator is in."""
        return self.run_generator(self.generator, latent)

    def run_generator(self, generator: nn.Module, latent: Tensor) -> Tensor:
        """Images of a generator with the layers of this model's, such as its average; as `generate`."""
        with fast_cpu(latent, self._generator_convolves):
            return self.generator_adapter(generator, latent, self.latent).contiguous()

    @override
    def forward(self, latent: Tensor) -> Tensor:
        """The same as `generate`."""
        return self.generate(latent)

    def discriminate(self, images: Tensor, *, codes: bool = True) -> DiscriminatorResult:
        """D's logits and, unless `codes` is False, Q's raw outputs for images (N, *image_shape), in their mode."""
        with fast_cpu(images, self._discriminator_convolves):
            logits, q_input = self.discriminator_adapter(self.discriminator, images, self._hook)
            return DiscriminatorResult(logits.contiguous(), self._run_q(q_input) if codes else None)

    def forward_q(self, images: Tensor) -> Tensor:
        """Q's raw outputs (N, R) for images (N, *image_shape), in the mode that D and Q are in."""
        with fast_cpu(images, self._discriminator_convolves):
            if not self.discriminator_adapter.feeds_q:
                return self._run_q(images)
            return self._run_q(self.discriminator_adapter(self.discriminator, images, self._hook)[1])

    def _run_q(self, q_input: Any) -> Tensor:
        return flat_outputs(q_input if self.q is None else self.q(q_input), self.latent)

    @contextmanager
    def tapping(self) -> Iterator[None]:
        """Keep the tap's hook on D, instead of adding it in every forward pass, so that a step can be traced."""
        tap = self.discriminator_adapter.tap
        if tap is None or (self._hook is not None and self._hook.active):
            yield
            return
        with capture_features(self.discriminator, tap) as self._hook:
            try:
                yield
            finally:
                self._hook = None

    @override
    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy, on whose discriminator the hook of `tapping` does nothing."""
        return self.__dict__ | {"_hook": None}

    def set_category_names(self, code: str, names: Sequence[str | None] | Mapping[int, str | None]) -> None:
        """Name the categories of a code, for `sample` and `traverse`; saved with the model and with later checkpoints.

        Args:
            code: the name of a categorical code.
            names: one for each category, in order or as a dict by number, without duplicates; None for one without.

        Raises:
            KeyError, TypeError, ValueError: no such code, or names that do not fit its categories.
        """
        self.category_names[code] = check_category_names(self.latent, code, names)

    def name_categories(
        self, images: Tensor, labels: Tensor, *, code: str | None = None, names: LabelNames | None = None
    ) -> CategoryMatch:
        """Name the categories of a code after labels, under the one-to-one matching that most images agree with.

        Args:
            images: labeled images (N, *image_shape), as for `encode`.
            labels: their labels, integers from 0, shape (N,).
            code: the name of a categorical code; the only one if None.
            names: the labels' names, in order or as a dict by number; "0", "1", ... if None.

        Returns:
            The match: its table, accuracy, purity of each category, and the unmatched categories, which get no name.

        Raises:
            KeyError, TypeError: no code of that name, or one without categories.
            ValueError: images and labels of different numbers, or labels out of range.
            ImportError: scipy is not installed.
        """
        code = categorical_code(self.latent, code)
        names = None if names is None else check_names("names", names)
        categories = self.encode(images)[code].mode.argmax(1)
        category_names, match = names_from_labels(categories, labels, self.latent[code].width, names)
        self.set_category_names(code, category_names)
        return match

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model into a folder: all weights, the latent, the names of categories, and how the parts fit.

        Args:
            folder: made where there is none; a model in it is replaced in one piece.

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
    ) -> "InfoGAN":
        """Read a model that `save` wrote, here or in an older version, into networks of the same layers.

        Args:
            folder: where it was saved.
            generator: the network that gets G's weights, on the device it is on.
            discriminator: likewise for D.
            q_head: likewise, where the model was made with one.
            q_network: likewise, where the model was made with one.

        Raises:
            CheckpointError: damage, or networks of other layers; the networks are then as they were.
        """
        return load_model(
            cls, folder, generator=generator, discriminator=discriminator, q_head=q_head, q_network=q_network
        )

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
            n: how many, at least 1.
            seed: fixes all that is not given, on every device; the first images are the same for every n.
            rng: a CPU generator to draw from instead; torch's global one if neither is given.
            codes: values by name, such as ``{"digit": 7}``; needed for names such as "seed" and "steps".
            **named: values by name: ``digit=7``, ``style=[-1.0, 0.5]``, one row per image, or ``digit="seven"`` where
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
            code: its name; a categorical code runs through its k categories.
            dim: the dimension of a continuous one that moves.
            steps: the number of steps; 10 if None.
            n: the number of starting points.
            low: where the traversal begins; the prior's own range if None.
            high: where it ends, likewise.
            seed: as in `sample`, for all that stays fixed.
            rng: as in `sample`.
            codes: as in `sample`.
            **named: as in `sample`.

        Returns:
            Shape (n * steps, *image_shape), the traversal of the first starting point first.
        """
        if self.latent[code] is not None and (code in named or code in check_mapping("codes", codes or {})):
            raise ValueError(f"{code!r} is what moves, so it cannot be set as well; leave {code}= out")
        base = sampling.draw_latents(self, n, seed, rng, codes, named)
        return self.decode(self.latent.traverse(code, dim=dim, steps=steps, base=base, low=low, high=high))

    def decode(self, latent: Tensor, *, batch_size: int = 512) -> Tensor:
        """Images for latents in eval mode, from the averaged generator where there is one.

        Args:
            latent: shape (N, L), which gives images (N, *image_shape).
            batch_size: how many images to make at a time.
        """
        return sampling.decode(self, latent, batch_size)

    def encode(self, images: Tensor, *, batch_size: int = 512) -> dict[str, Distribution]:
        """The posterior Q(c|x) of every code for images, in eval mode.

        Args:
            images: shape (N, *image_shape); floats in the range the model was trained on, or uint8 where `pixel_range`
                is known.
            batch_size: how many images to read at a time.

        Returns:
            A torch `Distribution` per code, of batch shape (N,), on the model's device: one-hot for a categorical code
            (see its `probs`), normal for a continuous one, `PointEstimate` for one with `MSE`.

        Raises:
            TypeError: images that are neither floats nor uint8.
            ValueError: images of another shape, none at all, or with values that are not finite.
        """
        return self.latent.posteriors(self.q_outputs(images, batch_size=batch_size))

    def q_outputs(self, images: Tensor, *, batch_size: int = 512) -> Tensor:
        """Q's raw outputs (N, R) for images, in eval mode; arguments and errors are those of `encode`."""
        return sampling.q_outputs(self, images, batch_size)
