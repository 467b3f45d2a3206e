"""The trainer: data of every kind, optimisers, streams of randomness, callbacks, and what is checked beforehand."""

import io
import json
import pickle
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.data.dataset import epoch_order
from infogan_lib.data.rng import RandomStreams, derive_seed
from infogan_lib.training.callbacks import JSONLLogger, ProgressBar
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer, stream


def trainer(**changes):
    torch.manual_seed(0)
    return make_trainer(dense_generator(), dense_discriminator(), LATENT, **changes)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(images(40))


DATA = {
    "tensor": lambda: images(40),
    "bytes": lambda: torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8),
    "dataset": lambda: TensorDataset(images(40)),
    "labelled dataset": lambda: TensorDataset(images(40), torch.arange(40)),
    "iterable dataset": Stream,
    "loader": lambda: DataLoader(TensorDataset(images(40)), batch_size=8),
    "labelled loader": lambda: DataLoader(TensorDataset(images(40), torch.arange(40)), batch_size=8, shuffle=True),
    "list of batches": lambda: list(images(40).split(8)),
    "list of pairs": lambda: [(x, torch.zeros(8)) for x in images(40).split(8)],
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_data_of_every_kind(data):
    t = trainer()
    history = t.fit(data(), epochs=2, batch_size=8)
    assert (t.steps, t.epochs) == (10, 2)
    assert history.epochs == [5, 10]
    assert len(history["loss/d"]) == 10
    assert np.isfinite(history["loss/d"]).all()


def test_steps_that_make_a_whole_epoch_end_it():
    recorder, t = Recorder(), trainer()
    t.fit(images(40), steps=5, batch_size=8, callbacks=[recorder])
    assert (t.steps, t.epochs, t.history.epochs) == (5, 1, [5])
    assert ("epoch", 1) in recorder.calls


def test_steps_end_also_where_a_loader_gives_more_than_its_length_says():
    class Understated(list):
        def __len__(self):
            return 2

    t = trainer()
    t.fit(Understated(images(40).split(8)), steps=2)
    assert t.steps == 2


def test_steps_run_over_as_many_epochs_as_they_need():
    t = trainer()
    t.fit(images(40), steps=13, batch_size=8)
    assert (t.steps, t.epochs) == (13, 2)
    t.fit(images(40), steps=2, batch_size=8)
    assert t.steps == 15


def test_every_image_is_seen_once_in_an_epoch_and_in_another_order_in_the_next():
    seen = []
    t = trainer(augment=lambda x, rng: (seen.append(x[:, 0, 0, 0].clone()), x)[1])
    data = images(40)
    t.fit(data, epochs=2, batch_size=8)
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert torch.equal(first.sort().values, data[:, 0, 0, 0].sort().values)
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)


def test_a_tensor_and_a_dataset_are_seen_in_the_same_order():
    orders = []
    for data in (images(40), TensorDataset(images(40))):
        seen = []
        trainer(augment=lambda x, rng, seen=seen: (seen.append(x), x)[1]).fit(data, epochs=2, batch_size=8)
        orders.append(torch.cat(seen))
    assert torch.equal(*orders)


def test_bytes_are_mapped_onto_the_generators_range():
    seen = []
    t = trainer(augment=lambda x, rng: (seen.append(x), x)[1])
    t.fit(torch.tensor([0, 255], dtype=torch.uint8).repeat(8, 8).reshape(8, 1, 4, 4), steps=1, batch_size=8)
    assert sorted(seen[0].unique().tolist()) == [-1, 1]


def test_same_seed_same_run_and_the_global_generator_is_left_alone():
    runs = []
    for seed in (1, 1, 2):
        t = trainer(seed=seed)
        torch.manual_seed(1234)  # must not matter
        state = torch.get_rng_state()
        t.fit(TensorDataset(images(40)), epochs=2, batch_size=8)
        assert torch.equal(torch.get_rng_state(), state)
        runs.append(t.history["loss/g"])
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_streams_are_independent_of_each_other():
    device = torch.device("cpu")
    streams, others = (RandomStreams(3, device, ("latents", "data")) for _ in range(2))
    torch.rand(100, generator=streams["data"])
    assert torch.equal(torch.rand(4, generator=streams["latents"]), torch.rand(4, generator=others["latents"]))
    assert derive_seed(3, "latents") != derive_seed(3, "data") != derive_seed(4, "data")
    assert torch.equal(epoch_order(9, 0, 4), epoch_order(9, 0, 4))
    assert not torch.equal(epoch_order(9, 0, 4), epoch_order(9, 0, 5))


