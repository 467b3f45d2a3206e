"""Codes of one's own whose methods return what they should not: refused by the class and the method."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from infogan_lib import LatentCode, LatentSpec, Noise
from toys import dense_discriminator, dense_generator, images, make_trainer


@dataclass(frozen=True)
class Plane(LatentCode):
    """Two real numbers from a normal distribution."""

    weight: float = 1.0
    width = 2
    num_outputs = 2
    entropy = 2.8379

    def sample(self, n, *, rng=None, device=None, dtype=None):
        return self.change(torch.randn(n, 2, generator=rng, device=device, dtype=dtype))

    def change(self, values: Tensor):
        return values

    def posterior(self, outputs):
        return Independent(Normal(outputs, 1.0, validate_args=False), 1, validate_args=False)


def spec(**attributes):
    return LatentSpec(z=Noise(5), c=type("Own", (Plane,), attributes)())


SAMPLES = [
    (lambda values: None, TypeError),
    (lambda values: values.tolist(), TypeError),
    (lambda values: values[:, :1], ValueError),
    (lambda values: values[:1], ValueError),
    (lambda values: values[:, 0], ValueError),
    (lambda values: values + 1j, TypeError),
    (lambda values: values.to_sparse(), TypeError),
]


@pytest.mark.parametrize(("change", "error"), SAMPLES)
def test_samples_are_rows_of_the_width(change, error):
    with pytest.raises(error, match="what Own.sample returns must be"):
        spec(change=lambda self, values: change(values)).sample(3)


@pytest.mark.parametrize("convert", [Tensor.double, Tensor.long, Tensor.half, lambda values: values > 0])
def test_samples_of_another_dtype_are_converted(convert):
    latent = spec(change=lambda self, values: convert(values))
    assert latent.sample(3).dtype == torch.float32
    trainer = make_trainer(dense_generator(7), dense_discriminator(), latent)
    trainer.fit(images(16), steps=1, batch_size=8)


POSTERIORS = [
    (lambda outputs: None, TypeError, "must be of type Distribution"),
    (lambda outputs: outputs, TypeError, "must be of type Distribution"),
    (lambda outputs: Normal, TypeError, "must be of type Distribution"),
    (lambda outputs: Independent(Normal(outputs.mean(0), 1.0), 1), ValueError, r"must have the batch shape \(4,\)"),
]


@pytest.mark.parametrize(("posterior", "error", "message"), POSTERIORS)
def test_a_posterior_is_a_distribution_for_each_row(posterior, error, message):
    latent = spec(posterior=lambda self, outputs: posterior(outputs))
    for call in (latent.posteriors, lambda outputs: latent.nll(outputs, latent.sample(4))):
        with pytest.raises(error, match=f"what Own.posterior returns {message}"):
            call(torch.zeros(4, 2))


@pytest.mark.parametrize("nll", [None, 0.5, [0.0] * 4, torch.zeros(4).long(), torch.zeros(4, dtype=torch.complex64)])
def test_an_information_loss_is_a_tensor_of_floats(nll):
    latent = spec(nll=lambda self, outputs, value: nll)
    with pytest.raises(TypeError, match="what Own.nll returns must be"):
        latent.nll(torch.zeros(4, 2), latent.sample(4))


@pytest.mark.parametrize("rows", [None, [[0.0, 0.0]] * 3, torch.zeros(3, 1), torch.zeros(3, 5)])
def test_rows_of_a_value_fill_the_columns(rows):
    latent = spec(as_rows=lambda self, value, n: rows)
    with pytest.raises((TypeError, ValueError), match="what Own.as_rows returns must be"):
        latent.replace_values(latent.sample(3), {"c": 0.5})


@pytest.mark.parametrize("values", [None, torch.zeros(3), torch.zeros(3, 5), torch.zeros(0, 2)])
def test_a_traversal_has_rows_of_the_width(values):
    latent = spec(traverse=lambda self, base, **ends: values)
    with pytest.raises((TypeError, ValueError), match="what Own.traverse returns must be"):
        latent.traverse("c")


NUMBERS = [("width", 0), ("width", 2.0), ("width", None), ("num_outputs", 0), ("num_outputs", "2")]
NUMBERS += [("num_outputs", 2.0), ("entropy", None), ("entropy", "x"), ("entropy", 1j), ("entropy", float("nan"))]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_the_numbers_of_a_code_are_checked_when_it_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=f"{name} of c must be a"):
        spec(**{name: value})


@pytest.mark.parametrize("ends", [None, 3, (1,), ("a", "b"), (float("nan"), 1)])
def test_the_ends_of_a_traversal_are_two_numbers(ends):
    with pytest.raises(ValueError, match=r"traversal_range of Own\(weight=1.0\) must be two finite numbers"):
        spec(traversal_range=ends).traverse("c")
