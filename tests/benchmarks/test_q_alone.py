"""Q alone on real images: the quick look at settings of the term about them."""

import sys

import pytest

import q_alone
from infogan_lib import Optimizers
from infogan_lib.regularizers import RealImageInformation
from meter.data import load


def test_the_categories_become_the_classes(tmp_path):
    term = RealImageInformation("category")
    before, after = q_alone.cluster(load("digits", folder=tmp_path), "sn", 0, term, [1, 50])
    assert before < 0.3
    assert after > 0.6


def test_without_the_term_nothing_is_learned(tmp_path):
    term = RealImageInformation("category", weight=0.0, augment=None)
    before, after = q_alone.cluster(load("digits", folder=tmp_path), "sn", 0, term, [1, 3])
    assert before == after


def test_the_rates_are_those_that_are_asked_for(tmp_path):
    data, term = load("digits", folder=tmp_path), RealImageInformation("category")
    still = Optimizers(d=1e-12, q=1e-12)
    before, after = q_alone.cluster(data, "sn", 0, term, [1, 30], optimizers=still)
    assert before == after


def test_a_line_for_each_seed_and_one_for_all(tmp_path, monkeypatch, capsys):
    options = (
        "--data digits --networks bn --seeds 0 1 --marks 1 2 --set balance=8.0 views=1 optimizers=Optimizers(d=5e-4)"
    )
    monkeypatch.setattr(sys, "argv", ["q_alone.py", *options.split(), "--cache", str(tmp_path)])
    q_alone.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["digits bn seed 0", "digits bn seed 1", "digits bn"]
    assert lines[0].count("%") == 2


def test_a_setting_that_the_term_has_not(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["q_alone.py", "--set", "bal=8.0"])
    with pytest.raises(TypeError, match="bal"):
        q_alone.main()
