"""Steps recorded on the CPU are the plain ones, bit by bit, and run none of their Python again."""

import warnings

import numpy as np
import pytest
import test_graph
import torch
from test_graph import FIRST, MORE, QUICK, batch, check_steps, trainer
from test_late_reading import SETTINGS, everything, same
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import infogan_lib as ig
from infogan_lib.data import Brightness, Compose
from infogan_lib.regularizers import Consistency
from infogan_lib.step import graph as graphs
from infogan_lib.step.cpu_graph import CpuCapture
from infogan_lib.step.graph import WARM_UP
from infogan_lib.step.metrics import Row
from infogan_lib.step.step_graphs import StepGraphs
from toys import dense_generator, images


def pair(**settings):
    return trainer(**settings), trainer(graph=True, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, settings in (SETTINGS | MORE).items()
    ],
)
def test_recorded_steps_are_the_plain_ones(settings):
    plain, recorded = pair(**settings)
    check_steps(plain, recorded, [batch(seed) for seed in range(FIRST + 5)])
    assert recorded._step.graphs.captured > 0
    assert "as graphs" in recorded.summary()


def convolutions(precision, graph, **settings):
    """Layers with buffers, in-place changes, draws of their own and saved outputs."""
    torch.manual_seed(0)
    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=ig.Uniform(1))
    generator = nn.Sequential(
        *(nn.Linear(latent.width, 8 * 16), nn.Unflatten(1, (8, 4, 4)), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Dropout(0.2)),
        *(nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True), spectral_norm(nn.Conv2d(8, 8, 4, 2, 1))),
        *(nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Dropout2d(0.2), nn.Flatten(), nn.Linear(128, 1), nn.Sigmoid()),
    )
    engine = ig.Engine("cpu", precision=precision, graph=graph)
    return ig.InfoGANTrainer(generator, discriminator, latent, engine=engine, **settings)


@pytest.mark.parametrize(
    ("precision", "settings"),
    [("fp32", {"ema_decay": 0.9}), ("bf16", {}), ("fp32", {"joint_batches": True, "d_steps": 2})],
    ids=["fp32", "bf16", "joint"],
)
def test_fits_of_convolutions_with_the_default_terms(tmp_path, precision, settings):
    data, found = images(40, (1, 16, 16)), []
    for graph in (False, True):
        first, second = convolutions(precision, graph, **settings), convolutions(precision, graph, **settings)
        for t, steps in ((first, 2 * FIRST), (second, 4 * FIRST)):
            torch.manual_seed(1)  # of dropout
            t.fit(data, steps=steps, batch_size=16, checkpoints=tmp_path / str(graph), progress=False)
        metrics = {name: values.tolist() for name, values in second.history.items() if name != "images_per_second"}
        found.append([everything(second), metrics])
    assert same(*found)
    assert second._step.graphs.captured >= 1


def test_no_python_of_a_step_runs_again():
    _, recorded = pair()
    calls = []
    recorded.model.discriminator.register_forward_hook(lambda *_: calls.append(1))
    for seed in range(2 * FIRST):
        before = len(calls)
        recorded.step(batch(seed))
        assert (len(calls) == before) == (seed > WARM_UP + 1)  # a first step, the warm-ups, the recording


def item(x):
    return x * x.mean().item()


def numbers(x):
    return x * sum(x.flatten().tolist())


def from_numpy(x):
    return torch.from_numpy(x.numpy() * 0.5)


def as_array(x):
    return torch.tensor(np.asarray(x))


def masked(x):
    return x - x[x > 0].mean()


def in_place_view(x):
    return x.clone().unsqueeze_(0).squeeze(0)


def sparse(x):
    return x.flatten(1).to_sparse().to_dense().view_as(x)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (item, "reads values by aten._local_scalar_dense"),
        (numbers, "reads values by Tensor.tolist"),
        (from_numpy, "reads values by Tensor.numpy"),
        (as_array, "reads values by Tensor.__array__"),
        (masked, "reads values by aten"),
        (in_place_view, "changes the shape of a tensor in place by aten.unsqueeze_"),
        (sparse, "."),
    ],
)
def test_what_no_run_would_do_again_is_refused_and_leaves_nothing(change, reason):
    plain, recorded = pair(augment=lambda x, rng: change(x))
    check_steps(plain, recorded, [batch(seed) for seed in range(FIRST - 1)])
    before = everything(recorded)
    with pytest.raises(RuntimeError, match=f"engine.graph must be False or 'auto' here, but got True.*{reason}"):
        recorded.step(batch(20))
    assert same(everything(recorded), before)


def test_looking_up_by_integers_reads_nothing():
    plain, recorded = pair(augment=lambda x, rng: x[torch.randperm(len(x), generator=rng)])
    check_steps(plain, recorded, [batch(seed) for seed in range(2 * FIRST)])


