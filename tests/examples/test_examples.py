"""The examples as a user runs them, shortened, and MNIST files that are missing or damaged."""

import gzip
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bring_your_own_gan import dcgan_discriminator, dcgan_generator
from custom_code import Angle
from infogan_lib import Categorical, InfoGAN, LatentCode, LatentSpec, Noise
from infogan_lib.recipes.recipe import resized
from mnist_files import BUNDLED, DataFileError, load_mnist
from mnist_quality import asked_and_drawn

ROOT = Path(__file__).parent.parent


def run(*arguments, cwd, check=True):
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=check, timeout=280)


def test_mnist_leaves_pictures_metrics_and_a_table(tmp_path):
    done = run(ROOT / "examples/mnist.py", "--steps", 40, "--recipe", "default", "--device", "cpu", cwd=tmp_path)
    out = tmp_path / "runs" / "mnist"
    pictures = ["training_images", "categories", "style_0", "style_1", "curves"]
    pictures += ["fixed_condition", "fixed_noise", "asked_for"]
    for name in pictures:
        assert matplotlib.image.imread(out / f"{name}.png").std() > 0.01, name
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == list(range(1, 41))
    assert "step 40/40  0:00 left" in done.stdout
    table = [line for line in done.stdout.splitlines() if line.count("*") == 1 and line.split()[0].isdigit()]
    assert len(table) == 10
    counts = [[int(cell.rstrip("*")) for cell in line.split()[1:11]] for line in table]
    assert sum(map(sum, counts)) == 10_000
    accuracy = json.loads((out / "result.json").read_text())["accuracy"]
    matched = sum(int(cell.rstrip("*")) for line in table for cell in line.split() if cell.endswith("*"))
    assert accuracy == pytest.approx(matched / 10_000)
    assert f"accuracy under the best matching: {accuracy:.1%}" in done.stdout
    report = (out / "report.html").read_text()
    assert done.stdout.splitlines()[-1] == f"what was learned, on one page: {Path('runs/mnist/report.html')}"
    assert f"{accuracy:.1%} of 10,000 images are in the category matched to their label" in report
    assert "How it was trained" in report


def test_mnist_explains_itself(tmp_path):
    text = run(ROOT / "examples/mnist.py", "--help", cwd=tmp_path).stdout
    for option in (
        "--recipe",
        "--all-digits",
        "--width",
        "--epochs",
        "--steps",
        "--seed",
        "--device",
        "--precision",
        "--data",
        "--out",
    ):
        assert option in text


class Drawn(nn.Module):
    """Draws brightness: category c is made c + 1 tenths bright, and category 3 as bright as category 4."""

    def forward(self, latents):
        tenths = torch.tensor([1, 2, 3, 5, 5, 6, 7, 8, 9, 10])[latents[:, 2:].argmax(1)] / 10
        return (2 * tenths - 1)[:, None, None, None].expand(-1, 1, 64, 64)


def test_digits_drawn_are_those_that_the_classifier_reads():
    latent = LatentSpec(z=Noise(2), digit=Categorical(10))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 4), nn.LeakyReLU(0.1), nn.Linear(4, 1))
    model = InfoGAN(Drawn(), discriminator, latent)
    model.set_category_names(
        "digit", [str(9 - category) for category in range(10)]
    )  # names are not the categories' numbers

    def classify(pictures):
        assert pictures.shape[1:] == (1, 64, 64)
        category = (5 * pictures.mean((1, 2, 3)) + 5).round().long() - 1
        return F.one_hot(9 - category, 10)

    answers = asked_and_drawn(model, classify, seed=0)
    assert list(answers) == list("0123456789")
    for digit, counts in answers.items():
        drawn = 5 if digit == "6" else int(digit)  # category 3 is drawn as category 4
        assert counts == [200 if read == drawn else 0 for read in range(10)]


