"""Three independent factors, images of them, and codes that mix them."""

import numpy as np
import torch

from infogan_lib.metrics.intervention_scores import FactorGrid

SIZES = (2, 3, 4)
GRID = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), axis=-1).reshape(-1, 3).repeat(40, axis=0)
"""Every combination of three factors, forty times: exactly independent."""
IMAGES = FactorGrid(SIZES, lambda factors: torch.as_tensor(factors).double())


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def entangled(seed=0):
    """Four codes: two that lean on one factor each, a mixture, and noise."""
    mixed = GRID @ noise(3, 4, seed=seed)
    return mixed + 0.3 * noise(*mixed.shape, seed=seed + 1) + 2 * np.pad(GRID[:, :2], ((0, 0), (0, 2)))
