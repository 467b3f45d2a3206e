"""How user networks take their input, and where their features and logits are."""

from contextlib import suppress
from functools import partial

import pytest
import torch
from torch import nn

from infogan_lib import InfoGAN, QHead, Tap
from infogan_lib.networks import BatchNormQHead
from infogan_lib.networks.discriminator_adapter import DiscriminatorAdapter, infer_discriminator_adapter
from infogan_lib.networks.generator_adapter import infer_generator_adapter
from infogan_lib.networks.introspection import eval_mode
from infogan_lib.networks.tap import capture_features
from line_interrupts import interrupted_at_line
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator, images


def conv_generator(dims, width=LATENT.width):
    conv = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    return nn.Sequential(conv(width, 4, 4), nn.ReLU(), conv(4, 1, 4, 2, 1), nn.Tanh())


@pytest.mark.parametrize(
    ("generator", "input", "shape"),
    [
        (dense_generator(), "flat", (1, 4, 4)),
        (nn.Sequential(nn.Linear(11, 30)), "flat", (30,)),
        (conv_generator(2), "2d", (1, 8, 8)),
        (conv_generator(1), "1d", (1, 8)),
        (conv_generator(3), "3d", (1, 8, 8, 8)),
        (PartsGenerator(), "separate", (1, 4, 4)),
    ],
)
def test_generator_input_is_found_by_a_dry_forward(generator, input, shape):
    adapter, images_ = infer_generator_adapter(generator, LATENT)
    assert adapter.input == input
    assert images_.shape == (2, *shape)
    assert infer_generator_adapter(generator, LATENT, input=input)[0] == adapter


def test_a_dry_forward_changes_nothing():
    generator, discriminator = dense_generator(), dense_discriminator()
    generator[1].eval()  # a mode of the user's own
    before = {k: v.clone() for k, v in {**generator.state_dict(), **discriminator.state_dict(prefix="d.")}.items()}
    state, modes = torch.get_rng_state(), [m.training for m in generator.modules()]
    InfoGAN(generator, discriminator, LATENT)
    after = {**generator.state_dict(), **discriminator.state_dict(prefix="d.")}
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in generator.modules()] == modes


def test_generator_of_another_width_is_told_what_was_tried():
    with pytest.raises(ValueError, match=r"latent of width 11 \(z 5 \+ digit 4 \+ style 2\)") as error:
        infer_generator_adapter(dense_generator(width=12), LATENT)
    assert "flat: RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x11 and 12x16)" in str(error.value)
    assert "must take 11 inputs" in str(error.value)


def test_generator_that_returns_no_batch_is_refused():
    class Mean(nn.Module):
        def forward(self, z):
            return z.mean()

    with pytest.raises(ValueError, match=r"flat: returned shape \(\) for a batch of 2"):
        infer_generator_adapter(Mean(), LATENT)


def test_nothing_stays_hooked():
    discriminator = dense_discriminator()
    model = InfoGAN(dense_generator(), discriminator, LATENT)
    model.discriminate(images(3))
    del model
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in discriminator.modules())


def test_nothing_stays_hooked_after_an_error_inside():
    discriminator = dense_discriminator()
    with pytest.raises(RuntimeError), capture_features(discriminator, Tap("1")):
        assert discriminator[1]._forward_hooks
        discriminator(torch.zeros(2, 3))
    assert not any(m._forward_hooks for m in discriminator.modules())


def test_a_named_tap_is_that_layers_output():
    discriminator = dense_discriminator(norm=False).eval()
    x = images(3)
    _, features = DiscriminatorAdapter("logits", Tap("1"))(discriminator, x)
    torch.testing.assert_close(features, discriminator[1](x.flatten(1)))


def test_unknown_tap_lists_the_taps_there_are():
    with pytest.raises(ValueError, match=r"no layer 'trunk' to tap; it has: 0 \(Flatten\), 1 \(Linear\)"):
        InfoGAN(dense_generator(), dense_discriminator(), LATENT, tap="trunk")


