"""The explorer's page through its HTTP API, without a browser."""

import asyncio
import json
import os
import socket
import urllib.error
from pathlib import Path

import pytest

from explorer_toys import ALL, GRADIO_WARNINGS, PICTURE, bare_png, request, toy
from infogan_lib.explorer import explore
from infogan_lib.explorer.security import MAX_UPLOAD_FOLDER_BYTES, MAX_UPLOADS, SecurityMiddleware
from infogan_lib.explorer.uploads import MAX_BYTES, make_room
from infogan_lib.explorer.views import MAX_SEED, NOISE_ROWS

pytestmark = GRADIO_WARNINGS


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'infogan-lib[explore]'")
    with explore(toy(ALL), port=0, open_browser=False, block=False) as running:
        yield running


def show(page, digit=1, style=(0.0, 0.0), tilt=0.0, bits=(), hand=0.0, **settings):
    settings = {"seed": 0, "noise": False, "count": 4, "across": "digit", "down": NOISE_ROWS, "steps": 4} | settings
    return call(page, "show", [None, None, digit, *style, tilt, list(bits), hand, *settings.values()])


def call(page, name, data):
    """The result of an endpoint; raises PageError with its message if it fails."""
    event = json.loads(request(f"{page.url}gradio_api/call/{name}", {"data": data})[2])["event_id"]
    answer = request(f"{page.url}gradio_api/call/{name}/{event}")[2].decode()
    lines = [line.partition(": ")[2] for line in answer.split("\n\n")[-2].splitlines()]
    if lines[0] != "complete":
        raise PageError(lines[1])
    return json.loads(lines[1])


class PageError(Exception):
    pass


def test_the_page_is_local(page):
    _, headers, body = request(page.url)
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert b"InfoGAN explorer" in body
    assert b"googleapis" not in body
    assert b'<script src="http' not in body
    with pytest.raises(urllib.error.HTTPError, match="403"):
        request(page.url, Host="example.com")
    assert page.url.startswith("http://127.0.0.1:")


def test_another_value_gives_another_picture(page):
    first, second = show(page, digit=1), show(page, digit=2)
    assert "data:image/png;base64," in first[0]
    assert first[0] != second[0]
    assert show(page, digit=1) == first


@pytest.mark.parametrize(
    "change",
    [
        {"digit": 99},
        {"digit": "1"},
        {"style": (5.0, 0.0)},
        {"style": (None, 0.0)},
        {"tilt": 1e300},
        {"bits": [7]},
        {"count": 10**9},
        {"count": -1},
        {"count": None},
        {"steps": 10**9, "across": "x"},
        {"seed": -5},
        {"seed": 10**40},
    ],
    ids=str,
)
def test_values_out_of_range_do_not_break_the_page(page, change, capsys):
    try:
        picture, message = show(page, **change)
    except PageError:
        pass
    else:
        assert 'role="alert"' in message
        assert "data:image" not in str(picture)
    assert "data:image/png" in show(page)[0]
    capsys.readouterr()


