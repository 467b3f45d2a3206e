"""Symptoms of given measurements and metrics."""

import math

import pytest
import torch

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.evaluation.probe import Factor, ProbeResult
from infogan_lib.evaluation.symptoms import image_symptoms, known_fraction, metric_symptoms, uninformed_loss
from toys import LATENT


def test_a_category_that_is_predicted_as_several_others_is_unused():
    table = torch.tensor([[20, 0, 0, 0], [7, 0, 7, 6], [0, 0, 20, 0], [0, 0, 0, 20]])
    (symptom,) = image_symptoms(ProbeResult(1.0, {}, {"digit": table}), ig.LatentSpec(digit=ig.Categorical(4)), {})
    assert (symptom.kind, symptom.subject, symptom.categories) == ("unused categories", "digit", (1,))
    assert "Q almost never predicts category 1 of 'digit', although G is conditioned on it" in symptom.finding


@pytest.mark.parametrize(
    ("variance", "kinds"), [(0.0, ["identical outputs"]), (0.02, ["identical outputs"]), (0.05, [])]
)
def test_images_that_are_nearly_all_alike_are_reported(variance, kinds):
    assert [symptom.kind for symptom in image_symptoms(ProbeResult(variance, {}, {}), LATENT, {})] == kinds


def test_noise_may_contribute_less_beside_continuous_codes():
    result = ProbeResult(1.0, {Factor("z", None): 0.006}, {})
    alone = ig.LatentSpec(z=ig.Noise(2), digit=ig.Categorical(3))
    assert [symptom.subject for symptom in image_symptoms(result, alone, {})] == ["'z'"]
    assert list(image_symptoms(result, alone + ig.LatentSpec(style=ig.Uniform(1)), {})) == []


def test_every_merged_group_is_reported():
    table = torch.eye(6, dtype=torch.int64) * 20
    table[:2, :2] = table[2:4, 2:4] = 10
    result = ProbeResult(1.0, {}, {"digit": table})
    reported = list(image_symptoms(result, ig.LatentSpec(digit=ig.Categorical(6)), {}))
    assert [(symptom.kind, symptom.categories) for symptom in reported] == [
        ("merged categories", (0, 1)),
        ("merged categories", (2, 3)),
    ]


def history_of(**metrics):
    history = ig.History()
    for name, values in metrics.items():
        for step, value in enumerate(values):
            history.record(step, {name.replace("__", "/"): value})
    return history


def kinds_in(norms=(1.0,) * 100, loss=(1.0,) * 100, adversarial=None, latent=LATENT, window=100, **metrics):
    history = history_of(grad_norm__d=norms, loss__d=loss, **metrics)
    symptoms = metric_symptoms(history, latent, adversarial or losses.NonSaturating(), {"d": 100, "g": 100}, window)
    return [symptom.kind for symptom in symptoms]


def test_gradients_are_compared_with_the_run_as_a_whole():
    assert kinds_in([1.0] * 900 + [60.0] * 100) == ["exploding gradient"]
    assert kinds_in([1.0] * 900 + [9e-4] * 100) == ["vanishing gradient"]
    assert kinds_in([1.0] * 500 + [5000.0] * 100 + [1.0] * 1000) == []
    assert kinds_in([1e4] * 100 + [2.0] * 5000) == []
    assert kinds_in([1e-8] * 1000) == ["vanishing gradient"]
    assert kinds_in([1.0] * 900 + [float("inf")] * 60 + [1.0] * 40) == []


@pytest.mark.parametrize(
    ("error", "advice"),
    [(2 / 3, "a higher weight of 'c' or a higher learning rate of Q"), (2.5, "a lower learning rate of Q")],
)
def test_diverged_estimates_need_a_lower_learning_rate(error, advice):
    latent = ig.LatentSpec(c=ig.Uniform(2, loss=losses.MSE()))
    history = history_of(grad_norm__d=[1.0] * 100, loss__d=[1.0] * 100, mse__c=[error] * 100)
    (symptom,) = metric_symptoms(history, latent, losses.NonSaturating(), {"d": 100, "g": 100}, 100)
    assert symptom.kind == "flat bound"
    assert symptom.advice.startswith(advice)


def test_a_constant_discriminator_is_not_saturated():
    assert uninformed_loss(losses.NonSaturating()) == pytest.approx(2 * math.log(2))
    assert uninformed_loss(losses.LeastSquares()) == pytest.approx(0.25)
    assert uninformed_loss(losses.LeastSquares(a=5, b=6)) == pytest.approx(0.25)
    assert uninformed_loss(losses.Hinge()) == pytest.approx(2)
    assert uninformed_loss(losses.Wasserstein()) == pytest.approx(0)
    assert kinds_in(loss=[0.003] * 100, adversarial=losses.LeastSquares()) == ["discriminator saturated"]
    assert kinds_in(loss=[0.25] * 100, adversarial=losses.LeastSquares(a=5, b=6)) == []
    assert kinds_in(loss=[0.001] * 100, adversarial=losses.Wasserstein()) == []


@pytest.mark.parametrize(
    ("code", "metric", "nothing", "half"),
    [
        (ig.Categorical(10), "bound", 0.0, 0.5 * math.log(10)),
        (ig.Uniform(2), "bound", 2 * (math.log(2) - 0.5 * math.log(2 * math.pi * math.e / 3)), 0.0),
        (ig.Uniform(2, low=0, high=1), "bound", -2 * 0.5 * math.log(2 * math.pi * math.e / 12), 0.0),
        (ig.Gaussian(3), "bound", 0.0, 3.0),
        (ig.Uniform(2, loss=losses.MSE()), "mse", 2 / 3, 1 / 3),
        (
            ig.Uniform(1, loss=losses.NormalNLL(scale=0.5)),
            "nll",
            math.log(0.5) + 0.919 + 4 / 6,
            math.log(0.5) + 0.919 + 4 / 12,
        ),
    ],
)
def test_known_fraction(code, metric, nothing, half):
    names = {"bound": f"{metric}__c", "mse": "mse__c", "nll": "nll__c"}
    extra = {"bound__c": [-1.0] * 10} if metric == "nll" else {}
    for value, expected in ((nothing, True), (half, False)):
        history = history_of(**{names[metric]: [value] * 10}, **extra)
        fraction = known_fraction(history, "c", code, 10)
        assert fraction is not None
        assert (fraction < 0.05) == expected
        assert fraction > -0.05
