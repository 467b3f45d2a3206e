"""Typical slips: the error names what is meant."""

from dataclasses import replace
from inspect import signature

import pytest
import torch

from infogan_lib import CheckpointError, Checkpoints, Engine, InfoGAN, InfoGANTrainer, LinearDecay, Optimizers
from infogan_lib.callbacks import CollapseMonitor, EarlyStopping, JSONLLogger
from infogan_lib.data import Translation
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def of_trainer(**settings):
    InfoGANTrainer(dense_generator(), dense_discriminator(), LATENT, **settings)


def of_fit(*positional, **settings):
    make_trainer().fit(images(16), *positional, **settings)


SLIPS = [
    (lambda: of_trainer(lr=1e-3), r"InfoGANTrainer got .* 'lr'; .* optimizers=Optimizers\(g=1e-3, d=5e-4\)"),
    (lambda: of_trainer(lr_g=1e-3), r"optimizers=Optimizers\(g="),
    (lambda: of_trainer(betas=(0.5, 0.9)), r"optimizers=Optimizers\(g="),
    (lambda: of_trainer(device="cpu"), r"'device'; it is in engine=Engine\(device=...\)"),
    (lambda: of_trainer(tap="2"), "'tap'; it is an argument of InfoGAN"),
    (lambda: of_trainer(epochs=2), "'epochs'; it is an argument of fit"),
    (lambda: of_trainer(compile=True), r"'compile'; it is in engine=Engine\(compile=...\)"),
    (lambda: of_trainer(q=1e-3), r"'q'; .* optimizers=Optimizers\(g="),
    (lambda: of_trainer(checkpoints="runs/a"), "'checkpoints'; it is an argument of fit"),
    (lambda: Optimizers(lr=1e-3), "Optimizers got .* 'lr'; the rates are g=1e-3, d=5e-4 and q="),
    (lambda: Optimizers(beta=(0.5, 0.9)), "Optimizers got .* 'beta'; did you mean betas=?"),
    (lambda: Engine(amp=True), r"Engine got .* 'amp'; did you mean precision=\"bf16\"\?"),
    (lambda: Engine(zzz=1), "'zzz'; there are 'device', .* and 'graph'$"),
    (lambda: Checkpoints(path="runs/a"), "Checkpoints got .* 'path'; did you mean folder=?"),
    (lambda: Checkpoints("runs/a", save_every=5), "did you mean every=?"),
    (lambda: LinearDecay(total_steps=5), "LinearDecay got .* 'total_steps'; did you mean steps=?"),
    (lambda: EarlyStopping(monitor="loss/d", mode="min"), "EarlyStopping got .* 'monitor'; did you mean metric=?"),
    (lambda: of_trainer(loss="hinge"), r"adversarial=, such as Hinge\(\)"),
    (lambda: of_trainer(regularisers=()), "did you mean regularizers=?"),
    (lambda: of_trainer(zzz=1), "'zzz'; there are 'generator', 'discriminator', .* and 'seed'$"),
    (lambda: of_trainer(adversarial="hinge"), r"got 'hinge' \(str\); did you mean Hinge\(\)\?"),
    (lambda: of_trainer(adversarial="HingeLoss"), r"did you mean Hinge\(\)\?"),
    (lambda: of_trainer(n_critic=5), "did you mean d_steps=?"),
    (lambda: of_trainer(ema=0.9), "did you mean ema_decay=?"),
    (lambda: of_trainer(num_epochs=3), "'num_epochs'; epochs= is an argument of fit"),
    (lambda: of_trainer(gradient_penalty=10.0), r"regularizers=\[GradientPenalty\(\)\]"),
    (lambda: of_trainer(optimizers=1e-3), r"write Optimizers\(g=0.001, d=0.001\)"),
    (lambda: of_trainer(optimizers=torch.optim.Adam), r"write Optimizers\(g=..., d=...\)"),
    (lambda: of_trainer(engine="cuda"), r"Engine\(\"cpu\", precision=\"bf16\"\)"),
    (lambda: of_trainer(augment=Translation), r"augment .*did you mean Translation\(...\)"),
    (lambda: of_fit(shuffle=True), "shuffled in every epoch"),
    (lambda: of_fit(run_dir="a"), 'checkpoints="runs/a"'),
    (lambda: of_trainer(adversarial="wgan-gp"), r"did you mean Wasserstein\(\)"),
    (lambda: of_trainer(adversarial="wgan"), r"did you mean Wasserstein\(\)\?"),
    (lambda: of_trainer(adversarial="non-saturating"), r"did you mean NonSaturating\(\)\?"),
    (lambda: of_trainer(adversarial="least_squares"), r"did you mean LeastSquares\(\)\?"),
    (lambda: of_trainer(adversarial="zzz"), "there are 'Hinge', 'LeastSquares', "),
    (lambda: of_fit(20), r"got 20 \(int\) beside it; write fit\(data, epochs=20\) or fit\(data, steps=20\)"),
    (lambda: of_fit(torch.zeros(16)), r"write fit\(data, epochs=20\)"),
    (lambda: of_fit(torch.zeros(16)), r"for the labels of a Label code data is \(images, labels\)"),
    (lambda: of_fit(num_epochs=20), "fit got .* 'num_epochs'; did you mean epochs=?"),
    (lambda: of_fit(epochs=1, batchsize=8), "did you mean batch_size=?"),
    (lambda: of_fit(epochs=1, lr=1e-3), r"Optimizers\(g=1e-3, d=5e-4\) of InfoGANTrainer"),
    (lambda: of_fit(epochs=1, callbacks=CollapseMonitor), r"got a class; did you mean \[CollapseMonitor\(\)\]\?"),
    (lambda: of_fit(epochs=1, callbacks=JSONLLogger("x")), r"one by itself; give \[JSONLLogger\(...\)\]"),
    (lambda: of_fit(epochs=1, callbacks=[CollapseMonitor]), r"did you mean CollapseMonitor\(\)\?"),
]


