"""Every Python block of the README and of the documents runs as printed, in order per page, from nothing."""

import json
import os
import subprocess
import sys

import pytest

from docs_code import ROOT, blocks

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if blocks(page)]


def test_few_blocks_are_not_run():
    marks = [mark for page in PAGES for mark, _, _ in blocks(page)]
    assert len(marks) > 30
    assert sum(map(bool, marks)) <= 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_block_runs():
    folders = [str(ROOT / name) for name in ("src", "tests")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tests/docs_code.py"), *PAGES],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    faults = [fault for fault in json.loads(done.stdout).values() if fault]
    assert not faults, "\n\n".join(faults)
