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
    "PointEstimate",
    "Wasserstein",
    "information_bound",
]
