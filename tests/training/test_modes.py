"""The modes of networks in a loop of one's own, and samples of a seed."""

import pytest
import torch

from infogan_lib import Callback
from toys import images, make_trainer


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_a_step_in_eval_mode_warns_once_and_leaves_the_mode(part, recwarn):
    trainer = make_trainer()
    getattr(trainer.model, part).eval()
    with pytest.warns(UserWarning, match=rf"the {part} in eval mode: .* call trainer.model.train\(\) before"):
        trainer.step(images(8))
    trainer.step(images(8))
    assert not recwarn
    assert not getattr(trainer.model, part).training


def test_a_step_in_training_mode_or_with_a_frozen_layer_does_not_warn(recwarn):
    trainer = make_trainer()
    trainer.model.generator[1].eval()
    trainer.step(images(8))
    trainer.fit(images(8), steps=1, batch_size=8)
    assert not recwarn


def test_fit_trains_in_training_mode_and_says_if_a_callback_leaves_it():
    class Evaluates(Callback):
        def on_step_end(self, trainer, metrics):
            trainer.model.eval()

    trainer = make_trainer()
    trainer.model.eval()
    trainer.fit(images(8), steps=1, batch_size=8)
    assert trainer.model.generator.training
    with pytest.warns(UserWarning, match="the generator and the discriminator in eval mode"):
        trainer.fit(images(16), steps=2, batch_size=8, callbacks=[Evaluates()])


@pytest.mark.parametrize(("few", "many"), [(1, 2), (4, 8), (7, 64), (64, 65), (100, 1000)])
def test_the_first_images_of_a_seed_do_not_depend_on_their_number(few, many):
    model = make_trainer().model
    assert torch.allclose(model.sample(few, seed=3), model.sample(many, seed=3)[:few], atol=1e-6)
    assert torch.allclose(model.sample(few, seed=3, digit=1), model.sample(many, seed=3, digit=1)[:few], atol=1e-6)
    rows = model.traverse("style", n=few, steps=3, seed=3)
    assert torch.allclose(rows, model.traverse("style", n=many, steps=3, seed=3)[: 3 * few], atol=1e-6)
    assert not torch.allclose(model.sample(few, seed=3), model.sample(few, seed=4), atol=1e-2)


def test_an_interrupt_while_modes_are_set_leaves_those_of_before():
    class Interrupted(torch.nn.Linear):
        @property
        def training(self):
            return self._mode

        @training.setter
        def training(self, mode):
            if not mode and getattr(self, "_mode", mode):
                self._mode = mode
                raise KeyboardInterrupt
            self._mode = mode

    model = make_trainer().model
    model.generator[3] = Interrupted(16, 16)
    with pytest.raises(KeyboardInterrupt):
        model.sample(2)
    assert all(part.training for part in model.modules())
