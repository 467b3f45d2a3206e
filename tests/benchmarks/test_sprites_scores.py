"""The benchmark on sprites: two branches of one run, with and without the contrastive term, and the table of scores."""

import sys
from functools import partial

import pytest
import torch

import disentanglement
from infogan_lib import recipes
from infogan_lib.evaluation import model_centrality
from sprites_data import Sprites


@pytest.fixture
def options(tmp_path, monkeypatch):
    """The options of a short run, whose scores are made up: of FactorVAE, how many models were scored before."""
    scored = []

    def measure(model, data, samples):
        scored.append(model)
        return dict.fromkeys(disentanglement.SCORES, 0.5) | {"FactorVAE": len(scored) / 10}, None

    quick = partial(model_centrality, num_votes=20, group_size=10, num_samples=100)
    monkeypatch.setattr(disentanglement, "model_centrality", quick)
    monkeypatch.setattr(disentanglement, "measure", measure)
    arguments = f"x --seeds 0 1 --steps 4 --last 0.5 --width 0.05 --precision fp32 --samples 100 --out {tmp_path}"
    monkeypatch.setattr(sys, "argv", arguments.split())
    return disentanglement.parse_arguments(), scored


def weights(folder):
    """All weights of G of a saved run, side by side."""
    return torch.nn.utils.parameters_to_vector(recipes.load_run(folder).generator.parameters())


def test_the_branches_go_on_from_the_same_weights_and_differ_in_the_term(options, tmp_path):
    settings, _ = options
    disentanglement.run_seed(0, settings)
    common = recipes.get("sprites", width=0.05, seed=0).trainer()
    common.fit(Sprites(), steps=2, batch_size=64, progress=False)
    start = torch.nn.utils.parameters_to_vector(common.model.generator.parameters())
    baseline, contrastive = (weights(tmp_path / "seed_0" / name) for name in disentanglement.BRANCHES)
    for after in (baseline, contrastive):  # two steps of two updates of Adam at 1e-3
        assert 0 < (after - start).abs().max() < 4.5e-3
    assert not torch.equal(baseline, contrastive)


def test_what_is_scored_is_not_trained_again(options, tmp_path):
    settings, scored = options
    disentanglement.run_seed(0, settings)
    (tmp_path / "seed_0" / "contrastive.json").unlink()
    before = weights(tmp_path / "seed_0" / "contrastive")
    disentanglement.run_seed(0, settings)
    assert len(scored) == 3
    assert torch.equal(weights(tmp_path / "seed_0" / "contrastive"), before)


def test_the_table_has_every_run_the_means_and_the_model_that_is_most_central(options, tmp_path, capsys):
    settings, _ = options
    for seed in settings.seeds:
        disentanglement.run_seed(seed, settings)
    capsys.readouterr()
    disentanglement.print_table(settings.out, settings.seeds)
    rows = dict(line.rsplit(maxsplit=5)[:2] for line in capsys.readouterr().out.splitlines()[1:])
    chosen = next(name for name in rows if name.startswith("most central"))
    assert rows[chosen] == rows[f"contrastive, seed {chosen[-1]}"]
    scores = [rows[f"{name}, {which}"] for name in disentanglement.BRANCHES for which in ("seed 0", "seed 1", "mean")]
    assert scores == ["0.100", "0.300", "0.200", "0.200", "0.400", "0.300"]


def test_a_run_that_fails_is_told(options, monkeypatch):
    monkeypatch.setattr(disentanglement, "_run_alone", lambda seed: seed)
    with pytest.raises(SystemExit, match="a run failed"):
        disentanglement.main()