@pytest.mark.parametrize(("slip", "message"), SLIPS)
def test_the_error_names_what_is_meant(slip, message):
    with pytest.raises(TypeError, match=message):
        slip()


@pytest.mark.parametrize("home", [InfoGAN, Engine, Optimizers, InfoGANTrainer.fit])
def test_every_argument_of_another_object_is_named_as_such(home):
    others = signature(home).parameters.keys() - signature(InfoGANTrainer).parameters - {"self", "positional", "data"}
    assert others
    for name in others:
        with pytest.raises(TypeError, match=f"{name}'; .*(argument of|are in|is in) (InfoGAN|engine|optimizers|fit)"):
            of_trainer(**{name: None})


def test_settings_keep_their_signatures():
    assert [*signature(EarlyStopping).parameters] == ["metric", "mode", "patience", "min_delta", "every"]
    assert replace(Engine("cpu"), compile=True) == Engine("cpu", compile=True)
    with pytest.raises(TypeError, match="missing"):
        EarlyStopping("loss/d")


def test_a_cell_that_is_run_again_with_another_rate_is_shown_the_way(tmp_path):
    def cell(**settings):
        make_trainer(**settings).fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")

    cell()
    with pytest.raises(CheckpointError) as refusal:
        cell(lr_g=5e-4)
    message = str(refusal.value)
    assert "optimizers[1].groups[0].lr was 0.001 and is 0.0005" in message
    assert "optimizers[1] is Optimizers(g=...), optimizers[2] is Optimizers(q=...)" in message
    assert (
        f"Checkpoints(another_folder, resume={str(tmp_path / 'run' / 'checkpoints' / 'step_0000000002')!r})" in message
    )
    with pytest.raises(CheckpointError) as refusal:
        cell(seed=1)
    assert "seed was 0 and is 1" in str(refusal.value)
    assert "Checkpoints(another_folder, resume=" not in str(refusal.value)
