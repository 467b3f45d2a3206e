"""What a value that is not finite is called in the error."""

import pytest
import torch
from torch import nn
from torch.distributions import Distribution

from infogan_lib import Categorical, LatentSpec, Noise, NonFiniteLossError
from infogan_lib.losses import NonSaturating
from toys import dense_discriminator, dense_generator, images, make_trainer


class Poisoned(NonSaturating):
    """NaN in one term while it is armed."""

    def __init__(self, term):
        object.__setattr__(self, "term", term)
        object.__setattr__(self, "armed", [])

    def __getattribute__(self, name):
        method = super().__getattribute__(name)
        if name == super().__getattribute__("term") and super().__getattribute__("armed"):
            return lambda logits: method(logits) * float("nan")
        return method


@pytest.mark.parametrize(
    ("term", "named"),
    [
        ("real", "discriminator's loss on real images"),
        ("fake", "discriminator's loss on fakes"),
        ("generator", "generator's adversarial loss"),
    ],
)
def test_a_non_finite_loss_stops_before_its_update_and_is_named(term, named):
    poison = Poisoned(term)
    trainer = make_trainer(adversarial=poison)
    trainer.step(images(8))
    poison.armed.append(True)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NonFiniteLossError, match=f"{named} became nan in step 1; the step was rolled back") as caught:
        trainer.step(images(8))
    assert (caught.value.term, caught.value.step) == (named, 1)
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))
    assert all(p.grad is None for p in trainer.model.parameters())


def test_a_non_finite_information_loss_names_its_code():
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.q.out.bias[5] = float("inf")  # a mean of the style code
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NonFiniteLossError, match="weight 'q.out.bias' became inf in step 0"):
        trainer.step(images(8))
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))


def test_nan_behind_a_code_of_ones_own_is_named_as_well():
    class Own(Categorical):
        def nll(self, raw, value):
            return -self.posterior(raw).log_prob(value)

    trainer = make_trainer(dense_generator(9), dense_discriminator(), LatentSpec(z=Noise(5), own=Own(4)))
    with torch.no_grad():
        trainer.model.q.out.bias[0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="weight 'q.out.bias' became nan in step 0"):
        trainer.step(images(8))


def test_nan_that_no_weight_made_is_named_by_the_output_of_q(monkeypatch):
    class Own(Categorical):
        def nll(self, outputs, value):
            return -self.posterior(outputs).log_prob(value)

    class Overflows(nn.Module):
        bad = False

        def forward(self, features):
            return features[:, :4] * (float("nan") if self.bad else 1.0)

    head = Overflows()
    latent = LatentSpec(z=Noise(5), own=Own(4))
    trainer = make_trainer(dense_generator(9), dense_discriminator(), latent, q_head=head)
    head.bad = True
    monkeypatch.setattr(Distribution, "_validate_args", True)  # torch.compile turns it off for the process
    with pytest.raises(NonFiniteLossError, match="output of Q became nan in step 0"):
        trainer.step(images(8))


def test_a_non_finite_gradient_of_a_finite_loss_stops_too():
    class SquareRoot(NonSaturating):
        def real(self, logits):
            return super().real(logits) + torch.sqrt(logits * 0).mean()  # 0, with a gradient of 0/0

    trainer = make_trainer(adversarial=SquareRoot())
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NonFiniteLossError, match="gradient of the discriminator became nan"):
        trainer.step(images(8))
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))
