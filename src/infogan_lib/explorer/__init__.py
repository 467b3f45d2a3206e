"""A page in the browser for changing a model's codes by hand and reading the codes of a picture.

    python -m infogan_lib.explorer runs/mnist

The page is served on 127.0.0.1 only and contacts no other host. Needs Gradio: pip install 'infogan-lib[explore]'.
"""

from infogan_lib.explorer.server import RunningPage, explore

__all__ = ["RunningPage", "explore"]
