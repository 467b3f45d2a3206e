"""The command `infogan`, called as a function; as a program once, and slowly."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import infogan_lib
import sweep_toys
from infogan_lib import recipes
from infogan_lib.callbacks import Callback
from infogan_lib.checkpoints import CheckpointError
from infogan_lib.commands import fitting, info, main, reporting
from infogan_lib.commands.data import NamedData, load
from infogan_lib.experiments.records import read_run
from infogan_lib.recipes import load_run
from infogan_lib.step import NonFiniteLossError
from toys import images, make_trainer

ROOT = Path(__file__).parents[2]


def pictures_in(folder, count=6):
    """A folder of pictures of two classes."""
    from PIL import Image

    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (40, 30), (20 * i, 90, 10)).save(folder / name / f"{i}.png")


def test_info_has_versions_and_devices_and_asks_nobody(capsys, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)
    main(["info"])
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["infogan-lib"] == infogan_lib.__version__
    assert lines["torch"] == torch.__version__
    assert set(info.PACKAGES) < set(lines)
    monkeypatch.setattr(info, "PACKAGES", ("no-such-package",))
    assert info.collect()["no-such-package"] == "not installed"


def test_the_program_is_declared_and_helps(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"infogan": "infogan_lib.commands:main"}
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("train", "report", "explore", "export", "compare", "info"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "x", "--recipe", "nope"], "infogan: there is no recipe 'nope'"),
        (["train", "--out", "x", "--data", "nowhere"], "infogan: there is no folder 'nowhere'; --data is 'digits', or"),
        (["train", "--out", "x", "--device", "nope"], "infogan: .*device"),
        (["report", "nowhere"], "infogan: nowhere: no such folder"),
        (["compare", "nowhere"], "infogan: nowhere: neither a run nor a folder of runs"),
        (["explore", "nowhere"], "explorer: nowhere: no such folder"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert re.match(message, str(stopped.value.code))
    assert "\n" not in str(stopped.value.code)
    assert not list(tmp_path.iterdir())


def test_data_is_read_by_its_name(tmp_path):
    recipe = recipes.get("default", width=1 / 16)
    digits = load("digits", recipe)
    assert digits.train.shape == (1797, 1, 28, 28)
    assert digits.test_labels is not None
    pictures_in(tmp_path)
    pictures = load(str(tmp_path), recipe)
    assert (pictures.num_images, pictures.label_names) == (12, ["cats", "dogs"])
    assert pictures.test.shape == (12, 1, 28, 28)
    assert pictures.test_labels.tolist() == [0] * 6 + [1] * 6


def test_fewer_pictures_than_a_batch_are_refused_by_the_option_that_changes_it(tmp_path):
    pictures_in(tmp_path / "pictures")
    arguments = ["--data", str(tmp_path / "pictures"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    with pytest.raises(SystemExit, match="12 images, fewer than one batch of 128; give --batch-size 12 or less$"):
        main(["train", *arguments, "--width", "0.05", "--steps", "1"])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_has_the_batch_size_that_it_is_given(tmp_path):
    pictures_in(tmp_path / "pictures")
    arguments = ["--data", str(tmp_path / "pictures"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    arguments += ["--width", "0.05", "--epochs", "2"]
    main(["train", *arguments, "--batch-size", "4"])
    assert read_run(tmp_path / "run").history["loss/d"].size == 6
    with pytest.raises(SystemExit, match="batch_size"):
        main(["train", *arguments, "--batch-size", "6"])


class Closed(io.TextIOBase):
    """A pipe whose reader has gone."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_closed_stdout_ends_no_training(tmp_path, monkeypatch):
    recipe = sweep_toys.tiny()
    trainer = recipe.trainer()
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(fitting, "CollapseMonitor", ReportsAStep)
    fitting.fit_recipe(recipe, trainer, images(32), tmp_path)
    assert trainer.steps == 4


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe"])
def test_the_log_of_a_run_is_no_way_into_other_files(tmp_path, kind):
    """Archives keep links, and a run that is resumed appends to its log and cuts it."""
    other, log = tmp_path / "other", tmp_path / "run" / "metrics.jsonl"
    other.write_text("mine\n")
    log.parent.mkdir()
    {"symlink": log.symlink_to, "hard link": log.hardlink_to, "pipe": lambda _: os.mkfifo(log)}[kind](other)
    recipe = sweep_toys.tiny()
    with pytest.raises(CheckpointError, match=r"metrics.jsonl.* must be a file of its own, not a link"):
        fitting.fit_recipe(recipe, recipe.trainer(), images(32), tmp_path / "run")
    assert other.read_text() == "mine\n"
    log.unlink()
    fitting.fit_recipe(recipe, recipe.trainer(), images(32), tmp_path / "run")


