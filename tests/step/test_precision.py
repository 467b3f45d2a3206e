"""Mixed precision, loss scaling, and training on CUDA."""

import json

import pytest
import torch

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.step.engine import cpu_computes_bf16
from infogan_lib.training.callbacks import JSONLLogger
from toys import images, make_trainer


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_runs_the_networks_in_it(precision):
    seen = set()
    t = make_trainer(precision=precision)
    for network in (t.model.generator, t.model.discriminator):
        network.register_forward_hook(lambda _, args, out: seen.add(out.dtype))
    t.step(images(8))
    assert seen == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert t.scaler.is_enabled() == (precision == "fp16")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_with_finite_weights(precision):
    trainer = make_trainer(precision=precision)
    trainer.fit(images(64), steps=6, batch_size=16)
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in trainer.model.parameters())
    assert trainer.history["bound/digit"][-1] > trainer.history["bound/digit"][0] - 1


def test_an_overflow_in_float16_is_met_by_a_smaller_scale(tmp_path):
    t = make_trainer(precision="fp16")
    t.scaler.load_state_dict(t.scaler.state_dict() | {"scale": 2.0**100})
    before = [p.detach().clone() for p in t.model.parameters()]
    t.fit(images(8), steps=1, batch_size=8, callbacks=[JSONLLogger(tmp_path / "m.jsonl")])
    assert all(torch.equal(p, old) for p, old in zip(t.model.parameters(), before, strict=True))
    assert t.scaler.get_scale() == 2.0**99
    line = json.loads((tmp_path / "m.jsonl").read_text())
    assert line["grad_norm/d"] is None
    assert line["loss/d"] > 0


def test_a_gradient_that_is_never_finite_stops_float16_too():
    class Bad(losses.NonSaturating):
        def real(self, logits):
            return super().real(logits) + torch.sqrt(logits * 0).mean()

    t = make_trainer(precision="fp16", adversarial=Bad())
    with pytest.raises(ig.NonFiniteLossError, match="gradient of the discriminator"):
        t.fit(images(64), steps=60, batch_size=16)


def test_a_float16_run_can_go_on_after_a_bad_step():
    calls = []

    class Once(losses.NonSaturating):
        def generator(self, logits):
            calls.append(1)
            return super().generator(logits) * (float("nan") if len(calls) == 1 else 1)

    t = make_trainer(precision="fp16", adversarial=Once())
    with pytest.raises(ig.NonFiniteLossError, match="generator's adversarial loss"):
        t.step(images(8))
    t.step(images(8))
    assert t.steps == 1


def test_float16_goes_on_after_a_step_that_was_cut_off():
    class Raises(losses.NonSaturating):
        calls = 0

        def generator(self, logits):
            Raises.calls += 1
            if Raises.calls == 2:
                raise MemoryError
            return super().generator(logits)

    t = make_trainer(adversarial=Raises(), precision="fp16")
    t.step(images(8))
    with pytest.raises(MemoryError):
        t.step(images(8))
    t.step(images(8))
    assert t.steps == 2


@pytest.mark.cuda
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_trains_on_cuda(precision, joint):
    t = make_trainer(device="cuda", precision=precision, ema_decay=0.9, joint_batches=joint)
    t.fit(images(64), steps=5, batch_size=16)
    assert next(t.model.parameters()).is_cuda
    assert t.model.sample(3, digit=1, seed=0).is_cuda
    assert t.model.encode(images(3))["digit"].probs.isfinite().all()


@pytest.mark.cuda
def test_samples_of_a_seed_are_the_same_on_both_devices():
    t = make_trainer(device="cuda")
    on_cuda = t.model.sample(4, seed=1).cpu()
    torch.testing.assert_close(t.model.cpu().sample(4, seed=1), on_cuda, rtol=1e-4, atol=1e-4)


@pytest.mark.cpu
@pytest.mark.parametrize(("computes", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_cpu_computes_in_it(monkeypatch, computes, expected):
    monkeypatch.setattr("infogan_lib.step.engine.cpu_computes_bf16", lambda: computes)
    assert ig.Engine("cpu", precision="auto").precision_on(torch.device("cpu")) == expected
    assert ig.Engine("cpu", precision="fp16").precision_on(torch.device("cpu")) == "fp16"
    seen = set()
    t = make_trainer(precision="auto")
    t.model.generator.register_forward_hook(lambda _, args, out: seen.add(out.dtype))
    t.step(images(8))
    assert seen == {torch.bfloat16 if computes else torch.float32}


def test_what_the_cpu_computes_in_is_read_off_it(monkeypatch):
    for name, value in (("_is_avx512_bf16_supported", False), ("_is_amx_tile_supported", True)):
        monkeypatch.setattr(torch.cpu, name, lambda value=value: value)
    assert cpu_computes_bf16()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not cpu_computes_bf16()
