"""Runs the Python blocks of documents, in order per page, each page in a fresh process.

    python tests/docs_code.py README.md docs/labels.md

What takes long is shortened by hooks: `InfoGANTrainer.fit` makes `STEPS` steps, whatever it is asked for, on batches of
at most `BATCH` images, and so does `pretrain_q`; `Evaluator` is due in the last of them; torch.compile traces and
compiles nothing. A block that cannot run follows a line ``<!-- not run: the reason -->``. Prints JSON: the fault of
each page, or null.
"""

import json
import os
import re
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

import matplotlib.figure  # noqa: F401 - imported once, and not by every page again
import sklearn.datasets  # noqa: F401
import torch

import docs_checks
from infogan_lib import InfoGANTrainer
from infogan_lib.evaluation import Evaluator

ROOT = Path(__file__).parents[1]
STEPS, BATCH = 2, 32
BLOCK = re.compile(r"(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[str, int, str]]:
    """The mark before each block ("" for none), the line it begins at, and its code."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(m[1] or "", text[: m.start(2)].count("\n"), m[2]) for m in BLOCK.finditer(text)]


def shorten() -> None:
    fit, evaluator, pretrain = InfoGANTrainer.fit, Evaluator.__init__, InfoGANTrainer.pretrain_q

    def short_fit(self, data, *, epochs=None, steps=None, batch_size=128, **arguments):
        assert (epochs is None) != (steps is None)
        return fit(self, data, steps=STEPS, batch_size=min(batch_size, BATCH), **arguments)

    def due_evaluator(self, *arguments, every, **more):
        evaluator(self, *arguments, every=min(every, STEPS), **more)

    def short_pretraining(self, images, *, starts=5, batch_size=128, **_):
        return pretrain(self, images, steps=STEPS, starts=starts, batch_size=min(batch_size, BATCH))

    InfoGANTrainer.fit, Evaluator.__init__, InfoGANTrainer.pretrain_q = short_fit, due_evaluator, short_pretraining
    torch.compile = partial(torch.compile, backend="eager")


def run(page: str) -> str | None:
    """The first fault of a page, with its line; None if all blocks ran and its check holds."""
    names: dict[str, object] = {"__name__": "__main__"}
    line = 0
    try:
        for mark, line, code in blocks(page):
            if not mark:
                exec(compile("\n" * line + code, page, "exec"), names)
        docs_checks.CHECKS.get(page, lambda names: None)(names)
    except BaseException:
        return f"{page}, the block at line {line + 1}:\n{traceback.format_exc()}"
    return None


def run_apart(page: str) -> str | None:
    """The same in a process and a folder of its own; the data of the examples can be reached in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        reader, writer = os.pipe()
        started = time.monotonic()
        if (child := os.fork()) == 0:
            os.chdir(folder)
            Path("examples").symlink_to(ROOT / "examples")
            os.dup2(2, 1)  # what a block prints
            fault = run(page) or ""
            with os.fdopen(writer, "w", encoding="utf-8") as file:
                file.write(fault[-4000:])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as file:
            fault = file.read() or None
        _, status = os.waitpid(child, 0)
        sys.stderr.write(f"{page}: {time.monotonic() - started:.1f} s\n")
        return fault or (f"{page} ended its process with status {status}" if status else None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    shorten()
    sys.stdout.write(json.dumps({page: run_apart(page) for page in sys.argv[1:]}))
