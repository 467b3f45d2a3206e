"""Pictures of what a model makes and how it was trained. Needs matplotlib: pip install 'infogan-lib[viz]'."""

from infogan_lib.viz.curves import curves_figure, epoch_curves_figure, epoch_means, running_mean
from infogan_lib.viz.grids import (
    category_figure,
    fixed_condition_figure,
    fixed_noise_figure,
    grid_figure,
    image_grid,
    requested_figure,
    save_figure,
    save_png,
    sweep_figure,
)
from infogan_lib.viz.report import write_report
from infogan_lib.viz.sample_grid import SampleGrid, animate_folder
from infogan_lib.viz.scores import calibration_figure, confusion_figure

__all__ = [
    "SampleGrid",
    "animate_folder",
    "calibration_figure",
    "category_figure",
    "confusion_figure",
    "curves_figure",
    "epoch_curves_figure",
    "epoch_means",
    "fixed_condition_figure",
    "fixed_noise_figure",
    "grid_figure",
    "image_grid",
    "requested_figure",
    "running_mean",
    "save_figure",
    "save_png",
    "sweep_figure",
    "write_report",
]
