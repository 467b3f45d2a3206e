"""All disentanglement scores on constructed codes, and what must not change them."""

import math
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch

from factor_data import GRID, IMAGES, SIZES, entangled, noise
from infogan_lib.metrics.disentanglement import DisentanglementScores, disentanglement
from infogan_lib.metrics.information_scores import mig, modularity, mutual_information
from infogan_lib.metrics.intervention_scores import beta_vae_score, factor_vae_score
from infogan_lib.metrics.predictor_scores import DCI, dci, explicitness, sap

SAMPLE_SCORES = [mig, modularity, sap, dci, explicitness]


def test_codes_that_are_the_factors_score_one():
    scores = disentanglement(GRID.astype(float), GRID)
    assert scores.mig == pytest.approx(1, abs=1e-12)
    assert scores.modularity == pytest.approx(1, abs=1e-12)
    assert (scores.disentanglement, scores.completeness, scores.informativeness) == (1, 1, 1)
    assert scores.explicitness > 0.999
    assert sap(GRID, GRID, method="regression") == pytest.approx(1, abs=1e-12)
    two_valued = GRID % 2
    assert sap(two_valued, two_valued) == pytest.approx(0.5, abs=0.1)  # right in all cases less right in half of them
    assert factor_vae_score(np.asarray, IMAGES, num_votes=60) == 1
    assert beta_vae_score(np.asarray, IMAGES, num_points=60) == 1


def test_the_scores_agree_with_the_functions_and_lie_between_0_and_1():
    codes = entangled()
    scores = disentanglement(codes, GRID, bins=10, seed=3)
    assert isinstance(scores, DisentanglementScores)
    parts = dci(codes, GRID, seed=3)
    assert asdict(scores) == {
        "mig": mig(codes, GRID, bins=10),
        "sap": sap(codes, GRID, seed=3),
        "disentanglement": parts.disentanglement,
        "completeness": parts.completeness,
        "informativeness": parts.informativeness,
        "modularity": modularity(codes, GRID, bins=10),
        "explicitness": explicitness(codes, GRID, seed=3),
    }
    assert all(0 < score < 1 for score in asdict(scores).values())


def test_order_sign_scale_and_offset_of_the_codes_do_not_matter():
    codes = entangled()
    changed = (codes * [-3, 1e-9, 1e6, -1] + [5, 0, 1, 2])[:, [2, 0, 3, 1]]
    assert mig(changed, GRID) == pytest.approx(mig(codes, GRID), abs=1e-9)
    assert modularity(changed, GRID) == pytest.approx(modularity(codes, GRID), abs=1e-9)
    assert sap(changed, GRID) == pytest.approx(sap(codes, GRID), abs=1e-6)
    assert sap(changed, GRID, method="regression") == pytest.approx(sap(codes, GRID, method="regression"), abs=1e-6)
    assert explicitness(changed, GRID) == pytest.approx(explicitness(codes, GRID), abs=1e-3)
    before, after = asdict(dci(codes, GRID)), asdict(dci(changed, GRID))
    assert after == pytest.approx(before, abs=0.05)  # forests draw their columns in another order


def test_names_and_order_of_the_factors_do_not_matter():
    codes, renamed = entangled(), GRID[:, [2, 0, 1]] * 1000 - 7
    assert mig(codes, renamed) == pytest.approx(mig(codes, GRID), abs=1e-12)
    assert modularity(codes, renamed) == pytest.approx(modularity(codes, GRID), abs=1e-12)
    assert sap(codes, renamed) == pytest.approx(sap(codes, GRID), abs=1e-12)
    assert explicitness(codes, renamed) == pytest.approx(explicitness(codes, GRID), abs=1e-9)


@pytest.mark.slow
def test_random_codes_are_at_chance():
    codes = noise(4000, 5)
    factors = np.random.default_rng(1).integers(0, SIZES, (4000, 3))
    scores = disentanglement(codes, factors)
    assert max(scores.mig, scores.disentanglement, scores.completeness) < 0.03
    assert scores.sap < 0.04
    assert scores.informativeness == pytest.approx(np.mean([1 / n for n in SIZES]), abs=0.04)
    assert scores.explicitness == pytest.approx(0.5, abs=0.03)
    rng = np.random.default_rng(2)
    assert factor_vae_score(lambda x: rng.normal(size=(len(x), 5)), IMAGES, num_votes=300) == pytest.approx(
        1 / 3, abs=0.08
    )
    assert (
        beta_vae_score(lambda x: rng.normal(size=(len(x), 40)), IMAGES, num_points=120) < 0.5
    )  # fitted ones: above 0.8


def test_a_code_that_holds_two_factors_costs_modularity_and_disentanglement_but_not_completeness():
    merged = np.stack([GRID[:, 0] * 3 + GRID[:, 1], GRID[:, 2]], axis=1).astype(float)
    assert mig(merged, GRID) == pytest.approx(1, abs=1e-12)
    shares = [(math.log(2) / math.log(3)) ** 2 / 2, 0]
    assert modularity(merged, GRID) == pytest.approx(1 - np.mean(shares), abs=1e-12)
    scores = dci(merged, GRID)
    first_code = 1 - math.log(2) / math.log(3)
    assert scores.disentanglement == pytest.approx((2 * first_code + 1) / 3, abs=1e-12)
    assert (scores.completeness, scores.informativeness) == (1, 1)


