"""How long the explorer's page takes from a moved slider to the new picture, in a real Chromium.

python benchmarks/explorer_latency.py RUN_FOLDER
"""

import argparse
import statistics
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from infogan_lib.explorer import explore
from infogan_lib.recipes import load_run

# Until the new picture is decoded, as seen by the page itself.
MOVE = """async ([slider, value]) => {
    const picture = document.querySelector("#picture img"), old = picture.src, range = document.querySelector(slider);
    const started = performance.now();
    range.value = value;
    range.dispatchEvent(new Event("input", {bubbles: true}));
    while (document.querySelector("#picture img").src === old) await new Promise(requestAnimationFrame);
    await document.querySelector("#picture img").decode();
    return performance.now() - started;
}"""


def moves(page: Page, slider: str, count: int) -> list[float]:
    """Milliseconds of so many moves of a slider."""
    spent = []
    for move in range(count):
        spent.append(page.evaluate(MOVE, [f"#{slider} input[type=range]", str(round(-0.9 + 1.8 * move / count, 2))]))
        page.wait_for_timeout(100)
    return spent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of examples/mnist.py, with continuous codes")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser (default: /usr/bin/chromium)")
    options = parser.parse_args()
    with (
        explore(load_run(options.run), port=0, open_browser=False, block=False) as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(served.url)
        page.wait_for_selector("#code-style-0")
        page.wait_for_timeout(1000)
        for count in (16, 64):
            page.locator("#count input[type=range]").fill(str(count))
            page.wait_for_timeout(1500)
            moves(page, "code-style-0", 3)  # to warm up
            spent = moves(page, "code-style-0", 20)
            print(f"{count} images: {statistics.median(spent):.0f} ms (median of 20), {max(spent):.0f} ms at most")
        browser.close()
