"""Q that is begun on real images alone: what it does, what it leaves as it is, and how it goes with runs."""

import copy
import math

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import Checkpoints, NonFiniteLossError
from infogan_lib.callbacks import PretrainQ
from infogan_lib.data.rng import derive_seed
from infogan_lib.regularizers import RealImageInformation, VirtualAdversarial
from infogan_lib.training.pretraining import QStarts, most_central, shared_information
from resume_toys import StopsAt, same_run
from toys import DEVICE, LATENT, dense_discriminator, dense_generator, images, make_trainer


def trainer(**settings):
    """A trainer whose D has dropout on Q's path, and a BatchNorm behind it."""
    torch.manual_seed(0)
    discriminator = dense_discriminator(norm=False)
    discriminator.insert(3, nn.Dropout(0.3))
    discriminator.append(nn.BatchNorm1d(1))
    terms = [RealImageInformation("digit")]
    return make_trainer(dense_generator(), discriminator, **{"regularizers": terms, "tap": "3"} | settings)


def test_information_in_closed_form():
    one_hot = torch.eye(4, dtype=torch.float64).repeat(5, 1)
    assert shared_information(one_hot, one_hot) == pytest.approx(math.log(4), abs=1e-12)
    assert shared_information(one_hot, one_hot[:, [2, 0, 3, 1]]) == pytest.approx(math.log(4), abs=1e-12)
    assert shared_information(one_hot, torch.full((20, 3), 1 / 3, dtype=torch.float64)) == pytest.approx(0, abs=1e-12)
    merged = torch.stack([one_hot[:, 0] + one_hot[:, 1], one_hot[:, 2] + one_hot[:, 3]], 1)
    assert shared_information(one_hot, merged) == pytest.approx(math.log(2), abs=1e-12)


def test_the_start_that_agrees_most_is_chosen():
    good = torch.eye(4).repeat(6, 1)
    merged, split = good.clone(), good.clone()
    merged[good[:, 1] == 1] = good[0]
    split[:5] = good[:5].flip(1)
    found = most_central([[merged], [good], [split], [good[:, [3, 2, 1, 0]]]])
    assert found.chosen == 1
    assert found.shared[1] == pytest.approx(found.shared[3])
    assert found.shared[1] > max(found.shared[0], found.shared[2])
    assert most_central([[merged]]).chosen == 0


def test_a_single_start_is_descent_along_the_terms_in_float64():
    torch.manual_seed(0)
    pair = dense_generator().double(), dense_discriminator(norm=False).double()
    term = RealImageInformation("digit", augment=None)
    t = make_trainer(*pair, regularizers=[term], device="cpu", tap="2")
    model, x = copy.deepcopy(t.model), images(40, dtype=torch.float64)
    parameters = {"trunk": 5e-4, "q_head": 1e-3}
    optimizers = [
        torch.optim.Adam(model.parameter_groups()[part], lr, betas=(0.5, 0.999)) for part, lr in parameters.items()
    ]
    seed = derive_seed(derive_seed(0, "pretrain_q"), "images", 0)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(5):
        batch = x[torch.randint(40, (8,), generator=rng)]
        q = model.forward_q(batch)[:, LATENT.output_slices["digit"]].log_softmax(1)
        p, m = q.exp(), q.exp().mean(0)
        loss = 2.0 * 0.5 * (-(p * q).sum(1).mean() + 6.0 * (m * m.log()).sum())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert t.pretrain_q(x, steps=5, starts=1, batch_size=8) == QStarts((), 0)
    for name, own in t.model.named_parameters():
        torch.testing.assert_close(own, dict(model.named_parameters())[name], rtol=1e-9, atol=1e-12)


def everything_but_q(t):
    """All that pretraining leaves as it was."""
    groups = t.model.parameter_groups(frozen=True)
    return [
        *(p.detach().clone() for part in ("generator", "d_head") for p in groups[part]),
        *(b.clone() for b in t.model.generator.buffers()),
        *(t.streams[name].get_state() for name in t.streams.state_dict()),
        torch.get_rng_state(),
        *(torch.tensor(module.training) for module in t.model.modules()),
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_everything_but_q_is_as_before(precision):
    t = trainer(precision=precision, discriminator_augment=lambda x, rng: x + 0.1 * torch.randn_like(x))
    t.model.eval()
    before = everything_but_q(t)
    q_before = [p.detach().clone() for part in ("trunk", "q_head") for p in t.model.parameter_groups()[part]]
    found = t.pretrain_q(images(40), steps=4, batch_size=8)
    assert len(found.shared) == 5
    assert found.shared[found.chosen] == max(found.shared)
    assert all(map(torch.equal, before, everything_but_q(t)))
    q_after = [p for part in ("trunk", "q_head") for p in t.model.parameter_groups()[part]]
    assert not any(map(torch.equal, q_before, q_after))
    assert not any(optimizer.state for optimizer in t.optimizers.values())
    assert (t.steps, len(t.history)) == (0, 0)


def test_starts_differ_and_the_chosen_one_is_kept(monkeypatch):
    heads = []

    def choose(posteriors):
        heads.extend(part[0] for part in posteriors)
        return QStarts((), 1)

    monkeypatch.setattr("infogan_lib.training.pretraining.most_central", choose)
    t = trainer()
    t.pretrain_q(images(40), steps=6, batch_size=8)
    assert not torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])
    rng = torch.Generator().manual_seed(derive_seed(derive_seed(0, "pretrain_q"), "compared"))
    order = torch.randperm(40, generator=rng)
    with torch.no_grad():
        q = t.model.eval().forward_q(images(40)[order].to(DEVICE))[:, LATENT.output_slices["digit"]].softmax(1)
    torch.testing.assert_close(q, heads[1])