def test_a_capture_does_no_work():
    weight, rng = torch.ones(3), torch.Generator().manual_seed(0)

    def function():
        weight.add_(torch.rand(3, generator=rng)).mul_(torch.rand(3))
        return Row([{"sum": weight.sum().sigmoid()}])

    states = rng.get_state(), torch.get_rng_state()
    replay, row = CpuCapture([rng]).capture(function)
    assert torch.equal(weight, torch.ones(3))
    assert same((rng.get_state(), torch.get_rng_state()), states)
    for _ in range(2):
        replay()
    found = weight.clone(), row.tensor.clone()
    rng.set_state(states[0])
    torch.set_rng_state(states[1])
    weight.fill_(1)
    for _ in range(2):
        wanted = function()
    assert same(found, (weight, wanted.tensor))


def without_grad(x):
    with torch.no_grad():
        inner = LSTM(x)[0]
    return inner + LSTM(x)[0]


def set_in_place(x):
    y = x.clone()
    y[1:3] += x[0]
    return y


LSTM = nn.LSTM(5, 6)
OPERATORS = {
    "kernels that look at the grad mode": lambda x, rng: LSTM(x)[0],
    "and within a change of it": lambda x, rng: without_grad(x),
    "an operator named by a keyword": lambda x, rng: x.clone().random_(0, 5, generator=rng),
    "whole numbers": lambda x, rng: torch.randint(0, 5, (5,), generator=rng) + x[torch.randperm(4, generator=rng)],
    "choices": lambda x, rng: torch.multinomial(x.softmax(1), 2, generator=rng),
    "complex numbers": lambda x, rng: torch.fft.fft(x).conj().abs() + torch.fft.fft(x).real,
    "another dtype of the same memory": lambda x, rng: x.view(torch.int32) // 3,
    "changes of a slice": lambda x, rng: set_in_place(x),
    "infinite constants": lambda x, rng: torch.where(x > 0, x, -float("inf")).exp(),
    "new constants": lambda x, rng: torch.tensor([1.0, 2.0]) * x[:, :2],
    "transforms": lambda x, rng: torch.vmap(torch.func.grad(lambda row: (row**3).sum()))(x),
    "several results": lambda x, rng: sum(part.sin() for part in x.sort(1)[0].unbind(1)),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_operators_do_the_same_for_other_values(operator):
    x, rng = torch.randn(4, 5), torch.Generator().manual_seed(0)

    def function():
        return Row([{"sum": operator(x, rng).double().sum()}])

    replay, row = CpuCapture([rng]).capture(function)
    for _ in range(3):
        x.normal_()
        before = rng.get_state()
        replay()
        after = rng.get_state()
        rng.set_state(before)
        assert torch.equal(function().tensor, row.tensor)
        assert torch.equal(rng.get_state(), after)
    assert torch.is_grad_enabled()


def test_a_run_is_not_under_the_autocast_of_its_caller():
    x = torch.randn(64, 64)
    replay, row = CpuCapture([]).capture(lambda: Row([{"sum": (x @ x).sum()}]))
    with torch.autocast("cpu", torch.bfloat16):
        replay()
    assert torch.equal(row.tensor[0], (x @ x).sum())


def test_what_a_run_no_longer_needs_is_freed():
    """Values go as they are used for the last time, so that a run takes no more memory than the function."""
    x, alive = torch.ones(1 << 20), []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **kwargs or {})
            if isinstance(made, torch.Tensor) and made.numel() == x.numel():
                storages.append(torch.multiprocessing.reductions.StorageWeakRef(made.untyped_storage()))
                alive.append(sum(not storage.expired() for storage in storages))
            return made

    def function():
        y = x
        for _ in range(6):
            y = y.sin()
        return Row([{"sum": y.sum()}])

    replay, _ = CpuCapture([]).capture(function)
    storages = []
    with Watch():
        replay()
    assert len(alive) == 6
    assert max(alive) <= 2


def test_a_value_that_changes_with_the_step_is_seen_by_a_term():
    """Tensors changed in place between steps are read anew, though nothing of the step's Python runs."""
    scale = torch.ones(())
    plain, recorded = pair(augment=lambda x, rng: x * scale)
    for seed in range(2 * FIRST):
        scale.fill_(1 + 0.1 * seed)
        assert recorded.step(batch(seed)) == plain.step(batch(seed))


class Noises:
    """An augmentation whose strength may be changed."""

    amount = 0.0

    def __init__(self):
        self.amount = 0.1

    def __call__(self, x, rng):
        return x + self.amount * torch.randn(x.shape, generator=rng)


def set_layer(name, value):
    def change(t):
        for layer in t.model.modules():
            if hasattr(layer, name):
                setattr(layer, name, value)

    return change


