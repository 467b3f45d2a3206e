r"""The InfoGAN: a generator, a discriminator, Q and the latent they share.

.. math::
    x = G(z, c), \qquad D(x) = \mathrm{head}(\mathrm{trunk}(x)), \qquad Q(c \mid x) = q(\mathrm{trunk}(x))

G and D are the user's and stay as they are; Q is attached to D's own features (Chen et al., *InfoGAN*, NeurIPS 2016,
section 6: "we parametrize Q as a neural network ... Q and D share all convolutional layers"), or is the user's.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from infogan_lib._checks import check_int
from infogan_lib.checkpoints.compare import check_tensors
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.data.pixels import UNKNOWN_RANGE, PixelRange, as_float, check_real_images
from infogan_lib.latent.category_names import categorical_code, check_category_names
from infogan_lib.latent.code_arguments import code_values
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.clustering import CategoryMatch, match_categories
from infogan_lib.model.adapters import (
    DiscriminatorOutput,
    GeneratorInput,
    flat_outputs,
    infer_discriminator_adapter,
    infer_generator_adapter,
    output_parts,
)
from infogan_lib.model.ema import averaged, decay_of
from infogan_lib.model.introspection import dry_run, eval_mode, final_activation, placement, reached
from infogan_lib.model.q_head import QHead
from infogan_lib.model.saving import ModelPlan, QKind, read_model, write_model
from infogan_lib.model.tap import Tap
from infogan_lib.model.validation import check_modules, check_parts, check_q_outputs, check_separate

Part = Literal["generator", "trunk", "d_head", "q_head"]


class DiscriminatorResult(NamedTuple):
    """What D and Q say of images: D's logits (N, *), and Q's raw outputs (N, R) where asked for."""

    logits: Tensor
    raw: Tensor | None


class InfoGAN(nn.Module):
    """G, D and Q as one module. None of the user's modules is edited, copied or hooked for longer than a forward.

    Args:
        generator: any module that makes images (N, *) from the latent: flat (N, L), as a map (N, L, 1, 1), or with
            one argument per variable of the spec. Which one is found by one dry forward.
        discriminator: any module that gives one validity per image, or a map of them, as logits or after a Sigmoid;
            or a tuple (validity, codes, ...), which then holds Q itself.
        latent: the noise and codes of the generator's input.
        q_head: your own head, from the features at the tap to `latent.num_outputs` raw outputs, as one tensor or
            several in the codes' order. None for `QHead`.
        q_network: your own Q on images, sharing nothing with D. Excludes `q_head` and `tap`.
        tap: the layer of D whose output Q reads, by name or as a `Tap`. None for the input of D's last layer
            with parameters.
        generator_input: "flat", "1d", "2d", "3d" or "parts" to say it instead of finding out.
        discriminator_output: "logits" or "probabilities", likewise.
        seed: of the default Q head's initial weights.

    Attributes:
        image_shape: the shape of one image, without the batch.
        output_range: what G\'s final Tanh (-1, 1) or Sigmoid (0, 1) can reach; None where it ends in neither.
        pixel_range: what uint8 images are mapped onto; `output_range` unless set.
        category_names: of codes whose categories were named by `set_category_names`.

    Raises:
        TypeError: an argument of another type.
        ValueError: networks and latent that do not fit each other; the message says which shapes met.
    """

    ema_generator: AveragedModel | None

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: LatentSpec,
        *,
        q_head: nn.Module | None = None,
        q_network: nn.Module | None = None,
        tap: str | Tap | None = None,
        generator_input: GeneratorInput | Literal["auto"] = "auto",
        discriminator_output: DiscriminatorOutput | Literal["auto"] = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_parts(generator, discriminator, latent, q_head, q_network, tap)
        check_separate(generator, discriminator, q_head, q_network)
        check_int("seed", seed, minimum=0)
        self.latent = latent
        self.generator = generator
        self.discriminator = discriminator
        self.ema_generator = None
        self.category_names: dict[str, tuple[str | None, ...]] = {}

        self._generator_adapter, images = infer_generator_adapter(generator, latent, input=generator_input)
        self.image_shape = tuple(images.shape[1:])
        self.output_range: PixelRange | None = _OUTPUT_RANGES.get(final_activation(images))
        self.pixel_range = self.output_range
        images = images.detach().to(*placement(discriminator))
        self._discriminator_adapter = infer_discriminator_adapter(
            discriminator,
            images,
            tap=Tap(tap) if isinstance(tap, str) else tap,
            needs_features=q_network is None,
            output=discriminator_output,
        )
        if self._discriminator_adapter.returns_codes and (q_head is not None or q_network is not None):
            raise ValueError(
                "this discriminator returns codes itself, so it takes no q_head or q_network; leave that out, "
                "or let the discriminator return the validity alone"
            )
        self.q = self._build_q(images, q_head, q_network, seed)
        self._q_reads_images = q_network is not None
        self._q_kind: QKind = "network" if q_network is not None else "head" if q_head is not None else "default"
        self._parts = self._find_parts(images)

    def _build_q(
        self, images: Tensor, q_head: nn.Module | None, q_network: nn.Module | None, seed: int
    ) -> nn.Module | None:
        if self._discriminator_adapter.returns_codes or q_head is not None or q_network is not None:
            return q_head if q_head is not None else q_network
        with dry_run(self.discriminator):
            _, features = self._discriminator_adapter(self.discriminator, images)
            torch.default_generator.manual_seed(seed)  # inside dry_run, which puts its state back
            return QHead(features.shape[1:], self.latent.num_outputs).to(features)

    def _find_parts(self, images: Tensor) -> dict[str, frozenset[str]]:
        """Names of D's parameters by what they serve, from which outputs their graph reaches."""
        modules = [self.discriminator] + ([self.q] if self.q is not None else [])
        with dry_run(*modules):
            logits, read = self._discriminator_adapter(self.discriminator, images)
            parts = output_parts(self._q_outputs(images, read), self.latent)
            raw = flat_outputs(parts, self.latent)
        check_q_outputs(parts, raw, len(images), self.latent)
        # Scored once here, so that a code of the user's own that cannot be scored says so before training.
        self.latent.nll(raw, self.latent.sample(len(raw), rng=torch.Generator().manual_seed(0)).to(raw))
        names = {id(parameter): name for name, parameter in self.discriminator.named_parameters()}
        judges = {names[i] for i in reached(logits) if i in names}
        feeds_q = set() if self._q_reads_images else {names[i] for i in reached(raw) if i in names}
        return {"trunk": frozenset(feeds_q & judges), "q_head": frozenset(feeds_q - judges)}

    @property
    def display_range(self) -> PixelRange:
        """The range in which images are shown: `pixel_range`, or (-1, 1) where that is not known."""
        return self.pixel_range or UNKNOWN_RANGE

    def parameter_groups(self) -> dict[Part, list[nn.Parameter]]:
        """All trainable parameters by what they serve.

        "generator"; "trunk", the part of D that Q reads through; "d_head", the rest of D; "q_head", what serves Q
        alone, be it a head, a separate network, or D's own code layers.
        """
        trainable = [(name, p) for name, p in self.discriminator.named_parameters() if p.requires_grad]
        own_q = [] if self.q is None else [p for p in self.q.parameters() if p.requires_grad]
        return {
            "generator": [p for p in self.generator.parameters() if p.requires_grad],
            "trunk": [p for name, p in trainable if name in self._parts["trunk"]],
            "d_head": [p for name, p in trainable if not any(name in part for part in self._parts.values())],
            "q_head": own_q + [p for name, p in trainable if name in self._parts["q_head"]],
        }

    def generate(self, latent: Tensor) -> Tensor:
        """Images G(z, c), shape (N, *image_shape), from latents (N, L), in the mode the generator is in."""
        return self._generator_adapter(self.generator, latent, self.latent)

    @override
    def forward(self, latent: Tensor) -> Tensor:
        """As `generate`."""
        return self.generate(latent)

    def discriminate(self, images: Tensor, *, codes: bool = True) -> DiscriminatorResult:
        """D's logits and, unless `codes` is False, Q's raw outputs for images (N, *image_shape)."""
        logits, read = self._discriminator_adapter(self.discriminator, images)
        return DiscriminatorResult(logits, flat_outputs(self._q_outputs(images, read), self.latent) if codes else None)

    def _q_outputs(self, images: Tensor, read: Any) -> Any:
        if self.q is None:
            return read
        return self.q(images if self._q_reads_images else read)

    def forward_q(self, images: Tensor) -> Tensor:
        """Q's raw outputs (N, R) for images (N, *image_shape)."""
        if self._q_reads_images:
            return flat_outputs(self._q_outputs(images, None), self.latent)
        raw = self.discriminate(images).raw
        assert raw is not None
        return raw

    def set_category_names(self, code: str, names: Sequence[str | None]) -> None:
        """Name the categories of a code, for `sample` and `traverse`; saved with the model and with later checkpoints.

        Args:
            code: the name of a categorical code.
            names: one for each category, in order; None for a category without a name.

        Raises:
            KeyError: no code of that name.
            TypeError: a code without categories, or names that are no strings.
            ValueError: too few or too many names, or one that is given twice.
        """
        self.category_names[code] = check_category_names(self.latent, code, names)

    def name_categories(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        code: str | None = None,
        names: Sequence[str] | None = None,
    ) -> CategoryMatch:
        """Name the categories of a code after labels: the one-to-one matching under which most images agree.

        Args:
            images: labelled images (N, *image_shape), as for `encode`.
            labels: their labels, whole numbers from 0, shape (N,).
            code: the name of a categorical code; the only one if None.
            names: the labels' names; "0", "1", ... if None.

        Returns:
            The match: its table, accuracy, purity of each category, and what is left unmatched, which has no name.

        Raises:
            KeyError, TypeError: no such code, or one without categories.
            ValueError: images and labels of different numbers, or labels out of range.
            ImportError: scipy is not installed.
        """
        code = categorical_code(self.latent, code)
        known = None if names is None else len(names)
        found = self.encode(images)[code].mode.argmax(1).cpu().numpy()
        count = self.latent[code].width
        match = match_categories(found, torch.as_tensor(labels).cpu().numpy(), category_count=count, label_count=known)
        label_names = [str(label) for label in range(match.contingency.shape[1])] if names is None else list(names)
        unmatched = match.unmatched_categories
        named = [None if c in unmatched else label_names[label] for c, label in enumerate(match.label_per_category)]
        self.set_category_names(code, named)
        return match

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model into a folder: all weights, the latent, the names of categories, and how the parts fit.

        Args:
            folder: made where there is none; a model in it is replaced in one piece.

        Raises:
            CheckpointError: a fault of the disk; what was saved before is still there.
            TypeError: a latent with a code that cannot be written as JSON.
        """
        form = self._discriminator_adapter
        plan = ModelPlan(
            latent=self.latent,
            image_shape=self.image_shape,
            category_names=self.category_names,
            pixel_range=self.pixel_range,
            generator_input=self._generator_adapter.input,
            discriminator_output=form.output,
            tap=None if self._q_kind == "network" else form.tap,
            q=self._q_kind,
            ema_decay=decay_of(self.ema_generator),
        )
        write_model(Path(folder), plan, self.state_dict())

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        q_head: nn.Module | None = None,
        q_network: nn.Module | None = None,
    ) -> "InfoGAN":
        """The model that `save` wrote, in networks built as they were then.

        Args:
            folder: where it was saved.
            generator, discriminator: networks of the same layers; they take over the saved weights, on the device they
                are on.
            q_head, q_network: likewise, where the model was made with one.

        Raises:
            CheckpointError: damage, or networks of other layers; the message names the first tensor that differs, and
                the networks are as they were.
        """
        check_modules(generator, discriminator, q_head, q_network)
        plan, tensors = read_model(Path(folder), generator, discriminator, q_head, q_network)
        try:
            model = cls(
                generator,
                discriminator,
                plan.latent,
                q_head=q_head,
                q_network=q_network,
                tap=plan.tap,
                generator_input=plan.generator_input,
                discriminator_output=plan.discriminator_output,
            )
            for code, names in plan.category_names.items():
                model.set_category_names(code, names)
            if plan.ema_decay is not None:
                model.ema_generator = averaged(generator, plan.ema_decay)
        except (TypeError, ValueError, KeyError) as error:
            raise CheckpointError(folder, f"what it holds does not fit these networks: {error}") from error
        model.pixel_range = plan.pixel_range
        model.to(*placement(generator))
        check_tensors(Path(folder), "network", tensors, model.state_dict())
        model.load_state_dict(tensors)
        return model

    @torch.no_grad()
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
            seed: fixes all that is not given, the same on every device.
            rng: a CPU generator to draw from instead; torch's global one if neither is given.
            codes: values by name: ``codes={"digit": 7}``. Needed for names that are no Python identifiers, or are
                arguments of `sample` or `traverse` ("seed", "steps", ...).
            **named: values by name: ``digit=7``, ``style=[-1.0, 0.5]``, or one row per image; ``digit="seven"`` where
                the categories have names.

        Returns:
            Shape (n, *image_shape), in the generator's own pixel range.

        Raises:
            KeyError: no code of that name; the message lists the names.
            ValueError, TypeError: a category out of range, or a value of another shape.
        """
        values = code_values(self.latent, self.category_names, codes, named)
        latent = self.latent.sample(n, rng=_cpu_generator(seed, rng), device="cpu")
        return self.decode(self.latent.replace_values(latent, values))

    @torch.no_grad()
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
            steps: how many steps, 10 if None.
            n: how many starting points.
            low, high: the ends of the sweep; the prior's own if None.
            seed, rng, codes, **named: as in `sample`, for all that stays fixed.

        Returns:
            Shape (n * steps, *image_shape), the sweep of the first starting point first.
        """
        values = code_values(self.latent, self.category_names, codes, named)
        if code in values:
            raise ValueError(f"{code!r} is what moves, so it cannot be set as well; leave {code}= out")
        base = self.latent.sample(n, rng=_cpu_generator(seed, rng), device="cpu")
        base = self.latent.replace_values(base, values)
        return self.decode(self.latent.traverse(code, dim=dim, steps=steps, base=base, low=low, high=high))

    @torch.no_grad()
    def decode(self, latent: Tensor, *, batch_size: int = 512) -> Tensor:
        """Images for given latents (N, L), in eval mode, from the averaged generator where there is one."""
        source = self.generator if self.ema_generator is None else self.ema_generator.module
        device, dtype = placement(source)
        with eval_mode(source):
            chunks = latent.to(device, dtype).split(batch_size)
            return torch.cat([self._generator_adapter(source, chunk, self.latent) for chunk in chunks])

    def encode(self, images: Tensor, *, batch_size: int = 512) -> dict[str, Distribution]:
        """The posterior Q(c|x) of every code for images, in eval mode.

        Args:
            images: shape (N, *image_shape); floats in the range the model was trained on, or uint8 where
                `pixel_range` is known.
            batch_size: how many to look at in one go.

        Returns:
            A torch `Distribution` per code name, with batch shape (N,): one-hot for a categorical code (see its
            `probs`), normal for a continuous one, `PointEstimate` for one with `MSE`. They lie on the model's device.

        Raises:
            TypeError: images that are neither floats nor uint8.
            ValueError: images of another shape, none at all, or with values that are not finite.
        """
        return self.latent.posteriors(self.q_outputs(images, batch_size=batch_size))

    @torch.no_grad()
    def q_outputs(self, images: Tensor, *, batch_size: int = 512) -> Tensor:
        """Q's raw outputs (N, R) for images, in eval mode; arguments and errors as of `encode`."""
        check_real_images(images, self.image_shape, self.pixel_range)
        device, dtype = placement(self.discriminator)
        modules = [self.discriminator] + ([self.q] if self.q is not None else [])
        raws = []
        with eval_mode(*modules):
            for batch in images.split(batch_size):
                batch = as_float(batch.to(device), self.pixel_range or (0.0, 1.0), dtype)
                if not batch.isfinite().all():
                    raise ValueError("images must be finite, but some values are NaN or infinite")
                raws.append(self.forward_q(batch))
        return torch.cat(raws)


_OUTPUT_RANGES: dict[str | None, PixelRange] = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}


def _cpu_generator(seed: int | None, rng: torch.Generator | None) -> torch.Generator | None:
    if seed is None:
        return rng
    if rng is not None:
        raise ValueError("give either seed or rng, not both")
    return torch.Generator().manual_seed(check_int("seed", seed, minimum=0))