def test_augmentation_draws_from_its_own_stream():
    draws = []
    t = trainer(augment=lambda x, g: (draws.append(torch.rand(1, generator=g).item()), x)[1])
    t.fit(images(16), steps=2, batch_size=8)
    expected = torch.rand(2, generator=stream(0, "augmentation")).tolist()
    assert draws == pytest.approx(expected)


def test_adam_with_the_papers_rates_by_default():
    t = trainer(lr_q=5e-3)
    (d,), (g, q) = t._step.d_optimizers, t._step.g_optimizers
    assert [o.defaults["lr"] for o in (d, g, q)] == [2e-4, 1e-3, 5e-3]
    assert all(o.defaults["betas"] == (0.5, 0.999) and o.defaults["fused"] for o in (d, g, q))
    held = [id(p) for o in (d, g, q) for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in t.model.parameters())


def test_own_optimisers_and_factories():
    generator, discriminator, head = dense_generator(), dense_discriminator(), nn.Linear(16, 8)
    both = torch.optim.RMSprop([*generator.parameters(), *head.parameters()])
    t = make_trainer(
        generator, discriminator, LATENT, q_head=head, g_optimizer=both, d_optimizer=lambda p: torch.optim.SGD(p, 0.1)
    )
    assert t._step.g_optimizers == [both]
    assert isinstance(t._step.d_optimizers[0], torch.optim.SGD)
    t.fit(images(16), steps=1, batch_size=8)


def test_short_fits_see_all_of_the_data():
    seen = []
    t = trainer(augment=lambda x, rng: (seen.append(x), x)[1])
    for _ in range(30):
        t.fit(images(40), steps=2, batch_size=8)
    assert torch.cat(seen).flatten(1).unique(dim=0).shape[0] == 40


def test_gradients_left_by_another_loop_do_not_enter_the_first_step():
    figures = []
    for left in (False, True):
        t = trainer()
        if left:
            for p in t.model.parameters():
                p.grad = torch.full_like(p, 100.0)
        figures.append(t.step(images(8)))
    assert figures[0] == figures[1]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_runs_the_networks_in_it(precision):
    seen = set()
    t = trainer(precision=precision)
    for network in (t.model.generator, t.model.discriminator):
        network.register_forward_hook(lambda _, args, out: seen.add(out.dtype))
    t.step(images(8))
    assert seen == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert t._step._precision.scaler.is_enabled() == (precision == "fp16")


def test_an_overflow_in_float16_is_met_by_a_smaller_scale(tmp_path):
    t = trainer(precision="fp16")
    t._step._precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    before = [p.detach().clone() for p in t.model.parameters()]
    t.fit(images(8), steps=1, batch_size=8, callbacks=[JSONLLogger(tmp_path / "m.jsonl")])
    assert all(torch.equal(p, old) for p, old in zip(t.model.parameters(), before, strict=True))
    assert t._step._precision.scaler.get_scale() == 2.0**99
    line = json.loads((tmp_path / "m.jsonl").read_text())
    assert line["grad_norm/d"] is None
    assert line["loss/d"] > 0


def test_a_gradient_that_is_never_finite_stops_float16_too():
    class Bad(losses.NonSaturating):
        def real(self, logits):
            return super().real(logits) + torch.sqrt(logits * 0).mean()

    t = trainer(precision="fp16", adversarial=Bad())
    with pytest.raises(ig.NonFiniteLossError, match="gradient of the discriminator"):
        t.fit(images(64), steps=60, batch_size=16)


def test_a_float16_run_can_go_on_after_a_bad_step():
    calls = []

    class Once(losses.NonSaturating):
        def generator(self, logits):
            calls.append(1)
            return super().generator(logits) * (float("nan") if len(calls) == 1 else 1)

    t = trainer(precision="fp16", adversarial=Once())
    with pytest.raises(ig.NonFiniteLossError, match="generator's adversarial loss"):
        t.step(images(8))
    t.step(images(8))
    assert t.steps == 1


