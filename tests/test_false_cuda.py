"""The false CUDA device refuses what CUDA refuses, and sees every wait; mistakes planted in the library show, too."""

import sys

import pytest
import torch

from toys import images, make_trainer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif("false_cuda" not in sys.modules, reason="needs the false CUDA device: pytest -p false_cuda"),
]


@pytest.fixture
def waits():
    """The kinds of wait that `call` makes the host wait."""
    import false_cuda

    def kinds(call):
        false_cuda.reset()
        call()
        return [kind for kind, _ in false_cuda.WAITS.elements()]

    return kinds


def test_tensors_of_two_devices_are_refused():
    on_device, on_host = torch.ones(3, device="cuda"), torch.ones(3)
    for mixed in (
        lambda: on_device + on_host,
        lambda: torch.cat([on_device, on_host]),
        lambda: on_host.add_(on_device),
        lambda: torch.nn.functional.linear(on_device, on_host),
        lambda: torch.lerp(on_device, on_device, on_host),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()
    assert torch.equal(on_device + torch.tensor(1.0), torch.full((3,), 2.0, device="cuda"))  # a number may be mixed
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device="cuda", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, generator=torch.Generator("cuda"))


def test_memory_that_nobody_wrote_is_nan():
    assert torch.empty(5, device="cuda").isnan().all()


def test_waits_are_seen(waits):
    x, host, pinned = torch.ones(4, device="cuda"), torch.ones(4), torch.ones(4).pin_memory()
    assert pinned.is_pinned()
    assert not host.is_pinned()
    assert waits(lambda: x.sum().item()) == ["item"]
    assert waits(lambda: x.cpu()) == ["device to host"]
    assert waits(lambda: host.cuda()) == waits(lambda: pinned.cuda()) == ["host to device"]
    assert waits(lambda: host.to("cuda", non_blocking=True)) == ["host to device"]  # pageable memory is waited for
    assert waits(lambda: pinned.to("cuda", non_blocking=True)) == []
    assert waits(lambda: x[x > 0]) == ["size of a result"]
    assert waits(lambda: x[torch.tensor([0, 1])]) == ["host indices to device"]
    assert waits(torch.cuda.synchronize) == ["synchronize"]
    assert waits(lambda: (x * 2).exp().sum()) == []


def test_a_copy_to_pinned_memory_is_there_only_after_a_wait(waits):
    x, host = torch.ones(4, device="cuda"), torch.zeros(4).pin_memory()
    assert waits(lambda: host.copy_(x, non_blocking=True)) == []
    x.mul_(7)  # after the copy in the order of the device
    assert host.isnan().all()
    event = torch.cuda.Event()
    event.record()
    event.synchronize()
    assert host.tolist() == [1, 1, 1, 1]


def trained(**settings):
    t = make_trainer(device="cuda", **settings)
    for seed in range(2):
        t.step(images(8, seed=seed))
    return t


@pytest.mark.parametrize("mistake", ["latents", "images", "weights of the codes", "average"])
def test_a_mistake_about_devices_is_refused(monkeypatch, mistake):
    trained(ema_decay=0.9)
    t = trained(ema_decay=0.9)
    if mistake == "latents":
        monkeypatch.setattr(t, "_draw", lambda n: t.model.latent.sample(n))
    elif mistake == "images":
        monkeypatch.setattr("infogan_lib.training.stepping.as_floats", lambda batch, *_: batch.cpu())
    elif mistake == "weights of the codes":
        t._step._lambdas = t._step._lambdas.cpu()
    else:
        t.model.ema_generator.module.cpu()
    with pytest.raises(RuntimeError, match="same device|should be the same"):
        t.step(images(8))


def test_a_read_in_the_step_is_counted_by_its_line(monkeypatch):
    import false_cuda

    t = trained()
    real = images(8).cuda()
    draw = t._draw
    monkeypatch.setattr(t, "_draw", lambda n: draw(n) * float(t.model.generator[0].bias.sum().isfinite()))
    false_cuda.reset()
    t.launch(real)
    assert [kind for kind, _ in false_cuda.WAITS.elements()] == ["item"]
    (line,) = (line for _, line in false_cuda.WAITS)
    assert line.startswith("step/step.py:")


def test_a_row_that_is_read_too_early_stops_the_step(monkeypatch):
    from infogan_lib import NonFiniteLossError
    from infogan_lib.step import metrics

    t = trained()
    monkeypatch.setattr(metrics.torch.cuda.Event, "synchronize", lambda self: None)
    with pytest.raises(NonFiniteLossError):
        t.step(images(8).cuda())