def test_pictures_are_brought_to_the_size_of_the_classifier():
    wide = torch.zeros(2, 1, 64, 64)
    wide[:, :, 16:48, 16:48] = 1
    small = resized(wide, 28)
    assert small.shape == (2, 1, 28, 28)
    assert small[0, 0, 10:18, 10:18].min() > 0.999
    assert small[0, 0, :5].max() == 0
    assert resized(small, 28) is small


def test_the_quality_of_a_run_is_told(tmp_path):
    run(
        ROOT / "examples/mnist.py",
        *("--recipe", "lab64-conditions", "--width", 0.05, "--steps", 2, "--device", "cpu"),
        cwd=tmp_path,
    )
    done = run(ROOT / "examples/mnist_quality.py", tmp_path / "runs/mnist", "--epochs", 1, cwd=tmp_path)
    found = json.loads((tmp_path / "runs/mnist/quality.json").read_text())
    assert found["classifier"] > 0.9
    # After two steps every category looks the same: one digit at most can be what was asked for.
    assert found["answers"]
    assert all(sum(counts) == 200 for counts in found["answers"].values())
    assert found["as_asked"] <= 0.15
    assert found["digits_drawn"] <= 1
    assert f"{found['as_asked']:.1%} are the digit that was asked for" in done.stdout
    assert found["the run's samples"]["frechet"] > 10 * found["test images, halves"]["frechet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "no file train-images-idx3-ubyte.gz or train-images-idx3-ubyte in nowhere"),
        (["--device", "toaster"], "device must be 'auto' or a device of this machine"),
        (["--steps", "0"], "--steps"),
        (["--epochs", "-1"], "--epochs"),
        (["--epochs", "1", "--steps", "1"], "not allowed with argument"),
    ],
)
def test_mnist_refuses_in_one_line(tmp_path, arguments, message):
    done = run(ROOT / "examples/mnist.py", *arguments, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_mnist_goes_on_when_it_is_run_again(tmp_path):
    program = [
        sys.executable,
        str(ROOT / "examples/mnist.py"),
        "--steps",
        "40",
        "--recipe",
        "default",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    metrics, pipes = tmp_path / "runs/mnist/metrics.jsonl", {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(program, cwd=tmp_path, env=environment, text=True, **pipes) as first:
        while not (tmp_path / "runs/mnist/checkpoints/step_0000000000").exists():
            assert first.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        first.terminate()
        _, said = first.communicate(timeout=60)
    assert first.returncode == 143
    reached = int(re.search(r"stopped by SIGTERM after step (\d+); saved in", said).group(1))
    assert 0 < reached < 40
    again = run(*program[1:], cwd=tmp_path)
    assert f"the run in this folder is at step {reached}: going on" in again.stdout
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == list(range(1, 41))
    table = again.stdout.split("category  ")[1].split("accuracy")[0]
    finished = run(*program[1:], cwd=tmp_path)
    assert table in finished.stdout
    assert "the run in this folder is at step 40: nothing is left to train" in finished.stdout
    other = run(*program[1:], "--seed", 1, cwd=tmp_path, check=False)
    assert other.returncode == 1
    assert re.fullmatch(r"mnist.py: .*seed was 0 and is 1.*another --out to begin a new one\n", other.stderr)


def test_an_own_gan_becomes_an_infogan(tmp_path):
    done = run(ROOT / "examples/bring_your_own_gan.py", "--steps", 2, "--batch-size", 8, cwd=tmp_path)
    assert "of 2.30 nats" in done.stdout
    assert (tmp_path / "runs/own_gan/categories.png").is_file()


def test_a_code_of_ones_own_is_learned(tmp_path):
    done = run(ROOT / "examples/custom_code.py", cwd=tmp_path)
    agreement = float(done.stdout.split("true angle: ")[1].split()[0])
    assert agreement > 0.9


def test_the_readmes_own_gan_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(
        b for b in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL) if "my_dcgan" in b
    )
    names = {
        "my_dcgan": lambda: (dcgan_generator(ngf=4), dcgan_discriminator(ndf=4)),
        "images": torch.rand(100, 1, 64, 64) * 2 - 1,
    }
    exec(block.replace("epochs=20", "steps=2, batch_size=4"), names)
    assert names["model"].sample(2, digit=7).shape == (2, 1, 64, 64)
    assert len(names["trainer"].history["bound/digit"]) == 2
    loaded = InfoGAN.load("my_model", generator=dcgan_generator(ngf=4), discriminator=dcgan_discriminator(ndf=4))
    assert torch.equal(loaded.sample(2, seed=0), names["model"].sample(2, seed=0))


def test_the_documented_code_is_the_examples_code():
    """docs/extending.md shows the class of examples/custom_code.py, up to its comments and annotations."""
    documented = re.search(r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.DOTALL).group(1)
    names = {
        "dataclass": dataclass,
        "LatentCode": LatentCode,
        "math": math,
        "torch": torch,
        "VonMises": torch.distributions.VonMises,
        "softplus": torch.nn.functional.softplus,
    }
    exec(documented, names)
    mine, theirs = names["Angle"](), Angle()
    assert (mine.width, mine.num_outputs, mine.entropy) == (theirs.width, theirs.num_outputs, theirs.entropy)
    raw, value = torch.randn(5, 3), torch.nn.functional.normalize(torch.randn(5, 2))
    assert torch.equal(mine.nll(raw, value), theirs.nll(raw, value))
    assert torch.equal(mine.traverse(mine.center()), theirs.traverse(theirs.center()))
    torch.testing.assert_close(theirs.traverse(theirs.center(), steps=7).norm(dim=1), torch.ones(7))
    extreme = (torch.cartesian_prod(*[torch.tensor([-1e4, 1.0, 1e4])] * 3)).requires_grad_()
    theirs.nll(extreme, value[:1].expand(27, 2)).sum().backward()
    assert extreme.grad.isfinite().all()


def test_bundled_mnist_is_mnist():
    data = load_mnist()
    assert data["train"][0].shape == (60_000, 1, 28, 28)
    assert data["test"][0].shape == (10_000, 1, 28, 28)
    assert data["train"][0].dtype == torch.uint8
    assert data["train"][1][:5].tolist() == [5, 0, 4, 1, 9]
    assert torch.bincount(data["test"][1].long()).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_raw_files_are_read_as_well(tmp_path):
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        raw = gzip.decompress((BUNDLED / f"{name}.gz").read_bytes())
        (tmp_path / name).write_bytes(raw)
        (tmp_path / name.replace("t10k", "train")).write_bytes(raw)
    assert torch.equal(load_mnist(tmp_path)["train"][0], load_mnist()["test"][0])


def damage_flip(content):
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_flip, "t10k-labels-idx1-ubyte.gz is damaged"),
        (lambda content: content[:1000], "t10k-labels-idx1-ubyte.gz is damaged"),
        (lambda content: b"", "t10k-labels-idx1-ubyte.gz is damaged"),
        (lambda content: gzip.compress(b"\0\0\x08\x03" + bytes(12)), "is no IDX file of bytes with 1 dimensions"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1]), "10007 bytes, but its header speaks of 10008"),
        (lambda content: gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab"), "10000 test images, but 2 labels"),
    ],
)
def test_damaged_files_are_named(tmp_path, damage, message):
    for path in BUNDLED.glob("*.gz"):
        shutil.copy(path, tmp_path)
    target = tmp_path / "t10k-labels-idx1-ubyte.gz"
    target.write_bytes(damage(target.read_bytes()))
    with pytest.raises(DataFileError, match=message):
        load_mnist(tmp_path)


def test_bundled_files_are_checked_by_hash(tmp_path, monkeypatch):
    for path in BUNDLED.glob("*.gz"):
        shutil.copy(path, tmp_path)
    target = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(target.read_bytes()))
    content[5000] ^= 1  # a pixel: a well-formed file that is not MNIST
    target.write_bytes(gzip.compress(bytes(content)))
    monkeypatch.setattr("mnist_files.BUNDLED", tmp_path)
    with pytest.raises(DataFileError, match="its content is not MNIST's"):
        load_mnist(tmp_path)
