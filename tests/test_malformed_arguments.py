"""Malformed values for all arguments of the public interface: refused before the first step, by the argument's name."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import infogan_lib as ig
from infogan_lib import Checkpoints, Engine, Noise, Optimizers, losses
from infogan_lib.data.augmentation import RandomAffine
from infogan_lib.regularizers import RealImageInformation
from infogan_lib.training.callbacks import JSONLLogger
from infogan_lib.training.progress import ProgressBar
from infogan_lib.viz import SampleGrid
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

NAN, INF = float("nan"), float("inf")


class Nothing:
    """An object that is nothing in particular, and reads the same in every process."""

    def __repr__(self):
        return "Nothing()"


NO_COUNT = [None, "3", 0, -1, 1.5, NAN, True, [2], Nothing()]
NO_POSITIVE = ["1", -0.5, NAN, INF, True, [1.0], Nothing(), np.complex64(1 + 2j)]
NO_WEIGHT = [None, "1", -0.5, NAN, INF, True, [1.0], np.complex64(1 + 2j)]
NO_SEED = [None, "3", -1, 1.5, True, [2]]
NO_OBJECT = [3, "text", [1], Nothing()]


class Argument(NamedTuple):
    """An argument: how to give it, and values that it cannot take."""

    name: str
    call: Callable[[Any], Any]
    bad: list[Any]
    label: str | None = None  # what its message calls it, where that is another name


NO_TRUTH = [None, 0, 1, "yes", [True], Nothing()]


def of(kind: Callable[..., Any], name: str, bad: list[Any], *required: Any, label: str | None = None) -> Argument:
    return Argument(f"{kind.__name__}({name}=)", lambda value: kind(*required, **{name: value}), bad, label or name)


def of_trainer(name: str, bad: list[Any], label: str | None = None) -> Argument:
    def call(value: Any) -> None:
        parts = {"generator": dense_generator(), "discriminator": dense_discriminator(), "latent": LATENT}
        networks = parts | {name: value}
        positional = [networks.pop(part) for part in parts]
        ig.InfoGANTrainer(*positional, **networks)

    return Argument(f"InfoGANTrainer({name}=)", call, bad, label or name)


def of_model(name: str, bad: list[Any], label: str | None = None) -> Argument:
    return of(ig.InfoGAN, name, bad, dense_generator(), dense_discriminator(), LATENT, label=label)


def of_optimizers(name: str, bad: list[Any]) -> Argument:
    return of(Optimizers, name, bad, label=f"optimizers.{name}")


def of_engine(name: str, bad: list[Any]) -> Argument:
    def call(value: Any) -> None:
        make_trainer(engine=Engine(**{name: value}))  # whether a device is there is asked by the trainer

    return Argument(f"Engine({name}=)", call, bad, f"engine.{name}")


def of_fit(name: str, bad: list[Any], **more: Any) -> Argument:
    def call(value: Any) -> None:
        arguments = {"steps": 1, "batch_size": 8} | more | {name: value}
        make_trainer().fit(images(16), **arguments)

    return Argument(f"fit({name}=)", call, bad, name)


MODEL = make_trainer().model
ARGUMENTS = [
    of(ig.Categorical, "k", [*NO_COUNT, 1]),
    of(ig.Categorical, "weight", NO_WEIGHT, 3),
    of(ig.Categorical, "loss", [*NO_OBJECT, losses.MSE(), losses.NormalNLL()], 3, label="Categorical"),
    of(ig.Uniform, "dim", NO_COUNT),
    of(ig.Uniform, "weight", NO_WEIGHT),
    of(ig.Uniform, "low", ["1", NAN, INF, 1.0, 2.0, [0]]),
    of(ig.Uniform, "high", ["1", NAN, INF, -1.0, -2.0, [0]]),
    of(ig.Uniform, "loss", [*NO_OBJECT, losses.CrossEntropy()], label="Uniform"),
    of(ig.Gaussian, "dim", NO_COUNT),
    of(ig.Gaussian, "weight", NO_WEIGHT),
    of(ig.Bernoulli, "dim", NO_COUNT),
    of(ig.Bernoulli, "weight", NO_WEIGHT),
    of(ig.Noise, "dim", NO_COUNT),
    of(ig.Noise, "distribution", [None, 3, "normal", "Gaussian"], 3),
    of(losses.NormalNLL, "scale", [*NO_POSITIVE, 0]),
    of(losses.NormalNLL, "log_scale_range", [3, "ab", (1,), (1, 1), (2, 1), (NAN, 1), (0, INF)]),
    of(ig.LatentSpec, "z", [None, 62, "Noise", ig.Noise]),
    of_trainer("generator", [*NO_OBJECT, None, nn.Linear]),
    of_trainer("discriminator", [*NO_OBJECT, None, nn.Linear]),
    of_trainer("latent", [*NO_OBJECT, None, ig.Noise(3), {"z": ig.Noise(3)}]),
    of_model("q_head", NO_OBJECT),
    of_model("q_network", NO_OBJECT),
    of_model("tap", [3, [1], Nothing(), "nowhere"]),
    of_model("generator_input", [3, "map", None]),
    of_model("discriminator_output", [3, "sigmoid", None]),
    of_model("pixel_range", [3, "ab", (0,), (1, 0), (0, NAN)]),
    of_trainer("optimizers", [*NO_OBJECT, Optimizers, 1e-3]),
    *(of_optimizers(name, [*NO_POSITIVE, 0, "adam", [1], nn.Linear(2, 2)]) for name in ("g", "d", "q")),
    of_optimizers("g", [None]),
    of_optimizers("betas", [3, "ab", (0.5,), (0.5, 1.0), (-0.1, 0.9), (NAN, 0.9), (0.5, 0.9, 0.99)]),
    of_optimizers("scheduler", [3, "cosine", [1]]),
    of_trainer("engine", [*NO_OBJECT, Engine, "cpu"]),
    of_engine("device", [3.5, "gpu", "cuda:99", [1]]),
    of_engine("precision", [None, 16, "float16", "FP32"]),
    of_engine("accumulation_steps", NO_COUNT),
    of_trainer("adversarial", [*NO_OBJECT, "hinge", losses.Hinge]),
    of_trainer("information_trains", [3, "all", [], ["generator", "d_head"]]),
    *(of_trainer(name, NO_COUNT) for name in ("d_steps", "g_steps")),
    of_trainer("joint_batches", NO_TRUTH),
    of_trainer("regularizers", [3, ["r1"], [RealImageInformation]]),
    of_trainer("ema_decay", [*NO_POSITIVE, 0, 1.0, 2]),
    *(of_trainer(name, [3, "flip", [1]]) for name in ("augment", "discriminator_augment")),
    of_trainer("seed", NO_SEED),
    of_fit("steps", [*NO_COUNT[1:]]),
    of_fit("epochs", [*NO_COUNT[1:]], steps=None),
    of_fit("batch_size", [*NO_COUNT, 17]),
    of_fit("num_workers", [None, "3", -1, 1.5, True]),
    of_fit("callbacks", [[3], [ProgressBar], ["log"]]),
    of_fit("progress", NO_TRUTH),
    of_fit("checkpoints", [3, 1.5, [1], Checkpoints, ""]),
    of(Checkpoints, "folder", [3, 1.5, [1], ""]),
    *(of(Checkpoints, name, NO_COUNT, "never") for name in ("every", "keep")),
    of(Checkpoints, "resume", [None, True, 3, [1]], "never"),
    Argument("sample(n)", MODEL.sample, NO_COUNT, "n"),
    Argument("sample(seed=)", lambda value: MODEL.sample(1, seed=value), NO_SEED[1:], "seed"),
    Argument(
        "sample(digit=)", lambda value: MODEL.sample(1, digit=value), [None, -1, 4, 1.5, NAN, "7", [1, 2]], "digit"
    ),
    Argument(
        "sample(style=)", lambda value: MODEL.sample(1, style=value), [None, [1], [1, 2, 3], [NAN, 0], "ab"], "style"
    ),
    Argument("traverse(steps=)", lambda value: MODEL.traverse("style", steps=value), NO_COUNT[1:], "steps"),
    Argument("traverse(dim=)", lambda value: MODEL.traverse("style", dim=value), [None, "0", -1, 2, 1.5], "dim"),
    Argument("traverse(low=)", lambda value: MODEL.traverse("style", low=value), ["0", NAN, INF, [0]], "low"),
    Argument("traverse(n=)", lambda value: MODEL.traverse("style", n=value), NO_COUNT, "n"),
    Argument(
        "encode(images)", MODEL.encode, [None, 3, [1], images(0), images(2, (1, 4, 5)), images(2) * NAN], "images"
    ),
    of(RealImageInformation, "weight", NO_WEIGHT, "digit"),
    of(RealImageInformation, "information", NO_WEIGHT, "digit"),
    of(RealImageInformation, "balance", NO_WEIGHT, "digit"),
    *(of(RandomAffine, name, NO_WEIGHT) for name in ("degrees", "scale", "shear", "shift")),
    of(JSONLLogger, "every", NO_COUNT, "never.jsonl"),
    of(SampleGrid, "every", NO_COUNT, "never"),
    of(SampleGrid, "rows", NO_COUNT, "never"),
    of(SampleGrid, "seed", NO_SEED, "never"),
    of(ig.Tap, "layer", [None, 3, [1]], label="tap"),
    of(ig.Tap, "at", [None, 3, "middle"], "3"),
]
CASES = [(argument, value) for argument in ARGUMENTS for value in argument.bad]
REFUSED = (TypeError, ValueError, KeyError)


def test_there_are_many():
    assert len(CASES) >= 200


@pytest.mark.parametrize(("argument", "value"), CASES, ids=[f"{a.name[:-1]}{v!r:.30})" for a, v in CASES])
def test_a_value_that_cannot_be_is_refused_by_name(tmp_path, monkeypatch, argument, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(REFUSED) as refusal:
        argument.call(value)
    message = str(refusal.value)
    assert "unexpected keyword" not in message
    assert (argument.label or argument.name) in message
    assert len(message) > 30, message
    assert not list(tmp_path.iterdir()), "something was written for a run that cannot begin"


numbers = st.one_of(st.integers(), st.floats(allow_nan=True), st.text(max_size=3), st.none(), st.booleans())


@given(numbers)
def test_any_count_either_works_or_is_refused_by_name(value):
    works = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    for argument in ("d_steps", "g_steps"):
        if works:
            make_trainer(**{argument: value})
        else:
            with pytest.raises(REFUSED, match=f"{argument} must be a whole number of at least 1, but got"):
                make_trainer(**{argument: value})


@given(numbers)
def test_any_rate_either_works_or_is_refused_by_name(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        works = is_number and math.isfinite(float(value)) and value > 0
    except OverflowError:
        works = False
    wanted = "a finite number above 0" if is_number else "a learning rate, a torch Optimizer or a function"
    for name in ("g", "d"):
        if works or (name == "d" and value is None):
            make_trainer(optimizers=Optimizers(**{name: value}))
        else:
            with pytest.raises(REFUSED, match=f"optimizers.{name} must be {wanted}.*, but got"):
                Optimizers(**{name: value})


junk = st.recursive(
    st.one_of(
        numbers, st.binary(max_size=4), st.just(torch.zeros(3)), st.just(images(3)), st.just(images(9, (2, 4, 4)))
    ),
    lambda parts: st.one_of(st.lists(parts, max_size=3), st.tuples(parts, parts), st.dictionaries(st.text(), parts)),
    max_leaves=5,
)


@pytest.mark.slow
@given(junk)
def test_any_data_either_trains_or_is_refused_before_a_step(value):
    t = make_trainer()
    before = [p.detach().clone() for p in t.model.parameters()]
    message = ""
    try:
        t.fit(value, steps=1, batch_size=8)
    except (TypeError, ValueError) as error:
        message = str(error)
    changed = any(not torch.equal(p, old) for p, old in zip(t.model.parameters(), before, strict=True))
    assert changed == (t.steps == 1) == (not message)
    assert not message or any(word in message for word in ("data", "batch", "images")), message


@given(st.dictionaries(st.sampled_from(["digit", "style", "z", "colour"]), junk, min_size=1, max_size=2))
def test_any_values_for_codes_either_make_images_or_are_refused(values):
    message = ""
    try:
        assert MODEL.sample(2, **values).isfinite().all()
    except REFUSED as error:
        message = str(error)
    assert not message or any(name in message for name in values), message


def test_a_parameter_without_a_shape_is_described():
    with pytest.raises(TypeError, match=r"dim must be a whole number .* but got <UninitializedParameter>"):
        Noise(torch.nn.UninitializedParameter())


def test_a_device_without_its_module_is_named():
    with pytest.raises(ValueError, match="device must be .* such as 'cpu', but got 'privateuseone': No module named"):
        LATENT.center(device="privateuseone")
