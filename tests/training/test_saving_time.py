"""The benchmark of saving, shortened."""

import pytest

from saving_time import measure


@pytest.mark.slow
def test_saving_is_timed():
    step, spent, size = measure(4, 2)
    assert step > 0
    assert len(spent) == 4  # at the beginning, twice on the way, and at the end
    assert 15 < size < 40
