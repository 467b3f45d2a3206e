"""The benchmark on sprites: two branches of one run, with and without the contrastive term, and the table of scores."""

import argparse
import sys
from functools import partial

import pytest
import torch

import sprites_scores
from infogan_lib import recipes
from infogan_lib.evaluation import model_centrality
from sprites_data import Sprites


@pytest.fixture
def options(tmp_path, monkeypatch):
    """The options of a short run, whose scores are made up: of FactorVAE, how many models were scored before."""
    scored = []

    def measure(model, data, samples):
        scored.append(model)
        return dict.fromkeys(sprites_scores.SCORES, 0.5) | {"FactorVAE": len(scored) / 10}, None

    quick = partial(model_centrality, num_votes=20, group_size=10, num_samples=100)
    monkeypatch.setattr(sprites_scores, "model_centrality", quick)
    monkeypatch.setattr(sprites_scores, "measure", measure)
    arguments = f"x --seeds 0 1 --steps 4 --last 0.5 --width 0.05 --precision fp32 --samples 100 --out {tmp_path}"
    monkeypatch.setattr(sys, "argv", arguments.split())
    return sprites_scores.parse_arguments(), scored


def weights(folder):
    """All weights of G of a saved run, side by side."""
    return torch.nn.utils.parameters_to_vector(recipes.load_run(folder).generator.parameters())


def test_the_branches_go_on_from_the_same_weights_and_differ_in_the_term(options):
    settings, _ = options
    sprites_scores.run_seed(0, settings)
    common = recipes.get("sprites", width=0.05, seed=0).trainer()
    common.fit(Sprites(), steps=2, batch_size=64, progress=False)
    start = torch.nn.utils.parameters_to_vector(common.model.generator.parameters())
    baseline, contrastive = (weights(sprites_scores.folder_of(0, settings) / name) for name in sprites_scores.BRANCHES)
    for after in (baseline, contrastive):  # two steps of two updates of Adam at 1e-3
        assert 0 < (after - start).abs().max() < 4.5e-3
    assert not torch.equal(baseline, contrastive)


def test_what_is_scored_is_not_trained_again(options):
    settings, scored = options
    sprites_scores.run_seed(0, settings)
    sprites_scores.scores_of("contrastive", 0, settings).unlink()
    before = weights(sprites_scores.folder_of(0, settings) / "contrastive")
    sprites_scores.run_seed(0, settings)
    assert len(scored) == 3
    assert torch.equal(weights(sprites_scores.folder_of(0, settings) / "contrastive"), before)


@pytest.mark.parametrize(
    "change", [{"steps": 5}, {"last": 0.4}, {"width": 0.1}, {"precision": "bf16"}, {"samples": 7}], ids=str
)
def test_other_settings_are_other_runs(options, change):
    settings, _ = options
    other = argparse.Namespace(**vars(settings) | change)
    assert sprites_scores.scores_of("baseline", 0, other) != sprites_scores.scores_of("baseline", 0, settings)


def test_the_table_has_every_run_the_means_and_the_model_that_is_most_central(options, capsys):
    settings, _ = options
    for seed in settings.seeds:
        sprites_scores.run_seed(seed, settings)
    capsys.readouterr()
    sprites_scores.print_table(settings)
    rows = dict(line.rsplit(maxsplit=5)[:2] for line in capsys.readouterr().out.splitlines()[1:])
    chosen = next(name for name in rows if name.startswith("most central"))
    assert rows[chosen] == rows[f"contrastive, seed {chosen[-1]}"]
    scores = [rows[f"{name}, {which}"] for name in sprites_scores.BRANCHES for which in ("seed 0", "seed 1", "mean")]
    assert scores == ["0.100", "0.300", "0.200", "0.200", "0.400", "0.300"]


def test_a_run_that_fails_is_told(options, monkeypatch):
    monkeypatch.setattr(sprites_scores, "run_processes", lambda commands, *, jobs: [1])
    with pytest.raises(SystemExit, match="1 runs failed"):
        sprites_scores.main()
