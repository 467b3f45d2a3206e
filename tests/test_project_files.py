"""The files around the source: what they name exists, versions agree, and the drawing of the house is up to date."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import infogan_lib
from infogan_lib import losses
from infogan_lib.regularizers import GeneratorRegularizer, RealImageRegularizer

ROOT = Path(__file__).parent.parent
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "decisions" / "README.md", *DECISIONS]
# Their public names are in infogan_lib itself.
INTERNAL = {"checkpoints", "commands", "history", "latent", "model", "networks", "resume", "step", "training"}
BASES = [  # what CONTRIBUTING.md says how to add
    infogan_lib.LatentCode,
    losses.InformationLoss,
    losses.AdversarialLoss,
    RealImageRegularizer,
    GeneratorRegularizer,
]


def architecture():
    """docs/images/architecture.py as a module."""
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "images" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text("utf-8")
    links = [page.parent / link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)]
    paths = [ROOT / path for path in re.findall(r"`((?:src|tests|docs|examples|benchmarks)/[\w./-]+)`", text)]
    assert [path for path in links + paths if not path.exists()] == []


def test_the_readme_has_absolute_links_to_what_exists():
    """The page of the package on PyPI shows relative links and pictures dead."""
    text = (ROOT / "README.md").read_text("utf-8")
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    docs, repository = urls["Documentation"], urls["Repository"]
    raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    notebooks = {f"tutorials/{path.stem}": path for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    pages = {page.removesuffix("/README") for page in pages} | set(notebooks) | {""}
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 20
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(docs):
            assert link.removeprefix(docs).split("#")[0].rstrip("/") in pages, link
        for prefix in (f"{repository}/blob/main/", raw):
            if link.startswith(prefix):
                assert (ROOT / link.removeprefix(prefix)).exists(), link


def test_every_page_and_every_public_module_has_a_place_on_the_site():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    nav = set(re.findall(r": (\S+\.md)$", text[text.index("nav:") :], re.MULTILINE))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    pages |= {f"tutorials/{path.stem}.md" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert pages - nav == set()
    packages = {path.parent.name for path in (ROOT / "src" / "infogan_lib").glob("*/__init__.py")} - INTERNAL
    assert {f"api/{name}.md" for name in packages} - nav == set()


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.__name__)
def test_contributing_names_what_a_new_part_must_have(base):
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for name in (base.__name__, *base.__abstractmethods__):
        assert f"`{name}`" in text, f"CONTRIBUTING.md does not name {name} of {base.__name__}"


def test_contributing_names_the_limits_that_tests_keep():
    import test_floors

    assert f"at most {test_floors.LONGEST} lines" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert f"at most {test_floors.LONGEST} lines" in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_decisions_are_short_complete_and_listed():
    index = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    for number, page in enumerate(DECISIONS, start=1):
        text = page.read_text("utf-8")
        title = text.splitlines()[0].removeprefix(f"# {number}. ")
        assert page.name.startswith(f"{number:04}-")
        assert f"| [{number}]({page.name}) | {title} |" in index
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
        assert len(text.splitlines()) <= 35, f"{page.name} is no short page any more"


def test_every_file_is_in_the_tables_of_the_architecture():
    drawing = architecture()
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", drawing.PAGE.read_text("utf-8"), re.MULTILINE)
    existing = [path.relative_to(drawing.SOURCE).as_posix() for path in drawing.SOURCE.rglob("*.py")]
    assert sorted(listed) == sorted(existing), "run: python docs/images/architecture.py"


def test_the_picture_has_the_arrows_of_the_source():
    drawing = architecture()
    assert set(drawing.files()) == set().union(*drawing.floors()) == set(drawing.PURPOSE)
    described = re.search(r"<dc:description>(.*?)</dc:description>", drawing.PICTURE.read_text("utf-8"))
    assert described is not None
    assert described[1] == drawing.description(drawing.drawn_arrows()), "run: python docs/images/architecture.py"


def test_every_import_of_a_room_is_on_a_path_of_drawn_arrows():
    drawing = architecture()
    drawn = drawing.drawn_arrows()

    def below(room):
        direct = {b for a, b in drawn if a == room}
        return direct.union(*map(below, direct))

    shown = {(a, b) for a, b in drawing.arrows() if a != drawing.FACE and b not in drawing.GROUND}
    assert {(a, b) for a, b in shown if b not in below(a)} == set()
    assert drawn <= shown


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"ruff-pre-commit\n\s+rev: v(\S+)", hooks)[1] == pinned["ruff"]
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == infogan_lib.__version__
    supported = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert re.findall(r'"([\d.]+)"', re.search(r"python: \[(.*)\]", workflow)[1]) == supported
    assert f">={supported[0]}" == project["requires-python"]


@pytest.mark.skipif(shutil.which("sed") is None, reason="needs sed")
def test_the_workflow_finds_the_oldest_torch():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    command = re.search(r"oldest=\$\((.*)\)", workflow)[1]
    found = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"torch>={found}" in project["dependencies"]


def test_workflows_run_what_exists():
    yaml = pytest.importorskip("yaml")
    workflows = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / ".github/workflows").iterdir()}
    assert set(workflows) == {"ci", "release", "site"}
    for workflow in workflows.values():
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] <= 60
            commands = "\n".join(step.get("run", "") for step in job["steps"])
            paths = re.findall(r"(?<![\w./])(?:docs|tests|src|benchmarks)/[\w./-]+", commands)
            assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.skipif(shutil.which("sed") is None, reason="needs sed")
def test_the_release_reads_the_version():
    command = re.search(r"version=\$\((sed .*)\)", (ROOT / ".github/workflows/release.yml").read_text("utf-8"))[1]
    found = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.strip() == infogan_lib.__version__


def test_forms_of_issues_have_what_the_site_needs():
    yaml = pytest.importorskip("yaml")
    forms = [form for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if form.stem != "config"]
    assert sorted(form.stem for form in forms) == ["bug", "docs", "feature"]
    for form in forms:
        content = yaml.safe_load(form.read_text("utf-8"))
        assert {"name", "description", "body"} <= set(content)
        ids = [part["id"] for part in content["body"]]
        assert len(set(ids)) == len(ids)
        for part in content["body"]:
            assert part["type"] in {"textarea", "input", "checkboxes", "dropdown", "markdown"}
            assert part["attributes"]["label"]


def test_the_page_on_devices_lists_every_file_that_treats_one_kind_in_its_own_way():
    source, text = ROOT / "src" / "infogan_lib", (ROOT / "docs" / "devices.md").read_text("utf-8")
    special = re.compile(r"torch\.(cuda|xpu|mps)\b|is_cuda|\"(cuda|xpu|mps)\"|type == \"cpu\"")
    found = [
        p.relative_to(source).as_posix() for p in sorted(source.rglob("*.py")) if special.search(p.read_text("utf-8"))
    ]
    assert "step/metrics.py" in found
    assert [name for name in found if f"`{name}`" not in text] == []
