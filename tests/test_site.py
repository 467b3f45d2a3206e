"""The site of the documents builds without a warning, has every public name, and asks no other host."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def load_builder():
    """docs/site/build.py as a module."""
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "site" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site():
    for name in ("zensical", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(name)
    done = subprocess.run([sys.executable, ROOT / "docs/site/build.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "site"


def test_every_public_name_has_its_place(site):
    builder = load_builder()
    for name in ("infogan_lib", *(f"infogan_lib.{module}" for module in builder.MODULES)):
        page = builder.Links(site / "api" / name.rpartition(".")[2] / "index.html")
        assert [path for path in builder.defined(name).values() if path not in page.anchors] == []


def test_what_a_class_has_from_a_private_base_is_on_its_page(site):
    page = load_builder().Links(site / "api" / "infogan_lib" / "index.html")
    for path in ("training.trainer.InfoGANTrainer.step", "latent.spec.LatentSpec.traverse"):
        assert f"infogan_lib.{path}" in page.anchors


def test_formulas_are_drawn_and_examples_are_code(site):
    pages = [page.read_text("utf-8") for page in site.glob("api/*/index.html")]
    assert sum(page.count("<math") for page in pages) > 15
    for page in pages:
        assert not re.search(r":math:|\.\. math|\\frac|\\sum", page)
        assert "&gt;&gt;&gt; &gt;" not in page
        assert 'class="example"' not in page


def test_pages_load_nothing_from_another_host(site):
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"(https?:[^\"]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"(?:stylesheet|icon|preconnect)\"[^>]*href=\"(https?:[^\"]+)", text)
        assert loaded == [], page
        assert 'data-md-component="source"' not in text, page  # asks the host of the repository


def test_a_dead_link_is_found(tmp_path):
    builder = load_builder()
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<a href="a/#there">x</a><a href="a/#gone">x</a><img src="no.png">')
    (tmp_path / "a" / "index.html").write_text(
        '<h2 id="there">x</h2><a href="../b/">x</a><a href="https://x.org/">x</a>'
    )
    found = sorted(builder.dead_links(tmp_path))
    assert found == ["a/index.html: ../b/", "index.html: a/#gone", "index.html: no.png"]
