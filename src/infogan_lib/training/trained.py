"""Whom the information loss trains."""

from collections.abc import Iterable
from typing import Literal

from infogan_lib._checks import describe, listed
from infogan_lib.model import InfoGAN

Trained = Literal["generator", "q_head", "trunk"]
TRAINED: tuple[Trained, ...] = ("generator", "q_head", "trunk")


def trained_parts(information_trains: Iterable[str] | None, model: InfoGAN) -> frozenset[Trained]:
    """What the information loss trains, checked: all that there is where None is given.

    Raises:
        ValueError: an unknown part, or the trunk of a D that shares nothing with Q.
    """
    shares = bool(model.parameter_groups()["trunk"])
    if information_trains is None:
        return frozenset(TRAINED if shares else TRAINED[:2])
    try:
        given = {information_trains} if isinstance(information_trains, str) else set(information_trains)
    except TypeError:
        given = set()
    if not given or given - set(TRAINED):
        raise ValueError(
            f"information_trains must name some of {listed(TRAINED)}, but got {describe(information_trains)}"
        )
    if "trunk" in given and not shares:
        raise ValueError(
            "information_trains names the trunk, but Q shares no trainable layers with the discriminator; leave it out"
        )
    return frozenset(part for part in TRAINED if part in given)
