"""Label codes in training: the whole step against a loop by hand, in float64; resume, errors, data without labels."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from infogan_lib import Checkpoints, InfoGANTrainer, Label, LatentSpec, Noise, NonFiniteLossError
from infogan_lib.data.labels import LabeledBatch
from resume_toys import STEPS, StopsAt, same_run
from resume_toys import trainer as make_resumed
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer, stream

pytestmark = pytest.mark.cpu  # the loops by hand run there

SPEC = LatentSpec(z=Noise(3), digit=Label(4, weight=0.5, supervision=0.7), size=Label(2))
N, LR_D, LR_G = 12, 2e-2, 3e-2


class Networks:
    """G, D's trunk and head, and Q on the trunk or on the images."""

    def __init__(self, norm: bool, apart: bool = False) -> None:
        torch.manual_seed(3)
        self.apart = apart
        self.generator = nn.Sequential(nn.Linear(9, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 6)).double()
        middle = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.trunk = nn.Sequential(nn.Linear(6, 8), middle, nn.LeakyReLU(0.1)).double()
        self.head, self.q = nn.Linear(8, 1).double(), nn.Linear(6 if apart else 8, 6).double()
        self.discriminator = nn.Sequential(self.trunk, self.head)

    def read(self, x):
        return self.q(x if self.apart else self.trunk(x))

    def state(self):
        return nn.ModuleList([self.generator, self.discriminator, self.q]).state_dict()


def data(step, own):
    """Images, and labels of them or of others, some unknown."""
    rng = torch.Generator().manual_seed(step)
    x, others = images(N, (6,), seed=step, dtype=torch.float64), images(N, (6,), seed=99 + step, dtype=torch.float64)
    labels = torch.stack([torch.randint(-1, 4, (N,), generator=rng), torch.randint(-1, 2, (N,), generator=rng)], 1)
    return x, labels, None if own else others


def by_hand(net, *, joint, own, steps, d_steps):
    """D's update, with the cross-entropy of the known labels; then G's and Q's, Q's with D's gradient of it."""
    draws = stream(0, "latents")
    opt_d = torch.optim.SGD(net.discriminator.parameters(), LR_D)
    opt_g = torch.optim.SGD([*net.generator.parameters(), *net.q.parameters()], LR_G)
    reported = []
    for step in range(steps):
        x, labels, others = data(step, own)
        c = SPEC.sample(N, rng=draws, dtype=torch.float64)
        x_hat = net.generator(c)
        opt_d.zero_grad()
        opt_g.zero_grad()
        if joint:
            features = net.trunk(torch.cat([x, x_hat.detach()]))
            real, fake = net.head(features).split(N)
            of_real = net.q(features)[:N]
        else:
            features = net.trunk(x)
            real, of_real = net.head(features), net.q(x if net.apart else features)
            fake = net.discriminator(x_hat.detach())
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        if others is not None:
            of_real = net.read(torch.cat([others, x_hat.detach()]) if joint else others)[:N]
        digit = F.cross_entropy(of_real[:, :4], labels[:, 0], ignore_index=-1)
        size = F.cross_entropy(of_real[:, 4:], labels[:, 1], ignore_index=-1)
        (loss + 0.7 * digit + size).backward()
        reported.append([digit.item(), size.item()])
        opt_d.step()
        if (step + 1) % d_steps:
            continue
        of_supervision = [parameter.grad.clone() for parameter in net.q.parameters()]
        opt_g.zero_grad()
        features = net.trunk(torch.cat([x_hat, x]))[:N] if joint else net.trunk(x_hat)
        outputs = net.q(x_hat if net.apart else features)
        information = 0.5 * F.cross_entropy(outputs[:, :4], c[:, 3:7].argmax(1))
        information = information + F.cross_entropy(outputs[:, 4:], c[:, 7:].argmax(1))
        (F.softplus(-net.head(features)).mean() + information).backward()
        for parameter, gradient in zip(net.q.parameters(), of_supervision, strict=True):
            parameter.grad += gradient
        opt_g.step()
    return reported


def settings_of(net):
    q = {"q_network": net.q} if net.apart else {"q_head": net.q, "tap": "0"}
    return q | {
        "information_trains": ["generator", "q_head"],
        "d_optimizer": lambda p: torch.optim.SGD(p, LR_D),
        "g_optimizer": lambda p: torch.optim.SGD(p, LR_G),
        "q_optimizer": lambda p: torch.optim.SGD(p, LR_G),
    }


CASES = [
    {},
    {"joint_batches": True},
    {"d_steps": 2},
    {"accumulation_steps": 3},
    {"accumulation_steps": 5, "d_steps": 2},
]


