"""The code of the documents runs as printed, on tiny networks."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from bring_your_own_gan import dcgan_discriminator, dcgan_generator
from custom_code import Angle
from infogan_lib import InfoGAN, LatentCode

ROOT = Path(__file__).parents[2]


def python_blocks(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def tiny_dcgan():
    return dcgan_generator(ngf=4), dcgan_discriminator(ndf=4)


def test_the_readme_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"my_dcgan": tiny_dcgan, "images": torch.rand(100, 1, 64, 64) * 2 - 1}
    first, second = python_blocks("README.md")
    exec(first.replace("epochs=20", "steps=2, batch_size=4"), names)
    assert names["model"].sample(2, digit=7).shape == (2, 1, 64, 64)
    assert len(names["trainer"].history["bound/digit"]) == 2
    loaded = InfoGAN.load("my_model", generator=dcgan_generator(ngf=4), discriminator=dcgan_discriminator(ndf=4))
    assert torch.equal(loaded.sample(2, seed=0), names["model"].sample(2, seed=0))
    exec(second.replace("epochs=20", "steps=2, batch_size=4"), names)
    assert len(names["trainer"].history["regularizer/r1"]) == 1  # every sixteenth step
    assert (tmp_path / "runs/mine/checkpoints").is_dir()


def test_bring_your_own_gan_runs_as_printed():
    generator, discriminator = tiny_dcgan()
    images = torch.rand(8, 1, 64, 64) * 2 - 1
    names = {"generator": generator, "discriminator": discriminator, "images": images, "loader": [images] * 5}
    first, second, _, compiling, third = python_blocks("docs/bring-your-own-gan.md")
    exec(first.replace("steps=2000", "steps=1, batch_size=4"), names)
    assert names["trainer"].steps == 1
    exec(second, names)
    assert names["trainer"].model is names["model"]
    exec("import torch\n" + compiling.replace("fullgraph=True", 'fullgraph=True, backend="eager"'), names)
    torch.testing.assert_close(names["logits"], names["model"].discriminate(images).logits)
    exec(third, names)
    assert names["trainer"].steps == 5
    assert "loss/g" in names["metrics"]  # the fifth update of D comes with one of G


def test_the_labs_run_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"mnist": torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8)}
    (block,) = python_blocks("docs/labs.md")
    block = block.replace("width=0.25", "width=1 / 32").replace("epochs=recipe.epochs", "steps=1")
    exec(block.replace("batch_size=recipe.batch_size", "batch_size=4"), names)
    samples = names["recipes"].load_run("runs/mine").sample(2, seed=0)
    assert torch.equal(samples, names["trainer"].model.sample(2, seed=0))


def test_the_documented_code_is_the_examples_code():
    """docs/extending.md shows the class of examples/custom_code.py, up to its comments and annotations."""
    documented = python_blocks("docs/extending.md")[0]
    names = {
        "dataclass": dataclass,
        "LatentCode": LatentCode,
        "math": math,
        "torch": torch,
        "VonMises": torch.distributions.VonMises,
        "softplus": torch.nn.functional.softplus,
    }
    exec(documented, names)
    shown, angle = names["Angle"](), Angle()
    assert (shown.width, shown.num_outputs, shown.entropy) == (angle.width, angle.num_outputs, angle.entropy)
    outputs, value = torch.randn(5, 3), torch.nn.functional.normalize(torch.randn(5, 2))
    assert torch.equal(shown.nll(outputs, value), angle.nll(outputs, value))
    assert torch.equal(shown.traverse(shown.center()), angle.traverse(angle.center()))
    torch.testing.assert_close(angle.traverse(angle.center(), steps=7).norm(dim=1), torch.ones(7))
    extreme = (torch.cartesian_prod(*[torch.tensor([-1e4, 1.0, 1e4])] * 3)).requires_grad_()
    angle.nll(extreme, value[:1].expand(27, 2)).sum().backward()
    assert extreme.grad.isfinite().all()
