"""Networks that torch.compile or DataParallel wraps: saved and loaded as the networks inside."""

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.networks.ema import make_ema
from toys import LATENT, TupleDiscriminator, dense_discriminator, dense_generator, images, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch.compile's


def compiled(module):
    return torch.compile(module, backend="eager")


WRAPPERS = {
    "plain": lambda module: module,
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "both": lambda module: compiled(nn.DataParallel(module)),
}


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8))


class Versioned(nn.Linear):
    """Refuses a state of another version, as torch's own layers read older ones in another way."""

    _version = 3

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        assert local_metadata.get("version") == 3
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


KINDS = {
    "network": lambda wrap: (wrap(dense_discriminator()), {"q_network": wrap(network())}),
    "head": lambda wrap: (dense_discriminator(), {"q_head": wrap(nn.Linear(16, 8))}),
    "tuple": lambda wrap: (wrap(TupleDiscriminator()), {}),
    "versioned": lambda wrap: (wrap(nn.Sequential(nn.Flatten(), Versioned(16, 1))), {"q_network": network()}),
}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()


@pytest.mark.parametrize(("before", "after"), [(w, "plain") for w in WRAPPERS] + [("plain", w) for w in WRAPPERS])
@pytest.mark.parametrize("kind", KINDS)
def test_models_are_saved_and_loaded_across_wrappers(tmp_path, kind, before, after):
    discriminator, q = KINDS[kind](WRAPPERS[before])
    model = ig.InfoGAN(WRAPPERS[before](dense_generator()), discriminator, LATENT, **q)
    model.ema_generator = make_ema(model.generator, 0.9)
    with torch.no_grad():
        for parameter in model.ema_generator.parameters():
            parameter.add_(0.1)  # apart from the generator's
    model.save(tmp_path)
    discriminator, q = KINDS[kind](WRAPPERS[after])
    loaded = ig.InfoGAN.load(tmp_path, generator=WRAPPERS[after](dense_generator()), discriminator=discriminator, **q)
    assert torch.equal(loaded.sample(3, seed=0), model.sample(3, seed=0))
    assert torch.equal(loaded.q_outputs(images(3)), model.q_outputs(images(3)))


@pytest.mark.parametrize(("before", "after"), [("plain", "parallel"), ("parallel", "plain")])
def test_a_tap_is_found_in_a_wrapped_discriminator(tmp_path, before, after):
    model = ig.InfoGAN(dense_generator(), WRAPPERS[before](dense_discriminator()), LATENT)
    model.save(tmp_path)
    loaded = ig.InfoGAN.load(
        tmp_path, generator=dense_generator(), discriminator=WRAPPERS[after](dense_discriminator())
    )
    assert torch.equal(loaded.q_outputs(images(3)), model.q_outputs(images(3)))


def test_other_layers_are_still_named(tmp_path):
    ig.InfoGAN(nn.DataParallel(dense_generator()), dense_discriminator(), LATENT).save(tmp_path)
    with pytest.raises(ig.CheckpointError, match=r"another generator: '0.weight' is float32 of shape \(16, 11\) in it"):
        ig.InfoGAN.load(tmp_path, generator=dense_generator(12), discriminator=dense_discriminator())


def test_a_run_is_resumed_with_a_wrapped_generator(tmp_path):
    def trainer(wrap):
        torch.manual_seed(0)
        return make_trainer(wrap(dense_generator()), dense_discriminator(), LATENT, device="cpu", ema_decay=0.9)

    first, second = trainer(WRAPPERS["plain"]), trainer(nn.DataParallel)
    first.step(images(8))
    first.save_checkpoint(tmp_path)
    with torch.no_grad():
        next(second.model.parameters()).zero_()
    second.load_checkpoint(tmp_path)
    assert torch.equal(second.model.sample(3, seed=0), first.model.sample(3, seed=0))
    assert second.step(images(8, seed=1)) == first.step(images(8, seed=1))
