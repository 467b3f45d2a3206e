"""Mode seeking: its value where noise does all, some or nothing, its gradient, what it trains, and when."""

import math

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.regularizers import GeneratorRegularizer, ModeSeeking
from toys import LATENT, PartsGenerator, dense_discriminator, dense_generator, images, make_trainer


def value(generate, *, latent=LATENT, n=4096, seed=0, **settings):
    sampled = latent.sample(n, rng=torch.Generator().manual_seed(seed), dtype=torch.float64)
    term = ModeSeeking(after=0, **settings)
    return term(latent, sampled, generate(sampled), generate, torch.Generator().manual_seed(1))


def test_noise_that_decides_everything_costs_nothing():
    assert value(lambda c: c[:, LATENT.slices["z"]]).item() == pytest.approx(-math.log(1.01), abs=0.03)


def test_noise_that_makes_half_of_the_distance():
    # Two columns of equal spread, of which noise moves one.
    def generate(c):
        return torch.stack([c[:, 0], 1.128 / (2 / 3) * c[:, LATENT.slices["style"]][:, 0]], dim=1)

    # E|z - z'| of two Gaussians is 2/sqrt(pi), of two uniforms on [-1, 1] it is 2/3; both columns then weigh alike.
    assert value(generate, n=60_000).item() == pytest.approx(-math.log(0.51), abs=0.02)


def test_noise_that_changes_nothing_costs_the_most():
    assert value(lambda c: c[:, LATENT.slices["style"]]).item() == pytest.approx(math.log(100))
    assert value(lambda c: 0 * c).item() == pytest.approx(math.log(100))


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0), (1e6, 0), (1, 1000)])
def test_neither_the_scale_nor_the_offset_of_images_matters(factor, shift):
    def generate(c):
        return c[:, :2] + c[:, LATENT.slices["style"]]

    assert value(lambda c: factor * generate(c) + shift).item() == pytest.approx(value(generate).item(), abs=1e-6)


def test_against_a_loop_in_float64():
    weight = torch.randn(LATENT.width, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    sampled = LATENT.sample(10, rng=torch.Generator().manual_seed(4), dtype=torch.float64)
    calls = []

    def generate(c):
        calls.append(c)
        return (c @ weight).tanh()

    whole = generate(sampled)
    term = ModeSeeking(after=0)(LATENT, sampled, whole, generate, torch.Generator().manual_seed(5))
    first, second = calls[1].tensor_split(2)
    assert torch.equal(first, sampled[:3])
    assert torch.equal(second[:, 5:], first[:, 5:])  # the codes are kept
    assert not (second[:, :5] == first[:, :5]).any()  # the noise is not
    pairs = [(a @ weight).tanh() - (b @ weight).tanh() for a, b in zip(first, second, strict=True)]
    distance = sum(pair.abs().sum() for pair in pairs) / 9
    unrelated = sum((whole[i] - whole[i - 1]).abs().sum() for i in range(10)) / 30
    assert term.item() == pytest.approx(-math.log(distance / unrelated + 0.01), rel=1e-9)


def test_batch_normalization_makes_no_difference_of_its_own():
    norm = nn.BatchNorm1d(2, affine=False).train()
    assert value(lambda c: norm(c[:, LATENT.slices["style"]].float()), n=16).item() == pytest.approx(
        math.log(100), abs=1e-4
    )


@pytest.mark.parametrize("n", [2, 3, 5])
def test_small_batches(n):
    term = value(lambda c: c @ torch.ones(LATENT.width, 2, dtype=c.dtype), n=n)
    assert -2 < term.item() < 2


def test_outputs_that_are_all_identical_give_a_finite_gradient():
    weight = torch.zeros(LATENT.width, 2, dtype=torch.float64, requires_grad=True)
    value(lambda c: c @ weight).backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("effect", [1.0, 1e-1, 1e-3, 1e-6])
def test_the_gradient_is_even_however_small_the_effect_and_the_images(effect, scale):
    """The slope along the logarithm of noise's effect is at most one."""
    log_effect = torch.tensor(math.log(effect), requires_grad=True)
    columns = LATENT.slices

    def generate(c):
        c = c.float()
        return scale * torch.cat([log_effect.exp() * c[:, columns["z"]], c[:, columns["style"]]], dim=1)

    value(generate).backward()
    assert log_effect.grad is not None
    assert -1 <= log_effect.grad.item() < 0
    if effect == 1e-1:
        assert log_effect.grad.item() < -0.5


def test_the_reference_takes_no_gradient():
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    columns = LATENT.slices
    # A scale on what codes do moves unrelated images apart, but not those that differ in noise alone.
    value(lambda c: torch.cat([c[:, columns["z"]], scale * c[:, columns["digit"]]], dim=1)).backward()
    assert scale.grad is None or scale.grad.abs() < 1e-12


def test_only_the_given_noise_is_redrawn():
    latent = ig.LatentSpec(a=ig.Noise(2), b=ig.Noise(2), digit=ig.Categorical(3))

    def generate(c):
        return c[:, latent.slices["a"]]

    assert value(generate, latent=latent, noise="b").item() == pytest.approx(math.log(100))
    assert value(generate, latent=latent, noise=["a"]).item() == pytest.approx(0, abs=0.05)
    assert value(generate, latent=latent).item() == pytest.approx(0, abs=0.05)


class Zero(losses.AdversarialLoss):
    def real(self, logits):
        return 0 * logits

    fake = generator = real


def trainer(*regularizers, spec=None, **settings):
    torch.manual_seed(0)
    spec = spec or ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2, weight=0))
    sgd = {f"{part}_optimizer": lambda p: torch.optim.SGD(p, 0.1) for part in "gdq"}
    networks = dense_generator(), dense_discriminator()
    return make_trainer(*networks, spec, regularizers=regularizers, **({"adversarial": Zero()} | sgd | settings))


