"""WebDataset and streams of Hugging Face's datasets, as they are, in programs that `torchrun` starts."""

import importlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from distributed_workers import torchrun

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, signal, sys, warnings
from pathlib import Path

warnings.simplefilter("ignore")
import torch
from torch.utils.data import DataLoader

torch.set_num_threads(1)
import infogan_lib as ig
from infogan_lib.data import Sharded
from toys import make_trainer

out, results = Path(sys.argv[1]), {}


class See(ig.Callback):
    def __init__(self, stop_at=None):
        self.seen, self.stop_at = [], stop_at

    def on_step_end(self, trainer, metrics):
        self.seen.append((100 * trainer.last_batch[:, 0, 0, 0]).round().int().tolist())
        if trainer.steps == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)


def train(name, data, stop_at=None, **fit):
    see, trainer = See(stop_at), make_trainer()
    try:
        trainer.fit(data, epochs=2, callbacks=[see], progress=False, **fit)
    except (ValueError, SystemExit) as error:
        results[name + " ended"] = str(error)
    weights = torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()])
    results[name] = see.seen
    results[name + " weights"] = trainer.distributed.exchange(weights.double().sum().item())

"""

WEB = """
import webdataset as wds

def stream(split):
    urls = [str(out / f"{i}.tar") for i in range(4)]
    return wds.WebDataset(urls, nodesplitter=split, shardshuffle=False).decode().to_tuple("npy").batched(6)

train("workers", Sharded(DataLoader(stream(wds.split_by_node), batch_size=None, num_workers=2)))
train("web loader", Sharded(wds.WebLoader(stream(wds.split_by_node), batch_size=None, num_workers=1)))
train("read by one", wds.WebLoader(stream(None), batch_size=None))
train("lost", DataLoader(stream(wds.split_by_node), batch_size=None))
"""

HUGGING_FACE = """
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node

files = [str(out / f"{i}.parquet") for i in range(4)]
whole = load_dataset("parquet", data_files=files, split="train", streaming=True).with_format("torch")

def share():
    return split_dataset_by_node(whole, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))

train("workers", Sharded(DataLoader(share(), batch_size=6, num_workers=2, drop_last=True)))
train("shuffled", Sharded(share().shuffle(seed=0, buffer_size=100)), batch_size=6)
train("read by one", whole, batch_size=6)
train("lost", share(), batch_size=6)
train("straight", Sharded(share()), batch_size=6, checkpoints=out / "straight")
train("stopped", Sharded(share()), batch_size=6, checkpoints=out / "run", stop_at=3)
train("resumed", Sharded(share()), batch_size=6, checkpoints=out / "run")
"""


def image(number: int) -> np.ndarray:
    """An image that begins with its number."""
    pixels = np.random.default_rng(number).uniform(-0.5, 0.5, (1, 4, 4)).astype(np.float32)
    pixels[0, 0, 0] = number / 100
    return pixels


def write_tars(folder: Path) -> None:
    """Four shards of twelve images."""
    for i in range(4):
        with tarfile.open(folder / f"{i}.tar", "w") as shard:
            for number in range(12 * i, 12 * i + 12):
                file = io.BytesIO()
                np.save(file, image(number))
                member = tarfile.TarInfo(f"{number:03d}.npy")
                member.size = len(file.getvalue())
                shard.addfile(member, io.BytesIO(file.getvalue()))


def launch(folder: Path, program: str) -> dict:
    (folder / "program.py").write_text(
        PROGRAM + program + '\nif os.environ["RANK"] == "0":\n    (out / "results").write_text(json.dumps(results))\n'
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    ended = torchrun(folder / "program.py", str(folder), environment=offline)
    assert ended.returncode == 0, ended.stderr
    return json.loads((folder / "results").read_text())


def assert_read_once_an_epoch(results: dict, name: str) -> None:
    """Two epochs of eight batches with each of 48 images, and the same weights in both processes."""
    batches = results[name]
    assert [len(batch) for batch in batches] == [6] * 16
    for epoch in (batches[:8], batches[8:]):
        assert sorted(number for batch in epoch for number in batch) == [*range(48)]
    first, second = results[f"{name} weights"]
    assert first == second


def test_webdataset(tmp_path):
    pytest.importorskip("webdataset")
    write_tars(tmp_path)
    results = launch(tmp_path, WEB)
    for name in ("workers", "web loader", "read by one"):
        assert_read_once_an_epoch(results, name)
    assert "give infogan_lib.data.Sharded(stream)" in results["lost ended"]


def test_hugging_face(tmp_path):
    pytest.importorskip("datasets.distributed")  # a folder of the tests is called datasets, too
    datasets = importlib.import_module("datasets")
    for i in range(4):
        rows = [{"image": image(number).tolist()} for number in range(12 * i, 12 * i + 12)]
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / f"{i}.parquet")
    results = launch(tmp_path, HUGGING_FACE)
    for name in ("workers", "shuffled", "read by one", "straight"):
        assert_read_once_an_epoch(results, name)
    assert results["shuffled"][:8] != results["shuffled"][8:]
    assert "give infogan_lib.data.Sharded(stream)" in results["lost ended"]
    done = len(results["stopped"])
    assert 3 <= done < 8
    assert results["stopped"] + results["resumed"] == results["straight"]
    assert results["resumed weights"] == results["straight weights"]
