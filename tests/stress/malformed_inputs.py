"""Malformed input at every public door, counted: refused by name, refused otherwise, raw errors, accepted.

    python tests/stress/malformed_inputs.py [PART OF A DOOR'S NAME]
    python tests/stress/malformed_inputs.py --anything [PART OF A DOOR'S NAME]

The table is `tests/doors.py`. Each value is tried in this process, in a folder that is thrown away, for at most 20 s.
With `--anything`, each argument is given values of every kind, some of which it may take: a value that fits nothing has
to be refused by an error of the library's own.
"""

import collections
import dis
import itertools
import os
import re
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent.parent))

from doors import OWN_ERRORS, ROWS, Row, anything, cases

NAMED, OTHERWISE, RAW, ACCEPTED, HANGS = "refused by name", "refused without the name", "raw", "accepted", "no end"


class _TooLongError(BaseException):
    pass


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _TooLongError


def attempt(row: Row, value: object) -> tuple[str, str]:
    """What a door does with a value, and its message."""
    signal.alarm(20)
    try:
        row.call(value)
    except _TooLongError:
        return HANGS, ""
    except OWN_ERRORS as error:
        if re.search(row.label, str(error)):
            return NAMED, ""
        return OTHERWISE if _is_raised_here(error) else RAW, f"{type(error).__name__}: {error}"
    except Exception as error:
        return RAW, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return ACCEPTED, ""


def try_all(part: str = "", every: int = 1, *, is_any: bool = False) -> collections.Counter[str]:
    """Try malformed values, and print every one that is not refused by name.

    Args:
        part: A part of the names of the doors that are tried.
        every: Try only every so manieth value.
        is_any: Whether to try values of every kind at every door, of which some may be right.

    Returns:
        How many by outcome.
    """
    tried = ((row, value) for row in ROWS for value in anything() if not _trains_on(row, value)) if is_any else cases()
    signal.signal(signal.SIGALRM, _stop)
    warnings.simplefilter("ignore")
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for row, value in itertools.islice(((row, value) for row, value in tried if part in row.door), 0, None, every):
            outcome, message = attempt(row, value)
            counts[outcome] += 1
            if outcome not in _fine(is_any):
                text = " ".join(f"{row.door}({row.argument}={_shorten(value)}) {message}".split())
                print(f"{outcome:25} {ascii(text)[1:230]}", flush=True)
        os.chdir("/")
    return counts


def main() -> int:
    """Print the counts. Returns the number of values that are not answered as they should be."""
    is_any = "--anything" in sys.argv
    part = next((argument for argument in sys.argv[1:] if argument != "--anything"), "")
    counts = try_all(part, is_any=is_any)
    print(f"{counts.total()} tried: {', '.join(f'{n} {outcome}' for outcome, n in counts.most_common())}")
    return counts.total() - sum(counts[outcome] for outcome in _fine(is_any))


def _fine(is_any: bool) -> tuple[str, ...]:
    """The outcomes that are right: values of every kind are accepted where they fit."""
    return (NAMED, OTHERWISE, ACCEPTED) if is_any else (NAMED,)


def _is_raised_here(error: BaseException) -> bool:
    """Whether a `raise` of the library made an error, not a function of torch or numpy that it called."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or "infogan_lib" not in last.tb_frame.f_code.co_filename:
        return False
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")


def _trains_on(row: Row, value: object) -> bool:
    """Whether a value is a length of training that is right, and takes years."""
    return row.argument in ("steps", "epochs") and row.door.endswith("fit") and type(value) is int and value > 10


def _shorten(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "<an object without a repr>"
    return text.encode("ascii", "backslashreplace").decode()[:50]


if __name__ == "__main__":
    sys.exit(main() > 0)
