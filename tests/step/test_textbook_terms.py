"""Each term of a step against the same term in a loop written out by hand, in float64: the same weights afterwards."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infogan_lib import Categorical, InfoGANTrainer, LatentSpec, Noise
from infogan_lib.losses import RelativisticAverage, RelativisticPair
from infogan_lib.regularizers import R1, GeneratorRegularizer, GradientPenalty
from toys import images, make_trainer, stream

SPEC = LatentSpec(z=Noise(3), digit=Categorical(4, weight=0.5))
STEPS, N, LR_D, LR_G = 5, 12, 2e-2, 3e-2


class Networks:
    """G, D's trunk and head, and Q on the trunk; D judges each image alone unless it has a norm."""

    def __init__(self, norm: bool = False) -> None:
        torch.manual_seed(3)
        self.generator = nn.Sequential(nn.Linear(7, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 6)).double()
        middle = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.trunk = nn.Sequential(nn.Linear(6, 8), middle, nn.LeakyReLU(0.1)).double()
        self.head, self.q = nn.Linear(8, 1).double(), nn.Linear(8, 4).double()
        self.discriminator = nn.Sequential(self.trunk, self.head)

    def information(self, features: Tensor, c: Tensor) -> Tensor:
        return 0.5 * F.cross_entropy(self.q(features), c[:, 3:].argmax(1))

    def non_saturating(self, x_hat: Tensor, c: Tensor) -> Tensor:
        """L_G of the default loss."""
        features = self.trunk(x_hat)
        return F.softplus(-self.head(features)).mean() + self.information(features, c)

    def state(self) -> dict[str, Tensor]:
        return nn.ModuleList([self.generator, self.discriminator, self.q]).state_dict()


def by_hand(
    networks: Networks,
    d_loss: Callable[[int, Tensor, Tensor], Tensor],
    g_loss: Callable[[int, Tensor, Tensor, Tensor], Tensor],
    extra: nn.Module | None = None,
) -> None:
    """The loop: L_D of (step, x, fakes) trains D; L_G of (step, x, fakes, c) trains G, Q and an extra network."""
    draws = stream(0, "latents")
    extra_parameters = [] if extra is None else list(extra.parameters())
    opt_d = torch.optim.SGD(networks.discriminator.parameters(), LR_D)
    opt_g = torch.optim.SGD([*networks.generator.parameters(), *networks.q.parameters(), *extra_parameters], LR_G)
    for step in range(STEPS):
        x, c = images(N, (6,), seed=step, dtype=torch.float64), SPEC.sample(N, rng=draws, dtype=torch.float64)
        x_hat = networks.generator(c)
        opt_d.zero_grad()
        d_loss(step, x, x_hat.detach()).backward()
        opt_d.step()
        opt_g.zero_grad()
        g_loss(step, x, x_hat, c).backward()
        opt_g.step()


def train(networks: Networks, **settings) -> InfoGANTrainer:
    """The same with the library."""
    trainer = make_trainer(
        *(networks.generator, networks.discriminator, SPEC),
        tap="0",
        q_head=networks.q,
        information_trains=["generator", "q_head"],
        d_optimizer=lambda p: torch.optim.SGD(p, LR_D),
        g_optimizer=lambda p: torch.optim.SGD(p, LR_G),
        q_optimizer=lambda p: torch.optim.SGD(p, LR_G),
        **settings,
    )
    for step in range(STEPS):
        trainer.step(images(N, (6,), seed=step, dtype=torch.float64))
    return trainer


def assert_same(ours: Networks, expected: Networks) -> None:
    assert not torch.equal(ours.generator[0].weight, Networks().generator[0].weight)
    for (name, a), b in zip(ours.state().items(), expected.state().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10, msg=name)


@pytest.mark.cpu
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("average", [False, True], ids=["pair", "average"])
def test_relativistic_losses(average, joint):
    ours, hand = Networks(norm=True), Networks(norm=True)

    def judge(images, others):
        """D's features and logits for images; in joint batches with the others beside them."""
        features = hand.trunk(torch.cat([images, others]))[: len(images)] if joint else hand.trunk(images)
        return features, hand.head(features)

    def compare(better, worse):
        if average:
            return (F.softplus(worse.mean(0) - better) + F.softplus(worse - better.mean(0))).mean()
        return F.softplus(worse - better).mean()

    def d_loss(step, x, x_hat):
        if joint:
            real, fake = hand.discriminator(torch.cat([x, x_hat])).split(N)
        else:
            real, fake = hand.discriminator(x), hand.discriminator(x_hat)
        return compare(real, fake)

    def g_loss(step, x, x_hat, c):
        features, fake = judge(x_hat, x)
        with torch.no_grad():
            _, real = judge(x, x_hat)
        return compare(fake, real) + hand.information(features, c)

    by_hand(hand, d_loss, g_loss)
    train(ours, adversarial=RelativisticAverage() if average else RelativisticPair(), joint_batches=joint)
    assert_same(ours, hand)


