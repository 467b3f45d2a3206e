"""The explorer's command, and the run folders it opens."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from explorer_toys import finished_run, request, toy
from infogan_lib import recipes
from infogan_lib.explorer import __main__ as command
from infogan_lib.explorer import explore
from infogan_lib.recipes.runs import RunError, load_run

SRC = Path(__file__).parents[2] / "src"


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.available())
def test_runs_of_every_recipe_can_be_explored(tmp_path, name):
    model = finished_run(tmp_path, name, width=0.05)
    loaded = load_run(tmp_path)
    assert loaded.image_shape == model.image_shape
    assert torch.equal(loaded.sample(2, seed=0), model.sample(2, seed=0))
    with explore(loaded, port=0, open_browser=False, block=False) as page:
        plan = json.loads(request(page.url + "plan.json")[2])
    assert [variable["name"] for variable in plan["variables"]] == list(model.latent)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "recipe.json").unlink(), "not a finished run, as it has no recipe.json"),
        (lambda f: (f / "recipe.json").write_text("{"), r"recipe.json: cannot be read"),
        (lambda f: next((f / "model").iterdir()).unlink(), "model"),
        (lambda f: [p.write_bytes(p.read_bytes()[:-9]) for p in (f / "model").iterdir()], "model"),
    ],
)
def test_a_folder_that_is_no_run_is_a_one_line_error(tmp_path, damage, message, capsys):
    finished_run(tmp_path)
    damage(tmp_path)
    with pytest.raises(RunError, match=message) as raised:
        load_run(tmp_path)
    assert "\n" not in str(raised.value)
    with pytest.raises(SystemExit) as exit_info:
        command.main([str(tmp_path), "--no-open"])
    assert exit_info.value.code.startswith("explorer: ")
    assert str(tmp_path) in exit_info.value.code


def test_a_folder_that_may_not_be_read_is_not_taken_for_a_port(tmp_path, monkeypatch):
    def denied(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(command, "load_run", denied)
    with pytest.raises(SystemExit) as exit_info:
        command.main([str(tmp_path / "a\nb"), "--no-open"])
    assert exit_info.value.code.startswith("explorer: [Errno 13] Permission denied: ")
    assert "port" not in exit_info.value.code


def test_the_command_has_help_and_names_invalid_options(capsys):
    with pytest.raises(SystemExit) as exit_info:
        command.main(["--help"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--port", "--open", "--no-open", "run"))
    with pytest.raises(SystemExit) as exit_info:
        command.main(["nowhere", "--port", "70000"])
    assert exit_info.value.code == 2
    assert "a port is a number from 0 to 65535, but got '70000'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_info:
        command.main(["nowhere"])
    assert exit_info.value.code == "explorer: nowhere: no such folder; give the --out folder of a finished run"


def test_a_busy_port_is_named_and_closing_a_page_frees_its_port(tmp_path):
    finished_run(tmp_path)
    with explore(toy(), port=0, open_browser=False, block=False) as page:
        port = int(page.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(SystemExit) as exit_info:
            command.main([str(tmp_path), "--no-open", "--port", str(port)])
    assert exit_info.value.code.startswith(f"explorer: port {port}: Address already in use; choose another by --port")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    page.close()  # may be called more than once


@pytest.mark.slow
def test_ctrl_c_ends_the_command_without_output(tmp_path):
    finished_run(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "infogan_lib.explorer", str(tmp_path), "--no-open", "--port", "0"]
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        url = line.split(" is at ")[1].split()[0]
        assert request(url)[0] == 200
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert out == err == ""
