"""What a metric is over several seeds: mean, standard deviation and worst."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOWER_IS_BETTER = ("loss", "mse", "error", "frechet", "kernel", "fid", "kid", "minutes", "seconds")
"""Words in the names of metrics of which a lower value is better; of all others a higher one is."""


@dataclass(frozen=True)
class Spread:
    """A metric over several runs that differ in their seeds.

    Attributes:
        mean: Mean of the values.
        sd: Standard deviation of a single run, with N - 1 in the denominator; NaN for one run.
        worst: Highest value of a loss, error, distance or time, lowest of any other metric.
        runs: Number of values.
    """

    mean: float
    sd: float
    worst: float
    runs: int

    @classmethod
    def of(cls, name: str, values: Sequence[float]) -> "Spread":
        """The spread of the values of a metric, at least one."""
        numbers = np.asarray(values, np.float64)
        with np.errstate(all="ignore"):  # a run's metric may be NaN or infinite, and then they are
            sd = float(numbers.std(ddof=1)) if len(values) > 1 else math.nan
            worst = numbers.max() if is_lower_better(name) else numbers.min()
            return cls(float(numbers.mean()), sd, float(worst), len(values))

    def __str__(self) -> str:
        if self.runs == 1:
            return number(self.mean)
        return f"{number(self.mean)} ± {self.sd:.2g} (worst {number(self.worst)})"


def is_lower_better(name: str) -> bool:
    """Whether a lower value of a metric is better, by the words in its name."""
    return any(word in name.lower() for word in LOWER_IS_BETTER)


def number(value: float) -> str:
    """A number in four digits."""
    return f"{value:.4g}"
