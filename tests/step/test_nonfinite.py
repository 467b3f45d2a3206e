"""NaN and infinity put everywhere: training stops within the step, says where, and nothing has changed."""

import copy

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import (
    Checkpoints,
    losses,
)
from infogan_lib.regularizers import RealImageInformation, RealImageRegularizer
from toys import (
    LATENT,
    TupleDiscriminator,
    dense_discriminator,
    dense_generator,
    images,
    make_trainer,
)

BAD = [float("nan"), float("inf"), float("-inf")]


def everything(t):
    optimizers = [o.state_dict() for o in t.optimizers.values()]
    return copy.deepcopy([t.model.state_dict(), optimizers, t.streams.state_dict(), t.scaler.state_dict(), t.launched])


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def stops(t, match, error=ig.NonFiniteLossError, data=None):
    """The next step stops, and leaves the trainer as it was."""
    before, steps = everything(t), t.steps
    with pytest.raises(error, match=match) as stopped:
        t.step(images(8) if data is None else data)
    assert equal(everything(t), before)
    assert all(p.grad is None for p in t.model.parameters())
    assert (t.steps, len(t.history["loss/d"])) == (steps, steps)
    return stopped.value


class Sabotage(losses.NonSaturating):
    """A game of which one term goes bad at one of its calls, in its value or in its gradient alone."""

    def __init__(self, term, value, call, gradient):
        object.__setattr__(self, "plan", (term, value, gradient))
        object.__setattr__(self, "calls", [call])

    def _spoil(self, term, logits, loss):
        wanted, value, gradient = self.plan
        if term != wanted:
            return loss
        self.calls[0] -= 1
        if self.calls[0] != 0:
            return loss
        if gradient:
            return loss + torch.sqrt(logits * 0)  # 0, with a gradient of 0 / 0
        return loss * value

    def real(self, logits):
        return self._spoil("real", logits, super().real(logits))

    def fake(self, logits):
        return self._spoil("fake", logits, super().fake(logits))

    def generator(self, logits):
        return self._spoil("generator", logits, super().generator(logits))


TERMS = {
    "real": ("real", 3, "discriminator's loss on real images"),
    "fake": ("fake", 3, "discriminator's loss on fakes"),
    "generator": ("generator", 3, "generator's adversarial loss"),
}


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(("term", "call", "message"), TERMS.values(), ids=TERMS)
def test_a_term_of_the_game(term, call, message, value):
    t = make_trainer(adversarial=Sabotage(term, value, call, gradient=False), ema_decay=0.9)
    for _ in range(2):
        t.step(images(8))
    stopped = stops(t, f"the {message} became .* in step 2; the step was rolled back. Likely causes")
    assert (stopped.term, stopped.step) == (message, 2)
    t.step(images(8))


@pytest.mark.parametrize("term", ["real", "fake"])
def test_a_term_of_the_game_in_joint_batches(term):
    """What is not finite in one kind of image may be so in the other through BatchNorm, so neither is blamed."""
    regularizer = RealImageInformation("digit", augment=lambda x, g: x.flip(-1))
    t = make_trainer(
        adversarial=Sabotage(term, float("nan"), 3, gradient=False), joint_batches=True, regularizers=[regularizer]
    )
    for _ in range(2):
        t.step(images(8))
    stops(t, "the discriminator's loss became nan in step 2")
    t.step(images(8))