def changes(t, steps=1):
    groups = t.model.parameter_groups()
    before = {part: [p.detach().clone() for p in params] for part, params in groups.items()}
    metrics = [t.step(images(16)) for _ in range(steps)]
    return metrics[-1], {
        part: sum((a - b).abs().sum().item() for a, b in zip(groups[part], before[part], strict=True))
        for part in groups
    }


@pytest.mark.parametrize("accumulate", [1, 2])
def test_trains_g_and_nothing_else(accumulate):
    metrics, changed = changes(trainer(ModeSeeking(after=0), accumulation_steps=accumulate))
    assert changed["generator"] > 1e-4
    assert changed["trunk"] == changed["d_head"] == changed["q_head"] == 0
    assert -1 < metrics["regularizer/mode_seeking"] < 2


def test_weight_scales_the_gradient():
    norms = [trainer(ModeSeeking(after=0, weight=w)).step(images(16))["grad_norm/g"] for w in (0.0, 0.5, 1.0)]
    assert norms[0] == 0
    assert norms[2] == pytest.approx(2 * norms[1], rel=1e-4)


def test_begins_after_the_given_number_of_steps():
    t = trainer(ModeSeeking(after=2))
    metrics, changed = changes(t, steps=2)
    assert changed["generator"] == 0
    assert "regularizer/mode_seeking" not in metrics
    metrics, changed = changes(t)
    assert changed["generator"] > 0
    assert "regularizer/mode_seeking" in metrics


@pytest.mark.cpu
def test_is_part_of_every_update_of_g_and_of_no_other():
    calls = []

    class Counting(GeneratorRegularizer):
        name, weight = "counting", 1.0

        def __call__(self, latent, sampled, images, generate, rng):
            calls.append((tuple(sampled.shape), tuple(images.shape), rng.device.type))
            assert images.requires_grad
            return 0 * images.sum()

    t = trainer(Counting(), d_steps=2, g_steps=3)
    assert "regularizer/counting" not in t.step(images(16))
    assert "regularizer/counting" in t.step(images(16))
    assert calls == 3 * [((16, 11), (16, 1, 4, 4), "cpu")]


@pytest.mark.slow
def test_increases_the_effect_of_noise():
    """In a game that D cannot win, G makes the images of one category differ."""
    spec = ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2))
    distances = []
    for regularizers in ((), (ModeSeeking(after=0),)):
        t = trainer(*regularizers, spec=spec, adversarial=losses.NonSaturating())
        for _ in range(60):
            t.step(images(32))
        same = t.model.sample(256, digit=0, seed=0)
        distances.append((same[:128] - same[128:]).abs().mean().item())
    assert distances[1] > 1.3 * distances[0]