def test_a_factor_held_by_two_codes_costs_mig_sap_and_completeness_but_not_modularity():
    twice = np.concatenate([GRID, GRID], axis=1).astype(float)
    assert mig(twice, GRID) == pytest.approx(0, abs=1e-12)
    assert sap(twice, GRID) == pytest.approx(0, abs=1e-12)
    assert sap(twice, GRID, method="regression") == pytest.approx(0, abs=1e-12)
    assert modularity(twice, GRID) == pytest.approx(1, abs=1e-12)
    scores = dci(twice, GRID)
    assert (scores.disentanglement, scores.informativeness) == (1, 1)
    assert scores.completeness < 0.8
    assert factor_vae_score(lambda x: np.concatenate([x, x], axis=1), IMAGES, num_votes=60) == 1


def test_constant_codes_have_documented_scores():
    scores = disentanglement(np.full((len(GRID), 3), 1e30), GRID)
    assert asdict(scores) == asdict(scores) | {
        "mig": 0,
        "sap": 0,
        "disentanglement": 0,
        "completeness": 0,
        "modularity": 0,
        "explicitness": 0.5,
    }
    assert factor_vae_score(lambda x: np.ones((len(x), 2)), IMAGES, num_votes=6) == 0
    assert beta_vae_score(lambda x: np.ones((len(x), 2)), IMAGES, num_points=60) == pytest.approx(1 / 3)


def test_a_dead_code_beside_perfect_ones_costs_only_modularity():
    codes = np.concatenate([GRID, np.zeros((len(GRID), 1))], axis=1)
    assert mig(codes, GRID) == pytest.approx(1, abs=1e-12)
    assert modularity(codes, GRID) == pytest.approx(3 / 4, abs=1e-12)
    assert dci(codes, GRID) == DCI(1, 1, 1)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1.7e308 / 4])
def test_no_size_of_finite_codes_overflows(scale):
    codes = (GRID - GRID.mean(0)) * scale
    assert mig(codes, GRID) == pytest.approx(1, abs=1e-12)
    assert dci(codes, GRID).disentanglement == 1
    assert factor_vae_score(lambda x: (np.asarray(x) - 1) * scale, IMAGES, num_votes=12, num_samples=100) == 1
    assert beta_vae_score(lambda x: (np.asarray(x) - 1) * scale, IMAGES, num_points=60) == 1


def test_tensors_and_lists_are_accepted_and_not_changed():
    codes = torch.tensor(entangled(), requires_grad=True)
    before = codes.detach().clone()
    assert mig(codes, torch.tensor(GRID)) == mig(codes.detach().numpy(), GRID)
    assert mig(codes.tolist(), GRID.tolist()) == mig(codes, GRID)
    assert torch.equal(codes, before)


NAN = np.full((8, 2), np.nan)
TWO = np.arange(16.0).reshape(8, 2)
FACTOR = np.array([0, 1] * 4)[:, None]


@pytest.mark.parametrize("score", [*SAMPLE_SCORES, mutual_information, disentanglement])
@pytest.mark.parametrize(
    ("codes", "factors", "error", "message"),
    [
        (TWO[:7], FACTOR, ValueError, "equally long, but got 7 and 8"),
        (NAN, FACTOR, ValueError, "codes must be finite"),
        (np.full((8, 2), np.inf), FACTOR, ValueError, "codes must be finite"),
        (TWO[:, 0], FACTOR, ValueError, r"codes must have shape \(N, D\).*codes\[:, None\]"),
        (TWO[:0], FACTOR[:0], ValueError, r"but got \(0, 2\)"),
        (TWO * 1j, FACTOR, TypeError, "codes must be real numbers, but got complex128"),
        (TWO, FACTOR[:, 0], ValueError, r"factors must have shape \(N, K\).*factors\[:, None\]"),
        (TWO, FACTOR * 0.5, TypeError, "factors must be whole numbers, but got float64"),
        (TWO, FACTOR * 0 + 3, ValueError, "factor 0 is 3 in all samples.*leave it out"),
    ],
)
def test_bad_samples_raise(score, codes, factors, error, message):
    with pytest.raises(error, match=message):
        score(codes, factors)


@pytest.mark.parametrize("score", [mig, sap, dci, disentanglement])
def test_one_code_is_too_few(score):
    with pytest.raises(ValueError, match="this score compares codes, so it needs at least 2 of them, but got 1"):
        score(GRID[:, :1], GRID)


@pytest.mark.parametrize("score", [modularity, dci, disentanglement])
def test_one_factor_is_too_few(score):
    with pytest.raises(ValueError, match="this score compares factors, so it needs at least 2 of them, but got 1"):
        score(GRID, GRID[:, :1])


@pytest.mark.parametrize("score", [sap, dci, explicitness, disentanglement])
def test_a_missing_scikit_learn_names_the_pip_command(score, monkeypatch):
    for module in ("sklearn.svm", "sklearn.ensemble", "sklearn.linear_model", "sklearn.metrics"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"needs scikit-learn: pip install 'infogan-lib\[eval\]'"):
        score(GRID, GRID)
    with pytest.raises(ImportError, match=r"beta_vae_score needs scikit-learn: pip install 'infogan-lib\[eval\]'"):
        beta_vae_score(np.asarray, IMAGES)
    assert mig(GRID, GRID) == pytest.approx(1)
    assert factor_vae_score(np.asarray, IMAGES, num_votes=6, num_samples=50) == 1
