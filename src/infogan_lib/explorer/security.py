"""What the page refuses: requests of other web pages, long requests, and too many uploads.

A page on 127.0.0.1 is open to every site that the user visits: a browser sends that site's requests here too. It marks
them with the headers ``Origin`` and ``Sec-Fetch-Site`` (Fetch Metadata Request Headers, W3C Working Draft), which no
script can change.
"""

from pathlib import Path
from typing import Any

from infogan_lib.explorer.uploads import MAX_BYTES, make_room

HOST = "127.0.0.1"

MAX_REQUEST_BYTES = MAX_BYTES + 2**20

MAX_UPLOADS, MAX_UPLOAD_FOLDER_BYTES = 3, 6 * MAX_REQUEST_BYTES
"""The most uploads at once, and the most bytes of all that are kept."""

_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"


class SecurityMiddleware:
    """ASGI middleware: refuses other pages, other host names and long requests, and sends a content security policy.

    Args:
        app: The application.
        upload_folder: The folder that the application keeps uploads in; None if it takes none.
        max_request_bytes: The longest body of a request; a body that turns out longer is cut off.
    """

    def __init__(
        self, app: Any, *, upload_folder: Path | None = None, max_request_bytes: int = MAX_REQUEST_BYTES
    ) -> None:
        self.app, self.max_request_bytes = app, max_request_bytes
        self._folder, self._uploads = upload_folder, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] == "websocket":  # the page opens none
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, reason = self._refusal(scope)
        if status:
            await _refuse(send, status, reason)
            return
        is_upload = scope.get("method") == "POST" and scope["path"].rstrip("/").endswith("/upload")
        self._uploads += is_upload
        try:
            if is_upload and self._folder is not None:
                make_room(self._folder, MAX_UPLOAD_FOLDER_BYTES - self._uploads * self.max_request_bytes)
            await self.app(scope, self._limit_body(receive), self._add_headers(send))
        finally:
            self._uploads -= is_upload

    def _refusal(self, scope: Any) -> tuple[int, str]:
        """The status and the reason with which a request is refused; 0 if it is not."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"")
        name, _, port = host.partition(b":")
        length = headers.get(b"content-length", b"0")
        if name not in (HOST.encode(), b"localhost") or (port and not port.isdigit()):
            return 403, "this page is served on 127.0.0.1 only"
        if headers.get(b"origin", b"http://" + host) != b"http://" + host or _is_from_elsewhere(scope, headers):
            return 403, "other web pages may not use this one; open it in a tab of its own"
        if not length.isdigit() or int(length) > self.max_request_bytes:
            return 413, f"a request may have at most {self.max_request_bytes} bytes"
        path = scope.get("path", "/").rstrip("/")
        if path.endswith("/openapi.json"):
            return 404, "this page has no description of its programming interface"
        if path.endswith("/upload") and self._uploads >= MAX_UPLOADS:
            return 503, f"{MAX_UPLOADS} files are being uploaded already; try again when they are done"
        return 0, ""

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


def _is_from_elsewhere(scope: Any, headers: Any) -> bool:
    """Whether another page sent a request, other than a link to this page that the user has followed."""
    if headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin"):
        return False
    return scope.get("method") not in ("GET", "HEAD") or headers.get(b"sec-fetch-mode") != b"navigate"
