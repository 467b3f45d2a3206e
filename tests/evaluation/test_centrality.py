"""ModelCentrality: tables by hand, models that agree, one that does not, and what cannot be compared."""

import importlib

import numpy as np
import pytest
import torch
from torch import nn

from infogan_lib import Categorical, Gaussian, InfoGAN, LatentSpec, Noise, Uniform
from infogan_lib.evaluation.centrality import ModelCentrality, centrality, model_centrality
from infogan_lib.losses import MSE
from toys import LATENT, dense_discriminator, dense_generator

FEW = {"num_votes": 45, "group_size": 20, "num_samples": 500}
MIXING = torch.eye(3) - 2 / 3
"""A reflection that leaves no axis near another: its entries are 1/3 and -2/3."""


def linear(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return layer


def linear_model(shape: torch.Tensor, answer: torch.Tensor | None = None) -> InfoGAN:
    """Images (shape @ style, noise, category), from which Q recovers style exactly, or what `answer` says."""
    latent = LatentSpec(z=Noise(1), kind=Categorical(2), style=Uniform(3, loss=MSE()))
    to_image = torch.zeros(6, 6)
    to_image[:3, 3:], to_image[3:, :3] = shape, torch.eye(3)
    to_codes = torch.zeros(5, 6)
    to_codes[2:, :3] = torch.linalg.inv(shape) if answer is None else answer
    discriminator = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    return InfoGAN(linear(to_image), discriminator, latent, q_network=linear(to_codes))


def agreeing() -> list[InfoGAN]:
    """Three models with the same three factors, in another order, turned round and scaled."""
    permuted = torch.eye(3)[[1, 2, 0]]
    return [linear_model(torch.eye(3)), linear_model(permuted * 2), linear_model(-torch.eye(3))]


def test_centrality_by_hand():
    scores = [[0.0, 0.6, 0.4], [0.8, 0.9, 0.2], [0.6, 0.4, 1.0]]
    expected = [(0.7 + 0.5) / 2, (0.7 + 0.3) / 2, (0.5 + 0.3) / 2]
    assert centrality(scores).tolist() == pytest.approx(expected, abs=1e-12)
    assert centrality([[np.e, 1], [0, np.pi]]).tolist() == [0.5, 0.5]


def test_similarity_and_the_best():
    result = ModelCentrality(np.array([[1.0, 0.2], [0.6, 1.0]]), np.array([0.4, 0.4]))
    assert result.similarity.tolist() == [[1, 0.4], [0.4, 1]]
    assert result.best == 0
    assert ModelCentrality(result.scores, np.array([0.1, 0.4])).best == 1


def test_models_that_found_the_same_factors_agree_and_the_one_that_mixes_them_is_last():
    models = [linear_model(MIXING), *agreeing()]
    result = model_centrality(models, **FEW)
    assert result.scores.shape == (4, 4)
    assert np.diag(result.scores).tolist() == [1] * 4
    assert (result.scores[1:, 1:] == 1).all()
    assert (result.scores[0, 1:] < 0.9).all()
    assert result.centrality == pytest.approx(centrality(result.scores), abs=0)
    assert result.centrality.argmin() == 0
    assert result.best == 1


def test_rows_are_encoders_and_columns_are_generators():
    blind = linear_model(torch.eye(3), answer=torch.zeros(3, 3))
    scores = model_centrality([blind, linear_model(torch.eye(3))], **FEW).scores
    assert scores.tolist() == [[0, 0], [1, 1]]


def test_an_encoder_that_ignores_two_of_three_factors_is_at_chance():
    partial = linear_model(torch.eye(3), answer=torch.diag(torch.tensor([1.0, 0, 0])))
    whole = linear_model(torch.eye(3))
    scores = model_centrality([partial, whole], **FEW).scores
    assert scores[0].tolist() == pytest.approx([1 / 3, 1 / 3])
    faint = linear_model(torch.eye(3), answer=torch.diag(torch.tensor([1.0, 1, 1e-3])))
    assert model_centrality([faint, whole], **FEW).scores[0, 1] == 1
    assert model_centrality([faint, whole], **FEW, min_std=0.01).scores[0, 1] < 0.9


def test_the_order_of_the_models_changes_nothing_but_the_order():
    models = [linear_model(MIXING), linear_model(torch.eye(3)), linear_model(torch.randn(3, 3))]
    first, then = model_centrality(models, **FEW, seed=1), model_centrality(models[::-1], **FEW, seed=1)
    assert then.scores[::-1, ::-1].tolist() == first.scores.tolist()
    assert then.centrality[::-1] == pytest.approx(first.centrality)


def test_it_depends_on_the_seed_and_leaves_models_and_randomness_as_they_were():
    models = [InfoGAN(dense_generator(), dense_discriminator(), LATENT, seed=seed).train() for seed in range(2)]
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in models]
    state = torch.get_rng_state()
    first, again, batched = (model_centrality(models, **FEW, seed=2, batch_size=size) for size in (512, 512, 111))
    assert torch.equal(state, torch.get_rng_state())
    assert first.scores.tolist() == again.scores.tolist()
    assert batched.scores == pytest.approx(first.scores, abs=0.05)
    assert any(model_centrality(models, **FEW, seed=s).scores.tolist() != first.scores.tolist() for s in (3, 4, 5))
    assert ((first.scores >= 0) & (first.scores <= 1)).all()
    assert all(part.training for model in models for part in model.modules())
    for model, values in zip(models, before, strict=True):
        assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())


