"""Manifests made to do harm, and what is no file: each is a CheckpointError."""

import json
import os
import socket
import sys

import pytest
from forged import assert_refused, forge, honest, to_json


def nested_json():
    return "[" * 100_000 + "]" * 100_000


GOOD = {"kind": "checkpoint", "format": 2, "metadata": {}, "state": {"bytes": 10, "sha256": "0" * 64}}
MANIFESTS = {
    "empty": "",
    "null": "null\n",
    "a list": "[]\n",
    "deeply nested": nested_json(),
    "nested in place": to_json(GOOD).replace("{}", '{"a": ' * 50_000 + "1" + "}" * 50_000),
    "a huge number": '{"state": ' + "9" * 100_000 + "}\n",
    "longer than any": json.dumps({"a": "x" * (1 << 21)}),
    "names twice": to_json(GOOD).replace('"format": 2', '"format": 2,\n "format": 2'),
    "not a number": '{"format": NaN}\n',
    "no checksum": to_json(GOOD),
    "a checksum that is wrong": to_json(GOOD | {"checksum": "0" * 64}),
}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests_that_were_not_written_here_are_refused(tmp_path, content):
    folder = forge(tmp_path / "c", honest())
    (folder / "manifest.json").write_text(content)
    assert_refused(folder, "is damaged")
    (folder / "manifest.json").write_bytes(b"\xff\xfe" + content.encode())
    assert_refused(folder, "is damaged")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "use the version that wrote it"),
        ({"kind": "model"}, "this is a model, not a checkpoint"),
        ({"metadata": []}, "has no metadata"),
        ({"state": None}, "does not name a state"),
        ({"state": {"bytes": 10}}, "does not name a state"),
        ({"state": {"bytes": "10", "sha256": "0" * 64}}, "does not name a state"),
        ({"state": {"bytes": True, "sha256": "0" * 64}}, "does not name a state"),
        ({"state": {"bytes": -1, "sha256": "0" * 64}}, "is missing"),
        ({"state": {"bytes": 10, "sha256": "../../../../etc/passwd"}}, "does not name a state"),
        ({"state": {"bytes": 10, "sha256": "/etc/passwd".ljust(64, "0")}}, "does not name a state"),
        ({"state": {"bytes": 10, "sha256": "0" * 63 + "\n"}}, "does not name a state"),
        ({"state": {"bytes": 1 << 60, "sha256": "0" * 64}}, "has at most"),
        ({"state": {"name": "../../outside.pt", "bytes": 10, "sha256": "0" * 64}}, "is missing"),
    ],
)
def test_manifests_cannot_lead_elsewhere(tmp_path, changes, message):
    (tmp_path / "outside.pt").write_bytes(honest())
    assert_refused(forge(tmp_path / "c", honest(), **changes), message)


def a_link(path, tmp_path):
    target = tmp_path / "target"
    path.rename(target)
    path.symlink_to(target)


def a_link_to_a_device(path, tmp_path):
    path.unlink()
    path.symlink_to("/dev/zero")


def a_pipe(path, tmp_path):
    path.unlink()
    os.mkfifo(path)


def a_folder(path, tmp_path):
    path.unlink()
    path.mkdir()


def a_socket(path, tmp_path):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a socket's name is short


def a_link_in_a_circle(path, tmp_path):
    path.unlink()
    path.symlink_to(path)


ON_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes and no such sockets")

PLACED = [
    a_link,
    a_link_to_a_device,
    pytest.param(a_pipe, marks=ON_UNIX),
    a_folder,
    pytest.param(a_socket, marks=ON_UNIX),
    a_link_in_a_circle,
]


@pytest.mark.parametrize("which", ["manifest.json", "state-*"])
@pytest.mark.parametrize("placed", PLACED)
def test_what_is_no_file_is_not_opened(tmp_path, placed, which, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = forge(tmp_path / "c", honest())
    placed(next(folder.glob(which)), tmp_path)
    assert_refused(folder)
