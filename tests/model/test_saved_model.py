"""A model saved and loaded elsewhere, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import CheckpointError, InfoGAN, QHead
from infogan_lib.checkpoints import read_bundle, write_bundle
from infogan_lib.networks import BatchNormQHead
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator, images, make_trainer


def trained(generator=None, discriminator=None, **changes):
    torch.manual_seed(0)
    t = make_trainer(
        generator or dense_generator(), discriminator or dense_discriminator(), LATENT, device="cpu", **changes
    )
    t.fit(images(16), steps=3, batch_size=8)
    return t.model


def head():
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8))


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8))


FORMS = {
    "default head": (dense_generator, dense_discriminator, {}),
    "own head": (dense_generator, dense_discriminator, {"q_head": head}),
    "own network": (dense_generator, dense_discriminator, {"q_network": network}),
    "codes of D's own": (dense_generator, TupleDiscriminator, {}),
    "arguments apart": (PartsGenerator, dense_discriminator, {}),
    "ends in a Sigmoid": (dense_generator, lambda: dense_discriminator().append(nn.Sigmoid()), {}),
}


@pytest.mark.parametrize(("generator", "discriminator", "q"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_loaded_model_is_the_model_that_was_saved(tmp_path, generator, discriminator, q, ema_decay):
    model = trained(generator(), discriminator(), ema_decay=ema_decay, **{name: make() for name, make in q.items()})
    model.set_category_names("digit", ["zero", "one", None, "three"])
    model.pixel_range = (-1.0, 1.0)
    model.save(tmp_path / "model")
    torch.manual_seed(99)  # other weights to begin with
    loaded = ig.InfoGAN.load(
        tmp_path / "model", generator=generator(), discriminator=discriminator(), **{n: m() for n, m in q.items()}
    )
    assert torch.equal(loaded.sample(5, digit="three", seed=1), model.sample(5, digit=3, seed=1))
    assert torch.equal(loaded.traverse("style", digit="one", seed=2), model.traverse("style", digit=1, seed=2))
    ours, others = loaded.encode(images(6)), model.encode(images(6))
    assert torch.equal(ours["digit"].probs, others["digit"].probs)
    assert torch.equal(ours["style"].mean, others["style"].mean)
    assert loaded.latent == model.latent
    assert (loaded.category_names, loaded.pixel_range, loaded.output_range) == (
        model.category_names,
        model.pixel_range,
        model.output_range,
    )
    assert (loaded.ema_generator is None) == (ema_decay is None)


def test_a_tap_of_the_users_is_kept(tmp_path):
    torch.manual_seed(0)
    model = ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT, tap="1")
    model.save(tmp_path)
    loaded = ig.InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())
    assert torch.equal(loaded.encode(images(3))["digit"].probs, model.encode(images(3))["digit"].probs)


def test_saving_again_replaces_what_was_there(tmp_path):
    first, second = trained(), trained(ema_decay=0.5)
    first.save(tmp_path)
    second.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    loaded = ig.InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())
    assert torch.equal(loaded.sample(2, seed=0), second.sample(2, seed=0))


def test_a_fault_while_replacing_leaves_the_old_model(tmp_path, monkeypatch):
    first, second = trained(), trained(ema_decay=0.5)
    first.save(tmp_path)
    calls, real = [], os.fsync

    def fails(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ig.CheckpointError, match="the disk is full"):
        second.save(tmp_path)
    monkeypatch.undo()
    loaded = ig.InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())
    assert torch.equal(loaded.sample(2, seed=0), first.sample(2, seed=0))


def test_the_names_of_categories_are_in_the_checkpoints_of_a_run(tmp_path):
    torch.manual_seed(0)
    t = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu")
    t.model.set_category_names("digit", list("abcd"))
    t.fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path)
    again = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu")
    again.fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path)
    assert again.model.category_names == {"digit": ("a", "b", "c", "d")}


WRONG = [
    (lambda: {"generator": dense_generator(12)}, "generator: '0.weight' is float32 of shape (16, 11) in it, but"),
    (lambda: {"generator": dense_generator().double()}, "another generator: '0.weight' is float32 of shape (16, 11)"),
    (
        lambda: {"discriminator": dense_discriminator(norm=False)},
        "'2.running_mean' and 2 more are unknown",
    ),
    (lambda: {"discriminator": dense_discriminator().append(nn.Linear(1, 1))}, "'5.weight' and '5.bias' are not in it"),
    (lambda: {"q_head": head()}, "its Q is the library's own head"),
    (lambda: {"q_network": network()}, "but what was given is a q_network of the user's"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_wrong_modules_are_refused_by_tensor_and_left_alone(tmp_path, changes, message):
    trained().save(tmp_path)
    networks = {"generator": dense_generator(), "discriminator": dense_discriminator()} | changes()
    before = {name: {k: v.clone() for k, v in module.state_dict().items()} for name, module in networks.items()}
    with pytest.raises(ig.CheckpointError) as refusal:
        ig.InfoGAN.load(tmp_path, **networks)
    assert message in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)
    for name, module in networks.items():
        assert all(torch.equal(value, before[name][key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(("part", "layer"), [("generator", 0), ("discriminator", 1), ("q_head", 0)])
def test_a_lazy_network_is_named_until_it_has_run(tmp_path, part, layer):
    def networks():
        return {"generator": dense_generator(), "discriminator": dense_discriminator(), "q_head": head()}

    model = InfoGAN(**networks(), latent=LATENT)
    model.save(tmp_path)
    given = networks()
    given[part][layer] = nn.LazyLinear(given[part][layer].out_features)
    with pytest.raises(CheckpointError, match="lazy and has no shape yet; run it on a batch first"):
        InfoGAN.load(tmp_path, **given)


def test_a_missing_q_head_is_named(tmp_path):
    trained(q_head=head()).save(tmp_path)
    with pytest.raises(ig.CheckpointError, match="its Q is a q_head of the user's"):
        ig.InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())


def test_a_checkpoint_is_no_model_and_nothing_is_none(tmp_path):
    t = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu")
    t.save_checkpoint(tmp_path / "c")
    for folder, message in ((tmp_path / "c", "is a trainer state, not a model"), (tmp_path, "this file is missing")):
        with pytest.raises(ig.CheckpointError, match=message):
            ig.InfoGAN.load(folder, generator=dense_generator(), discriminator=dense_discriminator())
    t.fit(images(16), steps=1, batch_size=8, checkpoints=tmp_path / "run")
    with pytest.raises(
        ig.CheckpointError, match="this is a run folder, not a model; trainer.load_checkpoint and Checkpoints"
    ):
        ig.InfoGAN.load(tmp_path / "run", generator=dense_generator(), discriminator=dense_discriminator())
    with pytest.raises(ig.CheckpointError, match="there is no such folder"):
        ig.InfoGAN.load(tmp_path / "nowhere", generator=dense_generator(), discriminator=dense_discriminator())
    with pytest.raises(TypeError, match=r"generator must be a torch.nn.Module, but got None"):
        ig.InfoGAN.load(tmp_path, generator=None, discriminator=dense_discriminator())


@pytest.mark.slow
def test_a_code_that_was_not_defined_here_is_named(tmp_path):
    """The latent is data: a class is looked up among those that exist, and nothing is imported."""
    save = """