def test_a_fixed_dimension_is_shared_by_its_group_alone(monkeypatch):
    decoded, scored = [], []
    models = agreeing()[:2]
    for model in models:
        monkeypatch.setattr(
            model, "decode", lambda latents, decode=model.decode: decoded.append(latents) or decode(latents)
        )
    module = importlib.import_module("infogan_lib.evaluation.centrality")  # not a function of that name
    monkeypatch.setattr(module, "vote_score", lambda *parts, min_std: scored.append(parts) or 0)
    model_centrality(models, num_votes=6, group_size=4, num_samples=10, batch_size=10**6)
    assert len(decoded) == 2
    groups = decoded[0][:48].reshape(12, 4, 6)
    for number, group in enumerate(groups):
        shared = (group == group[0]).all(dim=0)
        assert shared[3 + number % 3]
        assert shared[[0, 3, 4, 5]].sum() == 1
    result, fixed, reference = scored[0]
    assert result == pytest.approx(groups[:, :, 3:].numpy())
    assert fixed.tolist() == [0, 1, 2] * 4
    assert reference == pytest.approx(decoded[0][48:, 3:].numpy())


def test_codes_of_several_names_count_as_one_vector():
    latent = LatentSpec(a=Gaussian(1), z=Noise(2), kind=Categorical(3), b=Uniform(1, loss=MSE()))
    models = [InfoGAN(dense_generator(7), dense_discriminator(), latent, seed=seed) for seed in range(2)]
    assert model_centrality(models, num_votes=4, group_size=5, num_samples=50).scores.shape == (2, 2)


def with_latent(latent):
    return InfoGAN(dense_generator(latent.width), dense_discriminator(), latent)


def usual(shape=(1, 4, 4), end=None):
    return InfoGAN(dense_generator(shape=shape, end=end), dense_discriminator(shape), LATENT)


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        (list, ValueError, "give at least 2, but got 0"),
        (lambda: [usual()], ValueError, "give at least 2, but got 1"),
        (lambda: [usual(), nn.Linear(2, 2)], TypeError, "but model 1 is .*Linear"),
        (
            lambda: [usual(), with_latent(LatentSpec(z=Noise(2), digit=Categorical(4)))],
            ValueError,
            r"model 1 has 0; give it a Uniform\(2\)",
        ),
        (lambda: [with_latent(LatentSpec(z=Noise(2), style=Uniform(1))), usual()], ValueError, "model 0 has 1"),
        (lambda: [usual(), usual((1, 4, 5))], ValueError, r"model 0 generates \(1, 4, 4\) and model 1 \(1, 4, 5\)"),
        (lambda: [usual(), usual(end=nn.Sigmoid())], ValueError, r"model 0 is \(-1.0, 1.0\) and that of model 1 \(0.0"),
    ],
)
def test_models_that_cannot_be_compared(models, error, message):
    with pytest.raises(error, match=message):
        model_centrality(models())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_votes": 2}, "num_votes must be a whole number of at least 3"),
        ({"group_size": 1}, "group_size must be"),
        ({"num_samples": 1}, "num_samples must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"seed": -1}, "seed must be"),
        ({"min_std": -0.1, **FEW}, "min_std must be"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        model_centrality(agreeing(), **settings)


@pytest.mark.parametrize("scores", [[[1.0]], [[1, 2, 3], [4, 5, 6]], [1, 2], [[1, np.nan], [0, 1]]])
def test_tables_that_are_none(scores):
    with pytest.raises(ValueError, match=r"scores must be a table \(M, M\) of finite numbers with M >= 2"):
        centrality(scores)
