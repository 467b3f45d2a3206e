"""The monitor: it names each way to fail on a run that fails so, keeps quiet on a good one, and changes nothing."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

import infogan_lib as ig
from infogan_lib.evaluation import CollapseMonitor, CollapseWarning, Symptom
from infogan_lib.evaluation.probe import Findings, Knob, Probe
from infogan_lib.evaluation.symptoms import knowledge, loss_of_ignorance, symptoms_of_figures, symptoms_of_images
from toys import LATENT, dense_discriminator, dense_generator, images


def blobs(n=512):
    """Images (n, 1, 8, 8) of four kinds: a square in one of the corners, shifted by a pixel and of any brightness."""
    generator = torch.Generator().manual_seed(0)
    made = torch.full((n, 1, 8, 8), -1.0)
    corner = torch.randint(4, (n,), generator=generator)
    down, right = torch.randint(2, (2, n), generator=generator)
    bright = torch.rand(n, generator=generator)
    for i in range(n):
        y, x = 4 * (corner[i] // 2) + down[i], 4 * (corner[i] % 2) + right[i]
        made[i, 0, y : y + 3, x : x + 3] = bright[i]
    return made


def spec(**changes):
    parts = {"z": ig.Noise(8), "digit": ig.Categorical(4), "style": ig.Uniform(2, weight=0.3)}
    return ig.LatentSpec({**parts, **changes})


class Altered(nn.Module):
    """A generator with something done to its latents: an input that is not heard, two categories that are one."""

    def __init__(self, alter):
        super().__init__()
        self.alter = alter
        self.body = generator()

    def forward(self, latents):
        return self.body(self.alter(latents.clone()))


class NeverSays(nn.Module):
    """A Q head that cannot answer one category."""

    def __init__(self, category):
        super().__init__()
        self.category = category
        self.body = nn.Linear(64, 8)

    def forward(self, features):
        raw = self.body(features)
        logits = raw[:, :4].clone()
        logits[:, self.category] = logits.min(1).values - 1
        return torch.cat([logits, raw[:, 4:]], 1)


def generator(width=14):
    layers = [nn.Linear(width, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh())


def discriminator():
    hidden = [nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64), nn.LeakyReLU(0.1)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 1))


def symptoms(steps=400, *, latent=None, g=None, after=200, **settings):
    """What the monitor tells of a run on the blobs."""
    torch.manual_seed(0)
    monitor = CollapseMonitor(every=100, after=after, on_symptom=lambda symptom: None)
    made = (g or generator)()
    trainer = ig.InfoGANTrainer(made, discriminator(), latent or spec(), device="cpu", **settings)
    trainer.fit(blobs(), steps=steps, batch_size=64, callbacks=[monitor])
    return monitor.symptoms


def saturated():
    """A generator whose Tanh lets no gradient through."""
    made = generator()
    nn.init.constant_(made[6].bias, 100.0)
    return made


def silenced(columns):
    def alter(latents):
        latents[:, columns] = 0
        return latents

    return lambda: Altered(alter)


def merged(latents):
    latents[:, 10:12] = latents[:, 10:12].mean(1, keepdim=True)  # categories 2 and 3 of 'digit'
    return latents


NO_INFORMATION = {"digit": ig.Categorical(4, weight=0), "style": ig.Uniform(2, weight=0)}


def test_a_healthy_run_is_left_alone():
    assert symptoms(1500) == []


def test_a_bound_that_cannot_be_positive_is_not_flat():
    style = ig.Uniform(2, loss=ig.NormalNLL(scale=1.0))  # at most 2 (ln 2 - 0.919), which is below 0
    assert symptoms(latent=spec(style=style)) == []


@pytest.mark.parametrize("game", [ig.Hinge(), ig.LeastSquares(), ig.Wasserstein()])
def test_a_healthy_run_of_another_game_is_left_alone(game):
    rates = {"lr_g": 1e-4, "lr_d": 1e-4} if isinstance(game, ig.Wasserstein) else {}
    assert symptoms(adversarial=game, **rates) == []


@pytest.mark.parametrize(
    ("settings", "kind", "subject", "seen"),
    [
        ({"lr_g": 1.0}, "identical outputs", "", "makes nearly the same image whatever it is given; 0.00%"),
        ({"g": silenced(slice(0, 8))}, "inactive code", "'z'", "'z' changes the images by 0.00% of their variance, so"),
        ({"g": silenced(slice(8, 12))}, "inactive code", "'digit'", "'digit' changes the images by 0.00%"),
        ({"g": silenced(slice(13, 14))}, "inactive code", "dimension 1 of 'style'", "dimension 1 of 'style' changes"),
        ({"g": lambda: Altered(merged)}, "merged categories", "digit", "the images of categories 2 and 3 of 'digit'"),
        (
            {"latent": spec(digit=ig.Categorical(4, weight=0))},
            "flat bound",
            "digit",
            r"of 'digit': the bound is -0\.\d+, and H\(c\) 1\.39",
        ),
        (
            {"latent": spec(style=ig.Uniform(2, weight=0))},
            "flat bound",
            "style",
            r"H\(c\) 1.39 nats, over 100 updates",
        ),
        (
            {"latent": spec(style=ig.Uniform(2, weight=0, loss=ig.MSE()))},
            *("flat bound", "style", r"its squared error is [\d.]+ for a variance of 0\.6"),
        ),
        (
            {"latent": spec(style=ig.Uniform(2, weight=0, loss=ig.NormalNLL(scale=1.0)))},
            *("flat bound", "style", r"its squared error is [\d.]+ for a variance of 0\.6"),
        ),
        (
            {"lr_d": 3e-3, "lr_g": 1e-6},
            "discriminator saturated",
            "",
            r"next to no error; its loss is 0\.0.* and 1\.4 for one",
        ),
        (
            {"lr_d": 3e-3, "lr_g": 1e-6, "adversarial": ig.Hinge()},
            "discriminator saturated",
            "",
            "and 2 for one that knows",
        ),
        (
            {"lr_d": 3e-3, "lr_g": 1e-6, "adversarial": ig.LeastSquares()},
            "discriminator saturated",
            "",
            "and 0.25 for one",
        ),
        ({"g": saturated, "latent": spec(**NO_INFORMATION)}, "vanishing gradient", "G and Q", "has the norm 0, over"),
        (
            {"schedule": lambda o: LambdaLR(o, lambda n: 1 if n < 200 else 100), "adversarial": ig.Wasserstein()},
            *("exploding gradient", "D", r"has the norm [\d.]+e\+\d+, over 100 updates, after \d"),
        ),
    ],
)
def test_a_run_that_fails_is_named(settings, kind, subject, seen):
    found = symptoms(**settings)
    (symptom,) = [symptom for symptom in found if (symptom.kind, symptom.subject) == (kind, subject)]
    assert symptom.step in (300, 400)
    assert re.search(seen, symptom.finding), symptom.finding
    assert str(symptom) == f"step {symptom.step}: {kind}: {symptom.finding}. Try: {symptom.advice}"


def test_a_category_that_q_never_says_is_named():
    torch.manual_seed(1)
    found = [symptom for symptom in symptoms(q_head=NeverSays(1)) if 1 in symptom.categories]
    # Its images are heard as others: spread over them, or all as one, with which it has merged then.
    assert found[0].kind in ("unused categories", "merged categories")
    assert found[0].step == 300


class Faint(nn.Module):
    """A generator whose images differ by little."""

    def __init__(self):
        super().__init__()
        self.body = generator()

    def forward(self, latents):
        return 0.1 * self.body(latents)


def far_apart(*, joint, momentum=0.1):
    """What the monitor tells where BatchNorm in D meets real and generated images that lie far apart."""
    torch.manual_seed(0)
    monitor = CollapseMonitor(every=50, after=200, on_symptom=lambda symptom: None)
    trainer = ig.InfoGANTrainer(
        Faint(),
        nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(64, momentum=momentum), nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, 1)
        ),
        spec(),
        adversarial=Blind(),
        joint_batches=joint,
        device="cpu",
    )
    trainer.fit(0.1 * blobs() - 0.9, steps=400, batch_size=64, callbacks=[monitor])
    return trainer, monitor.symptoms


class Blind(ig.AdversarialLoss):
    """A game that moves nobody."""

    def real(self, logits):
        return 0 * logits + 0.7

    fake = generator = real


def test_a_q_that_reads_otherwise_in_evaluation_is_named():
    trainer, found = far_apart(joint=False)
    (symptom,) = [symptom for symptom in found if symptom.kind == "train/eval mismatch"]
    assert re.search(r"'digit' off (9\d|100)% of generated .* and off \d\d?% in evaluation", symptom.finding), (
        symptom.finding
    )
    assert "joint_batches=True" in symptom.advice
    asked = torch.arange(4).repeat(50)
    heard = trainer.model.encode(trainer.model.sample(200, digit=asked))["digit"].mode.argmax(1)
    assert (heard == asked).float().mean() < 0.7  # as it says
    apart, joint = (Probe(trainer.model, samples=64, joint=joint)(0, 0) for joint in (False, True))
    assert torch.equal(
        joint.tables["digit"], apart.evaluated["digit"]
    )  # where batches are joint, that is how it is read
    assert not joint.evaluated


def test_statistics_that_lag_behind_are_named():
    _, found = far_apart(joint=True, momentum=1e-4)
    assert {symptom.kind for symptom in found} == {"train/eval mismatch"}
    assert re.search(r"Q knows (9\d|100)% of 'digit' in training, .* off \d\d?% of generated images", found[0].finding)
    assert "momentum" in found[0].advice


def test_joint_batches_cure_it():
    trainer, found = far_apart(joint=True)
    assert not [symptom for symptom in found if symptom.kind in ("train/eval mismatch", "merged categories")]
    asked = torch.arange(4).repeat(50)
    heard = trainer.model.encode(trainer.model.sample(200, digit=asked))["digit"].mode.argmax(1)
    assert (heard == asked).float().mean() > 0.95


def test_a_category_that_is_heard_as_several_others_is_unused():
    table = torch.tensor([[20, 0, 0, 0], [7, 0, 7, 6], [0, 0, 20, 0], [0, 0, 0, 20]])
    (symptom,) = symptoms_of_images(Findings(1.0, {}, {"digit": table}), ig.LatentSpec(digit=ig.Categorical(4)), {})
    assert (symptom.kind, symptom.subject, symptom.categories) == ("unused categories", "digit", (1,))
    assert "Q finds category 1 of 'digit' in next to no image" in symptom.finding


@pytest.mark.parametrize(
    "settings",
    [
        {"g": silenced(slice(0, 8))},
        {"g": silenced(slice(13, 14))},
        {"g": lambda: Altered(merged)},
        {"latent": spec(digit=ig.Categorical(4, weight=0))},
        {"lr_d": 3e-3, "lr_g": 1e-6},
    ],
)
def test_one_fault_is_one_symptom(settings):
    assert len(symptoms(**settings)) == 1


class Scripted(CollapseMonitor):
    """Sees what a list says, look by look."""

    def __init__(self, script, **settings):
        super().__init__(every=1, after=0, **settings)
        self.script = script

    def _look(self, trainer):
        seen = self.script[trainer.steps - 1] if trainer.steps <= len(self.script) else ""
        abouts = [(about, ()) if isinstance(about, str) else about for about in seen]
        return Findings(1.0, {}, {}), [Symptom(kind, "", "seen", "this", trainer.steps, of) for kind, of in abouts]


def toy(seed=0, **settings):
    torch.manual_seed(0)
    return ig.InfoGANTrainer(dense_generator(), dense_discriminator(), LATENT, device="cpu", seed=seed, **settings)


def test_told_when_it_lasts_and_again_when_it_comes_back():
    monitor = Scripted(["a", "", "ab", "ab", "ab", "b", "ab", "ab"], on_symptom=lambda symptom: None)
    toy().fit(images(64), steps=8, batch_size=8, callbacks=[monitor])
    assert [(symptom.kind, symptom.step) for symptom in monitor.symptoms] == [("a", 4), ("b", 4), ("a", 8)]


M, U = "merged", "unused"


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        pytest.param([[(M, (1, 2))], [(U, (1,))], [(M, (1, 2))], [(M, (1, 3))]], [(U, (1,), 2)], id="by another name"),
        pytest.param([[(M, (1, n))] for n in (2, 3, 4, 5)], [(M, (1, 3), 2)], id="with another one each time"),
        pytest.param(
            [[(M, (0, 1))], [(M, (0, 1))], [(M, (0, 1, 4))], [(M, (0, 1))]], [(M, (0, 1), 2)], id="passing by"
        ),
        pytest.param(
            [[(M, (0, 1))], [(M, (0, 1))], [(M, (0, 1, 4))], [(M, (0, 1, 4))]],
            [(M, (0, 1), 2), (M, (0, 1, 4), 4)],
            id="one more that stays",
        ),
        pytest.param(
            [*[[(M, (0, 1)), (M, (2, 3))]] * 2, *[[(M, (0, 1, 2, 3))]] * 3],
            [(M, (0, 1), 2), (M, (2, 3), 2), (M, (0, 1, 2, 3), 4)],
            id="two pairs that become one",
        ),
        pytest.param(
            [*[[(M, (0, 1, 2))]] * 2, *[[(M, (0, 1))]] * 3, *[[(M, (0, 1, 2))]] * 2],
            [(M, (0, 1, 2), 2), (M, (0, 1, 2), 7)],
            id="one that recovers and comes back",
        ),
        pytest.param(
            [*[[(U, (0,)), (U, (1,))]] * 2, *[[(M, (0, 1))]] * 2],
            [(U, (0,), 2), (U, (1,), 2), (M, (0, 1), 4)],
            id="two unused ones that merge",
        ),
        pytest.param(
            [*[[(M, (0, 1, 2))]] * 2, *[[(M, (0, 1)), (U, (2,))]] * 2],
            [(M, (0, 1, 2), 2), (U, (2,), 4)],
            id="one that is unused instead",
        ),
        pytest.param([[(M, (1, 2))], [(M, (0, 3))], ["b"], ["c"]], [], id="nothing that lasts"),
        pytest.param([[(M, (1, 2))]] * 2 + [[]] + [[(M, (1, 2))]] * 2, [(M, (1, 2), 2), (M, (1, 2), 5)], id="again"),
    ],
)
def test_categories_are_followed_one_by_one(looks, told):
    monitor = Scripted(looks, on_symptom=lambda symptom: None)
    toy().fit(images(64), steps=len(looks), batch_size=8, callbacks=[monitor])
    assert [(symptom.kind, symptom.categories, symptom.step) for symptom in monitor.symptoms] == told


def test_it_warns_unless_there_is_someone_to_tell():
    with pytest.warns(CollapseWarning, match="step 2: a: seen. Try: this"):
        toy().fit(images(64), steps=2, batch_size=8, callbacks=[Scripted(["a", "a"])])
    told = []
    toy().fit(images(64), steps=2, batch_size=8, callbacks=[Scripted(["a", "a"], on_symptom=told.append)])
    assert [symptom.kind for symptom in told] == ["a"]


def test_it_looks_when_it_is_told_to():
    looks = []
    monitor = CollapseMonitor(every=3, after=5)
    monitor._look = lambda trainer: looks.append(trainer.steps) or (Findings(1.0, {}, {}), [])
    toy().fit(images(64), steps=13, batch_size=8, callbacks=[monitor])
    assert looks == [6, 9, 12]


def test_a_run_that_goes_on_is_not_told_again(tmp_path):
    def train(steps):
        monitor = Scripted(["a", "a", "ab", "ab"], on_symptom=lambda symptom: None)
        trainer = toy()
        trainer.fit(images(64), steps=steps, batch_size=8, callbacks=[monitor], run_dir=tmp_path)
        return trainer, monitor

    assert [symptom.kind for symptom in train(2)[1].symptoms] == ["a"]
    trainer, monitor = train(2)
    assert trainer.steps == 2
    trainer.fit(images(64), steps=2, batch_size=8, callbacks=[monitor], run_dir=tmp_path)
    assert [(symptom.kind, symptom.step) for symptom in monitor.symptoms] == [("a", 2), ("b", 4)]


class NumpyNoise(nn.Module):
    """Noise from the global generators, in training and in evaluation."""

    def forward(self, x):
        return x + 0.1 * torch.randn_like(x) + 0.1 * float(np.random.randn())  # noqa: NPY002


@pytest.mark.parametrize("joint", [False, True])
def test_a_run_with_a_monitor_is_the_same_to_the_last_bit(joint):
    def train(callbacks):
        torch.manual_seed(3)
        g = nn.Sequential(*dense_generator()[:3], nn.Dropout(0.3), NumpyNoise(), *dense_generator()[3:])
        head = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16))
        d = nn.Sequential(nn.Flatten(), head, nn.BatchNorm1d(16), nn.LeakyReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
        trainer = ig.InfoGANTrainer(g, d, LATENT, device="cpu", ema_decay=0.9, joint_batches=joint)
        torch.manual_seed(4)
        np.random.seed(4)  # noqa: NPY002
        trainer.fit(images(64), steps=12, batch_size=8, callbacks=callbacks)
        return trainer

    monitor = CollapseMonitor(every=1, after=0, on_symptom=lambda symptom: None)
    alone, watched = train([]), train([monitor])
    for (name, a), (other, b) in zip(alone.model.state_dict().items(), watched.model.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b), name
    assert watched.history["loss/g"].tolist() == alone.history["loss/g"].tolist()
    assert all(module.training for module in watched.model.generator.modules())


class Linear(nn.Module):
    """Images (N, 1, 1, 4), each entry a multiple of the sum of one variable's entries."""

    def __init__(self, latent, factors):
        super().__init__()
        self.latent, self.factors = latent, factors
        self.unused = nn.Linear(1, 1)

    def forward(self, latents):
        parts = self.latent.split(latents)
        weighted = [
            factor * (parts[name][:, dim] if dim is not None else parts[name].sum(1))
            for name, dim, factor in self.factors
        ]
        return torch.stack(weighted, 1).reshape(-1, 1, 1, len(weighted))


