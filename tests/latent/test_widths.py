"""Widths beyond any latent are refused before memory is asked for, at the public doors and in JSON."""

import json
import time

import pytest

from infogan_lib import Bernoulli, Categorical, Gaussian, LatentSpec, Noise, Uniform
from infogan_lib.latent.base import MAX_WIDTH
from memory import bounded_memory

HUGE = [MAX_WIDTH + 1, 2**31, 10**12, 10**30, 10**4000, 10**5000]


@pytest.mark.parametrize("width", HUGE, ids=["2**20 + 1", "2**31", "10**12", "10**30", "10**4000", "10**5000"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(Noise, "dim"), (Uniform, "dim"), (Gaussian, "dim"), (Bernoulli, "dim"), (Categorical, "k of Categorical")],
)
def test_a_width_beyond_any_latent_is_refused_by_name(kind, name, width):
    started = time.process_time()
    refused = pytest.raises(ValueError, match=f"{name} must be a whole number of at most 1,048,576")
    with bounded_memory(10), refused:
        kind(width)
    assert time.process_time() - started < 1


def test_the_widest_latent_there_may_be_is_sampled():
    assert LatentSpec(z=Noise(MAX_WIDTH - 2), c=Categorical(2)).sample(1).shape == (1, MAX_WIDTH)


def test_many_variables_have_no_more_columns_than_one():
    codes = {f"c{i}": Categorical(2**10) for i in range(1025)}
    with pytest.raises(ValueError, match="a latent has at most 1,048,576 columns, but these variables have 1,049,600"):
        LatentSpec(codes)


def test_many_codes_in_json_are_read_and_scored_in_seconds():
    text = json.dumps({f"c{i}": {"kind": "Categorical", "k": 2 + i % 7} for i in range(15_000)})
    started = time.process_time()
    latent = LatentSpec.from_json(text)
    assert latent.sample(2).shape == (2, latent.width)
    assert latent._loss is not None
    assert time.process_time() - started < 10


@pytest.mark.parametrize("ends", [(-1.7e308, 1.7e308), (0, 1e39), (-3e38, 3e38), (3e38, 3.5e38), (-1e39, 0)])
def test_a_range_whose_samples_are_not_finite_is_refused(ends):
    with pytest.raises(ValueError, match="high - low must be finite in Uniform"):
        Uniform(1, low=ends[0], high=ends[1])