@pytest.mark.parametrize("own", [True, False], ids=["own labels", "drawn"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_equals_the_loop_by_hand(case, own):
    """With accumulation too: the parts have different numbers of known labels, and the whole is the same."""
    norm, joint = "accumulation_steps" not in case, case.get("joint_batches", False)
    ours, hand = Networks(norm), Networks(norm)
    for net in (ours, hand):
        if not norm:
            net.generator[1] = nn.Identity()
    trainer = make_trainer(ours.generator, ours.discriminator, SPEC, **settings_of(ours), **case)
    for step in range(5):
        x, labels, others = data(step, own)
        trainer.step((x, labels) if own else LabeledBatch(x, labels, others))
    reported = by_hand(hand, joint=joint, own=own, steps=5, d_steps=case.get("d_steps", 1))
    for (name, a), b in zip(ours.state().items(), hand.state().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10, msg=name)
    found = torch.stack([torch.tensor(trainer.history[f"supervision/{name}"]) for name in SPEC.labels], 1)
    torch.testing.assert_close(found, torch.tensor(reported, dtype=found.dtype), rtol=0, atol=1e-10)


@pytest.mark.parametrize("own", [True, False], ids=["own labels", "drawn"])
def test_a_q_that_shares_nothing_with_d(own):
    ours, hand = Networks(norm=True, apart=True), Networks(norm=True, apart=True)
    trainer = make_trainer(ours.generator, ours.discriminator, SPEC, **settings_of(ours))
    for step in range(3):
        x, labels, others = data(step, own)
        trainer.step((x, labels) if own else LabeledBatch(x, labels, others))
    by_hand(hand, joint=False, own=own, steps=3, d_steps=1)
    for (name, a), b in zip(ours.state().items(), hand.state().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10, msg=name)


TOY = LatentSpec(z=Noise(5), digit=Label(4))
LABELS = torch.full((40,), -1)
LABELS[:6] = torch.tensor([0, 1, 2, 3, 0, 1])
DATA = {
    "tuple": lambda: (images(40), LABELS),
    "Dataset": lambda: TensorDataset(images(40), LABELS),
    "loader": lambda: DataLoader(
        TensorDataset(images(40), LABELS), 8, shuffle=True, generator=torch.Generator().manual_seed(4)
    ),
}


@pytest.mark.parametrize("kind", DATA)
def test_a_run_resumes_bitwise(kind, tmp_path):
    def fit(**options):
        trainer = make_resumed(TOY)
        trainer.fit(DATA[kind](), steps=STEPS, batch_size=8, **options)
        return trainer

    with pytest.raises(KeyError):
        fit(callbacks=[StopsAt(8)], checkpoints=Checkpoints(tmp_path, every=3))
    assert same_run(fit(), fit(checkpoints=Checkpoints(tmp_path, every=3)))


def test_other_labels_are_noticed_when_a_run_resumes(tmp_path):
    def fit(labels):
        make_resumed(TOY).fit(
            (images(40), labels), steps=STEPS, batch_size=8, checkpoints=Checkpoints(tmp_path, every=3)
        )

    fit(LABELS)
    more, others = LABELS.clone(), LABELS.clone()
    more[9], others[:4] = 1, torch.tensor([3, 2, 1, 0])
    trainer = make_resumed(TOY)
    with pytest.raises(Exception, match="number of labeled items 6, and this data has 7"):
        trainer.fit((images(40), more), steps=STEPS + 3, batch_size=8, checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="the data has changed"):
        make_resumed(TOY).fit((images(40), others), steps=STEPS + 3, batch_size=8, checkpoints=tmp_path)


def test_labels_are_learned_and_those_of_other_latents_are_not_read():
    x = images(40)
    labels = (x.mean((1, 2, 3)) > 0).long()
    trainer = make_trainer(dense_generator(TOY.width), dense_discriminator(norm=False), TOY, lr_g=1e-2, lr_d=1e-2)
    trainer.fit((x, labels), steps=150, batch_size=20)
    assert (trainer.model.encode(x)["digit"].mode.argmax(1) == labels).float().mean() > 0.9
    runs = [make_trainer(), make_trainer()]
    for run, y in zip(runs, (torch.full((8,), 7.5), torch.zeros(3, 3)), strict=True):
        run.step((images(8), y))
    assert same_run(*runs)
    assert "supervision/digit" not in runs[0].history


def test_a_batch_without_a_known_label_adds_nothing():
    t = make_trainer(dense_generator(TOY.width), dense_discriminator(), TOY)
    assert t.step((images(8), torch.full((8,), -1)))["supervision/digit"] == 0


@pytest.mark.parametrize("known", [None, 90])
def test_labels_that_are_all_missing_are_warned_of_after_a_hundred_batches(known):
    latent = LatentSpec(z=Noise(7), digit=Label(4))
    trainer = make_trainer(dense_generator(), dense_discriminator(norm=False), latent, regularizers=())
    unknown = torch.full((4,), -1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(102):
            trainer.step((images(4), torch.arange(4) if step == known else unknown))
    said = [str(warning.message) for warning in caught if "has a label of 'digit'" in str(warning.message)]
    assert len(said) == (known is None)


def test_a_step_needs_labels_that_fit():
    t = make_trainer(dense_generator(TOY.width), dense_discriminator(), TOY)
    with pytest.raises(TypeError, match=r"a batch must be \(images, labels\)"):
        t.step(images(8))
    with pytest.raises(ValueError, match="must be from 0 to 3"):
        t.step((images(8), torch.full((8,), 4)))
    with pytest.raises(TypeError, match="is one .images, labels. pair"):
        make_trainer(latent=LATENT).fit((images(40), LABELS), steps=1, batch_size=8)


def test_augmented_images_keep_their_labels():
    seen = []

    def augment(x, rng):
        seen.append(x)
        return x

    t = make_trainer(dense_generator(TOY.width), dense_discriminator(), TOY, augment=augment)
    t.fit((images(40), LABELS), steps=2, batch_size=8)
    known = images(40)[:6].flatten(1)
    of_labels = [x for x in seen if all((known == image.flatten()).all(1).any() for image in x)]
    assert (len(seen), len(of_labels)) == (4, 2)


def test_a_supervision_that_is_not_finite_is_named():
    t: InfoGANTrainer = make_trainer(dense_generator(TOY.width), dense_discriminator(norm=False), TOY)
    broken = images(8).fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="supervision of 'digit'"):
        t.step(LabeledBatch(images(8), torch.zeros(8, 1, dtype=torch.int64), broken))
