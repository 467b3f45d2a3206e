"""LatentSpec: names, composition, sampling, splitting, scoring, traversals, JSON; over random specs where possible."""

import copy
import pickle
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal

from infogan_lib import Bernoulli, Categorical, Gaussian, LatentCode, LatentSpec, Noise, Uniform
from infogan_lib.losses import MSE, NormalNLL

weights = st.floats(0, 10, allow_nan=False)
real_losses = st.sampled_from([NormalNLL(), NormalNLL(scale=0.7), MSE()])
variables = st.one_of(
    st.builds(Noise, st.integers(1, 5), distribution=st.sampled_from(["gaussian", "uniform"])),
    st.builds(Categorical, st.integers(2, 17), weight=weights),
    st.builds(Uniform, st.integers(1, 4), low=st.just(-2.0), high=st.just(3.0), weight=weights, loss=real_losses),
    st.builds(Gaussian, st.integers(1, 4), weight=weights, loss=real_losses),
    st.builds(Bernoulli, st.integers(1, 4), weight=weights),
)
letters = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
names = st.text(letters, min_size=1, max_size=6).filter(lambda name: name.strip() and name[:2] != "__")
specs = st.dictionaries(names, variables, min_size=1, max_size=12).map(LatentSpec)


@dataclass(frozen=True)
class Shifted(LatentCode):
    """A user's code: N(3, 1), without a batched loss, so that it is scored by its own `nll`."""

    weight: float = 1.0

    @property
    def width(self):
        return 1

    @property
    def num_outputs(self):
        return 1

    @property
    def entropy(self):
        return 1.4189385

    def sample(self, n, *, rng=None, device=None, dtype=None):
        return 3 + torch.randn(n, 1, generator=rng, device=device, dtype=dtype)

    def posterior(self, outputs):
        return torch.distributions.Independent(Normal(outputs, 1.0), 1)


@given(specs)
def test_split_and_join_are_inverse(spec):
    latent = spec.sample(3)
    assert latent.shape == (3, spec.width)
    parts = spec.split(latent)
    assert list(parts) == list(spec)
    assert {name: part.shape[1] for name, part in parts.items()} == {n: v.width for n, v in spec.items()}
    assert torch.equal(spec.join(dict(reversed(parts.items()))), latent)


@given(specs)
def test_json_and_pickle_round_trips(spec):
    assert LatentSpec.from_json(spec.to_json()) == spec
    assert list(LatentSpec.from_json(spec.to_json())) == list(spec)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert copy.deepcopy(spec) == spec


@given(specs)
def test_every_part_is_a_draw_of_its_own_prior(spec):
    for name, part in spec.split(spec.sample(50, dtype=torch.float64)).items():
        kind = spec[name]
        if isinstance(kind, Categorical):
            assert (part.sum(1) == 1).all()
            assert part.max() == 1
        elif isinstance(kind, Bernoulli):
            assert ((part == 0) | (part == 1)).all()
        elif isinstance(kind, Uniform):
            assert part.min() >= -2
            assert part.max() <= 3
            assert part.unique().numel() == part.numel()


@given(specs)
def test_joint_losses_are_the_losses_of_each_code_alone(spec):
    latent = spec.sample(6, dtype=torch.float64)
    outputs = torch.randn(6, spec.num_outputs, dtype=torch.float64) * 3
    if not spec.codes:
        return
    scores, start = spec.nll(outputs, latent), 0
    assert scores.shape == (6, len(spec.codes))
    for i, (name, code) in enumerate(spec.codes.items()):
        alone = code.nll(outputs[:, start : start + code.num_outputs], spec.split(latent)[name])
        torch.testing.assert_close(scores[:, i], alone, rtol=1e-12, atol=1e-12)
        start += code.num_outputs


@given(specs, specs)
def test_adding_codes_leaves_the_gradients_of_others_alone(first, second):
    if not first.codes:
        return
    second = LatentSpec({f"more {name}": v for name, v in second.items()})
    latent, extra = first.sample(5, dtype=torch.float64), second.sample(5, dtype=torch.float64)
    outputs = torch.randn(5, first.num_outputs, dtype=torch.float64, requires_grad=True)
    more = torch.randn(5, second.num_outputs, dtype=torch.float64)
    first.nll(outputs, latent).mean(0).sum().backward()
    alone, outputs.grad = outputs.grad, None
    (first + second).nll(torch.cat([outputs, more], 1), torch.cat([latent, extra], 1)).mean(0).sum().backward()
    torch.testing.assert_close(outputs.grad, alone, rtol=1e-12, atol=1e-12)