import sys
from dataclasses import dataclass
import torch
import infogan_lib as ig
from toys import dense_discriminator, dense_generator
@dataclass(frozen=True)
class Mine(ig.Categorical):
    pass
latent = ig.LatentSpec(z=ig.Noise(7), digit=Mine(4))
ig.InfoGAN(dense_generator(latent.width), dense_discriminator(), latent).save(sys.argv[1])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    subprocess.run([sys.executable, "-c", save, str(tmp_path)], check=True, env=environment, timeout=60)
    with pytest.raises(ig.CheckpointError, match=r"its plan cannot be read: .*import the module that defines yours"):
        ig.InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())


@pytest.mark.parametrize(
    ("code", "names", "error", "message"),
    [
        ("color", list("abcd"), KeyError, "no 'color' in this latent"),
        ("style", ["a", "b"], TypeError, "only the categories of a Categorical have names"),
        ("digit", list("abc"), ValueError, "'digit' needs 4 different names, one per category"),
        ("digit", list("abca"), ValueError, "'digit' needs 4 different names, one per category"),
        ("digit", [0, 1, 2, 3], TypeError, "names must be strings, or None"),
        ("digit", "abcd", ValueError, "'digit' needs 4 different names"),
        ("digit", 7, TypeError, "names must be strings"),
        ("digit", {"a": 0, "b": 1, "c": 2, "d": 3}, TypeError, 'names of .digit. .* such as {0: "zero"}, but got'),
        ("digit", {"0": "a", "1": "b", "2": "c", "3": "d"}, TypeError, "in a dict by number from 0 to 3"),
        ("digit", {4: "e"}, TypeError, "in a dict by number from 0 to 3"),
        ("digit", {"style": list("abcd")}, TypeError, "in a dict by number from 0 to 3"),
        ("digit", {0: "a", 1: "a"}, ValueError, "'digit' needs 4 different names"),
        ("digit", set("abcd"), TypeError, "names of 'digit' must be in order, in a list"),
    ],
)
def test_names_that_cannot_be_are_refused(code, names, error, message):
    with pytest.raises(error, match=message):
        trained().set_category_names(code, names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({1: "b", 0: "a", 3: "d", 2: "c"}, ("a", "b", "c", "d")),
        ({3: "d"}, (None, None, None, "d")),
        ({"digit": list("abcd")}, ("a", "b", "c", "d")),
        ({"digit": {0: "a"}}, ("a", None, None, None)),
    ],
)
def test_names_may_be_given_by_number_and_by_code(names, expected):
    model = trained()
    model.set_category_names("digit", names)
    assert model.category_names == {"digit": expected}
    match = model.name_categories(images(16), torch.arange(16) % 2, names={1: "one", 0: "zero"})
    assert set(model.category_names["digit"]) == {"zero", "one", None}
    assert match.labels.tolist() == [0, 1]


