"""Serving the page on 127.0.0.1 only, with no content that makes a browser contact another host."""

import asyncio
import inspect
import logging
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from infogan_lib._checks import check_bool, check_int, require
from infogan_lib.explorer.page import build_page
from infogan_lib.explorer.security import HOST, SecurityMiddleware
from infogan_lib.explorer.style import CSS, theme
from infogan_lib.explorer.uploads import MAX_BYTES
from infogan_lib.explorer.views import Explorer
from infogan_lib.model.infogan import InfoGAN

PORT = 7860

_log = logging.getLogger(__name__)


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
    check_bool("open_browser", open_browser)
    check_bool("block", block)
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
        self._uploads: TemporaryDirectory[str] | None = None
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
            blocks = build()
            self._uploads = _keep_uploads_apart(blocks)
            self._server = _make_server(blocks, Path(self._uploads.name))
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
        """Stop serving, and remove what was uploaded. May be called more than once."""
        if self._server:
            self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
        if self._uploads:
            self._uploads.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()


def _keep_uploads_apart(blocks: Any) -> "TemporaryDirectory[str]":
    """A folder for the uploads of this page alone, within Gradio's, as Gradio reads no files from elsewhere."""
    shared = Path(blocks.GRADIO_CACHE)
    shared.mkdir(parents=True, exist_ok=True)
    folder = TemporaryDirectory(prefix="infogan-explorer-", dir=shared, ignore_cleanup_errors=True)
    for block in blocks.blocks.values():
        block.GRADIO_CACHE = folder.name
    return folder


def _hide_tracebacks(blocks: Any) -> None:
    """Answer a call that fails with an error, without printing its inputs: whoever sends it chooses them."""
    gr, process = require(), blocks.process_api

    async def process_quietly(*args: Any, **kwargs: Any) -> Any:
        try:
            return await process(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            _log.debug("a call of the page failed", exc_info=error)
            raise gr.Error("this call failed; reload the page", print_exception=False) from None

    blocks.process_api = process_quietly


def _make_server(blocks: Any, upload_folder: Path) -> Any:
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
    _hide_tracebacks(blocks)
    app = fastapi.FastAPI(openapi_url=None)
    app = gr.mount_gradio_app(app, blocks, path="/", **{k: v for k, v in settings.items() if k in known})
    for route in app.routes:
        if hasattr(getattr(route, "app", None), "uploaded_file_dir"):
            route.app.uploaded_file_dir = str(upload_folder)
    guarded = SecurityMiddleware(app, upload_folder=upload_folder)
    config = uvicorn.Config(guarded, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)