class ReportsAStep(Callback):
    """A monitor that sees something at every step."""

    def __init__(self, on_symptom):
        self.on_symptom = on_symptom

    def on_step_end(self, trainer, metrics):
        self.on_symptom("a symptom")


@pytest.mark.parametrize(("package", "extra"), [("matplotlib", "viz"), ("scipy", "eval")])
def test_what_the_report_needs_is_missed_before_training(tmp_path, monkeypatch, package, extra):
    pictures_in(tmp_path / "pictures")
    monkeypatch.setitem(sys.modules, package, None)
    arguments = ["--data", str(tmp_path / "pictures"), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=rf"pip install 'infogan-lib\[{extra}\]'"):
        main(["train", *arguments, "--width", "0.1", "--steps", "1", "--device", "cpu"])
    assert not (tmp_path / "run").exists()


def test_the_help_of_train_names_the_recipes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert set(recipes.available()) <= set(re.findall(r"[\w-]+", capsys.readouterr().out))


def test_compare_writes_a_page(tmp_path, capsys):
    for seed in (0, 1):
        make_trainer(seed=seed).fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / f"{seed}")
    main(["compare", str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(tmp_path / "page.html")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert "2 runs in 1 group;" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_run_is_trained_resumed_and_reported(tmp_path, capsys):
    out = tmp_path / "run"
    train = ["train", "--out", str(out), "--width", "0.1", "--device", "cpu", "--precision", "fp32"]
    main([*train, "--steps", "2"])
    shown = capsys.readouterr().out
    assert "step 2/2" in shown
    assert shown.splitlines()[-1] == f"2 steps; what was learned, on one page: {out / 'report.html'}"
    result = json.loads((out / "result.json").read_text())
    assert f"accuracy under the best matching: {result['metrics']['accuracy']:.1%}" in shown
    assert load_run(out).latent.width == 74
    first = (out / "report.html").read_text()
    assert "What the monitor saw" in first
    assert str(tmp_path) not in first
    shutil.move(out, tmp_path / "moved")
    main(["report", str(tmp_path / "moved"), "--out", str(tmp_path / "again.html")])
    numbers = [json.loads(path.read_text()) for path in (tmp_path / "moved/report.json", tmp_path / "again.json")]
    assert numbers[0]["codes"] == numbers[1]["codes"]
    assert numbers[0]["labels"] == numbers[1]["labels"]
    assert "How it was trained" in (tmp_path / "again.html").read_text()
    main(["export", str(tmp_path / "moved"), str(tmp_path / "exported")])
    names = {path.name for path in (tmp_path / "exported").iterdir()}
    assert {"generator.onnx", "q.onnx", "plan.json", "index.html"} <= names


@pytest.mark.slow
def test_the_module_is_the_program(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "infogan_lib", "--version"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == f"infogan-lib {infogan_lib.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "infogan: the following arguments are required: COMMAND"),
        (["nope"], "infogan: argument COMMAND: invalid choice: 'nope'"),
        (["train"], "infogan train: the following arguments are required: --out"),
        *(
            (["train", "--out", "x", f"--{name}", value], f"infogan train: argument --{name}: .*{message}")
            for name, value, message in (
                ("steps", "0", "at least 1"),
                ("steps", "1.5", "expected a number"),
                ("steps", "9" * 5000, "expected a number"),
                ("steps", "1" + "0" * 20, "at most 9,999,999,999"),
                ("seed", "-1", "at least 0"),
                ("seed", "9" * 30, "at most"),
                ("width", "nan", "a finite number above 0"),
                ("width", "-1", "a finite number above 0"),
                ("width", "a\nb", "expected a number"),
                ("precision", "fp8", "invalid choice"),
                ("out", "", "the path of a file or folder"),
                ("out", "a\0b", "the path of a file or folder"),
            )
        ),
        (["report", ""], "infogan report: argument run: .*which is empty"),
        (["explore", "x", "--port", "9" * 5000], "infogan explore: argument --port: a port is a number"),
        (["compare", "x", "--out", ""], "infogan compare: argument --out: .*which is empty"),
    ],
)
def test_arguments_that_are_none_are_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr().err
    assert stopped.value.code == 2
    assert re.match(message, shown), shown
    assert shown.count("\n") == 1
    assert len(shown) < 300
    assert not list(tmp_path.iterdir())


def test_an_interrupt_and_a_run_that_diverges_end_in_no_traceback(monkeypatch):
    def raising(error):
        def run(options):
            raise error

        return run

    for error, code in (
        (KeyboardInterrupt(), 130),
        (NonFiniteLossError("loss/d", 3, 1.0), "infogan: .*"),
        (ValueError("two\nlines"), "infogan: two lines"),
    ):
        monkeypatch.setattr(info, "show", raising(error))
        with pytest.raises(SystemExit) as stopped:
            main(["info"])
        assert re.fullmatch(str(code), str(stopped.value.code))


def test_a_device_without_values_is_none(tmp_path):
    with pytest.raises(SystemExit, match="engine.device must be 'auto' or a device of this machine"):
        main(["train", "--out", str(tmp_path / "x"), "--device", "meta", "--width", "0.0625"])


def test_a_report_builds_the_networks_of_the_recipe_and_of_no_other_file(tmp_path, monkeypatch, capsys):
    recipe = recipes.get("default", width=0.1)
    recipes.save_run(tmp_path, recipe, recipe.model())
    settings = {"recipe": "default", "width": "0.3", "data": "digits"}
    (tmp_path / "result.json").write_text(json.dumps({"metrics": {}, "settings": settings}))

    def refuse(name, recipe):
        raise ValueError(f"{name} for a width of {recipe.width}")

    monkeypatch.setattr(reporting, "load", refuse)
    with pytest.raises(SystemExit, match=r"digits for a width of 0\.1"):
        main(["report", str(tmp_path)])


@pytest.mark.parametrize("data", ["/", ".", "\\\\server\\share"])
def test_a_folder_that_a_run_names_is_not_searched(tmp_path, monkeypatch, data):
    recipe = recipes.get("default", width=0.1)
    recipes.save_run(tmp_path, recipe, recipe.model())
    (tmp_path / "result.json").write_text(json.dumps({"metrics": {}, "settings": {"data": data}}))
    read = []
    monkeypatch.setattr(reporting, "load", lambda name, recipe: read.append(name))
    with pytest.raises(SystemExit, match=r"it was trained on .*; to read that folder, name it by --data"):
        main(["report", str(tmp_path)])
    assert read == []


def test_a_run_is_not_trained_on_other_data(tmp_path, monkeypatch):
    from infogan_lib.commands import training

    def load(name, recipe):
        shape = recipe.model().image_shape
        test = images(8, shape)
        return NamedData(images(128, shape).abs(), 128, test, None, None)

    monkeypatch.setattr(training, "load", load)
    monkeypatch.setattr(training, "write_report", lambda *_, **__: "page")
    train = ["train", "--out", str(tmp_path / "run"), "--width", "0.0625", "--device", "cpu", "--steps", "1"]
    main([*train, "--data", str(tmp_path / "a")])
    result = (tmp_path / "run" / "result.json").read_text()
    with pytest.raises(SystemExit, match=r"was trained with .*a\W, and is now to be .*b\W; give another out"):
        main([*train, "--data", str(tmp_path / "b")])
    assert (tmp_path / "run" / "result.json").read_text() == result
    main([*train, "--data", f"{tmp_path / 'a'}{os.sep}"])


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_path_that_is_no_text_is_printed(tmp_path, monkeypatch):
    out, written = tmp_path / os.fsdecode(b"\xff.html"), io.BytesIO()
    (tmp_path / "result.json").write_text('{"metrics": {"nmi": 0.5}}')
    stdout = io.TextIOWrapper(written, "utf-8", errors="strict")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        main(["compare", str(tmp_path), "--out", str(out)])
    stdout.flush()
    assert out.exists()
    assert written.getvalue().endswith(b"\\udcff.html\n")


def test_a_variable_that_is_not_set_is_no_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures_in(tmp_path)
    with pytest.raises(SystemExit, match="--data must be the path of a file or folder, but got '' .* empty"):
        main(["train", "--data", "", "--out", "run", "--steps", "1"])
