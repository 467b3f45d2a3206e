"""What Accelerate and Lightning Fabric make of networks and loaders is refused, in a program that `torchrun` starts."""

import json

import pytest

from distributed_workers import torchrun

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, sys, warnings

warnings.simplefilter("ignore")
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

torch.set_num_threads(1)
from toys import dense_discriminator, images, make_trainer


class Stream(IterableDataset):
    def __iter__(self):
        return iter(images(40))


def fit(data):
    make_trainer().fit(data, steps=2, progress=False)


def prepared(data, **options):
    return Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**options)).prepare(data)


items = DataLoader(TensorDataset(images(40)), 4)
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
attempts = {
    "accelerator.prepare(network)": lambda: make_trainer(discriminator=prepared(dense_discriminator())),
    "accelerator.prepare(loader)": lambda: fit(prepared(items)),
    "accelerator.prepare(stream)": lambda: fit(prepared(DataLoader(Stream(), 4), dispatch_batches=False)),
    "accelerator.prepare(stream), dispatched": lambda: fit(prepared(DataLoader(Stream(), 4), dispatch_batches=True)),
    "fabric.setup(network)": lambda: make_trainer(discriminator=fabric.setup(dense_discriminator())),
    "fabric.setup_dataloaders(loader)": lambda: fit(fabric.setup_dataloaders(items)),
    "neither": lambda: fit(images(200)),
}
said = {}
for name, attempt in attempts.items():
    try:
        attempt()
        said[name] = "trained"
    except (TypeError, ValueError) as error:
        said[name] = str(error)
if os.environ["RANK"] == "0":
    print(json.dumps(said))
"""


def test_what_accelerate_and_fabric_prepare_is_refused(tmp_path):
    pytest.importorskip("accelerate")
    pytest.importorskip("lightning_fabric")
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = torchrun(tmp_path / "program.py")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said.pop("neither") == "trained"
    assert len(said) == 6
    for name, message in said.items():
        expected = (
            "networks must be given as they are" if "network" in name else "gives each process a part of the data"
        )
        assert expected in message, name
