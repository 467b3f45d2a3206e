"""Priors that follow what Q says of real images: their updates by hand, draws, entropy, copies, checkpoints."""

import copy
import math

import pytest
import torch

from infogan_lib import Categorical, CheckpointError, Checkpoints, InfoGAN, LatentSpec, Noise, NonFiniteLossError
from infogan_lib.evaluation import code_information
from infogan_lib.model.priors import RATE
from infogan_lib.regularizers import RealImageInformation
from infogan_lib.regularizers.real_information import balance
from resume_toys import STEPS, StopsAt, same_run
from resume_toys import trainer as make_resumed
from toys import dense_discriminator, dense_generator, images, make_trainer, stream

PROBS = (0.4, 0.3, 0.2, 0.1)
SPEC = LatentSpec(z=Noise(5), digit=Categorical(4, probs=PROBS, learn_probs_after=2), size=Categorical(2))


def trainer(spec=SPEC, **settings):
    torch.manual_seed(0)
    networks = dense_generator(spec.width), dense_discriminator(norm=False)
    return make_trainer(*networks, spec, **settings)


@pytest.mark.parametrize("settings", [{}, {"joint_batches": True}, {"accumulation_steps": 3}, {"d_steps": 2}], ids=str)
def test_the_prior_is_the_moving_average_of_q_on_real_images(settings):
    t, expected = trainer(**settings), torch.tensor(PROBS)
    for step in range(5):
        real = images(12, seed=step)
        with torch.no_grad():
            q = t.model.forward_q(real)[:, :4].softmax(1).mean(0)
        before = expected
        if step >= 2:
            expected = (1 - RATE) * expected + RATE * q
        metrics = t.step(real)
        torch.testing.assert_close(t.model.latent.learned_prior("digit"), expected, rtol=0, atol=1e-6)
        if "bound/digit" in metrics:  # under the prior that the step has drawn from
            entropy = torch.special.entr(before.double()).sum().item()
            assert metrics["bound/digit"] + metrics["nll/digit"] == pytest.approx(entropy, abs=1e-5)
    assert (expected - torch.tensor(PROBS)).abs().max() > 1e-4


def test_what_is_drawn_and_measured_is_under_the_learned_prior():
    model = trainer().model
    model.priors["digit"].copy_(torch.tensor([0.0, 0.7, 0.3, 0.0]))
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    c = model.latent.sample(20_000, rng=torch.Generator().manual_seed(0))
    shares = model.latent.split(c)["digit"].mean(0)
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.7, 0.3, 0.0]), rtol=0, atol=0.02)
    assert model.latent.entropy["digit"] == pytest.approx(entropy)
    information = code_information(model)["digit"]
    assert information.bound == pytest.approx(entropy - information.loss)
    marginal = torch.tensor([0.25, 0.25, 0.25, 0.25], dtype=torch.float64)
    learned = balance(model.latent, "digit", marginal)
    given = LatentSpec(digit=Categorical(4, probs=[0.0, 0.7, 0.3, 0.0]))
    torch.testing.assert_close(learned, balance(given, "digit", marginal))
    assert SPEC.entropy["digit"] == pytest.approx(SPEC["digit"].entropy)  # the spec of the user stays


def test_balance_lets_go_of_a_prior_that_follows():
    """beta is 1 once the prior is learned; before that, and for a prior that stays, it is as given."""
    log_q = torch.tensor([0.5, 0.3, 0.1, 0.1], dtype=torch.float64).log().expand(6, 4)
    q = log_q[0].exp()

    def beta(code, step):
        term = RealImageInformation("digit", augment=None, information=1.0, balance=4.0)
        term.set_step(step)
        spec = LatentSpec(digit=code)
        entropy = torch.special.entr(q).sum()
        return ((entropy - term(spec, images(6), log_q, lambda x: x, stream(0, ""))) / balance(spec, "digit", q)).item()

    learned = Categorical(4, probs=PROBS, learn_probs_after=2)
    assert [beta(learned, 1), beta(learned, 2)] == pytest.approx([4, 1])
    assert beta(Categorical(4, probs=PROBS), 9) == pytest.approx(4)


def test_codes_whose_prior_stays_are_drawn_as_without_learning():
    names = ("z", "size")
    fixed = LatentSpec(z=Noise(5), digit=Categorical(4, probs=PROBS), size=Categorical(2))
    one, other = (
        spec.split(spec.sample(9, rng=torch.Generator().manual_seed(1))) for spec in (fixed, trainer().model.latent)
    )
    assert all(torch.equal(one[name], other[name]) for name in names)


