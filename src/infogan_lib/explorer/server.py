"""Serving the page of a model on 127.0.0.1, with the model in this process.

A page on 127.0.0.1 is open to every site that the user visits: a browser sends that site's requests here too. It marks
them with the header ``Origin``, which no script can change, and a name that an attacker resolves to 127.0.0.1 is in
``Host``. Requests with others than the page's own are refused.
"""

import json
import math
import sys
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_bool, check_int, check_type
from infogan_lib.export.page import check_showable, complete_plan, page_html
from infogan_lib.export.plan import export_plan
from infogan_lib.model.infogan import InfoGAN

HOST, PORT = "127.0.0.1", 7860

MAX_ROWS = 256
"""The most latents or images in one request."""

_POLICY = "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; script-src 'unsafe-inline'; "
_POLICY += "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def explore(
    model: InfoGAN,
    *,
    port: int = PORT,
    open_browser: bool = True,
    block: bool = True,
    images: Tensor | None = None,
) -> "RunningPage":
    """Open a page in the browser for changing a model's codes and encoding pictures.

    Args:
        model: A model of images (1 or 3, H, W); it is not modified.
        port: Port on 127.0.0.1; 0 for any free port.
        open_browser: Whether to open the page in the browser.
        block: Whether to wait for Ctrl-C. If False, the page is served until `RunningPage.close`.
        images: Real images (N, *image_shape), by which the page tells pictures that are unlike them; the model's own
            samples if None.

    Returns:
        The page, already closed if `block` is True; as the last line of a notebook's cell it shows itself.

    Raises:
        TypeError: If `model` is no `InfoGAN`, or `port` is no integer.
        ValueError: If the model has no images, or `port` is out of range.
        OSError: If the port is in use.
    """
    check_type("model", model, InfoGAN)
    check_bool("open_browser", open_browser)
    check_bool("block", block)
    if check_int("port", port, minimum=0) > 65535:
        raise ValueError(f"port must be from 0 to 65535, but got {port}")
    check_showable(model, images)
    plan = export_plan(model, {})
    complete_plan(model, plan, images)
    page = RunningPage(model, json.dumps(plan, allow_nan=False).encode(), port)
    if open_browser:
        webbrowser.open(page.url)
    if block:
        page.wait()
    return page


class RunningPage:
    """A page served from its own thread. As a context manager, it closes the page at the end.

    Args:
        model: The model.
        plan: The plan that the page reads, as JSON.
        port: Port on 127.0.0.1; 0 for any free port.

    Attributes:
        url: Address of the page.

    Raises:
        OSError: If the port is in use or not permitted.
    """

    def __init__(self, model: InfoGAN, plan: bytes, port: int) -> None:
        self._server = _Server(model, plan, port)
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for Ctrl-C, then close the page."""
        try:
            while self._thread.is_alive():
                self._thread.join(1)
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Stop serving. May be called more than once."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RunningPage({self.url!r})"

    def _repr_html_(self) -> str:
        return f'<iframe src="{self.url}" width="100%" height="820" title="InfoGAN, code by code"></iframe>'


class _Server(ThreadingHTTPServer):
    """Answers for one model."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # of five, another site's burst of requests would leave none for the page

    def __init__(self, model: InfoGAN, plan: bytes, port: int) -> None:
        self.model, self.lock = model, threading.Lock()
        self.files = {"/": (page_html({"server": True}), "text/html; charset=utf-8")}
        self.files["/plan.json"] = (plan, "application/json")
        super().__init__((HOST, port), _Handler)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has left before its answer."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Any  # a `_Server`
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        if self._is_refused():
            return
        data, kind = self.server.files.get(self.path.partition("?")[0], (None, ""))
        if data is None:
            self._answer(404, b"there is no such page", "text/plain")
        else:
            self._answer(200, data, kind)

    def do_POST(self) -> None:
        """Images for latents, or Q's outputs for images, as float32 in the machine's order."""
        if self._is_refused():
            return
        model = self.server.model
        sizes = {"/decode": (model.latent.width,), "/encode": model.image_shape}
        shape, length = sizes.get(self.path), self.headers.get("Content-Length", "")
        row = 4 * math.prod(shape or (1,))
        n, rest = divmod(int(length) if length.isdecimal() and len(length) < 12 else 0, row)
        if shape is None or rest or not 1 <= n <= MAX_ROWS:
            self.close_connection = True  # its body is not read
            self._answer(400, f"1 to {MAX_ROWS} rows of {row} bytes are read".encode(), "text/plain")
            return
        body = self.rfile.read(n * row)
        if len(body) < n * row:  # whoever sent it has gone
            self.close_connection = True
            return
        values = torch.from_numpy(np.frombuffer(body, np.float32).copy()).reshape(n, *shape)
        try:
            with self.server.lock:
                results = model.decode(values) if self.path == "/decode" else model.q_outputs(values)
        except ValueError as error:
            self._answer(400, str(error)[:300].encode(), "text/plain")
            return
        self._answer(200, results.float().cpu().numpy().tobytes(), "application/octet-stream")

    def _is_refused(self) -> bool:
        """Whether the request is another site's, which is then answered with 403."""
        own = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in own and (origin is None or origin.removeprefix("http://") in own):
            return False
        self.close_connection = True
        self._answer(403, b"this page answers its own requests only", "text/plain")
        return True

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(data)), "Content-Security-Policy": _POLICY}
        for name, value in (headers | {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: stderr is the program's."""
