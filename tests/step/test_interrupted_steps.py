"""An interrupt at any call of a step leaves all of the step or none of it, and what follows is as without it."""

import copy
import gc
import sys
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR

from resume_toys import trainer
from toys import images

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "ema_decay": 0.9,
        "g_steps": 2,
        "accumulation_steps": 2,
        "scheduler": lambda optimizer: LinearLR(optimizer, 1.0, 0.1, 50),
    },
    "float16": {"precision": "fp16"},
}


class Interrupt:
    """A profile function that raises KeyboardInterrupt at one of the calls, of Python or C functions, of a step.

    Args:
        at: The number of the call; -1 to count them only.

    Attributes:
        ended: Whether the interrupt ended the step.
        ignored: Whether Python ignored it, as it does in the callback of a weak reference and in a generator's close.
    """

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0
        self.ended = self.ignored = False

    def __call__(self, frame: Any, event: str, function: Any) -> None:
        if event not in ("call", "c_call") or function is sys.setprofile:
            return
        self.count += 1
        if self.count - 1 == self.at:
            sys.setprofile(None)
            raise KeyboardInterrupt

    def note_ignored(self, unraisable: Any) -> None:
        self.ignored = unraisable.exc_type is KeyboardInterrupt


def step(t: Any, interrupt: Interrupt) -> None:
    """A step of the trainer, interrupted; without the garbage collector, whose calls are not the step's."""
    hook, sys.unraisablehook = sys.unraisablehook, interrupt.note_ignored
    gc.disable()
    sys.setprofile(interrupt)
    try:
        t.step(images(8))
    except KeyboardInterrupt:
        interrupt.ended = True
    finally:
        sys.setprofile(None)
        gc.enable()
        sys.unraisablehook = hook


def everything(t: Any) -> list[Any]:
    parts = [t.model, *t.optimizers.values(), *t.schedulers, t.streams, t.scaler]
    history = {name: (t.history[name].tolist(), t.history.steps(name).tolist()) for name in t.history}
    modes = torch.is_grad_enabled(), t.model.training, [p.grad is None for p in t.model.parameters()]
    states = [part.state_dict() for part in parts]
    return copy.deepcopy([*states, history, t.steps, t.launched, torch.get_rng_state(), modes])


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def interrupt_at(kind: str, calls: range | None = None, share: int = 1) -> list[int]:
    """The calls of the third step at which an interrupt leaves part of it, or changes what follows."""
    t = trainer(**KINDS[kind])
    states, counting = [], Interrupt(-1)
    for n in range(5):
        states.append(everything(t))
        step(t, counting if n == 2 else Interrupt(-1))
    states.append(everything(t))
    wrong = []
    for at in calls or range(0, counting.count, share):
        t = trainer(**KINDS[kind])
        for _ in range(2):
            step(t, Interrupt(-1))
        interrupt = Interrupt(at)
        step(t, interrupt)
        assert interrupt.ended or interrupt.ignored
        made = next((n for n in (2, 3) if equal(everything(t), states[n])), None)
        torch.set_grad_enabled(True)
        for _ in range(4 - (made or 4)):
            step(t, Interrupt(-1))
        if made is None or not equal(everything(t), states[4]):
            wrong.append(at)
    return wrong


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("plain", 61),
        ("everything", 199),
        pytest.param("float16", 61, marks=pytest.mark.slow),
        *(pytest.param(kind, 1, marks=pytest.mark.stress) for kind in KINDS),
    ],
)
def test_an_interrupt_at_any_call_of_a_step_leaves_all_of_it_or_none(kind, share):
    assert interrupt_at(kind, share=share) == []


class Failing(torch.optim.Adam):
    """Adam whose first step runs out of memory once it has updated some weights."""

    armed = True

    def step(self, closure=None):
        super().step(closure)
        if self.armed:
            raise torch.OutOfMemoryError("no memory")


@pytest.mark.parametrize("made", [0, 2])
@pytest.mark.parametrize("part", ["d", "g", "q"])
def test_running_out_of_memory_in_an_optimizer_leaves_nothing_of_the_step(part, made):
    def optimizer(parameters):
        return Failing(parameters, 1e-3)

    t, other = (trainer(ema_decay=0.9, **{f"{part}_optimizer": optimizer}) for _ in range(2))
    t.optimizers[part].armed = other.optimizers[part].armed = False
    torch.manual_seed(1)
    for _ in range(made):
        t.step(images(8))
    t.optimizers[part].armed = True
    before = everything(t)
    with pytest.raises(torch.OutOfMemoryError):
        t.step(images(8))
    assert equal(everything(t), before)
    t.optimizers[part].armed = False
    t.step(images(8))
    torch.manual_seed(1)
    for _ in range(made + 1):
        other.step(images(8))
    assert equal(everything(t), everything(other))


@pytest.mark.parametrize("part", ["d", "g"])
def test_a_rate_that_overflows_leaves_nothing_of_the_step(part):
    t = trainer(**{f"{part}_optimizer": lambda p: torch.optim.SGD(p, 1e-3)})
    t.step(images(8))
    t.optimizers[part].param_groups[0]["lr"] = 1e41
    before = everything(t)
    with pytest.raises(RuntimeError, match=r"overflow|NaN|inf|nan"):
        t.step(images(8))
    assert equal(everything(t), before)


def test_what_dropout_draws_is_drawn_again():
    calls = [0]

    def augment(x, rng):
        calls[0] += 1
        return x * (float("nan") if calls[0] == 3 else 1.0)

    t, other = trainer(augment=augment), trainer(augment=lambda x, rng: x)
    torch.manual_seed(1)
    for _ in range(2):
        t.step(images(8))
    t.launch(images(8))
    t.launch(images(8))
    with pytest.raises(Exception, match="step 2"):
        t.read()
    for _ in range(2):
        t.step(images(8))
    torch.manual_seed(1)
    for _ in range(4):
        other.step(images(8))
    assert equal(everything(t), everything(other))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_error_while_a_step_is_recorded_leaves_no_part_of_it_in_the_history(monkeypatch, error):
    t = trainer()
    t.step(images(8))
    before, record = everything(t), type(t.history).record

    def fails(history, step, metrics):
        names = list(metrics)
        record(history, step, {name: metrics[name] for name in names[: len(names) // 2]})
        raise error

    monkeypatch.setattr(type(t.history), "record", fails)
    with pytest.raises(error):
        t.step(images(8))
    assert equal(everything(t), before)
    t.launch(images(8))
    with pytest.raises(error):
        t.read()
    assert (t.steps, t.launched, len(t.history["loss/d"])) == (1, 2, 1)
    monkeypatch.undo()
    t.read()
    assert (t.steps, t.launched, len(t.history["loss/d"]), len(t.history["grad_norm/g"])) == (2, 2, 2, 2)


def test_steps_that_were_not_read_can_be_discarded():
    t = trainer()
    t.step(images(8))
    before = everything(t)
    t.launch(images(8))
    t.launch(images(8))
    t.discard()
    assert equal(everything(t), before)
