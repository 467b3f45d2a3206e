"""The explorer in a real browser: every kind of control, in color, with the model in this process."""

import io
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from explorer_toys import ALL, toy
from infogan_lib.explorer import explore

pytestmark = [pytest.mark.slow, pytest.mark.cpu]
CHROMIUM = "/usr/bin/chromium"
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
if shutil.which(CHROMIUM) is None:
    pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium", allow_module_level=True)


def turned(page, before):
    page.wait_for_selector(f"body:not([data-turn='{before}'])")  # the page's policy allows no functions of a test
    return page.evaluate("document.body.dataset.turn")


def test_every_control_changes_the_picture_and_a_file_is_read():
    model = toy(ALL, shape=(3, 8, 8))
    model.set_category_names("digit", ["<b>seven</b>", "two", None, "one"])
    requests, errors = [], []
    with (
        explore(model, port=0, open_browser=False, block=False) as running,
        playwright.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(running.url)
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        assert page.locator("#rows span").all_inner_texts() == ["<b>seven</b>", "one", "two", "(2)"]
        turn = page.evaluate("document.body.dataset.turn")
        for control in ("code-style-0", "code-style-1", "code-tilt-0", "code-hand-0"):
            page.locator(f"#{control}").press("ArrowRight")
            turn = turned(page, turn)
        page.locator("#codes input[type=checkbox]").first.check()
        turn = turned(page, turn)
        page.locator("input[value=samples]").check()
        turn = turned(page, turn)
        page.locator("#codes label", has_text="two").click()
        turn = turned(page, turn)
        assert page.locator("#pad").is_hidden()
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(file, "JPEG")
        page.locator("#file").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
        page.wait_for_selector("body[data-read]")
        text = page.locator("#codes-read").inner_text()
        assert all(part in text for part in ("two", "style[0]", "tilt", "bits[2]", "hand", "% on"))
        page.locator("#apply").click()
        turned(page, turn)
        browser.close()
    assert {urlsplit(one).hostname for one in requests if urlsplit(one).scheme not in ("data", "blob")} == {"127.0.0.1"}
    assert errors == []