def test_a_hundred_codes_keep_their_order_through_vectorized_sampling_and_scoring():
    named = {f"c{i}": Categorical(10) for i in range(50)} | {f"k{i}": Categorical(i + 2) for i in range(30)}
    named |= {f"u{i}": Uniform(1, low=i, high=i + 1) for i in range(20)}
    names = [f"{kind}{i}" for i in range(50) for kind in "cku" if f"{kind}{i}" in named]
    spec = LatentSpec({name: named[name] for name in names})
    parts = spec.split(spec.sample(200))
    for i in range(20):
        assert i <= parts[f"u{i}"].min()
        assert parts[f"u{i}"].max() <= i + 1
    outputs = torch.randn(4, spec.num_outputs, dtype=torch.float64)
    latent = spec.sample(4, dtype=torch.float64)
    by_name = dict(zip(spec.codes, spec.nll(outputs, latent).T, strict=True))
    posteriors = spec.posteriors(outputs)
    for name, part in spec.split(latent).items():
        torch.testing.assert_close(by_name[name], -posteriors[name].log_prob(part), rtol=1e-9, atol=1e-9)


def test_constants_of_inference_mode_do_not_hinder_training():
    spec = LatentSpec(a=Categorical(4), u=Uniform(2), b=Categorical(5))
    with torch.inference_mode():
        spec.nll(torch.zeros(3, spec.num_outputs), spec.sample(3))
    outputs = torch.zeros(3, spec.num_outputs, requires_grad=True)
    spec.nll(outputs, spec.sample(3)).sum().backward()
    assert outputs.grad.abs().sum() > 0


def test_sampling_is_a_function_of_the_generator_alone():
    spec = LatentSpec(z=Noise(3), a=Categorical(4), b=Uniform(2))
    state = torch.get_rng_state()
    draws = [spec.sample(5, rng=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(draws[0], spec.sample(5, rng=torch.Generator().manual_seed(8)))


def test_specs_add_up():
    spec = LatentSpec(z=Noise(62), digit=Categorical(10)) + LatentSpec(font=Categorical(5), style=Uniform(2))
    assert list(spec) == ["z", "digit", "font", "style"]
    assert spec.width == 79
    assert spec.num_outputs == 10 + 5 + 4
    assert list(spec.codes) == ["digit", "font", "style"]
    assert LatentSpec(a=Noise(1)) + LatentSpec(b=Noise(2)) == LatentSpec(a=Noise(1), b=Noise(2))
    assert LatentSpec(a=Noise(1), b=Noise(2)) != LatentSpec(b=Noise(2), a=Noise(1))


def test_a_users_code_works_like_the_others():
    spec = LatentSpec(z=Noise(2), own=Shifted(), c=Categorical(3))
    latent, outputs = spec.sample(2000, dtype=torch.float64), torch.zeros(2000, 4, dtype=torch.float64)
    assert spec.split(latent)["own"].mean().item() == pytest.approx(3, abs=0.1)
    expected = -Normal(0.0, 1.0).log_prob(spec.split(latent)["own"][:, 0])
    torch.testing.assert_close(spec.nll(outputs, latent)[:, 0], expected)
    assert LatentSpec.from_json(spec.to_json()) == spec
    assert spec.traverse("own", steps=3)[:, 2].tolist() == [-1, 0, 1]


def test_a_subclass_that_overrides_sample_or_nll_alone_is_used():
    @dataclass(frozen=True, repr=False)
    class AlwaysLast(Categorical):
        def sample(self, n, *, rng=None, device=None, dtype=None):
            return torch.eye(self.k)[[-1] * n].to(device=device, dtype=dtype)

        def nll(self, outputs, value):
            return torch.full((len(outputs),), 42.0)

    spec = LatentSpec(a=AlwaysLast(3), b=Categorical(3))
    latent = spec.sample(20)
    assert (latent[:, 2] == 1).all()
    assert (latent[:, 5] != 1).any()
    scores = spec.nll(torch.zeros(20, 6), latent)
    assert (scores[:, 0] == 42).all()
    assert (scores[:, 1] < 2).all()


def test_a_code_whose_losses_have_another_shape_is_named():
    class Unsummed(Shifted):
        def posterior(self, outputs):
            return Normal(outputs, 1.0)

    with pytest.raises(ValueError, match=r"nll of .* one number per sample, shape \(4,\), but returned shape \(4, 1\)"):
        LatentSpec(u=Unsummed()).nll(torch.zeros(4, 1), torch.zeros(4, 1))


def test_the_json_of_saved_models_stays():
    spec = LatentSpec(z=Noise(2), c=Categorical(3), u=Uniform(1, low=0, high=1, loss=MSE()), b=Bernoulli(1))
    text = (
        '{"z": {"kind": "Noise", "dim": 2, "distribution": "gaussian"}, '
        '"c": {"kind": "Categorical", "k": 3, "weight": 1.0, "loss": {"kind": "CrossEntropy"}}, '
        '"u": {"kind": "Uniform", "dim": 1, "low": 0.0, "high": 1.0, "weight": 1.0, "loss": {"kind": "MSE"}}, '
        '"b": {"kind": "Bernoulli", "dim": 1, "weight": 1.0, "loss": {"kind": "BernoulliCrossEntropy"}}}'
    )
    assert spec.to_json() == text
    assert LatentSpec.from_json(text) == spec


def test_specs_cannot_be_changed():
    spec = LatentSpec(a=Categorical(3))
    for view in (spec.codes, spec.slices, spec.entropy):
        with pytest.raises(TypeError):
            view["a"] = None


def test_repr_reads_as_it_is_written():
    spec = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))
    assert repr(spec) == "LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))"
    assert eval(repr(spec)) == spec


