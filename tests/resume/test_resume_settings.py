"""The settings of a resumed run: every setting resumes, and other settings are refused."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

import infogan_lib as ig
from infogan_lib import Checkpoints, losses
from infogan_lib.training.callbacks import JSONLLogger
from resume_toys import fit, same_run, trainer, weights
from toys import LATENT, dense_discriminator, images, make_trainer


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_decay": 0.9},
        {"accumulation_steps": 3},
        {"joint_batches": True},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"d_steps": 2},
        {"g_steps": 2, "augment": lambda x, rng: x + 0.1 * torch.randn(x.shape, generator=rng)},
        {"scheduler": lambda optimizer: LinearLR(optimizer, 1.0, 0.0, 20)},
        {"g_optimizer": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5), "lr_q": 1e-4},
    ],
    ids=lambda changes: "-".join(changes),
)
@pytest.mark.slow
def test_every_setting_resumes(tmp_path, changes):
    whole = fit(trainer(**changes))
    fit(trainer(**changes), checkpoints=Checkpoints(tmp_path, every=1, keep=99))
    for step in (0, 3, 5, 10):
        again = fit(
            trainer(**changes), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{step:010d}")
        )
        assert same_run(whole, again), step


def test_a_schedule_is_followed_and_continues(tmp_path):
    def schedule(optimizer):
        return LinearLR(optimizer, 1.0, 0.0, 20)

    fit(trainer(scheduler=schedule), steps=10, checkpoints=tmp_path)
    again = fit(trainer(scheduler=schedule), steps=15, checkpoints=tmp_path)
    assert again.optimizers["d"].param_groups[0]["lr"] == pytest.approx(5e-4 * 5 / 20)
    assert again.optimizers["g"].param_groups[0]["lr"] == pytest.approx(1e-3 * 5 / 20)


@pytest.mark.parametrize("schedule", [3, lambda o: None, ReduceLROnPlateau])
def test_something_that_is_no_scheduler_is_refused(schedule):
    with pytest.raises(TypeError, match="optimizers.scheduler must"):
        trainer(scheduler=schedule)


def linear(steps):
    return lambda optimizer: LinearLR(optimizer, 1.0, 0.0, steps)


def other_latent():
    return ig.LatentSpec(z=ig.Noise(3), digit=ig.Categorical(6), style=ig.Uniform(2, weight=0.5))


def wider():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(11, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 16))
    generator.extend([nn.Unflatten(1, (1, 4, 4)), nn.Tanh()])
    discriminator = dense_discriminator()
    discriminator.insert(4, nn.Dropout(0.3))
    return make_trainer(generator, discriminator, LATENT, device="cpu")


OTHERS = [
    (lambda: trainer(seed=1), {}, "seed was 0 and is 1"),
    (lambda: trainer(lr_g=5e-4), {}, r"optimizers\[1\].groups\[0\].lr was 0.001 and is 0.0005"),
    (lambda: trainer(ema_decay=0.9), {}, "ema_decay was absent and is 0.9"),
    (lambda: trainer(adversarial=losses.Hinge()), {}, r"adversarial was NonSaturating\(\) and is Hinge\(\)"),
    (lambda: trainer(precision="bf16"), {}, "precision was fp32 and is bf16"),
    (lambda: trainer(latent=other_latent()), {}, r"latent.z.dim was 5 and is 3; latent.digit.k was 4 and is 6"),
    (wider, {}, r"'generator.0.weight' is float32 of shape \(16, 11\) in it, but float32 of shape \(20, 11\) here"),
    (trainer, {"batch_size": 10}, "the run's data had batch size 8, and this data has 10"),
    (trainer, {"data": images(48)}, "the run's data had length 40, and this data has 48"),
    (trainer, {"callbacks": [JSONLLogger("never.jsonl")]}, r"saved with none, but here are \['JSONLLogger'\]"),
    (trainer, {"resume": False}, "holds a run at step 12; resume it with resume='auto'"),
    (lambda: fit(trainer(), steps=2), {}, "has made steps of its own, which loading would lose"),
]


@pytest.mark.parametrize(("make", "options", "message"), OTHERS)
def test_another_run_in_the_folder_is_refused_and_left_alone(tmp_path, make, options, message):
    fit(trainer(), checkpoints=tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    t = make()
    old = weights(t)
    old = {name: value.clone() for name, value in old.items()}
    with pytest.raises(ig.CheckpointError, match=message) as refusal:
        saving = Checkpoints(tmp_path, resume=options.get("resume", "auto"))
        fit(t, steps=20, checkpoints=saving, **{name: value for name, value in options.items() if name != "resume"})
    assert str(tmp_path) in str(refusal.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert all(torch.equal(value, old[name]) for name, value in weights(t).items())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"scheduler": linear(20)}, {"scheduler": linear(30)}, "total_iters was 20 and is 30"),
        ({}, {"scheduler": linear(30)}, "schedulers was .* and is absent"),
        ({}, {"pixel_range": (0, 1)}, "pixel_range"),
        ({}, {"augment": lambda x, rng: x}, "augmented.augment was False and is True"),
        ({}, {"tap": "1"}, r"tap was .*layer='2'.* and is .*layer='1'"),
    ],
)
def test_other_settings_are_refused(tmp_path, before, after, message):
    fit(trainer(**before), checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError, match=message):
        fit(trainer(**after), checkpoints=tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoints": 3}, TypeError, r"checkpoints must be a folder or Checkpoints\(...\), but got 3"),
        ({"checkpoints": ""}, ValueError, "the folder of checkpoints must be the path .*, which is empty"),
        ({"num_workers": 1}, ValueError, "num_workers=1 would do nothing"),
        ({"num_workers": -1}, ValueError, "num_workers must be a whole number of at least 0"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        fit(trainer(), **options)


@pytest.mark.parametrize(
    ("folder", "settings", "error", "message"),
    [
        (3, {}, TypeError, "checkpoints must name a folder, but got 3"),
        (None, {"every": 5}, ValueError, "without a folder nothing is saved"),
        (None, {"keep": 5}, ValueError, "without a folder nothing is saved"),
        ("x", {"every": 0}, ValueError, "every must be a whole number of at least 1"),
        ("x", {"keep": 0}, ValueError, "keep must be a whole number of at least 1"),
        ("x", {"resume": True}, TypeError, "resume must be 'auto', False or the path of a checkpoint"),
    ],
)
def test_checkpoint_settings_that_cannot_be_are_refused(folder, settings, error, message):
    with pytest.raises(error, match=message):
        Checkpoints(folder, **settings)


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ig.CheckpointError, match="nowhere: there is no such folder"):
        fit(trainer(), checkpoints=Checkpoints(None, resume="nowhere"))


def test_another_torch_is_warned_of(tmp_path, monkeypatch):
    fit(trainer(), checkpoints=tmp_path)
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.warns(UserWarning, match=r"was saved with torch .*, and this is 9.9"):
        fit(trainer(), checkpoints=tmp_path)


def test_more_steps_of_a_run_whose_rates_fall_are_refused_in_terms_of_its_length(tmp_path):
    fit(trainer(scheduler=ig.LinearDecay(12)), steps=12, checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError) as caught:
        fit(trainer(scheduler=ig.LinearDecay(20)), steps=20, checkpoints=tmp_path)
    message = str(caught.value)
    assert message.count("learning rates fall to zero over 12 steps, and are now to fall over 20") == 1
    assert "schedulers[" not in message
    assert "Checkpoints(another_folder" in message
