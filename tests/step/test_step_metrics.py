"""What a step reports, against a forward pass written out beside it."""

import pickle

import pytest
import torch

import infogan_lib as ig
from infogan_lib.step.metrics import Row
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer, stream


def test_a_step_of_ones_own_loop():
    t = make_trainer()
    metrics = t.step((images(8), torch.zeros(8)))
    assert set(metrics) >= {"loss/d", "loss/g", "loss/information", "nll/digit", "bound/style", "d_real"}
    assert t.steps == 1
    assert t.history["loss/d"].tolist() == [metrics["loss/d"]]


@pytest.mark.cpu
def test_figures_agree_with_a_forward_pass_of_ones_own():
    """D(x) and D(G(z)) of the weights before the step, and the gradient's norm, computed apart from the step."""
    torch.manual_seed(0)
    t = make_trainer(
        dense_generator(), dense_discriminator(norm=False), LATENT, information_trains=["generator", "q_head"]
    )
    latent = LATENT.sample(8, rng=stream(0, "latents"))
    x = images(8)
    fake = t.model.generator(latent).detach()
    real_logits, fake_logits = t.model.discriminator(x), t.model.discriminator(fake)
    loss = torch.nn.functional.softplus(-real_logits).mean() + torch.nn.functional.softplus(fake_logits).mean()
    gradients = torch.autograd.grad(loss, list(t.model.discriminator.parameters()))
    generator = [p.detach().clone() for p in t.model.generator.parameters()]
    metrics = t.step(x)
    assert metrics["loss/d"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["d_real"] == pytest.approx(real_logits.sigmoid().mean().item(), rel=1e-5)
    assert metrics["d_fake_before"] == pytest.approx(fake_logits.sigmoid().mean().item(), rel=1e-5)
    assert metrics["grad_norm/d"] == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-4)
    after = t.model.discriminator(fake)  # D is updated by now, and judges the same fakes
    assert metrics["d_fake_after"] == pytest.approx(after.sigmoid().mean().item(), rel=1e-5)
    assert metrics["loss/g"] == pytest.approx(torch.nn.functional.softplus(-after).mean().item(), rel=1e-5)
    assert metrics["grad_norm/g"] > 0
    assert any(not torch.equal(p, old) for p, old in zip(t.model.generator.parameters(), generator, strict=True))


def test_figures_are_what_they_say():
    trainer = make_trainer()
    metrics = trainer.step(images(16))
    entropy = LATENT.entropy
    for name in ("digit", "style"):
        assert metrics[f"bound/{name}"] == pytest.approx(entropy[name] - metrics[f"nll/{name}"], abs=1e-6)
        assert metrics[f"bound_fraction/{name}"] == pytest.approx(metrics[f"bound/{name}"] / entropy[name], abs=1e-6)
    weighted = metrics["nll/digit"] + 0.5 * metrics["nll/style"]
    assert metrics["loss/information"] == pytest.approx(weighted, abs=1e-6)
    assert all(0 < metrics[name] < 1 for name in ("d_real", "d_fake_before", "d_fake_after"))


def test_gradients_left_by_another_loop_do_not_enter_the_first_step():
    metrics = []
    for left in (False, True):
        t = make_trainer()
        if left:
            for p in t.model.parameters():
                p.grad = torch.full_like(p, 100.0)
        metrics.append(t.step(images(8)))
    assert metrics[0] == metrics[1]


@pytest.mark.cpu
def test_models_with_an_average_and_errors_can_be_pickled():
    t = make_trainer(ema_decay=0.9)
    t.step(images(8))
    twin = pickle.loads(pickle.dumps(t.model))
    assert torch.equal(twin.sample(2, seed=0), t.model.sample(2, seed=0))
    twin.ema_generator.update_parameters(twin.generator)
    error = pickle.loads(pickle.dumps(ig.NonFiniteLossError("loss", 3, float("nan"))))
    assert (error.term, error.step) == ("loss", 3)


def test_a_row_stays_on_a_device_that_has_no_event_to_wait_for():
    """A copy to the host that nothing waits for would be read too early."""
    row = Row([{"loss": torch.zeros((), device="meta")}])
    assert row.to_host()._host.device.type == "meta"


@pytest.mark.cuda
def test_a_row_is_waited_for_on_its_own_device(monkeypatch):
    """Torch takes the current device, if it is not told."""
    recorded = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: device)
    monkeypatch.setattr(torch.cuda.Event, "record", lambda event, stream=None: recorded.append(stream))
    row = torch.zeros((), device="cuda")
    Row([{"loss": row}]).to_host()
    assert recorded == [row.device]
