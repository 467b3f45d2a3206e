"""Steps are launched before the last one is read: nothing in a launch waits, and a bad step is rolled back exactly."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.stateless import _reparametrize_module
from torch.optim.lr_scheduler import LinearLR
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import infogan_lib as ig
from infogan_lib.data.augmentation import Brightness
from infogan_lib.data.rng import RandomStreams
from infogan_lib.data.sources import TensorSource
from infogan_lib.losses import Hinge, NonSaturating, RelativisticPair, Wasserstein
from infogan_lib.regularizers import R1, Consistency, GradientPenalty, ModeSeeking, RealImageInformation
from infogan_lib.step.engine import Engine
from infogan_lib.step.step import InfoGANStep
from infogan_lib.training.trainer import STREAMS
from toys import LATENT, TupleDiscriminator, dense_discriminator, dense_generator, images, make_trainer

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "average and schedule": {"ema_decay": 0.9, "scheduler": lambda o: LinearLR(o, 1.0, 0.1, 50)},
    "joint": {"joint_batches": True},
    "accumulation": {"accumulation_steps": 2},
    "several updates": {"d_steps": 2, "g_steps": 2},
    "bf16": {"precision": "bf16"},
    "relativistic": {"adversarial": RelativisticPair()},
    "joint relativistic": {"adversarial": RelativisticPair(), "joint_batches": True},
    "terms about D": {"adversarial": Wasserstein(), "regularizers": [GradientPenalty(), R1(every=2)]},
    "terms about Q and G": {
        "regularizers": [RealImageInformation("digit", augment=lambda x, g: x.flip(-1)), ModeSeeking(after=1)]
    },
    "augmentation of both": {"discriminator_augment": Brightness(0.5), "regularizers": [Consistency(Brightness(0.2))]},
}


def everything(t):
    optimizers = [optimizer.state_dict() for optimizer in t.optimizers.values()]
    schedulers = [scheduler.state_dict() for scheduler in t.schedulers]
    return copy.deepcopy([t.model.state_dict(), optimizers, schedulers, t.streams.state_dict(), t.launched])


def same(a, b):
    leaves = tree_leaves(a), tree_leaves(b)
    return len(leaves[0]) == len(leaves[1]) and all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(*leaves, strict=True)
    )


class Quiet(ig.Callback):
    """A callback that never looks at the model, and keeps what it is given."""

    def __init__(self):
        self.steps = []

    def needs_model(self, step):
        return False

    def on_step_end(self, trainer, metrics):
        self.steps.append((trainer.steps, len(trainer.history["loss/d"]), metrics["loss/d"]))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_fit_is_bit_by_bit_the_loop_of_steps(settings):
    data = images(48)
    fitted, looped = make_trainer(**settings), make_trainer(**settings)
    quiet = Quiet()
    history = fitted.fit(data, steps=6, batch_size=8, callbacks=[quiet])
    for batch in TensorSource(data, 8, 0).epoch(0):
        looped.step(batch)
    assert same(everything(fitted), everything(looped))
    assert [(step, count) for step, count, _ in quiet.steps] == [(n, n) for n in range(1, 7)]
    assert history["loss/d"].tolist() == looped.history["loss/d"].tolist()


class Reads(TorchDispatchMode):
    """Counts operators that need a value on the host."""

    NAMES = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique", "masked_select", "item")

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(func.__name__.split(".")[0].lstrip("_") == name.lstrip("_") for name in self.NAMES):
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_launch_reads_nothing(settings):
    t = make_trainer(**settings)
    for _ in range(2):
        t.step(images(8))
    with Reads() as reads:
        t.launch(images(8))
    assert reads.seen == []
    t.read()
    with Reads() as reads:
        images(8).sum().item()
    assert reads.seen  # they are seen where there are some


@pytest.mark.cpu
def test_the_last_batch_is_that_of_the_last_step_read():
    t = make_trainer()
    assert t.last_batch is None
    t.launch(((images(8) + 1) * 127.5).round().to(torch.uint8))
    t.launch(images(8, seed=1))
    assert t.last_batch is None
    t.read()
    assert t.last_batch.dtype == torch.float32
    assert torch.allclose(t.last_batch, images(8), atol=1 / 255 + 1e-6)  # in the range of the model
    t.read()
    assert torch.equal(t.last_batch, images(8, seed=1))


class GoesBad(NonSaturating):
    """Not finite at one call of G's loss."""

    def __init__(self, call):
        object.__setattr__(self, "calls", [call])

    def generator(self, logits):
        self.calls[0] -= 1
        return super().generator(logits) * (float("nan") if self.calls[0] == 0 else 1.0)


