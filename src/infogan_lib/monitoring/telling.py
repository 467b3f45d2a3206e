"""What is told of what is seen: whatever lasts for two looks, once, and again if it had gone and comes back."""

from collections.abc import Collection, Iterable
from typing import NamedTuple


class About(NamedTuple):
    """What a symptom is about; see `Symptom`."""

    kind: str
    subject: str
    categories: tuple[int, ...] = ()


class Telling:
    """Decides what is told.

    Categories are followed one by one: the images of one that Q cannot say are heard as a second one's now, as a third
    one's then, so that it is merged with another at every look, or unused.

    Attributes:
        suspected: what the last look saw.
        told: what was told and is still there.
    """

    def __init__(self) -> None:
        self.suspected: list[About] = []
        self.told: list[About] = []

    def __call__(self, seen: Collection[About], turned: Collection[str]) -> list[About]:
        """What of this look is to be told.

        Args:
            seen: in this look.
            turned: the subjects whose effect this look could see.
        """
        self.told = list(self._still_there(seen, turned))
        before, told = _troubled(self.suspected), _troubled(self.told)
        to_tell = []
        for about in seen:
            categories = {(about.subject, category) for category in about.categories}
            if about in self.suspected:
                is_new = not any(_covers(of, about) for of in self.told)
            else:
                is_new = bool((categories & before) - told)
            if is_new:
                to_tell.append(about)
        self.told += to_tell
        self.suspected = list(seen)
        return to_tell

    def _still_there(self, seen: Collection[About], turned: Collection[str]) -> Iterable[About]:
        troubled = _troubled(seen)
        for of in self.told:
            if of.categories:
                left = tuple(category for category in of.categories if (of.subject, category) in troubled)
                if left:
                    yield of._replace(categories=left)
            elif of in seen or (of.kind == "no effect" and of.subject not in turned):
                yield of


def _covers(told: About, about: About) -> bool:
    return told[:2] == about[:2] and set(told.categories) >= set(about.categories)


def _troubled(abouts: Iterable[About]) -> set[tuple[str, int]]:
    return {(about.subject, category) for about in abouts for category in about.categories}
