"""Curves of a run: what the lines are."""

import math

import numpy as np
import pytest

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.viz import epoch_means, plot_epochs, plot_history, running_mean
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def trained():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    trainer.fit(images(64), steps=8, batch_size=16)
    return trainer


def test_curves_show_the_history():
    trainer = trained()
    figure = plot_history(trainer.history, entropy=LATENT.entropy)
    losses, scores, information = figure.axes
    assert losses.lines[0].get_ydata().tolist() == trainer.history["loss/d"].tolist()
    assert [t.get_text() for t in losses.get_legend().get_texts()] == ["D", "G (adversarial)", "information (weighted)"]
    assert len(scores.lines) == 6
    levels = [line.get_ydata()[0] for line in information.lines if line.get_linestyle() == "--"]
    assert levels == pytest.approx(list(LATENT.entropy.values()))
    with pytest.raises(ValueError, match="no steps yet"):
        plot_history(ig.History())


def test_squared_errors_have_a_panel_of_their_own():
    spec = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=ig.Uniform(2, loss=losses.MSE()))
    trainer = make_trainer(dense_generator(), dense_discriminator(), spec, d_steps=3)
    trainer.fit(images(32), steps=2, batch_size=16)
    assert len(plot_history(trainer.history).axes) == 2  # G has not been updated yet
    trainer.fit(images(32), steps=2, batch_size=16)
    figure = plot_history(trainer.history, entropy=spec.entropy)
    assert [axes.get_ylabel() for axes in figure.axes][2:] == ["bound on I(c; x), nats", "squared error"]
    dashed = [sum(line.get_linestyle() == "--" for line in axes.lines) for axes in figure.axes]
    assert dashed == [0, 0, 1, 0]


def test_running_mean():
    assert running_mean([1, 2, 3, 4], 2).tolist() == [1, 1.5, 2.5, 3.5]
    assert running_mean([1, 2, 3], 10).tolist() == [1, 1.5, 2]
    assert running_mean([], 2).tolist() == []


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("width", range(1, 12))
def test_a_value_is_in_no_mean_after_its_window(value, width):
    numbers = [1.0, 2.0, value, *range(7)]
    expected = [np.mean(numbers[max(0, i + 1 - width) : i + 1]) for i in range(10)]
    np.testing.assert_allclose(running_mean(numbers, width), expected, rtol=1e-12)


def history_of(losses, epochs):
    history = ig.History()
    for step, loss in enumerate(losses, start=1):
        history.record(
            step, {"loss/d": loss, "loss/information": 1.0} | ({"loss/g": 10 * loss} if step % 2 == 0 else {})
        )
    for step in epochs:
        history.record_epoch(step)
    return history


def test_means_by_epoch_are_those_of_the_epochs_steps():
    history = history_of([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], [2, 5])
    assert epoch_means(history, "loss/d").tolist() == [1.5, 4.0]
    assert epoch_means(history, "loss/g").tolist() == [20.0, 40.0]  # reported in steps 2 and 4
    assert np.isnan(epoch_means(history_of([1.0, 2.0], [1, 2]), "loss/g")[0])


def test_epoch_curves_show_each_loss_and_their_sum():
    history = history_of([1.0, 2.0, 3.0, 4.0], [2, 4])
    axes = plot_epochs(history, total=True).axes[0]
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert lines["D"] == [1.5, 3.5]
    assert lines["total"] == [1.5 + 20 + 1, 3.5 + 40 + 1]
    assert axes.get_xlabel() == "epoch"
    assert "total" not in {line.get_label() for line in plot_epochs(history).axes[0].get_lines()}
    with pytest.raises(ValueError, match="no whole epoch yet"):
        plot_epochs(history_of([1.0], []))