@pytest.mark.parametrize("many", [0, 40])
def test_effects_are_shares_of_the_variance(many):
    latent = (
        ig.LatentSpec(z=ig.Noise(1), bits=ig.Uniform(2), rest=ig.Uniform(many))
        if many
        else ig.LatentSpec(z=ig.Noise(1), bits=ig.Uniform(2))
    )
    g = Linear(latent, [("z", None, 1.0), ("bits", 0, 3.0), ("z", None, 0.0)])
    d = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    model = ig.InfoGAN(g, d, latent)
    found = [Probe(model, samples=2048)(seed, look) for seed, look in ((0, 0), (1, 0), (1, 2), (1, 4))]
    total = 1 + 9 / 3  # a normal of variance 1 and three times a uniform of variance 1/3
    expected = {Knob("z", None): 1 / total, Knob("bits", 0): 3 / total, Knob("bits", 1): 0.0}
    expected |= {Knob("rest", dim): 0.0 for dim in range(many)}
    for one in found:
        assert one.effects == pytest.approx({knob: expected[knob] for knob in one.effects}, abs=0.05)
    assert found[0].effects != found[1].effects
    assert {knob for one in found for knob in one.effects} == set(expected)


class Tells(nn.Module):
    """A generator whose image is the latent, with BatchNorm on the way, as networks have it."""

    def __init__(self, width, dead=0):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.heard = torch.cat([torch.ones(width - dead), torch.zeros(dead)])

    def forward(self, latents):
        return self.norm(latents * self.heard)[:, None, None]


