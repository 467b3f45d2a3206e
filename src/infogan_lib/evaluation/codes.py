r"""What Q knows of the codes, on fresh samples of a trained model, and whether it is as sure as it should be.

The bound of one code, from N images x_i = G(z_i, c_i) that no update has seen, is a mean, so it has a standard error:

.. math::
    \hat{I} = H(c) + \frac{1}{N} \sum_i \log Q(c_i \mid x_i), \qquad
    \mathrm{se} = \operatorname{sd}(\log Q(c_i \mid x_i)) / \sqrt{N}

(Chen et al., *InfoGAN*, NeurIPS 2016, equation 5). Q is calibrated where its confidence is the share of cases in which
it is right (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, section 2); for a continuous code, where
the code's quantiles under Q are uniform (Gneiting et al., *Probabilistic forecasts, calibration and sharpness*, 2007).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, OneHotCategorical

from infogan_lib._checks import check_int
from infogan_lib.metrics.calibration import Coverage, Reliability, coverage, reliability
from infogan_lib.model.infogan import InfoGAN


@dataclass(frozen=True)
class CodeInformation:
    """What Q knows of one code.

    Attributes:
        loss: the mean information loss: -log Q(c|x) in nats, or the squared error of a code with `MSE`.
        standard_error: of `loss`, and of `bound`.
        bound: the lower bound on I(c; x), in nats; None where the loss is no likelihood.
        fraction: the bound as a share of H(c); None without a bound, and where H(c) is not positive. A continuous
            code's H(c) is differential, so its share may pass 1.
    """

    loss: float
    standard_error: float
    bound: float | None
    fraction: float | None


def code_information(model: InfoGAN, *, n: int = 2000, seed: int = 0) -> dict[str, CodeInformation]:
    """What Q knows of every code, on n fresh samples.

    Args:
        model: whose codes are looked at, in eval mode.
        n: how many samples, at least 2.
        seed: of the latents.

    Returns:
        By code name, in order.
    """
    latents, raw = _fresh(model, check_int("n", n, minimum=2), seed)
    losses = model.latent.nll(raw, latents).double()
    found = {}
    for (name, code), of_code in zip(model.latent.codes.items(), losses.T, strict=True):
        loss, error = of_code.mean().item(), (of_code.std() / math.sqrt(len(of_code))).item()
        bound = code.entropy - loss if code.is_likelihood else None
        fraction = bound / code.entropy if bound is not None and code.entropy > 0 else None
        found[name] = CodeInformation(loss, error, bound, fraction)
    return found


def calibration(model: InfoGAN, *, n: int = 2000, seed: int = 0, bins: int = 10) -> dict[str, Reliability | Coverage]:
    """Whether Q is as sure of the codes as it should be, on n fresh samples.

    Args:
        model: whose Q is looked at, in eval mode.
        n: how many samples.
        seed: of the latents.
        bins: of confidence, or levels of coverage.

    Returns:
        By code name: a `Reliability` for a categorical code, and for the bits of a Bernoulli code taken together; a
        `Coverage` for a code with a normal posterior. Codes with another posterior, or a point estimate, are left out.
    """
    latents, raw = _fresh(model, check_int("n", n, minimum=1), seed)
    found: dict[str, Reliability | Coverage] = {}
    for name, posterior in model.latent.posteriors(raw).items():
        true = latents[:, model.latent.slices[name]]
        if isinstance(posterior, OneHotCategorical):
            sure, answer = posterior.probs.max(1)
            found[name] = reliability(sure.numpy(), (answer == true.argmax(1)).numpy(), bins=bins)
        elif posterior.event_shape != true.shape[1:]:
            continue  # a code of one's own, whose posterior is over something else than its columns
        elif isinstance(posterior, Independent) and isinstance(posterior.base_dist, Normal):
            found[name] = coverage(posterior.base_dist.cdf(true).clamp(0, 1).numpy(), levels=bins)
        elif isinstance(posterior, Independent) and isinstance(posterior.base_dist, Bernoulli):
            probability = posterior.mean.flatten()
            right = (probability > 0.5) == (true.flatten() > 0.5)
            found[name] = reliability(torch.maximum(probability, 1 - probability).numpy(), right.numpy(), bins=bins)
    return found


def _fresh(model: InfoGAN, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """n latents, and Q's raw outputs on their images, on the CPU in float32 at least."""
    generator = torch.Generator().manual_seed(check_int("seed", seed, minimum=0))
    latents = model.latent.sample(n, rng=generator, device="cpu")
    raws = [model.q_outputs(model.decode(part)) for part in latents.split(1024)]
    raw = torch.cat(raws).cpu()
    return latents, raw if raw.dtype == torch.float64 else raw.float()
