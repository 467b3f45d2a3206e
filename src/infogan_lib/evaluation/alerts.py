"""Alert filter: report a symptom once, after two consecutive checks, and again if it recurs."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple


class AlertKey(NamedTuple):
    """What identifies a `Symptom`, whatever its values."""

    kind: str
    subject: str
    categories: tuple[int, ...] = ()


class AlertFilter:
    """Decides which of the symptoms found by a check are reported.

    Categories are tracked one by one: images of a category that Q has not learned are attributed to a different one at
    each check, so the merged group changes while the problem stays.

    Attributes:
        pending: Symptoms that the last check found.
        reported: Symptoms that were reported and persist.
    """

    def __init__(self) -> None:
        self.pending: list[AlertKey] = []
        self.reported: list[AlertKey] = []

    def __call__(self, keys: Collection[AlertKey], perturbed: Collection[str]) -> list[AlertKey]:
        """The symptoms to report now: a check found `keys`, and measured the effects of `perturbed` subjects."""
        self.reported = list(self._persisting(keys, perturbed))
        pending, reported = _affected(self.pending), _affected(self.reported)
        alerts = []
        for key in keys:
            if key in self.pending:
                is_new = not any(_covers(earlier, key) for earlier in self.reported)
            else:
                is_new = bool((_affected([key]) & pending) - reported)
            if is_new:
                alerts.append(key)
        self.reported += alerts
        self.pending = list(keys)
        return alerts

    def _persisting(self, keys: Collection[AlertKey], perturbed: Collection[str]) -> Iterator[AlertKey]:
        affected = _affected(keys)
        for key in self.reported:
            if key.categories:
                remaining = tuple(category for category in key.categories if (key.subject, category) in affected)
                if remaining:
                    yield key._replace(categories=remaining)
            elif key in keys or (key.kind == "inactive code" and key.subject not in perturbed):
                yield key


def _covers(earlier: AlertKey, key: AlertKey) -> bool:
    return earlier[:2] == key[:2] and set(earlier.categories) >= set(key.categories)


def _affected(keys: Iterable[AlertKey]) -> set[tuple[str, int]]:
    """The code and number of every category in the keys."""
    return {(key.subject, category) for key in keys for category in key.categories}
