"""The explorer's page in a real browser: user actions, and no request to another host."""

import base64
import io
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from infogan_lib import Bernoulli, Categorical, InfoGAN, LatentSpec, Noise, Uniform
from infogan_lib.explorer import explore
from toys import dense_discriminator, dense_generator

pytestmark = pytest.mark.slow

CHROMIUM = "/usr/bin/chromium"
pytest.importorskip("gradio", reason="gradio is not installed: pip install 'infogan-lib[explore]'")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
if shutil.which(CHROMIUM) is None:
    pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium", allow_module_level=True)

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
IMAGE, MESSAGE = "#picture img", "#message .problem"
LATENT = LatentSpec(z=Noise(5), digit=Categorical(4), style=Uniform(2), bits=Bernoulli(2))


def picture_file(size=(40, 30), kind="PNG"):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url():
    torch.manual_seed(0)
    model = InfoGAN(dense_generator(LATENT.width, (1, 8, 8)), dense_discriminator((1, 8, 8)), LATENT)
    model.set_category_names("digit", ["seven", "two", None, "one"])
    with explore(model, port=0, open_browser=False, block=False) as page:
        yield page.url


@pytest.fixture
def page(browser, url):
    """The open page. Afterwards, all requests must have gone to 127.0.0.1, and the console must have no errors."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#code-style-0")
    yield page
    page.close()
    elsewhere = [one for one in requests if urlsplit(one).scheme not in ("data", "blob")]
    assert {urlsplit(one).hostname for one in elsewhere} == {"127.0.0.1"}
    assert errors == []


def source(page):
    return page.locator(IMAGE).get_attribute("src")


def changed(page, before):
    """The picture, after waiting until it differs from `before`."""
    page.wait_for_function(
        "([at, old]) => document.querySelector(at)?.src !== old", arg=[IMAGE, before], timeout=10_000
    )
    return source(page)


def move(page, slider, value):
    page.locator(f"#{slider} input[type=range]").fill(str(value))


def upload(page, data, name="mine.png"):
    page.locator("#upload input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )


def test_codes_and_noise_move_the_picture(page, tmp_path):
    first = source(page)
    move(page, "code-style-0", 0.7)
    changed_code = changed(page, first)
    assert "style 0.7, 0" in page.locator("#picture figcaption").inner_text()
    labels = page.locator("#code-digit label").all_inner_texts()
    assert [label.strip() for label in labels] == ["one", "seven", "two", "(2)"]
    page.locator("#code-digit label", has_text="seven").click()
    chosen = changed(page, changed_code)
    assert "digit seven" in page.locator("#picture figcaption").inner_text()
    page.locator("#code-bits label").first.click()
    flipped = changed(page, chosen)
    page.locator("#new-noise").click()
    reseeded = changed(page, flipped)
    assert page.locator("#seed input").input_value() != "0"
    page.locator("#shared-noise input").click()
    alike = changed(page, reseeded)
    assert "all alike" in page.locator("#picture figcaption").inner_text()
    move(page, "count", 1)
    changed(page, alike)
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert np.asarray(Image.open(tmp_path / "page.png").convert("L")).std() > 5


def test_a_traversal_can_be_downloaded(page):
    first = source(page)
    page.get_by_role("tab", name="Traversal").click()
    noise = changed(page, first)
    page.locator("#down input").click()
    page.get_by_role("option", name="style[1]", exact=True).click()
    traversed = changed(page, noise)
    assert "digit along the columns, style[1] down the rows" in page.locator("#picture figcaption").inner_text()
    with page.expect_download() as waiting:
        page.locator("#download").click()
    download = waiting.value
    assert download.suggested_filename == "traversal.png"
    data = Path(download.path()).read_bytes()
    assert base64.b64encode(data).decode() == traversed.removeprefix("data:image/png;base64,")
    Image.open(io.BytesIO(data)).verify()
    page.locator("#down input").click()
    page.get_by_role("option", name="digit", exact=True).click()
    assert "digit runs along the columns already" in page.locator(MESSAGE).inner_text()
    assert source(page) == traversed


def test_an_upload_is_encoded_edited_and_reset(page):
    first = source(page)
    page.get_by_role("tab", name="Your picture").click()
    page.wait_for_selector("#upload input[type=file]", state="attached")
    assert "not its noise" in page.locator(".note").inner_text()
    upload(page, picture_file())
    encoded = changed(page, first)
    readout = page.locator("#readout").inner_text()
    shares = [float(share) for share in re.findall(r"([\d.]+)%\s", readout)][:4]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert re.search(r"style\[0\]\s+[+-]\d\.\d\d", readout)
    caption = page.locator("#picture figcaption").inner_text()
    assert caption.startswith("Left, your picture as the model sees it")
    slider = page.locator("#code-style-0 input[type=range]").input_value()
    assert float(slider) != 0
    checked = page.locator("#code-digit input:checked").get_attribute("value")
    other = "one" if "digit one" not in caption else "two"
    page.locator("#code-digit label", has_text=other).click()
    edited = changed(page, encoded)
    assert f"digit {other}" in page.locator("#picture figcaption").inner_text()
    page.locator("#reset").click()
    assert changed(page, edited) == encoded
    assert page.locator("#code-digit input:checked").get_attribute("value") == checked
    page.locator("#invert input").click()
    changed(page, encoded)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a known kind"),
        (picture_file()[:99], "damaged"),
        (picture_file(kind="GIF"), "GIF"),
    ],
    ids=["empty", "text", "truncated", "gif"],
)
def test_a_broken_upload_is_a_one_line_message(page, data, message):
    page.get_by_role("tab", name="Your picture").click()
    page.wait_for_selector("#upload input[type=file]", state="attached")
    upload(page, data)
    page.wait_for_selector(MESSAGE)
    message_text = page.locator(MESSAGE).inner_text()
    assert message in message_text
    assert "\n" not in message_text
    assert "Traceback" not in page.content()


def test_the_page_fits_a_phone(page, tmp_path):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("#code-style-1").scroll_into_view_if_needed()
    box = page.locator(IMAGE).bounding_box()
    assert box is not None
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 844  # in view while the codes move
    page.screenshot(path=tmp_path / "phone.png")
