"""Steps that are captured and replayed are the plain ones, bit by bit; a step that cannot be captured is a plain one.

`graph_recorder` stands in for the device: it records operators and runs them again on the same memory.
"""

import random
import re
import sys
import warnings
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from test_late_reading import SETTINGS, everything, same
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.lr_scheduler import LinearLR

import infogan_lib as ig
from graph_recorder import Recorder, record_graphs
from infogan_lib.regularizers import R1, Contrastive, GeneratorRegularizer, ModeSeeking
from infogan_lib.step import graph
from infogan_lib.step import step_graphs as step_graphs_module
from infogan_lib.step.graph import WARM_UP, CudaCapture
from infogan_lib.step.step_graphs import _obstacle
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

FIRST = WARM_UP + 2  # of so many steps the last is launched as a graph; the first makes the moments

SCHEDULE = {"scheduler": lambda o: LinearLR(o, 1.0, 0.1, 50), "ema_decay": 0.9}
LEARNED = ig.Categorical(4, probs=[0.4, 0.3, 0.2, 0.1], learn_probs_after=FIRST + 2)
MORE = {
    "fp16": {"precision": "fp16"},
    "default terms": {"regularizers": None},
    "a term that changes with the step": {"regularizers": lambda: [Contrastive(gap={0: 0.9, FIRST + 3: 0.1})]},
    "a term that comes later": {"regularizers": lambda: [ModeSeeking(after=FIRST + 2)]},
    "a learned prior": {"latent": ig.LatentSpec(z=ig.Noise(5), digit=LEARNED)},
}
QUICK = ("plain", "average and schedule", "several updates", "fp16")


def trainer(*, latent=LATENT, generator=dense_generator, regularizers=(), **settings):
    """A trainer in float64; `generator`, and `regularizers` if need be, make what no two trainers can share."""
    torch.manual_seed(0)
    networks = generator(latent.width).double(), dense_discriminator().double()
    terms = regularizers() if callable(regularizers) else regularizers
    return make_trainer(*networks, latent, regularizers=terms, device="cpu", **settings)


def both(choice=True, **settings):
    """A plain trainer, one whose steps are captured, and how they are."""
    plain, captured = trainer(**settings), trainer(**settings)
    return plain, captured, record_graphs(captured, choice)


def batch(seed, n=8):
    return images(n, seed=seed, dtype=torch.float64)


def check_steps(plain, captured, batches):
    for x in batches:
        assert captured.step(x) == plain.step(x)
    assert same(everything(captured), everything(plain))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, settings in (SETTINGS | MORE).items()
    ],
)
def test_captured_steps_are_the_plain_ones(settings):
    plain, captured, capture = both(**settings)
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST + 5)])
    assert capture.replays > 0
    assert "as graphs" in captured.summary()


def test_a_lazy_term_and_a_smaller_batch_have_graphs_of_their_own():
    plain, captured, capture = both(regularizers=[R1(every=2)])
    sizes = [8, 8, 5, 5] * (WARM_UP + 2)
    check_steps(plain, captured, [batch(seed, n) for seed, n in enumerate(sizes)])
    assert captured._step.graphs.captured == 4
    assert capture.replays == len(sizes) - 1 - 4 * WARM_UP  # all but the first step and the warm-ups


def test_labels_and_frozen_parts():
    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Label(4))
    plain, captured, capture = both(latent=latent)
    for seed in range(3 * FIRST):
        for t in (plain, captured):
            t.model.generator[0].weight.requires_grad_(not FIRST < seed < 2 * FIRST)
        labels = torch.tensor([seed % 4, -1, 2, 3])
        assert captured.step((batch(seed, 4), labels)) == plain.step((batch(seed, 4), labels))
    assert same(everything(captured), everything(plain))
    assert captured._step.graphs.captured == 2
    assert capture.replays > FIRST


def test_two_steps_may_be_launched_before_the_first_is_read():
    plain, captured, _ = both(ema_decay=0.9)
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST)])
    for t in (plain, captured):
        t.launch(batch(20))
        t.launch(batch(21))
    assert captured.read() == plain.read()
    assert captured.read() == plain.read()


def test_the_row_has_the_loss_scale_that_the_step_began_with():
    plain, captured, _ = both(precision="fp16")
    for t in (plain, captured):
        t.scaler.set_growth_interval(2)
    scales = []
    for seed in range(2 * FIRST):
        rows = []
        for t in (plain, captured):
            t.launch(batch(seed))
            rows.append(t._queue._pending[0].row.read())
            t.read()
        assert rows[0] == rows[1]
        scales.append(rows[0][0][-1].get("scale"))
    assert len(set(scales[FIRST:])) > 2


