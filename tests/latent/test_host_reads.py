"""Sampling and scoring of the built-in codes never read a value on the host, so no step waits for the device."""

from dataclasses import dataclass

import pytest
import torch
from torch.distributions import Distribution, Independent, Normal
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from infogan_lib import Bernoulli, Categorical, Gaussian, LatentCode, LatentSpec, Noise, Uniform
from infogan_lib.losses import MSE, NormalNLL

aten = torch.ops.aten
READS = {
    aten._local_scalar_dense.default,
    aten.item.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
}


class NoHostReads(TorchDispatchMode):
    """Raises for operations whose result, or its shape, the host must read from the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in READS:
            raise AssertionError(f"{func} reads a value on the host")
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Own(LatentCode):
    """A user's code, with the default `nll`."""

    weight: float = 1.0
    validate_args: bool | None = False
    width = num_outputs = 1
    entropy = 1.4189385

    def sample(self, n, *, rng=None, device=None, dtype=None):
        return torch.randn(n, 1, generator=rng, device=device, dtype=dtype)

    def posterior(self, outputs):
        return Independent(Normal(outputs, 1.0, validate_args=self.validate_args), 1, validate_args=False)


SPEC = LatentSpec(
    z=Noise(3),
    noise=Noise(2, distribution="uniform"),
    c=Categorical(3),
    d=Categorical(5),
    u=Uniform(2, low=0, high=2),
    fixed=Uniform(1, loss=NormalNLL(scale=0.5)),
    g=Gaussian(2),
    error=Gaussian(2, loss=MSE()),
    bits=Bernoulli(3),
    own=Own(),
)


def test_sampling_and_joint_losses():
    outputs = torch.randn(4, SPEC.num_outputs, requires_grad=True)
    with NoHostReads():
        latent = SPEC.sample(4)
        SPEC.nll(outputs, latent).mean(0).sum().backward()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("name", SPEC.codes)
def test_each_code_alone(name):
    code = SPEC.codes[name]
    with NoHostReads():
        outputs, value = torch.randn(4, code.num_outputs), code.sample(4)
        nll = code.nll(outputs, value)
    assert nll.shape == (4,)


def test_posteriors_without_the_checks_of_torch(monkeypatch):
    monkeypatch.setattr(Distribution, "_validate_args", False)  # what Distribution.set_default_validate_args sets
    with NoHostReads():
        for posterior in SPEC.posteriors(torch.zeros(4, SPEC.num_outputs)).values():
            assert posterior.mean.shape[0] == 4


def test_a_posterior_that_checks_its_values_is_detected():
    with NoHostReads(), pytest.raises(AssertionError, match="reads a value on the host"):
        Own(validate_args=True).nll(torch.zeros(2, 1), torch.zeros(2, 1))


def test_the_losses_can_be_traced_without_values():
    """Fake tensors have shapes and no values; any read of one raises."""
    latent, outputs = SPEC.sample(4), torch.randn(4, SPEC.num_outputs)
    spec = LatentSpec(dict(SPEC))  # constants that are made while tracing stay with it
    traced = make_fx(lambda outputs, latent: spec.nll(outputs, latent), tracing_mode="fake")(outputs, latent)
    torch.testing.assert_close(traced(outputs, latent), SPEC.nll(outputs, latent))
