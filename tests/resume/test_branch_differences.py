"""What a branch may change of the run that it begins from, what is recorded of it, and what stays strict."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, StepLR

import infogan_lib as ig
from infogan_lib import Checkpoints, LinearDecay, losses
from infogan_lib.callbacks import EarlyStopping, JSONLLogger
from infogan_lib.resume import branch
from resume_toys import fit, lines_in, same_run, trainer
from toys import dense_discriminator, dense_generator, images, make_trainer

WARNING = "a new run begins from .* with other settings: "


@pytest.fixture
def parent(tmp_path):
    fit(trainer(), steps=7, checkpoints=tmp_path / "a")  # of five batches an epoch
    return tmp_path / "a"


def differences_of(run):
    newest = max((run / "checkpoints").iterdir())
    return json.loads((newest / "manifest.json").read_text())["metadata"]["branch_differences"]


def heavier():
    return ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4, weight=3), style=ig.Uniform(2, weight=0.5))


CHANGES = {
    "a weight": (lambda: trainer(heavier()), {}, "latent.digit.weight was 1.0 and is 3"),
    "a rate": (lambda: trainer(lr_g=1e-5), {}, r"optimizers\[1\].groups\[0\].lr was 0.001 and is 1e-05"),
    "an added schedule": (lambda: trainer(scheduler=LinearDecay(20)), {}, "schedulers"),
    "the loss": (lambda: trainer(adversarial=losses.Hinge()), {}, "adversarial was NonSaturating.* and is Hinge"),
    "an augmentation": (lambda: trainer(augment=lambda x, rng: x), {}, "augmented.augment was False and is True"),
    "a part": (
        lambda: trainer(information_trains=("generator", "q_head")),
        {},
        "information_trains.* was trunk and is absent",
    ),
    "the batch size": (trainer, {"batch_size": 4}, "the data is another: .* batch size 8, and this data has 4"),
    "more data": (trainer, {"data": images(64)}, "the data is another: .* length 40, and this data has 64"),
    "other data": (trainer, {"data": [images(8)] * 3}, "the data is another: "),
    "callbacks": (
        trainer,
        {"callbacks": [EarlyStopping("loss/d", mode="min")]},
        "callbacks were none and are EarlyStopping",
    ),
}


@pytest.mark.parametrize(("make", "options", "told"), CHANGES.values(), ids=CHANGES)
def test_a_branch_may_change_it_and_records_it(parent, tmp_path, make, options, told):
    def branch(steps):
        settings = Checkpoints(tmp_path / "b", every=1, resume=parent)
        return fit(make(), **{"data": images(40)} | options, steps=steps, checkpoints=settings)

    with pytest.warns(UserWarning, match=WARNING + ".*" + told):
        assert branch(8).steps == 8
    recorded = differences_of(tmp_path / "b")
    assert recorded
    assert branch(9).steps == 9  # without a warning, as the branch is resumed
    assert differences_of(tmp_path / "b") == recorded
    with pytest.raises(ig.CheckpointError):
        fit(make(), **{"data": images(40)} | options, steps=9, checkpoints=parent)


def test_a_branch_that_changes_nothing_records_nothing(parent, tmp_path):
    t = fit(trainer(), steps=9, checkpoints=Checkpoints(tmp_path / "b", resume=parent))
    assert differences_of(tmp_path / "b") == []
    assert same_run(t, fit(trainer(), steps=9))


def test_a_heavier_code_has_that_weight_in_the_branch(parent):
    with pytest.warns(UserWarning, match=WARNING):
        t = fit(trainer(heavier()), steps=8, checkpoints=Checkpoints(None, resume=parent))
    nll = {name: t.history[f"nll/{name}"][-1] for name in ("digit", "style")}
    assert t.history["loss/information"][-1] == pytest.approx(3 * nll["digit"] + 0.5 * nll["style"], rel=1e-5)


def test_other_data_begins_an_epoch(parent):
    batches = []

    class Batches(ig.Callback):
        def on_step_end(self, trainer, metrics):
            batches.append(trainer.last_batch.clone())

    data = [images(8, seed=i) for i in range(3)]
    with pytest.warns(UserWarning, match="the data is another"):
        t = fit(trainer(), data, steps=10, callbacks=[Batches()], checkpoints=Checkpoints(None, resume=parent))
    assert all(map(torch.equal, batches, data))
    assert (t.steps, t.epochs) == (10, 2)


def test_callbacks_that_stay_keep_their_state_beside_added_ones(tmp_path):
    log = tmp_path / "log.jsonl"
    fit(trainer(), steps=4, callbacks=[JSONLLogger(log)], checkpoints=tmp_path / "a")
    added = EarlyStopping("loss/d", mode="min")
    with pytest.warns(UserWarning, match="callbacks were JSONLLogger and are EarlyStopping, JSONLLogger"):
        fit(
            trainer(),
            steps=6,
            callbacks=[added, JSONLLogger(log)],
            checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"),
        )
    assert lines_in(log) == list(range(1, 7))
    with pytest.warns(UserWarning, match="callbacks were EarlyStopping, JSONLLogger and are none"):
        fit(trainer(), steps=8, checkpoints=Checkpoints(tmp_path / "c", resume=tmp_path / "b"))


class OwnLogger(JSONLLogger):
    """A user's."""