def test_a_resumed_run_is_the_same(tmp_path):
    def make():
        return trainer(ModeSeeking(after=1), adversarial=losses.NonSaturating())

    whole, first, second = make(), make(), make()
    for _ in range(4):
        whole.step(images(16))
    for _ in range(2):
        first.step(images(16))
    first.save_checkpoint(tmp_path)
    second.load_checkpoint(tmp_path)
    for _ in range(2):
        second.step(images(16))
    pairs = zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_term_that_is_not_finite_is_named_and_changes_nothing():
    class NotFinite(GeneratorRegularizer):
        name, weight = "not_finite", 1.0

        def __call__(self, latent, sampled, images, generate, rng):
            return images.sum() * math.nan

    t = trainer(NotFinite())
    before = {name: tensor.clone() for name, tensor in t.model.state_dict().items()}
    with pytest.raises(ig.NonFiniteLossError, match="regulari[sz]er 'not_finite' became nan"):
        t.step(images(16))
    assert all(torch.equal(tensor, before[name]) for name, tensor in t.model.state_dict().items())


def plain(accumulate):
    """A trainer without BatchNorm."""
    spec = ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2))
    generator = nn.Sequential(nn.Linear(11, 16), nn.Unflatten(1, (1, 4, 4)))
    networks = generator, dense_discriminator(norm=False)
    parts = {"q_head": nn.Linear(16, 2), "regularizers": [ModeSeeking(after=0)]}
    return make_trainer(*networks, spec, accumulation_steps=accumulate, **parts)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_mixed_precision(precision):
    metrics = trainer(ModeSeeking(after=0), precision=precision).step(images(16))
    assert -1 < metrics["regularizer/mode_seeking"] < 2


def test_a_generator_that_takes_the_codes_separately():
    networks = PartsGenerator(), dense_discriminator()
    t = make_trainer(*networks, LATENT, generator_input="separate", regularizers=[ModeSeeking(after=0)])
    assert "regularizer/mode_seeking" in t.step(images(16))


def test_other_noise_is_another_run(tmp_path):
    spec = ig.LatentSpec(a=ig.Noise(4), b=ig.Noise(5), digit=ig.Categorical(2))
    first = trainer(ModeSeeking(after=0, noise="a"), spec=spec)
    first.step(images(16))
    first.save_checkpoint(tmp_path)
    with pytest.raises(ig.CheckpointError, match="noise.* was a and is b"):
        trainer(ModeSeeking(after=0, noise="b"), spec=spec).load_checkpoint(tmp_path)


@pytest.mark.cpu
def test_it_changes_no_other_stream_of_randomness():
    drawn = []
    for regularizers in ((), (ModeSeeking(after=0),)):
        t = trainer(*regularizers, augment=lambda x, g: drawn.append(torch.rand((), generator=g).item()) or x)
        for _ in range(3):
            t.step(images(16))
    assert drawn[:3] == drawn[3:]


@pytest.mark.cuda
def test_on_cuda():
    t = trainer(ModeSeeking(after=0), device="cuda")
    metrics = [t.step(images(16)) for _ in range(2)]
    assert all(-1 < step["regularizer/mode_seeking"] < 2 for step in metrics)


CODES_ALONE = ig.LatentSpec(digit=ig.Categorical(4), style=ig.Uniform(7))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: trainer(ModeSeeking(after=0, noise="w")), ValueError, "redraws 'w', but the noise .* is 'z'"),
        (lambda: trainer(ModeSeeking(after=0, noise="digit")), ValueError, "redraws 'digit', but the noise .* is 'z'"),
        (
            lambda: trainer(ModeSeeking(after=0), spec=CODES_ALONE),
            ValueError,
            "needs noise to redraw, but this latent has codes only: 'digit' and 'style'",
        ),
        (lambda: ModeSeeking(after=0, weight=-1), ValueError, "weight must be a finite number of at least 0"),
        (lambda: ModeSeeking(after=-1), ValueError, "after must be a whole number of at least 0"),
        (lambda: ModeSeeking(after=0, noise=3), TypeError, "noise must be the name of a variable.* but got 3"),
        (lambda: ModeSeeking(after=0, noise=[]), TypeError, "noise must be the name"),
        (lambda: trainer(*2 * [ModeSeeking(after=0)]), ValueError, "two regularizers are named 'mode_seeking'"),
        (lambda: trainer(ModeSeeking), TypeError, r"did you mean ModeSeeking\(...\)\?"),
        (
            lambda: plain(16).step(images(16)),
            ValueError,
            "with accumulation_steps=16 .* 32, as a regularizer needs 2 in each part",
        ),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()