class Hears(nn.Module):
    """A Q that reads categorical codes off the image without a mistake."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, images):
        found = 20 * images.flatten(1)
        return torch.nn.functional.pad(found, (0, self.outputs - found.shape[1]))


def told_of(latent, looks=6, known=1.0, dead=0):
    """What the images of a perfect pair show, look by look."""
    d = nn.Sequential(nn.Flatten(), nn.Linear(latent.width, 4), nn.ReLU(), nn.Linear(4, 1))
    model = ig.InfoGAN(Tells(latent.width, dead), d, latent, q_network=Hears(latent.num_outputs)).train()
    shares = dict.fromkeys(latent.codes, known)
    probe = Probe(model, samples=64)
    found = [symptoms_of_images(probe(seed, seed), latent, shares) for seed in range(looks)]
    return [(symptom.kind, symptom.subject) for of_look in found for symptom in of_look]


@pytest.mark.parametrize(
    "latent",
    [
        ig.LatentSpec(kind=ig.Categorical(20), style=ig.Uniform(10)),
        ig.LatentSpec(kind=ig.Categorical(30), style=ig.Uniform(20)),
        ig.LatentSpec({f"c{i}": ig.Categorical(10) for i in range(10)}),
        ig.LatentSpec(kind=ig.Categorical(200), style=ig.Uniform(2)),
        ig.LatentSpec(style=ig.Uniform(1200)),
        ig.LatentSpec({f"bit{i}": ig.Bernoulli(1) for i in range(100)}),
        ig.LatentSpec(z=ig.Noise(2000), style=ig.Uniform(1)),
    ],
)
def test_many_codes_that_are_well_are_left_alone(latent):
    assert told_of(latent) == []


def test_dead_dimensions_among_many_are_found_in_turns_and_told_once():
    latent = ig.LatentSpec(style=ig.Uniform(40))
    found = told_of(latent, looks=6, dead=5)
    assert sorted(found) == sorted(
        ("inactive code", f"dimension {dim} of 'style'") for dim in range(35, 40) for _ in (1, 2)
    )
    model = ig.InfoGAN(Tells(40, 5), nn.Sequential(nn.Flatten(), nn.Linear(40, 1)), latent, q_network=Hears(80)).train()
    trainer = ig.InfoGANTrainer(model.generator, model.discriminator, latent, q_network=Hears(80), device="cpu")
    monitor = CollapseMonitor(every=1, after=0, on_symptom=lambda symptom: None)
    trainer.fit(images(64, (1, 1, 40)), steps=12, batch_size=16, callbacks=[monitor])
    told = [symptom.subject for symptom in monitor.symptoms if symptom.kind == "inactive code"]
    assert sorted(told) == [f"dimension {dim} of 'style'" for dim in range(35, 40)]


@pytest.mark.parametrize(("share", "kinds"), [(0.0, ["identical outputs"]), (0.02, ["identical outputs"]), (0.05, [])])
def test_images_that_are_nearly_all_alike_are_told(share, kinds):
    assert [symptom.kind for symptom in symptoms_of_images(Findings(share, {}, {}), LATENT, {})] == kinds


def test_noise_may_do_less_beside_styles():
    found = Findings(1.0, {Knob("z", None): 0.006}, {})
    alone = ig.LatentSpec(z=ig.Noise(2), digit=ig.Categorical(3))
    assert [symptom.subject for symptom in symptoms_of_images(found, alone, {})] == ["'z'"]
    assert list(symptoms_of_images(found, alone + ig.LatentSpec(style=ig.Uniform(1)), {})) == []


def test_every_merged_group_is_told():
    table = torch.eye(6, dtype=torch.int64) * 20
    table[:2, :2] = table[2:4, 2:4] = 10
    found = Findings(1.0, {}, {"digit": table})
    told = list(symptoms_of_images(found, ig.LatentSpec(digit=ig.Categorical(6)), {}))
    assert [(symptom.kind, symptom.categories) for symptom in told] == [
        ("merged categories", (0, 1)),
        ("merged categories", (2, 3)),
    ]


def history_of(**figures):
    history = ig.History()
    for name, values in figures.items():
        for step, value in enumerate(values):
            history.record(step, {name.replace("__", "/"): value})
    return history


def kinds_in(norms=(1.0,) * 100, loss=(1.0,) * 100, game=None, latent=LATENT, window=100, **figures):
    history = history_of(grad_norm__d=norms, loss__d=loss, **figures)
    found = symptoms_of_figures(history, latent, game or ig.NonSaturating(), {"d": 100, "g": 100}, window)
    return [symptom.kind for symptom in found]


def test_gradients_are_compared_with_the_run_as_a_whole():
    assert kinds_in([1.0] * 900 + [60.0] * 100) == ["exploding gradient"]
    assert kinds_in([1.0] * 900 + [9e-4] * 100) == ["vanishing gradient"]
    assert kinds_in([1.0] * 500 + [5000.0] * 100 + [1.0] * 1000) == []
    assert kinds_in([1e4] * 100 + [2.0] * 5000) == []
    assert kinds_in([1e-8] * 1000) == ["vanishing gradient"]
    assert kinds_in([1.0] * 900 + [float("inf")] * 60 + [1.0] * 40) == []


@pytest.mark.parametrize(
    ("error", "advice"), [(2 / 3, "a higher weight of 'c' or a higher lr_q"), (2.5, "a lower lr_q")]
)
def test_estimates_that_go_astray_need_a_lower_rate(error, advice):
    latent = ig.LatentSpec(c=ig.Uniform(2, loss=ig.MSE()))
    history = history_of(grad_norm__d=[1.0] * 100, loss__d=[1.0] * 100, mse__c=[error] * 100)
    (symptom,) = symptoms_of_figures(history, latent, ig.NonSaturating(), {"d": 100, "g": 100}, 100)
    assert symptom.kind == "flat bound"
    assert symptom.advice.startswith(advice)


def test_a_discriminator_that_knows_nothing_has_not_won():
    assert loss_of_ignorance(ig.NonSaturating()) == pytest.approx(2 * math.log(2))
    assert loss_of_ignorance(ig.LeastSquares()) == pytest.approx(0.25)
    assert loss_of_ignorance(ig.LeastSquares(a=5, b=6)) == pytest.approx(0.25)
    assert loss_of_ignorance(ig.Hinge()) == pytest.approx(2)
    assert loss_of_ignorance(ig.Wasserstein()) == pytest.approx(0)
    assert kinds_in(loss=[0.003] * 100, game=ig.LeastSquares()) == ["discriminator saturated"]
    assert kinds_in(loss=[0.25] * 100, game=ig.LeastSquares(a=5, b=6)) == []
    assert kinds_in(loss=[0.001] * 100, game=ig.Wasserstein()) == []


@pytest.mark.parametrize(
    ("code", "figure", "nothing", "half"),
    [
        (ig.Categorical(10), "bound", 0.0, 0.5 * math.log(10)),
        (ig.Uniform(2), "bound", 2 * (math.log(2) - 0.5 * math.log(2 * math.pi * math.e / 3)), 0.0),
        (ig.Uniform(2, low=0, high=1), "bound", -2 * 0.5 * math.log(2 * math.pi * math.e / 12), 0.0),
        (ig.Gaussian(3), "bound", 0.0, 3.0),
        (ig.Uniform(2, loss=ig.MSE()), "mse", 2 / 3, 1 / 3),
        (
            ig.Uniform(1, loss=ig.NormalNLL(scale=0.5)),
            "nll",
            math.log(0.5) + 0.919 + 4 / 6,
            math.log(0.5) + 0.919 + 4 / 12,
        ),
    ],
)
def test_what_q_knows(code, figure, nothing, half):
    names = {"bound": f"{figure}__c", "mse": "mse__c", "nll": "nll__c"}
    extra = {"bound__c": [-1.0] * 10} if figure == "nll" else {}
    for value, expected in ((nothing, True), (half, False)):
        history = history_of(**{names[figure]: [value] * 10}, **extra)
        share = knowledge(history, "c", code, 10)
        assert share is not None
        assert (share < 0.05) == expected
        assert share > -0.05


def test_looking_before_there_is_anything_to_see():
    with pytest.raises(ValueError, match="nothing to look at before the first update of G"):
        CollapseMonitor().check(toy())


def test_one_monitor_for_two_runs_tells_both():
    monitor = Scripted(["a", "a"], on_symptom=lambda symptom: None)
    for seed in range(2):
        toy(seed).fit(images(64), steps=2, batch_size=8, callbacks=[monitor])
    assert [symptom.kind for symptom in monitor.symptoms] == ["a", "a"]


def test_a_buffer_that_shares_its_memory_is_left_in_place():
    class Coordinates(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("x", torch.arange(4.0).expand(4, 4))

        def forward(self, images):
            return images + self.x

    torch.manual_seed(0)
    d = nn.Sequential(Coordinates(), *dense_discriminator())
    monitor = CollapseMonitor(every=1, after=0, on_symptom=lambda symptom: None)
    trainer = ig.InfoGANTrainer(dense_generator(), d, LATENT, device="cpu")
    trainer.fit(images(64), steps=3, batch_size=8, callbacks=[monitor])
    assert trainer.steps == 3


def test_every_category_of_many_is_asked_for_often_enough():
    latent = ig.LatentSpec(z=ig.Noise(2), kind=ig.Categorical(60))
    model = ig.InfoGAN(dense_generator(62), dense_discriminator(), latent)
    table = Probe(model, samples=64)(0, 0).tables["kind"]
    assert table.sum(1).min() >= 15
    beyond = ig.LatentSpec(z=ig.Noise(2), kind=ig.Categorical(129))
    assert Probe(ig.InfoGAN(dense_generator(131), dense_discriminator(), beyond), samples=64)(0, 0).tables == {}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"every": 0}, ValueError, "every must be a whole number of at least 1"),
        ({"after": -1}, ValueError, "after must be a whole number of at least 0"),
        ({"samples": 4}, ValueError, "samples must be a whole number of at least 8"),
        ({"samples": "many"}, TypeError, "samples must be a whole number"),
        ({"on_symptom": "me"}, TypeError, "on_symptom must be a function of a Symptom, or None to warn, but got 'me'"),
    ],
)
def test_mistakes_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        CollapseMonitor(**settings)
