"""Files made to do harm, each under a manifest that vouches for it: none runs anything, each is a CheckpointError."""

import copy
import hashlib
import io
import json
import os
import pickle
import resource
import socket
import struct
import zipfile

import pytest
import torch

import infogan_lib as ig
from infogan_lib.checkpoints import manifest as sealed
from infogan_lib.checkpoints.run_folder import read_checkpoint
from toys import LATENT, dense_discriminator, dense_generator, images

LARGEST = 1 << 27


def trainer(**changes):
    torch.manual_seed(0)
    return ig.InfoGANTrainer(dense_generator(), dense_discriminator(), LATENT, device="cpu", **changes)


def forge(folder, data, *, says=None, **changes):
    """A sealed folder around any bytes, with all hashes right."""
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    (folder / f"state-{digest[:16]}.pt").write_bytes(data)
    body = {"kind": "checkpoint", "format": 1, "about": says or {}, "state": {"bytes": len(data), "sha256": digest}}
    write_manifest(folder, body | changes)
    return folder


def write_manifest(folder, body):
    sealed_body = body | {"seal": sealed._seal_of(body)}
    (folder / sealed.MANIFEST).write_text(sealed._text(sealed_body))


def archive(pickled, *, others=(), compression=zipfile.ZIP_STORED, names=("archive/data.pkl",)):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name in names:
            made.writestr(name, pickled)
        made.writestr("archive/byteorder", "little")
        made.writestr("archive/version", "3\n")
        for name, content in others:
            made.writestr(name, content)
    return buffer.getvalue()


def refused(folder, match=None):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ig.CheckpointError, match=match):
        read_checkpoint(folder, largest=LARGEST)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, "memory was not bounded"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def by_global(module, name, argument):
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + text(argument) + b"\x85R."


def by_stack(module, name, argument):
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + text(argument) + b"\x85R."


def by_instance(module, name, argument):
    return b"(" + text(argument) + b"i" + f"{module}\n{name}\n".encode() + b"."


GADGETS = {
    "os system": ("os", "system", "touch {canary}"),
    "posix system": ("posix", "system", "touch {canary}"),
    "os mkdir": ("os", "mkdir", "{canary}"),
    "os popen": ("os", "popen", "touch {canary}"),
    "subprocess": ("subprocess", "getoutput", "touch {canary}"),
    "eval": ("builtins", "eval", "open('{canary}', 'w')"),
    "exec": ("builtins", "exec", "open('{canary}', 'w')"),
    "old eval": ("__builtin__", "eval", "open('{canary}', 'w')"),
    "import": ("builtins", "__import__", "antigravity"),
    "importlib": ("importlib", "import_module", "antigravity"),
    "runpy": ("runpy", "run_path", "{script}"),
    "timeit": ("timeit", "timeit", "open('{canary}', 'w')"),
    "profile": ("cProfile", "run", "open('{canary}', 'w')"),
    "pickle in a pickle": ("pickle", "loads", "cos\nsystem\n(S'touch {canary}'\ntR."),
    "torch hub": ("torch.hub", "load", "{script}"),
    "torch load": ("torch", "load", "{script}"),
    "torch ops": ("torch.ops", "load_library", "{script}"),
    "logging": ("logging", "FileHandler", "{canary}"),
    "nested name": ("torch.serialization", "os.system", "touch {canary}"),
}


@pytest.mark.parametrize("encoded", [by_global, by_stack, by_instance])
@pytest.mark.parametrize("gadget", GADGETS.values(), ids=GADGETS)
def test_pickle_gadgets_do_not_run(tmp_path, gadget, encoded):
    canary, script = tmp_path / "canary", tmp_path / "script.py"
    script.write_text(f"open({str(canary)!r}, 'w')")
    module, name, argument = gadget
    harm = encoded(module, name, argument.format(canary=canary, script=script))
    refused(forge(tmp_path / "zipped", archive(harm)))
    refused(forge(tmp_path / "bare", harm))
    assert not canary.exists()


def test_the_gadgets_would_run_if_they_were_unpickled(tmp_path):
    """The canary sings in Python's own unpickler, so the tests above can fail."""
    canary = tmp_path / "canary"
    for encoded in (by_global, by_stack, by_instance):
        pickle.loads(encoded("os", "mkdir", str(canary)))
        canary.rmdir()


