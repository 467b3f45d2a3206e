"""Networks of equal shapes that compute something else are named when weights of others are loaded into them."""

import copy
import json
import random
import time

import numpy as np
import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import Tap
from infogan_lib.checkpoints.bundle import read_bundle, write_bundle
from infogan_lib.data.augmentation import Brightness, Translation
from infogan_lib.model.fingerprint import model_fingerprint
from infogan_lib.regularizers import Consistency
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

TAP = Tap("4", "input")  # Q reads D's last hidden layer, so that it changes with D


def generator(activation=nn.ReLU):
    network = dense_generator()
    network[2] = activation()
    return network


def discriminator(slope=0.1):
    network = dense_discriminator()
    network[3] = nn.LeakyReLU(slope)
    return network


def head(activation=nn.ReLU):
    return nn.Sequential(nn.Linear(16, 8), activation(), nn.Linear(8, 8))


def trainer(g=generator, d=discriminator, q=None, tap=TAP, **settings):
    torch.manual_seed(0)
    return make_trainer(g(), d(), LATENT, tap=tap, **({} if q is None else {"q_head": q()}), **settings)


def flip(x, rng):
    return x.flip(-1)


def identity(x, rng):
    return x


def noisy(x, rng):
    return x + torch.randn(x.shape, generator=rng)


def globally_noisy(x, rng):
    return x + torch.randn_like(x)


CHANGES = [
    ({"g": lambda: generator(nn.GELU)}, {}, "'generator' does"),
    ({"d": lambda: discriminator(0.9)}, {}, "'discriminator' and 'Q' do"),
    ({"d": lambda: discriminator(0.2)}, {}, "'discriminator' and 'Q' do"),
    ({"q": lambda: head(nn.Tanh)}, {"q": head}, "'Q' does"),
    ({"augment": flip}, {"augment": identity}, "'augment' does"),
    ({"discriminator_augment": noisy}, {"discriminator_augment": flip}, "'discriminator_augment' does"),
    (
        {"regularizers": (Consistency(flip),)},
        {"regularizers": (Consistency(identity),)},
        r"'regularizers\[0\].augment' does",
    ),
]


@pytest.mark.parametrize(("changes", "saved", "message"), CHANGES)
def test_a_run_that_resumes_with_another_network_of_equal_shapes_says_which(tmp_path, changes, saved, message):
    trainer(**saved).fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    trainer(**saved).save_checkpoint(tmp_path / "own loop")
    with pytest.warns(UserWarning, match=f"{message} not compute what"):
        trainer(**(saved | changes)).fit(images(16), steps=3, batch_size=8, checkpoints=tmp_path / "run")
    with pytest.warns(UserWarning, match=f"{message} not compute what"):
        trainer(**(saved | changes)).load_checkpoint(tmp_path / "own loop")