def test_center_and_replaced_values():
    spec = LatentSpec(z=Noise(2), c=Categorical(3), u=Uniform(1, low=2, high=4))
    assert spec.center(2).tolist() == [[0, 0, 1, 0, 0, 3]] * 2
    changed = spec.replace_values(spec.center(2), {"c": [1, 2], "u": 2.5})
    assert changed.tolist() == [[0, 0, 0, 1, 0, 2.5], [0, 0, 0, 0, 1, 2.5]]


def test_traversal_changes_only_its_own_columns():
    spec = LatentSpec(z=Noise(4), c=Categorical(3), u=Uniform(2))
    base = spec.sample(2)
    latents = spec.traverse("u", dim=1, steps=5, base=base).unflatten(0, (2, 5))
    assert torch.equal(latents[:, :, :8], base[:, None, :8].expand(2, 5, 8))
    torch.testing.assert_close(latents[0, :, 8], torch.linspace(-1, 1, 5))


def test_grid_of_draws_and_categories():
    spec = LatentSpec(z=Noise(4), c=Categorical(3), u=Uniform(2))
    latents, columns = spec.grid(rows=5, columns="c", rng=torch.Generator().manual_seed(0))
    assert columns == 3
    cells = latents.unflatten(0, (5, 3))
    assert torch.equal(cells[:, :, 4:7], torch.eye(3).expand(5, 3, 3))  # one category per column
    assert torch.equal(cells[:, 0, :4], cells[:, 2, :4])  # one noise per row
    assert not torch.equal(cells[0, :, :4], cells[1, :, :4])


def test_grid_of_two_variables_shares_everything_else():
    spec = LatentSpec(z=Noise(4), c=Categorical(3), u=Uniform(2))
    latents, columns = spec.grid(rows=("u", 1), columns="c", steps=4, base=spec.center())
    cells = latents.unflatten(0, (4, 3))
    assert columns == 3
    torch.testing.assert_close(cells[:, :, 8], torch.linspace(-1, 1, 4)[:, None].expand(4, 3))
    assert (cells[:, :, [0, 1, 2, 3, 7]] == 0).all()


REFUSALS = [
    (lambda: LatentSpec(), ValueError, "at least one variable"),
    (lambda: LatentSpec({"a": Noise(1)}, a=Noise(2)), ValueError, "the name 'a' is used twice"),
    (lambda: LatentSpec(a=Noise(1)) + LatentSpec(a=Noise(1)), ValueError, "the name 'a' is used twice"),
    (lambda: LatentSpec({"": Noise(1)}), TypeError, "must be a non-empty string, but got ''"),
    (lambda: LatentSpec(c=10), TypeError, r"c must be a latent variable such as Categorical\(10\), but got 10"),
    (lambda: LatentSpec(c=Categorical), TypeError, r"did you mean Categorical\(...\)"),
    (lambda: LatentSpec({1: Noise(1)}), TypeError, "must be a non-empty string, but got 1"),
    (lambda: LatentSpec(a=Noise(1)) + 3, TypeError, "unsupported operand"),
    (lambda: LatentSpec(a=Noise(1)) + Noise(1), TypeError, "unsupported operand"),
    (lambda: Noise(1) + Noise(1), TypeError, "unsupported operand"),
    (lambda: LatentSpec(a=Noise(3)).split(torch.zeros(2, 4)), ValueError, r"shape \(N, 3\), but got \(2, 4\)"),
    (lambda: LatentSpec(a=Noise(3)).join({}), ValueError, "exactly the parts 'a', but got nothing"),
    (lambda: LatentSpec(a=Noise(3)).join({"a": torch.zeros(2, 2)}), ValueError, r"'a' must have shape \(N, 3\)"),
    (lambda: LatentSpec(a=Noise(3)).sample(0), ValueError, "n must be a whole number of at least 1"),
    (lambda: LatentSpec(a=Noise(3))["b"], KeyError, "no 'b' in this latent; it has 'a'"),
    (
        lambda: LatentSpec(c=Categorical(3), u=Uniform(1)).nll(torch.zeros(2, 4), torch.zeros(2, 4)),
        ValueError,
        r"Q must give shape \(N, 5\) for these codes \(c 3, u 2\), but got \(2, 4\)",
    ),
    (lambda: LatentSpec.from_json("nonsense"), ValueError, "not the JSON of a LatentSpec"),
    (lambda: LatentSpec.from_json("[1]"), ValueError, "is an object of names"),
    (lambda: LatentSpec.from_json('{"a": {"kind": "os.system"}}'), ValueError, "the kind must be one of"),
    (lambda: LatentSpec.from_json('{"a": {"kind": "Noise"}}'), ValueError, "a: .*missing 1 required"),
    (lambda: LatentSpec.from_json('{"a": {"kind": "Categorical", "k": 1}}'), ValueError, "k of Categorical"),
    (
        lambda: LatentSpec.from_json('{"a": {"kind": "Noise", "dim": 1}, "a": {"kind": "Noise", "dim": 1}}'),
        ValueError,
        "'a' appears twice",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()
