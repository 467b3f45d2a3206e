"""The monitor as a callback: when it checks, what it reports, and what it resumes with."""

import pytest
import torch

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


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["a", "a"], ["ab", "ab"], [("a", 2), ("b", 4)]),
        (["a", "ab"], ["ab", "ab"], [("a", 2), ("b", 3)]),  # b was pending when the run ended
    ],
)
def test_a_resumed_run_does_not_report_again(tmp_path, before, after, expected):
    def train(script):
        monitor = Scripted(script, on_symptom=lambda symptom: None)
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
        ({"samples": 4}, ValueError, "samples must be a whole number of at least 8"),
        ({"samples": "many"}, TypeError, "samples must be a whole number"),
        ({"on_symptom": "me"}, TypeError, "on_symptom must be a function of a Symptom, or None to warn, but got 'me'"),
    ],
)
def test_bad_arguments_raise(settings, error, message):
    with pytest.raises(error, match=message):
        CollapseMonitor(**settings)
