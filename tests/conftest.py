import pytest
import torch
from hypothesis import settings

# Deadlines time the machine, not the code.
settings.register_profile("project", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("project")

# Sums come out otherwise with other numbers of threads, and networks of this size gain nothing from them.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_global_seed():
    torch.manual_seed(0)
