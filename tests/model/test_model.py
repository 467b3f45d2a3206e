"""The model: any networks, sampling, encoding, traversing, and what it refuses."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, Tap, Uniform
from infogan_lib.losses import MSE, PointEstimate
from infogan_lib.networks.ema import make_ema
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator, images


def model(**changes):
    return InfoGAN(dense_generator(), dense_discriminator(), LATENT, **changes)


SHAPES = {
    "grey": (1, 4, 4),
    "color": (3, 5, 7),
    "sound": (2, 24),
    "vector": (10,),
    "volume": (1, 3, 4, 5),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_images_of_any_shape(shape):
    gan = InfoGAN(dense_generator(shape=shape), dense_discriminator(shape=shape), LATENT)
    assert gan.image_shape == shape
    assert gan.sample(3).shape == (3, *shape)
    posterior = gan.encode(torch.zeros(4, *shape))
    assert posterior["digit"].probs.shape == (4, 4)
    assert posterior["style"].mean.shape == (4, 2)
    assert gan.traverse("style", steps=6, n=2).shape == (12, *shape)


def test_the_users_modules_are_the_ones_in_the_model():
    generator, discriminator = dense_generator(), dense_discriminator()
    keys = list(generator.state_dict()), list(discriminator.state_dict())
    gan = InfoGAN(generator, discriminator, LATENT)
    assert gan.generator is generator
    assert gan.discriminator is discriminator
    assert (list(generator.state_dict()), list(discriminator.state_dict())) == keys


def test_parts_partition_all_parameters():
    gan = model()
    groups = gan.parameter_groups()
    every = [id(p) for group in groups.values() for p in group]
    assert sorted(every) == sorted(id(p) for p in gan.parameters())
    assert [len(groups[part]) for part in ("trunk", "d_head")] == [2, 4]


def test_own_q_head_on_a_named_tap():
    head = nn.Linear(16, 8)
    gan = model(q_head=head, tap="3")
    x = images(5)
    gan.eval()
    torch.testing.assert_close(gan.discriminate(x).q_outputs, head(gan.discriminator[:4](x)))
    assert gan.q is head


def test_own_q_head_may_return_parts():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.category, self.mean, self.scale = nn.Linear(16, 4), nn.Linear(16, 2), nn.Linear(16, 2)

        def forward(self, features):
            return {"digit": self.category(features), "mean": self.mean(features), "scale": self.scale(features)}

    assert model(q_head=Parts()).discriminate(images(5)).q_outputs.shape == (5, 8)


def test_a_separate_q_network_shares_nothing():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    gan = model(q_network=network)
    groups = gan.parameter_groups()
    assert groups["trunk"] == []
    assert len(groups["d_head"]) == len(list(gan.discriminator.parameters()))
    assert torch.equal(gan.forward_q(images(3)), network(images(3)))


def test_a_tuple_discriminators_own_layers_are_its_q_head():
    gan = InfoGAN(PartsGenerator(), TupleDiscriminator(), LATENT)
    names = {id(p): name for name, p in gan.discriminator.named_parameters()}
    groups = {
        part: {names[id(p)].split(".")[0] for p in params}
        for part, params in gan.parameter_groups().items()
        if part != "generator"
    }
    assert groups == {"trunk": {"trunk"}, "d_head": {"validity"}, "q_head": {"category", "style"}}


def test_sample_takes_categories_styles_and_seeds():
    """A generator that shows its latent: the codes asked for are the ones it got."""
    gan = InfoGAN(nn.Sequential(nn.Linear(11, 11, bias=False)), dense_discriminator((11,)), LATENT)
    with torch.no_grad():
        gan.generator[0].weight.copy_(torch.eye(11))
    x = gan.sample(6, digit=2, style=[-1.0, 0.5], seed=4)
    assert x[:, 5:].tolist() == [[0, 0, 1, 0, -1.0, 0.5]] * 6
    assert x[:, :5].unique().numel() == 30
    assert gan.sample(4, digit=[0, 1, 2, 3])[:, 5:9].tolist() == torch.eye(4).tolist()
    assert torch.equal(gan.sample(3, seed=9), gan.sample(3, seed=9))
    assert not torch.equal(gan.sample(3, seed=9), gan.sample(3, seed=10))
    first, again = (gan.sample(3, rng=torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(gan.sample(3), gan.sample(3))


def test_traverse_moves_one_code_only():
    gan = InfoGAN(nn.Sequential(nn.Linear(11, 11, bias=False)), dense_discriminator((11,)), LATENT)
    with torch.no_grad():
        gan.generator[0].weight.copy_(torch.eye(11))
    x = gan.traverse("style", dim=1, steps=5, n=2, digit=3, seed=1).unflatten(0, (2, 5))
    torch.testing.assert_close(x[:, :, 10], torch.linspace(-1, 1, 5).expand(2, 5))
    assert (x[:, :, :10] == x[:, :1, :10]).all()
    assert (x[:, :, 8] == 1).all()
    assert gan.traverse("digit").shape == (4, 11)


def test_sampling_leaves_modes_gradients_and_random_state():
    gan = model()
    state = torch.get_rng_state()
    x = gan.sample(8, seed=1)
    gan.encode(x)
    assert not x.requires_grad
    assert all(m.training for m in gan.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_sample_is_in_eval_mode():
    gan = model()
    assert torch.equal(
        gan.sample(1, rng=torch.Generator().manual_seed(3))[0],
        gan.decode(gan.latent.sample(1, rng=torch.Generator().manual_seed(3)))[0],
    )
    many = gan.sample(700, seed=3)
    assert many.shape[0] == 700  # more than one batch


def test_encode_gives_torch_distributions():
    x = images(600)
    gan = model()
    posterior = gan.encode(x, batch_size=256)
    assert posterior["digit"].probs.sum(1).allclose(torch.ones(600))
    assert posterior["digit"].log_prob(torch.eye(4)[[0] * 600]).shape == (600,)
    assert (posterior["style"].stddev > 0).all()
    whole = gan.eval().latent.posteriors(gan.forward_q(x))
    torch.testing.assert_close(posterior["digit"].probs, whole["digit"].probs)


def test_encode_takes_bytes_in_the_generators_range():
    bytes_ = torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4) * 8
    gan = model()
    assert gan.pixel_range == (-1, 1)
    expected = gan.encode(bytes_.float() / 127.5 - 1)
    torch.testing.assert_close(gan.encode(bytes_)["digit"].probs, expected["digit"].probs)


def test_mse_gives_a_point_estimate():
    spec = LatentSpec(z=Noise(5), digit=Categorical(4), style=Uniform(2, loss=MSE()))
    gan = InfoGAN(dense_generator(), dense_discriminator(), spec)
    assert isinstance(gan.encode(images(3))["style"], PointEstimate)


def test_default_head_is_seeded_apart_from_the_global_generator():
    parts = dense_generator(), dense_discriminator()
    weights = [InfoGAN(*parts, LATENT, seed=s).q.out.weight for s in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_models_can_be_copied_and_collected():
    gan = model()
    twin = copy.deepcopy(gan)
    assert torch.equal(gan.sample(2, seed=0), twin.sample(2, seed=0))
    assert all(a is not b for a, b in zip(gan.parameters(), twin.parameters(), strict=True))
    assert {id(p) for g in twin.parameter_groups().values() for p in g} == {id(p) for p in twin.parameters()}
    gone = weakref.ref(twin)
    del twin
    gc.collect()
    assert gone() is None


def test_state_dict_round_trip():
    first, second = model(), model(seed=8)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.sample(2, seed=0), second.sample(2, seed=0))


def test_outputs_by_name_are_put_into_order():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.style, self.digit = nn.Linear(16, 4), nn.Linear(16, 4)

        def forward(self, features):
            return {"style": self.style(features), "digit": self.digit(features)}

    head = Named()
    gan = model(q_head=head, tap="3").eval()
    x = images(5)
    features = gan.discriminator[:4](x)
    torch.testing.assert_close(gan.encode(x)["digit"].logits.softmax(1), head.digit(features).softmax(1))


def test_the_tap_is_not_the_validity_itself():
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 1), nn.BatchNorm1d(1))
    gan = InfoGAN(dense_generator(), discriminator, LATENT)
    assert gan.discriminator_adapter.tap == Tap("3", "input")


def test_layers_called_by_keyword_can_be_tapped():
    class ByKeyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(16, 12), nn.Linear(12, 1)

        def forward(self, x):
            return self.b(input=self.a(input=x.flatten(1)).relu())

    assert InfoGAN(dense_generator(), ByKeyword(), LATENT).discriminate(images(3)).q_outputs.shape == (3, 8)


def test_a_frozen_discriminators_sigmoid_is_seen():
    discriminator = nn.Sequential(*dense_discriminator(norm=False), nn.Sigmoid()).requires_grad_(False)
    gan = InfoGAN(dense_generator(), discriminator, LATENT)
    x = images(3)
    torch.testing.assert_close(gan.discriminate(x).logits, discriminator[:-1](x))


@pytest.mark.parametrize(
    "end", [lambda p: p.sigmoid_(), lambda p: p.sigmoid()[:, 0], lambda p: p.sigmoid().clamp(1e-6, 1 - 1e-6)]
)
def test_sigmoids_in_place_indexed_or_clamped_are_seen(end):
    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = dense_discriminator(norm=False)

        def forward(self, x):
            return end(self.body(x))

    discriminator, x = Ends(), images(3)
    gan = InfoGAN(dense_generator(), discriminator, LATENT)
    expected = discriminator.body(x).flatten()
    torch.testing.assert_close(gan.discriminate(x).logits.flatten(), expected, rtol=1e-3, atol=1e-3)


def test_global_generators_of_all_devices_are_left_alone(monkeypatch):
    called = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", called.append)
    model(seed=7)
    assert called == []


def test_bytes_need_a_known_range():
    gan = InfoGAN(dense_generator(end=nn.Identity()), dense_discriminator(), LATENT)
    assert gan.pixel_range is None
    with pytest.raises(ValueError, match="set model.pixel_range"):
        gan.encode(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    gan.pixel_range = (0, 1)
    gan.encode(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))


def test_the_pixel_range_is_an_argument():
    assert model(pixel_range=(0, 2)).pixel_range == (0, 2)
    assert model(pixel_range=(0, 2)).output_range == (-1, 1)
    unbounded = InfoGAN(dense_generator(end=nn.Identity()), dense_discriminator(), LATENT, pixel_range=(0.0, 1.0))
    bytes_ = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
    torch.testing.assert_close(unbounded.q_outputs(bytes_), unbounded.q_outputs(torch.ones(2, 1, 4, 4)))


def test_a_model_is_trained_on_where_it_was_moved_to():
    """Moved to another dtype and, on the meta device, to another place: nothing of the old one is left in it."""
    gan = model()
    gan.ema_generator = make_ema(gan.generator, 0.9)
    gan.double()
    result = gan.discriminate(gan.generate(gan.latent.sample(4).double()))
    gan.latent.nll(result.q_outputs, gan.latent.sample(4).double())
    result.logits.sum().backward()
    assert all(p.grad is not None for p in gan.parameter_groups()["trunk"])
    assert gan.sample(2).dtype == torch.float64
    assert gan.q_outputs(images(3)).dtype == torch.float64
    gan.to("meta")
    result = gan.discriminate(gan.generate(torch.zeros(4, LATENT.width, dtype=torch.float64, device="meta")))
    assert (result.logits.device.type, result.q_outputs.shape) == ("meta", (4, 8))
    assert sum(len(group) for group in gan.parameter_groups().values()) == len(
        [p for p in gan.parameters() if p.requires_grad]
    )


@pytest.mark.cuda
def test_a_model_built_on_the_cpu_is_used_on_cuda():
    gan = model().to("cuda")
    expected = model().load_state_dict(gan.state_dict())
    assert not expected.missing_keys
    assert gan.sample(3, seed=0).device.type == "cuda"
    assert gan.q_outputs(images(3)).device.type == "cuda"
    assert gan.discriminate(images(4).cuda()).q_outputs.shape == (4, 8)
