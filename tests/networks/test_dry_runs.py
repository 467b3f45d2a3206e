"""The batch of the dry runs: of the size that D takes, or that the user gives."""

import pytest
import torch
from torch import nn

from infogan_lib import InfoGAN
from infogan_lib.model.fingerprint import model_fingerprint
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


class GroupDeviation(nn.Module):
    """Adds the deviation within groups of so many images, which a batch must be made of."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        groups = x.reshape(self.size, -1, *x.shape[1:])
        return torch.cat([x, groups.std(0, correction=0).mean(1, keepdim=True).repeat(self.size, 1)], dim=1)


def grouping_discriminator(size):
    body = [nn.Flatten(), nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 16), nn.LeakyReLU(0.2)]
    return nn.Sequential(*body, GroupDeviation(size), nn.Linear(17, 1))


@pytest.mark.parametrize(("size", "expected"), [(2, 2), (3, 3), (4, 4), (6, 6), (8, 8), (16, 16)])
def test_the_dry_run_has_a_batch_that_d_takes(size, expected, tmp_path):
    trainer = make_trainer(dense_generator(), grouping_discriminator(size))
    model = trainer.model
    assert model.dry_run_batch_size == expected
    assert model.discriminator_adapter.tap.layer == "3"
    assert size == 2 or "discriminator" in model_fingerprint(model)["outputs"]  # which has three images or more
    trainer.fit(images(48), steps=2, batch_size=48)
    model.save(tmp_path)
    loaded = InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=grouping_discriminator(size))
    assert torch.equal(loaded.q_outputs(images(48)), model.q_outputs(images(48)))


def test_the_size_of_the_batch_may_be_given():
    sizes = []

    class Notes(nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            return x

    def build(**settings):
        sizes.clear()
        discriminator = nn.Sequential(Notes(), *dense_discriminator())
        return InfoGAN(nn.Sequential(Notes(), *dense_generator()), discriminator, LATENT, tap="2", **settings)

    assert build().dry_run_batch_size == 2
    assert set(sizes) == {2}
    assert build(dry_run_batch_size=10).dry_run_batch_size == 10
    assert set(sizes) == {10}


def test_a_given_size_is_the_only_one_that_is_tried():
    with pytest.raises(ValueError, match=r"did not take images of shape \(3, 1, 4, 4\)"):
        InfoGAN(dense_generator(), grouping_discriminator(4), LATENT, dry_run_batch_size=3)
    with pytest.raises(ValueError, match="batches of some sizes only, say one by dry_run_batch_size="):
        InfoGAN(dense_generator(), grouping_discriminator(25), LATENT)


def test_a_discriminator_of_other_images_is_refused_with_its_first_error():
    with pytest.raises(ValueError, match=r"images of shape \(2, 1, 4, 4\), .* RuntimeError: mat1 and mat2"):
        InfoGAN(dense_generator(), dense_discriminator((1, 5, 5)), LATENT)


def test_each_network_runs_once_for_each_thing_that_is_to_be_known():
    runs = []
    generator, discriminator = dense_generator(), dense_discriminator()
    generator.register_forward_pre_hook(lambda module, _: runs.append(("G", module.training)))
    discriminator.register_forward_pre_hook(lambda module, _: runs.append(("D", module.training)))
    InfoGAN(generator, discriminator, LATENT)
    tap = [("D", True)] * 2  # the default one is found by two batches in training mode
    assert runs == [("G", False), ("D", False), *tap, ("D", False)]