@pytest.mark.parametrize("logger", [JSONLLogger, OwnLogger])
def test_a_log_of_the_run_keeps_its_lines_where_a_branch_adds_to_it(tmp_path, recwarn, logger):
    logs = [tmp_path / "log.jsonl", tmp_path / "own.jsonl"]
    fit(trainer(), steps=6, callbacks=[logger(logs[0])], checkpoints=Checkpoints(tmp_path / "a", every=3, keep=9))
    start = tmp_path / "a/checkpoints/step_0000000003"
    for i, log in enumerate(logs):
        for steps in (4, 5):  # the second call resumes the branch
            settings = Checkpoints(tmp_path / f"b{i}", resume=start)
            fit(trainer(), steps=steps, callbacks=[logger(log)], checkpoints=settings)
    assert lines_in(logs[0]) == [1, 2, 3, 4, 5, 6, 4, 5]
    assert lines_in(logs[1]) == [4, 5]
    assert not recwarn


@pytest.mark.parametrize(
    "schedule",
    [
        LinearDecay(12, start=0.25),
        lambda o: StepLR(o, 3, 0.5),
        lambda o: ChainedScheduler([StepLR(o, 3, 0.5), ConstantLR(o, 0.1, 5)]),
    ],
)
def test_a_schedule_with_another_rate_goes_on_from_the_same_step(tmp_path, schedule):
    def rates(t):
        return [o.param_groups[0]["lr"] for o in t.optimizers.values()]

    fit(trainer(scheduler=schedule), steps=7, checkpoints=tmp_path / "a")
    expected = fit(trainer(scheduler=schedule, lr_d=1e-3), steps=9)
    settings = Checkpoints(None, resume=tmp_path / "a")
    with pytest.warns(UserWarning, match=WARNING):
        branch = fit(trainer(scheduler=schedule, lr_d=1e-3), steps=9, checkpoints=settings)
    assert rates(branch) == pytest.approx(rates(expected))


def test_a_schedule_keeps_its_rates_where_another_setting_differs(tmp_path):
    def schedule(optimizer):
        return StepLR(optimizer, 3, 0.5)

    fit(trainer(scheduler=schedule), steps=7, checkpoints=tmp_path / "a")
    settings = Checkpoints(None, resume=tmp_path / "a")
    with pytest.warns(UserWarning, match=WARNING):
        branch = fit(trainer(scheduler=schedule, adversarial=losses.Hinge()), steps=8, checkpoints=settings)
    assert branch.optimizers["d"].param_groups[0]["lr"] == pytest.approx(5e-4 / 4)


def test_a_schedule_that_has_advanced_takes_no_other_rates(tmp_path):
    fit(trainer(scheduler=LinearDecay(20)), steps=7, checkpoints=tmp_path / "a")
    t = trainer(scheduler=LinearDecay(30))
    t.step(images(8))
    with pytest.raises(ig.CheckpointError, match="begins from it with a new trainer only"):
        fit(t, steps=8, checkpoints=Checkpoints(None, resume=tmp_path / "a"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: trainer(seed=1), "seed was 0 and is 1"),
        (lambda: trainer(d_optimizer=lambda p: torch.optim.SGD(p, 0.1)), "class was Adam and is SGD"),
        (lambda: trainer(ig.LatentSpec(z=ig.Noise(7), digit=ig.Categorical(4))), "latent.z.dim was 5 and is 7"),
    ],
)
def test_what_a_branch_must_share_is_refused(parent, make, told):
    with pytest.raises(ig.CheckpointError, match=f"a run that begins from this one must share .*{told}"):
        fit(make(), steps=9, checkpoints=Checkpoints(None, resume=parent))


def compiled(module):
    return torch.compile(module, backend="eager")


WRAPPERS = {
    "plain": lambda module: module,
    "DataParallel": nn.DataParallel,
    "compiled": pytest.param(compiled, marks=pytest.mark.slow),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.cpu
@pytest.mark.parametrize("after", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("before", WRAPPERS.values(), ids=WRAPPERS)
def test_runs_of_wrapped_and_plain_networks_are_interchangeable(tmp_path, before, after):
    def wrapped(wrap):
        torch.manual_seed(0)
        return make_trainer(wrap(dense_generator()), wrap(dense_discriminator()), ema_decay=0.9)

    fit(wrapped(before), steps=3, checkpoints=tmp_path)
    t = fit(wrapped(after), steps=3 + 3, checkpoints=tmp_path)
    whole = fit(wrapped(WRAPPERS["plain"]), steps=6)
    assert np.array_equal(t.history["loss/d"], whole.history["loss/d"])
    assert fit(wrapped(after), steps=8, checkpoints=Checkpoints(None, resume=tmp_path)).steps == 8


def test_schedules_are_not_advanced_by_any_number_of_steps(parent, monkeypatch):
    monkeypatch.setattr(branch, "MAX_RESCHEDULED_STEPS", 6, raising=False)  # a forged count would take hours
    t = trainer(scheduler=LinearDecay(20))
    with pytest.raises(ig.CheckpointError, match="it is of step 7, and a branch advances schedules that differ"):
        fit(t, steps=8, checkpoints=Checkpoints(None, resume=parent))
    assert t.steps == 0
