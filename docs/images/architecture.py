"""Draws docs/images/architecture.svg and writes the tables of docs/architecture.md, both from the source.

    python docs/images/architecture.py

Rooms, files and imports are read with `ast`; the floors are those of tests/test_floors.py. Run it again when the code
has moved. The picture leaves out an arrow where a path of arrows leads to the same room already; the tables have all.
"""

import ast
import io
import random
from collections.abc import Sequence
from functools import partial
from itertools import pairwise, permutations
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "infogan_lib"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
PAGE = ROOT / "docs" / "architecture.md"

PURPOSE = {
    "viz": "figures, and the report of a model",
    "datasets": "data to begin with",
    "__main__": "python -m infogan_lib",
    "commands": "the command infogan",
    "experiments": "several runs: sweeps and comparisons",
    "export": "ONNX files, and a page without a server",
    "explorer": "a page to move the codes by hand",
    "hub": "models on the Hugging Face hub",
    "callbacks": "all callbacks by one name",
    "evaluation": "what a model or a run is worth",
    "recipes": "networks and settings to start from",
    "__init__": "the names users import",
    "training": "the trainer, its loop and its callbacks",
    "resume": "runs in folders, and how they go on",
    "step": "L_D and L_G, made whole or not at all",
    "history": "the metrics of a run, step by step",
    "model": "G, D and Q as one module",
    "networks": "G and D of any kind, and Q's heads",
    "regularizers": "further terms of L_D and L_G",
    "latent": "noise, codes and LatentSpec",
    "metrics": "pure functions of arrays",
    "losses": "adversarial and information losses",
    "checkpoints": "folders that are whole or refused",
    "data": "images, batches, streams, randomness",
    "distributed": "rows of a batch on several processes",
    "_checks": "arguments: received, expected, what to change",
    "_messages": "values and names as error messages show them",
    "_keywords": "arguments that a function does not have",
    "_html": "what results show of themselves in a notebook",
    "_schema": "saved data: the type and the bounds of every field",
    "_version": "one number",
    "_warnings": "warnings that point at the user's line",
}
FACE = "__init__"  # hands on names from everywhere: it has a place, and no arrows
GROUND = {"_checks", "_html", "_keywords", "_messages", "_schema", "_version", "_warnings"}  # under every room

Arrow = tuple[str, str]


