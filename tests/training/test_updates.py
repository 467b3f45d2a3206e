"""How often G, D and the averaged generator are updated."""

import pytest
import torch

from infogan_lib.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from toys import images, make_trainer


def test_d_steps_and_g_steps_count_updates():
    trainer = make_trainer(d_steps=3, g_steps=2, ema_decay=0.5)
    weight, changes = trainer.model.generator[0].weight, []
    for _ in range(6):
        before = weight.detach().clone()
        metrics = trainer.step(images(8))
        changes.append(not torch.equal(weight, before))
        assert ("loss/g" in metrics) == changes[-1]
    assert changes == [False, False, True] * 2
    assert trainer.model.ema_generator.n_averaged.item() == 4


def test_the_averaged_generator_is_the_moving_average_of_the_weights():
    trainer = make_trainer(ema_decay=0.9)
    weight, average = trainer.model.generator[0].weight, None
    for _ in range(5):
        trainer.step(images(8))
        now = weight.detach().clone()
        average = now if average is None else 0.9 * average + 0.1 * now
    torch.testing.assert_close(trainer.model.ema_generator.module[0].weight.detach(), average)
    with torch.no_grad():
        trainer.model.ema_generator.module[0].weight.zero_()
        trainer.model.ema_generator.module[0].bias.zero_()
    sampled = trainer.model.sample(2, seed=0)
    assert torch.equal(sampled[0], sampled[1])  # sample uses the average, which now ignores its input


def test_the_average_takes_in_the_running_statistics():
    trainer = make_trainer(ema_decay=0.9)
    running, average = trainer.model.generator[1].running_mean, None
    for _ in range(5):
        trainer.step(images(8))
        now = running.clone()
        average = now if average is None else 0.9 * average + 0.1 * now
    torch.testing.assert_close(trainer.model.ema_generator.module[1].running_mean, average)


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), LeastSquares(), Hinge(), Wasserstein()], ids=repr)
def test_every_adversarial_loss_trains(loss):
    trainer = make_trainer(adversarial=loss)
    trainer.fit(images(64), steps=4, batch_size=16)
    assert len(trainer.history["loss/g"]) == 4
