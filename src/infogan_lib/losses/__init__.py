"""Losses of the two games: the adversarial one and the one about information."""

from infogan_lib.losses.adversarial import AdversarialLoss, Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from infogan_lib.losses.information import (
    MSE,
    BernoulliCrossEntropy,
    CrossEntropy,
    InformationLoss,
    NormalNLL,
    PointEstimate,
    information_bound,
)
from infogan_lib.losses.relativistic import PairedAdversarialLoss, RelativisticAverage, RelativisticPair

__all__ = [
    "MSE",
    "AdversarialLoss",
    "BernoulliCrossEntropy",
    "CrossEntropy",
    "Hinge",
    "InformationLoss",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "NormalNLL",
    "PairedAdversarialLoss",
    "PointEstimate",
    "RelativisticAverage",
    "RelativisticPair",
    "Wasserstein",
    "information_bound",
]