@pytest.mark.parametrize("settings", [SETTINGS["average and schedule"], MORE["fp16"]], ids=["average", "fp16"])
def test_a_bad_step_is_rolled_back_although_the_next_one_was_launched(settings):
    plain, captured, capture = both(**settings)
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST)])
    before = everything(captured)
    captured.launch(batch(20) * float("nan"))
    captured.launch(batch(21))
    with pytest.raises(ValueError, match=f"the batch of step {FIRST} holds NaN"):
        captured.read()
    assert same(everything(captured), before)
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST, FIRST + 3)])
    assert capture.replays == (3 if "precision" in settings else 6)  # a loss scale is another tensor then


def test_runs_are_resumed_with_graphs_or_without(tmp_path):
    plain, captured, capture = both(**SCHEDULE)
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST)])
    plain.save_checkpoint(tmp_path / "plain")
    captured.save_checkpoint(tmp_path / "captured")
    plain.load_checkpoint(tmp_path / "captured")
    captured.load_checkpoint(tmp_path / "plain")
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST, 2 * FIRST)])
    assert captured._step.graphs.captured == 2  # the moments are others since
    assert capture.replays == 1 + FIRST - WARM_UP


def test_tensors_that_were_replaced_are_captured_anew():
    plain, captured, _ = both()
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST)])
    for t in (plain, captured):
        weight = t.model.discriminator[1].weight
        weight.data = weight.data * 0.5
    check_steps(plain, captured, [batch(seed) for seed in range(FIRST, 2 * FIRST)])
    assert captured._step.graphs.captured == 2


def test_optimizers_are_capturable_while_they_are_captured():
    seen = []

    def look(x, rng):
        seen.append([(g["capturable"], type(g["lr"])) for o in captured.optimizers.values() for g in o.param_groups])
        return x

    _, captured, _ = both(augment=look, **SCHEDULE)
    for seed in range(FIRST + 1):
        captured.step(batch(seed))
    assert seen == [[(False, float)] * 3] * (FIRST - 1) + [[(True, torch.Tensor)] * 3]


class Slope(GeneratorRegularizer):
    """A term with a number that changes in the step, which no graph would see."""

    name, weight = "slope", 1.0

    def set_step(self, step):
        self._slope = float(step // (FIRST + 1))

    def __call__(self, latent, sampled, images, generate, rng):
        return self._slope * images.mean()


@pytest.mark.parametrize(
    "change", ["weight", "set_step", *(pytest.param(slow, marks=pytest.mark.slow) for slow in ("betas", "mode"))]
)
def test_a_setting_that_changes_is_another_kind_of_step(change):
    plain, captured, _ = both(regularizers=lambda: [Slope() if change == "set_step" else ModeSeeking(after=0)])
    for seed in range(2 * FIRST):
        if seed == FIRST + 1:
            for t in (plain, captured):
                if change == "weight":
                    t._step.regularizers[0].weight = 5.0
                elif change == "betas":
                    t.optimizers["g"].param_groups[0]["betas"] = (0.9, 0.9)
                elif change == "mode":
                    t.model.generator[1].eval()
        assert captured.step(batch(seed)) == plain.step(batch(seed))
    assert same(everything(captured), everything(plain))
    assert captured._step.graphs.captured == 2


def test_the_average_notices_that_a_replay_has_changed_it():
    """It finds singular vectors anew when the version of a weight has changed."""

    def generator(width):
        return nn.Sequential(spectral_norm(nn.Linear(width, 16)), nn.Unflatten(1, (1, 4, 4)), nn.Tanh())

    plain, captured, _ = both(generator=generator, ema_decay=0.9)
    for seed in range(FIRST + 2):
        assert captured.step(batch(seed)) == plain.step(batch(seed))
        for t in (plain, captured):
            t.sampled = t.model.sample(3, seed=0)
    assert torch.equal(captured.sampled, plain.sampled)


def reads(x, rng):
    return x if x.sum().item() == 0 else x.flip(-1)


def draws(x, rng):
    return x * random.uniform(0.9, 1.0)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"augment": reads}, "RuntimeError: operation not permitted when stream is capturing"),
        ({"discriminator_augment": draws, **SCHEDULE}, "draws from a generator of the host"),
    ],
    ids=["reads", "draws"],
)
def test_a_step_that_cannot_be_captured_is_a_plain_one(settings, reason):
    plain, captured, capture = both("auto", **settings)
    found = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for t in (captured, plain):
            random.seed(0)
            found.append([[t.step(batch(seed)) for seed in range(FIRST + 2)], random.getstate(), everything(t)])
    assert same(*found)
    assert "as graphs" not in captured.summary()
    assert len(warned) == 1
    assert re.search(f"not captured as graphs.*{reason}", str(warned[0].message))
    assert capture.replays == 0


