"""The optimizers that a trainer builds, and the settings of `Optimizers`, `Engine` and `Checkpoints`."""

import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LinearLR, SequentialLR

from infogan_lib import (
    Callback,
    Categorical,
    CheckpointError,
    Checkpoints,
    Engine,
    LatentSpec,
    LinearDecay,
    Noise,
    Optimizers,
    Uniform,
)
from toys import (
    LATENT,
    dense_discriminator,
    dense_generator,
    images,
    make_trainer,
)


@pytest.mark.parametrize(("code", "rate"), [(Categorical(3), 5e-4), (Uniform(2), 2e-4)], ids=str)
def test_d_learns_faster_beside_one_categorical_code(code, rate):
    t = make_trainer(latent=LatentSpec(z=Noise(LATENT.width - code.width), code=code))
    assert t.optimizers["d"].defaults["lr"] == rate


def test_d_learns_at_the_papers_rate_beside_two_categorical_codes():
    t = make_trainer(latent=LatentSpec(z=Noise(LATENT.width - 5), first=Categorical(2), second=Categorical(3)))
    assert t.optimizers["d"].defaults["lr"] == 2e-4


def test_adam_with_the_papers_rates_of_g_and_q_by_default():
    t = make_trainer(lr_q=5e-3)
    d, g, q = t.optimizers["d"], t.optimizers["g"], t.optimizers["q"]
    assert [o.defaults["lr"] for o in (d, g, q)] == [5e-4, 1e-3, 5e-3]
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


def test_q_has_gs_rate_unless_it_is_given_its_own():
    head = nn.Linear(16, 8)
    t = make_trainer(q_head=head, optimizers=Optimizers(g=3e-4, q=lambda p: torch.optim.SGD(p, 0.1)))
    assert isinstance(t.optimizers["q"], torch.optim.SGD)
    assert make_trainer(optimizers=Optimizers(g=3e-4)).optimizers["q"].defaults["lr"] == 3e-4
    own = make_trainer(optimizers=Optimizers(g=lambda p: torch.optim.SGD(p, 0.1)))
    assert own.optimizers["q"].defaults["lr"] == 1e-3


def test_each_optimizer_has_a_scheduler_that_advances_with_the_steps():
    t = make_trainer(optimizers=Optimizers(g=0.1, d=0.2, scheduler=lambda o: LinearLR(o, 1.0, 0.5, 4)))
    assert [s.optimizer for s in t.schedulers] == list(t.optimizers.values())
    for _ in range(4):
        t.step(images(8))
    assert [o.param_groups[0]["lr"] for o in t.optimizers.values()] == pytest.approx([0.1, 0.05, 0.05])


def plateau(optimizer):
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)


