"""What must hold once the blocks of a page have run, by page; `names` are those that the blocks defined."""

from pathlib import Path

import torch

from infogan_lib import InfoGAN, recipes


def readme(names):
    assert names["model"].sample(2, digit=7).shape == (2, 1, 16, 16)
    generator, discriminator = recipes.dcgan_pair(100, (1, 16, 16))
    loaded = InfoGAN.load("my_model", generator=generator, discriminator=discriminator)
    assert loaded.sample(2, seed=0).shape == (2, 1, 16, 16)


def bring_your_own_gan(names):
    assert names["returning"].q_outputs(names["images"][:8]).shape == (8, 10)
    with names["model"].tapping():
        logits, _ = names["discriminate"](names["batch_of_images"])
    torch.testing.assert_close(logits, names["model"].discriminate(names["batch_of_images"]).logits)
    assert len(names["tuned"].history["regularizer/r1"]) == 1  # every sixteenth step
    assert Path("runs/mine/checkpoints").is_dir()
    assert names["trainer"].steps == 10
    assert "loss/g" in names["metrics"]  # the tenth update of D comes with one of G


def checkpoints(names):
    assert names["model"].category_names["digit"][0] == "7"


def labs(names):
    samples = recipes.load_run("runs/mine").sample(2, seed=0)
    assert torch.equal(samples, names["trainer"].model.sample(2, seed=0))


def labels(names):
    assert names["trainer"].history["supervision/digit"].max() > 0


def evaluation(names):
    assert Path("report.html").is_file()
    assert len(names["trainer"].history["eval/accuracy/digit"]) > 0


CHECKS = {
    "README.md": readme,
    "docs/bring-your-own-gan.md": bring_your_own_gan,
    "docs/checkpoints.md": checkpoints,
    "docs/evaluation.md": evaluation,
    "docs/labels.md": labels,
    "docs/labs.md": labs,
}
