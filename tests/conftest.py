import os
import signal
import threading

import pytest
import torch
from hypothesis import settings
from torch.fx.experimental.proxy_tensor import make_fx

from toys import DEVICE

# For deterministic products on CUDA, which reads it with the first one.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# Deadlines time the machine, not the code.
settings.register_profile("project", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("project")

# Sums come out otherwise with other numbers of threads, and networks of this size gain nothing from them.
torch.set_num_threads(1)

# A shell's background jobs ignore Ctrl-C, and hand that down to the tests and to the programs that these start.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _fixed_global_seed():
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Skip what a device other than the CPU, or a machine without CUDA, cannot run."""
    for item in items:
        if item.get_closest_marker("cpu") and DEVICE != "cpu":
            item.add_marker(pytest.mark.skip(reason="has tensors of its own on the CPU"))
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture(scope="session")
def traced_generators() -> None:
    """Skips a test that traces draws of a `torch.Generator`, which torch 2.10 cannot."""
    rng = torch.Generator()
    try:
        make_fx(lambda x: torch.rand(2, generator=rng) + x, tracing_mode="fake")(torch.zeros(2))
    except NotImplementedError as error:
        pytest.skip(f"torch {torch.__version__} cannot trace a torch.Generator: {error}")
