from collections.abc import Iterator

import pytest

from distributed_workers import Workers


@pytest.fixture(scope="session")
def two() -> Iterator[Workers]:
    workers = Workers(2)
    yield workers
    workers.end()


@pytest.fixture(scope="session")
def three() -> Iterator[Workers]:
    workers = Workers(3)
    yield workers
    workers.end()


@pytest.fixture(scope="session")
def four() -> Iterator[Workers]:
    workers = Workers(4)
    yield workers
    workers.end()
