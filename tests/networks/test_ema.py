"""The averaged generator: which weights, running statistics and vectors of spectral norm it holds."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from infogan_lib.networks.ema import make_ema
from toys import LATENT, images, make_trainer


def generator(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*layers).double()


def train(g: nn.Module, ema, steps: int, width: int = 6) -> None:
    """Random steps of G, large enough that its average is far from it."""
    optimizer, rng = torch.optim.SGD(g.parameters(), 0.05), torch.Generator().manual_seed(1)
    for _ in range(steps):
        x, y = (torch.randn(16, width, generator=rng, dtype=torch.float64) for _ in range(2))
        (g(x)[:, :1] * y).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update_parameters(g)


def by_hook(function, layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return function(layer)


SPECTRAL = {
    "parametrization": parametrizations.spectral_norm,
    "several iterations": lambda layer: parametrizations.spectral_norm(layer, n_power_iterations=3),
    "hook": lambda layer: by_hook(nn.utils.spectral_norm, layer),
}


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("norm", SPECTRAL.values(), ids=SPECTRAL)
def test_averaged_layers_under_spectral_norm_keep_a_spectral_norm_of_one(norm, decay):
    g = generator(norm(nn.Linear(6, 8)), nn.ReLU(), norm(nn.Linear(8, 6)))
    with torch.no_grad():
        for _ in range(50):
            g(torch.zeros(1, 6, dtype=torch.float64))
    ema = make_ema(g, decay)
    ema.eval()
    train(g, ema, 100)
    ema(torch.zeros(1, 6, dtype=torch.float64))
    for layer in (ema.module[0], ema.module[2]):
        assert abs(torch.linalg.matrix_norm(layer.weight, 2).item() - 1) < 1e-9
    for name, vector in ema.module.named_buffers():
        assert torch.allclose(vector.norm(), torch.ones(()).double(), atol=1e-6), name


@pytest.mark.parametrize("norm", [SPECTRAL["parametrization"], SPECTRAL["hook"]], ids=["parametrization", "hook"])
def test_spectral_norms_stay_one_while_the_largest_singular_values_change_places(norm):
    g = generator(norm(nn.Linear(6, 48)), nn.ReLU(), norm(nn.Linear(48, 48)))
    g(torch.zeros(1, 6, dtype=torch.float64))
    ema, errors = make_ema(g, 0.9), []
    ema.eval()
    for _ in range(60):
        train(g, ema, 1)
        ema(torch.zeros(1, 6, dtype=torch.float64))
        errors += [abs(torch.linalg.matrix_norm(ema.module[i].weight, 2).item() - 1) for i in (0, 2)]
    assert max(errors) < 1e-9


def spectral_norms(ema, images_of) -> list[float]:
    """The spectral norms of an average's weights after `images_of` has read it."""
    images_of(ema)
    return [torch.linalg.matrix_norm(ema._modules["module"][i].weight, 2).item() for i in (0, 2)]


READINGS = {
    "module": lambda ema: ema.module,
    "forward": lambda ema: ema(torch.zeros(1, 6, dtype=torch.float64)),
    "state_dict": lambda ema: ema.state_dict(),
    "deepcopy": lambda ema: copy.deepcopy(ema).state_dict() and ema.module,
}


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
def test_each_way_of_reading_an_average_finds_the_singular_vectors_of_its_weights(reading):
    spectral = parametrizations.spectral_norm
    g = generator(spectral(nn.Linear(6, 48)), nn.ReLU(), spectral(nn.Linear(48, 48)))
    ema = make_ema(g, 0.9).eval()
    for steps in (1, 7):
        train(g, ema, steps)
        assert spectral_norms(ema, reading) == pytest.approx([1, 1], abs=1e-9)


def test_what_is_read_of_an_average_does_not_depend_on_when_it_was_read_before():
    spectral = parametrizations.spectral_norm
    g = generator(spectral(nn.Linear(6, 48)), nn.ReLU(), spectral(nn.Linear(48, 48)))
    often, once = make_ema(g, 0.9), make_ema(g, 0.9)
    for _ in range(5):
        train(g, often, 1)
        once.update_parameters(g)
        assert often.module is not None
    for name, tensor in often.state_dict().items():
        assert torch.equal(tensor, once.state_dict()[name]), name


