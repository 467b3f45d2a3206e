"""A page in the browser for changing a model's codes by hand and reading the codes of a picture.

    python -m infogan_lib.explorer runs/mnist

It is the page of `export_onnx(web=True)`, with the model in this process in place of ONNX files, so that it needs no
further package. The page is served on 127.0.0.1 only and contacts no other host.
"""

from infogan_lib.explorer.server import RunningPage, explore

__all__ = ["RunningPage", "explore"]