def replace_activation(t):
    t.model.discriminator[3] = nn.Tanh()


def replace_forward(t):
    activation = t.model.discriminator[3]
    activation.forward = lambda x: x.tanh()


def add_hook(t):
    t.model.discriminator[3].register_forward_hook(lambda module, args, made: 2 * made)


class Scales(nn.Module):
    """A layer of a user's, whose attributes are set later."""

    def __init__(self):
        super().__init__()
        self.factor, self.range = None, (-1.0, 1.0)

    def forward(self, x):
        scaled = x if self.factor is None else x * self.factor
        return (scaled * getattr(self, "gain", 1)).clamp(*self.range)


def add_hook_of_a_weight(t):
    t.model.discriminator[1].weight.register_hook(lambda grad: grad / 2)


def add_hook_of_an_optimizer(t):
    def clip(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            nn.utils.clip_grad_value_(group["params"], 1e-4)

    t.optimizers["d"].register_step_pre_hook(clip)


def set_views(t):
    t._step.regularizers[0].augment.augmentations[0].amount = 0.9


CHANGES = {
    "dropout": set_layer("p", 0.9),
    "BatchNorm": set_layer("momentum", 0.5),
    "a slope": set_layer("negative_slope", 0.5),
    "an augmentation": lambda t: setattr(t._step._call._augment, "amount", 0.5),
    "another layer": replace_activation,
    "another forward": replace_forward,
    "a hook": add_hook,
    "what was None": set_layer("factor", 0.5),
    "a tuple": set_layer("range", (-0.1, 0.1)),
    "a new attribute": lambda t: setattr(t.model.generator[-2], "gain", 0.5),
    "a hook of a weight": add_hook_of_a_weight,
    "a hook of an optimizer": add_hook_of_an_optimizer,
    "another function of a term": lambda t: setattr(t._step.regularizers[0], "augment", Brightness(0.9)),
    "a setting of a function of a term": set_views,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_between_steps_is_one_in_a_recorded_step(change):
    def generator(width):
        return nn.Sequential(dense_generator(width), Scales(), nn.Dropout(0.3))

    def make(graph):
        views = Consistency(Compose([Noises(), Brightness(0.1)]))
        return trainer(generator=generator, augment=Noises(), regularizers=[views], graph=graph, pixel_range=(-1, 1))

    made = [make(graph) for graph in (False, True)]
    for captured in (1, 2):
        for seed in range(FIRST + 2):
            found = []
            for t in made:
                torch.manual_seed(seed)  # of dropout
                found.append(t.step(batch(seed)))
            assert found[0] == found[1]
        assert made[1]._step.graphs.captured == captured
        for t in made:
            change(t)
    assert same(*map(everything, made))


class CountsInPython(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (1 + 0.01 * self.calls)


def test_a_network_that_counts_in_python_is_a_plain_one(monkeypatch):
    monkeypatch.setattr(graphs, "MOST_KINDS", 4)

    def generator(width):
        return dense_generator(width, end=CountsInPython())

    plain, recorded = (trainer(generator=generator, graph=g, pixel_range=(-1, 1)) for g in (False, "auto"))
    with pytest.warns(UserWarning, match="not captured as graphs: its layers changed more than 4 times"):
        check_steps(plain, recorded, [batch(seed) for seed in range(FIRST + 4)])


def test_graphs_that_are_left_to_the_library_are_made_on_the_cpu_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorded = trainer(graph="auto")
        for seed in range(FIRST):
            recorded.step(batch(seed))
    assert recorded._step.graphs.captured == 1


class Counted(CpuCapture):
    """Counts how often what it has captured is run."""

    replays = 0

    def capture(self, function):
        run, row = super().capture(function)

        def replay():
            self.replays += 1
            run()

        return replay, row


def record_on_the_cpu(trainer, choice=True):
    capture = Counted([trainer.streams[name] for name in trainer.streams.state_dict()])
    trainer._step.graphs = StepGraphs(trainer._step, capture, choice)
    return capture


@pytest.mark.slow
@pytest.mark.parametrize(
    "test",
    [
        test_graph.test_a_lazy_term_and_a_smaller_batch_have_graphs_of_their_own,
        test_graph.test_labels_and_frozen_parts,
        test_graph.test_two_steps_may_be_launched_before_the_first_is_read,
        test_graph.test_the_row_has_the_loss_scale_that_the_step_began_with,
        test_graph.test_tensors_that_were_replaced_are_captured_anew,
        test_graph.test_optimizers_are_capturable_while_they_are_captured,
        test_graph.test_the_average_notices_that_a_replay_has_changed_it,
    ],
)
def test_what_holds_of_graphs_that_a_device_would_have_holds_on_the_cpu(test, monkeypatch):
    monkeypatch.setattr(test_graph, "record_graphs", record_on_the_cpu)
    test()
