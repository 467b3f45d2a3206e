"""Recipes: the layers of the labs counted by hand, two steps of each, resuming, and overrides."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import recipes
from infogan_lib.callbacks import PretrainQ
from infogan_lib.step.optimizers import PARTS, check_information_trains

NAMES = recipes.available()
CPU = ig.Engine("cpu")
LABS = ("lab64-frontend", "lab64-conditions", "lab28-normalnll", "lab64-mse", "dcgan-tutorial")


def conv(before, after, side, *, norm=True, bias=False):
    """Weights of a convolution, plain or transposed, and of the BatchNorm after it."""
    return before * after * side * side + after * bias + 2 * after * norm


def linear(before, after):
    return before * after + after


DCGAN_TRUNK = conv(1, 64, 4, norm=False) + conv(64, 128, 4) + conv(128, 256, 4) + conv(256, 512, 4)
DCGAN_UP = conv(512, 256, 4) + conv(256, 128, 4) + conv(128, 64, 4) + conv(64, 1, 4, norm=False)
# From the tables of the labs, layer by layer: generator, what D and Q share, D's head, Q's head.
COUNTS = {
    "lab64-frontend": (
        conv(100, 1024, 4) + conv(1024, 512, 4) + conv(512, 256, 4) + conv(256, 128, 4) + conv(128, 1, 4, norm=False),
        conv(1, 128, 4, norm=False) + conv(128, 256, 4) + conv(256, 512, 4) + conv(512, 1024, 4),
        conv(1024, 1, 4, norm=False, bias=True),
        linear(16384, 100) + linear(100, 10),
    ),
    "lab64-conditions": (
        conv(64, 512, 4) + DCGAN_UP,
        DCGAN_TRUNK,
        conv(512, 1, 4, norm=False),
        linear(8192, 10),
    ),
    "lab28-normalnll": (
        conv(74, 512, 1) + conv(512, 1024, 1) + conv(1024, 128, 7) + conv(128, 64, 4) + conv(64, 1, 4, norm=False),
        conv(1, 64, 4, norm=False, bias=True) + conv(64, 128, 4) + conv(128, 1024, 7),
        conv(1024, 512, 1, norm=False, bias=True) + conv(512, 1, 1, norm=False, bias=True),
        conv(1024, 128, 1) + sum(conv(128, outputs, 1, norm=False, bias=True) for outputs in (10, 2, 2)),
    ),
    "lab64-mse": (
        conv(64, 512, 4) + DCGAN_UP,
        DCGAN_TRUNK,
        conv(512, 1, 4, norm=False),
        linear(8192, 12),
    ),
    "dcgan-tutorial": (
        conv(100, 512, 4) + DCGAN_UP,
        DCGAN_TRUNK,
        conv(512, 1, 4, norm=False),
        None,  # the library's
    ),
}


def digits(n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=rng)


def narrow(name, **overrides):
    return recipes.get(name, width=1 / 16, **overrides)


def learning_rates(trainer):
    return {name: optimizer.defaults["lr"] for name, optimizer in trainer.optimizers.items()}


def parts_trained_by_the_information_loss(recipe):
    return check_information_trains(recipe.trainer_kwargs.get("information_trains"), recipe.model())


def test_all_labs_the_paper_and_the_default_are_there():
    assert set(NAMES) == {*LABS, "paper", "default", "best", "sprites"}


@pytest.mark.parametrize("name", LABS)
def test_the_layers_are_those_that_the_lab_prints(name):
    recipe = recipes.get(name)
    groups = recipe.trainer(engine=CPU).model.parameter_groups()
    found = [sum(p.numel() for p in groups[part]) for part in ("generator", "trunk", "d_head", "q_head")]
    expected = COUNTS[name]
    assert found[:3] == list(expected[:3])
    assert expected[3] in (None, found[3])


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_and_resuming(tmp_path, name):
    def run(folder=None, steps=2):
        recipe = narrow(name, seed=3)
        t = recipe.trainer(engine=CPU)
        t.fit(recipe.images(digits(8)), steps=steps, batch_size=4, checkpoints=folder)
        return t

    whole = run()
    run(tmp_path, steps=1)
    again = run(tmp_path)
    assert again.steps == 2
    for tensor, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[tensor]), tensor
    size = recipes.get(name, width=1 / 16).image_size
    assert whole.model.sample(2, seed=0).shape == (2, 1, size, size)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_how_long_it_runs(name):
    recipe = narrow(name)
    assert (recipe.epochs is None) != (recipe.steps is None)


def test_changing_steps_or_epochs_replaces_the_other():
    assert (narrow("paper", epochs=2).epochs, narrow("paper", epochs=2).steps) == (2, None)
    assert (narrow("lab64-mse", steps=9).epochs, narrow("lab64-mse", steps=9).steps) == (None, 9)


def test_what_the_labs_do_in_their_own_way_is_in_use():
    mse = narrow("lab64-mse")
    model = mse.trainer(engine=CPU).model
    assert model.generator_adapter.input == "separate"
    assert model.q is None
    validity, cat_code, cont_code = mse.discriminator(torch.zeros(2, 1, 64, 64))
    assert (validity.shape, cat_code.shape, cont_code.shape) == ((2, 1), (2, 10), (2, 2))
    head = narrow("lab28-normalnll").discriminator[1]
    assert [type(layer) for layer in head] == [nn.Conv2d, nn.Sigmoid, nn.Conv2d, nn.Sigmoid]
    assert narrow("lab28-normalnll").trainer(engine=CPU).model.output_range == (0.0, 1.0)
    assert list(narrow("lab64-conditions").latent) == ["z", "digit"]
    assert narrow("lab64-conditions").latent.width == 64
    tutorial = narrow("dcgan-tutorial")
    plain = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid)
    assert all(type(layer) in plain for layer in [*tutorial.generator, *tutorial.discriminator])
    frontend = narrow("lab64-frontend").trainer(engine=CPU)
    assert learning_rates(frontend) == {"d": 2e-4, "g": 1e-3, "q": 1e-3}
    assert all(o.defaults["betas"] == (0.5, 0.99) for o in frontend.optimizers.values())


def test_the_information_loss_trains_what_the_lab_says():
    assert parts_trained_by_the_information_loss(narrow("lab64-frontend")) == {"generator", "q_head"}
    assert parts_trained_by_the_information_loss(narrow("lab28-normalnll")) == {"generator", "q_head"}
    assert parts_trained_by_the_information_loss(narrow("dcgan-tutorial")) == set(PARTS)


@pytest.mark.parametrize("name", [*LABS, "paper"])
def test_the_settings_for_all_digits_keep_the_layers(name):
    overrides = recipes.all_digits(name)
    lab, ours = narrow(name), narrow(name, **overrides)
    assert str(ours.generator) == str(lab.generator)
    assert str(ours.discriminator) == str(lab.discriminator)
    assert str(ours.q_head) == str(lab.q_head)
    assert ours.batch_size == lab.batch_size
    assert list(ours.latent.slices.items()) == list(lab.latent.slices.items())
    assert (ours.latent == lab.latent) == (name != "paper")  # whose styles have a smaller weight
    t = replace(ours, epochs=None, steps=2).trainer(engine=CPU)
    rates = overrides["optimizers"]
    assert learning_rates(t) == {"d": rates.d, "g": rates.g, "q": rates.g if rates.q is None else rates.q}
    t.fit(ours.images(digits(8)), steps=2, batch_size=4)
    assert t.history["regularizer/digit"].shape == (2,)
    assert {group["lr"] for optimizer in t.optimizers.values() for group in optimizer.param_groups} == {0.0}
    assert parts_trained_by_the_information_loss(ours) == set(PARTS)
    assert t.joint_batches


def test_settings_for_all_digits_of_what_needs_none_and_of_what_has_none():
    assert recipes.all_digits("default") == {}
    with pytest.raises(ValueError, match="no settings for all digits are known for 'lab65'; .* 'lab64-frontend'"):
        recipes.all_digits("lab65")


def test_initial_weights_are_the_labs():
    torch.manual_seed(0)
    trunk = recipes.get("lab28-normalnll").discriminator[0]
    weights = torch.cat([layer.weight.flatten() for layer in trunk if isinstance(layer, nn.Conv2d)])
    norms = torch.cat([layer.weight for layer in trunk if isinstance(layer, nn.BatchNorm2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)
    assert (norms.mean().item(), norms.std().item()) == (pytest.approx(1, abs=3e-3), pytest.approx(0.02, rel=0.15))


def test_overrides():
    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(10))
    recipe = narrow("default", batch_size=32, epochs=3, d_steps=2, trainer_kwargs={"g_steps": 3}, latent=latent)
    assert (recipe.batch_size, recipe.epochs, recipe.steps, recipe.latent) == (32, 3, None, latent)
    assert (recipe.trainer_kwargs["d_steps"], recipe.trainer_kwargs["g_steps"]) == (2, 3)
    assert recipe.trainer_kwargs["ema_decay"] == 0.995
    recipe = narrow("dcgan-tutorial", optimizers=ig.Optimizers(g=5e-4, d=1e-4))
    assert learning_rates(recipe.trainer(engine=CPU)) == {"d": 1e-4, "g": 5e-4, "q": 5e-4}
    assert learning_rates(recipe.trainer(engine=CPU, optimizers=ig.Optimizers(g=7e-4)))["g"] == 7e-4


def test_the_seed_of_a_recipe_is_that_of_its_model_and_trainer():
    recipe = narrow("paper", seed=2)
    assert (recipe.name, recipe.width, recipe.seed) == ("paper", 1 / 16, 2)
    one, two, three = (narrow("paper", seed=seed) for seed in (2, 2, 3))
    heads = [torch.cat([p.flatten() for p in r.model().q.parameters()]) for r in (one, two, three)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    latents = [r.trainer(engine=CPU).streams["latents"].initial_seed() for r in (one, two, three)]
    assert latents[0] == latents[1] != latents[2]


def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    one, two, three = (narrow("paper", seed=seed).generator[0].weight for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_images_are_resized():
    recipe = narrow("lab64-mse")
    made = recipe.images(digits(3))
    assert made.shape == (3, 1, 64, 64)
    assert made.dtype == torch.uint8
    assert recipe.images(torch.full((2, 3, 28, 28), 0.25)).unique().tolist() == pytest.approx([0.25])
    same = digits(2)
    assert narrow("paper").images(same) is same
    flat = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    assert recipe.images(flat).unique().tolist() == [255]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: recipes.get("lab65"), ValueError, "there is no recipe 'lab65'; there are .*'lab64-frontend'"),
        (lambda: recipes.get("paper", width=0), ValueError, "width must be a finite number above 0, but got 0"),
        (lambda: recipes.get("paper", seed=-1), ValueError, "seed must be a whole number of at least 0"),
        (lambda: narrow("paper", lr_x=1).trainer(), TypeError, "unexpected keyword argument 'lr_x'"),
        (lambda: narrow("paper").images([1]), ValueError, r"images must be a Tensor \(N, C, H, W\)"),
        (lambda: narrow("paper").images(torch.zeros(28, 28)), ValueError, r"N >= 1, but got \(28, 28\)"),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_starts_of_q_are_in_proportion_to_the_run():
    images = torch.zeros(4, 1, 28, 28)
    (begun,) = narrow("default", steps=50).callbacks(images)
    assert isinstance(begun, PretrainQ)
    assert (begun.images is images, begun.steps, begun.starts) == (True, 5, 5)
    assert narrow("best").callbacks(images)[0].steps == 200
    assert narrow("default", starts=3).callbacks(images)[0].starts == 3
    for recipe, data in [
        (narrow("default", steps=9), images),  # too short
        (narrow("default"), [images]),  # batches
        (narrow("default", starts=0), images),
        (narrow("paper"), images),
    ]:
        assert recipe.callbacks(data) == []


def test_a_recipe_of_your_own(monkeypatch):
    monkeypatch.setattr("infogan_lib.recipes.recipe._RECIPES", dict(recipes.recipe._RECIPES))

    @recipes.register("mine")
    def mine(width):
        return narrow("paper", steps=7)

    assert (recipes.get("mine").steps, recipes.get("mine").name) == (7, "mine")
    assert "mine" in recipes.available()
    recipes.register("mine")(mine)  # as a cell of a notebook that is run again
    with pytest.raises(ValueError, match="there is a recipe 'paper' already, .*mnist28.paper; choose another name"):
        recipes.register("paper")(mine)
