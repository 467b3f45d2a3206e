"""`discriminate` as one graph: traced with fake tensors, which have no data, and compiled whole."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from infogan_lib import InfoGAN, Tap
from toys import LATENT, TupleDiscriminator, dense_discriminator, dense_generator, images

DISCRIMINATORS = {
    "logits": dense_discriminator,
    "ends in a Sigmoid": lambda: dense_discriminator().append(nn.Sigmoid()),
    "two Sigmoids": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 9), nn.Sigmoid(), nn.Linear(9, 1), nn.Sigmoid()),
    "tuple": TupleDiscriminator,
}


def hooks(module):
    return [hook for m in module.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


@pytest.mark.parametrize("make", DISCRIMINATORS.values(), ids=DISCRIMINATORS)
@pytest.mark.parametrize("tapping", [False, True])
def test_discriminate_can_be_traced_with_fake_tensors(make, tapping):
    model = InfoGAN(dense_generator(), make(), LATENT)

    class Discriminate(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return tuple(self.model.discriminate(x))

    module, x = Discriminate(), images(6)
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def call(state, x):
        return functional_call(module, state, (x,))

    if tapping:
        with model.tapping():
            graph = make_fx(call, tracing_mode="fake")(state, x)
    else:
        graph = make_fx(call, tracing_mode="fake")(state, x)
    clone = {name: value.detach().clone() for name, value in state.items()}
    for traced, plain in zip(graph(clone, x), model.discriminate(x), strict=True):
        assert torch.equal(traced, plain)


@pytest.mark.parametrize("make", DISCRIMINATORS.values(), ids=DISCRIMINATORS)
@pytest.mark.parametrize("training", [True, False])
def test_discriminate_compiles_whole_while_tapping(make, training):
    torch.compiler.reset()
    model = InfoGAN(dense_generator(), make(), LATENT).train(training)
    twin = copy.deepcopy(model)
    with model.tapping():
        compiled = torch.compile(model.discriminate, fullgraph=True, backend="eager")
        for seed in range(3):
            x = images(6, seed=seed)
            result, expected = compiled(x), twin.discriminate(x)
            assert torch.equal(result.logits, expected.logits)
            assert torch.equal(result.q_outputs, expected.q_outputs)
    assert not hooks(model.discriminator)


def test_logits_are_those_of_the_call_that_was_found():
    model = InfoGAN(dense_generator(), DISCRIMINATORS["two Sigmoids"](), LATENT)
    x = images(5)
    assert torch.equal(model.discriminate(x).logits, model.discriminator[:4](x))


def test_another_number_of_sigmoids_is_not_counted_on():
    """Where a pass makes other calls than the dry run, the probabilities are inverted."""

    class Varies(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = dense_discriminator(norm=False)

        def forward(self, x):
            logits = self.body(x)
            if self.training:
                torch.sigmoid(logits + 1)
            return torch.sigmoid(logits)

    model, x = (
        InfoGAN(dense_generator(), Varies(), LATENT, discriminator_output="probabilities", tap="body.3"),
        images(5),
    )
    for training in (True, False):
        model.train(training)
        logits = model.discriminate(x).logits
        torch.testing.assert_close(logits, model.discriminator.body(x), rtol=1e-4, atol=1e-4)


def test_the_hook_stays_for_the_context_and_no_longer():
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    x = images(4)
    model.eval()
    expected = model.discriminate(x).q_outputs
    with model.tapping():
        (hook,) = hooks(model.discriminator)
        with model.tapping():
            assert hooks(model.discriminator) == [hook]
            assert torch.equal(model.discriminate(x).q_outputs, expected)
        assert hooks(model.discriminator) == [hook]
        assert torch.equal(model.forward_q(x), expected)
        assert hook.features is None  # an activation is not kept
    assert not hooks(model.discriminator)
    assert torch.equal(model.discriminate(x).q_outputs, expected)
    with pytest.raises(KeyError), model.tapping():
        raise KeyError
    assert not hooks(model.discriminator)
    assert torch.equal(model.discriminate(x).q_outputs, expected)


@pytest.mark.parametrize("at", ["input", "output"])
def test_copies_made_while_tapping_are_sound_and_keep_nothing(at):
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT, tap=Tap("1", at)).eval()
    x = images(4)
    expected = model.discriminate(x)

    def through_file(module):
        buffer = io.BytesIO()
        torch.save(module, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=False)

    with model.tapping():
        model.discriminator(x)
        for copied in (copy.deepcopy, through_file, lambda module: pickle.loads(pickle.dumps(module))):
            discriminator = copied(model.discriminator)
            assert torch.equal(discriminator(x), expected.logits)
            assert all(hook.features is None for hook in hooks(discriminator))
            twin = copied(model)
            assert torch.equal(twin.discriminate(x).q_outputs, expected.q_outputs)
        assert torch.equal(model.discriminate(x).q_outputs, expected.q_outputs)


def test_a_model_without_a_tap_needs_no_hook():
    model = InfoGAN(dense_generator(), TupleDiscriminator(), LATENT)
    with model.tapping():
        assert not hooks(model.discriminator)
