"""Frozen parts: what requires gradients when `fit` begins is trained, and the rest stays as it is."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LinearLR

from infogan_lib import Callback, Checkpoints, Engine, InfoGAN, InfoGANTrainer, Optimizers
from infogan_lib.checkpoints.disk import CheckpointError
from toys import LATENT, dense_discriminator, dense_generator, images

PARTS = {
    "generator": lambda model: model.generator,
    "trunk": lambda model: model.discriminator[1],
    "head of D": lambda model: model.discriminator[4],
    "discriminator": lambda model: model.discriminator,
    "Q": lambda model: model.q,
}


def values(part: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in part.parameters()]


def changed(part: nn.Module, before: list[torch.Tensor]) -> bool:
    return any(not torch.equal(p, q) for p, q in zip(part.parameters(), before, strict=True))


def model() -> InfoGAN:
    torch.manual_seed(0)
    return InfoGAN(dense_generator(), dense_discriminator(norm=False), LATENT)


def trainer_of(gan: InfoGAN, precision: Any = "fp32", **optimizers: Any) -> InfoGANTrainer:
    settings = {"optimizers": Optimizers(**optimizers), "engine": Engine("cpu", precision=precision)}
    return InfoGANTrainer(gan, **settings, regularizers=())


@pytest.mark.parametrize("scheduler", [None, lambda optimizer: LinearLR(optimizer, 1.0, 0.5, 20)])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_what_is_unfrozen_between_two_fits_is_trained(part, precision, scheduler):
    gan = model()
    frozen = part(gan).requires_grad_(False)
    trainer = trainer_of(gan, precision, scheduler=scheduler)
    before = values(frozen)
    trainer.fit(images(16), steps=2, batch_size=8)
    assert not changed(frozen, before)
    frozen.requires_grad_(True)
    trainer.fit(images(16), steps=2, batch_size=8)
    assert changed(frozen, before)
    frozen.requires_grad_(False)
    before = values(frozen)
    trainer.fit(images(16), steps=2, batch_size=8)
    assert not changed(frozen, before)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_what_is_frozen_and_unfrozen_between_steps_is_trained_or_not(part):
    gan = model()
    trainer, before = trainer_of(gan), values(part(gan))
    trainer.step(images(8))
    assert changed(part(gan), before)
    frozen = part(gan).requires_grad_(False)
    before = values(frozen)
    trainer.step(images(8))
    assert not changed(frozen, before)
    frozen.requires_grad_(True)
    trainer.step(images(8))
    assert changed(frozen, before)


def test_a_callback_may_freeze_a_part():
    class FreezesD(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 2:
                gan.discriminator.requires_grad_(False)
                self.values = values(gan.discriminator)

    gan, freezes_d = model(), FreezesD()
    trainer_of(gan).fit(images(16), steps=4, batch_size=8, callbacks=[freezes_d])
    assert not changed(gan.discriminator, freezes_d.values)


def test_the_trunk_is_trained_by_the_information_as_well_once_it_is_unfrozen():
    gan = model()
    gan.discriminator[1].requires_grad_(False)
    trainer = trainer_of(gan)
    assert trainer.information_trains == {"generator", "q_head"}
    gan.discriminator[1].requires_grad_(True)
    trainer.fit(images(16), steps=1, batch_size=8)
    assert trainer.information_trains == {"generator", "q_head", "trunk"}


def test_an_optimizer_of_the_users_takes_up_what_is_unfrozen():
    gan = model()
    first = gan.generator[0].requires_grad_(False)
    optimizer = SGD([p for p in gan.generator.parameters() if p.requires_grad], lr=0.1)
    trainer, before = trainer_of(gan, g=optimizer), values(first)
    trainer.fit(images(16), steps=1, batch_size=8)
    assert not changed(first, before)
    first.requires_grad_(True)
    trainer.fit(images(16), steps=1, batch_size=8)
    assert changed(first, before)
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 2]


def test_an_optimizer_with_a_scheduler_cannot_take_up_more():
    gan = model()
    first = gan.generator[0].requires_grad_(False)
    optimizer = SGD([p for p in gan.generator.parameters() if p.requires_grad], lr=0.1)
    trainer = trainer_of(gan, g=optimizer, scheduler=lambda o: LinearLR(o, 1.0, 0.5, 20))
    trainer.fit(images(16), steps=1, batch_size=8)
    first.requires_grad_(True)
    with pytest.raises(ValueError, match=r"2 parameters that optimizers.g does not hold .* give the trainer a func"):
        trainer.fit(images(16), steps=1, batch_size=8)


def test_frozen_parts_keep_their_mode_and_statistics():
    gan = model()
    gan.discriminator.append(nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1)))
    gan = InfoGAN(gan.generator, gan.discriminator, LATENT)
    gan.generator.requires_grad_(False).eval()
    gan.discriminator[5][1].requires_grad_(False).eval()
    mean = gan.discriminator[5][1].running_mean.clone()
    gan.discriminator[5][2].eval()  # it has nothing to freeze, and is in a part that is trained
    trainer = trainer_of(gan)
    trainer.fit(images(16), steps=2, batch_size=8)
    assert not any(module.training for module in gan.generator.modules())
    assert not gan.discriminator[5][1].training
    assert torch.equal(gan.discriminator[5][1].running_mean, mean)
    assert gan.discriminator.training
    assert gan.discriminator[5][2].training


def test_a_run_resumes_with_the_same_frozen_parts_only(tmp_path):
    def trainer(*, frozen):
        gan = model()
        gan.generator[0].requires_grad_(not frozen)
        return trainer_of(gan)

    def run(*calls, checkpoints=None):
        t = trainer(frozen=True)
        for steps in calls:
            t.fit(images(16), steps=steps, batch_size=8, checkpoints=checkpoints)
            t.model.generator[0].requires_grad_(True)
        return t

    run(3, checkpoints=tmp_path)
    resumed, whole = run(3, 4, checkpoints=tmp_path), run(3, 4)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name
    with pytest.raises(CheckpointError, match="frozen was 2 and is 0"):
        trainer(frozen=False).fit(images(16), steps=9, batch_size=8, checkpoints=tmp_path)


def test_what_is_frozen_before_the_first_fit_is_compared(tmp_path):
    def run(*frozen, folder=tmp_path / "run", steps=3, **settings):
        t = trainer_of(model())
        for part in frozen:
            part(t.model).requires_grad_(False)
        t.fit(images(16), steps=steps, batch_size=8, checkpoints=Checkpoints(folder, **settings))
        return t

    run(PARTS["trunk"])
    run(PARTS["trunk"])
    with pytest.raises(CheckpointError, match="frozen was 2 and is 0"):
        run()
    with pytest.warns(UserWarning, match="with other settings: frozen was 2 and is 8"):
        branch = run(PARTS["trunk"], PARTS["generator"], folder=tmp_path / "a", steps=6, resume=tmp_path / "run")
    with pytest.warns(UserWarning, match="with other settings: frozen was 2 and is 0"):
        other = run(folder=tmp_path / "b", steps=6, resume=tmp_path / "run")
    assert branch.steps == other.steps == 6
    assert not changed(branch.model.generator, values(run(PARTS["trunk"]).model.generator))
    assert changed(other.model.discriminator[1], values(branch.model.discriminator[1]))


def test_a_module_that_is_replaced_between_two_fits_is_refused():
    trainer = trainer_of(model())
    trainer.fit(images(16), steps=1, batch_size=8)
    trainer.model.discriminator[4] = deepcopy(trainer.model.discriminator[4])
    with pytest.raises(ValueError, match=r"2 parameters that optimizers.d does not hold .* make another trainer"):
        trainer.fit(images(16), steps=1, batch_size=8)


def test_a_fit_that_would_train_nothing_is_refused():
    trainer = trainer_of(model())
    trainer.model.requires_grad_(False)
    with pytest.raises(ValueError, match=r"no parameter requires gradients.* model.requires_grad_\(True\)"):
        trainer.fit(images(16), steps=1, batch_size=8)
    trainer.model.discriminator.requires_grad_(True)
    trainer.fit(images(16), steps=1, batch_size=8)


@pytest.mark.parametrize("interrupt", [2, 5])
def test_a_run_with_an_optimizer_of_the_users_resumes_after_unfreezing(tmp_path, interrupt):
    class StopsAt(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == interrupt:
                raise KeyError("stopped")

    def run(checkpoints, *callbacks):
        gan = model()
        first = gan.generator[0].requires_grad_(False)
        t = trainer_of(gan, g=Adam([p for p in gan.generator.parameters() if p.requires_grad], lr=0.1))
        for _ in range(2):
            t.fit(images(16), steps=3, batch_size=8, callbacks=callbacks, checkpoints=checkpoints)
            first.requires_grad_(True)
        return t

    with pytest.raises(KeyError):
        run(Checkpoints(tmp_path, every=1), StopsAt())
    resumed, whole = run(Checkpoints(tmp_path, every=1)), run(None)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("calls", [1, 2])
def test_what_a_callback_has_frozen_is_frozen_in_the_resumed_run(tmp_path, calls):
    class Freezes(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 2:
                trainer.model.generator[0].requires_grad_(False)

    class Stops(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 4 * calls - 1:
                raise KeyError("stopped")

    def run(checkpoints, *others):
        t = trainer_of(model())
        for _ in range(calls):
            t.fit(images(16), steps=4, batch_size=8, callbacks=[Freezes(), *others], checkpoints=checkpoints)
        return t

    with pytest.raises(KeyError):
        run(Checkpoints(tmp_path, every=1), Stops())
    resumed, whole = run(Checkpoints(tmp_path, every=1)), run(None)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name
    assert not any(p.requires_grad for p in resumed.model.generator[0].parameters())


def test_a_run_resumes_though_a_callback_has_unfrozen_a_part_at_its_start(tmp_path):
    class Unfreezes(Callback):
        def on_fit_start(self, trainer, total_steps):
            trainer.model.generator[0].requires_grad_(True)

    def run(steps, checkpoints):
        gan = model()
        gan.generator[0].requires_grad_(False)
        return trainer_of(gan).fit(
            images(16), steps=steps, batch_size=8, callbacks=[Unfreezes()], checkpoints=checkpoints
        )

    run(3, tmp_path)
    resumed, whole = run(5, tmp_path), run(5, None)
    assert resumed["loss/g"].tolist() == whole["loss/g"].tolist()
