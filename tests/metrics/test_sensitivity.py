"""Fractions of variance and confusion of categories, on arrays whose answers are known."""

import pytest
import torch

from infogan_lib.metrics.sensitivity import (
    between_image_variance,
    confusion,
    merged_categories,
    squared_difference,
    total_effects,
    unused_categories,
)


def test_between_image_variance():
    assert between_image_variance(torch.randn(1, 3, 4, 4).expand(20, 3, 4, 4)) == 0
    assert between_image_variance(torch.ones(5, 7)) == 0
    flat = torch.tensor([-1.0, 1.0])[:, None, None].expand(2, 2, 3)  # images of one value each: all lies between
    assert between_image_variance(flat) == pytest.approx(1)
    pattern = torch.tensor([[[0.0, 2.0, 0.0, 2.0]], [[0.0, 2.0, 0.0, 4.0]]])
    assert between_image_variance(pattern) == pytest.approx(0.25 / 1.9375)  # one pixel of four: 1; in all: 3.5 - 1.25^2
    # Vectors have features of any scale: they are identical or not.
    assert between_image_variance(torch.tensor([[100.0, 1.0], [100.0, -1.0]])) == 1
    assert between_image_variance(torch.tensor([[100.0, 1.0], [100.0, 1.0]])) == 0


def test_differences_and_total_effects():
    before, after = torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 2.0], [2.0, 2.0]])
    assert squared_difference(before, after).tolist() == [2.0, 0.0]
    # The variance of these images is 1, and T_i = E[d^2] / 2: 1/2 for the first variable, 0 for the second.
    indices = torch.tensor([0, 0, 1, 1])
    assert total_effects(torch.tensor([2.0, 0.0, 0.0, 0.0]), indices, before, 3).tolist() == [0.5, 0.0, 0.0]
    assert total_effects(torch.tensor([0.0]), torch.tensor([0]), torch.ones(4, 2), 1).tolist() == [0.0]


def test_confusion_has_requested_categories_in_rows():
    table = confusion(torch.tensor([0, 0, 2]), torch.tensor([1, 1, 2]), 3)
    assert table.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_unused_categories():
    table = torch.tensor([[10, 0, 0], [5, 5, 0], [0, 10, 0]])
    assert unused_categories(table) == [2]
    assert unused_categories(table, min_ratio=1.6) == [0, 1, 2]
    assert unused_categories(torch.tensor([[20, 0, 0], [0, 20, 0], [0, 0, 0]])) == []  # it was never requested
    assert unused_categories(torch.eye(3)) == []
    assert unused_categories(torch.zeros(3, 3)) == []


def test_merged_categories():
    halves = torch.tensor([[10, 10, 0, 0], [9, 11, 0, 0], [0, 0, 20, 0], [0, 0, 0, 20]])
    assert merged_categories(halves) == [[0, 1]]
    assert merged_categories(torch.eye(4) * 20) == []
    assert merged_categories(torch.full((4, 4), 5)) == [[0, 1, 2, 3]]
    assert merged_categories(torch.full((4, 4), 1)) == []  # too few to say so
    assert merged_categories(halves.roll(1, 0)) == [[1, 2]]
    close = torch.tensor([[14, 6], [6, 14]])  # apart by 0.4
    assert merged_categories(close) == []
    assert merged_categories(close, max_distance=0.41) == [[0, 1]]
