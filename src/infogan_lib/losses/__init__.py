"""Losses: adversarial losses between G and D, and information losses between Q and the codes."""

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
