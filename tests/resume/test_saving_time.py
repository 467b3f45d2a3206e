"""The benchmark of saving, shortened."""

import pytest

from saving_time import measure, measure_history


@pytest.mark.slow
def test_saving_is_timed():
    step, spent, size = measure(4, 2)
    assert step > 0
    assert len(spent) == 4  # at the beginning, twice on the way, and at the end
    assert 15 < size < 40


@pytest.mark.slow
def test_a_save_after_many_steps_costs_what_it_costs_after_few():
    few, many = measure_history(5_000), measure_history(500_000)
    assert max(many.mib) < 8.5
    assert sum(many.mib) < 2 * sum(few.mib) + 8
    assert many.total_mib > 50
