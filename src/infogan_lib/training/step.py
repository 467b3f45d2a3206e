r"""One training step of an InfoGAN: a discriminator update, then generator and Q updates.

.. math::
    \theta_D &\leftarrow \theta_D - \eta_D \nabla \big( E[\mathrm{real}(D(x))] + E[\mathrm{fake}(D(G(z,c)))]
        + [\text{trunk}]\; L_I \big) \\
    \theta_G, \theta_Q &\leftarrow \theta_G, \theta_Q - \eta \nabla \big( E[\mathrm{generator}(D(G(z,c)))] + L_I \big)

with the information loss :math:`L_I = \sum_i \lambda_i E[-\log Q(c_i \mid G(z,c))]` (Chen et al., *InfoGAN*, NeurIPS
2016, equation 6). Which parameters L_I trains differs between published systems and is said explicitly: the generator,
what serves Q alone (q_head), and D's trunk, whose share is taken in the discriminator's update. Gradients are
computed for the parameters about to be updated and for no others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infogan_lib.data.rng import global_generator
from infogan_lib.losses.adversarial import AdversarialLoss
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.regularizers.base import GeneratorRegularizer, RealImageRegularizer, Regularizer
from infogan_lib.training.figures import information_figures, magnitude, numbers, watched
from infogan_lib.training.judging import Judging
from infogan_lib.training.nonfinite import NonFiniteLossError
from infogan_lib.training.optimizers import Trained
from infogan_lib.training.precision import Precision
from infogan_lib.training.regularization import Regularization, named, weighted
from infogan_lib.training.undo import Undo


class InfoGANStep:
    """The step on its own, for those who own their loop and their data.

    Args:
        model: the InfoGAN.
        d_optimizers: what updates D.
        g_optimizers: what updates G and Q.
        adversarial: the GAN's game.
        information_trains: what L_I trains, of "generator", "q_head" and "trunk".
        precision: of the forward passes.
        joint_batches: whether D and Q see real and generated images in one batch.
        accumulate: into how many parts a batch is split, their gradients adding up to the batch's.
        regularizers: further terms of D's step, about real images, which train the trunk and the Q head; or of G's.
        augmentation: what the regularisers' views of real images are drawn from; torch's global generator of the
            device if None.
        regularization: what G's regularisers draw from, likewise.
    """

    def __init__(
        self,
        model: InfoGAN,
        d_optimizers: list[Optimizer],
        g_optimizers: list[Optimizer],
        *,
        adversarial: AdversarialLoss,
        information_trains: frozenset[Trained],
        precision: Precision,
        joint_batches: bool = False,
        accumulate: int = 1,
        regularizers: Sequence[Regularizer] = (),
        augmentation: torch.Generator | None = None,
        regularization: torch.Generator | None = None,
    ) -> None:
        self.model = model
        self.adversarial = adversarial
        self.accumulate = accumulate
        self.count = 0
        self._trains = information_trains
        self._precision = precision
        self.judging = Judging(model, precision, joint=joint_batches)
        self._d_optimizers, self._g_optimizers = d_optimizers, g_optimizers
        groups = model.parameter_groups()
        self._d_parameters = groups["trunk"] + groups["d_head"]
        self._q_parameters = groups["q_head"] if "q_head" in information_trains else []
        self._g_parameters = groups["generator"] + self._q_parameters
        codes = model.latent.codes.values()
        device = next(model.parameters()).device
        self._weights = torch.tensor([code.weight for code in codes], device=device)
        self._regularization = Regularization(
            regularizers,
            model,
            precision,
            self.judging,
            views=augmentation or global_generator(device),
            noise=regularization or global_generator(device),
        )
        self._undo = Undo()

    def __call__(self, real: Tensor, draw: Callable[[int], Tensor], *, generator_updates: int = 1) -> dict[str, float]:
        """Update D once, then G and Q `generator_updates` times.

        Args:
            real: real images (N, *image_shape), on the model's device.
            draw: gives n latents (n, L) on the model's device.
            generator_updates: how often G and Q are updated; 0 leaves them as they are.

        Returns:
            The step's figures by name; see `InfoGANTrainer.step`.

        Raises:
            NonFiniteLossError: the loss or gradient would have spoiled an update; weights, buffers and optimisers are
                as they were before the step.
        """
        _clear(self._d_parameters + self._g_parameters)  # of whatever came before: another loop, a step cut off
        parameters, optimizers = self._d_parameters, self._d_optimizers
        if generator_updates > 1:
            averaged = self.model.averaged_generator
            parameters = parameters + self._g_parameters + ([] if averaged is None else list(averaged.parameters()))
            optimizers = optimizers + self._g_optimizers
        self._undo.remember(self.model, parameters, optimizers)
        self._is_final = False
        try:
            figures = self._updates(real, draw, generator_updates)
        except BaseException:
            if not self._is_final:  # else G's update has begun, and D's belongs to it
                self._undo()
            _clear(self._d_parameters + self._g_parameters)
            self._precision.reset()
            raise
        self.count += 1
        return dict(zip(figures, numbers(figures.values()), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The count of steps, and the state of the loss scale where there is one."""
        return {"count": self.count, "scaler": self._precision.scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.count = int(state["count"])
        if bool(state["scaler"]) != self._precision.scaler.is_enabled():
            raise ValueError("its precision is another one")
        if state["scaler"]:
            self._precision.scaler.load_state_dict(state["scaler"])

    def _updates(self, real: Tensor, draw: Callable[[int], Tensor], generator_updates: int) -> dict[str, Tensor]:
        # Before any forward pass, as BatchNorm takes in whatever is not finite elsewhere.
        weights = magnitude(self.model)
        latent = draw(len(real))
        # The fakes that D has just judged are the ones that G is judged by, so their graph is kept for it.
        keeps_graph = generator_updates > 0 and self.accumulate == 1
        figures, fake = self._update_discriminator(real, latent, keeps_graph, weights)
        for update in range(generator_updates):
            if update > 0:
                latent, fake = draw(len(real)), None
            figures |= self._update_generator(real, latent, fake, is_last=update == generator_updates - 1)
        if generator_updates == 0:
            _clear(self._q_parameters)
            self._precision.adapt()
        return figures

    def _update_discriminator(
        self, real: Tensor, latent: Tensor, keeps_graph: bool, weights: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        parts, fake = [], None
        regularizers = self._regularization.due(RealImageRegularizer, self.count)
        for x, c, share in self._parts(real, latent):
            with self._precision.forward(), torch.set_grad_enabled(keeps_graph):
                fake = self.model.generate(c)
            parts.append(self._teach_discriminator(x, fake.detach(), c, share, regularizers))
        real_loss, fake_loss = _sum([part.real for part in parts]), _sum([part.fake for part in parts])
        terms = {_WEIGHTS: weights}
        if self.judging.joint:  # what is not finite in one kind is in the other as well, through BatchNorm
            terms["discriminator's loss"] = real_loss + fake_loss
        else:
            terms |= {"discriminator's loss on real images": real_loss, "discriminator's loss on fakes": fake_loss}
        # What G is about to pay is looked at here, too, so that a bad term stops the step before any weight changes.
        terms[_GENERATORS_TERM] = _sum([part.foreseen for part in parts])
        information = [part.information for part in parts if part.information is not None]
        if information:
            terms |= self._named_terms(_sum(information))
        regularized = [part.regularized for part in parts if part.regularized is not None]
        terms |= named("regulariser {!r}", regularizers, regularized)
        norm = self._checked_norm(terms, self._d_parameters, "discriminator")
        self._precision.step(self._d_optimizers)
        _clear(self._d_parameters)
        d_real, d_fake = _sum([part.opinions for part in parts])
        figures = {"loss/d": real_loss + fake_loss, "d_real": d_real, "d_fake_before": d_fake, "grad_norm/d": norm}
        figures |= named("regularizer/{}", regularizers, regularized)
        return figures, fake if keeps_graph else None

    def _teach_discriminator(
        self, real: Tensor, fake: Tensor, latent: Tensor, share: float, regularizers: Sequence[RealImageRegularizer]
    ) -> "_Taught":
        """Add D's gradient on a part of the batch, and what regularisers give the Q head."""
        trains_trunk, on_fake = "trunk" in self._trains, None
        if self.judging.joint:
            on_real, on_fake = self.judging.together(real, fake, codes=bool(regularizers) or trains_trunk)
        else:
            on_real = self.judging(real, fake, codes=bool(regularizers))
        real_logits = _full(on_real.logits)
        real_term = share * self.adversarial.real(real_logits).mean()
        loss, regularized, information = real_term, None, None
        # What regularisers give the Q head waits there for the update of G and Q.
        if on_real.raw is not None and regularizers:
            regularized = share * self._regularization.of_real(regularizers, real, on_real.raw, fake)
            term = weighted(regularizers, regularized)
            loss = loss + term
            if self.judging.joint and term.requires_grad:  # by itself, as the information loss is in the same graph
                self._precision.backward(term, self._q_parameters, keeps_graph=True)
        if on_fake is None:
            trained = self._d_parameters if regularized is None else self._d_parameters + self._q_parameters
            self._precision.backward(loss, trained)
            on_fake, loss = self.judging(fake, real, codes=trains_trunk), 0.0
        fake_logits = _full(on_fake.logits)
        fake_term = share * self.adversarial.fake(fake_logits).mean()
        loss = loss + fake_term
        if on_fake.raw is not None and trains_trunk:
            information = share * self._scored(on_fake.raw, latent)
            loss = loss + self._weighted(information)
        self._precision.backward(loss, self._d_parameters)
        return _Taught(
            real=real_term.detach(),
            fake=fake_term.detach(),
            foreseen=share * self.adversarial.generator(fake_logits.detach()).mean(),
            opinions=share * torch.stack([_mean_opinion(self.adversarial, of) for of in (real_logits, fake_logits)]),
            information=None if information is None else information.detach(),
            regularized=None if regularized is None else regularized.detach(),
        )

    def _update_generator(
        self, real: Tensor, latent: Tensor, fake: Tensor | None, *, is_last: bool
    ) -> dict[str, Tensor]:
        adversarial, information, opinions, regularized = [], [], [], []
        regularizers = self._regularization.due(GeneratorRegularizer, self.count)
        for x, c, share in self._parts(real, latent):
            with self._precision.forward():
                images = self.model.generate(c) if fake is None else fake
            logits, raw = self.judging(images, x, codes="generator" in self._trains)
            if raw is None:
                raw = self.judging.raw_codes(images.detach(), x)
            logits = _full(logits)
            adversarial.append(share * self.adversarial.generator(logits).mean())
            information.append(share * self._scored(raw, c))
            loss = adversarial[-1] + self._weighted(information[-1])
            if regularizers:
                regularized.append(share * self._regularization.of_generator(regularizers, c, images))
                loss = loss + weighted(regularizers, regularized[-1])
            self._precision.backward(loss, self._g_parameters)
            opinions.append(share * _mean_opinion(self.adversarial, logits))
        nll = _sum(information)
        terms = {_GENERATORS_TERM: _sum(adversarial)} | self._named_terms(nll)
        terms |= named("regulariser {!r}", regularizers, regularized)
        norm = self._checked_norm(terms, self._g_parameters, "generator")
        self._is_final = is_last
        self._precision.step(self._g_optimizers)
        self._precision.adapt()
        _clear(self._g_parameters)
        if self.model.averaged_generator is not None:
            self.model.averaged_generator.update_parameters(self.model.generator)
        return {
            "loss/g": _sum(adversarial),
            "loss/information": self._weighted(nll),
            **information_figures(self.model.latent, nll),
            "d_fake_after": _sum(opinions),
            "grad_norm/g": norm,
            **named("regularizer/{}", regularizers, regularized),
        }

    def _scored(self, raw: Tensor, latent: Tensor) -> Tensor:
        """The mean information loss of every code, shape (codes,)."""
        try:
            return self.model.latent.nll(raw, latent).mean(0)
        except ValueError as error:  # a torch Distribution refuses NaN in words of its own
            if raw.isfinite().all():
                raise
            raise NonFiniteLossError("raw output of Q", self.count, float("nan")) from error

    def _parts(self, *batches: Tensor) -> Iterable[tuple]:
        """Parts of a batch that differ by one sample at most, each with its share of the whole."""
        whole = len(batches[0])
        for part in zip(*(batch.tensor_split(self.accumulate) for batch in batches), strict=True):
            yield *part, len(part[0]) / whole

    def _weighted(self, information: Tensor) -> Tensor:
        return (information * self._weights.to(information.dtype)).sum()

    def _named_terms(self, information: Tensor) -> dict[str, Tensor]:
        names = [f"information loss of {name!r}" for name in self.model.latent.codes]
        return dict(zip(names, information, strict=True))

    def _checked_norm(self, terms: dict[str, Tensor], parameters: list[nn.Parameter], whose: str) -> Tensor:
        """The gradient's norm, if it and all loss terms are finite; else stop before the update."""
        scale = self._precision.scaler.get_scale()
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients) / scale if gradients else torch.zeros_like(next(iter(terms.values())))
        values = numbers([*terms.values(), norm])
        if all(map(_is_finite, values)):
            return norm
        *losses, gradient = values
        for term, value in zip(terms, losses, strict=True):
            if not _is_finite(value):
                if term is _WEIGHTS:
                    name = self._named_weight()
                    if name is None:
                        continue
                    term = name
                raise NonFiniteLossError(term, self.count, value)
        # In float16 a gradient may overflow by its scale alone; that is met by a smaller scale and not by stopping.
        if not _is_finite(gradient) and (self._precision.name != "fp16" or scale <= 1):
            raise NonFiniteLossError(f"gradient of the {whose}", self.count, gradient)
        return norm

    def _named_weight(self) -> str | None:
        """The first weight or running statistic that was not finite when the step began."""
        if all(tensor.isfinite().all() for _, tensor in watched(self.model)):
            return None  # they are very large, so that their norm alone is not finite
        self._undo()
        return next((f"weight {name!r}" for name, t in watched(self.model) if not t.isfinite().all()), None)


class _Taught(NamedTuple):
    """What D's update saw of a part of the batch, times the part's share and without a graph."""

    real: Tensor
    fake: Tensor
    foreseen: Tensor
    opinions: Tensor
    information: Tensor | None
    regularized: Tensor | None


_GENERATORS_TERM = "generator's adversarial loss"

_WEIGHTS = "weights"


def _mean_opinion(adversarial: AdversarialLoss, logits: Tensor) -> Tensor:
    return adversarial.opinion(logits.detach()).mean()


def _full(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack([term.detach() for term in terms]).sum(0)


def _is_finite(value: float) -> bool:
    return value - value == 0


def _clear(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
