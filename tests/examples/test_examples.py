"""The examples as a user runs them, shortened."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise
from infogan_lib.recipes import load_run, resize_images
from mnist_quality import predictions_by_request

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd, check=True):
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=check, timeout=280)


@pytest.mark.slow
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


class Brightness(nn.Module):
    """Generates images of one brightness: c + 1 tenths for category c, but for category 3 that of category 4."""

    def forward(self, latents):
        tenths = torch.tensor([1, 2, 3, 5, 5, 6, 7, 8, 9, 10])[latents[:, 2:].argmax(1)] / 10
        return (2 * tenths - 1)[:, None, None, None].expand(-1, 1, 64, 64)


def test_samples_are_counted_by_their_predicted_digit():
    latent = LatentSpec(z=Noise(2), digit=Categorical(10))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 4), nn.LeakyReLU(0.1), nn.Linear(4, 1))
    model = InfoGAN(Brightness(), discriminator, latent)
    # Names that are not the categories' numbers.
    model.set_category_names("digit", [str(9 - category) for category in range(10)])

    def classify(pictures):
        assert pictures.shape[1:] == (1, 64, 64)
        category = (5 * pictures.mean((1, 2, 3)) + 5).round().long() - 1
        return F.one_hot(9 - category, 10)

    predictions = predictions_by_request(model, classify, seed=0)
    assert list(predictions) == list("0123456789")
    for digit, counts in predictions.items():
        drawn = 5 if digit == "6" else int(digit)  # category 3 is drawn as category 4
        assert counts == [200 if predicted == drawn else 0 for predicted in range(10)]


def test_images_are_resized_for_the_classifier():
    wide = torch.zeros(2, 1, 64, 64)
    wide[:, :, 16:48, 16:48] = 1
    small = resize_images(wide, 28)
    assert small.shape == (2, 1, 28, 28)
    assert small[0, 0, 10:18, 10:18].min() > 0.999
    assert small[0, 0, :5].max() == 0
    assert resize_images(small, 28) is small


@pytest.mark.slow
def test_the_quality_of_a_run_is_reported(tmp_path):
    run(
        ROOT / "examples/mnist.py",
        *("--recipe", "lab64-conditions", "--width", 0.05, "--steps", 2, "--device", "cpu"),
        cwd=tmp_path,
    )
    done = run(ROOT / "examples/mnist_quality.py", tmp_path / "runs/mnist", "--epochs", 1, cwd=tmp_path)
    quality = json.loads((tmp_path / "runs/mnist/quality.json").read_text())
    assert quality["classifier_accuracy"] > 0.9
    # After two steps every category looks the same: at most one digit can be as requested.
    assert quality["predictions"]
    assert all(sum(counts) == 200 for counts in quality["predictions"].values())
    assert quality["as_requested"] <= 0.15
    assert quality["digits_drawn"] <= 1
    assert f"{quality['as_requested']:.1%} are the digit that was requested" in done.stdout
    assert quality["the run's samples"]["frechet"] > 10 * quality["test images, halves"]["frechet"]


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
def test_mnist_rejects_mistakes_in_one_line(tmp_path, arguments, message):
    done = run(ROOT / "examples/mnist.py", *arguments, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def check_what_mnist_leaves(done, out: Path) -> None:
    """Check pictures, metrics, table and report of a finished run of 40 steps."""
    pictures = ["training_images", "categories", "style_0", "style_1", "curves"]
    pictures += ["fixed_category", "fixed_noise", "digits_by_name"]
    for name in pictures:
        assert matplotlib.image.imread(out / f"{name}.png").std() > 0.01, name
    metrics = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == list(range(1, 41))
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
    assert load_run(out).latent.width == 74


@pytest.mark.slow
def test_mnist_resumes_when_it_is_run_again_and_leaves_pictures_metrics_and_a_table(tmp_path):
    arguments = ("--steps", "40", "--recipe", "default", "--device", "cpu")
    program = [sys.executable, str(ROOT / "examples/mnist.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    out, pipes = tmp_path / "runs/mnist", {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(program, cwd=tmp_path, env=environment, text=True, **pipes) as first:
        while not (out / "checkpoints/step_0000000000").exists():
            assert first.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        first.terminate()
        _, message = first.communicate(timeout=60)
    assert first.returncode == 143
    reached = int(re.search(r"stopped by SIGTERM after step (\d+); saved in", message).group(1))
    assert 0 < reached < 40
    again = run(*program[1:], cwd=tmp_path)
    assert f"the run in this folder is at step {reached}: resuming" in again.stdout
    check_what_mnist_leaves(again, out)
    table = again.stdout.split("category  ")[1].split("accuracy")[0]
    finished = run(*program[1:], cwd=tmp_path)
    assert table in finished.stdout
    assert "the run in this folder is at step 40: it is complete" in finished.stdout
    other = run(*program[1:], "--seed", 1, cwd=tmp_path, check=False)
    assert other.returncode == 1
    assert re.fullmatch(r"mnist.py: .*seed was 0 and is 1.*another .* to begin a new .*\n", other.stderr)


@pytest.mark.slow
def test_an_own_gan_becomes_an_infogan(tmp_path):
    done = run(ROOT / "examples/bring_your_own_gan.py", "--steps", 2, "--batch-size", 8, cwd=tmp_path)
    assert "of 2.30 nats" in done.stdout
    assert (tmp_path / "runs/own_gan/categories.png").is_file()


@pytest.mark.slow
def test_a_code_of_your_own_is_learned(tmp_path):
    done = run(ROOT / "examples/custom_code.py", cwd=tmp_path)
    agreement = float(done.stdout.split("true angle: ")[1].split()[0])
    assert agreement > 0.9
