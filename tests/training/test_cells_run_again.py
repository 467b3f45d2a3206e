"""What happens to a cell of a notebook that is run again, as docs/notebooks.md says."""

import pytest
import torch

import infogan_lib as ig
from toys import LATENT, dense_discriminator, dense_generator, images


def networks():
    torch.manual_seed(0)
    return dense_generator(), dense_discriminator()


def trainer_of(pair, **settings):
    return ig.InfoGANTrainer(*pair, LATENT, engine=ig.Engine("cpu"), **settings)


def fit(trainer, **arguments):
    trainer.fit(images(32), steps=3, batch_size=8, **arguments)
    return trainer


def test_a_fit_run_again_trains_further():
    trainer = fit(trainer_of(networks()))
    assert fit(trainer).steps == 6


def test_networks_and_trainer_made_again_are_a_new_beginning_with_the_same_result():
    first, second = fit(trainer_of(networks())), fit(trainer_of(networks()))
    assert second.steps == 3
    assert first.history["loss/d"].tolist() == second.history["loss/d"].tolist()


def test_a_trainer_made_again_counts_from_0_with_the_weights_that_its_networks_have():
    pair = networks()
    first = fit(trainer_of(pair))
    again = trainer_of(pair)
    assert again.steps == 0
    assert again.model.generator is first.model.generator
    assert fit(again).history["loss/d"].tolist() != first.history["loss/d"].tolist()


def test_a_complete_run_started_again_trains_nothing_and_has_its_result(tmp_path):
    first = fit(trainer_of(networks()), checkpoints=tmp_path)
    again = fit(trainer_of(networks()), checkpoints=tmp_path)
    assert again.steps == 3
    assert again.history["loss/d"].tolist() == first.history["loss/d"].tolist()
    assert fit(again, checkpoints=tmp_path).steps == 6  # another call of the same trainer


def test_a_run_started_again_with_another_rate_is_refused_with_the_ways_out(tmp_path):
    fit(trainer_of(networks()), checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError, match="resume="):
        fit(trainer_of(networks(), optimizers=ig.Optimizers(g=5e-4)), checkpoints=tmp_path)