def test_a_spectral_norm_behind_another_parametrization_is_that_of_what_it_is_given():
    layer = parametrizations.spectral_norm(parametrizations.weight_norm(nn.Linear(6, 8)))
    g = generator(layer, parametrizations.spectral_norm(nn.Linear(8, 6), name="bias"))
    ema = make_ema(g, 0.9).eval()
    train(g, ema, 2)
    assert torch.linalg.matrix_norm(ema.module[0].weight, 2).item() == pytest.approx(1, abs=1e-9)


def test_an_average_whose_weights_are_not_finite_can_be_read():
    g = generator(parametrizations.spectral_norm(nn.Linear(6, 6)))
    ema = make_ema(g, 0.9)
    with torch.no_grad():
        g[0].parametrizations.weight.original.fill_(float("nan"))
    ema.update_parameters(g)
    assert ema.module[0].parametrizations.weight.original.isnan().all()


@pytest.mark.parametrize("norm", ["parametrization", "hook"])
def test_weight_norm_is_averaged_by_its_parts(norm):
    apply = parametrizations.weight_norm if norm == "parametrization" else lambda m: by_hook(nn.utils.weight_norm, m)
    g = generator(apply(nn.Linear(6, 6)))
    g(torch.zeros(1, 6, dtype=torch.float64))
    ema, kept = make_ema(g, 0.9), g[0].weight
    expected = [p.detach().clone() for p in g.parameters()]
    for t in range(5):
        train(g, ema, 1)
        d = 0 if t == 0 else min(0.9, (1 + t) / (10 + t))
        expected = [d * mean + (1 - d) * p.detach() for mean, p in zip(expected, g.parameters(), strict=True)]
    torch.testing.assert_close([*ema.module.parameters()], [nn.Parameter(p, False) for p in expected])
    assert kept.grad_fn is not None, "the generator's own graph stays"


class Buffers(nn.Module):
    """A layer with a running statistic and three other buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_energy", torch.zeros(()))
        self.register_buffer("direction", torch.ones(3))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.register_buffer("mask", torch.zeros(2, dtype=torch.bool))


def test_running_statistics_are_averaged_and_other_buffers_are_copied():
    g = generator(nn.BatchNorm1d(2), Buffers())
    ema = make_ema(g, 0.5)
    expected = 0.0
    for t in range(6):
        g[0].running_var.fill_(t + 1.0)
        g[1].running_energy.fill_(t + 1.0)
        g[1].direction.fill_(-t)
        g[1].step.fill_(t)
        g[1].mask.fill_(t % 2 == 0)
        ema.update_parameters(g)
        d = 0 if t == 0 else min(0.5, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * (t + 1)
    average = ema.module
    assert average[0].running_var.tolist() == pytest.approx([expected] * 2)
    assert average[1].running_energy.item() == pytest.approx(expected)
    assert average[1].direction.tolist() == [-5, -5, -5]
    assert (average[1].step.item(), average[1].mask.tolist()) == (5, [False, False])


def test_a_generator_that_cannot_be_copied_is_refused():
    class Uncopyable(nn.Linear):
        def __deepcopy__(self, memo):
            raise RuntimeError("holds a socket")

    with pytest.raises(ValueError, match=r"ema_decay needs a generator that copy.deepcopy can copy, but got: holds a"):
        make_ema(Uncopyable(2, 2), 0.9)


def test_a_model_in_eval_mode_makes_what_sample_makes():
    trainer = make_trainer(ema_decay=0.9)
    trainer.fit(images(64), steps=20, batch_size=16)
    model = trainer.model
    latents = model.latent.sample(5, rng=torch.Generator().manual_seed(0))
    model.train()
    state = copy.deepcopy(model.generator.state_dict())
    torch.testing.assert_close(model(latents), copy.deepcopy(model).generate(latents), rtol=0, atol=0)
    model.generator.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        made = model(latents)
    assert torch.equal(made, model.decode(latents))
    assert torch.equal(made, model.sample(5, rng=torch.Generator().manual_seed(0)))
    assert not torch.allclose(made, model.generate(latents))
    assert model.latent == LATENT