@pytest.mark.parametrize("settings", [SETTINGS["plain"], SETTINGS["average and schedule"]], ids=["plain", "average"])
def test_a_bad_step_is_rolled_back_although_the_next_one_was_launched(settings):
    t = make_trainer(adversarial=GoesBad(3), **settings)
    for seed in range(2):
        t.step(images(8, seed=seed))
    before = everything(t)
    t.launch(images(8, seed=2))
    t.launch(images(8, seed=3))
    assert (t.steps, t.launched) == (2, 4)
    with pytest.raises(ig.NonFiniteLossError, match="generator's adversarial loss became nan in step 2") as stopped:
        t.read()
    assert stopped.value.step == 2
    assert same(everything(t), before)
    assert (t.steps, t.launched, len(t.history["loss/d"])) == (2, 2, 2)
    t.step(images(8, seed=2))  # and training continues


def test_a_fit_that_was_rolled_back_continues_with_the_batches_of_both_steps(tmp_path):
    data, seen = images(40), []

    class Notes(ig.Callback):
        def needs_model(self, step):
            return False

        def on_step_end(self, trainer, metrics):
            seen.append(trainer.steps)

    t = make_trainer(adversarial=GoesBad(4))
    with pytest.raises(ig.NonFiniteLossError, match="in step 3"):
        t.fit(data, steps=9, batch_size=8, callbacks=[Notes()], checkpoints=tmp_path)
    assert seen == [1, 2, 3]
    t.fit(data, steps=9, batch_size=8, callbacks=[Notes()], checkpoints=tmp_path)
    whole = make_trainer(adversarial=GoesBad(100))
    whole.fit(data, steps=9, batch_size=8)
    assert same(everything(t), everything(whole))


def test_a_callback_that_needs_the_model_sees_it_as_of_its_step():
    class Looks(ig.Callback):
        def __init__(self):
            self.weights = {}

        def needs_model(self, step):
            return step % 2 == 0

        def on_step_end(self, trainer, metrics):
            if trainer.steps % 2 == 0:
                assert trainer.launched == trainer.steps
                self.weights[trainer.steps] = trainer.model.generator[0].weight.detach().clone()

    looks, t = Looks(), make_trainer()
    t.fit(images(48), steps=6, batch_size=8, callbacks=[looks])
    for steps, weight in looks.weights.items():
        other = make_trainer()
        other.fit(images(48), steps=steps, batch_size=8)
        assert torch.equal(weight, other.model.generator[0].weight)


def test_weights_that_g_s_last_update_spoils_are_rolled_back():
    class Spoils(torch.optim.SGD):
        def step(self, closure=None):
            super().step()
            self.param_groups[0]["params"][0].data.fill_(float("nan"))

    t = make_trainer(g_optimizer=lambda p: Spoils(p, 0.1))
    before = everything(t)
    with pytest.raises(ig.NonFiniteLossError, match="weight 'generator.0.weight' became nan in step 0"):
        t.step(images(8))
    assert same(everything(t), before)


