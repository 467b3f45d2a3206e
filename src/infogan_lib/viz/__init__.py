"""Figures of a model's samples and of its training, and a report. Needs matplotlib: pip install 'infogan-lib[viz]'."""

from infogan_lib.viz.curves import epoch_means, plot_epochs, plot_history, running_mean
from infogan_lib.viz.grids import image_grid, plot_grid, save_figure, save_png
from infogan_lib.viz.live_preview import LivePreview
from infogan_lib.viz.report import Report, write_report
from infogan_lib.viz.sample_grid import SampleGrid, animate_folder
from infogan_lib.viz.samples import (
    plot_categories,
    plot_fixed_category,
    plot_fixed_noise,
    plot_requests,
    plot_traversal,
)
from infogan_lib.viz.scores import plot_calibration, plot_confusion

__all__ = [
    "LivePreview",
    "Report",
    "SampleGrid",
    "animate_folder",
    "epoch_means",
    "image_grid",
    "plot_calibration",
    "plot_categories",
    "plot_confusion",
    "plot_epochs",
    "plot_fixed_category",
    "plot_fixed_noise",
    "plot_grid",
    "plot_history",
    "plot_requests",
    "plot_traversal",
    "running_mean",
    "save_figure",
    "save_png",
    "write_report",
]