def stretched(x, rng):
    """An augmentation with a draw of its own for each image, through which gradients flow."""
    return x * (0.5 + torch.rand(len(x), 1, generator=rng, dtype=x.dtype))


@pytest.mark.cpu
@pytest.mark.parametrize("joint", [False, True])
def test_an_augmentation_of_all_that_d_sees(joint):
    """T is applied to real and to generated images, before D and Q, and G's gradient comes through it."""
    ours, hand = Networks(norm=True), Networks(norm=True)
    rng = stream(0, "discriminator_augmentation")

    def judge(*batches):
        return hand.trunk(stretched(torch.cat(batches), rng))

    def d_loss(step, x, x_hat):
        features = [judge(x, x_hat)] if joint else [judge(x), judge(x_hat)]
        real, fake = hand.head(torch.cat(features)).split(N)
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def g_loss(step, x, x_hat, c):
        features = judge(x_hat, x)[:N] if joint else judge(x_hat)
        return F.softplus(-hand.head(features)).mean() + hand.information(features, c)

    by_hand(hand, d_loss, g_loss)
    train(ours, discriminator_augment=stretched, joint_batches=joint)
    assert_same(ours, hand)


@pytest.mark.cpu
@pytest.mark.parametrize("joint", [False, True])
def test_penalties_of_d_some_of_them_in_every_other_step(joint):
    """R1 in steps 1 and 3, with twice its weight, and the gradient penalty in all."""
    ours, hand = Networks(), Networks()
    rng, reported = stream(0, "regularization"), []

    def squared_norm(points):
        points = points.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(hand.discriminator(points).sum(), points, create_graph=True)
        return gradient.square().sum(1)

    def d_loss(step, x, x_hat):
        loss = F.softplus(-hand.discriminator(x)).mean() + F.softplus(hand.discriminator(x_hat)).mean()
        if step in (1, 3):
            r1 = squared_norm(x).mean()
            reported.append(r1.item())
            loss = loss + 2 * (0.7 / 2) * r1
        epsilon = torch.rand(N, 1, generator=rng, dtype=torch.float64)
        norm = squared_norm(epsilon * x + (1 - epsilon) * x_hat).sqrt()
        return loss + 3.0 * (norm - 1).square().mean()

    by_hand(hand, d_loss, lambda step, x, x_hat, c: hand.non_saturating(x_hat, c))
    trainer = train(ours, joint_batches=joint, regularizers=[R1(0.7, after=1, every=2), GradientPenalty(3.0)])
    assert_same(ours, hand)
    assert trainer.history["regularizer/r1"].tolist() == pytest.approx(reported, abs=1e-10)
    assert trainer.history.steps("regularizer/r1").tolist() == [2, 4]


class Critic(GeneratorRegularizer):
    """A term with a network of its own."""

    name, weight, every = "critic", 0.3, 2

    def __init__(self):
        torch.manual_seed(8)
        self.network = nn.Linear(6, 2).double()

    def __call__(self, latent, sampled, images, generate, rng):
        return F.cross_entropy(self.network(images), (sampled[:, 0] > 0).long())


@pytest.mark.cpu
def test_a_network_of_a_term_is_trained_with_q():
    """Lazily: in every other step, with twice the weight, by the optimizer of Q."""
    ours, hand, term, by_hand_term = Networks(), Networks(), Critic(), Critic()

    def d_loss(step, x, x_hat):
        return F.softplus(-hand.discriminator(x)).mean() + F.softplus(hand.discriminator(x_hat)).mean()

    def g_loss(step, x, x_hat, c):
        loss = hand.non_saturating(x_hat, c)
        if step % 2 == 0:
            target = (c[:, 0] > 0).long()
            loss = loss + 2 * 0.3 * F.cross_entropy(by_hand_term.network(x_hat), target)
        return loss

    by_hand(hand, d_loss, g_loss, by_hand_term.network)
    trainer = train(ours, regularizers=[term])
    assert_same(ours, hand)
    assert not torch.equal(term.network.weight, Critic().network.weight)
    for a, b in zip(term.network.parameters(), by_hand_term.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    in_q = {id(p) for group in trainer.optimizers["q"].param_groups for p in group["params"]}
    assert {id(p) for p in term.network.parameters()} <= in_q
