"""A regularizer's own network: saved in checkpoints, restored on resume, and rolled back with a step."""

import copy

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.losses import NonSaturating
from infogan_lib.regularizers import Contrastive
from toys import images, make_trainer


def state(trainer, term):
    optimizers = {name: optimizer.state_dict() for name, optimizer in trainer.optimizers.items()}
    return copy.deepcopy([trainer.model.state_dict(), term.network.state_dict(), optimizers])


class StopsAtStepFour(ig.Callback):
    def on_step_end(self, trainer, metrics):
        if trainer.steps == 4:
            raise KeyError


def assert_equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_resumed_run_has_the_same_network_bit_for_bit(tmp_path):
    data = images(40)
    whole, first, second = Contrastive(), Contrastive(), Contrastive()
    uninterrupted = make_trainer(regularizers=[whole])
    initial = copy.deepcopy(whole.network.state_dict())
    uninterrupted.fit(data, steps=6, batch_size=8)

    saving = ig.Checkpoints(tmp_path, every=3)
    with pytest.raises(KeyError):
        make_trainer(regularizers=[first]).fit(
            data, steps=6, batch_size=8, checkpoints=saving, callbacks=[StopsAtStepFour()]
        )
    resumed = make_trainer(regularizers=[second])
    resumed.fit(data, steps=6, batch_size=8, checkpoints=saving)
    assert resumed.steps == 6
    assert_equal(state(resumed, second), state(uninterrupted, whole))
    assert any(not torch.equal(tensor, initial[name]) for name, tensor in whole.network.state_dict().items())


def test_a_run_folder_holds_it(tmp_path):
    first, second = Contrastive(), Contrastive()
    trainer, again = make_trainer(regularizers=[first]), make_trainer(regularizers=[second])
    trainer.fit(images(40), steps=3, batch_size=8, checkpoints=tmp_path)
    again.fit(images(40), steps=3, batch_size=8, checkpoints=tmp_path)
    assert again.steps == 3
    assert_equal(state(again, second), state(trainer, first))


def test_it_is_rolled_back_with_a_bad_step():
    class GoesBad(NonSaturating):
        calls = 0

        def generator(self, logits):
            GoesBad.calls += 1
            return super().generator(logits) * (float("nan") if GoesBad.calls == 3 else 1.0)

    layers = [nn.Flatten(), nn.Linear(32, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.1), nn.Linear(8, 2)]
    term = Contrastive(nn.Sequential(*layers))
    trainer = make_trainer(regularizers=[term], adversarial=GoesBad())
    for _ in range(2):
        trainer.step(images(8))
    before = state(trainer, term)
    trainer.launch(images(8))
    trainer.launch(images(8))
    with pytest.raises(ig.NonFiniteLossError, match="in step 2"):
        trainer.read()
    assert_equal(state(trainer, term), before)
    trainer.step(images(8))
    assert not torch.equal(term.network[-1].weight, before[1]["4.weight"])


def test_a_weight_of_it_that_is_not_finite_is_named():
    term = Contrastive()
    trainer = make_trainer(regularizers=[term])
    term.network[1].bias.data[0] = float("nan")
    with pytest.raises(ig.NonFiniteLossError, match="weight 'contrastive.1.bias' became nan in step 0"):
        trainer.step(images(8))
