"""The step against an InfoGAN loop written by the textbook, and the gradients that each setting lets through."""

import copy
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infogan_lib import Categorical, LatentSpec, Noise, NonFiniteLossError, Uniform
from infogan_lib.losses import AdversarialLoss, Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from infogan_lib.regularizers import ModeSeeking, RealImageInformation, RealImageRegularizer
from toys import (
    LATENT,
    PartsGenerator,
    TupleDiscriminator,
    dense_discriminator,
    dense_generator,
    images,
    make_trainer,
    stream,
)


class Parts:
    """A small conv InfoGAN in float64, with the Q head as the labs have it: on D's trunk, next to D's head."""

    def __init__(self):
        torch.manual_seed(3)
        self.generator = nn.Sequential(
            *(nn.ConvTranspose2d(11, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()),
        ).double()
        self.trunk = nn.Sequential(nn.Conv2d(1, 6, 4, 2, 1), nn.BatchNorm2d(6), nn.LeakyReLU(0.1)).double()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(54, 1), nn.Sigmoid()).double()
        self.q = nn.Sequential(nn.Flatten(), nn.Linear(54, 8)).double()


def textbook(parts, batches, latents, steps, *, trunk_too, joint=False):
    """D on real and on fake images, apart or in one batch; G and Q through the updated D. BCE on probabilities."""
    bce = nn.BCELoss()
    opt_d = torch.optim.Adam([*parts.trunk.parameters(), *parts.head.parameters()], lr=2e-4, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam([*parts.generator.parameters(), *parts.q.parameters()], lr=1e-3, betas=(0.5, 0.999))

    def information(features, z):
        raw = parts.q(features)
        category = F.cross_entropy(raw[:, :4], z[:, 5:9].argmax(1))
        s = raw[:, 6:]
        log_sigma = -1 + 3 * s / (3 + s.abs())
        normal = torch.distributions.Normal(raw[:, 4:6], log_sigma.exp())
        return category, -normal.log_prob(z[:, 9:]).sum(1).mean()

    log = []
    for x, z in zip(batches[:steps], latents[:steps], strict=True):
        real, fake_label = torch.ones(len(x), 1).double(), torch.zeros(len(x), 1).double()
        opt_d.zero_grad()
        fake = parts.generator(z[:, :, None, None])
        if joint:
            of_real, features = parts.trunk(torch.cat([x, fake.detach()])).split(len(x))
        else:
            of_real, features = parts.trunk(x), parts.trunk(fake.detach())
        loss_real, loss_fake = bce(parts.head(of_real), real), bce(parts.head(features), fake_label)
        loss = loss_real + loss_fake
        if trunk_too:
            category, style = information(features, z)
            loss = loss + category + 0.5 * style
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        features = parts.trunk(torch.cat([fake, x]))[: len(fake)] if joint else parts.trunk(fake)
        loss_g = bce(parts.head(features), real)
        category, style = information(features, z)
        (loss_g + category + 0.5 * style).backward()
        opt_g.step()
        log.append([loss_real.item() + loss_fake.item(), loss_g.item(), category.item(), style.item()])
    return torch.tensor(log, dtype=torch.float64)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("trunk_too", [False, True])
def test_several_steps_equal_the_textbook_loop(trunk_too, joint):
    steps, n = 6, 16
    ours, theirs = Parts(), Parts()
    data = (images(n * steps, (1, 6, 6), dtype=torch.float64) + 1) / 2
    trainer = make_trainer(
        ours.generator,
        nn.Sequential(ours.trunk, ours.head),
        LATENT,
        tap="0",
        q_head=ours.q,
        information_trains=["generator", "q_head", "trunk"] if trunk_too else ["generator", "q_head"],
        joint_batches=joint,
        seed=5,
        device="cpu",
    )
    draws = stream(5, "latents")
    latents = [LATENT.sample(n, rng=draws, dtype=torch.float64) for _ in range(steps)]
    trainer.fit(list(data.split(n)), steps=steps)
    expected = textbook(theirs, data.split(n), latents, steps, trunk_too=trunk_too, joint=joint)

    h = trainer.history
    found = torch.stack([torch.tensor(h[name]) for name in ("loss/d", "loss/g", "nll/digit", "nll/style")], dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    for mine, other in ((ours.generator, theirs.generator), (ours.trunk, theirs.trunk), (ours.head, theirs.head)):
        for (name, a), b in zip(mine.state_dict().items(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=name)
    for a, b in zip(ours.q.parameters(), theirs.q.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


class Indifferent(AdversarialLoss):
    """A game in which nobody can gain: only the information loss is left to train anything."""

    def real(self, logits):
        return 0 * logits

    fake = generator = real


def moved_parts(trainer, data):
    groups = trainer.model.parameter_groups()
    before = {part: [p.detach().clone() for p in params] for part, params in groups.items()}
    trainer.step(data)
    moved = {}
    for part, params in groups.items():
        moved[part] = [not torch.equal(p, old) for p, old in zip(params, before[part], strict=True)]
    return moved


SUBSETS = [set(s) for r in (1, 2, 3) for s in combinations(("generator", "q_head", "trunk"), r)]


@pytest.mark.parametrize("discriminator", [dense_discriminator, TupleDiscriminator])
@pytest.mark.parametrize("trains", SUBSETS, ids=lambda s: "+".join(sorted(s)))
def test_information_trains_exactly_what_is_said(discriminator, trains):
    trainer = make_trainer(
        dense_generator(),
        discriminator(),
        LATENT,
        adversarial=Indifferent(),
        information_trains=trains,
        g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        d_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        q_optimizer=(lambda p: torch.optim.SGD(p, 0.1)) if "q_head" in trains else None,
    )
    moved = moved_parts(trainer, images(32))
    assert any(moved["generator"]) == ("generator" in trains)
    assert any(moved["q_head"]) == ("q_head" in trains)
    assert all(moved["q_head"]) == ("q_head" in trains)
    assert any(moved["trunk"]) == ("trunk" in trains)
    assert not any(moved["d_head"])
    assert all(p.grad is None for p in trainer.model.parameters())


def test_no_discriminator_gradient_is_computed_in_the_generators_step():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, information_trains=["generator", "q_head"])
    made = []
    for name, p in trainer.model.discriminator.named_parameters():
        p.register_hook(lambda gradient, name=name: made.append(name))
    trainer.step(images(8))
    assert sorted(made) == sorted(2 * [name for name, _ in trainer.model.discriminator.named_parameters()])


def test_adding_a_code_leaves_the_other_codes_gradients_unchanged():
    """Through the whole model: the generator's gradient of one code's loss, alone and beside another."""
    torch.manual_seed(0)
    one = LatentSpec(z=Noise(5), digit=Categorical(4))
    two = LatentSpec(z=Noise(5), digit=Categorical(4), idle=Uniform(2, weight=0.0))
    body, head = nn.Linear(9, 16), nn.Linear(16, 4)

    class Ignoring(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, z):
            return self.body(z[:, :9])

    gradients = []
    for spec in (one, two):
        q = nn.Linear(16, spec.num_outputs)
        with torch.no_grad():
            q.weight[:4], q.bias[:4] = head.weight, head.bias
        spec_latent = spec.sample(12, rng=torch.Generator().manual_seed(2))
        spec_latent[:, :9] = one.sample(12, rng=torch.Generator().manual_seed(1))
        weights = torch.tensor([code.weight for code in spec.codes.values()])
        loss = (spec.nll(q(Ignoring()(spec_latent)), spec_latent).mean(0) * weights).sum()
        gradients.append(torch.autograd.grad(loss, body.weight)[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    "parts",
    [
        {"discriminator": dense_discriminator},
        {"discriminator": TupleDiscriminator},
        {"discriminator": dense_discriminator, "q_network": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8))},
    ],
    ids=["shared", "tuple", "separate"],
)
def test_joint_batches_train_every_form_of_q(parts, accumulate, precision):
    built = {name: make() for name, make in parts.items()}
    trainer = make_trainer(
        generator=dense_generator(),
        latent=LATENT,
        **built,
        joint_batches=True,
        accumulation_steps=accumulate,
        g_steps=2,
        precision=precision,
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))],
        device="cpu",
    )
    trainer.fit(images(39), steps=4, batch_size=16)
    assert torch.isfinite(torch.tensor(trainer.history["loss/g"])).all()
    q = built.get("q_network") or built["discriminator"]
    assert all(torch.isfinite(p).all() for p in q.parameters())


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), LeastSquares(), Hinge(), Wasserstein()], ids=repr)
def test_every_adversarial_loss_trains(loss):
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, adversarial=loss)
    trainer.fit(images(64), steps=4, batch_size=16)
    assert len(trainer.history["loss/g"]) == 4


