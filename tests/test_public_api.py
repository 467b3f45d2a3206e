"""The public face: names, docstrings, imports, versions."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import infogan_lib

ROOT = Path(__file__).parent.parent
MODULES = [m.name for m in pkgutil.walk_packages(infogan_lib.__path__, "infogan_lib.")]


def public_objects():
    found = {}
    for module_name in ["infogan_lib", *MODULES]:
        module = importlib.import_module(module_name)
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", "").startswith("infogan_lib")
            if not name.startswith("_") and own and (inspect.isclass(thing) or inspect.isfunction(thing)):
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return found


def test_the_public_names_are_there_and_at_most_thirty():
    assert len(infogan_lib.__all__) <= 30
    assert all(hasattr(infogan_lib, name) for name in infogan_lib.__all__)
    assert infogan_lib.__all__ == sorted(infogan_lib.__all__, key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_docstring(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize(("name", "thing"), public_objects().items(), ids=public_objects())
def test_every_public_name_has_a_docstring(name, thing):
    assert thing.__doc__, f"{name} has no docstring"
    if inspect.isclass(thing):
        for method_name, method in vars(thing).items():
            if (inspect.isfunction(method) or isinstance(method, property)) and not method_name.startswith("_"):
                assert inspect.getdoc(getattr(thing, method_name)), f"{name}.{method_name} has no docstring"


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_importing_pulls_in_torch_numpy_and_typing_extensions_only():
    code = (
        "import sys, torch, numpy.random, typing_extensions; before = set(sys.modules); import infogan_lib; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    found = set(eval(run_python(code)))
    allowed = {"infogan_lib", "torch", "numpy", "typing_extensions", "torchgen"}
    assert found <= allowed | set(sys.stdlib_module_names)


def test_importing_has_no_side_effects():
    code = (
        "import torch; torch.manual_seed(3); s = torch.get_rng_state(); t = torch.get_num_threads(); "
        "import infogan_lib; assert torch.equal(s, torch.get_rng_state()) and t == torch.get_num_threads()"
    )
    assert run_python(code) == ""


def test_making_a_model_imports_neither_the_compiler_nor_sympy():
    code = """
import sys
from torch import nn
from infogan_lib import Categorical, InfoGAN, LatentSpec
discriminator = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
InfoGAN(nn.Sequential(nn.Linear(4, 8), nn.Tanh()), discriminator, LatentSpec(digit=Categorical(4)))
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    assert run_python(code) == "[]\n"


def test_the_callbacks_are_in_one_module_which_imports_no_extra():
    code = """
import sys
for name in ("matplotlib", "tqdm", "scipy", "sklearn", "PIL"):
    sys.modules[name] = None
from infogan_lib.callbacks import Callback, CollapseMonitor, Evaluator, JSONLLogger, ProgressBar, SampleGrid
print(all(issubclass(c, Callback) for c in (CollapseMonitor, Evaluator, JSONLLogger, ProgressBar, SampleGrid)))
"""
    assert run_python(code) == "True\n"


@pytest.mark.slow
def test_missing_extras_are_named_with_their_pip_command():
    code = """
import sys
for name in ("matplotlib", "scipy", "onnx"):
    sys.modules[name] = None
sys.modules["scipy.optimize"] = None
import torch, infogan_lib
from infogan_lib import callbacks, metrics, viz
def attempt(f):
    try:
        f()
    except ImportError as error:
        print(error)
attempt(lambda: viz.plot_grid(torch.zeros(1, 1, 2, 2), 1, pixel_range=(0, 1)))
attempt(lambda: viz.save_png(None, "x.png"))
attempt(lambda: metrics.match_categories([0], [0]))
from infogan_lib import recipes
from infogan_lib.export import export_onnx
from infogan_lib.viz import write_report
model = recipes.get("default", width=1 / 16).model()
attempt(lambda: export_onnx(model, "never"))
del sys.modules["scipy"], sys.modules["scipy.optimize"]  # which a report needs as well
attempt(lambda: write_report(model, torch.zeros(2, 1, 28, 28)))
"""
    lines = run_python(code).splitlines()
    extras = ["viz", "viz", "eval", "onnx", "viz"]
    assert len(lines) == 5
    assert all(f"pip install 'infogan-lib[{extra}]'" in line for extra, line in zip(extras, lines, strict=True))


def lines_of_code(path):
    """The lines of a module without those of its docstrings."""
    text = path.read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, documented) and ast.get_docstring(n)]
    return len(text.splitlines()) - sum(n.body[0].end_lineno - n.body[0].lineno + 1 for n in nodes)


def test_no_module_is_longer_than_a_concept_needs():
    longest = max((ROOT / "src").rglob("*.py"), key=lines_of_code)
    assert lines_of_code(longest) <= 310, longest


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )

    assert pinned["torch"] == "2.13.0"
    assert project["dependencies"][0] == "torch>=2.10"
    assert f"## {infogan_lib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_documents_have_no_dead_links_and_no_placeholders():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text()
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
        assert not re.search(r"^[A-Z]{5,}$", text, re.MULTILINE), document.name
