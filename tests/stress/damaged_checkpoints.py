"""Damages checkpoints at random: flipped bits, cuts, holes, splices with another checkpoint of the same run, swapped,
missing and lengthened files. Each must be refused with a CheckpointError, in bounded memory.

    python tests/stress/damaged_checkpoints.py             25,000 of them, a few minutes
    python tests/stress/damaged_checkpoints.py --count 1000
"""

import argparse
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from small_run import MAX_BYTES, Kind, train

import infogan_lib as ig
from infogan_lib.checkpoints.run_folder import read_checkpoint

Files = dict[str, bytes]


def flip_a_bit(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    content = bytearray(files[name])
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    files[name] = bytes(content)


def cut_short(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    files[name] = files[name][: rng.randrange(len(files[name]))]


def make_a_hole(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    start = rng.randrange(len(files[name]))
    hole = files[name][start : start + rng.randrange(1, 4097)]
    files[name] = files[name][:start] + bytes(len(hole)) + files[name][start + len(hole) :]


def splice(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    start = rng.randrange(len(files[name]))
    end = start + rng.randrange(1, len(files[name]))
    files[name] = files[name][:start] + other[start:end] + files[name][end:]


def swap(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    files[name] = other


def lengthen(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    files[name] += rng.randbytes(rng.randrange(1, 100))


def lose(files: Files, name: str, other: bytes, rng: random.Random) -> None:
    del files[name]


DAMAGES: list[Callable[[Files, str, bytes, random.Random], None]] = [
    *(flip_a_bit, flip_a_bit, flip_a_bit, cut_short, make_a_hole, splice, swap, lengthen, lose)
]


def damage(count: int, seed: int = 0) -> Counter[str]:
    """Damage checkpoints and load them.

    Args:
        count: The number of damaged checkpoints.
        seed: The seed of the damage.

    Returns:
        The number of times by kind of damage and outcome.
    """
    rng, results = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        run, broken = Path(scratch) / "run", Path(scratch) / "broken"
        train(Kind(), run, steps=3, every=1, keep=4)
        one, two = (_files(run / "checkpoints" / f"step_{step:010d}") for step in (2, 3))
        other = {name: next(content for own_name, content in two.items() if own_name[:5] == name[:5]) for name in one}
        broken.mkdir()
        while results.total() < count:
            files, name, damage_files = dict(one), rng.choice(sorted(one)), rng.choice(DAMAGES)
            damage_files(files, name, other[name], rng)
            if files == one:
                continue
            for path in broken.iterdir():
                path.unlink()
            for path, content in files.items():
                (broken / path).write_bytes(content)
            results[f"{damage_files.__name__.replace('_', ' ')}: {_outcome(broken)}"] += 1
    return results


def _files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _outcome(folder: Path) -> str:
    try:
        read_checkpoint(folder, max_bytes=MAX_BYTES)
    except ig.CheckpointError:
        return "CheckpointError"
    except Exception as error:
        return f"WRONG ERROR {type(error).__name__}"
    return "LOADED"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=25_000)
    options = parser.parse_args()
    damage(100)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    for outcome, number in sorted(damage(options.count).items()):
        print(f"{outcome:<40}{number:>7}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"peak memory grew by {grown:.1f} MiB, {time.monotonic() - started:.0f} seconds")
