"""Builds the site of the documents into build/site; a warning or a dead link is an error.

    pip install -c constraints.txt -e ".[docs]" && python docs/site/build.py

The pages are those of docs/, the README as the home page, the notebooks as tutorials, and a reference of every public
name, from the `__all__` of the public modules. The pages fetch nothing from another host.
"""

import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
MODULES = (
    "callbacks",
    "losses",
    "regularizers",
    "recipes",
    "datasets",
    "data",
    "evaluation",
    "metrics",
    "viz",
    "explorer",
    "export",
    "hub",
    "experiments",
    "distributed",
)
"""The public modules beside `infogan_lib` itself."""


def main() -> None:
    write_pages()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"NO_COLOR": "1"})
    if faults := dead_links(SITE):
        sys.exit("dead links:\n" + "\n".join(faults))


def write_pages() -> None:
    """Write the Markdown that the site is built from."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("site", "notebooks", "*.py"))
    (PAGES / "decisions" / "README.md").rename(PAGES / "decisions" / "index.md")
    for page in PAGES.rglob("*.md"):
        text = page.read_text("utf-8")
        text = re.sub(r"\]\(decisions/README\.md", "](decisions/index.md", text)
        page.write_text(re.sub(r"\]\(notebooks/(\w+)\.ipynb", r"](tutorials/\1.md", text), "utf-8")
    (PAGES / "index.md").write_text(home((ROOT / "README.md").read_text("utf-8")), "utf-8")
    shutil.copytree(ROOT / "docs" / "site" / "assets", PAGES / "assets", dirs_exist_ok=True)
    (PAGES / "tutorials").mkdir()
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        text = tutorial(json.loads(path.read_text("utf-8")), path.name)
        (PAGES / "tutorials" / f"{path.stem}.md").write_text(text, "utf-8")
    (PAGES / "api").mkdir()
    (PAGES / "api" / "infogan_lib.md").write_text(reference("infogan_lib"), "utf-8")
    for name in MODULES:
        (PAGES / "api" / f"{name}.md").write_text(reference(f"infogan_lib.{name}"), "utf-8")


def home(readme: str) -> str:
    """The README as the home page: its absolute links to documents and pictures lead to those of the site."""
    text = re.sub(r"<!--.*?-->\n?", "", readme)
    text = re.sub(r"^\[!\[.*\n", "", text, flags=re.MULTILINE)  # badges are for the page of the package
    text = re.sub(r"https://raw\.githubusercontent\.com/[^)]*/docs/images/", "images/", text)
    text = re.sub(rf"\]\({re.escape(URLS['Documentation'])}([\w/-]+)/(#[\w-]+)?\)", r"](\1.md\2)", text)
    return text.replace("](decisions.md)", "](decisions/index.md)")


def tutorial(notebook: dict, name: str) -> str:
    """A notebook as a page: its texts and its code."""
    source = f"{URLS['Repository']}/blob/main/docs/notebooks/{name}"
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts.insert(1, f"[The notebook]({source}) of this page runs from the first cell to the last.")
    return "\n\n".join(parts) + "\n"


def reference(name: str) -> str:
    """The page of a public module: every name in its `__all__`."""
    module = importlib.import_module(name)
    lead = (inspect.getdoc(module) or "").partition("\n\n")[0]
    parts = [f"# {name}", lead]
    for public, path in defined(name).items():
        members = from_private_bases(getattr(module, public))
        options = f"\n    options:\n      inherited_members: {json.dumps(members)}" if members else ""
        parts.append(f"::: {path}{options}")
    return "\n\n".join(parts) + "\n"


def defined(name: str) -> dict[str, str]:
    """The public names of a module, each with its path in the module that defines it."""
    module = importlib.import_module(name)
    homes = {public: getattr(getattr(module, public), "__module__", name) for public in module.__all__}
    return {public: f"{home if home.startswith('infogan_lib') else name}.{public}" for public, home in homes.items()}


def from_private_bases(thing: object) -> list[str]:
    """The public members that a class has from bases of the library without a place of their own."""
    if not inspect.isclass(thing):
        return []
    modules = [importlib.import_module(name) for name in ("infogan_lib", *(f"infogan_lib.{name}" for name in MODULES))]
    public = {getattr(module, name) for module in modules for name in module.__all__ if name[0].isupper()}
    bases = [base for base in thing.__mro__[1:] if base.__module__.startswith("infogan_lib") and base not in public]
    return sorted({name for base in bases for name in vars(base) if name[0] != "_"})


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """Links of a built site to pages, pictures or anchors that are not there."""
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    base, faults = urlsplit(URLS["Documentation"]), []
    for page, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.netloc == base.netloc and parts.path.startswith(base.path):
                target = site / unquote(parts.path.removeprefix(base.path))
            elif parts.scheme or parts.netloc:
                continue
            else:
                target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if target.is_dir():
                target /= "index.html"
            if not target.exists() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            ):
                faults.append(f"{page.relative_to(site)}: {link}")
    return faults


if __name__ == "__main__":
    main()
