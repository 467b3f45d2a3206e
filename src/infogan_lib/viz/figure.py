"""A figure that a notebook shows, also without pyplot. Imported where a figure is made, as it needs matplotlib."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """A figure of matplotlib that is its picture as the last line of a cell."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return file.getvalue()
