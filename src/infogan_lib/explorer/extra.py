"""The packages of the extra `explore`, imported when they are needed."""

from importlib import import_module
from typing import Any


def required(name: str = "gradio") -> Any:
    """A module of the extra `explore`: gradio, and what comes with it.

    Raises:
        ImportError: it is not installed; the message names the command.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"the explorer needs {name}: pip install 'infogan-lib[explore]'") from error
