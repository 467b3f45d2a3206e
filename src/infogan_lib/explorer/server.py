"""The page on 127.0.0.1: nothing else is listened on, and nothing that it sends makes a browser ask another host."""

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
from infogan_lib.explorer.look import CSS, theme
from infogan_lib.explorer.page import build
from infogan_lib.explorer.uploads import MAX_BYTES
from infogan_lib.explorer.views import Explorer
from infogan_lib.model.infogan import InfoGAN

HOST = "127.0.0.1"

PORT = 7860

_MAX_REQUEST = MAX_BYTES + 2**20

_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"


def explore(model: InfoGAN, *, port: int = PORT, open_browser: bool = True, block: bool = True) -> "RunningPage":
    """Open a page in the browser for moving a model's codes by hand and reading the codes of pictures.

    Args:
        model: one that makes images (1 or 3, H, W). It is left as it is.
        port: of 127.0.0.1; 0 for any that is free.
        open_browser: whether to open the page.
        block: stay until Ctrl-C; else return at once, and the page is there until `RunningPage.close`.

    Returns:
        The page; closed already where `block` was set.

    Raises:
        ImportError: Gradio is not installed.
        TypeError, ValueError: a model without images or codes, or a port that is none.
        OSError: the port is in use.
    """
    explorer = Explorer(model)
    page = RunningPage(lambda: build(explorer), port=port)
    if open_browser:
        webbrowser.open(page.url)
    if block:
        page.wait()
    return page


class RunningPage:
    """A page that is being served, from a thread of its own; as a context it is closed at the end.

    Args:
        make: builds the page, a `gradio.Blocks`; called in that thread.
        port: of 127.0.0.1; 0 for any that is free.

    Raises:
        ValueError: no port.
        OSError: the port is in use, or may not be used.

    Attributes:
        url: where the page is.
    """

    def __init__(self, make: Callable[[], Any], *, port: int = PORT) -> None:
        if check_int("port", port, minimum=0) > 65535:
            raise ValueError(f"port must be from 0 to 65535, but got {port}")
        require()
        self._server: Any = None
        self._fault: BaseException | None = None
        self._socket = socket.socket()
        if os.name == "posix":  # elsewhere it would share a port that is in use
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
            self._socket.listen()
        except OSError:
            self._socket.close()
            raise
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._run, args=(make,), daemon=True)
        self._thread.start()
        while self._thread.is_alive() and not (self._server and self._server.started):
            self._thread.join(0.01)
        if not (self._server and self._server.started):
            self.close()
            raise self._fault or OSError(f"the page could not be served on {self.url}; try another port")

    def _run(self, make: Callable[[], Any]) -> None:
        async def serve() -> None:
            # Built while the loop runs: Gradio makes loops of its own otherwise, and leaves them open.
            self._server = _server(make())
            await self._server.serve(sockets=[self._socket])

        try:
            asyncio.run(serve())
        except BaseException as error:
            self._fault = error

    def wait(self) -> None:
        """Until Ctrl-C, which closes the page."""
        try:
            while self._thread.is_alive():
                self._thread.join(1)
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Stop serving. Nothing happens to a page that is closed already."""
        if self._server:
            self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()


class Guarded:
    """An ASGI application behind three rules: no long requests, no other host's name, no other host in its pages.

    Args:
        app: the application.
        largest: bytes of a request's body; what goes beyond is cut off.
    """

    def __init__(self, app: Any, *, largest: int = _MAX_REQUEST) -> None:
        self.app, self.largest = app, largest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").rsplit(b":", 1)[0]
        length = headers.get(b"content-length", b"0")
        if host not in (HOST.encode(), b"localhost"):
            await _refuse(send, 403, "this page answers to 127.0.0.1 only")
        elif not length.isdigit() or int(length) > self.largest:
            await _refuse(send, 413, f"a request may have {self.largest} bytes")
        else:
            await self.app(scope, self._bounded(receive), self._with_policy(send))

    def _bounded(self, receive: Any) -> Any:
        taken = 0

        async def bounded() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= self.largest else {"type": "http.disconnect"}

        return bounded

    @staticmethod
    def _with_policy(send: Any) -> Any:
        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    *message["headers"],
                    (b"content-security-policy", _POLICY),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = {**message, "headers": headers}
            await send(message)

        return with_policy


async def _refuse(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _server(blocks: Any) -> Any:
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
    known = inspect.signature(gr.mount_gradio_app).parameters
    app = fastapi.FastAPI(openapi_url=None)
    app = gr.mount_gradio_app(app, blocks, path="/", **{k: v for k, v in settings.items() if k in known})
    config = uvicorn.Config(Guarded(app), log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)
