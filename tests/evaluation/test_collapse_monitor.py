"""The monitor as a callback: when it checks, what it reports, and what it resumes with."""

import pytest
import torch
from torch import nn

from infogan_lib.evaluation import CollapseMonitor, CollapseWarning, Symptom
from infogan_lib.evaluation.probe import ProbeResult
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


class Scripted(CollapseMonitor):
    """Finds the symptoms of a script: one string per check, one letter per symptom."""

    def __init__(self, script, **settings):
        super().__init__(**{"every": 1, "after": 0, **settings})
        self.script, self.steps = iter(script), []

    def _check(self, trainer):
        self.steps.append(trainer.steps)
        symptoms = [Symptom(kind, "", "found", "this", trainer.steps) for kind in next(self.script, "")]
        return ProbeResult(1.0, {}, {}), symptoms


class ScriptedOnRealImages(Scripted):
    """The same for the check on real images; the other one finds nothing."""

    def __init__(self, script, **settings):
        super().__init__(script, **{"real_after": 0, **settings})

    def _check(self, trainer):
        return ProbeResult(1.0, {}, {}), []

    def _check_real_images(self, trainer):
        return super()._check(trainer)[1]


def toy(seed=0, **settings):
    torch.manual_seed(0)
    return make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu", seed=seed, **settings)


def test_reported_when_it_lasts_and_again_when_it_recurs():
    monitor = Scripted(["a", "", "ab", "ab", "ab", "b", "ab", "ab"], on_symptom=lambda symptom: None)
    toy().fit(images(64), steps=8, batch_size=8, callbacks=[monitor])
    assert [(symptom.kind, symptom.step) for symptom in monitor.symptoms] == [("a", 4), ("b", 4), ("a", 8)]


def test_it_warns_unless_there_is_a_function_to_call():
    with pytest.warns(CollapseWarning, match="step 2: a: found. Try: this"):
        toy().fit(images(64), steps=2, batch_size=8, callbacks=[Scripted(["a", "a"])])
    reported = []
    toy().fit(images(64), steps=2, batch_size=8, callbacks=[Scripted(["a", "a"], on_symptom=reported.append)])
    assert [symptom.kind for symptom in reported] == ["a"]


def test_it_checks_at_multiples_of_every_from_after_on():
    monitor = Scripted([], every=3, after=5)
    assert monitor.every == 3
    toy().fit(images(64), steps=13, batch_size=8, callbacks=[monitor])
    assert monitor.steps == [6, 9, 12]


def test_real_images_are_checked_before_the_rest():
    monitor = ScriptedOnRealImages(["a"] * 4, every=2, after=6, real_after=3, on_symptom=lambda symptom: None)
    toy().fit(images(64), steps=9, batch_size=8, callbacks=[monitor])
    assert monitor.steps == [4, 6, 8]
    assert [symptom.step for symptom in monitor.symptoms] == [6]  # at two consecutive checks, of either extent
    assert (CollapseMonitor().after, CollapseMonitor().real_after) == (500, 200)


def test_a_manual_check_includes_real_images():
    trainer = toy()
    trainer.step(images(8))
    kinds = [symptom.kind for symptom in ScriptedOnRealImages(["a"]).check(trainer)]
    assert kinds == ["a"]


class Uncertain(nn.Module):
    """A Q of three outputs that knows nothing."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return self.scale * images.flatten(1)[:, : LATENT.num_outputs]


def test_the_last_batch_is_what_q_is_checked_on(monkeypatch):
    monkeypatch.setattr("infogan_lib.evaluation.real_images.MIN_BOUND", -1.0)
    trainer = toy(q_network=Uncertain(), information_trains=["generator"])
    trainer.step(images(64))
    (found,) = [s for s in CollapseMonitor(every=1).check(trainer) if s.kind == "categories not of the data"]
    assert "unsure of them (entropy 100% of ln k)" in found.finding
    assert (found.step, found.subject) == (1, "digit")
    trainer.step(images(8))  # too few to judge
    assert "categories not of the data" not in [s.kind for s in CollapseMonitor(every=1).check(trainer)]


@pytest.mark.parametrize("scripted", [Scripted, ScriptedOnRealImages])
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["a", "a"], ["ab", "ab"], [("a", 2), ("b", 4)]),
        (["a", "ab"], ["ab", "ab"], [("a", 2), ("b", 3)]),  # b was pending when the run ended
    ],
)
def test_a_resumed_run_does_not_report_again(tmp_path, before, after, expected, scripted):
    def train(script):
        monitor = scripted(script, on_symptom=lambda symptom: None)
        trainer = toy()
        trainer.fit(images(64), steps=2, batch_size=8, callbacks=[monitor], checkpoints=tmp_path)
        return trainer, monitor

    assert [symptom.kind for symptom in train(before)[1].symptoms] == ["a"]
    trainer, monitor = train(after)
    assert trainer.steps == 2
    trainer.fit(images(64), steps=2, batch_size=8, callbacks=[monitor], checkpoints=tmp_path)
    assert [(symptom.kind, symptom.step) for symptom in monitor.symptoms] == expected


def test_checking_before_the_first_update_raises():
    with pytest.raises(ValueError, match="nothing to check before the first update of G"):
        CollapseMonitor().check(toy())


def test_one_monitor_for_two_runs_reports_both():
    monitor = Scripted(["a", "a", "a", "a"], on_symptom=lambda symptom: None)
    for seed in range(2):
        toy(seed).fit(images(64), steps=2, batch_size=8, callbacks=[monitor])
    assert [symptom.kind for symptom in monitor.symptoms] == ["a", "a"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"every": 0}, ValueError, "every must be a whole number of at least 1"),
        ({"after": -1}, ValueError, "after must be a whole number of at least 0"),
        ({"real_after": 1.5}, TypeError, "real_after must be a whole number"),
        ({"samples": 4}, ValueError, "samples must be a whole number of at least 8"),
        ({"samples": "many"}, TypeError, "samples must be a whole number"),
        ({"on_symptom": "me"}, TypeError, "on_symptom must be a function of a Symptom, or None to warn, but got 'me'"),
    ],
)
def test_bad_arguments_raise(settings, error, message):
    with pytest.raises(error, match=message):
        CollapseMonitor(**settings)