def test_a_scheduler_that_raises_leaves_nothing_of_the_step():
    class Raises(LinearLR):
        def step(self, epoch=None):
            if getattr(self, "armed", False) and self.last_epoch == 1:
                raise KeyError("mine")
            super().step()

    t = make_trainer(scheduler=lambda o: Raises(o, 1.0, 0.1, 50), ema_decay=0.9)
    t.step(images(8))
    for scheduler in t.schedulers:
        scheduler.armed = True
    before = everything(t)
    with pytest.raises(KeyError, match="mine"):
        t.step(images(8))
    assert same(everything(t), before)


@pytest.mark.parametrize("discriminator", [dense_discriminator, TupleDiscriminator], ids=["tap", "tuple"])
@pytest.mark.parametrize(
    "adversarial",
    [NonSaturating(), *(pytest.param(loss, marks=pytest.mark.slow) for loss in (Hinge(), RelativisticPair()))],
    ids=repr,
)
@pytest.mark.parametrize("joint", [False, True])
def test_a_whole_step_is_one_graph(discriminator, adversarial, joint):
    """Both updates with their optimizers, traced on tensors without values, which refuse every read."""
    torch.manual_seed(0)
    model = ig.InfoGAN(dense_generator(), discriminator(), LATENT).train()

    def step(parameters, buffers, x, c):
        leaves = {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}
        copies = {name: b.clone() for name, b in buffers.items()}
        with _reparametrize_module(model, {**leaves, **copies}):
            groups = model.parameter_groups()
            made = InfoGANStep(
                model,
                {
                    "d": torch.optim.SGD(groups["trunk"] + groups["d_head"], 0.1),
                    "g": torch.optim.SGD(groups["generator"] + groups["q_head"], 0.1),
                },
                adversarial=adversarial,
                information_trains=frozenset(["generator", "q_head", "trunk"]),
                engine=Engine("cpu"),
                streams=RandomStreams(0, torch.device("cpu"), STREAMS),
                joint_batches=joint,
            )
            row = made.launch(x, lambda n: c).row._host
            after = {name: b.clone() for name, b in model.named_buffers()}
        return {name: leaf.detach() for name, leaf in leaves.items()}, after, row

    given = dict(model.named_parameters()), dict(model.named_buffers()), images(8), LATENT.sample(8)
    graph = make_fx(step, tracing_mode="fake", _allow_non_fake_inputs=True)(*given)
    assert not [node for node in graph.graph.nodes if "local_scalar_dense" in str(node.target)]
    wanted, found = step(*given), graph(*given)
    assert same(wanted, found)
    assert not same(wanted[0], given[0])
    assert isinstance(model.generator[0].weight, nn.Parameter)


def test_a_trainer_with_a_step_that_was_not_read_is_neither_saved_nor_loaded(tmp_path):
    """What was launched is in the weights, and its metrics are in no history."""
    t = make_trainer(device="cpu")
    t.step(images(8))
    t.save_checkpoint(tmp_path)
    t.launch(images(8, seed=1))
    for call in (t.save_checkpoint, t.load_checkpoint):
        with pytest.raises(RuntimeError, match=r"a step was launched and not read; call read\(\) or discard\(\) first"):
            call(tmp_path)
    with pytest.raises(RuntimeError, match="a step was launched and not read"):
        t.fit(images(40), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert (t.steps, t.launched) == (1, 2)
    t.discard()
    t.save_checkpoint(tmp_path)
    t.load_checkpoint(tmp_path)
    assert (t.steps, t.launched) == (1, 1)


def test_a_callback_that_leaves_a_step_unread_before_the_first_checkpoint_is_named(tmp_path):
    class Launches(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            trainer.launch(images(8))

    t = make_trainer(device="cpu")
    with pytest.raises(RuntimeError, match="a callback launched a step in on_fit_start"):
        t.fit(images(40), steps=2, batch_size=8, callbacks=[Launches()], checkpoints=tmp_path)
    assert not any((tmp_path / "checkpoints").iterdir())