def test_too_long_requests_are_refused(page):
    host, _, port = page.url.removeprefix("http://").rstrip("/").partition(":")
    start = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(start + b"Content-Length: 999999999999\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert "data:image/png" in show(page)[0]


def upload(page, data, name="picture.png"):
    part = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = part + data + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return json.loads(request(f"{page.url}gradio_api/upload", body, **headers)[2])[0]


def encode(page, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    controls = [1, 0.0, 0.0, 0.0, [], 0.0, 0, False, 4, "digit", NOISE_ROWS, 4]
    return call(page, "encode", [file, "crop", False, None, None, *controls])


def test_an_upload_is_encoded_and_a_broken_one_is_a_message(page):
    _, _, readout, digit, *_, picture, message = encode(page, upload(page, PICTURE))
    assert "digit" in readout
    assert digit in range(4)
    assert "data:image/png" in picture
    assert message == ""
    *_, message = encode(page, upload(page, bare_png(50_000, 50_000)))
    assert "50000 x 50000 pixels" in message


def test_neither_urls_nor_local_files_are_accepted_as_uploads(page, tmp_path, capsys):
    (tmp_path / "private.png").write_bytes(PICTURE)
    for path in ("http://127.0.0.1:9/x.png", "https://example.com/x.png", "/etc/passwd", str(tmp_path / "private.png")):
        with pytest.raises(PageError, match="this file was not uploaded; choose a file on the page"):
            encode(page, path)
        with pytest.raises(urllib.error.HTTPError, match="40[0-9]"):
            request(f"{page.url}gradio_api/file={path}")
    assert capsys.readouterr() == ("", "")


def test_a_body_longer_than_the_limit_is_cut_off():
    received = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            received.append(len(message["body"]))

    async def receive():
        return {"type": "http.request", "body": bytes(40), "more_body": True}

    async def send(message):
        raise AssertionError(message)

    scope = {"type": "http", "headers": [(b"host", b"localhost:1"), (b"transfer-encoding", b"chunked")]}
    with pytest.raises(StopIteration):
        SecurityMiddleware(app, max_request_bytes=100)(scope, receive, send).__await__().send(None)
    assert received == [40, 40]


def test_seeds_are_integers_that_javascript_represents_exactly():
    assert MAX_SEED < 2**53


def status_of(headers, *, method="POST", path="/gradio_api/upload", kind="http"):
    """The status with which the middleware answers a request, 200 where it lets it through."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    pairs = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost:7860", **headers}.items()]
    scope = {"type": kind, "method": method, "path": path, "headers": pairs}
    asyncio.run(SecurityMiddleware(app)(scope, None, send))
    return sent[0].get("status", sent[0]["type"])


OWN = {"Origin": "http://localhost:7860"}
ELSEWHERE = ["http://evil.com", "null", "http://localhost:1", "http://127.0.0.1:7860", "https://localhost:7860", ""]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("origin", ELSEWHERE)
def test_a_request_from_another_origin_is_refused(origin, method):
    assert status_of({"Origin": origin}, method=method) == 403
    assert status_of(OWN, method=method) == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_a_browser_calls_foreign_is_refused(site):
    assert status_of({"Sec-Fetch-Site": site}) == 403
    assert status_of({"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}) == 403
    assert status_of({"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}, method="GET", path="/config") == 403
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    assert status_of(link, method="GET", path="/") == 200, "a link to the page may be followed"
    for own in ("same-origin", "none"):
        assert status_of({"Sec-Fetch-Site": own}) == 200


def test_a_host_has_a_number_for_its_port_and_no_web_socket_is_opened():
    assert status_of({"Host": "127.0.0.1:evil.com"}) == 403
    assert status_of({"Host": "127.0.0.1:80:90"}) == 403
    assert status_of({}, kind="websocket") == "websocket.close"


def test_no_more_uploads_at_once_than_fit_into_the_folder(tmp_path):
    running, statuses = asyncio.Event(), []

    async def app(scope, receive, send):
        await running.wait()

    async def send(message):
        statuses.append(message.get("status"))

    async def many():
        scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": [(b"host", b"localhost")]}
        guarded = SecurityMiddleware(app, upload_folder=tmp_path)
        uploads = [asyncio.ensure_future(guarded(scope, None, send)) for _ in range(MAX_UPLOADS + 2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.set()
        await asyncio.gather(*uploads)
        await guarded(scope, None, send)

    asyncio.run(many())
    assert [status for status in statuses if status] == [503, 503]
    assert MAX_UPLOAD_FOLDER_BYTES >= (MAX_UPLOADS + 1) * MAX_BYTES


def test_the_oldest_uploads_make_room_for_new_ones(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a.png").write_bytes(bytes(100))
        os.utime(tmp_path / f"{number}" / "a.png", (number, number))
    make_room(tmp_path, 500)
    assert len(list(tmp_path.glob("*/a.png"))) == 5
    make_room(tmp_path, 250)
    assert sorted(path.parent.name for path in tmp_path.glob("*/a.png")) == ["3", "4"]


def test_the_page_answers_no_other_page(page):
    own = page.url.rstrip("/")
    assert request(page.url, Origin=own)[0] == 200
    for url in (page.url, f"{page.url}config", f"{page.url}gradio_api/info"):
        with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
            request(url, Origin="http://localhost:1")
        with refusal.value:
            assert "access-control-allow-origin" not in {name.lower() for name in refusal.value.headers}
    for path in ("openapi.json", "gradio_api/openapi.json"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
            request(page.url + path)
        refusal.value.close()


@pytest.mark.parametrize("data", [[], [1], ["<b>"] * 14, [None] * 400, {"a": 1}, "text", None, [[[]]] * 14], ids=repr)
def test_a_malformed_call_prints_nothing(page, data, capfd):
    for name in ("show", "encode"):
        try:
            call(page, name, data)
        except urllib.error.HTTPError as error:
            error.close()
        except PageError:
            pass
    assert capfd.readouterr() == ("", "")


def test_uploads_are_kept_in_a_folder_that_is_removed_with_the_page():
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'infogan-lib[explore]'")
    with explore(toy(ALL), port=0, open_browser=False, block=False) as running:
        file = Path(upload(running, PICTURE))
        assert file.exists()
        folder = next(parent for parent in file.parents if parent.name.startswith("infogan-explorer-"))
        assert encode(running, str(file))[-1] == ""
        other = explore(toy(ALL), port=0, open_browser=False, block=False)
        with other, pytest.raises(PageError, match="this file was not uploaded"):
            encode(other, str(file))
        assert file.exists()
    assert not folder.exists()
