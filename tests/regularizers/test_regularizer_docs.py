"""The code of docs/regularizers.md runs, block after block, and the page names every regularizer."""

import re
from pathlib import Path

from infogan_lib import regularizers

PAGE = (Path(__file__).parents[2] / "docs" / "regularizers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_runs(capsys):
    namespace = {}
    for block in BLOCKS:
        exec(block, namespace)
    r1, drift = map(float, capsys.readouterr().out.split())
    assert r1 > 0
    assert drift > 0
    assert all(p.grad.abs().sum() > 0 for p in namespace["generator"].parameters())


def test_every_regularizer_is_shown_at_work():
    code = "\n".join(BLOCKS)
    classes = [thing for name in regularizers.__all__ if isinstance(thing := getattr(regularizers, name), type)]
    terms = [c for c in classes if issubclass(c, regularizers.Regularizer) and c is not regularizers.Regularizer]
    built_in = [c.__name__ for c in terms if not c.__abstractmethods__]
    assert len(built_in) == 8
    assert all(re.search(rf"\b{name}\(", code) for name in built_in)