def test_the_categories_become_kinds_of_the_images():
    kinds = images(4)
    x = (kinds.repeat(50, 1, 1, 1) + 0.1 * images(200, seed=1)).clamp(-1, 1)
    t = make_trainer(regularizers=None, tap="1")
    t.pretrain_q(x, steps=150, batch_size=64)
    categories = t.model.encode(x)["digit"].mode.argmax(1).reshape(50, 4)
    assert (categories == categories[0]).float().mean() > 0.95
    assert len(set(categories[0].tolist())) == 4


def test_an_error_and_an_interrupt_leave_q_as_it_was():
    class Stops(RealImageInformation):
        calls = 0

        def __call__(self, *arguments):
            self.calls += 1
            if self.calls == 7:
                raise KeyboardInterrupt
            return super().__call__(*arguments)

    class Nan(RealImageInformation):
        def __call__(self, *arguments):
            return super().__call__(*arguments) * float("nan")

    for term, error in ((Stops("digit"), KeyboardInterrupt), (Nan("digit"), NonFiniteLossError)):
        t = trainer(regularizers=[term])
        before = [p.detach().clone() for p in t.model.parameters()]
        with pytest.raises(error):
            t.pretrain_q(images(40), steps=4, batch_size=8)
        assert all(map(torch.equal, before, t.model.parameters()))
        assert not any(optimizer.state for optimizer in t.optimizers.values())


def test_an_interrupt_while_the_chosen_start_is_loaded_leaves_q_as_it_was(monkeypatch):
    t = trainer()
    before = [p.detach().clone() for p in t.model.parameters()]

    def interrupt(state):
        raise KeyboardInterrupt

    monkeypatch.setattr(t.model.q, "load_state_dict", interrupt)
    with pytest.raises(KeyboardInterrupt):
        t.pretrain_q(images(40), steps=2, batch_size=8)
    assert all(map(torch.equal, before, t.model.parameters()))


REFUSED = {
    "two starts": ({"starts": 2}, ValueError, "starts must be 1, or at least 3 .*, but got 2"),
    "no step": ({"steps": 0}, ValueError, "steps must be .* but got 0"),
    "other images": ({"images": images(8, (1, 5, 5))}, ValueError, "1, 5, 5"),
    "images that are NaN": ({"images": images(8) * float("nan")}, ValueError, "must be finite"),
    "no images": ({"images": "digits"}, TypeError, "images must be a Tensor"),
}


@pytest.mark.parametrize(("changes", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(changes, error, message):
    t = trainer()
    with pytest.raises(error, match=message):
        t.pretrain_q(**{"images": images(40), "steps": 2, "batch_size": 8} | changes)


@pytest.mark.parametrize("terms", [(), [VirtualAdversarial("digit")], [RealImageInformation("digit", after=1)]])
def test_a_trainer_without_a_term_for_it_is_refused(terms):
    with pytest.raises(ValueError, match="Q is pretrained by a RealImageInformation term"):
        trainer(regularizers=terms).pretrain_q(images(40))


def test_it_comes_before_the_first_step():
    t = trainer()
    t.step(images(8))
    with pytest.raises(RuntimeError, match="before the first step, and this trainer has made 1"):
        t.pretrain_q(images(40))


def fit(t, *, steps=6, callbacks=(), **settings):
    torch.manual_seed(1)  # of dropout
    began = PretrainQ(images(40), steps=3, batch_size=8)
    t.fit(images(40), steps=steps, batch_size=8, callbacks=[began, *callbacks], progress=False, **settings)
    return began


def test_a_run_begins_with_it_and_resumes_without_it(tmp_path):
    whole, other = trainer(device="cpu"), trainer(device="cpu")
    assert fit(whole).result is not None
    with pytest.raises(KeyError):
        fit(trainer(device="cpu"), callbacks=[StopsAt(3)], checkpoints=Checkpoints(tmp_path, every=2))
    resumed = trainer(device="cpu")
    assert fit(resumed, checkpoints=tmp_path).result is None
    assert same_run(whole, resumed)
    assert fit(whole, steps=1).result is None
    torch.manual_seed(1)
    other.fit(images(40), steps=6, batch_size=8, progress=False)
    assert not same_run(whole, other)


def test_a_run_that_is_killed_in_it_begins_again(tmp_path, monkeypatch):
    whole = trainer(device="cpu")
    fit(whole)

    def fail(*_):
        raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("infogan_lib.training.pretraining.most_central", fail)
        with pytest.raises(KeyError):
            fit(trainer(device="cpu"), checkpoints=tmp_path)
    resumed = trainer(device="cpu")
    assert fit(resumed, checkpoints=tmp_path).result is not None
    assert same_run(whole, resumed)


def test_it_is_one_of_the_callbacks():
    assert ig.callbacks.PretrainQ is PretrainQ
    with pytest.raises(ValueError, match="starts must be 1, or at least 3"):
        PretrainQ(images(8), starts=2)
