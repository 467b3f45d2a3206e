"""The alert filter: each problem once, after two consecutive checks, category by category."""

import pytest

from infogan_lib.evaluation.alerts import AlertFilter, AlertKey

M, U = "merged", "unused"


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        pytest.param([[(M, (1, 2))], [(U, (1,))], [(M, (1, 2))], [(M, (1, 3))]], [(U, (1,), 2)], id="by another name"),
        pytest.param([[(M, (1, n))] for n in (2, 3, 4, 5)], [(M, (1, 3), 2)], id="with another one each time"),
        pytest.param(
            [[(M, (0, 1))], [(M, (0, 1))], [(M, (0, 1, 4))], [(M, (0, 1))]], [(M, (0, 1), 2)], id="passing by"
        ),
        pytest.param(
            [[(M, (0, 1))], [(M, (0, 1))], [(M, (0, 1, 4))], [(M, (0, 1, 4))]],
            [(M, (0, 1), 2), (M, (0, 1, 4), 4)],
            id="one more that stays",
        ),
        pytest.param(
            [*[[(M, (0, 1)), (M, (2, 3))]] * 2, *[[(M, (0, 1, 2, 3))]] * 3],
            [(M, (0, 1), 2), (M, (2, 3), 2), (M, (0, 1, 2, 3), 4)],
            id="two pairs that become one",
        ),
        pytest.param(
            [*[[(M, (0, 1, 2))]] * 2, *[[(M, (0, 1))]] * 3, *[[(M, (0, 1, 2))]] * 2],
            [(M, (0, 1, 2), 2), (M, (0, 1, 2), 7)],
            id="one that recovers and comes back",
        ),
        pytest.param(
            [*[[(U, (0,)), (U, (1,))]] * 2, *[[(M, (0, 1))]] * 2],
            [(U, (0,), 2), (U, (1,), 2), (M, (0, 1), 4)],
            id="two unused ones that merge",
        ),
        pytest.param(
            [*[[(M, (0, 1, 2))]] * 2, *[[(M, (0, 1)), (U, (2,))]] * 2],
            [(M, (0, 1, 2), 2), (U, (2,), 4)],
            id="one that is unused instead",
        ),
        pytest.param([[(M, (1, 2))], [(M, (0, 3))], [("b", ())], [("c", ())]], [], id="nothing that lasts"),
        pytest.param([[(M, (1, 2))]] * 2 + [[]] + [[(M, (1, 2))]] * 2, [(M, (1, 2), 2), (M, (1, 2), 5)], id="again"),
    ],
)
def test_categories_are_tracked_one_by_one(checks, expected):
    alerts, reported = AlertFilter(), []
    for step, symptoms in enumerate(checks, start=1):
        for key in alerts([AlertKey(kind, "", categories) for kind, categories in symptoms], perturbed=()):
            reported.append((key.kind, key.categories, step))
    assert reported == expected


def test_an_inactive_code_persists_while_its_factor_is_not_perturbed():
    alerts, inactive = AlertFilter(), AlertKey("inactive code", "'z'")
    checks = [([inactive], ["'z'"])] * 2 + [([], [])] * 2 + [([inactive], ["'z'"])] * 2
    assert [alerts(*check) for check in checks] == [[], [inactive], [], [], [], []]
    assert alerts([], ["'z'"]) == []  # measured and found active
    assert alerts.reported == []
    assert [alerts(*check) for check in checks[:2]] == [[], [inactive]]
