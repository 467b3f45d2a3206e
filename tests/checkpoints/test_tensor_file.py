"""Plain data and tensors as bytes and back, and files that are neither."""

import json
import math
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.masked import masked_tensor

from infogan_lib.checkpoints import tensor_file
from infogan_lib.checkpoints.tensor_file import decode, encode, to_plain_data

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(a, b):
    """Equal, also in the types of containers and the order of keys."""
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(STATES)
def test_plain_data_comes_back(state):
    assert same(decode(encode(state)), state)


def test_floats_that_are_no_numbers_come_back():
    assert decode(encode([math.inf, -math.inf])) == [math.inf, -math.inf]
    assert math.isnan(decode(encode(math.nan)))


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.bool, torch.complex64, torch.complex128),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, 3, 4)])
def test_tensors_of_every_dtype_come_back(dtype, shape):
    size = math.prod(shape) * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 100, (size,), dtype=torch.uint8)
    tensor = raw.view(dtype).reshape(shape)
    other = torch.arange(3, dtype=torch.int8)  # of another alignment
    decoded = decode(encode({"other": other, 7: (tensor, [tensor])}))
    assert torch.equal(decoded["other"], other)
    for copy in (decoded[7][0], decoded[7][1][0]):
        assert copy.dtype == dtype
        assert copy.shape == shape
        assert torch.equal(copy.reshape(-1).view(torch.uint8), raw)


def test_tensors_that_come_back_share_no_memory():
    tensor = torch.zeros(3)
    a, b = decode(encode([tensor, tensor]))
    a += 1
    assert b.tolist() == tensor.tolist() == [0, 0, 0]


def test_views_of_large_tensors_are_saved_alone():
    view = to_plain_data(torch.arange(100_000.0).reshape(100, 1000).T[3, ::2])
    data = encode(view)
    assert len(data) < 1000
    assert torch.equal(decode(data), view)


def test_keys_of_one_name_do_not_meet():
    state = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "__metadata__": torch.full((1,), 2.0)}
    decoded = decode(encode(state))
    assert (decoded["a.b"].item(), decoded["a"]["b"].item(), decoded["__metadata__"].item()) == (0, 1, 2)


def test_the_layout_is_that_of_safetensors():
    """Read as its documentation says, with nothing of this library's."""
    data = encode({"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert all(isinstance(value, str) for value in header.pop("__metadata__").values())
    assert length % 8 == 0
    assert header["weight"]["dtype"] == "F32"
    assert header["weight"]["shape"] == [2, 3]
    start, end = header["weight"]["data_offsets"]
    assert np.frombuffer(data[8 + length :][start:end], "<f4").tolist() == [0, 1, 2, 3, 4, 5]
    assert header["count"]["dtype"] == "I64"


def test_what_is_no_plain_data_is_refused_by_its_place():
    with pytest.raises(TypeError, match=r"state\['a'\]\[1\] cannot be saved: it is a set"):
        to_plain_data({"a": [1, {2}]})
    with pytest.raises(TypeError, match="a key must be a string or an integer, but got 1.5"):
        to_plain_data({1.5: 0})
    with warnings.catch_warnings(action="ignore"):  # torch says that these are prototypes
        masked = masked_tensor(torch.ones(2), torch.tensor([True, False]))
        others = [masked, torch.nested.nested_tensor([torch.ones(2)]), torch.nn.LazyLinear(3).weight]
    for tensor in (torch.zeros(3, device="meta"), torch.eye(3).to_sparse(), *others):
        with pytest.raises(TypeError, match=r"state\[0\] cannot be saved: it is a tensor that is sparse"):
            to_plain_data([tensor])


def test_more_than_a_header_may_hold_is_not_written(monkeypatch):
    monkeypatch.setattr("infogan_lib.checkpoints.tensor_file._MAX_HEADER_BYTES", 200)
    encode([1] * 10)
    with pytest.raises(ValueError, match="at most 200 bytes outside of tensors"):
        encode([1] * 100)


def file_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tree(value):
    return {"__metadata__": {"tree": value if isinstance(value, str) else json.dumps(value)}}


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}} | tree({"tensor": "a"})


