"""The state of a resumed run: what a checkpoint holds of the trainer and its networks."""

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import Checkpoints
from resume_toys import fit, moments, same_run, trainer
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def test_a_loop_of_ones_own_saves_and_resumes(tmp_path):
    batches = images(96).split(8)
    whole, half = trainer(ema_decay=0.9), trainer(ema_decay=0.9)
    state = torch.get_rng_state()
    for batch in batches:
        whole.step(batch)
    torch.set_rng_state(state)
    for batch in batches[:5]:
        half.step(batch)
    half.save_checkpoint(tmp_path / "c")
    half.save_checkpoint(tmp_path / "c")
    again = trainer(ema_decay=0.9)
    again.load_checkpoint(tmp_path / "c")
    for batch in batches[5:]:
        again.step(batch)
    assert same_run(whole, again)
    with pytest.raises(ig.CheckpointError, match="seed was 0 and is 1"):
        trainer(ema_decay=0.9, seed=1).load_checkpoint(tmp_path / "c")


def test_moments_keep_their_precision(tmp_path):
    """torch casts what it loads to the parameter's dtype; float64 moments must stay what they are."""

    class Mixed(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p, dtype=torch.float64))
                    mean += p.grad.double() / 3
                    p.data.sub_(mean.float(), alpha=group["lr"])

    def make():
        return trainer(g_optimizer=lambda p: Mixed(p, 1e-3))

    whole = fit(make())
    fit(make(), checkpoints=Checkpoints(tmp_path, every=5, keep=9))
    assert same_run(
        whole, fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{5:010d}"))
    )


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_networks_whose_weights_lie_channels_last_resume_as_they_were(tmp_path, optimizer):
    """Fused optimizers go through memory in its order, so a moment in another one would be another weight's."""

    def make():
        torch.manual_seed(0)
        generator = nn.Sequential(
            *(nn.Unflatten(1, (LATENT.width, 1, 1)), nn.ConvTranspose2d(LATENT.width, 8, 2), nn.ReLU()),
            *(nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh()),
        )
        discriminator = nn.Sequential(nn.Conv2d(1, 6, 4, 2, 1), nn.Conv2d(6, 6, 2), nn.Flatten(), nn.Linear(6, 1))
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last)
        settings = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
        given = {f"{part}_optimizer": lambda p: optimizer(p, 1e-3, fused=True, **settings) for part in ("g", "d")}
        return make_trainer(generator, discriminator, LATENT, tap="1", device="cpu", ema_decay=0.9, **given)

    whole = fit(make())
    fit(make(), checkpoints=Checkpoints(tmp_path, every=5, keep=9))
    resumed = fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{5:010d}"))
    assert same_run(whole, resumed)
    strides = [[moment.stride() for moment in moments(t)] for t in (whole, resumed)]
    assert strides[0] == strides[1]
    assert (24, 1, 12, 6) in strides[0]


def test_buffers_that_a_module_does_not_save_are_saved(tmp_path):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(()), persistent=False)

        def forward(self, x):
            self.count += 1
            return x * (1 + 0.001 * self.count)

    def make():
        t = trainer()
        torch.manual_seed(0)
        discriminator = dense_discriminator()
        discriminator.insert(1, Counts())
        return make_trainer(t.model.generator, discriminator, LATENT, device="cpu")

    whole = fit(make())
    fit(make(), checkpoints=Checkpoints(tmp_path, every=5, keep=9))
    assert same_run(
        whole, fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{5:010d}"))
    )


def test_names_given_before_resuming_stay(tmp_path):
    fit(trainer(), steps=5, checkpoints=tmp_path)
    t = trainer()
    t.model.set_category_names("digit", list("abcd"))
    fit(t, checkpoints=tmp_path)
    assert t.model.category_names == {"digit": ("a", "b", "c", "d")}


def test_versions_of_modules_are_kept(tmp_path):
    class Migrates(nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.scale

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            if metadata.get("version", 1) < 2:
                state[prefix + "scale"] = state[prefix + "scale"] * 10
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    def make():
        torch.manual_seed(0)
        generator = dense_generator()
        generator.insert(0, Migrates())
        return make_trainer(generator, dense_discriminator(), LATENT, device="cpu")

    t = fit(make(), checkpoints=tmp_path / "run")
    assert same_run(t, fit(make(), checkpoints=tmp_path / "run"))
    t.model.save(tmp_path / "model")
    new = make().model
    loaded = ig.InfoGAN.load(tmp_path / "model", generator=new.generator, discriminator=new.discriminator)
    assert torch.equal(loaded.generator[0].scale, t.model.generator[0].scale)


def test_a_checkpoint_of_a_run_is_loaded_by_load_checkpoint_too(tmp_path):
    source = fit(trainer(), checkpoints=tmp_path)
    for path in (tmp_path, tmp_path / "checkpoints" / f"step_{12:010d}"):
        t = trainer()
        t.load_checkpoint(path)
        assert same_run(source, t)
    source.save_checkpoint(tmp_path / "own")
    with pytest.raises(ig.CheckpointError, match="this is a trainer state, not a checkpoint; trainer.load_check"):
        fit(trainer(), checkpoints=Checkpoints(None, resume=tmp_path / "own"))
    with pytest.raises(ig.CheckpointError, match="there is no such folder"):
        trainer().load_checkpoint(tmp_path / "nowhere")


def test_more_than_can_be_read_again_is_not_written(tmp_path):
    class Hoards(ig.Callback):
        def state_dict(self):
            return {"all": torch.zeros(64)}

    t = trainer()
    t._ledger.max_bytes = 100_000
    with pytest.raises(ig.CheckpointError, match="bytes of state and .* were to be saved, and at most 100,000"):
        fit(t, callbacks=[Hoards()], checkpoints=tmp_path)


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_resuming_on_cuda_with_deterministic_algorithms(tmp_path, precision):
    torch.use_deterministic_algorithms(True)
    try:

        def make():
            torch.manual_seed(0)
            discriminator = dense_discriminator()
            discriminator.insert(4, nn.Dropout(0.3))
            settings = {"device": "cuda", "precision": precision, "ema_decay": 0.9}
            return make_trainer(dense_generator(), discriminator, LATENT, **settings)

        whole = fit(make(), checkpoints=Checkpoints(tmp_path, every=1, keep=99))
        for step in (0, 3, 5, 11):
            again = fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{step:010d}"))
            assert same_run(whole, again), step
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.cuda
def test_another_kind_of_device_is_refused(tmp_path):
    fit(trainer(), checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError, match="device was cpu and is cuda"):
        fit(make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cuda"), checkpoints=tmp_path)
