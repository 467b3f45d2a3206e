"""Figures of scores: a confusion matrix and calibration curves."""

import numpy as np
import pytest

from infogan_lib.metrics import match_categories
from infogan_lib.metrics.calibration import Coverage, Reliability
from infogan_lib.viz import plot_calibration, plot_confusion


def test_confusion_figure_has_the_labels_in_order():
    match = match_categories([2, 2, 0, 1, 1, 1], [0, 0, 1, 2, 2, 0], category_count=4)
    figure = plot_confusion(match, label_names=["a", "b", "c"])
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "0", "1", "3"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "2", (1, 1): "1", (0, 2): "1", (2, 2): "2"}
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, [[2 / 3, 0, 0], [0, 1, 0], [1 / 3, 0, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match="3 label names are needed, but got 2"):
        plot_confusion(match, label_names=["a", "b"])


def test_calibration_figure_shows_both_kinds_of_curve():
    nan = float("nan")
    edges, counts = np.linspace(0, 1, 4), np.array([0, 2, 6])
    reliability = Reliability(edges, counts, np.array([nan, 0.5, 0.9]), np.array([nan, 0.25, 1.0]), 0.1375)
    coverage = Coverage(np.array([0.5, 1.0]), np.array([0.3, 1.0]), 0.1)
    figure = plot_calibration({"digit": reliability, "style": coverage})
    first, second = figure.axes
    assert first.get_title() == "digit: error 0.138"
    assert first.lines[1].get_xydata().tolist() == [[0.5, 0.25], [0.9, 1.0]]
    assert second.lines[1].get_xydata().tolist() == [[0.5, 0.3], [1.0, 1.0]]
    with pytest.raises(ValueError, match="no code has a posterior with a confidence"):
        plot_calibration({})
