"""What the last operations of a network say about its output."""

import math

import pytest
import torch
from torch import nn

from infogan_lib.networks import activations
from infogan_lib.networks.activations import column_operations, final_operation, reachable_interval
from infogan_lib.networks.introspection import eager


class Then(nn.Module):
    """A linear layer, and a function after it."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(4, 6), function

    def forward(self, x):
        return self.function(self.layer(x))


def output(function):
    torch.manual_seed(0)
    return Then(function)(torch.randn(8, 4))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (torch.tanh, (-1, 1)),
        (torch.sigmoid, (0, 1)),
        (nn.Hardsigmoid(), (0, 1)),
        (nn.Hardtanh(-2, 3), (-2, 3)),
        (nn.Hardtanh(), (-1, 1)),
        (lambda x: (x.tanh() + 1) / 2, (0, 1)),
        (lambda x: 0.5 - 0.5 * x.tanh(), (0, 1)),
        (lambda x: x.sigmoid() * 255, (0, 255)),
        (lambda x: 2 * x.sigmoid() - 1, (-1, 1)),
        (lambda x: x.clamp(0, 1), (0, 1)),
        (lambda x: x.clamp(-0.5, 2).reshape(8, 2, 3).permute(0, 2, 1), (-0.5, 2)),
        (lambda x: x.tanh().clamp(-0.5, 5), (-0.5, 1)),
        (lambda x: x.tanh().reshape(8, 2, 3).permute(0, 2, 1), (-1, 1)),
        (lambda x: x, None),
        (torch.relu, None),
        (lambda x: x.clamp(min=0), None),
        (lambda x: x.clamp_min(0), None),
        (lambda x: x.clamp_min(0).clamp_max(1), (0, 1)),
        (lambda x: x.clamp(torch.zeros(1), torch.ones(1)), None),
        (lambda x: nn.functional.interpolate(x.tanh()[:, None], scale_factor=2.0), (-1, 1)),
        (lambda x: x.clamp(-1, 1) * 3, None),
        (lambda x: x.tanh() * x, None),
        (lambda x: x.tanh() + x, None),
        (lambda x: (2 * x.sigmoid()).reshape(8, 2, 3).permute(0, 2, 1), None),
    ],
)
def test_the_range_of_an_output_is_read_off_its_last_operations(function, expected):
    assert reachable_interval(output(function)) == expected


@pytest.mark.parametrize(
    ("function", "name", "reach"),
    [
        (nn.Sigmoid(), "Sigmoid", (0, 1)),
        (nn.Softmax(1), "Softmax", (0, 1)),
        (nn.LogSoftmax(1), "LogSoftmax", (-math.inf, 0)),
        (nn.LogSigmoid(), "LogSigmoid", (-math.inf, 0)),
        (nn.ReLU(), "ReLU", (0, math.inf)),
        (nn.Softplus(), "Softplus", (0, math.inf)),
        (torch.exp, "exp", (0, math.inf)),
        (lambda x: x.square().sqrt(), "sqrt", (0, math.inf)),
        (lambda x: x.view(8, 2, 3).mean(2), "a linear layer", (-math.inf, math.inf)),
        *[
            (function, "a linear layer", (-math.inf, math.inf))
            for function in (
                lambda x: nn.functional.avg_pool2d(x.view(8, 1, 2, 3), 2),
                lambda x: nn.functional.adaptive_avg_pool2d(x.view(8, 1, 2, 3), (2, 1)),
                lambda x: nn.functional.adaptive_max_pool2d(x.view(8, 1, 2, 3), 1),
                lambda x: nn.functional.max_pool2d(x.view(8, 1, 2, 3), 2),
                lambda x: x.sum(1),
                lambda x: x.logsumexp(1),
                lambda x: x.max(1).values,
                lambda x: x.amin(1),
                lambda x: x.gather(1, torch.zeros(8, 1, dtype=torch.int64)),
                lambda x: x.clamp(-10, 10),
            )
        ],
        (lambda x: x.clamp(0, 1), "clamp", (0, 1)),
        (lambda x: x.clamp(min=1e-6), "clamp", (1e-6, math.inf)),
        (lambda x: x.clamp_max(0).mean(1), "clamp", (-math.inf, 0)),
        (lambda x: x.sigmoid().clamp(1e-6, 1 - 1e-6), "Sigmoid", (0, 1)),
        (lambda x: torch.maximum(x, torch.zeros(1)), "MaximumBackward0", None),
        (lambda x: x[:, :3] + x[:, 3:].tanh(), "a sum of layers", (-math.inf, math.inf)),
        (lambda x: x.sigmoid() + x.tanh(), "AddBackward0", None),
        (lambda x: 1 / (1 + torch.exp(-x)), "ReciprocalBackward0", None),
        (lambda x: torch.ones(1) / (1 + torch.exp(-x)), "DivBackward0", None),
        (nn.GELU(), "GeluBackward0", None),
    ],
)
def test_the_final_operation_is_found_behind_reshaping(function, name, reach):
    found = final_operation(output(function))
    assert (found.name, found.reach) == (name, reach)


def test_an_operation_tells_whether_constants_follow_it():
    assert not final_operation(output(torch.exp)).is_shifted
    assert final_operation(output(lambda x: x.exp() + 1)).is_shifted
    assert final_operation(output(lambda x: x.sigmoid().sum(1))).is_shifted
    assert final_operation(output(lambda x: (2 * x.clamp(min=0)).clamp(0, 1))).is_shifted


def test_columns_that_were_concatenated_have_operations_of_their_own():
    made = output(lambda x: torch.cat([x[:, :2], x[:, 2:3].exp(), x[:, 3:].reshape(8, 3, 1).tanh().flatten(1)], 1))
    assert [operation.name for operation in column_operations(made)] == [*["a linear layer"] * 2, "exp", *["Tanh"] * 3]
    mixed = output(lambda x: torch.cat([x, x.exp()], 1)[:, 3:])
    assert {operation.reach for operation in column_operations(mixed)} == {None}
    maps = output(lambda x: torch.cat([x.reshape(8, 3, 1, 2), x.exp().reshape(8, 3, 1, 2)], 1))
    assert [operation.name for operation in column_operations(maps)] == ["a linear layer"] * 6 + ["exp"] * 6
    clamped = output(lambda x: torch.cat([x[:, :2], x[:, 2:].exp()], 1).clamp(min=1e-3))
    assert [operation.name for operation in column_operations(clamped)] == ["clamp"] * 2 + ["exp"] * 4
    stacked = output(lambda x: torch.stack([x, x.exp()], 1))
    assert [operation.name for operation in column_operations(stacked)] == ["a linear layer"] * 6 + ["exp"] * 6
    mingled = output(lambda x: torch.stack([x, x.exp()], 2))
    assert {operation.reach for operation in column_operations(mingled)} == {None}
    pooled = output(lambda x: torch.cat([x, x.exp()], 1)[:, None].max(2).values)
    assert {operation.reach for operation in column_operations(pooled)} == {None}


def test_a_compiled_module_is_seen_as_it_is_written():
    module = torch.compile(Then(torch.sigmoid), backend="aot_eager")
    try:
        with eager():
            assert final_operation(module(torch.randn(8, 4))).name == "Sigmoid"
    finally:
        torch.compiler.reset()


def test_a_chain_of_shifts_is_walked_once(monkeypatch):
    visits, operation = [], activations._operation
    monkeypatch.setattr(activations, "_operation", lambda node: visits.append(node) or operation(node))
    y = nn.Linear(3, 3)(torch.ones(2, 3))
    for _ in range(10):
        y = y + 1
    assert final_operation(y) == activations.Operation("a linear layer", (-math.inf, math.inf), is_shifted=True)
    assert len(visits) == 1
