"""The engine of the page, a browser, and a server of static files."""

import functools
import http.server
import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from export_toys import digit_model, hand_drawn
from infogan_lib.export import export_onnx
from infogan_lib.export.page import ENGINE_FILES, ENGINE_VERSION

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def engine(tmp_path_factory) -> Path:
    """onnxruntime-web's three files: from the folder in INFOGAN_ONNXRUNTIME_WEB, or from its npm package."""
    if "INFOGAN_ONNXRUNTIME_WEB" in os.environ:
        return Path(os.environ["INFOGAN_ONNXRUNTIME_WEB"])
    if shutil.which("npm") is None:
        pytest.skip("there is no npm, which fetches onnxruntime-web")
    folder = tmp_path_factory.mktemp("onnxruntime-web")
    command = ["npm", "pack", "--silent", f"onnxruntime-web@{ENGINE_VERSION}"]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if packed.returncode:
        pytest.skip(f"npm cannot fetch onnxruntime-web: {packed.stderr.strip()[-200:]}")
    with tarfile.open(folder / packed.stdout.strip()) as package:
        for name in ENGINE_FILES:
            package.extract(f"package/dist/{name}", folder, filter="data")
    return folder / "package" / "dist"


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def serve():
    """A function that serves a folder as any static host does, and returns its address."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def exported(engine, tmp_path_factory) -> Path:
    """The model of drawn digits, exported with its page and engine."""
    folder = tmp_path_factory.mktemp("exported")
    return export_onnx(digit_model(), folder, web=True, engine=engine, images=hand_drawn())