class Reads(nn.Module):
    """Q that says the category written into an image's first pixel."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        category = nn.functional.one_hot(x[:, 0, 0, 0].long(), 4).float()
        return torch.cat([20 * category * self.scale, x[:, 0, 0, :4] * self.scale], dim=1)


def written(categories):
    x = torch.zeros(len(categories), 1, 4, 4)
    x[:, 0, 0, 0] = torch.tensor(categories, dtype=torch.float32)
    return x


def test_categories_are_named_after_labels():
    model = ig.InfoGAN(dense_generator(end=nn.Identity()), dense_discriminator(), LATENT, q_network=Reads())
    images_, labels = written([0, 0, 0, 1, 1, 2, 2, 2]), torch.tensor([2, 2, 0, 1, 1, 0, 0, 0])
    match = model.name_categories(images_, labels)
    assert model.category_names == {"digit": ("2", "1", "0", None)}
    assert match.accuracy == pytest.approx(7 / 8)
    assert match.unmatched_categories == [3]
    assert torch.equal(model.sample(3, digit="0", seed=0), model.sample(3, digit=2, seed=0))
    model.name_categories(images_, labels, code="digit", names=["cat", "dog", "cow", "hen"])
    assert model.category_names == {"digit": ("cow", "dog", "cat", None)}
    model.name_categories(written([0, 1]), torch.tensor([10**9, 3]))
    assert model.category_names == {"digit": ("1000000000", "3", None, None)}


def test_naming_refuses_what_it_cannot_name():
    model = ig.InfoGAN(dense_generator(end=nn.Identity()), dense_discriminator(), LATENT, q_network=Reads())
    with pytest.raises(TypeError, match="'style' is .*, which has no categories to name"):
        model.name_categories(written([0]), torch.tensor([0]), code="style")
    with pytest.raises(KeyError, match="no 'color'"):
        model.name_categories(written([0]), torch.tensor([0]), code="color")
    with pytest.raises(ValueError, match="categories and labels must be equally long, but got 2 and 1"):
        model.name_categories(written([0, 1]), torch.tensor([0]))
    with pytest.raises(ValueError, match="label_count is 2, but a value of 5 was found"):
        model.name_categories(written([0]), torch.tensor([5]), names=["a", "b"])
    both = ig.LatentSpec(a=ig.Categorical(3), b=ig.Categorical(3), z=ig.Noise(5))
    two = ig.InfoGAN(dense_generator(), dense_discriminator(), both)
    with pytest.raises(ValueError, match="give the code to name as code=.*'a' and 'b'"):
        two.name_categories(images(2), torch.tensor([0, 1]))
    assert model.category_names == {}


def test_samples_by_name():
    model = trained()
    with pytest.raises(
        ValueError, match="'digit' has no category named '7'; it has no names yet; model.set_category_names"
    ):
        model.sample(2, digit="7")
    model.set_category_names("digit", ["three", "one", None, "four"])
    assert torch.equal(model.sample(2, digit="four", seed=0), model.sample(2, digit=3, seed=0))
    assert torch.equal(model.sample(2, digit=["one", "four"], seed=0), model.sample(2, digit=[1, 3], seed=0))
    with pytest.raises(ValueError, match="'digit' has no category named 'two'; it has 'three', 'one' and 'four'"):
        model.sample(2, digit="two")
    with pytest.raises(KeyError, match="no 'color'"):
        model.sample(2, color="red")


@pytest.mark.parametrize("make", [None, QHead, BatchNormQHead])
def test_the_heads_of_the_library_load_without_being_given(tmp_path, make):
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT, q_head=make, seed=3)
    model.save(tmp_path)
    loaded = InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())
    assert type(loaded.q) is (make or QHead)
    assert loaded.discriminator_adapter.tap == model.discriminator_adapter.tap
    assert torch.equal(loaded.q_outputs(images(4)), model.q_outputs(images(4)))


def test_a_head_that_a_function_makes_loads_with_the_function(tmp_path):
    def head(feature_shape, outputs):
        return QHead(feature_shape, outputs, hidden=3)

    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT, q_head=head)
    model.save(tmp_path)
    networks = {"generator": dense_generator(), "discriminator": dense_discriminator()}
    with pytest.raises(CheckpointError, match="its Q is a q_head of the user's"):
        InfoGAN.load(tmp_path, **networks)
    loaded = InfoGAN.load(tmp_path, **networks, q_head=head)
    assert torch.equal(loaded.q_outputs(images(4)), model.q_outputs(images(4)))


def test_a_head_of_an_unknown_name_is_refused(tmp_path):
    InfoGAN(dense_generator(), dense_discriminator(), LATENT).save(tmp_path)
    metadata, state = read_bundle(tmp_path, "model", max_bytes=2**20)
    write_bundle(tmp_path, "model", metadata | {"head": "OtherHead"}, state, max_bytes=2**20)
    with pytest.raises(CheckpointError, match="its Q head is 'OtherHead', but this version has 'QHead' and 'BatchNorm"):
        InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())
