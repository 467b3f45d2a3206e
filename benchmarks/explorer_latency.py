"""Latency of the explorer's page from a slider's input event to the new picture, in a real Chromium.

python benchmarks/explorer_latency.py RUN_FOLDER
"""

import argparse
import statistics
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from infogan_lib.explorer import explore
from infogan_lib.recipes import load_run

# Measured by the page itself, until the new picture is decoded.
MOVE_SLIDER = """async ([slider, value]) => {
    const picture = document.querySelector("#picture img"), old = picture.src, range = document.querySelector(slider);
    const started = performance.now();
    range.value = value;
    range.dispatchEvent(new Event("input", {bubbles: true}));
    while (document.querySelector("#picture img").src === old) await new Promise(requestAnimationFrame);
    await document.querySelector("#picture img").decode();
    return performance.now() - started;
}"""


def measure(page: Page, slider: str, count: int) -> list[float]:
    """Latencies in milliseconds of `count` moves of a slider."""
    latencies = []
    for move in range(count):
        value = str(round(-0.9 + 1.8 * move / count, 2))
        latencies.append(page.evaluate(MOVE_SLIDER, [f"#{slider} input[type=range]", value]))
        page.wait_for_timeout(100)
    return latencies


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
            measure(page, "code-style-0", 3)  # to warm up
            latencies = measure(page, "code-style-0", 20)
            median = statistics.median(latencies)
            print(f"{count} images: {median:.0f} ms (median of 20), {max(latencies):.0f} ms (max)")
        browser.close()