def test_where_graphs_are_asked_for_that_is_an_error_and_leaves_nothing_of_the_step():
    _, captured, _ = both(augment=reads, ema_decay=0.9)
    for seed in range(FIRST - 1):
        captured.step(batch(seed))
    before = everything(captured)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="engine.graph must be False or 'auto' here, but got True: RuntimeError"):
            captured.step(batch(20))
        assert same(everything(captured), before)
        assert all(group["capturable"] is False for o in captured.optimizers.values() for group in o.param_groups)
        assert all(parameter.grad is None for parameter in captured.model.parameters())


def replaces(t, seed):
    t.model.generator[0].weight.data = t.model.generator[0].weight.data.clone()


def changes(t, seed):
    t.optimizers["g"].param_groups[0]["eps"] = 1e-8 * (1 + seed)


@pytest.mark.slow
def test_an_interrupted_capture_drops_all_graphs(monkeypatch):
    """The device's generators have another state after it, which no earlier graph draws from."""
    plain, captured, capture = both()
    record = capture.capture

    def interrupted(function):
        record(function)
        monkeypatch.setattr(capture, "capture", record)
        raise KeyboardInterrupt

    check_steps(plain, captured, [batch(seed) for seed in range(FIRST)])
    monkeypatch.setattr(capture, "capture", interrupted)
    check_steps(plain, captured, [batch(seed, 5) for seed in range(WARM_UP)])
    before = everything(captured)
    with pytest.raises(KeyboardInterrupt):
        captured.step(batch(20, 5))
    assert same(everything(captured), before)
    check_steps(plain, captured, [batch(seed, n) for seed, n in enumerate([8, 5] * (WARM_UP + 1))])
    assert captured._step.graphs.captured == 3


@pytest.mark.parametrize(
    ("change", "what"), [(replaces, "tensors, which it should write into"), (changes, "optimizers")]
)
def test_a_step_that_is_always_another_one_is_a_plain_one(monkeypatch, change, what):
    monkeypatch.setattr(graph, "MOST_KINDS", 4)
    plain, captured, _ = both("auto")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for seed in range(6):
            for t in (plain, captured):
                change(t, seed)
            assert captured.step(batch(seed)) == plain.step(batch(seed))
    assert len(warned) == 1
    assert re.search(f"its {what}.* changed more than 4 times", str(warned[0].message))
    assert captured._step.graphs is None


def test_graphs_on_other_devices_are_refused_or_left_out_with_a_warning(monkeypatch):
    monkeypatch.setattr(step_graphs_module, "_obstacle", lambda step, device: _obstacle(step, torch.device("mps")))
    wanted = "the device is 'mps', neither CUDA nor the CPU"
    with pytest.raises(ValueError, match=f"engine.graph must be False or 'auto' here, but got True: {wanted}"):
        trainer(graph=True)
    with pytest.warns(UserWarning, match=f"not captured as graphs: {wanted}"):
        t = trainer(graph="auto")
    t.step(batch(0))


@pytest.mark.parametrize(
    ("settings", "changes", "reason"),
    [
        ({}, {}, None),
        ({"precision": "fp16"}, {}, None),
        ({"g_optimizer": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)}, {}, None),
        ({"g_optimizer": lambda p: torch.optim.Adam(p)}, {}, "Adam.*counts steps on the host.*capturable=True"),
        ({"g_optimizer": lambda p: torch.optim.Adagrad(p)}, {}, "Adagrad.*counts steps on the host"),
        ({"g_optimizer": lambda p: torch.optim.SGD(p, 0.1), "precision": "fp16"}, {}, "SGD.*waits.*fused=True"),
        ({"g_optimizer": lambda p: torch.optim.SGD(p, 0.1), **SCHEDULE}, {}, "SGD.*schedule's rates.*fused=True"),
        ({"g_optimizer": lambda p: torch.optim.SGD(p, 0.1, fused=True), **SCHEDULE}, {}, None),
        ({}, {"processes": SimpleNamespace(world_size=2)}, "several processes"),
        ({}, {"engine": ig.Engine(compile=True)}, "engine.compile is True"),
    ],
)
def test_what_cannot_be_captured_is_known_before_the_first_step(settings, changes, reason):
    step = trainer(**settings)._step
    vars(step).update(changes)
    found = _obstacle(step, torch.device("cuda"))
    if reason is None:
        assert found is None
    else:
        assert re.search(reason, found)


def test_torch_notes_waits_in_the_last_call_before_a_capture_only(monkeypatch):
    """Torch warns of every change of this mode, also to what it was."""
    modes, stream = [], SimpleNamespace(wait_stream=lambda other: None)
    answers = {"Stream": stream, "current_stream": stream, "stream": nullcontext(), "get_sync_debug_mode": 0}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    capture = CudaCapture(torch.device("cpu"), [])
    capture.warm_up(lambda: None, is_last=False)
    assert not modes
    capture.warm_up(lambda: None, is_last=True)
    assert modes == ["warn", 0]


