"""Runs the programs of this folder, each in a process of its own. How much they tried, and how many faults they found,
goes into `counts.json` and from there into docs/checkpoints.md.

    python tests/stress/count_all.py                 a hundredth of it all, minutes
    python tests/stress/count_all.py --share 0.05
    python tests/stress/count_all.py --full          hours
"""

import argparse
import json
import math
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from damaged_checkpoints import damage
from forged_files import attack
from kill_a_rank import kill_ranks
from malformed_inputs import NAMED, try_all
from random_programs import try_programs
from resume_after_kills import kill_and_resume
from save_faults import inject
from stop_signals import stop_many

import infogan_lib as ig

COUNTS = Path(__file__).with_name("counts.json")
PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
BEGIN, END = "<!-- counts: begin -->", "<!-- counts: end -->"


class Count(NamedTuple):
    """How much a program tried, and how many faults it found."""

    tries: int
    faults: int


class Program(NamedTuple):
    """A program: its file, what it tries, what a fault would be, and how it is run.

    `run` is given a share of the full number of tries, and returns the count.
    """

    file: str
    tries: str
    fault: str
    run: Callable[[float], Count]


def _at_least(number: int, share: float, full: int) -> int:
    return max(number, math.ceil(share * full))


def _every(share: float) -> int:
    return max(1, round(1 / share))


def _kills(share: float) -> Count:
    counts = kill_and_resume(_at_least(5, share, 1000))
    return Count(counts["kills"], counts["RUNS DIFFERENT"] + counts["ATTEMPTS FAILED"])


def _rank_kills(share: float) -> Count:
    counts = kill_ranks(_at_least(2, share, 50))
    return Count(counts["kills"], counts["RUNS DIFFERENT"] + counts["RUNS FAILED"])


def _save_faults(share: float) -> Count:
    _, results = inject(min(_every(share), 7))
    bad = [n for (_, outcome), n in results.items() if any(word in outcome for word in ("NOTHING", "STUCK", "CRASH"))]
    return Count(results.total(), sum(bad))


def _damages(share: float) -> Count:
    results = damage(_at_least(50, share, 25_000))
    return Count(results.total(), sum(n for outcome, n in results.items() if not outcome.endswith(": CheckpointError")))


def _forgeries(share: float) -> Count:
    counts, faults = attack(_every(share))
    print(*faults, sep="\n", file=sys.stderr)
    return Count(counts.total(), len(faults))


def _inputs(share: float) -> Count:
    counts = try_all(every=_every(share))
    return Count(counts.total(), counts.total() - counts[NAMED])


def _signals(share: float) -> Count:
    counts = stop_many(_at_least(2, share, 100))
    return Count(counts.total(), sum(n for outcome, n in counts.items() if not outcome.endswith(": right")))


def _programs(share: float) -> Count:
    programs = _at_least(10, share, 1000)
    return Count(programs, len(try_programs(programs)))


PROGRAMS = [
    Program(
        "resume_after_kills.py", "kills of a run by SIGKILL", "a run that ends otherwise than without them", _kills
    ),
    Program("kill_a_rank.py", "kills of one of two processes", "likewise", _rank_kills),
    Program(
        "stop_signals.py", "SIGTERM and SIGINT to a run", "a step that is not saved, another exit status", _signals
    ),
    Program(
        "random_programs.py", "programs whose calls of `fit` fail at random", "another end than without", _programs
    ),
    Program("save_faults.py", "calls that fail or die in a save", "a run that has no whole checkpoint", _save_faults),
    Program("damaged_checkpoints.py", "damaged checkpoints", "one that is not refused", _damages),
    Program("forged_files.py", "forged fields of files", "another error than one that names the field", _forgeries),
    Program("malformed_inputs.py", "malformed arguments", "another error than one that names the argument", _inputs),
]


def to_markdown(counts: Mapping[str, Any]) -> str:
    """The block of docs/checkpoints.md, from what `counts.json` holds."""
    rows = [
        f"| {p.tries} | {tries:,} | {p.fault} | {faults:,} | `{p.file}` |"
        for p in PROGRAMS
        for tries, faults in [counts["programs"][p.file]]
    ]
    return "\n".join(
        [
            f"Counted on {counts['date']}, version {counts['version']} with torch {counts['torch']} on a CPU, in "
            f"{counts['minutes']:,} minutes, by `{counts['command']}` (`--full` for all of it, hours):",
            "",
            "| tries | number | a fault would be | faults | program in `tests/stress` |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def block_of(page: str) -> str:
    """The block between the two markers of a page."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()


def with_block(page: str, block: str) -> str:
    """A page with another block between its markers."""
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{block}\n{END}", page, flags=re.DOTALL)


def count_in_a_process(program: Program, share: float) -> Count:
    """Run one of the programs.

    Raises:
        CalledProcessError: It has failed itself.
    """
    command = [sys.executable, __file__, "--only", program.file, "--share", str(share)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Count(*json.loads(done.stdout.splitlines()[-1]))


def count_all(share: float, command: str) -> dict[str, Any]:
    """Run all programs.

    Args:
        share: The share of the full number of tries.
        command: The command that is named beside the counts.
    """
    started, counts = time.monotonic(), {}
    for program in PROGRAMS:
        counts[program.file] = count_in_a_process(program, share)
        print(
            f"{program.file:<26}{counts[program.file].tries:>8} tries{counts[program.file].faults:>6} faults",
            flush=True,
        )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": ig.__version__,
        "torch": torch.__version__.partition("+")[0],
        "minutes": math.ceil((time.monotonic() - started) / 60),
        "command": command,
        "programs": counts,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--share", type=float, default=0.01)
    size.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=[program.file for program in PROGRAMS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    share = 1.0 if options.full else options.share
    if options.only:
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        (chosen,) = [program for program in PROGRAMS if program.file == options.only]
        count = chosen.run(share)
        print(json.dumps(count))
    else:
        told = "--full" if options.full else f"--share {share:g}"
        result = count_all(share, f"python tests/stress/count_all.py {told}")
        COUNTS.write_text(json.dumps(result, indent=1) + "\n")
        PAGE.write_text(with_block(PAGE.read_text(), to_markdown(result)))
