"""The evaluating callback: what it records, when, and that it does not affect the run."""

import pytest
import torch

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.evaluation import Evaluator, code_information
from infogan_lib.metrics import match_categories
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def toy(latent=LATENT, g=None):
    torch.manual_seed(0)
    return make_trainer(g or dense_generator(), dense_discriminator(), latent, device="cpu")


LABELS = torch.arange(64) % 4


def test_metrics_are_recorded_at_multiples_of_every():
    t = toy()
    t.fit(images(64), steps=7, batch_size=8, callbacks=[Evaluator(images(64), LABELS, every=3, samples=50)])
    names = {name for name in t.history if name.startswith("eval/")}
    assert names == {f"eval/{name}" for name in ("bound/digit", "bound/style", "accuracy/digit", "purity/digit")} | {
        "eval/nmi/digit",
        "eval/ari/digit",
    }
    assert t.history.steps("eval/nmi/digit").tolist() == [3, 6]


def test_metrics_are_those_of_the_current_model():
    t = toy()
    evaluator = Evaluator(images(64), LABELS, every=1, samples=50)
    assert evaluator.every == 1
    t.fit(images(64), steps=2, batch_size=8, callbacks=[evaluator])
    categories = t.model.encode(images(64))["digit"].mode.argmax(1)
    match = match_categories(categories, LABELS, category_count=4)
    assert t.history["eval/accuracy/digit"][-1] == match.accuracy
    assert t.history["eval/purity/digit"][-1] == match.purity
    assert t.history["eval/nmi/digit"][-1] == match.nmi
    assert t.history["eval/ari/digit"][-1] == match.ari
    assert t.history["eval/bound/style"][-1] == code_information(t.model, n=50)["style"].bound


def test_without_labels_and_with_a_squared_error():
    latent = ig.LatentSpec(z=ig.Noise(9), style=ig.Uniform(2, loss=losses.MSE()))
    t = toy(latent)
    t.fit(images(64), steps=2, batch_size=8, callbacks=[Evaluator(every=2, samples=50)])
    assert {name for name in t.history if name.startswith("eval/")} == {"eval/mse/style"}
    assert t.history["eval/mse/style"].tolist() == [code_information(t.model, n=50)["style"].loss]


class Noisy(torch.nn.Module):
    """Noise from torch's global generator, in training and in evaluation."""

    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


def test_the_run_is_bitwise_the_same_as_without():
    def train(callbacks):
        torch.manual_seed(2)
        t = toy(g=torch.nn.Sequential(Noisy(), *dense_generator()))
        torch.manual_seed(1)
        t.fit(images(64), steps=6, batch_size=8, callbacks=callbacks)
        return t.model.state_dict()

    alone, evaluated = train([]), train([Evaluator(images(64), LABELS, every=1, samples=20)])
    assert all(torch.equal(alone[name], evaluated[name]) for name in alone)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Evaluator(images(8)), ValueError, "give images and their labels together"),
        (lambda: Evaluator(images(8), torch.zeros(7).long()), ValueError, "a label for each image, but got 8 and 7"),
        (lambda: Evaluator(every=0), ValueError, "every must be a whole number of at least 1"),
        (lambda: Evaluator(samples=1), ValueError, "samples must be a whole number of at least 2"),
        (
            lambda: toy().fit(images(8), steps=1, batch_size=8, callbacks=[Evaluator(images(8), LABELS[:8], code="x")]),
            KeyError,
            "no 'x' in this latent",
        ),
        (
            lambda: toy().fit(
                images(8), steps=1, batch_size=8, callbacks=[Evaluator(images(8, (1, 5, 5)), LABELS[:8])]
            ),
            ValueError,
            r"images must have shape \(N, 1, 4, 4\)",
        ),
        (
            lambda: toy().fit(images(8), steps=1, batch_size=8, callbacks=[Evaluator(images(8), LABELS[:8] / 2)]),
            ValueError,
            "labels must be whole numbers from 0",
        ),
    ],
)
def test_bad_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()
