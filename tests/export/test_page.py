"""The exported page in a real browser: what a visitor does, and that it contacts no other host."""

import base64
import hashlib
import io
import itertools
import json
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from export_toys import STROKES, digit_model, drawn
from infogan_lib.export.page import ENGINE_FILES

pytestmark = [pytest.mark.slow, pytest.mark.cpu]
pytest.importorskip("onnxscript", reason="pip install 'infogan-lib[onnx]'")

CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const linear = x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || ["SCRIPT", "STYLE"].includes(e.tagName) || !e.checkVisibility({ visibilityProperty: true })) continue;
    const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(ground(e))];
    found.push([text.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""
"""Every text that is visible, and its contrast with what is behind it (WCAG 2.2, relative luminance)."""

NAMES = """() => [...document.querySelectorAll("input, select, button")].filter(e => e.checkVisibility())
  .map(e => [e.outerHTML, e.labels?.[0]?.innerText || e.getAttribute("aria-label") || e.innerText])"""


@pytest.fixture
def open_page(browser, serve, exported):
    """A function that opens the page. Afterwards all requests must have gone to its host, and none have failed."""
    address, opened = serve(exported), []

    def visit(width=1200, height=900, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        opened.append((page, requests, errors))
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        return page

    yield visit
    for page, requests, errors in opened:
        page.close()
        hosts = {urlsplit(one).hostname for one in requests if urlsplit(one).scheme not in ("data", "blob")}
        assert hosts == {"127.0.0.1"}
        assert errors == []


def draw(page, digit):
    """Draw a digit on the pad with the mouse, in its lower right part, and wait until it has been read."""
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    points = [(box["x"] + box["width"] * (0.3 + 0.65 * x), box["y"] + box["height"] * (0.3 + 0.65 * y))
              for x, y in STROKES[digit]]  # fmt: skip
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    wait_until_read(page)


def wait_until_read(page):
    page.wait_for_function("document.body.dataset.read")
    page.wait_for_timeout(300)
    page.wait_for_function("document.querySelector('.seen').hidden === false")


def upload(page, picture, name="mine.png"):
    file = io.BytesIO()
    picture.save(file, "PNG")
    page.evaluate("delete document.body.dataset.read")
    page.locator("#file").set_input_files({"name": name, "mimeType": "image/png", "buffer": file.getvalue()})
    wait_until_read(page)


def redrawn(page, before):
    page.wait_for_function("old => document.body.dataset.turn !== old", arg=before)
    return page.evaluate("document.body.dataset.turn")


def messages(page):
    return page.locator("#messages").inner_text()


def test_it_begins_with_the_sweep_and_its_images_are_the_models(open_page):
    page = open_page()
    assert page.locator("#rows span").all_inner_texts() == ["0", "1", "4", "7"]
    assert [float(x.replace("\N{MINUS SIGN}", "-")) for x in page.locator("#columns span").all_inner_texts()][::7] == [
        -1,
        1,
    ]
    axes = page.locator("#column-axis option").all_inner_texts()
    assert axes == ["digit", "style[0] (brightness)", "style[1]", "noise"]
    rows = np.array(page.evaluate("window.lastImages.map(row => Array.from(row))"))
    shown = torch.tensor(rows, dtype=torch.float32).reshape(32, 1, 28, 28)
    model = digit_model()
    read = model.encode(shown)
    assert read["digit"].mode.argmax(1).tolist() == [i for i in range(4) for _ in range(8)]
    bright = shown.amax((1, 2, 3)).reshape(4, 8)
    assert (bright.diff(dim=1) > 0).all()


def test_codes_noise_and_views_change_the_picture(open_page):
    page = open_page()
    turn = page.evaluate("document.body.dataset.turn")
    page.locator("input[value=samples]").check()
    turn = redrawn(page, turn)
    assert page.locator("#axes").is_hidden()
    page.locator("#codes label", has_text="7").click()
    turn = redrawn(page, turn)
    shown = torch.tensor(np.array(page.evaluate("window.lastImages.map(row => Array.from(row))")), dtype=torch.float32)
    read = digit_model().encode(shown.reshape(16, 1, 28, 28))["digit"]
    assert read.mode.argmax(1).tolist() == [3] * 16
    page.locator("#codes input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    turn = redrawn(page, turn)
    assert page.locator("#codes output").first.inner_text() == "0.01"
    page.locator("#noise").click()
    redrawn(page, turn)
    with page.expect_download() as waiting:
        page.locator("#save").click()
    with Image.open(waiting.value.path()) as saved:
        assert saved.width >= 640


def test_a_drawn_digit_is_read_as_python_reads_it(open_page):
    page = open_page()
    for digit in ("7", "4"):
        page.locator("#clear").click()
        page.evaluate("delete document.body.dataset.read")
        draw(page, digit)
        best, share = page.locator("#codes-read .bar").first.locator("span").all_inner_texts()
        assert best == digit
        assert float(share.rstrip("%")) > 80
        assert messages(page) == ""
        pixels = torch.tensor(page.evaluate("window.lastPixels")).reshape(1, 1, 28, 28)
        expected = digit_model().q_outputs(pixels)[0].numpy()
        np.testing.assert_allclose(page.evaluate("window.lastOutputs"), expected, atol=1e-4)
    page.locator("#apply").click()
    assert page.locator("#codes input[type=radio]:checked").get_attribute("value") == str(list(STROKES).index("4"))


def test_dark_ink_on_white_is_inverted_and_said_to_be(open_page):
    page = open_page()
    upload(page, drawn(STROKES["4"], size=200, ink=0))
    assert "Inverted: dark ink on light" in messages(page)
    assert page.locator("#codes-read .bar span").first.inner_text() == "4"
    assert "Unlike" not in messages(page)
    upload(page, drawn(STROKES["4"], size=200))
    assert messages(page) == ""


@pytest.mark.parametrize("kind", ["photo", "checkers", "noise"])
def test_a_picture_of_something_else_is_said_to_be(open_page, kind):
    rng = np.random.default_rng(0)
    if kind == "photo":
        small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        picture = small.resize((320, 240), Image.Resampling.BICUBIC)
    elif kind == "checkers":
        picture = Image.fromarray((np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)).resize((160, 160), 0)
    else:
        picture = Image.fromarray(rng.integers(0, 255, (60, 60), dtype=np.uint8))
    page = open_page()
    upload(page, picture)
    assert "Unlike the images that this model knows" in messages(page)


def test_a_file_that_is_no_picture_and_a_generated_image(open_page):
    page = open_page()
    page.locator("#file").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#messages .warn")
    assert "no picture that the browser can open" in messages(page)
    page.locator("#example").press("Enter")
    wait_until_read(page)
    assert messages(page) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(open_page, scheme):
    page = open_page(scheme=scheme)
    upload(page, Image.fromarray(255 - np.eye(40, dtype=np.uint8) * 200))
    assert messages(page).count("\n") >= 1
    found = page.evaluate(CONTRAST)
    assert len(found) > 25
    assert {text: ratio for text, ratio in found if ratio < 4.5} == {}


def test_on_a_phone_the_picture_stays_in_sight(open_page):
    page = open_page(width=375, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.locator("#codes input[type=range]").last.scroll_into_view_if_needed()
    page.locator("#codes input[type=range]").last.focus()
    box = page.locator("#grid").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= page.locator("#codes input[type=range]").last.bounding_box()["y"]
    assert box["width"] > 150
    draw(page, "7")
    assert page.evaluate("document.documentElement.scrollWidth") == 375


@pytest.mark.parametrize("width", [320, 390])
def test_labels_of_columns_do_not_touch_each_other(open_page, width):
    page = open_page(width=width, height=740)
    boxes = page.evaluate("""() => [...document.querySelectorAll("#columns span")].filter(e => e.checkVisibility({
      visibilityProperty: true })).map(e => { const range = document.createRange(); range.selectNodeContents(e);
        const box = range.getBoundingClientRect(); return [box.left, box.right]; })""")
    assert len(boxes) >= 4
    assert all(right + 2 < left for (_, right), (left, _) in itertools.pairwise(boxes))


def test_all_is_reached_by_the_keyboard_and_has_a_name(open_page):
    page = open_page()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = "(e => e.id || e.name)(document.activeElement)"
        reached.add(page.evaluate(focus))
    assert {"view", "row-axis", "column-axis", "code-digit", "code-style-1", "noise", "save"} <= reached
    assert {"example", "file", "fit"} <= reached
    names = page.evaluate(NAMES)
    assert len(names) > 15
    assert [html for html, name in names if not name] == []


def test_the_engine_of_a_server_is_loaded_by_its_hash(browser, serve, exported, engine, tmp_path):
    for name, hash in ENGINE_FILES.items():
        digest = hashlib.sha384((engine / name).read_bytes()).digest()
        assert hash == "sha384-" + base64.b64encode(digest).decode()
    for file in ("generator.onnx", "q.onnx", "plan.json", "index.html"):
        (tmp_path / file).write_bytes((exported / file).read_bytes())
    local = json.dumps({"base": "./engine/", "files": list(ENGINE_FILES)})
    remote = json.dumps({"base": "https://cdn.example/", "integrity": ENGINE_FILES, "files": list(ENGINE_FILES)})
    text = (tmp_path / "index.html").read_text()
    assert local in text
    (tmp_path / "index.html").write_text(text.replace(local, remote))
    for tampered in (False, True):
        page = browser.new_page()
        end = b"\n// other" if tampered else b""

        def answer(route, request, end=end):
            data = (engine / request.url.rpartition("/")[2]).read_bytes()
            route.fulfill(body=data + end, headers={"Access-Control-Allow-Origin": "*"})

        page.route("https://cdn.example/**", answer)
        page.goto(serve(tmp_path))
        if tampered:
            page.wait_for_selector("#status[role=alert]")
            assert "could not start" in page.locator("#status").inner_text()
        else:
            page.wait_for_selector("body[data-ready]", timeout=120_000)
        page.close()
