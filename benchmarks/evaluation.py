"""Time and memory of evaluating 10,000 images with the networks of the CPU example.

python benchmarks/evaluation.py
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch

from infogan_lib import recipes
from infogan_lib.evaluation import calibration, code_effects, code_information
from infogan_lib.metrics import match_categories


def peak() -> float:
    """The highest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int) -> None:
    """Print a row for each part, and what all of them took."""
    images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,))
    model = recipes.get("default").model()
    model.sample(2)
    before, whole = peak(), 0.0

    def categories() -> None:
        found = model.encode(images)["digit"].mode.argmax(1)
        match = match_categories(found.numpy(), labels.numpy(), category_count=10)
        _ = match.accuracy, match.purity, match.nmi, match.ari

    parts: dict[str, Callable[[], object]] = {
        "categories against labels": categories,
        "bounds of all codes": lambda: code_information(model),
        "calibration of all codes": lambda: calibration(model),
        "effects of both styles": lambda: [code_effects(model, "style", dim=dim) for dim in range(2)],
    }
    for name, part in parts.items():
        started = time.perf_counter()
        part()
        seconds = time.perf_counter() - started
        whole += seconds
        print(f"{name:<28} {seconds:6.2f} s")
    print(f"{'all, on ' + format(count, ',') + ' images':<28} {whole:6.2f} s, {peak() - before:.0f} MiB more memory")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images, for a look at whether it runs")
    torch.manual_seed(0)
    measure(500 if parser.parse_args().quick else 10_000)
