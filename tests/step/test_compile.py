"""`Engine(compile=True)`: the steps of a compiled trainer are those of a plain one, and its files too."""

import functools
import gc
import shutil

import pytest
import torch
from torch._dynamo.utils import counters

import infogan_lib as ig
from infogan_lib.regularizers import R1
from resume_toys import all_equal
from toys import dense_discriminator, dense_generator, images, make_trainer

pytestmark = [  # torch's own warnings, while it compiles
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]

SETTINGS = {
    "plain": {"ema_decay": 0.9},
    "joint": {"joint_batches": True},
    "default terms": {"regularizers": None},  # Q learns beside D, whose backward pass runs twice
    "second derivatives": {"regularizers": [R1()]},
    "bf16": {"precision": "bf16"},
}


def trainer(**settings):
    torch.manual_seed(0)
    return make_trainer(dense_generator().double(), dense_discriminator().double(), device="cpu", **settings)


@pytest.fixture
def backend(monkeypatch):
    def choose(name):
        torch.compiler.reset()
        counters.clear()
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=name))

    yield choose
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *(pytest.param("aot_eager", settings, id=f"aot_eager-{key}") for key, settings in SETTINGS.items()),
        *(pytest.param("inductor", SETTINGS[key], id=f"inductor-{key}") for key in ("default terms", "bf16")),
    ],
)
def test_compiled_steps_are_the_plain_ones(backend, name, settings):
    if name == "inductor" and shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler")
    backend(name)
    plain, compiled = trainer(**settings), trainer(compile=True, **settings)
    graphs = []
    for seed in range(5):
        x = images(8, seed=seed, dtype=torch.float64)
        expected, found = plain.step(x), compiled.step(x)
        tolerance = 1e-3 if "precision" in settings else 1e-10
        assert found == pytest.approx(expected, abs=tolerance, rel=tolerance)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert graphs[1:] == graphs[:1] * 4  # nothing is compiled again


def test_the_modules_and_the_files_of_a_compiled_trainer_are_those_of_a_plain_one(backend, tmp_path):
    backend("eager")
    plain, compiled = trainer(), trainer(compile=True)
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())
    for t in (plain, compiled):
        t.step(images(8, dtype=torch.float64))
    compiled.save_checkpoint(tmp_path / "run")
    resumed = trainer()
    resumed.load_checkpoint(tmp_path / "run")
    assert all_equal([*resumed.model.parameters()], [*plain.model.parameters()])
    compiled.model.save(tmp_path / "model")
    networks = {"generator": dense_generator().double(), "discriminator": dense_discriminator().double()}
    loaded = ig.InfoGAN.load(tmp_path / "model", **networks)
    assert torch.equal(loaded.sample(3, seed=0), plain.model.sample(3, seed=0))


def test_the_taps_hook_leaves_the_discriminator_with_the_compiled_trainer():
    discriminator = dense_discriminator()
    compiled = make_trainer(discriminator=discriminator, compile=True)
    hooked = [module for module in discriminator.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert len(hooked) == 1
    del compiled
    gc.collect()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in hooked)