def test_figures_agree_with_a_forward_pass_of_ones_own():
    """D(x) and D(G(z)) of the weights before the step, and the gradient's norm, computed apart from the step."""
    torch.manual_seed(0)
    t = make_trainer(
        dense_generator(), dense_discriminator(norm=False), LATENT, information_trains=["generator", "q_head"]
    )
    latent = LATENT.sample(8, rng=stream(0, "latents"))
    x = images(8)
    fake = t.model.generator(latent).detach()
    real_logits, fake_logits = t.model.discriminator(x), t.model.discriminator(fake)
    loss = torch.nn.functional.softplus(-real_logits).mean() + torch.nn.functional.softplus(fake_logits).mean()
    gradients = torch.autograd.grad(loss, list(t.model.discriminator.parameters()))
    generator = [p.detach().clone() for p in t.model.generator.parameters()]
    figures = t.step(x)
    assert figures["loss/d"] == pytest.approx(loss.item(), rel=1e-5)
    assert figures["d_real"] == pytest.approx(real_logits.sigmoid().mean().item(), rel=1e-5)
    assert figures["d_fake_before"] == pytest.approx(fake_logits.sigmoid().mean().item(), rel=1e-5)
    assert figures["grad_norm/d"] == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-4)
    after = t.model.discriminator(fake)  # D is updated by now, and judges the same fakes
    assert figures["d_fake_after"] == pytest.approx(after.sigmoid().mean().item(), rel=1e-5)
    assert figures["loss/g"] == pytest.approx(torch.nn.functional.softplus(-after).mean().item(), rel=1e-5)
    assert figures["grad_norm/g"] > 0
    assert any(not torch.equal(p, old) for p, old in zip(t.model.generator.parameters(), generator, strict=True))


