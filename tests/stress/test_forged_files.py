"""The program that forges saved models and checkpoints, shortened."""

import pytest
import torch
from forged_files import attack
from forgeries import Forgery, forgeries

from infogan_lib._schema import Array, Float, Int, ListOf, MapOf, Nullable, OneOf, Plain, Record, Text, similar


@pytest.mark.parametrize(
    "every",
    [311, pytest.param(10, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.stress)],
)
def test_forged_files_are_refused_by_the_name_of_the_field(every):
    counts, faults = attack(every)
    assert faults == []
    assert sum(number for outcome, number in counts.items() if outcome.endswith(": refused")) > 8000 / every


EXAMPLES = [
    (Int(1, 5), 3),
    (Float(0, 1), 0.5),
    (Text(64, "[0-9a-f]{64}"), "0" * 64),
    (OneOf(("a", "b")), "a"),
    (Nullable(Int()), 3),
    (ListOf(Int(), shortest=1, longest=3), [1, 2]),
    (MapOf(Float()), {"a": 1.0}),
    (Record({"a": Int(), "b": Plain()}, optional=frozenset({"b"})), {"a": 1, "b": [2]}),
    (Array(torch.int64, (3,), 0, 10), torch.tensor([0, 5, 10])),
    (Array(None, (None, 2)), torch.zeros(4, 2)),
    (similar({"a": [1, "x", None, True], "b": torch.zeros(2)}), {"a": [2, "x", None, True], "b": torch.ones(2)}),
]


@pytest.mark.parametrize(("kind", "value"), EXAMPLES, ids=str)
def test_a_description_takes_what_it_describes_and_refuses_every_forgery_by_name(kind, value):
    kind.check(value, "it")
    made: list[Forgery] = list(forgeries(kind, value))
    assert len(made) > 8
    for forgery in made:
        if forgery.must_be_refused:
            names = [part for part in forgery.path if isinstance(part, str)]
            with pytest.raises(ValueError, match=names[-1] if names else "^(it|a name in it)"):
                kind.check(forgery.apply(value), "it")
        elif forgery.path:
            kind.check(forgery.apply(value), "it")


def test_plain_data_is_bounded_in_depth_only():
    deep = []
    for _ in range(100):
        deep = [deep]
    Plain().check({"a": [1, "x", torch.zeros(2), {"b": None}]}, "it")
    with pytest.raises(ValueError, match="it must be nested at most 64 deep"):
        Plain().check(deep, "it")
