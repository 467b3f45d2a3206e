"""Networks, optimizers and schedulers that are put in the place of a trainer's own, which would not be trained."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

import infogan_lib as ig
from toys import images, make_trainer


def assigns_weights(t):
    t.model.generator.load_state_dict(copy.deepcopy(t.model.generator.state_dict()), assign=True)


def replaces_a_layer(t):
    t.model.discriminator[4] = nn.Linear(16, 1, device=t.device)


def replaces_a_network(t):
    t.model.generator = copy.deepcopy(t.model.generator)


def replaces_an_optimizer(t):
    t.optimizers["d"] = torch.optim.SGD(t.model.discriminator.parameters(), lr=0.1)


def adds_a_scheduler(t):
    t.schedulers.append(ExponentialLR(t.optimizers["d"], 0.9))


def converts_a_network(t):
    t.model.discriminator.double()


CHANGES = {
    assigns_weights: "parameters that optimizers.g does not hold",
    replaces_a_layer: "parameters that optimizers.d does not hold",
    replaces_a_network: "parameters that optimizers.g does not hold",
    replaces_an_optimizer: r"trainer\.optimizers must be those.*Optimizers\(g=",
    adds_a_scheduler: r"trainer\.schedulers must be those.*Optimizers\(scheduler=",
    converts_a_network: r"'discriminator\.1\.weight' is torch\.float64 on \S+ by now.*was torch\.float32",
}
each_change = pytest.mark.parametrize(("change", "message"), CHANGES.items(), ids=lambda x: getattr(x, "__name__", ""))


@each_change
def test_a_part_that_is_replaced_is_refused_in_a_loop_of_ones_own(change, message):
    t = make_trainer()
    t.step(images(8))
    change(t)
    with pytest.raises(ValueError, match=message):
        t.step(images(8))
    assert t.steps == 1


@each_change
def test_a_part_that_is_replaced_by_a_callback_is_refused(change, message):
    class Changes(ig.Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 2:
                change(trainer)

    t = make_trainer()
    with pytest.raises(ValueError, match=message):
        t.fit(images(16), steps=4, batch_size=8, callbacks=[Changes()])
    assert t.steps == 2


@each_change
def test_a_part_that_is_replaced_between_two_calls_is_refused(change, message):
    t = make_trainer()
    t.fit(images(16), steps=1, batch_size=8)
    change(t)
    with pytest.raises(ValueError, match=message):
        t.fit(images(16), steps=1, batch_size=8)
    assert t.steps == 1


@pytest.mark.cpu  # the false device's random generators cannot be copied
def test_a_copy_of_a_trainer_trains_on():
    t = make_trainer()
    t.step(images(8))
    other = copy.deepcopy(t)
    assert other.step(images(8)) == t.step(images(8))


def test_a_network_that_is_wrapped_later_is_trained():
    t = make_trainer()
    t.step(images(8))
    before = t.model.generator[0].weight.clone()
    t.model.generator[0] = nn.Sequential(t.model.generator[0])
    t.step(images(8))
    assert not torch.equal(t.model.generator[0][0].weight, before)
