"""What a trainer and `fit` refuse, and how they name it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import infogan_lib as ig
from infogan_lib import losses
from toys import images
from toys import make_trainer as trainer


def byte_images(n):
    return torch.zeros(n, 1, 4, 4, dtype=torch.uint8)


REFUSALS = [
    (lambda: trainer().fit(images(8)), ValueError, "give either epochs or steps"),
    (lambda: trainer().fit(images(8), epochs=1, steps=1), ValueError, "give either epochs or steps"),
    (lambda: trainer().fit(images(8), epochs=0), ValueError, "epochs must be a whole number of at least 1"),
    (lambda: trainer().fit(images(8), steps=1, batch_size=0), ValueError, "batch_size must be a whole number"),
    (lambda: trainer().fit(images(8)[:0], steps=1), ValueError, "data is empty"),
    (
        lambda: trainer().fit(images(8), steps=1),
        ValueError,
        "8 images, fewer than one batch of 128; give batch_size=8",
    ),
    (lambda: trainer().fit("mnist", steps=1), TypeError, "data must be a Tensor of images.*but got 'mnist'"),
    (lambda: trainer().fit(5, steps=1), TypeError, "data must be a Tensor of images"),
    (lambda: trainer().fit({"image": images(8)}, steps=1), TypeError, "data must be a Tensor of images"),
    (lambda: trainer().fit([{"image": images(8).long()}], steps=1), TypeError, "a batch is a dict with no tensor"),
    (lambda: trainer().fit([], steps=1), ValueError, "data is empty: it gives no batches"),
    (
        lambda: trainer().fit(DataLoader(TensorDataset(images(5)), batch_size=8, drop_last=True), steps=1),
        ValueError,
        "gives no batches .with drop_last=True",
    ),
    (lambda: trainer().fit((images(8), torch.arange(8)), steps=1), TypeError, "one .images, labels. pair"),
    (lambda: trainer().fit(list(images(8)), steps=1), ValueError, "this is one image"),
    (lambda: trainer().fit(iter(images(16).split(8)), epochs=2), ValueError, "used up cannot begin again"),
    (
        lambda: trainer().fit(torch.zeros(8, 4, 4), steps=1, batch_size=8),
        ValueError,
        r"images of shape \(1, 4, 4\), but the data has \(4, 4\); add the channel with images.unsqueeze\(1\)",
    ),
    (
        lambda: trainer().fit(torch.zeros(8, 3, 4, 4), steps=1, batch_size=8),
        ValueError,
        r"the data has \(3, 4, 4\)",
    ),
    (lambda: trainer().fit(images(8) * float("nan"), steps=1, batch_size=8), ValueError, "8 of 8 images hold NaN"),
    (lambda: trainer().fit([images(8) / 0], steps=1), ValueError, "hold NaN or infinite values"),
    (
        lambda: trainer().fit(images(8).int(), steps=1, batch_size=8),
        TypeError,
        "floats, or uint8 .* got torch.int32",
    ),
    (lambda: trainer().fit(images(8), steps=1, batch_size=1), ValueError, "BatchNorm needs 2 in each part"),
    (
        lambda: trainer(accumulation_steps=4).step(images(7)),
        ValueError,
        "with accumulation_steps=4 a step takes at least 8",
    ),
    (
        lambda: trainer().fit(images(8), steps=1, batch_size=8, callbacks=[print]),
        TypeError,
        "must be Callback objects",
    ),
    (lambda: trainer(device="gpu"), ValueError, "device must be 'auto' or a device of this machine"),
    (lambda: trainer(precision="int8"), ValueError, "precision must be one of 'fp32', 'bf16', 'fp16' and 'auto'"),
    (lambda: trainer(seed=1.5), TypeError, "seed must be a whole number"),
    (lambda: trainer(lr_g=0), ValueError, "optimizers.g must be a finite number above 0"),
    (lambda: trainer(lr_d="fast"), TypeError, "optimizers.d must be a learning rate, a torch Optimizer or a function"),
    (lambda: trainer(betas=(0.5, 1.0)), ValueError, r"betas must be two numbers in \[0, 1\)"),
    (lambda: trainer(betas=0.5), ValueError, "betas must be two numbers"),
    (lambda: trainer(ema_decay=1.0), ValueError, "ema_decay must be below 1"),
    (lambda: trainer(ema_decay=-0.1), ValueError, "ema_decay must be a finite number above 0"),
    (lambda: trainer(d_steps=0), ValueError, "d_steps must be a whole number of at least 1"),
    (lambda: trainer(g_steps=0), ValueError, "g_steps must be a whole number of at least 1"),
    (
        lambda: trainer(accumulation_steps=0),
        ValueError,
        "engine.accumulation_steps must be a whole number",
    ),
    (lambda: trainer(adversarial="hinge"), TypeError, "adversarial must be of type AdversarialLoss"),
    (lambda: trainer(adversarial=losses.Hinge), TypeError, r"did you mean Hinge\(\)"),
    (lambda: trainer(augment=3), TypeError, "augment must be a function"),
    (lambda: trainer(pixel_range=(1, 0)), ValueError, "low < high"),
    (lambda: trainer(pixel_range=5), ValueError, "pixel_range must be two finite numbers"),
    (
        lambda: trainer(information_trains=["heads"]),
        ValueError,
        "must name some of 'generator', 'q_head' and 'trunk'",
    ),
    (lambda: trainer(information_trains=[]), ValueError, "information_trains must name some of"),
    (
        lambda: trainer(q_network=nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), information_trains=["trunk"]),
        ValueError,
        "names the trunk, but Q shares no trainable layers",
    ),
    (lambda: trainer(information_trains=5), ValueError, "must name some of .* but got 5"),
    (lambda: trainer().fit(np.zeros((8, 1, 4, 4), bool), steps=1), TypeError, "images.to.torch.uint8"),
    (
        lambda: trainer().fit(DataLoader(TensorDataset(images(17)), batch_size=8), steps=1),
        ValueError,
        "last batch holds 1 of 17 images, fewer than the 2 .* drop_last=True",
    ),
    (
        lambda: trainer(information_trains=["generator"], lr_q=0.1),
        ValueError,
        "optimizers.q has nothing to train; leave it out",
    ),
    (
        lambda: trainer(betas=(0.5, 0.9), **{f"{name}_optimizer": lambda p: torch.optim.SGD(p, 0.1) for name in "gdq"}),
        ValueError,
        "betas would do nothing: no Adam is left",
    ),
    (
        lambda: trainer(regularizers=2 * [ig.regularizers.RealImageInformation("digit")]),
        ValueError,
        "two regularizers are named 'digit'",
    ),
    (lambda: trainer(g_optimizer="adam"), TypeError, "must be a learning rate, a torch Optimizer or a function"),
    (lambda: trainer(d_optimizer=lambda p: 3), TypeError, "optimizers.d must make a torch Optimizer, but made 3"),
    (
        lambda: trainer(d_optimizer=lambda p: torch.optim.SGD(p[:2], 0.1)),
        ValueError,
        "optimizers.d does not hold 4 parameters that it must train, 'discriminator.2.weight' first",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()
