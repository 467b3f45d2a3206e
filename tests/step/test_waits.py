"""On the false CUDA device: the host waits for nothing in a step, whatever the options, but to read an earlier step."""

import sys
from collections import Counter

import pytest
import torch
from test_late_reading import SETTINGS, Quiet
from torch.optim.lr_scheduler import LinearLR
from torch.utils.data import DataLoader, TensorDataset

from infogan_lib.data.augmentation import Brightness, Translation
from infogan_lib.regularizers import Contrastive, RealImageInformation, VirtualAdversarial
from toys import images, make_trainer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif("false_cuda" not in sys.modules, reason="needs the false CUDA device: pytest -p false_cuda"),
]

MORE = {
    "fp16": {"precision": "fp16"},
    "fp16, several updates": {"precision": "fp16", "d_steps": 2, "g_steps": 2},
    "default terms": {"regularizers": None},
    "virtual adversarial": {"regularizers": [RealImageInformation("digit"), VirtualAdversarial("digit")]},
    "contrastive": {"regularizers": [Contrastive()]},
    "augmentation": {"augment": Translation(0.25), "discriminator_augment": Brightness(0.5)},
    "joint, with all": {
        "joint_batches": True,
        "ema_decay": 0.9,
        "regularizers": None,
        "precision": "bf16",
        "accumulation_steps": 2,
        "scheduler": lambda o: LinearLR(o, 1.0, 0.1, 50),
    },
}


def waits():
    import false_cuda

    found = Counter(false_cuda.WAITS)
    false_cuda.reset()
    return found


@pytest.mark.parametrize("settings", [*SETTINGS.values(), *MORE.values()], ids=[*SETTINGS, *MORE])
def test_a_launch_does_not_wait(settings):
    t = make_trainer(device="cuda", **settings)
    for seed in range(3):
        t.step(images(16, seed=seed))
    waits()
    for seed in range(2):  # both kinds of step where D is updated more often
        t.launch(images(16, seed=seed))
        assert not waits()
        t.read()
        assert [kind for kind, _ in waits().elements()] == ["event"]


BYTES = ((images(64) + 1) * 127.5).to(torch.uint8)
DATA = {
    "bytes": BYTES,
    "floats": images(64),
    "a data set": TensorDataset(images(64), torch.zeros(64)),
    "a loader": DataLoader(TensorDataset(BYTES), 16, shuffle=True),
    "a list": list(images(64).split(16)),
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("fits", [True, False])
def test_a_fit_waits_once_a_step_to_read_the_one_before(monkeypatch, data, fits):
    if not fits:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8 * 2**30))
    t = make_trainer(device="cuda", ema_decay=0.9)
    t.fit(data, steps=4, batch_size=16, callbacks=[Quiet()])
    waits()
    t.fit(data, steps=12, batch_size=16, callbacks=[Quiet()])
    kinds = Counter(kind for kind, _ in waits().elements())
    assert kinds.pop("event") == 12
    assert kinds <= Counter({"host to device": 1, "item": 1})  # once a fit: the data, and the weights at the end


def test_data_that_does_not_fit_is_kept_on_the_host_and_changes_nothing(monkeypatch):
    fitted, kept = make_trainer(device="cuda"), make_trainer(device="cuda")
    fitted.fit(BYTES, steps=6, batch_size=16)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8 * 2**30))
    kept.fit(BYTES, steps=6, batch_size=16)
    assert fitted.history["loss/d"].tolist() == kept.history["loss/d"].tolist()
