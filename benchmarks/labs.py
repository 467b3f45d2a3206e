"""Print the table of docs/labs.md from the run folders of examples/mnist.py.

    python benchmarks/labs.py runs/*

The last column needs the quality.json that examples/mnist_quality.py writes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

HEADER = (
    "recipe",
    "width",
    "images seen",
    "minutes",
    "images/s",
    "bound of digit",
    "style",
    "accuracy",
    "NMI",
    "digits",
    "drawn",
)


def row(result: dict[str, Any], quality: dict[str, Any] | None) -> list[str]:
    """Return the cells of one run, from its result.json and, if there is one, its quality.json."""
    style = "-"
    if "bound/style" in result:
        style = f"{result['bound/style']:.2f} nats"
    elif "mse/style" in result:
        style = f"error {result['mse/style']:.2f}"
    name = f"`{result['recipe']}`" + (" `--all-digits`" if result["all_digits"] else "")
    return [
        name,
        f"{result['width']:g}",
        f"{result['steps'] * result['batch_size']:,} in {result['steps']:,} steps",
        f"{result['minutes']:.1f}",
        f"{result['images_per_second']:.0f}",
        f"{result['bound/digit']:.2f} of 2.30 nats",
        style,
        f"{result['accuracy']:.1%}",
        f"{result['nmi']:.2f}",
        str(result["digits"]),
        f"{quality['as_requested']:.1%}, {quality['digits_drawn']}" if quality else "-",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="--out folders of finished runs")
    rows = [HEADER, tuple("---" for _ in HEADER)]
    for folder in parser.parse_args().runs:
        result = json.loads((folder / "result.json").read_text())
        quality_file = folder / "quality.json"
        quality = json.loads(quality_file.read_text()) if quality_file.exists() else None
        if quality is not None and quality.get("steps") != result["steps"]:
            quality = None  # from before the run was trained further
        rows.append(tuple(row(result, quality)))
        for symptom in result["symptoms"]:
            print(f"{folder}: {symptom}")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")