def test_a_copy_has_a_prior_of_its_own():
    model = trainer().model
    twin = copy.deepcopy(model)
    twin.priors["digit"].copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert torch.equal(twin.latent.learned_prior("digit"), twin.priors["digit"])
    assert torch.equal(model.latent.learned_prior("digit"), torch.tensor(PROBS))
    twin.double()
    assert twin.latent.learned_prior("digit").dtype == torch.float64


def test_a_saved_model_has_its_prior(tmp_path):
    t = trainer()
    for step in range(4):
        t.step(images(12, seed=step))
    t.model.save(tmp_path)
    networks = {"generator": dense_generator(SPEC.width), "discriminator": dense_discriminator(norm=False)}
    loaded = InfoGAN.load(tmp_path, **networks)
    assert loaded.latent == SPEC
    assert torch.equal(loaded.latent.learned_prior("digit"), t.model.latent.learned_prior("digit"))
    assert torch.equal(loaded.sample(5, seed=1), t.model.sample(5, seed=1))


def test_a_run_resumes_bitwise(tmp_path):
    def fit(**options):
        t = make_resumed(SPEC, regularizers=[RealImageInformation("digit")])
        t.fit(images(40), steps=STEPS, batch_size=8, **options)
        return t

    with pytest.raises(KeyError):
        fit(callbacks=[StopsAt(8)], checkpoints=Checkpoints(tmp_path, every=3))
    assert same_run(fit(), fit(checkpoints=Checkpoints(tmp_path, every=3)))


def test_a_step_that_is_rolled_back_leaves_the_prior():
    t = trainer()
    for step in range(3):
        t.step(images(12, seed=step))
    before = t.model.latent.learned_prior("digit").clone()
    with pytest.raises(ValueError, match="NaN or infinite"):
        t.step(images(12).fill_(float("nan")))
    assert torch.equal(t.model.latent.learned_prior("digit"), before)


def test_a_model_without_a_learned_prior_has_no_state_of_it():
    model = InfoGAN(dense_generator(), dense_discriminator(), LatentSpec(z=Noise(7), digit=Categorical(4)))
    assert not [name for name in model.state_dict() if "prior" in name]


@pytest.mark.parametrize(
    "prior", [[math.nan] * 4, [math.inf, 0, 0, 0], [-1, 1, 0.5, 0.5], [0, 0, 0, 0], [1.25] * 4], ids=str
)
def test_saved_priors_that_are_no_probabilities_are_refused(tmp_path, prior):
    t = trainer()
    t.fit(images(24), steps=3, batch_size=12, checkpoints=tmp_path / "run")
    t.model.priors["digit"].copy_(torch.tensor(prior))
    t.model.save(tmp_path / "model")
    networks = {"generator": dense_generator(SPEC.width), "discriminator": dense_discriminator(norm=False)}
    with pytest.raises(CheckpointError, match="its priors.prior_0 must be numbers of at least 0 that add up to 1"):
        InfoGAN.load(tmp_path / "model", **networks)
    resumed = trainer()
    if not math.isfinite(sum(prior)):
        with pytest.raises(NonFiniteLossError, match=r"weight 'priors.prior_0' became (nan|inf) after step 2"):
            t.save_checkpoint(tmp_path / "state")
        return
    t.save_checkpoint(tmp_path / "state")
    with pytest.raises(CheckpointError, match="its priors.prior_0 must be numbers of at least 0 that add up to 1"):
        resumed.load_checkpoint(tmp_path / "state")
    assert resumed.model.priors["digit"].tolist() == pytest.approx(PROBS)


def test_a_step_in_which_a_prior_is_nan_is_rolled_back(monkeypatch):
    """Q on real images may be in no loss, so that nothing else of the step is NaN."""
    t = trainer()
    for _ in range(3):
        t.step(images(12))
    before = t.model.priors["digit"].clone()
    monkeypatch.setattr(t.model.priors, "marginals", lambda q: torch.full((4,), math.nan))
    with pytest.raises(NonFiniteLossError, match=r"weight 'priors.prior_0' became nan in step 3; the step was rolled"):
        t.step(images(12))
    assert torch.equal(t.model.priors["digit"], before)