BROKEN = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "a length beyond the file": file_of(tree(1), length=1 << 60),
    "a length of everything": b"\xff" * 8 + b"{}",
    "no JSON": file_of(b"hello"),
    "a list": file_of([]),
    "no tree": file_of({"__metadata__": {}}),
    "a tree of another kind": file_of({"__metadata__": {"tree": 3}}),
    "deep lists": file_of(tree("[" * 100_000 + "]" * 100_000)),
    "nested dicts": file_of(tree('{"dict": [["a", ' * 20_000 + "1" + "]]}" * 20_000)),
    "an object of another kind": file_of(tree({"set": [1]})),
    "an object of two kinds": file_of(tree({"tuple": [], "dict": []})),
    "an empty object": file_of(tree({})),
    "a key that is a list": file_of(tree({"dict": [[[1], 2]]})),
    "a key without a value": file_of(tree({"dict": [["a"]]})),
    "a tensor that is not there": file_of(tree({"tensor": "a"})),
    "a tensor that no state has": file_of(tensor() | tree(1), bytes(8)),
    "a tensor twice": file_of(tensor() | tree([{"tensor": "a"}, {"tensor": "a"}]), bytes(8)),
    "an unknown dtype": file_of(tensor(dtype="OBJECT"), bytes(8)),
    "no dtype": file_of({"a": {}} | tree({"tensor": "a"}), bytes(8)),
    "a larger shape than data": file_of(tensor(shape=(1 << 40,)), bytes(8)),
    "a smaller shape than data": file_of(tensor(shape=(1,)), bytes(8)),
    "more sides than torch computes with": file_of(tensor(shape=(1,) * 65 + (2,)), bytes(8)),
    "a shape whose product overflows": file_of(tensor(shape=(1 << 62, 4, 0), offsets=(0, 0)), b""),
    "a negative shape": file_of(tensor(shape=(-1, -2)), bytes(8)),
    "a fractional shape": file_of(tensor(shape=(2.0,)), bytes(8)),
    "a shape that is true": file_of(tensor(shape=(True, 2)), bytes(8)),
    "offsets beyond the data": file_of(tensor(offsets=(8, 16)), bytes(8)),
    "data that is cut": file_of(tensor(), bytes(7)),
    "data behind the tensors": file_of(tensor(), bytes(9)),
    "one place for two": file_of(tensor() | {"b": tensor()["a"]} | tree([{"tensor": "a"}, {"tensor": "b"}]), bytes(8)),
    "an expanding number": file_of(tree("9" * 100_000)),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_files_that_are_no_state_are_refused(data):
    with pytest.raises(ValueError):
        decode(data)


def test_a_file_made_in_the_same_way_is_read():
    assert decode(file_of(tensor(), torch.tensor([1.0, 2.0]).numpy().tobytes())).tolist() == [1, 2]


@given(st.data())
def test_a_changed_byte_never_gives_another_type_of_error(data):
    good = bytearray(encode({"a": torch.zeros(2), "b": [1, (2.5, "x"), {3: None}]}))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        decode(bytes(good))


def test_a_single_number_may_have_any_stride():
    state = {"expanded": torch.ones(()).expand(1), "strided": torch.arange(6.0)[::2][:1]}
    assert {name: value.tolist() for name, value in decode(encode(state)).items()} == {"expanded": [1], "strided": [0]}


def test_lists_are_counted_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr(tensor_file, "_MAX_CONTAINERS", 10)
    lists = [[]] * 9
    escaped = json.dumps([lists]).replace("[", "\\u005b")
    for text in (json.dumps({"a": lists}), f'{{"__metadata__": {{"tree": "{escaped}"}}}}'):
        with pytest.raises(ValueError, match="at most 10 lists and dicts, but got 11"):
            decode(len(text).to_bytes(8, "little") + text.encode())
    assert decode(encode(lists[:7])) == lists[:7]
    with pytest.raises(ValueError, match="at most 10 lists and dicts"):
        encode(lists)
