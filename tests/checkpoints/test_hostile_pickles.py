"""Files of format 1 made to do harm, with all checksums right: none runs anything, each is a CheckpointError."""

import io
import pickle
import struct
import zipfile

import pytest
import torch
from forged import MAX_BYTES, assert_refused, forge, honest_pickle

from infogan_lib.checkpoints import CheckpointError
from infogan_lib.checkpoints.run_folder import read_checkpoint


def archive(pickled, *, others=(), compression=zipfile.ZIP_STORED, names=("archive/data.pkl",)):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name in names:
            file.writestr(name, pickled)
        file.writestr("archive/byteorder", "little")
        file.writestr("archive/version", "3\n")
        for name, content in others:
            file.writestr(name, content)
    return buffer.getvalue()


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
    assert_refused(forge(tmp_path / "zipped", archive(harm), version=1))
    assert_refused(forge(tmp_path / "bare", harm, version=1))
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


def flagged_as_encrypted():
    content = bytearray(honest_pickle())
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
    "half an archive": honest_pickle()[: len(honest_pickle()) // 2],
    "encrypted": flagged_as_encrypted(),
    "legacy torch file": None,
    "zip bomb": archive(bytes(1 << 26), compression=zipfile.ZIP_DEFLATED),
    "bomb beside the pickle": archive(
        b"\x80\x02}.", others=[("archive/data/0", bytes(1 << 26))], compression=zipfile.ZIP_DEFLATED
    ),
    "an archive before the archive": hidden_before(honest_pickle()),
    "something before the archive": b"x" * 100 + honest_pickle(),
    "something behind the archive": honest_pickle() + b"x" * 100,
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
    assert_refused(forge(tmp_path / "c", data, version=1))


def test_an_honest_tensor_made_in_the_same_way_is_read(tmp_path):
    folder = forge(tmp_path / "c", archive(tensor_pickle(4, (4,), (1,)), others=FLOATS), version=1)
    assert torch.equal(read_checkpoint(folder, max_bytes=MAX_BYTES).state, torch.zeros(4))


def test_a_pickle_of_millions_of_lists_is_not_read(tmp_path):
    folder = forge(tmp_path / "c", archive(b"\x80\x02(" + b"]" * 2**22 + b"l."), version=1)
    with pytest.raises(CheckpointError, match="its pickle has 4,194,309 bytes"):
        read_checkpoint(folder, max_bytes=MAX_BYTES)
