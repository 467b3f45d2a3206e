r"""How much Q recovers of the codes, on fresh samples of a trained model, and whether it is calibrated.

The bound of one code, from N generated images x_i = G(z_i, c_i) that no update has used, is a mean and has a standard
error:

.. math::
    \hat{I} = H(c) + \frac{1}{N} \sum_i \log Q(c_i \mid x_i), \qquad
    \mathrm{se} = \operatorname{sd}(\log Q(c_i \mid x_i)) / \sqrt{N}

(Chen et al., *InfoGAN*, NeurIPS 2016, equation 5). Q is calibrated if its confidence equals the fraction of correct
predictions (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, section 2); for a continuous code, if
the quantiles of the code under Q are uniform (Gneiting et al., *Probabilistic forecasts, calibration and sharpness*,
2007).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, OneHotCategorical

from infogan_lib._checks import check_int, check_seed, check_type
from infogan_lib.metrics.calibration import Coverage, Reliability, coverage, reliability
from infogan_lib.model.infogan import InfoGAN


@dataclass(frozen=True)
class CodeInformation:
    """How much Q recovers of one code.

    Attributes:
        loss: Mean information loss: -log Q(c|x) in nats, or the squared error of a code with `MSE`.
        standard_error: Standard error of `loss`, and of `bound`.
        bound: Lower bound on I(c; x) in nats; None if the loss is not a likelihood.
        fraction: The bound as a fraction of H(c); None without a bound, and if H(c) is not positive. The H(c) of a
            continuous code is differential, so its fraction may exceed 1.
    """

    loss: float
    standard_error: float
    bound: float | None
    fraction: float | None


def code_information(model: InfoGAN, *, n: int = 2000, seed: int = 0) -> dict[str, CodeInformation]:
    """Bound or squared error of every code, on fresh samples.

    Args:
        model: The model, evaluated in eval mode.
        n: Number of samples, at least 2.
        seed: Seed for the latents.

    Returns:
        `CodeInformation` by code name, in order.

    Raises:
        TypeError: If `n` or `seed` is not a whole number.
        ValueError: If `n` is below 2 or `seed` below 0.
    """
    latents, outputs = _sample_and_encode(model, check_int("n", n, minimum=2), seed)
    losses = model.latent.nll(outputs, latents).double()
    information, entropy = {}, model.latent.entropy
    for (name, code), values in zip(model.latent.codes.items(), losses.T, strict=True):
        loss, error = values.mean().item(), (values.std() / math.sqrt(n)).item()
        bound = entropy[name] - loss if code.is_likelihood else None
        fraction = bound / entropy[name] if bound is not None and entropy[name] > 0 else None
        information[name] = CodeInformation(loss, error, bound, fraction)
    return information


def calibration(model: InfoGAN, *, n: int = 2000, seed: int = 0, bins: int = 10) -> dict[str, Reliability | Coverage]:
    """Whether Q's confidence in the codes matches its accuracy, on fresh samples.

    Args:
        model: The model, evaluated in eval mode.
        n: Number of samples.
        seed: Seed for the latents.
        bins: Number of bins of confidence, or of levels of coverage.

    Returns:
        By code name: a `Reliability` for a categorical code, and for all bits of a Bernoulli code together; a
        `Coverage` for a code with a normal posterior. Codes with other posteriors or point estimates are left out.

    Raises:
        TypeError: If `n`, `seed` or `bins` is not a whole number.
        ValueError: If `n` or `bins` is below 1 or `seed` below 0.
    """
    latents, outputs = _sample_and_encode(model, check_int("n", n, minimum=1), seed)
    results: dict[str, Reliability | Coverage] = {}
    for name, posterior in model.latent.posteriors(outputs).items():
        true = latents[:, model.latent.slices[name]]
        if isinstance(posterior, OneHotCategorical):
            confidence, predicted = posterior.probs.max(1)
            results[name] = reliability(confidence.numpy(), (predicted == true.argmax(1)).numpy(), bins=bins)
        elif posterior.event_shape != true.shape[1:]:
            continue  # a code of the user's own, whose posterior is not over the columns of the latent
        elif isinstance(posterior, Independent) and isinstance(posterior.base_dist, Normal):
            results[name] = coverage(posterior.base_dist.cdf(true).clamp(0, 1).numpy(), levels=bins)
        elif isinstance(posterior, Independent) and isinstance(posterior.base_dist, Bernoulli):
            probability = posterior.mean.flatten()
            correct = (probability > 0.5) == (true.flatten() > 0.5)
            confidence = torch.maximum(probability, 1 - probability)
            results[name] = reliability(confidence.numpy(), correct.numpy(), bins=bins)
    return results


def _sample_and_encode(model: InfoGAN, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Latents, and Q's outputs for their images, shapes (n, width) and (n, outputs), on the CPU in at least float32."""
    check_type("model", model, InfoGAN)
    rng = torch.Generator().manual_seed(check_seed(seed))
    latents = model.latent.sample(n, rng=rng, device="cpu")
    outputs = torch.cat([model.q_outputs(model.decode(batch)) for batch in latents.split(1024)]).cpu()
    return latents, outputs if outputs.dtype == torch.float64 else outputs.float()