@pytest.mark.parametrize(("changes", "saved", "message"), CHANGES[:4])
def test_a_model_that_is_loaded_into_another_network_of_equal_shapes_says_which(tmp_path, changes, saved, message):
    trainer(**saved).model.save(tmp_path)
    parts = {"g": generator, "d": discriminator} | saved | changes
    q = {"q_head": parts["q"]()} if "q" in parts else {}
    with pytest.warns(UserWarning, match=f"{message} not compute what"):
        ig.InfoGAN.load(tmp_path, generator=parts["g"](), discriminator=parts["d"](), **q)


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Counts(nn.Module):
    """A layer whose buffers and attributes change in eval mode, too, as do the global generators."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.last = x.mean().detach().reshape(1)
        np.random.rand()  # noqa: NPY002
        random.random()
        return x + 0 * torch.rand(1)


QUIET = {
    "the same": {},
    "dropout": {"d": lambda: discriminator().insert(4, nn.Dropout(0.5))},
    "noise in G": {"g": lambda: generator().insert(3, Noise())},
    "noise in D": {"d": lambda: discriminator().insert(4, Noise())},
    "counting layers": {"g": lambda: generator().insert(3, Counts()), "d": lambda: discriminator().insert(4, Counts())},
    "random augmentation": {"augment": noisy},
    "an augmentation that draws elsewhere": {"augment": globally_noisy},
    "the library's augmentations": {"augment": Translation(0.25), "discriminator_augment": Brightness(0.3)},
    "an average": {"ema_decay": 0.9},
    "joint batches": {"joint_batches": True},
    "spectral norm": {
        "d": lambda: nn.Sequential(
            nn.Flatten(),
            nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16)),
            nn.ReLU(),
            nn.Linear(16, 1),
        ),
        "tap": Tap("3", "input"),
    },
}


@pytest.mark.parametrize("settings", QUIET.values(), ids=QUIET)
def test_the_same_networks_resume_and_load_without_a_warning(tmp_path, settings):
    t = trainer(**settings)
    t.fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    trainer(**settings).fit(images(16), steps=4, batch_size=8, checkpoints=tmp_path / "run")
    t.model.save(tmp_path / "model")
    g, d = (settings.get(name, default)() for name, default in (("g", generator), ("d", discriminator)))
    ig.InfoGAN.load(tmp_path / "model", generator=g, discriminator=d)


@pytest.mark.parametrize("settings", QUIET.values(), ids=QUIET)
def test_a_fingerprint_leaves_modes_buffers_gradients_and_random_generators_as_they_are(settings):
    t = trainer(**settings)
    t.step(images(8))
    t.model.generator.eval()
    model = t.model
    before = copy.deepcopy(dict(model.named_buffers()) | dict(model.named_parameters()))
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    streams = {name: t.streams[name].get_state() for name in t.streams.state_dict()}
    buffers = {name: id(buffer) for name, buffer in model.named_buffers()}
    t._ledger.fingerprint(2)
    now = dict(model.named_buffers()) | dict(model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in before.items())
    assert {name: id(buffer) for name, buffer in model.named_buffers()} == buffers
    assert all(p.grad is None for p in model.parameters())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert random.getstate() == states[2]
    assert all(torch.equal(t.streams[name].get_state(), state) for name, state in streams.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_an_augmentation_with_a_memory_is_not_called_itself():
    class Adaptive:
        calls = 0

        def __call__(self, x, rng):
            self.calls += 1
            return x * (1 + 0.1 * self.calls)

    augment = Adaptive()
    t = trainer(augment=augment)
    t.step(images(8))
    calls = augment.calls
    t._ledger.fingerprint(2)
    assert augment.calls == calls


def test_a_run_with_checkpoints_is_bitwise_the_run_without(tmp_path):
    settings = QUIET["counting layers"] | {"discriminator_augment": noisy}
    runs = []
    for checkpoints in (None, ig.Checkpoints(tmp_path, every=1)):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        t = trainer(**settings)
        t.fit(images(16), steps=4, batch_size=8, checkpoints=checkpoints)
        runs.append(t.model.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_files_without_a_fingerprint_are_loaded_in_silence(tmp_path):
    trainer().model.save(tmp_path / "model")
    trainer().save_checkpoint(tmp_path / "run")
    for folder, kind in ((tmp_path / "model", "model"), (tmp_path / "run", "trainer state")):
        metadata, state = read_bundle(folder, kind, max_bytes=1 << 24)
        del metadata["fingerprint"]
        write_bundle(folder, kind, metadata, state, max_bytes=1 << 24)
    ig.InfoGAN.load(tmp_path / "model", generator=generator(nn.GELU), discriminator=discriminator())
    trainer(g=lambda: generator(nn.GELU)).load_checkpoint(tmp_path / "run")


class Fails(nn.Module):
    """A layer that cannot run without a graph, as few can."""

    def forward(self, x):
        if not torch.is_grad_enabled():
            raise RuntimeError("no graph")
        return x


def test_networks_that_cannot_be_run_or_are_not_finite_are_saved_without_their_numbers(tmp_path):
    model = trainer(g=lambda: generator().append(Fails())).model
    assert set(model_fingerprint(model)["outputs"]) == {"discriminator", "Q"}
    model = trainer().model
    with torch.no_grad():
        model.generator[0].weight.fill_(float("nan"))
    assert set(model_fingerprint(model)["outputs"]) == {"discriminator", "Q"}
    model.save(tmp_path)
    assert "generator" not in json.loads((tmp_path / "manifest.json").read_text())["metadata"]["fingerprint"]["outputs"]


def test_double_and_half_precision_agree_with_themselves_and_single_precision_needs_no_more(tmp_path):
    for dtype in (torch.float64, torch.bfloat16):
        model = ig.InfoGAN(generator().to(dtype), discriminator().to(dtype), LATENT)
        model.save(tmp_path / str(dtype))
        ig.InfoGAN.load(tmp_path / str(dtype), generator=generator().to(dtype), discriminator=discriminator().to(dtype))


def test_threads_do_not_change_a_fingerprint_beyond_its_tolerance(tmp_path):
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        trainer().model.save(tmp_path)
        torch.set_num_threads(2)
        ig.InfoGAN.load(tmp_path, generator=generator(), discriminator=discriminator())
    finally:
        torch.set_num_threads(threads)


def test_a_fingerprint_costs_little():
    model = trainer().model
    model_fingerprint(model)
    started = time.process_time()
    for _ in range(5):
        model_fingerprint(model)
    assert (time.process_time() - started) / 5 < 0.2
