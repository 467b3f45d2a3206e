"""The server of the page: what it computes, and the requests that it refuses."""

import json
import socket
import struct
import time
import urllib.error
from urllib.parse import urlsplit

import numpy as np
import pytest

from explorer_toys import ALL, request, toy
from infogan_lib import InfoGAN
from infogan_lib.explorer import explore
from infogan_lib.explorer.server import MAX_ROWS, _Handler
from toys import dense_discriminator, dense_generator

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def model():
    return toy(ALL)


@pytest.fixture(scope="module")
def page(model):
    with explore(model, port=0, open_browser=False, block=False) as running:
        yield running


def post(page, name, values, **headers):
    return request(page.url + name, np.asarray(values, dtype=np.float32).tobytes(), **headers)[2]


def test_the_page_computes_what_the_model_does(model, page):
    latents = ALL.sample(5)
    images = model.decode(latents)
    received = np.frombuffer(post(page, "decode", latents), np.float32).reshape(images.shape)
    np.testing.assert_allclose(received, images, atol=1e-6)
    outputs = np.frombuffer(post(page, "encode", images), np.float32).reshape(5, ALL.num_outputs)
    np.testing.assert_allclose(outputs, model.q_outputs(images), atol=1e-5)
    plan = json.loads(request(page.url + "plan.json")[2])
    assert [variable["name"] for variable in plan["variables"]] == list(ALL)
    assert {"ground", "threshold", "relatives"} <= set(plan["statistics"])


def test_the_page_is_local(page):
    status, headers, body = request(page.url)
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"InfoGAN, code by code" in body
    assert b'"server": true' in body
    assert urlsplit(page.url).hostname == "127.0.0.1"
    assert f'<iframe src="{page.url}"' in page._repr_html_()


@pytest.mark.parametrize(
    "headers",
    [{"Host": "example.com"}, {"Host": "127.0.0.1:1"}, {"Origin": "https://example.com"}, {"Origin": "null"}],
    ids=str,
)
def test_requests_of_other_sites_are_refused(page, headers):
    for name in ("plan.json", "decode"):
        data = None if name == "plan.json" else np.zeros(ALL.width, np.float32).tobytes()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            request(page.url + name, data, **headers)
    own = page.url.rstrip("/")
    assert post(page, "decode", np.zeros(ALL.width), Origin=own)


@pytest.mark.parametrize(
    "data",
    [b"", b"abc", bytes(4 * ALL.width - 4), bytes(4 * ALL.width * (MAX_ROWS + 1))],
    ids=["empty", "torn", "short", "too many"],
)
def test_requests_of_another_size_are_refused(page, data):
    for name in ("decode", "encode"):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            request(page.url + name, data[: len(data) - (name == "encode")])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        request(page.url + "../../etc/passwd")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(page, "elsewhere", np.zeros(ALL.width))
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(page, "decode", np.full(ALL.width, np.nan))
    assert post(page, "decode", np.zeros(ALL.width))


def test_a_length_that_never_comes_does_not_stop_the_page(page):
    address = urlsplit(page.url)
    with socket.create_connection((address.hostname, address.port)) as slow:
        head = f"POST /decode HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {4 * ALL.width}\r\n\r\n"
        slow.sendall(head.encode())
        assert post(page, "decode", np.zeros(ALL.width))


@pytest.mark.parametrize(
    "sent",
    ["", "GET / HTTP/1.1\r\nHost: ", "POST /decode HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\nab"],
)
def test_a_request_that_is_not_sent_to_its_end_is_dropped(page, monkeypatch, sent):
    assert _Handler.timeout <= 60
    monkeypatch.setattr(_Handler, "timeout", 0.2)
    address = urlsplit(page.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as slow:
        slow.sendall(sent.format(host=address.netloc, length=4 * ALL.width).encode())
        assert slow.recv(1) == b""  # the server closes the connection


def test_a_burst_of_connections_does_not_lock_the_page_out(page):
    started, address = time.monotonic(), ("127.0.0.1", urlsplit(page.url).port)
    connections = [socket.create_connection(address, timeout=30) for _ in range(60)]
    try:
        assert request(page.url + "plan.json")[0] == 200
        assert time.monotonic() - started < 4
    finally:
        for connection in connections:
            connection.close()


def test_nothing_is_printed_of_a_browser_that_leaves(page, capsys):
    address = urlsplit(page.url)
    start = f"POST /decode HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: "
    for sent, is_reset in (
        (f"{start}{4 * ALL.width}\r\n\r\nxx", False),
        (f"GET / HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n", True),
    ):
        with socket.create_connection((address.hostname, address.port), timeout=10) as client:
            client.sendall(sent.encode())
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                client.shutdown(socket.SHUT_WR)
                assert client.recv(100) == b""
    assert post(page, "decode", np.zeros(ALL.width))  # which is served after both
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_models_that_no_page_can_show_are_refused():
    sounds = InfoGAN(dense_generator(ALL.width, (1, 8)), dense_discriminator((1, 8)), ALL)
    with pytest.raises(ValueError, match=r"the page shows images \(1 or 3, H, W\), but this model makes \(1, 8\)"):
        explore(sounds, port=0, open_browser=False, block=False)