def floors() -> list[set[str]]:
    """The rooms of each floor, lowest first, as tests/test_floors.py has them."""
    tree = ast.parse((ROOT / "tests" / "test_floors.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS":
            return ast.literal_eval(node.value)
    raise ValueError("tests/test_floors.py has no FLOORS = [...]")


def files() -> dict[str, list[Path]]:
    """The files of each room; a file beside the rooms is a room of its own."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        found.setdefault(path.relative_to(SOURCE).parts[0].removesuffix(".py"), []).append(path)
    return found


def lines(paths: list[Path]) -> int:
    """The number of lines in files."""
    return sum(len(path.read_text("utf-8").splitlines()) for path in paths)


def arrows() -> set[Arrow]:
    """(room, room that it imports), for every import of one room by another."""
    found = set()
    for room, paths in files().items():
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                targets = [m.split(".")[1] for m in modules if m.startswith("infogan_lib.")]
                found |= {(room, target) for target in targets if target != room}
    return found


def drawn_arrows() -> set[Arrow]:
    """The arrows of the picture: none to the ground, none of the face, none that a path of others stands for."""
    kept = {(a, b) for a, b in arrows() if a != FACE and b not in GROUND}

    def below(room: str) -> set[str]:
        direct = {b for a, b in kept if a == room}
        return direct.union(*(below(other) for other in direct))

    return {(a, b) for a, b in kept if not any(b in below(c) for other, c in kept if other == a and c != b)}


def layers(links: set[Arrow]) -> tuple[list[list[str]], list[list[str]]]:
    """Rooms in an order with few crossings, floor by floor from the second up, and each arrow's way through them.

    An arrow that passes a floor has a place of its own on it, named "from>to" (Sugiyama, Tagawa and Toda, 1981).
    """
    order = [sorted(rooms) for rooms in floors() if not rooms <= GROUND]
    level = {room: i for i, rooms in enumerate(order) for room in rooms}
    ways = []
    for a, b in sorted(links):
        passed = range(level[a] - 1, level[b], -1)
        for i in passed:
            order[i].append(f"{a}>{b}")
        ways.append([a, *(f"{a}>{b}" for _ in passed), b])
    found, chance = [], random.Random(0)
    for _ in range(40):  # from many beginnings, as ordering floor by floor ends in the nearest good order
        tried = [chance.sample(rooms, len(rooms)) for rooms in order]
        for _ in range(3):
            for i, rooms in enumerate(tried):
                tried[i] = list(min(permutations(rooms), key=partial(_badness, tried, ways, i)))
        found.append((_badness(tried, ways, 0, tried[0]), tried))
    return min(found)[1], ways


def _badness(order: list[list[str]], ways: list[list[str]], changed: int, trial: Sequence[str]) -> tuple[int, float]:
    """Crossings, then the length sideways of all arrows, with one floor in another order."""
    tried = [trial if i == changed else rooms for i, rooms in enumerate(order)]
    place = {(i, room): (k + 0.5) / len(rooms) for i, rooms in enumerate(tried) for k, room in enumerate(rooms)}
    crossings, sideways = 0, 0.0
    for upper in range(1, len(tried)):
        steps = [
            (place[upper, a], place[upper - 1, b])
            for way in ways
            for a, b in pairwise(way)
            if (upper, a) in place and (upper - 1, b) in place
        ]
        crossings += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(steps) for c, d in steps[:k])
        sideways += sum(abs(a - b) for a, b in steps)
    return crossings, sideways


WIDTH, MARGIN, PITCH, BOX, GAP, LANE = 13.0, 0.95, 1.42, 0.84, 0.42, 0.5
COLORS = ["#64748b", "#0f766e", "#0369a1", "#4338ca", "#a21caf", "#be123c", "#b45309"]  # lowest floor first
INK, SOFT, PAPER = "#1e293b", "#64748b", "#fcfcfb"


def draw() -> str:
    """The picture as SVG text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
    from matplotlib.path import Path as Curve

    mpl.rcParams |= {"svg.hashsalt": "infogan-lib", "font.family": "DejaVu Sans"}
    links, rooms_files = drawn_arrows(), files()
    order, ways = layers(links)
    ground, top = 0.95, 0.95 + PITCH * len(order)
    height = top + 1.55
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")

    def label(x: float, y: float, text: str, size: float, color: str = INK, **style: str) -> None:
        axes.text(x, y, text, fontsize=size, color=color, **({"va": "center", "ha": "center"} | style))  # type: ignore

    def count(paths: list[Path]) -> str:
        return f"{lines(paths):,} lines" + (f" in {len(paths)} files" if len(paths) > 1 else "")

    axes.add_patch(Rectangle((0, 0), WIDTH, height, color=PAPER, zorder=0))
    roof = [(0.25, top), (WIDTH / 2, top + 1.42), (WIDTH - 0.25, top)]
    axes.add_patch(Polygon(roof, closed=True, facecolor="#eef2f6", edgecolor="#cbd5e1", linewidth=1.2, zorder=1))
    label(WIDTH / 2, top + 0.66, "infogan_lib", 19, weight="bold")
    everything = [path for paths in rooms_files.values() for path in paths]
    label(WIDTH / 2, top + 0.30, f"{count(everything)}; imports go down only", 10.5, SOFT)

    lanes = [sum(">" in room for room in rooms) for rooms in order]
    free = [WIDTH - 2 * MARGIN - GAP * (len(rooms) - 1) - LANE * n for rooms, n in zip(order, lanes, strict=True)]
    box_width = min(3.0, *(width / (len(rooms) - n) for width, rooms, n in zip(free, order, lanes, strict=True)))
    x_of: dict[tuple[int, str], float] = {}
    for i, rooms in enumerate(order):
        y = ground + PITCH * i
        shade = "#f4f6f8" if i % 2 else "#fafbfc"
        axes.add_patch(
            Rectangle((0.25, y), WIDTH - 0.5, PITCH, facecolor=shade, edgecolor="#e2e8f0", linewidth=0.8, zorder=1)
        )
        label(0.6, y + PITCH / 2, str(i + 2), 21, "#94a3b8", weight="bold")
        widths = [LANE if ">" in room else box_width for room in rooms]
        x = WIDTH / 2 - (sum(widths) + GAP * (len(rooms) - 1)) / 2
        for room, width in zip(rooms, widths, strict=True):
            x_of[i, room] = x + width / 2
            x += width + GAP
            if ">" in room:
                continue
            left, low, color = x_of[i, room] - width / 2, y + (PITCH - BOX) / 2, COLORS[(i + 1) % len(COLORS)]
            style = {"edgecolor": color, "linewidth": 1.3, "linestyle": (0, (4, 3)) if room == FACE else "solid"}
            shape = "round,pad=0,rounding_size=0.09"
            axes.add_patch(
                FancyBboxPatch((left, low), width, BOX, boxstyle=shape, facecolor="white", zorder=4, **style)
            )
            middle = x_of[i, room]
            label(
                middle, low + BOX * 0.76, "__init__.py" if room == FACE else room, 12.5, color, weight="bold", zorder=5
            )
            label(middle, low + BOX * 0.46, PURPOSE[room], 7.6, zorder=5)
            label(middle, low + BOX * 0.18, count(rooms_files[room]), 8, SOFT, zorder=5)

    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((0.25, 0.2), WIDTH - 0.5, ground - 0.2, boxstyle=shape, color="#dfe5ec", zorder=1))
    label(0.6, (ground + 0.2) / 2, "1", 21, "#94a3b8", weight="bold")
    names = ", ".join(f"{room}.py" for room in sorted(GROUND))
    label(WIDTH / 2, ground * 0.74, names, 12.5, COLORS[0], weight="bold")
    label(WIDTH / 2, ground * 0.45, f"{PURPOSE['_checks']}; every room may import them", 9.4)

    step = {}  # where on a box's edge each arrow leaves or arrives: sorted by where it goes, so that none cross there
    for way in ways:
        start = next(i for i, rooms in enumerate(order) if way[0] in rooms)
        for k, (a, b) in enumerate(pairwise(way)):
            step.setdefault((start - k, a, "below"), []).append((x_of[start - k - 1, b], tuple(way)))
            step.setdefault((start - k - 1, b, "above"), []).append((x_of[start - k, a], tuple(way)))

    def port(i: int, room: str, side: str, way: list[str]) -> float:
        if ">" in room:
            return x_of[i, room]
        turns = sorted(step[i, room, side])
        k = [of for _, of in turns].index(tuple(way))
        return x_of[i, room] + (k - (len(turns) - 1) / 2) * min(0.62, box_width * 0.7 / len(turns))

    for way in ways:
        start = next(i for i, rooms in enumerate(order) if way[0] in rooms)
        points, codes = [], []
        for k, (a, b) in enumerate(pairwise(way)):
            i = start - k
            x0, x1 = port(i, a, "below", way), port(i - 1, b, "above", way)
            y0, y1 = ground + PITCH * i + (PITCH - BOX) / 2, ground + PITCH * i - (PITCH - BOX) / 2
            bend = (y0 - y1) * 0.55
            points += [(x0, y0), (x0, y0 - bend), (x1, y1 + bend), (x1, y1)]
            codes += [Curve.LINETO if k else Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
        color = COLORS[(start + 1) % len(COLORS)]
        axes.add_patch(
            FancyArrowPatch(
                path=Curve(points, codes), arrowstyle="-|>", mutation_scale=11, color=color, linewidth=1.35, zorder=3
            )
        )

    drawing = io.StringIO()
    metadata = {
        "Title": "The rooms of infogan_lib on their floors",
        "Description": description(links),
        "Creator": "docs/images/architecture.py",
        "Date": None,
    }
    figure.savefig(drawing, format="svg", metadata=metadata)
    return "\n".join(line.rstrip() for line in drawing.getvalue().splitlines()) + "\n"


def description(links: set[Arrow]) -> str:
    """The arrows in words: for readers who do not see the picture, and to tell whether it is still true."""
    return "; ".join(f"{a} imports {b}" for a, b in sorted(links))


def tables() -> str:
    """A table of files for each room, from the top floor down, with the first sentence of each file's docstring."""
    found, all_arrows, parts = files(), arrows(), []
    for number, rooms in reversed(list(enumerate(floors(), start=1))):
        for room in sorted(rooms, key=lambda room: (-lines(found[room]), room)):
            imported = sorted({b for a, b in all_arrows if a == room} - GROUND)
            name = f"`{room}.py`" if found[room][0].parent == SOURCE else f"`{room}/`"
            purpose = PURPOSE[room][0].upper() + PURPOSE[room][1:]
            uses = f"Imports {', '.join(f'`{other}`' for other in imported)}." if imported else "Imports no other room."
            parts.append(f"### Floor {number}: {name}\n\n{purpose}. {uses}\n")
            rows = [f"| `{path.relative_to(SOURCE).as_posix()}` | {_summary(path)} |" for path in found[room]]
            parts.append("| file | |\n| --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


START, END = "<!-- files: written by docs/images/architecture.py -->", "<!-- end of files -->"


def main() -> None:
    """Write the picture, and the tables into the page."""
    PICTURE.write_text(draw(), "utf-8", newline="\n")
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    PAGE.write_text(f"{before}{START}\n\n{tables()}\n{END}{rest.partition(END)[2]}", "utf-8", newline="\n")


if __name__ == "__main__":
    main()