def test_a_second_code_leaves_the_first_ones_share_of_the_step_alone():
    """Through the trainer: Q's weights for a code move alike whether or not another code stands beside it."""
    moves = []
    for extra in ({}, {"more": ig.Categorical(3), "style": ig.Uniform(2)}):
        spec = ig.LatentSpec({"z": ig.Noise(5), "digit": ig.Categorical(4), **extra})

        class OwnColumns(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.body = nn.Linear(9, 16)

            def forward(self, z):
                if z.ndim != 2:
                    raise ValueError
                return self.body(torch.linspace(-1, 1, len(z))[:, None] * torch.ones(9))

        torch.manual_seed(1)
        head = nn.Linear(12, spec.num_outputs)
        with torch.no_grad():
            head.weight[:4] = 0.1
            head.bias[:4] = 0
        torch.manual_seed(2)
        discriminator = nn.Sequential(nn.Linear(16, 12), nn.LeakyReLU(0.1), nn.Linear(12, 1))
        t = make_trainer(
            OwnColumns(),
            discriminator,
            spec,
            q_head=head,
            information_trains=["q_head"],
            g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            d_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            q_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        )
        fixed = spec.sample(8, rng=torch.Generator().manual_seed(0))
        fixed[:, 5:9] = torch.eye(4)[torch.arange(8) % 4]
        t._draw = lambda n, fixed=fixed: fixed
        t.step(images(8, (16,)))
        moves.append(head.weight[:4].detach() - 0.1)
    assert moves[0].abs().max() > 1e-4
    torch.testing.assert_close(moves[1], moves[0], rtol=1e-5, atol=1e-8)


def test_parts_of_a_batch_are_as_equal_as_can_be():
    sizes = []
    t = trainer(accumulation_steps=4)
    t.model.discriminator.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    t.step(images(10))
    assert sizes == [3, 3, 3, 3, 2, 2, 2, 2, 3, 3, 2, 2]  # real and fake in turn, then G's


def test_images_per_second_count_the_loading():
    def slow():
        for x in images(24).split(8):
            time.sleep(0.05)
            yield x

    h = trainer().fit(slow(), steps=3)
    assert (h["images_per_second"] < 8 / 0.05).all()
    assert (h["images_per_second"] > 1).all()


def test_progress_shows_the_figures_in_a_terminal(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", shown)
    trainer().fit(images(16), epochs=1, batch_size=8, callbacks=[ProgressBar()])
    assert "2/2" in shown.getvalue()
    assert "digit" in shown.getvalue()
    assert "nats" in shown.getvalue()


def test_a_failing_callback_lets_the_others_end():
    class Fails(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            raise RuntimeError("mine")

    first = Recorder()
    with pytest.raises(RuntimeError, match="mine"):
        trainer().fit(images(8), steps=1, batch_size=8, callbacks=[first, Fails()])
    assert first.calls == [("start", 1), ("end", 0)]


def test_models_with_an_average_and_errors_can_be_pickled():
    t = trainer(ema_decay=0.9)
    t.step(images(8))
    twin = pickle.loads(pickle.dumps(t.model))
    assert torch.equal(twin.sample(2, seed=0), t.model.sample(2, seed=0))
    twin.ema_generator.update_parameters(twin.generator)
    error = pickle.loads(pickle.dumps(ig.NonFiniteLossError("loss", 3, float("nan"))))
    assert (error.term, error.step) == ("loss", 3)


def test_the_range_of_bytes_is_remembered_for_encoding():
    t = make_trainer(dense_generator(end=nn.Identity()), dense_discriminator(), LATENT)
    assert t.model.pixel_range is None
    t.fit(byte_images(8), steps=1, batch_size=8)
    assert t.model.pixel_range == (-1, 1)
    t.model.encode(byte_images(2))


class Recorder(ig.Callback):
    def __init__(self):
        self.calls = []

    def on_fit_start(self, trainer, total_steps):
        self.calls.append(("start", total_steps))

    def on_step_end(self, trainer, figures):
        self.calls.append(("step", trainer.steps))

    def on_epoch_end(self, trainer):
        self.calls.append(("epoch", trainer.epochs))

    def on_fit_end(self, trainer):
        self.calls.append(("end", trainer.steps))


def test_callbacks_are_told_in_order():
    recorder = Recorder()
    trainer().fit(images(16), epochs=2, batch_size=8, callbacks=[recorder])
    steps = [("step", 1), ("step", 2), ("epoch", 1), ("step", 3), ("step", 4), ("epoch", 2)]
    assert recorder.calls == [("start", 4), *steps, ("end", 4)]


def test_callbacks_hear_of_the_end_also_after_an_error():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        trainer().fit([images(8), images(8) * float("nan")], epochs=1, callbacks=[recorder])
    assert recorder.calls[-1] == ("end", 1)


def test_metrics_are_json_lines(tmp_path):
    t = trainer()
    for _ in range(2):
        t.fit(images(16), epochs=1, batch_size=8, callbacks=[JSONLLogger(tmp_path / "run" / "metrics.jsonl")])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(1, 0), (2, 0), (3, 1), (4, 1)]
    assert [line["loss/d"] for line in lines] == pytest.approx(t.history["loss/d"].tolist())


def test_progress_is_quiet_when_not_in_a_terminal(capsys):
    trainer().fit(images(16), epochs=1, batch_size=8, callbacks=[ProgressBar()])
    assert capsys.readouterr() == ("", "")


def test_history_keeps_figures_with_their_steps():
    t = trainer(d_steps=2)
    h = t.fit(images(40), epochs=1, batch_size=8)
    assert h.steps("loss/d").tolist() == [1, 2, 3, 4, 5]
    assert h.steps("loss/g").tolist() == [2, 4]
    assert len(h["bound/digit"]) == 2
    with pytest.raises(KeyError, match="no figure 'loss' in this history; it has 'loss/d'"):
        h["loss"]


def test_fit_trains_in_train_mode_and_callbacks_may_sample():
    class Sampler(ig.Callback):
        def on_step_end(self, trainer, figures):
            trainer.model.sample(2)
            assert all(m.training for m in trainer.model.modules())

    t = trainer()
    t.model.eval()
    t.fit(images(16), epochs=1, batch_size=8, callbacks=[Sampler()])


def test_a_step_of_ones_own_loop():
    t = trainer()
    figures = t.step((images(8), torch.zeros(8)))
    assert set(figures) >= {"loss/d", "loss/g", "loss/information", "nll/digit", "bound/style", "d_real"}
    assert t.steps == 1
    assert t.history["loss/d"].tolist() == [figures["loss/d"]]


def byte_images(n):
    return torch.zeros(n, 1, 4, 4, dtype=torch.uint8)


REFUSALS = [
    (lambda: trainer().fit(images(8)), ValueError, "give either epochs or steps"),
    (lambda: trainer().fit(images(8), epochs=1, steps=1), ValueError, "give either epochs or steps"),
    (lambda: trainer().fit(images(8), epochs=0), ValueError, "epochs must be a whole number of at least 1"),
    (lambda: trainer().fit(images(8), steps=1, batch_size=0), ValueError, "batch_size must be a whole number"),
    (lambda: trainer().fit(images(8)[:0], steps=1), ValueError, "data is empty"),
    (lambda: trainer().fit(images(8), steps=1), ValueError, "8 images, fewer than one batch of 128; give batch_size=8"),
    (lambda: trainer().fit("mnist", steps=1), TypeError, "data must be a Tensor of images.*but got 'mnist'"),
    (lambda: trainer().fit(5, steps=1), TypeError, "data must be a Tensor of images"),
    (lambda: trainer().fit({"image": images(8)}, steps=1), TypeError, "data must be a Tensor of images"),
    (lambda: trainer().fit([{"image": images(8)}], steps=1), TypeError, "a batch must be a Tensor.*got dict"),
    (lambda: trainer().fit([], steps=1), ValueError, "data is empty: it gives no batches"),
    (
        lambda: trainer().fit(DataLoader(TensorDataset(images(5)), batch_size=8, drop_last=True), steps=1),
        ValueError,
        "gives no batches .with drop_last=True",
    ),
    (lambda: trainer().fit((images(8), torch.arange(8)), steps=1), TypeError, "one .images, labels. pair"),
    (lambda: trainer().fit(list(images(8)), steps=1), ValueError, "this is one image and not a batch"),
    (
        lambda: make_trainer(
            nn.Sequential(nn.utils.spectral_norm(nn.Linear(11, 16)), nn.Unflatten(1, (1, 4, 4)), nn.Tanh()),
            dense_discriminator(),
            LATENT,
            ema_decay=0.9,
        ),
        ValueError,
        "ema_decay needs a generator that can be copied",
    ),
    (lambda: trainer().fit(iter(images(16).split(8)), epochs=2), ValueError, "used up cannot begin again"),
    (
        lambda: trainer().fit(torch.zeros(8, 4, 4), steps=1, batch_size=8),
        ValueError,
        r"images of shape \(1, 4, 4\), but the data has \(4, 4\); add the channel with images.unsqueeze\(1\)",
    ),
    (lambda: trainer().fit(torch.zeros(8, 3, 4, 4), steps=1, batch_size=8), ValueError, r"the data has \(3, 4, 4\)"),
    (lambda: trainer().fit(images(8) * float("nan"), steps=1, batch_size=8), ValueError, "8 of 8 images hold NaN"),
    (lambda: trainer().fit([images(8) / 0], steps=1), ValueError, "hold NaN or infinite values"),
    (lambda: trainer().fit(images(8).int(), steps=1, batch_size=8), TypeError, "floats, or uint8 .* got torch.int32"),
    (lambda: trainer().fit(images(8), steps=1, batch_size=1), ValueError, "BatchNorm needs 2 in each part"),
    (lambda: trainer(accumulation_steps=4).step(images(7)), ValueError, "with accumulate=4 a step takes at least 8"),
    (lambda: trainer().fit(images(8), steps=1, batch_size=8, callbacks=[print]), TypeError, "must be Callback objects"),
    (lambda: trainer(device="gpu"), ValueError, "device must be 'auto' or a device of this machine"),
    (lambda: trainer(precision="int8"), ValueError, "precision must be one of 'fp32', 'bf16' and 'fp16'"),
    (lambda: trainer(seed=1.5), TypeError, "seed must be a whole number"),
    (lambda: trainer(lr_g=0), ValueError, "lr_g must be a finite number above 0"),
    (lambda: trainer(lr_d="fast"), TypeError, "lr_d must be a finite number above 0"),
    (lambda: trainer(betas=(0.5, 1.0)), ValueError, r"betas must be two numbers in \[0, 1\)"),
    (lambda: trainer(betas=0.5), ValueError, "betas must be two numbers"),
    (lambda: trainer(ema_decay=1.0), ValueError, "ema_decay must be below 1"),
    (lambda: trainer(ema_decay=-0.1), ValueError, "ema_decay must be a finite number above 0"),
    (lambda: trainer(d_steps=0), ValueError, "d_steps must be a whole number of at least 1"),
    (lambda: trainer(g_steps=0), ValueError, "g_steps must be a whole number of at least 1"),
    (lambda: trainer(accumulation_steps=0), ValueError, "accumulate must be a whole number of at least 1"),
    (lambda: trainer(adversarial="hinge"), TypeError, "adversarial must be an AdversarialLoss"),
    (lambda: trainer(adversarial=losses.Hinge), TypeError, r"did you mean Hinge\(\)"),
    (lambda: trainer(augment=3), TypeError, "augment must be a function"),
    (lambda: trainer(pixel_range=(1, 0)), ValueError, "low < high"),
    (lambda: trainer(pixel_range=5), ValueError, "pixel_range must be two finite numbers"),
    (lambda: trainer(information_trains=["heads"]), ValueError, "must name some of 'generator', 'q_head' and 'trunk'"),
    (lambda: trainer(information_trains=[]), ValueError, "information_trains must name some of"),
    (
        lambda: trainer(q_network=nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), information_trains=["trunk"]),
        ValueError,
        "names the trunk, but Q shares no trainable layers",
    ),
    (lambda: trainer(information_trains=5), ValueError, "must name some of .* but got 5"),
    (lambda: trainer().fit(np.zeros((8, 1, 4, 4)), steps=1), TypeError, "use torch.from_numpy"),
    (
        lambda: trainer().fit(DataLoader(TensorDataset(images(17)), batch_size=8), steps=1),
        ValueError,
        "last batch holds 1 of 17 images, fewer than the 2 .* drop_last=True",
    ),
    (
        lambda: trainer(information_trains=["generator"], lr_q=0.1),
        ValueError,
        "lr_q would do nothing: Q has no Adam of its own here",
    ),
    (
        lambda: trainer(betas=(0.5, 0.9), **{f"{who}_optimizer": lambda p: torch.optim.SGD(p, 0.1) for who in "gdq"}),
        ValueError,
        "betas would do nothing: no Adam is left",
    ),
    (
        lambda: trainer(regularizers=2 * [ig.regularizers.RealImageInformation("digit")]),
        ValueError,
        "two regularizers are named 'digit'",
    ),
    (lambda: trainer(g_optimizer=3), TypeError, "g_optimizer must be a torch Optimizer or a function"),
    (lambda: trainer(d_optimizer=lambda p: 3), TypeError, "d_optimizer must make a torch Optimizer, but made 3"),
    (
        lambda: trainer(g_optimizer=lambda p: torch.optim.SGD(p, 0.1), lr_g=0.1),
        ValueError,
        "lr_g and g_optimizer were both given",
    ),
    (
        lambda: trainer(d_optimizer=lambda p: torch.optim.SGD(p[:2], 0.1)),
        ValueError,
        "d_optimizer does not hold 4 parameters that it must train, 'discriminator.2.weight' first",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_parameters_in_two_optimisers_are_refused():
    generator, discriminator = dense_generator(), dense_discriminator()
    everything = torch.optim.SGD([*generator.parameters(), *discriminator.parameters()], 0.1)
    with pytest.raises(ValueError, match="two optimisers hold 'discriminator.1.weight'"):
        make_trainer(generator, discriminator, LATENT, g_optimizer=everything)


@pytest.mark.parametrize(
    ("end", "data", "message"),
    [
        (nn.Tanh(), images(8) * 127 + 128, r"ends in a Tanh and reaches \[-1, 1\] only"),
        (nn.Tanh(), (images(8) + 1) / 2, r"scaled to \[0, 1\], use images \* 2 - 1"),
        (nn.Sigmoid(), images(8), r"ends in a Sigmoid and reaches \[0, 1\] only"),
    ],
)
def test_data_outside_the_generators_reach_is_warned_of(end, data, message):
    t = make_trainer(dense_generator(end=end), dense_discriminator(), LATENT)
    with pytest.warns(UserWarning, match=message):
        t.fit(data, steps=1, batch_size=8)
    with pytest.warns(UserWarning, match=message):
        t.fit([data], steps=1)


@pytest.mark.parametrize("end", [nn.Tanh(), nn.Sigmoid(), nn.Identity()])
def test_bytes_and_fitting_floats_are_not_warned_of(end):
    t = make_trainer(dense_generator(end=end), dense_discriminator(), LATENT)
    data = torch.randint(0, 256, (8, 1, 4, 4), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t.fit(data, steps=1, batch_size=8)
        t.fit([images(8) if not isinstance(end, nn.Sigmoid) else (images(8) + 1) / 2], steps=1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_trains_on_cuda(precision, joint):
    t = trainer(device="cuda", precision=precision, ema_decay=0.9, joint_batches=joint)
    t.fit(images(64), steps=5, batch_size=16)
    assert next(t.model.parameters()).is_cuda
    assert t.model.sample(3, digit=1, seed=0).is_cuda
    assert t.model.encode(images(3))["digit"].probs.isfinite().all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_samples_of_a_seed_are_the_same_on_both_devices():
    t = trainer(device="cuda")
    on_cuda = t.model.sample(4, seed=1).cpu()
    torch.testing.assert_close(t.model.cpu().sample(4, seed=1), on_cuda, rtol=1e-4, atol=1e-4)