@pytest.mark.parametrize("is_valid", [True, False])
def test_what_an_invalid_capture_leaves_is_ended(monkeypatch, is_valid):
    """One that was valid has left nothing, and graphs of other trainers draw from the device's generator as it is."""
    calls = []

    def end(*of):
        if is_valid:
            raise RuntimeError("not currently recording")

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *of: calls.append(of))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    rng = SimpleNamespace(clone_state=lambda: "clone", graphsafe_set_state=calls.append)
    CudaCapture(torch.device("cpu", 0), [rng])._recover((0, 1))
    assert calls == ([] if is_valid else [(0, (0, 1)), "clone"])


class FalseGraph:
    """`torch.cuda.CUDAGraph` on the false CUDA device."""

    def __init__(self):
        self.rngs = []

    def register_generator_state(self, rng):
        self.rngs.append(rng)

    def replay(self):
        self.recorder.replay()

    def pool(self):
        return 0, 1


@contextmanager
def false_capture(made, pool, stream, capture_error_mode):
    """`torch.cuda.graph` on the false CUDA device, on which backward passes run in another thread."""
    assert (pool, capture_error_mode) == ((0, 1), "thread_local")
    made.recorder = Recorder(made.rngs)
    try:
        with torch.autograd.set_multithreading_enabled(False), made.recorder:
            yield
    except RuntimeError:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: B904


@pytest.fixture
def waits(monkeypatch):
    """The waits of the false CUDA device, which can capture."""
    false_cuda = sys.modules.get("false_cuda")
    if false_cuda is None:
        pytest.skip("needs the false CUDA device: pytest -p false_cuda")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FalseGraph)
    monkeypatch.setattr(torch.cuda, "graph", false_capture)
    handles = iter([(0, 1)])  # the graphs of a trainer share one
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(handles))
    false_cuda.reset()
    return false_cuda.WAITS


def on_cuda(**settings):
    torch.manual_seed(0)
    return make_trainer(dense_generator().double(), dense_discriminator().double(), device="cuda", **settings)


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True:UserWarning")
@pytest.mark.parametrize("settings", [{}, SCHEDULE, SETTINGS["several updates"], MORE["fp16"]])
def test_steps_are_captured_on_the_false_cuda_device(waits, settings):
    plain, captured = on_cuda(**settings), on_cuda(graph=True, **settings)
    for seed in range(2 * FIRST):
        x = batch(seed).cuda()
        expected = plain.step(x)
        waits.clear()
        captured.launch(x)
        assert captured._step.graphs.captured == 0 or not waits
        # A rate that changes lies on the device in float32.
        assert captured.read() == pytest.approx(expected, rel=1e-4 if "scheduler" in settings else 0)
    assert captured._step.graphs.captured == captured._step.d_steps
    captured.model.sample(2)


@pytest.mark.cuda
def test_a_wait_of_the_host_is_found_before_a_capture(waits):
    captured = on_cuda(graph="auto", augment=reads)
    with pytest.warns(UserWarning, match=r"it waits for the device in line \d+ of .*test_graph.py"):
        _ = [captured.step(batch(seed)) for seed in range(FIRST)]


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True:UserWarning")
def test_a_failed_capture_on_the_false_cuda_device(waits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)  # so that it does not see the wait
    plain, captured = on_cuda(augment=reads), on_cuda(graph="auto", augment=reads)
    try:
        raise KeyError("an error that has nothing to do with it")
    except KeyError:
        with pytest.warns(UserWarning, match="RuntimeError: operation not permitted when stream is capturing"):
            found = [captured.step(batch(seed)) for seed in range(FIRST + 1)]
    assert found == [plain.step(batch(seed)) for seed in range(FIRST + 1)]


@pytest.mark.cuda
@pytest.mark.parametrize("settings", [{}, SETTINGS["average and schedule"], SETTINGS["several updates"]])
def test_steps_are_captured_on_a_device(settings):
    """Not on the false one: see above. Rates that a schedule changes are float32 in a graph."""
    if "false_cuda" in sys.modules:
        pytest.skip("needs a CUDA device that captures")
    plain, captured = on_cuda(**settings), on_cuda(graph=True, **settings)
    for seed in range(2 * FIRST):
        x = batch(seed).cuda()
        tolerance = 1e-5 if "scheduler" in settings else 1e-10
        assert captured.step(x) == pytest.approx(plain.step(x), rel=tolerance, abs=tolerance)
    assert captured._step.graphs.captured == captured._step.d_steps