def of_another(optimizer):
    return LinearLR(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Optimizers(g=0.0), ValueError, "optimizers.g must be a finite number above 0, but got 0.0"),
        (
            lambda: Optimizers(d="adam"),
            TypeError,
            "optimizers.d must be a learning rate, a torch Optimizer or a function that makes one for a list of "
            "parameters, but got 'adam'",
        ),
        (lambda: Optimizers(q=True), TypeError, "optimizers.q must be a learning rate.*, but got True"),
        (lambda: Optimizers(betas=(0.5, 1)), ValueError, r"optimizers.betas must be two numbers in \[0, 1\)"),
        (lambda: Optimizers(scheduler=3), TypeError, "optimizers.scheduler must be a function that makes an LRSched"),
        (lambda: Optimizers(1e-3), TypeError, "positional"),
        (
            lambda: make_trainer(optimizers=Optimizers(scheduler=plateau)),
            TypeError,
            "optimizers.scheduler must make a torch LRScheduler .* one that needs no metric, but made <torch.optim.lr_",
        ),
        (
            lambda: make_trainer(optimizers=Optimizers(scheduler=of_another)),
            ValueError,
            "optimizers.scheduler must make a scheduler of the optimizer that it is given",
        ),
        (lambda: make_trainer(optimizers=1e-3), TypeError, "optimizers must be of type Optimizers, but got 0.001"),
        (lambda: make_trainer(optimizers=Optimizers), TypeError, r"did you mean Optimizers\(\)\?"),
        (lambda: make_trainer(engine="cuda"), TypeError, "engine must be of type Engine, but got 'cuda'"),
        (lambda: Engine(0), TypeError, "engine.device must be 'auto' or a torch device such as 'cpu', but got 0"),
        (
            lambda: Engine(precision="half"),
            ValueError,
            "engine.precision must be one of 'fp32', 'bf16', 'fp16' and 'auto'",
        ),
        (lambda: Engine(accumulation_steps=0), ValueError, "engine.accumulation_steps must be a whole number of at l"),
        (
            lambda: Engine("nowhere").torch_device(),
            ValueError,
            "engine.device must be .* of this machine",
        ),
        (lambda: Checkpoints(3), TypeError, "checkpoints must name a folder, but got 3"),
        (lambda: Checkpoints("a", 3), TypeError, "positional"),
        (lambda: Checkpoints("a", every=0), ValueError, "every must be a whole number of at least 1, but got 0"),
        (lambda: Checkpoints("a", keep=1.5), TypeError, "keep must be a whole number of at least 1, but got 1.5"),
        (lambda: Checkpoints("a", resume=True), TypeError, "resume must be 'auto', False or the path of a checkpoint"),
        (lambda: Checkpoints(None), ValueError, "without a folder nothing is saved; give one, or resume= a checkpoint"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_settings_are_frozen():
    for settings in (Optimizers(), Engine(), Checkpoints("a")):
        with pytest.raises(AttributeError):
            settings.g = 1


def test_linear_decay_holds_the_rates_and_then_lets_them_fall_to_zero():
    t = make_trainer(lr_g=1.0e-3, scheduler=LinearDecay(8, start=0.5))
    rates = []
    for _ in range(8):
        rates.append(t.optimizers["g"].param_groups[0]["lr"])
        t.step(images(8))
    assert rates == pytest.approx([1e-3] * 5 + [0.75e-3, 0.5e-3, 0.25e-3])
    assert t.optimizers["g"].param_groups[0]["lr"] == 0
    t.step(images(8))
    assert t.optimizers["d"].param_groups[0]["lr"] == 0


@pytest.mark.parametrize(
    "scheduler",
    [
        LinearDecay(8),
        lambda o: SequentialLR(o, [ConstantLR(o, 1, 99), ConstantLR(o, 0.5, 99)], milestones=[1]),
    ],
)
def test_schedulers_give_no_warning_where_g_is_updated_less_often(scheduler, recwarn):
    t = make_trainer(d_steps=3, scheduler=scheduler)
    t.fit(images(32), steps=4, batch_size=8)
    assert not recwarn


def test_schedulers_give_no_warning_where_the_first_gradients_overflow(recwarn):
    def sgd(parameters):
        return torch.optim.SGD(parameters, 0.01)

    t = make_trainer(scheduler=LinearDecay(8), precision="fp16", lr_d=sgd, lr_g=sgd, lr_q=sgd)
    t.scaler.load_state_dict(t.scaler.state_dict() | {"scale": 2.0**60})
    t.fit(images(32), steps=3, batch_size=8)
    assert t.scaler.get_scale() < 2.0**60
    assert not [w for w in recwarn if "lr_scheduler" in str(w.message)]


def test_a_warning_of_the_scheduler_itself_is_kept():
    class Warns(LinearDecay):
        def __call__(self, optimizer):
            return LambdaLR(optimizer, lambda step: warnings.warn("of its own", stacklevel=1) or 1.0)

    with pytest.warns(UserWarning, match="of its own"):
        make_trainer(d_steps=3, scheduler=Warns(8)).fit(images(32), steps=2, batch_size=8)


def test_a_callback_may_change_the_rates_and_read_the_schedulers():
    rates = []

    class Halves(Callback):
        def on_step_end(self, trainer, metrics):
            for optimizer in trainer.optimizers.values():
                optimizer.param_groups[0]["lr"] /= 2
            rates.append(trainer.schedulers[0].get_last_lr())

    t = make_trainer(lr_d=1e-3, scheduler=lambda o: LambdaLR(o, lambda step: 1.0))
    assert list(t.optimizers) == ["d", "g", "q"]
    t.fit(images(32), steps=2, batch_size=8, callbacks=[Halves()])
    assert rates == [[1e-3], [1e-3]]
    assert t.optimizers["d"].param_groups[0]["lr"] == 5e-4


def test_a_run_with_another_decay_is_refused(tmp_path):
    make_trainer(scheduler=LinearDecay(8)).save_checkpoint(tmp_path / "c")
    make_trainer(scheduler=LinearDecay(8)).load_checkpoint(tmp_path / "c")
    with pytest.raises(CheckpointError, match="fall to zero over 8 steps, and are now to fall over 16"):
        make_trainer(scheduler=LinearDecay(16)).load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LinearDecay(0), ValueError, "steps must be a whole number of at least 1"),
        (lambda: LinearDecay(10, start=1.0), ValueError, "start must be below 1, but got 1.0"),
        (lambda: LinearDecay(10, start="half"), TypeError, "start must be a finite number"),
    ],
)
def test_what_linear_decay_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()
