"""The house: a module imports from lower floors or from its own room, and from nowhere else; no file is too long."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import infogan_lib

ROOT = Path(infogan_lib.__file__).parent
FLOORS = [  # lowest first; the rooms of one floor do not import one another
    {"_html", "_messages", "_version", "_warnings"},
    {"_checks"},
    {"_keywords", "_schema"},
    {"distributed"},
    {"losses", "checkpoints", "data"},
    {"history", "latent", "metrics"},
    {"networks"},
    {"model", "regularizers"},
    {"step"},
    {"resume"},
    {"training"},
    {"evaluation", "recipes"},
    {"viz", "datasets", "export"},
    {"explorer", "callbacks", "experiments", "hub"},
    {"__init__", "commands"},
    {"__main__"},
]
LONGEST = 350


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ["infogan_lib", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, *, at_run_time: bool) -> list[tuple[int, str]]:
    """Line and module of every import of the package's own, those inside functions included.

    `at_run_time` leaves out what only a type checker reads.
    """
    known, tree = modules(), ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if at_run_time and isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            skipped |= {id(inner) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, name if name in known else node.module) for name in submodules]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
    return [(line, name) for line, name in found if name.split(".")[0] == "infogan_lib"]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_every_room_has_a_floor():
    rooms = {room(module) for module in modules()}
    assert rooms == set().union(*FLOORS)


def test_imports_go_down():
    floor_of = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    upwards = [
        f"{path.relative_to(ROOT)}:{line}: {room(module)} imports {room(other)}"
        for module, path in modules().items()
        for line, other in imported(path, at_run_time=False)
        if room(other) != room(module) and floor_of[room(other)] >= floor_of[room(module)]
    ]
    assert upwards == []


def test_no_circle_of_files():
    graph = {
        module: {other for _, other in imported(path, at_run_time=True) if other in modules() and other != module}
        for module, path in modules().items()
        if path.name != "__init__.py"  # it hands names on
    }
    packages = {module for module, path in modules().items() if path.name == "__init__.py"}
    try:
        TopologicalSorter({module: others - packages for module, others in graph.items()}).prepare()
    except CycleError as error:
        raise AssertionError(f"these files import one another: {error.args[1]}") from error


def test_no_file_is_too_long():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in modules().values()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
