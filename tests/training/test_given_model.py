"""An `InfoGAN` in place of its three parts: one made by hand, and one that was loaded and is trained on."""

import pytest
import torch
from torch import nn

from infogan_lib import InfoGAN, InfoGANTrainer
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def networks():
    torch.manual_seed(0)
    return {"generator": dense_generator(), "discriminator": dense_discriminator()}


def test_a_model_and_its_parts_train_alike():
    model = InfoGAN(**networks(), latent=LATENT, seed=3)
    given, built = InfoGANTrainer(model, seed=3), InfoGANTrainer(**networks(), latent=LATENT, seed=3)
    assert given.model is model
    for seed in range(3):
        assert given.step(images(8, seed=seed)) == built.step(images(8, seed=seed))
    torch.testing.assert_close(given.model.state_dict(), built.model.state_dict(), rtol=0, atol=0)


def test_its_own_tap_and_head_are_trained():
    head = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8))
    trainer = InfoGANTrainer(InfoGAN(**networks(), latent=LATENT, tap="3", q_head=head))
    before = head[0].weight.detach().clone()
    trainer.step(images(8))
    assert not torch.equal(head[0].weight, before)
    assert {id(p) for p in head.parameters()} == {
        id(p) for group in trainer.optimizers["q"].param_groups for p in group["params"]
    }


def loaded(folder):
    """A model that was trained with an average, named, saved and loaded."""
    trainer = InfoGANTrainer(**networks(), latent=LATENT, ema_decay=0.9)
    for seed in range(2):
        trainer.step(images(8, seed=seed))
    trainer.model.set_category_names("digit", ["zero", "one", "two", "three"])
    trainer.model.save(folder)
    return trainer.model, InfoGAN.load(folder, **networks())


@pytest.mark.cpu
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_loaded_model_keeps_its_average_and_names_and_trains_on(tmp_path, ema_decay):
    saved, model = loaded(tmp_path / "model")
    trainer = InfoGANTrainer(model, ema_decay=ema_decay)
    torch.testing.assert_close(trainer.model.state_dict(), saved.state_dict(), rtol=0, atol=0)
    ema = trainer.model.ema_generator
    average, count = ema.module[0].weight.detach().clone(), ema.n_averaged.item()
    trainer.step(images(8, seed=2))
    weight = trainer.model.generator[0].weight.detach()
    torch.testing.assert_close(ema.module[0].weight, 0.25 * average + 0.75 * weight)  # (1 + 2) / (10 + 2)
    assert ema.n_averaged.item() == count + 1 == 3
    assert trainer.model.sample(2, digit="three", seed=0).isfinite().all()


def test_a_loaded_model_is_resumed_with_its_average(tmp_path):
    """The checkpoint of a run that began from it holds the average and the names."""
    _, model = loaded(tmp_path / "model")
    trainer = InfoGANTrainer(model)
    trainer.fit(images(24), steps=3, batch_size=8, checkpoints=tmp_path / "run")
    _, other = loaded(tmp_path / "other")
    again = InfoGANTrainer(other)
    again.fit(images(24), steps=3, batch_size=8, checkpoints=tmp_path / "run")
    torch.testing.assert_close(again.model.state_dict(), trainer.model.state_dict(), rtol=0, atol=0)
    assert again.model.category_names == {"digit": ("zero", "one", "two", "three")}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda model: InfoGANTrainer(model, dense_discriminator()),
            TypeError,
            "an InfoGAN holds its discriminator and latent already; give it alone",
        ),
        (lambda model: InfoGANTrainer(model, latent=LATENT), TypeError, "an InfoGAN holds its discriminator"),
        (
            lambda model: InfoGANTrainer(dense_generator()),
            TypeError,
            "give a generator, a discriminator and a latent, or an InfoGAN in place of the three",
        ),
        (
            lambda model: InfoGANTrainer(model, ema_decay=0.5),
            ValueError,
            "the model has an average with decay 0.9, but got ema_decay=0.5; leave ema_decay out",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    model = make_trainer(ema_decay=0.9).model
    with pytest.raises(error, match=message):
        make(model)