class FunctionalSigmoid(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.body, self.how = dense_discriminator(norm=False), how

    def forward(self, x):
        return self.how(self.body(x)).view(-1)


SIGMOIDS = {
    "module": nn.Sigmoid(),
    "torch.sigmoid": torch.sigmoid,
    "functional": nn.functional.sigmoid,
    "method": lambda x: x.sigmoid(),
    "squeezed": lambda x: torch.sigmoid(x).squeeze(1),
}


@pytest.mark.parametrize("how", SIGMOIDS.values(), ids=SIGMOIDS)
def test_logits_are_what_the_last_sigmoid_was_given(how):
    discriminator = FunctionalSigmoid(how)
    adapter = infer_discriminator_adapter(discriminator, images(2))[0]
    assert adapter.output == "probabilities"
    with torch.no_grad():
        discriminator.body[-1].weight.mul_(1e4)  # probabilities of exactly 0 and 1 in float32
    x = images(64)
    logits, _ = adapter(discriminator, x)
    assert torch.equal(logits, discriminator.body(x).view(-1))
    assert discriminator(x).max() == 1


def test_a_sigmoid_after_the_validity_does_not_hide_its_logits():
    class Gated(TupleDiscriminator):
        def forward(self, x):
            features = self.trunk(x)
            validity = self.validity(features)
            gated = features * torch.sigmoid(features)
            return validity, self.category(gated), self.style(gated)

    discriminator, x = Gated(), images(5)
    with torch.no_grad():
        discriminator.validity[0].bias.fill_(50)
    logits, _ = infer_discriminator_adapter(discriminator, x)[0](discriminator, x)
    assert torch.equal(logits, discriminator.validity[0](discriminator.trunk(x)))


def test_two_sigmoids_in_a_head_give_the_logits_of_the_last():
    """Lab 28's head: Conv, Sigmoid, Conv, Sigmoid."""
    trunk = nn.Sequential(nn.Conv2d(1, 8, 4), nn.LeakyReLU(0.1))
    head = nn.Sequential(nn.Conv2d(8, 6, 1), nn.Sigmoid(), nn.Conv2d(6, 1, 1), nn.Sigmoid())
    discriminator = nn.Sequential(trunk, head)
    adapter = infer_discriminator_adapter(discriminator, images(2), tap=Tap("0"))[0]
    logits, features = adapter(discriminator, images(3))
    assert torch.equal(logits, head[:3](trunk(images(3))))
    assert torch.equal(features, trunk(images(3)))


def test_probabilities_without_a_visible_sigmoid_are_inverted_stably():
    class Half(nn.Module):  # the sigmoid as (tanh + 1) / 2
        def __init__(self):
            super().__init__()
            self.body = dense_discriminator(norm=False)

        def forward(self, x):
            return (torch.tanh(self.body(x) / 2) + 1) / 2

    discriminator = Half().double()
    adapter = DiscriminatorAdapter("probabilities")
    x = images(16, dtype=torch.float64)
    torch.testing.assert_close(adapter(discriminator, x)[0], discriminator.body(x), rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        discriminator.body[-1].weight.mul_(1e6)
    logits, _ = adapter(discriminator, x)
    assert logits.isfinite().all()
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in discriminator.parameters())


def test_a_logit_discriminator_is_left_alone():
    assert infer_discriminator_adapter(dense_discriminator(), images(2))[0].output == "logits"


def test_a_tuple_discriminator_holds_q_itself():
    adapter = infer_discriminator_adapter(TupleDiscriminator(), images(2))[0]
    assert adapter == DiscriminatorAdapter("probabilities", None, returns_codes=True)
    logits, codes = adapter(TupleDiscriminator(), images(3))
    assert logits.shape == (3, 1)
    assert [part.shape for part in codes] == [(3, 4), (3, 4)]


def test_a_patch_discriminator_may_give_a_map():
    patch = nn.Sequential(nn.Conv2d(1, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))
    model = InfoGAN(dense_generator(), patch, LATENT)
    assert model.discriminate(images(3)).logits.shape == (3, 1, 2, 2)


def test_eval_mode_gives_every_submodule_its_own_mode_back():
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    network[1].eval()
    with pytest.raises(KeyError), eval_mode(network):
        assert not network[0].training
        raise KeyError
    assert network[0].training
    assert not network[1].training


def is_in_introspection(frame):
    return frame.f_globals.get("__name__") == "infogan_lib.networks.introspection"


def test_an_interrupt_at_any_line_leaves_every_submodule_in_its_own_mode():
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2), nn.ReLU())
    network[1].eval()
    modes = [module.training for module in network.modules()]
    interrupts, seen = 0, [0]
    while seen:
        interrupted = interrupted_at_line(interrupts, is_in_introspection)
        with interrupted as seen, suppress(KeyboardInterrupt), eval_mode(network):
            pass
        assert [module.training for module in network.modules()] == modes, seen
        interrupts += len(seen)
    assert interrupts > 15


