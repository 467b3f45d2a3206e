"""The extra `eval` (scipy, scikit-learn): imported where it is used, and named where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def eval_extra(what: str, package: str = "scikit-learn") -> Iterator[None]:
    """Around an import: say what needs the package and how it is installed.

    Raises:
        ImportError: the package is not installed; the message has its pip command.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{what} needs {package}: pip install 'infogan-lib[eval]'") from error