@pytest.mark.parametrize(
    ("term", "call", "whose"),
    [("real", 3, "discriminator"), ("fake", 3, "discriminator"), ("generator", 3, "generator")],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_gradient_alone(term, call, whose, accumulate):
    call = call if accumulate == 1 else 2 * call - 1
    t = make_trainer(adversarial=Sabotage(term, 0.0, call, gradient=True), accumulation_steps=accumulate)
    for _ in range(2):
        t.step(images(8))
    stops(t, f"the gradient of the {whose} became nan in step 2")
    t.step(images(8))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("code", ["digit", "style"])
@pytest.mark.parametrize("trains", [["generator", "q_head", "trunk"], ["generator", "q_head"], ["q_head"]])
def test_an_information_loss(code, value, trains):
    class Spoilt(losses.CrossEntropy if code == "digit" else losses.NormalNLL):
        bad = False

        def __call__(self, raw, target):
            return super().__call__(raw, target) * (value if Spoilt.bad else 1.0)

    latent = ig.LatentSpec(
        z=ig.Noise(5),
        digit=ig.Categorical(4, loss=Spoilt()) if code == "digit" else ig.Categorical(4),
        style=ig.Uniform(2, loss=Spoilt()) if code == "style" else ig.Uniform(2),
    )
    torch.manual_seed(0)
    t = make_trainer(dense_generator(), dense_discriminator(), latent, information_trains=trains)
    t.step(images(8))
    Spoilt.bad = True
    stops(t, f"the information loss of '{code}' became .* in step 1")


@pytest.mark.parametrize("value", BAD)
def test_a_regularizer(value):
    class Spoilt(RealImageRegularizer):
        name, weight, bad = "spoilt", 0.5, False

        def __call__(self, latent, real, q_outputs, q, rng):
            return (q_outputs - q(real)).mean() + (value if self.bad else 0.0)

    regularizer = Spoilt()
    t = make_trainer(regularizers=[regularizer, RealImageInformation("digit")])
    t.step(images(8))
    regularizer.bad = True
    stops(t, "the regularizer 'spoilt' became .* in step 1")


NAMES = list(make_trainer(ema_decay=0.9).model.state_dict())


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", [name for name in NAMES if "num_batches" not in name and "n_averaged" not in name])
def test_a_weight(name, value):
    t = make_trainer(ema_decay=0.9)
    t.step(images(8))
    t.model.state_dict()[name].flatten()[0] = value
    stops(t, f"the weight '{name}' became .* in step 1")


@pytest.mark.parametrize("value", BAD)
def test_a_weight_of_a_separate_q(value):
    q = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    torch.manual_seed(0)
    t = make_trainer(q_network=q)
    t.step(images(8))
    q[1].weight.data[0, 0] = value
    stops(t, "the weight 'q.1.weight' became .* in step 1")


@pytest.mark.parametrize("value", BAD)
def test_a_discriminator_that_holds_q(value):
    torch.manual_seed(0)
    t = make_trainer(dense_generator(), TupleDiscriminator(), LATENT)
    t.step(images(8))
    t.model.discriminator.style.bias.data[0] = value
    stops(t, "the weight 'discriminator.style.bias' became .* in step 1")


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("kind", ["tensor", "list of batches"])
def test_the_data(value, kind):
    data = images(24)
    data[20, 0, 1, 2] = value
    t = make_trainer()
    if kind == "tensor":
        with pytest.raises(ValueError, match="data must be finite, but 1 of 24 images hold NaN or infinite values"):
            t.fit(data, steps=3, batch_size=8)
        assert t.steps == 0
    else:
        for batch in data[:16].split(8):
            t.step(batch)
        stops(t, "the batch of step 2 holds NaN or infinite values; clean the data", ValueError, data[16:])


def test_with_several_updates_of_g_all_are_undone():
    t = make_trainer(g_steps=3, adversarial=Sabotage("generator", float("nan"), 6, gradient=False))
    t.step(images(8))
    stops(t, "generator's adversarial loss")


def test_the_average_is_undone_with_several_updates_of_g():
    t = make_trainer(g_steps=2, ema_decay=0.5, adversarial=Sabotage("generator", float("nan"), 4, gradient=False))
    t.step(images(8))
    stops(t, "generator's adversarial loss")


def test_the_first_step_of_all_is_undone_too():
    t = make_trainer(adversarial=Sabotage("generator", float("nan"), 1, gradient=False))
    before = everything(t)
    with pytest.raises(ig.NonFiniteLossError):
        t.step(images(8))
    assert equal(everything(t), before)
    assert not t.optimizers["d"].state


def test_the_last_good_checkpoint_stays_and_is_named(tmp_path):
    def run(game):
        t = make_trainer(adversarial=game)
        t.fit(images(24), steps=9, batch_size=8, checkpoints=Checkpoints(tmp_path, every=2))
        return t

    with pytest.raises(ig.NonFiniteLossError, match="in step 5") as stopped:
        run(Sabotage("real", float("nan"), 6, gradient=False))
    assert stopped.value.__notes__ == [f"The last checkpoint of the run is {tmp_path}/checkpoints/step_0000000004."]
    again = run(Sabotage("real", float("nan"), 100, gradient=False))
    assert again.steps == 9


def test_an_error_of_the_users_in_the_middle_of_a_step_is_undone_too():
    class Raises(losses.NonSaturating):
        calls = 0

        def generator(self, logits):
            Raises.calls += 1
            if Raises.calls == 2:
                raise KeyError("mine")
            return super().generator(logits)

    t = make_trainer(adversarial=Raises())
    t.step(images(8))
    before = everything(t)
    with pytest.raises(KeyError):
        t.step(images(8))
    assert equal(everything(t), before)


@pytest.mark.parametrize("value", [float("-inf"), torch.finfo(torch.float32).min, 1e30])
@pytest.mark.parametrize("persistent", [True, False])
def test_buffers_may_hold_what_they_like(value, persistent):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.full((3,), value), persistent=persistent)

        def forward(self, x):
            return x

    discriminator = dense_discriminator()
    discriminator.insert(1, Masked())
    torch.manual_seed(0)
    t = make_trainer(dense_generator(), discriminator, LATENT)
    t.step(images(8))
    assert t.steps == 1


def test_very_large_weights_are_still_weights():
    t = make_trainer()
    t.model.generator[3].bias.data[0] = 1e25  # its square is not finite in float32
    t.step(images(8))
    assert t.steps == 1


def test_buffers_that_a_forward_pass_replaces_are_undone():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen = self.seen + 1
            return x

    discriminator = dense_discriminator()
    discriminator.insert(1, Counts())
    torch.manual_seed(0)
    game = Sabotage("generator", float("nan"), 2, gradient=False)
    t = make_trainer(dense_generator(), discriminator, LATENT, adversarial=game)
    t.step(images(8))
    stops(t, "generator's adversarial loss")
