"""The file of a report, which shows itself in a notebook."""

import os
from html import escape
from pathlib import Path

from typing_extensions import override


class Report(os.PathLike[str]):
    """A report that was written. It can be given wherever a path can, and a notebook shows the page.

    Attributes:
        path: The path of the HTML file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    def __fspath__(self) -> str:
        return str(self.path)

    @override
    def __str__(self) -> str:
        return str(self.path)

    @override
    def __repr__(self) -> str:
        return f"Report({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """The page in a frame. It is in the output itself, so that the notebook can be sent without the file."""
        page = self.path.read_text(encoding="utf-8")
        return (
            f'<iframe title="report" srcdoc="{escape(page)}" style="width:100%;height:600px;border:1px solid #ccc">'
            "</iframe>"
        )
