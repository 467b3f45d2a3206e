"""A model that runs without this library: ONNX files, and a page that needs no server. Needs the extra `onnx`."""

from infogan_lib.export.onnx_folder import export_onnx
from infogan_lib.export.tracing import ExportError

__all__ = ["ExportError", "export_onnx"]