def test_accumulated_parts_add_up_to_the_batch():
    """Without BatchNorm the split is invisible: the same weights after the steps, to rounding."""
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(11, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh()).double()
    discriminator = nn.Sequential(nn.Linear(16, 12), nn.LeakyReLU(0.2), nn.Linear(12, 1)).double()
    head = nn.Linear(12, 8).double()
    data, states = images(20, (16,), dtype=torch.float64), []
    for parts in (1, 3):
        trainer = make_trainer(
            copy.deepcopy(generator),
            copy.deepcopy(discriminator),
            LATENT,
            q_head=copy.deepcopy(head),
            accumulation_steps=parts,
        )
        for _ in range(3):
            figures = trainer.step(data)
        states.append(trainer.model.state_dict() | {k: torch.tensor(v) for k, v in figures.items()})
    for name in states[0]:
        torch.testing.assert_close(states[1][name], states[0][name], rtol=1e-9, atol=1e-9, msg=name)


def test_joint_batches_change_nothing_for_networks_that_see_each_image_alone():
    data, states = images(24, (16,), dtype=torch.float64), []
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(11, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh()).double()
    discriminator = nn.Sequential(nn.Linear(16, 12), nn.LeakyReLU(0.2), nn.Linear(12, 1)).double()
    head = nn.Linear(12, 8).double()
    for joint in (False, True):
        trainer = make_trainer(
            *(copy.deepcopy(generator), copy.deepcopy(discriminator), LATENT),
            q_head=copy.deepcopy(head),
            joint_batches=joint,
            accumulation_steps=2,
            g_steps=2,
            regularizers=[RealImageInformation("digit", augment=lambda x, g: x + 0.1), ModeSeeking(after=0)],
        )
        for _ in range(3):
            figures = trainer.step(data)
        states.append(trainer.model.state_dict() | {k: torch.tensor(v) for k, v in figures.items()})
    for name in states[0]:
        torch.testing.assert_close(states[1][name], states[0][name], rtol=1e-9, atol=1e-9, msg=name)