def test_discriminators_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match=r"did not take images of shape \(2, 1, 4, 4\), which the generator makes"):
        InfoGAN(dense_generator(), nn.Linear(3, 1), LATENT)
    with pytest.raises(ValueError, match=r"one validity .* per image, shape \(2, \*\).*got shape \(1,\)"):
        InfoGAN(dense_generator(), nn.Sequential(nn.Flatten(0), nn.Linear(32, 1)), LATENT)
    with pytest.raises(ValueError, match="no layer with parameters was seen to run"):
        InfoGAN(dense_generator(), nn.Sequential(nn.Flatten(), nn.AvgPool1d(16)), LATENT)
    with pytest.raises(ValueError, match="nothing to tap"):
        InfoGAN(dense_generator(), TupleDiscriminator(), LATENT, tap="trunk")


@pytest.mark.parametrize("shape", [(7,), (3, 20), (5, 12, 9), (2, 3, 9, 9)])
def test_q_head_takes_features_of_any_shape(shape):
    head = QHead(shape, 6, hidden=4)
    assert head(torch.randn(3, *shape)).shape == (3, 6)


def test_q_head_halves_large_maps_until_they_have_eight_positions():
    head = QHead((16, 64, 64), 3)
    convolutions = [layer for layer in head.body if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(16, 32), (32, 64), (64, 128)]
    assert [layer.in_features for layer in head.body if isinstance(layer, nn.Linear)] == [128 * 8 * 8]
    assert not any(isinstance(layer, nn.Conv2d) for layer in QHead((16, 8, 8), 3).body)


@pytest.mark.parametrize("shape", [(7,), (3, 20), (5, 12, 9), (2, 3, 9, 9)])
def test_the_papers_head_takes_features_of_any_shape(shape):
    assert BatchNormQHead(shape, 6, hidden=4)(torch.randn(3, *shape)).shape == (3, 6)


def test_the_papers_head_averages_large_maps_down():
    assert BatchNormQHead((16, 64, 64), 3).body[0].in_features == 16 * 8 * 8
    assert BatchNormQHead((16, 4, 4), 3).body[0].in_features == 16 * 4 * 4


@pytest.mark.parametrize("head", [QHead, BatchNormQHead])
def test_heads_refuse_features_with_more_than_three_sides(head):
    with pytest.raises(ValueError, match="up to three sides, but got 4"):
        head((2, 9, 9, 9, 9), 3)


def test_q_of_one_image_does_not_depend_on_the_others():
    head, x = QHead((3, 12, 12), 5), torch.randn(4, 3, 12, 12)
    torch.testing.assert_close(head(x)[:1], head(x[:1]))


def test_a_head_can_be_made_from_the_features_shape():
    made = InfoGAN(dense_generator(), dense_discriminator(), LATENT, q_head=partial(QHead, hidden=3), seed=1)
    again = InfoGAN(dense_generator(), dense_discriminator(), LATENT, q_head=partial(QHead, hidden=3), seed=1)
    assert made.q.out.in_features == 3
    assert torch.equal(made.q.out.weight, again.q.out.weight)


def test_a_hook_that_an_interrupt_left_behind_is_not_used():
    """Ctrl-C may come between the end of `tapping` and the removal of its hook."""
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    with model.tapping():
        left = model._hook
    model._hook = left
    x = images(4)
    expected = model.forward_q(x)
    assert torch.equal(model.discriminate(x).q_outputs, expected)
    with model.tapping():
        assert model._hook is not left
        assert torch.equal(model.forward_q(x), expected)
