"""How often G, D and the averaged generator are updated."""

import pytest
import torch

from infogan_lib.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from infogan_lib.regularizers import R1, GeneratorRegularizer
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
    trainer = make_trainer(ema_decay=0.3)
    weight, average = trainer.model.generator[0].weight, None
    for t in range(6):
        trainer.step(images(8))
        now, decay = weight.detach().clone(), min(0.3, (1 + t) / (10 + t))
        average = now if average is None else decay * average + (1 - decay) * now
    torch.testing.assert_close(trainer.model.ema_generator.module[0].weight.detach(), average)
    with torch.no_grad():
        trainer.model.ema_generator.module[0].weight.zero_()
        trainer.model.ema_generator.module[0].bias.zero_()
    sampled = trainer.model.sample(2, seed=0)
    assert torch.equal(sampled[0], sampled[1])  # sample uses the average, which now ignores its input


def test_the_average_takes_in_the_running_statistics():
    trainer = make_trainer(ema_decay=0.3)
    running, average = trainer.model.generator[1].running_mean, None
    for t in range(6):
        trainer.step(images(8))
        now, decay = running.clone(), min(0.3, (1 + t) / (10 + t))
        average = now if average is None else decay * average + (1 - decay) * now
    torch.testing.assert_close(trainer.model.ema_generator.module[1].running_mean, average)


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), LeastSquares(), Hinge(), Wasserstein()], ids=repr)
def test_every_adversarial_loss_trains(loss):
    trainer = make_trainer(adversarial=loss)
    trainer.fit(images(64), steps=4, batch_size=16)
    assert len(trainer.history["loss/g"]) == 4


class Counted(GeneratorRegularizer):
    """Notes the number that it is told comes next."""

    name, weight, every, after = "counted", 1.0, 2, 1

    def __init__(self):
        self.steps = []

    def set_step(self, step):
        self.steps.append(step)

    def __call__(self, latent, sampled, images, generate, rng):
        return images.square().mean()


@pytest.mark.parametrize(("d_steps", "expected"), [(1, [2, 4, 6, 8]), (2, [4, 8]), (3, [6])])
def test_terms_of_g_count_the_steps_that_update_g(d_steps, expected):
    """With every=2 a term of G is in every other update of G, whichever steps of D these are."""
    term = Counted()
    trainer = make_trainer(d_steps=d_steps, regularizers=[term, R1(every=2)])
    for _ in range(8):
        trainer.step(images(8))
    assert trainer.history.steps("regularizer/counted").tolist() == expected
    assert trainer.history.steps("regularizer/r1").tolist() == [1, 3, 5, 7]  # terms of D count all steps
    assert term.steps == list(range(1, 2 * len(expected), 2))
