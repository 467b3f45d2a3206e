"""Where a trainer runs: the device that is chosen, what it can compute, and runs that move to another one."""

import pytest
import torch

import infogan_lib as ig
from infogan_lib import Checkpoints, Engine
from infogan_lib.data.rng import TorchRng, device_rng, seed_all
from infogan_lib.data.sources import make_source
from infogan_lib.data.transfer import fits
from infogan_lib.networks.introspection import widest_float
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

MPS, XPU = torch.device("mps"), torch.device("xpu")


def accelerator(monkeypatch, device):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: device)


def test_auto_is_the_accelerator_that_torch_names(monkeypatch):
    accelerator(monkeypatch, torch.device("meta"))  # the one other device of this build that can hold a tensor
    assert Engine().torch_device() == torch.device("meta")
    accelerator(monkeypatch, None)
    assert Engine().torch_device() == torch.device("cpu")
    assert Engine("cpu").torch_device() == torch.device("cpu")


@pytest.mark.cpu
def test_an_accelerator_that_does_not_work_is_named(monkeypatch):
    accelerator(monkeypatch, XPU)
    with pytest.raises(ValueError, match=r"engine.device must be 'auto' or a device of this machine .*xpu"):
        Engine().torch_device()


def test_float64_is_refused_where_the_device_has_none(monkeypatch):
    monkeypatch.setattr(Engine, "torch_device", lambda self: MPS)
    networks = dense_generator(), dense_discriminator()
    with pytest.raises(ValueError, match=r"'generator.0.weight' is, but got 'mps', .*\.float\(\), or .*'cpu'"):
        ig.InfoGANTrainer(networks[0].double(), networks[1].double(), LATENT)
    Engine().check_dtypes(dense_generator(), MPS)
    Engine().check_dtypes(dense_generator().double(), torch.device("cuda"))


@pytest.mark.parametrize("has_fp64", [True, False])
def test_what_is_added_up_in_float64_is_in_float32_where_there_is_none(monkeypatch, has_fp64):
    monkeypatch.setattr(torch.xpu, "get_device_capability", lambda device: {"has_fp64": has_fp64})
    assert widest_float(XPU) == (torch.float64 if has_fp64 else torch.float32)
    assert widest_float(MPS) == torch.float32
    assert widest_float(torch.device("cuda")) == widest_float(torch.device("cpu")) == torch.float64


@pytest.mark.parametrize("computes", [True, False])
def test_auto_precision_on_xpu_and_mps(monkeypatch, computes):
    monkeypatch.setattr(torch.xpu, "is_bf16_supported", lambda including_emulation: computes)
    assert Engine(precision="auto").precision_on(XPU) == ("bf16" if computes else "fp32")
    assert Engine(precision="auto").precision_on(MPS) == "fp32"


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_a_device_without_an_index_is_the_current_one(monkeypatch, kind):
    rngs = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "init", lambda: None)
    monkeypatch.setattr(module, "default_generators", rngs)
    monkeypatch.setattr(module, "current_device", lambda: 1)
    assert device_rng(torch.device(kind)) is rngs[1]
    assert device_rng(torch.device(kind, 0)) is rngs[0]
    assert device_rng(torch.device("cpu")) is None
    assert TorchRng(torch.device(kind))._generators == [torch.default_generator, rngs[1]]
    seed_all(7, torch.device(kind))
    assert [rng.initial_seed() for rng in rngs] == [0, 7]


def tf32():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.cuda
@pytest.mark.parametrize(("asked", "in_step"), [(True, ("high", True)), (False, ("highest", False)), (None, None)])
def test_tf32_is_set_in_steps_and_restored(asked, in_step):
    before, seen = tf32(), []
    t = make_trainer(device="cuda", tf32=asked)
    t.model.generator.register_forward_hook(lambda *_: seen.append(tf32()))
    t.step(images(8))
    assert set(seen) == {in_step or before}
    assert tf32() == before
    t.model.generator.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        t.step(images(8))
    assert tf32() == before


@pytest.mark.cuda
def test_tf32_beside_torch_s_newer_flags_is_refused():
    t = make_trainer(device="cuda", tf32=False)
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with pytest.raises(ValueError, match="engine.tf32 cannot be combined with"):
            t.step(images(8))
    finally:
        torch.set_float32_matmul_precision("highest")
    t.step(images(8))


def fitted(folder, start="auto", steps=4, **settings):
    t = make_trainer(ema_decay=0.9, **settings)
    t.fit(images(40), steps=steps, batch_size=8, checkpoints=Checkpoints(folder, resume=start))
    return t


@pytest.mark.cuda
@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_branch_moves_to_another_device(tmp_path, first, second, precision):
    before = fitted(tmp_path / "a", device=first, precision=precision)
    with pytest.warns(UserWarning, match=f"a new run begins from .* device was {first} and is {second}"):
        t = fitted(tmp_path / "b", tmp_path / "a", 6, device=second)
    assert t.steps == 6
    assert next(t.model.parameters()).device.type == second
    again = make_trainer(ema_decay=0.9, device=second)
    again.fit(images(40), steps=6, batch_size=8, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    assert again.steps == 6
    assert again.history["loss/d"].tolist()[:4] == before.history["loss/d"].tolist()
    assert torch.equal(again.model.generator[0].weight, t.model.generator[0].weight)


def test_a_branch_changes_its_precision(tmp_path):
    fitted(tmp_path / "a", precision="fp16")
    for precision in ("bf16", "fp32"):
        with pytest.warns(UserWarning, match=f"precision was fp16 and is {precision}"):
            t = fitted(tmp_path / precision, tmp_path / "a", 6, precision=precision)
        assert t.steps == 6
        assert not t.scaler.is_enabled()
    with pytest.warns(UserWarning, match="precision was fp32 and is fp16"):
        assert fitted(tmp_path / "d", tmp_path / "fp32", 6, precision="fp16").scaler.is_enabled()
    with pytest.raises(ig.CheckpointError, match="precision was fp16 and is fp32"):
        fitted(tmp_path / "a", steps=6)


def test_a_branch_on_another_device_draws_anew_and_not_what_was_drawn_before():
    streams = make_trainer().streams
    first = torch.rand(3, generator=streams["latents"], device=streams["latents"].device)
    branch = streams.branched("step 4")
    drawn = torch.rand(3, generator=branch["latents"], device=branch["latents"].device)
    assert not torch.equal(first, drawn)
    again = streams.branched("step 4")
    assert torch.equal(drawn, torch.rand(3, generator=again["latents"], device=again["latents"].device))


@pytest.mark.cuda
def test_data_is_kept_on_the_device_where_it_fits(monkeypatch):
    data, device = torch.zeros(10, 1, 4, 4), torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * data.nbytes, 10**9))
    assert fits(data, device)
    source = make_source(data, batch_size=2, num_workers=0, seed=0, device=device)
    assert next(source.epoch(0)).is_cuda
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * data.nbytes - 1, 10**9))
    assert not fits(data, device)
    source = make_source(data, batch_size=2, num_workers=0, seed=0, device=device)
    assert not next(source.epoch(0)).is_cuda
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 1)  # a byte that torch has and does not use
    assert fits(data, device)
    assert fits(data.cuda(), device)
    assert fits(data, torch.device("cpu"))