class Saved:
    """A tensor that a graph keeps, counted while it is alive."""

    bytes = peak = 0

    def __init__(self, tensor):
        self.tensor = tensor.detach()  # with its graph it would keep itself alive
        Saved.bytes += tensor.nbytes
        Saved.peak = max(Saved.peak, Saved.bytes)

    def __del__(self):
        Saved.bytes -= self.tensor.nbytes


@pytest.mark.parametrize("joint", [False, True])
def test_accumulation_saves_memory_beside_a_regularizer_of_a_separate_q(joint):
    peaks = []
    for parts in (1, 8):
        torch.manual_seed(0)
        trainer = make_trainer(
            *(dense_generator(), dense_discriminator(), LATENT),
            q_network=nn.Sequential(nn.Flatten(), nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Linear(64, 8)),
            joint_batches=joint,
            accumulation_steps=parts,
            regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))],
        )
        trainer.step(images(512))
        Saved.bytes = Saved.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            trainer.step(images(512))
        peaks.append(Saved.peak)
    assert peaks[1] < 0.3 * peaks[0]


@pytest.mark.parametrize("joint", [False, True])
def test_a_term_that_depends_on_no_weight_changes_nothing(joint):
    class Constant(RealImageRegularizer):
        name, weight = "constant", 1.0

        def views(self, real, rng):
            return real

        def __call__(self, latent, q_outputs, q_outputs_of_views):
            return q_outputs.new_ones(())

    states = []
    for regularizers in ([], [Constant()]):
        torch.manual_seed(0)
        # Without BatchNorm, whose running statistics take in the views.
        trainer = make_trainer(
            *(dense_generator(), dense_discriminator(norm=False), LATENT),
            q_head=nn.Linear(16, 8),
            joint_batches=joint,
            regularizers=regularizers,
        )
        trainer.step(images(8))
        states.append(trainer.model.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_in_joint_batches_everything_that_d_and_q_see_is_beside_the_other_kind():
    seen = []
    discriminator = dense_discriminator()
    trainer = make_trainer(
        dense_generator(),
        discriminator,
        LATENT,
        joint_batches=True,
        information_trains=["q_head", "trunk"],  # so that Q is asked apart from D in the update of G
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x + 5)],
    )
    discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    real = images(8) + 2  # 1 to 3, where generated images lie from -1 to 1
    trainer.step(real)
    kinds = [["view" if x.min() > 5 else "real" if x.min() >= 1 else "fake" for x in batch] for batch in seen]
    assert kinds == [
        ["real"] * 8 + ["fake"] * 8,
        ["view"] * 8 + ["fake"] * 8,
        ["fake"] * 8 + ["real"] * 8,
        ["fake"] * 8 + ["real"] * 8,
    ]


def test_d_steps_and_g_steps_count_updates():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, d_steps=3, g_steps=2, ema_decay=0.5)
    weight, changes = trainer.model.generator[0].weight, []
    for _ in range(6):
        before = weight.detach().clone()
        figures = trainer.step(images(8))
        changes.append(not torch.equal(weight, before))
        assert ("loss/g" in figures) == changes[-1]
    assert changes == [False, False, True] * 2
    assert trainer.model.ema_generator.n_averaged.item() == 4


