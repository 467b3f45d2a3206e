"""The optimizers that a trainer builds, and the settings of `Optimizers`, `Engine` and `Checkpoints`."""

import pytest
import torch
from torch import nn

from toys import (
    LATENT,
    dense_discriminator,
    dense_generator,
    images,
    make_trainer,
)


def test_adam_with_the_papers_rates_by_default():
    t = make_trainer(lr_q=5e-3)
    d, g, q = t.optimizers["d"], t.optimizers["g"], t.optimizers["q"]
    assert [o.defaults["lr"] for o in (d, g, q)] == [2e-4, 1e-3, 5e-3]
    assert all(o.defaults["betas"] == (0.5, 0.999) and o.defaults["fused"] for o in (d, g, q))
    held = [id(p) for o in (d, g, q) for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in t.model.parameters())


def test_own_optimizers_and_factories():
    generator, discriminator, head = dense_generator(), dense_discriminator(), nn.Linear(16, 8)
    both = torch.optim.RMSprop([*generator.parameters(), *head.parameters()])
    t = make_trainer(
        generator, discriminator, LATENT, q_head=head, g_optimizer=both, d_optimizer=lambda p: torch.optim.SGD(p, 0.1)
    )
    assert t.optimizers["g"] is both
    assert "q" not in t.optimizers
    assert isinstance(t.optimizers["d"], torch.optim.SGD)
    t.fit(images(16), steps=1, batch_size=8)


def test_parameters_in_two_optimizers_are_refused():
    generator, discriminator = dense_generator(), dense_discriminator()
    everything = torch.optim.SGD([*generator.parameters(), *discriminator.parameters()], 0.1)
    with pytest.raises(ValueError, match="two optimizers hold 'discriminator.1.weight'"):
        make_trainer(generator, discriminator, LATENT, g_optimizer=everything)