def deep(opening, closing, levels=200_000):
    return b"\x80\x02" + opening * levels + b"N" + closing * levels + b"."


def tensor_pickle(numel, size, stride, key="0"):
    """A tensor as torch pickles it, over a storage of `numel` floats."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + b"J" + struct.pack("<i", numel)
    )
    numbers = (b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in values) + b"t" for values in (size, stride))
    rest = b"K\x00" + b"".join(numbers) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + rest + b"tR."


def honest():
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    return buffer.getvalue()


def flagged_as_encrypted():
    content = bytearray(honest())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    return bytes(content)


# Thirty lists, each of ten times the one before.
LAUGHS = b"".join(b"]q" + bytes([i + 1]) + b"(" + (b"h" + bytes([i])) * 10 + b"e" for i in range(30))
LAUGHS = b"\x80\x02]q\x00" + LAUGHS + b"h\x1e."


def hidden_before(other):
    """An archive in front of an honest one, with a directory that only some readers find."""
    front, back = archive(b"\x80\x02}."), bytearray(other)
    back[-6:-2] = struct.pack("<L", front.index(b"PK\x01\x02"))
    return front + bytes(back)


FLOATS = [("archive/data/0", bytes(16))]
FILES = {
    "nothing": b"",
    "no archive": b"hello" * 1000,
    "zeros": bytes(1 << 20),
    "half an archive": honest()[: len(honest()) // 2],
    "encrypted": flagged_as_encrypted(),
    "legacy torch file": None,
    "zip bomb": archive(bytes(1 << 26), compression=zipfile.ZIP_DEFLATED),
    "bomb beside the pickle": archive(
        b"\x80\x02}.", others=[("archive/data/0", bytes(1 << 26))], compression=zipfile.ZIP_DEFLATED
    ),
    "an archive before the archive": hidden_before(honest()),
    "something before the archive": b"x" * 100 + honest(),
    "something behind the archive": honest() + b"x" * 100,
    "names in other letters": archive(b"\x80\x02}.", names=("archive/DATA.PKL", "archive/data.pkl")),
    "two folders": archive(b"\x80\x02}.", others=[("other/version", "3")]),
    "a path upwards": archive(b"\x80\x02}.", others=[("archive/../../evil", "3")]),
    "no pickle": archive(b"", names=()),
    "two pickles": archive(b"\x80\x02}.", names=("archive/data.pkl", "other/data.pkl")),
    "deep lists": archive(deep(b"]", b"a")),
    "deep tuples": archive(deep(b"", b"\x85")),
    "a list in itself": archive(b"\x80\x02]q\x00h\x00a."),
    "a billion laughs": archive(
        b"\x80\x02]q\x00"
        + b"".join(b"]q" + bytes([i + 1]) + b"(" + (b"h" + bytes([i])) * 10 + b"e" for i in range(30))
        + b"h\x1e."
    ),
    "a large bytearray": archive(
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + (1 << 35).to_bytes(5, "little") + b"\x85R."
    ),
    "a set": archive(b"\x80\x04\x8f."),
    "bytes": archive(b"\x80\x03C\x03abc."),
    "a persistent id": archive(b"Ptouch canary\n."),
    "an extension": archive(b"\x80\x02\x82\x01."),
    "memo far away": archive(b"\x80\x02h\xff."),
    "an unknown opcode": archive(b"\x80\x02\xff."),
    "no stop": archive(b"\x80\x02}"),
    "an expanded tensor": archive(tensor_pickle(4, (1 << 40,), (0,)), others=FLOATS),
    "a tensor beyond its storage": archive(tensor_pickle(4, (1 << 40,), (1,)), others=FLOATS),
    "negative strides": archive(tensor_pickle(4, (2,), (-1,)), others=FLOATS),
    "a storage that is not there": archive(tensor_pickle(4, (4,), (1,), key="7"), others=FLOATS),
    "a storage from elsewhere": archive(tensor_pickle(4, (4,), (1,), key="../../../etc/passwd"), others=FLOATS),
    "a storage larger than its record": archive(tensor_pickle(1 << 30, (1 << 30,), (1,)), others=FLOATS),
}


def legacy_torch_file():
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(10)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_state_are_refused(tmp_path, name):
    data = legacy_torch_file() if FILES[name] is None else FILES[name]
    refused(forge(tmp_path / "c", data))


def test_an_honest_tensor_made_in_the_same_way_is_read(tmp_path):
    folder = forge(tmp_path / "c", archive(tensor_pickle(4, (4,), (1,)), others=FLOATS))
    assert torch.equal(read_checkpoint(folder, largest=LARGEST).state, torch.zeros(4))


def test_plain_data_that_is_no_run_is_refused(tmp_path):
    about = {"settings": trainer()._runs.settings, "torch": torch.__version__}
    folder = forge(tmp_path / "c", honest(), says=about)
    read_checkpoint(folder, largest=LARGEST)
    with pytest.raises(ig.CheckpointError, match="its state is not that of a run"):
        trainer().fit(images(16), steps=1, batch_size=8, resume=folder)


def nested_json():
    return "[" * 100_000 + "]" * 100_000


GOOD = {"kind": "checkpoint", "format": 1, "about": {}, "state": {"bytes": 10, "sha256": "0" * 64}}
MANIFESTS = {
    "empty": "",
    "null": "null\n",
    "a list": "[]\n",
    "deeply nested": nested_json(),
    "nested in place": sealed._text(GOOD).replace("{}", '{"a": ' * 50_000 + "1" + "}" * 50_000),
    "a huge number": '{"state": ' + "9" * 100_000 + "}\n",
    "longer than any": json.dumps({"a": "x" * (1 << 21)}),
    "names twice": sealed._text(GOOD).replace('"format": 1', '"format": 1,\n "format": 1'),
    "not a number": '{"format": NaN}\n',
    "no seal": sealed._text(GOOD),
    "a seal that is wrong": sealed._text(GOOD | {"seal": "0" * 64}),
}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests_that_were_not_written_here_are_refused(tmp_path, content):
    folder = forge(tmp_path / "c", honest())
    (folder / sealed.MANIFEST).write_text(content)
    refused(folder, "is damaged")
    (folder / sealed.MANIFEST).write_bytes(b"\xff\xfe" + content.encode())
    refused(folder, "is damaged")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "use the version that wrote it"),
        ({"kind": "model"}, "this is a model, not a checkpoint"),
        ({"about": []}, "says nothing"),
        ({"state": None}, "does not name a state"),
        ({"state": {"bytes": 10}}, "does not name a state"),
        ({"state": {"bytes": "10", "sha256": "0" * 64}}, "does not name a state"),
        ({"state": {"bytes": True, "sha256": "0" * 64}}, "does not name a state"),
        ({"state": {"bytes": -1, "sha256": "0" * 64}}, "is missing"),
        ({"state": {"bytes": 10, "sha256": "../../../../etc/passwd"}}, "does not name a state"),
        ({"state": {"bytes": 10, "sha256": "/etc/passwd".ljust(64, "0")}}, "does not name a state"),
        ({"state": {"bytes": 10, "sha256": "0" * 63 + "\n"}}, "does not name a state"),
        ({"state": {"bytes": 1 << 60, "sha256": "0" * 64}}, "has at most"),
        ({"state": {"name": "../../outside.pt", "bytes": 10, "sha256": "0" * 64}}, "is missing"),
    ],
)
def test_manifests_cannot_lead_elsewhere(tmp_path, changes, message):
    (tmp_path / "outside.pt").write_bytes(honest())
    refused(forge(tmp_path / "c", honest(), **changes), message)


def a_link(path, tmp_path):
    target = tmp_path / "target"
    path.rename(target)
    path.symlink_to(target)


def a_link_to_a_device(path, tmp_path):
    path.unlink()
    path.symlink_to("/dev/zero")


def a_pipe(path, tmp_path):
    path.unlink()
    os.mkfifo(path)


def a_folder(path, tmp_path):
    path.unlink()
    path.mkdir()


def a_socket(path, tmp_path):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def a_link_in_a_circle(path, tmp_path):
    path.unlink()
    path.symlink_to(path)


PLACED = [a_link, a_link_to_a_device, a_pipe, a_folder, a_socket, a_link_in_a_circle]


@pytest.mark.parametrize("which", ["manifest.json", "state-*.pt"])
@pytest.mark.parametrize("placed", PLACED)
def test_what_is_no_file_is_not_opened(tmp_path, placed, which, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    folder = forge(tmp_path / "c", honest())
    placed(next(folder.glob(which)), tmp_path)
    refused(folder)


def test_a_checkpoint_that_is_a_link_is_passed_over(tmp_path):
    trainer().fit(images(16), steps=1, batch_size=8, run_dir=tmp_path / "run")
    newest = tmp_path / "run/checkpoints/step_0000000001"
    newest.rename(tmp_path / "elsewhere")
    newest.symlink_to(tmp_path / "elsewhere")
    t = trainer()
    with pytest.warns(UserWarning, match="symbolic link"):
        t.fit(images(16), steps=1, batch_size=8, run_dir=tmp_path / "run")
    assert t.steps == 1


def change(state, path, value):
    *way, last = path
    for key in way:
        state = state[key]
    if value is None:
        del state[last]
    else:
        state[last] = value


STATES = [
    (("model",), None, "'model' is not in it"),
    (("surplus",), 1, "'surplus' is unknown here"),
    (("model",), [], "its model should hold"),
    (("model", "tensors", "q.head.weight"), torch.zeros(3), "q.head.weight"),
    (
        ("model", "tensors", "generator.0.weight"),
        torch.zeros(16, 12),
        r"float32 of shape \(16, 12\) in it, but",
    ),
    (("model", "tensors", "generator.0.weight"), torch.zeros(16, 11).double(), "float64"),
    (("model", "tensors", "generator.0.weight"), "abc", "is str in it"),
    (("model", "tensors", "generator.0.weight"), None, "'generator.0.weight' is not in it"),
    (("model", "category_names"), 3, "does not fit"),
    (("optimizers",), 7, "no state of optimisers"),
    (("optimizers", 0), None, "groups of"),
    (("optimizers", 0, "param_groups", 0, "params"), [0], "groups of"),
    (("optimizers", 0, "state"), {99: {"step": torch.zeros(())}}, "does not fit"),
    (("streams", "latents"), None, "random streams"),
    (("streams", "latents"), torch.zeros(3, dtype=torch.uint8), "does not fit"),
    (("streams", "surplus"), torch.zeros(3, dtype=torch.uint8), "random streams"),
    (("step", "count"), "many", "does not fit"),
    (("step", "scaler"), {"scale": 1.0}, "precision"),
    (("position", "fits"), "none", "does not fit"),
    (("position", "offset"), None, "does not fit"),
    (("history", "values"), {"loss/d": "text"}, "does not fit"),
    (("global_randomness", "numpy"), [], "does not fit"),
    (("global_randomness", "python"), [3, torch.zeros(2), None], "does not fit"),
    (("data", "source", "length"), 17, "the run's data had length 17, and this data has 16"),
    (("data",), 5, "does not fit"),
    (("callbacks",), [["JSONLLogger", {}]], "here are none"),
    (("schedulers",), [["LinearLR", {}]], "here are none"),
]


@pytest.mark.parametrize(("path", "value", "message"), STATES)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, path, value, message):
    source = trainer()
    source.fit(images(16), steps=2, batch_size=8, run_dir=tmp_path / "run")
    found = read_checkpoint(tmp_path / "run", largest=LARGEST)
    state = copy.deepcopy(found.state)
    change(state, path, value)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    folder = forge(tmp_path / "forged", buffer.getvalue(), says=found.about)

    target = trainer(seed=0)
    target.step(images(8, seed=5))
    before = copy.deepcopy([target.model.state_dict(), target._streams.state_dict()])
    randomness = torch.get_rng_state()
    with pytest.raises(ig.CheckpointError, match=message):
        target.fit(images(16), steps=2, batch_size=8, resume=folder)
    for now, then in zip([target.model.state_dict(), target._streams.state_dict()], before, strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)
    assert torch.equal(torch.get_rng_state(), randomness)
    assert (target.steps, len(target.history["loss/d"])) == (1, 1)
    figures = target.step(images(8, seed=6))
    twin = trainer(seed=0)
    twin.step(images(8, seed=5))
    assert twin.step(images(8, seed=6)) == figures