def test_the_averaged_generator_is_the_moving_average_of_the_weights():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, ema_decay=0.9)
    weight, average = trainer.model.generator[0].weight, None
    for _ in range(5):
        trainer.step(images(8))
        now = weight.detach().clone()
        average = now if average is None else 0.9 * average + 0.1 * now
    torch.testing.assert_close(trainer.model.ema_generator.module[0].weight.detach(), average)
    with torch.no_grad():
        trainer.model.ema_generator.module[0].weight.zero_()
        trainer.model.ema_generator.module[0].bias.zero_()
    sampled = trainer.model.sample(2, seed=0)
    assert torch.equal(sampled[0], sampled[1])  # sample uses the average, which now ignores its input


def test_the_average_takes_in_the_running_statistics():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, ema_decay=0.9)
    running, average = trainer.model.generator[1].running_mean, None
    for _ in range(5):
        trainer.step(images(8))
        now = running.clone()
        average = now if average is None else 0.9 * average + 0.1 * now
    torch.testing.assert_close(trainer.model.ema_generator.module[1].running_mean, average)


def test_figures_are_what_they_say():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    figures = trainer.step(images(16))
    entropy = LATENT.entropy
    for name in ("digit", "style"):
        assert figures[f"bound/{name}"] == pytest.approx(entropy[name] - figures[f"nll/{name}"], abs=1e-6)
        assert figures[f"bound_fraction/{name}"] == pytest.approx(figures[f"bound/{name}"] / entropy[name], abs=1e-6)
    weighted = figures["nll/digit"] + 0.5 * figures["nll/style"]
    assert figures["loss/information"] == pytest.approx(weighted, abs=1e-6)
    assert all(0 < figures[name] < 1 for name in ("d_real", "d_fake_before", "d_fake_after"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_with_finite_weights(precision):
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, precision=precision)
    trainer.fit(images(64), steps=6, batch_size=16)
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in trainer.model.parameters())
    assert trainer.history["bound/digit"][-1] > trainer.history["bound/digit"][0] - 1


class Poisoned(NonSaturating):
    """NaN in one term from a given call on."""

    def __init__(self, term):
        object.__setattr__(self, "term", term)

    def __getattribute__(self, name):
        method = super().__getattribute__(name)
        if name == super().__getattribute__("term"):
            return lambda logits: method(logits) * float("nan")
        return method


@pytest.mark.parametrize(
    ("term", "named"),
    [
        ("real", "discriminator's loss on real images"),
        ("fake", "discriminator's loss on fakes"),
        ("generator", "generator's adversarial loss"),
    ],
)
def test_a_non_finite_loss_stops_before_its_update_and_is_named(term, named):
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    trainer.step(images(8))
    trainer._step.adversarial = Poisoned(term)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NonFiniteLossError, match=f"{named} became nan in step 1; the step was rolled back") as caught:
        trainer.step(images(8))
    assert (caught.value.term, caught.value.step) == (named, 1)
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))
    assert all(p.grad is None for p in trainer.model.parameters())


def test_a_non_finite_information_loss_names_its_code():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    with torch.no_grad():
        trainer.model.q.out.bias[5] = float("inf")  # a mean of the style code
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NonFiniteLossError, match="weight 'q.out.bias' became inf in step 0"):
        trainer.step(images(8))
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))


def test_nan_behind_a_code_of_ones_own_is_named_as_well():
    class Own(Categorical):
        def nll(self, raw, value):
            return -self.posterior(raw).log_prob(value)

    trainer = make_trainer(dense_generator(9), dense_discriminator(), LatentSpec(z=Noise(5), own=Own(4)))
    with torch.no_grad():
        trainer.model.q.out.bias[0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="output of Q became nan in step 0"):
        trainer.step(images(8))


def test_a_non_finite_gradient_of_a_finite_loss_stops_too():
    class SquareRoot(NonSaturating):
        def real(self, logits):
            return super().real(logits) + torch.sqrt(logits * 0).mean()  # 0, with a gradient of 0/0

    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, adversarial=SquareRoot())
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NonFiniteLossError, match="gradient of the discriminator became nan"):
        trainer.step(images(8))
    assert all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))


def test_generator_of_separate_arguments_and_tuple_discriminator_train_together():
    trainer = make_trainer(PartsGenerator(), TupleDiscriminator(), LATENT)
    moved = moved_parts(trainer, images(16))
    assert all(any(parts) for parts in moved.values())
    assert len(moved["q_head"]) == 4
    assert len(moved["trunk"]) == 2
    assert len(moved["d_head"]) == 2
