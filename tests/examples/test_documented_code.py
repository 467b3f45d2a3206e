"""The code of the documents is that of the examples; tests/test_docs_code.py runs all of it."""

import re
from pathlib import Path

import torch

from custom_code import Angle

ROOT = Path(__file__).parents[2]


def python_blocks(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_the_documented_code_is_the_examples_code():
    """docs/extending.md shows the class of examples/custom_code.py, up to its comments and annotations."""
    documented = python_blocks("docs/extending.md")[0]
    names = {}
    exec(documented, names)
    shown, angle = names["Angle"](), Angle()
    assert (shown.width, shown.num_outputs, shown.entropy) == (angle.width, angle.num_outputs, angle.entropy)
    outputs, value = torch.randn(5, 3), torch.nn.functional.normalize(torch.randn(5, 2))
    assert torch.equal(shown.nll(outputs, value), angle.nll(outputs, value))
    assert torch.equal(shown.traverse(shown.center()), angle.traverse(angle.center()))
    torch.testing.assert_close(angle.traverse(angle.center(), steps=7).norm(dim=1), torch.ones(7))
    extreme = (torch.cartesian_prod(*[torch.tensor([-1e4, 1.0, 1e4])] * 3)).requires_grad_()
    angle.nll(extreme, value[:1].expand(27, 2)).sum().backward()
    assert extreme.grad.isfinite().all()
