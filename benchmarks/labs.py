"""The table of docs/labs.md, from the folders that runs of examples/mnist.py left.

    python benchmarks/labs.py runs/*

The last column is there for runs that examples/mnist_quality.py has looked at.
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
    """The cells of one run, from its result.json and, where there is one, its quality.json."""
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
        f"{quality['as_asked']:.1%}, {quality['digits_drawn']}" if quality else "-",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="--out folders of finished runs")
    rows = [HEADER, tuple("---" for _ in HEADER)]
    for folder in parser.parse_args().runs:
        found = json.loads((folder / "result.json").read_text())
        looked_at = folder / "quality.json"
        quality = json.loads(looked_at.read_text()) if looked_at.exists() else None
        if quality is not None and quality.get("steps") != found["steps"]:
            quality = None  # of the run before it went on
        rows.append(tuple(row(found, quality)))
        for symptom in found["symptoms"]:
            print(f"{folder}: {symptom}")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")
