"""A page in the browser for moving a model's codes by hand and for reading the codes of a picture.

    python -m infogan_lib.explorer runs/mnist

The page is served on 127.0.0.1 alone and asks no other host for anything. Needs Gradio: pip install
'infogan-lib[explore]'.
"""

from infogan_lib.explorer.server import RunningPage, explore

__all__ = ["RunningPage", "explore"]
