"""Serving the page on 127.0.0.1 only, with no content that makes a browser contact another host."""

import asyncio
import inspect
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from infogan_lib._checks import check_int, require
from infogan_lib.explorer.page import build_page
from infogan_lib.explorer.style import CSS, theme
from infogan_lib.explorer.uploads import MAX_BYTES
from infogan_lib.explorer.views import Explorer
from infogan_lib.model.infogan import InfoGAN

HOST = "127.0.0.1"

PORT = 7860

_MAX_REQUEST_BYTES = MAX_BYTES + 2**20

_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"


def explore(model: InfoGAN, *, port: int = PORT, open_browser: bool = True, block: bool = True) -> "RunningPage":
    """Open a page in the browser for changing a model's codes and encoding pictures.

    Args:
        model: A model of images (1 or 3, H, W); it is not modified.
        port: Port on 127.0.0.1; 0 for any free port.
        open_browser: Whether to open the page in the browser.
        block: Whether to wait for Ctrl-C. If False, the page is served until `RunningPage.close`.

    Returns:
        The page, already closed if `block` is True.

    Raises:
        ImportError: If Gradio is not installed.
        TypeError: If `model` is no `InfoGAN`, or `port` is no integer.
        ValueError: If the model has no images or no codes, or `port` is out of range.
        OSError: If the port is in use.
    """
    explorer = Explorer(model)
    page = RunningPage(lambda: build_page(explorer), port=port)
    if open_browser:
        webbrowser.open(page.url)
    if block:
        page.wait()
    return page


class RunningPage:
    """A page served from its own thread. As a context manager, it closes the page at the end.

    Args:
        build: Function that builds the page, a `gradio.Blocks`; called in that thread.
        port: Port on 127.0.0.1; 0 for any free port.

    Attributes:
        url: Address of the page.

    Raises:
        TypeError: If `port` is no integer.
        ValueError: If `port` is out of range.
        OSError: If the port is in use or not permitted.
    """

    def __init__(self, build: Callable[[], Any], *, port: int = PORT) -> None:
        if check_int("port", port, minimum=0) > 65535:
            raise ValueError(f"port must be from 0 to 65535, but got {port}")
        require()
        self._server: Any = None
        self._error: BaseException | None = None
        self._socket = socket.socket()
        if os.name == "posix":  # elsewhere the option would share a port that is in use
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
            self._socket.listen()
        except OSError:
            self._socket.close()
            raise
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._run, args=(build,), daemon=True)
        self._thread.start()
        while self._thread.is_alive() and not (self._server and self._server.started):
            self._thread.join(0.01)
        if not (self._server and self._server.started):
            self.close()
            raise self._error or OSError(f"the page could not be served on {self.url}; try another port")

    def _run(self, build: Callable[[], Any]) -> None:
        async def serve() -> None:
            # Built while the event loop runs: otherwise Gradio creates event loops and leaves them open.
            self._server = _make_server(build())
            await self._server.serve(sockets=[self._socket])

        try:
            asyncio.run(serve())
        except BaseException as error:
            self._error = error

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
        if self._server:
            self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()


class SecurityMiddleware:
    """ASGI middleware: refuses long requests and other host names, and sends a content security policy.

    Args:
        app: The application.
        max_request_bytes: The longest body of a request; a body that turns out longer is cut off.
    """

    def __init__(self, app: Any, *, max_request_bytes: int = _MAX_REQUEST_BYTES) -> None:
        self.app, self.max_request_bytes = app, max_request_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").rsplit(b":", 1)[0]
        length = headers.get(b"content-length", b"0")
        if host not in (HOST.encode(), b"localhost"):
            await _refuse(send, 403, "this page is served on 127.0.0.1 only")
        elif not length.isdigit() or int(length) > self.max_request_bytes:
            await _refuse(send, 413, f"a request may have at most {self.max_request_bytes} bytes")
        else:
            await self.app(scope, self._limit_body(receive), self._add_headers(send))

    def _limit_body(self, receive: Any) -> Any:
        received = 0

        async def receive_limited() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message if received <= self.max_request_bytes else {"type": "http.disconnect"}

        return receive_limited

    @staticmethod
    def _add_headers(send: Any) -> Any:
        headers = [(b"content-security-policy", _POLICY), (b"referrer-policy", b"no-referrer")]

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        return send_with_headers


async def _refuse(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _make_server(blocks: Any) -> Any:
    gr, uvicorn, fastapi = require(), require("uvicorn"), require("fastapi")
    settings: dict[str, Any] = {
        "server_name": HOST,
        "footer_links": [],
        "run_history": False,
        "show_error": False,
        "max_file_size": MAX_BYTES,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "theme": theme(),
        "css": CSS,
    }
    # Versions of Gradio differ in the settings they have.
    known = inspect.signature(gr.mount_gradio_app).parameters
    app = fastapi.FastAPI(openapi_url=None)
    app = gr.mount_gradio_app(app, blocks, path="/", **{k: v for k, v in settings.items() if k in known})
    config = uvicorn.Config(SecurityMiddleware(app), log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)
