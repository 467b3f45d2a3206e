"""Where Q reads D unless told otherwise: before whatever looks at the batch, and within D's first half."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from infogan_lib import InfoGAN, Tap
from infogan_lib.networks.tap import default_tap
from toys import LATENT, dense_discriminator, dense_generator, images


def convolutions(*middle):
    """A DCGAN's D on 16 x 16 images, with these layers after its second convolution."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(4, 8, 4, 2, 1), *middle, nn.LeakyReLU(0.2)),
        *(nn.Conv2d(8, 8, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4), nn.Flatten()),
    )


SMALL = (2, 1, 16, 16)


class FunctionalBatchNorm(nn.Module):
    """A norm that no module is to be seen of."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(1, 4, 4, 2, 1), nn.Conv2d(4, 8, 4, 2, 1), nn.Linear(128, 1)
        self.middle = nn.Conv2d(8, 8, 3, 1, 1)

    def forward(self, x):
        x = F.batch_norm(self.first(x), None, None, training=True).relu()
        return self.third(self.middle(self.second(x)).relu().flatten(1))


class MinibatchDeviation(nn.Module):
    """A statistic over the batch as a further channel, as in Karras et al., 2018."""

    def forward(self, x):
        return torch.cat([x, x.std(0).mean().expand(len(x), 1, *x.shape[2:])], 1)


CASES = {
    "nothing looks at the batch: half of the four convolutions": (convolutions(), "4"),
    "BatchNorm": (convolutions(nn.BatchNorm2d(8)), "3"),
    "BatchNorm beyond the half": (nn.Sequential(*convolutions()[:6], nn.BatchNorm2d(8), *convolutions()[6:]), "4"),
    "GroupNorm sees each image by itself": (convolutions(nn.GroupNorm(2, 8)), "5"),
    "Dropout as well": (convolutions(nn.Dropout(0.3)), "5"),
    "spectral norm": (
        nn.Sequential(*(spectral_norm(m) if isinstance(m, nn.Conv2d) else m for m in convolutions())),
        "4",
    ),
    "a first layer that looks at the batch": (nn.Sequential(nn.BatchNorm2d(1), *convolutions()), "0"),
    "a layer of one's own that does": (
        nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), MinibatchDeviation(), nn.Conv2d(5, 8, 4, 2, 1), nn.Conv2d(8, 1, 4)),
        "1",
    ),
}


@pytest.mark.parametrize(("discriminator", "layer"), CASES.values(), ids=CASES)
def test_the_layer_found(discriminator, layer):
    assert default_tap(discriminator, torch.zeros(SMALL)) == Tap(layer, "input")


def test_a_functional_norm_is_found_between_the_layers():
    assert default_tap(FunctionalBatchNorm(), torch.zeros(SMALL)) == Tap("first", "output")


def test_the_order_of_running_decides_and_not_that_of_definition():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(8, 1)
            self.first = nn.Linear(16, 8)

        def forward(self, x):
            return self.last(self.first(x.flatten(1)).relu())

    assert default_tap(Backwards(), images(2)) == Tap("last", "input")


def test_a_scale_after_the_last_weights_is_no_layer_of_features():
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 1), nn.BatchNorm1d(1))
    assert default_tap(discriminator, images(2)) == Tap("3", "input")


@pytest.mark.parametrize("training", [True, False])
def test_d_is_left_as_it_was(training):
    discriminator = convolutions(nn.BatchNorm2d(8), nn.Dropout(0.2)).train(training)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    state = torch.get_rng_state()
    default_tap(discriminator, torch.zeros(SMALL))
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training == training for module in discriminator.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in discriminator.modules())


def test_q_does_not_see_the_batch_that_d_looks_at():
    torch.manual_seed(0)
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT).train()
    x, others = images(1), images(7, seed=1)
    one, other = model.forward_q(torch.cat([x, others]))[:1], model.forward_q(torch.cat([x, 3 * others]))[:1]
    torch.testing.assert_close(one, other)
    logits = [model.discriminate(torch.cat([x, scale * others])).logits[:1] for scale in (1, 3)]
    assert not torch.allclose(*logits)


def test_a_discriminator_without_layers_is_refused():
    with pytest.raises(ValueError, match="no layer with parameters was seen to run"):
        default_tap(nn.Sequential(nn.Flatten(), nn.LogSoftmax(1)), images(2))
