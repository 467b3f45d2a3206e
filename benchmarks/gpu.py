"""What a CUDA device makes of the library, in stages that write as they go.

    python benchmarks/gpu.py                    # everything; started again, it resumes
    python benchmarks/gpu.py --limit 540        # the same in calls of nine minutes, each from where the last one ended
    python benchmarks/gpu.py speed labs         # the stages of these subjects
    python benchmarks/gpu.py --rehearse         # all of it, tiny, on the CPU: only that everything runs

A stage that takes nine minutes is saved and resumed, so the call may be killed at any moment. Results go to
OUT/results.json and, as a table, OUT/results.md.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "examples"), str(HERE.parent / "src")]

import torch  # noqa: E402

from on_device import checks, learning, speed  # noqa: E402
from on_device.sizes import LABS, Sizes, UnfinishedError  # noqa: E402
from two_processes import two_processes  # noqa: E402

Results = dict[str, dict[str, Any]]
Stage = Callable[[Sizes, Results], dict[str, Any]]

STAGE_SECONDS = 540.0
_MOST_RESUMES = 50


def alone(function: Callable[..., dict[str, Any]], *args: Any, **settings: Any) -> Stage:
    """A stage that needs no earlier one."""
    return lambda sizes, results: function(sizes, *args, **settings)


def stages(is_rehearsal: bool) -> dict[str, Stage]:
    """All stages by name, in their order of worth."""
    names = ("lab28-normalnll", "lab64-mse", "default")
    labs, seeds = (LABS[:1], range(1)) if is_rehearsal else (LABS, range(10))
    found: dict[str, Stage] = {"environment": alone(checks.environment)}
    found |= {f"checks/{f.__name__}": alone(f) for f in (checks.equality, checks.memory, checks.tests)}
    found |= {f"launches/{name}": alone(speed.launches, name) for name in names[: 1 if is_rehearsal else None]}
    for batch in (128, 512, 4096):
        found[f"speed/{batch}"] = partial(_speed, batch)
    found |= {f"time_to/default {seed}": alone(learning.time_to, "default", seed) for seed in seeds[:3]}
    for all_digits in (False, True):
        more = " --all-digits" if all_digits else ""
        found |= {f"labs/{name}{more}": alone(learning.run, name, all_digits=all_digits) for name in labs}
    for name in ("default",) if is_rehearsal else ("default", "best"):
        found |= {f"seeds/{name} {seed}": alone(learning.run, name, seed=seed) for seed in seeds}
    found["sprites"] = alone(learning.run, "sprites")
    found["two processes"] = alone(two_processes)
    return found


def _speed(batch: int, sizes: Sizes, results: Results) -> dict[str, Any]:
    return speed.speed(sizes, batch, results.get("environment", {}))


def perform(stage: Stage, sizes: Sizes, results: Results) -> dict[str, Any]:
    """Run a stage; an error is its result, so that the others still say something."""
    started = time.monotonic()
    try:
        found = {"status": "done", **stage(sizes, results)}
    except UnfinishedError:
        found = {"status": "unfinished"}
    except Exception as error:
        traceback.print_exc(limit=-4)
        found = {"status": "failed", "error": f"{type(error).__name__}: {error}"[:500]}
    return found | {"seconds": round(time.monotonic() - started, 1)}


def write(out: Path, results: Results) -> None:
    """Write the results as JSON and as a table."""
    rows = ["| stage | status | seconds | what | value |", "| --- | --- | --- | --- | --- |"]
    for name, found in results.items():
        head = f"| {name} | {found['status']} | {found['seconds']} |"
        for key, value in found.items():
            if key not in ("status", "seconds", "curve"):
                rows.append(f"{head} {key} | {_short(value)} |")
                head = "| | | |"
    for path, text in (
        (out / "results.json", json.dumps(results, indent=1, default=str)),
        (out / "results.md", "\n".join(rows)),
    ):
        part = path.with_suffix(".part")
        part.write_text(text + "\n")
        part.replace(path)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(entry)}" for key, entry in value.items() if key != "symptoms")
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", help="the stages whose names begin so (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of results (default: runs/gpu)")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which the call ends")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU; results are not kept")
    options = parser.parse_args()
    device = torch.device("cpu" if options.rehearse else "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: there is no CUDA device here; --rehearse goes through all stages on the CPU")
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    saved = out / "results.json"
    results: Results = json.loads(saved.read_text()) if saved.exists() and not options.rehearse else {}
    chosen = {k: s for k, s in stages(options.rehearse).items() if k.startswith(tuple(options.subjects) or ("",))}
    end = time.monotonic() + options.limit
    for name, stage in chosen.items():
        for _ in range(_MOST_RESUMES):
            if results.get(name, {}).get("status") == "done" or time.monotonic() > end - 20:
                break
            sizes = Sizes(device, out, min(end, time.monotonic() + STAGE_SECONDS), options.rehearse)
            results[name] = perform(stage, sizes, results)
            write(out, results)
            print(f"{name}: {results[name]['status']} in {results[name]['seconds']} s", flush=True)
            if results[name]["status"] != "unfinished":
                break
    print(f"\n{out / 'results.md'}")
    failed = [name for name in chosen if results.get(name, {}).get("status") == "failed"]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
