"""All public doors of the library: what can be called, with which arguments, and values that no argument can take.

`find_doors` walks ``__all__`` of the public modules. Each argument of each door has a row in `ROWS`, or the door is
listed in `CALLED_BY_THE_LIBRARY` with the reason. `tests/test_public_doors.py` asserts that a malformed value is
refused by the argument's name; `tests/stress/malformed_inputs.py` counts.
"""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fnmatch import fnmatch
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.masked import masked_tensor

import infogan_lib as ig
from infogan_lib import (
    callbacks,
    data,
    datasets,
    evaluation,
    experiments,
    explorer,
    export,
    hub,
    losses,
    metrics,
    recipes,
    regularizers,
    viz,
)
from infogan_lib.history.metric_table import MetricTable
from infogan_lib.latent.traversal import Traversable
from infogan_lib.model.module import Networks
from infogan_lib.training.stepping import Stepper
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

MODULES = {
    "": ig,
    "callbacks.": callbacks,
    "losses.": losses,
    "regularizers.": regularizers,
    "metrics.": metrics,
    "evaluation.": evaluation,
    "viz.": viz,
    "recipes.": recipes,
    "explorer.": explorer,
    "export.": export,
    "hub.": hub,
    "data.": data,
    "datasets.": datasets,
    "experiments.": experiments,
}

CALLED_BY_THE_LIBRARY = {
    "*.on_fit_start": "a hook that fit calls",
    "*.on_step_end": "a hook that fit calls",
    "*.on_epoch_end": "a hook that fit calls",
    "*.on_fit_end": "a hook that fit calls",
    "*.needs_model": "a hook that fit calls",
    "callbacks.*.log_*": "on_step_end, which fit calls",
    "*.load_state_dict": "what a checkpoint restores, checked when it is read",
    "History.record": "the trainer's own metrics",
    "callbacks.CollapseMonitor.check": "on_step_end, which fit calls",
    "callbacks.Evaluator.evaluate": "on_step_end, which fit calls",
    "losses.*.*": "a function of a step's tensors, as short as its equation",
    "losses.PointEstimate": "a posterior, which Q's outputs make",
    "losses.information_bound": "a function of a step's tensors, as short as its equation",
    "regularizers.*.*": "a function of a step's tensors, or prepared by the trainer",
    "InfoGAN.generate": "the forward pass of a step",
    "InfoGAN.run_generator": "the forward pass of a step",
    "InfoGAN.forward": "the forward pass of a step",
    "InfoGAN.discriminate": "the forward pass of a step",
    "InfoGAN.forward_q": "the forward pass of a step",
    "QHead.forward": "the forward pass of a step",
    "Tap.module": "the model's own discriminator, checked when it is made",
    "LatentCode.*": "abstract: the spec calls it",
    "*.sample_many": "the spec's sampler calls it",
    "Optimizers.build*": "the trainer's own parts",
    "Engine.precision_on": "the trainer's own device",
    "LatentSpec.bind": "the model's own priors",
    "Engine.check_dtypes": "the trainer's own model and device",
    "LinearDecay.__call__": "the trainer's own optimizers",
    "History.truncate": "the trainer's own metrics",
    "History.*_epoch": "the trainer's own metrics",
    "History.seal": "what a checkpoint saves",
    "History.restore": "what a checkpoint restores, checked when it is read",
    "metrics.CategoryMatch": "a result",
    "metrics.Coverage": "a result",
    "metrics.DCI": "a result",
    "metrics.DisentanglementScores": "a result",
    "metrics.Effect": "a result",
    "metrics.Reliability": "a result",
    "evaluation.CodeInformation": "a result",
    "evaluation.ModelCentrality": "a result",
    "evaluation.SampleQuality": "a result",
    "evaluation.Features.__call__": "what sample_quality calls",
    "evaluation.Features.of_range": "what sample_quality calls",
    "experiments.Spread*": "a result",
    "experiments.SweepResult*": "a result",
    "evaluation.Symptom": "a result",
    "viz.Report": "a result",
    "explorer.RunningPage": "what explore makes",
    "hub.PretrainedGenerator": "what from_pretrained makes",
    "hub.PretrainedGenerator.run_generator": "the forward pass of decode",
    "hub.PretrainedGenerator.forward": "the forward pass of decode",
    "recipes.Recipe.callbacks": "any data, of which fit checks what it is",
    "data.ImageFolder.__getitem__": "an item of a data set, which a loader indexes",
}

_INHERITED: dict[type, type] = {
    ig.LatentSpec: Traversable,
    ig.InfoGAN: Networks,
    ig.InfoGANTrainer: Stepper,
    ig.History: MetricTable,
}
"""The base classes of public classes that are not public themselves."""


def find_doors() -> dict[str, list[str]]:
    """The names of the parameters of every public function, class and method, by the name of the door."""
    doors: dict[str, list[str]] = {}
    seen: set[int] = set()
    for prefix, module in MODULES.items():
        for name in module.__all__:
            thing = getattr(module, name)
            if id(thing) in seen or (inspect.isclass(thing) and issubclass(thing, Exception)):
                continue
            seen.add(id(thing))
            if inspect.isclass(thing):
                if not inspect.isabstract(thing):
                    doors[prefix + name] = _parameters(thing)
                inherited = dict(vars(_INHERITED[thing])) if thing in _INHERITED else {}
                for method, function in (inherited | dict(vars(thing))).items():
                    inner = getattr(function, "__func__", function)
                    if inspect.isfunction(inner) and (method[0] != "_" or method in ("__call__", "__getitem__")):
                        doors[f"{prefix}{name}.{method}"] = _parameters(inner)[1:]
            elif inspect.isfunction(thing):
                doors[prefix + name] = _parameters(thing)
    return {door: parameters for door, parameters in doors.items() if parameters}


def _parameters(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "_"]


def is_called_by_the_library(door: str) -> bool:
    return any(fnmatch(door, pattern) for pattern in CALLED_BY_THE_LIBRARY)


class Nothing:
    """An object that is nothing in particular, and reads the same in every process."""

    def __repr__(self) -> str:
        return "Nothing()"


class Failing:
    """An object that cannot even be described."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


NAN, INF = float("nan"), float("inf")
SPARSE, META = torch.ones(2, 3).to_sparse(), torch.ones(2, 3, device="meta")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch says that nested, masked and lazy tensors are prototypes
    NESTED = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    MASKED = masked_tensor(torch.ones(2, 3), torch.tensor([[True, False, True]] * 2))
    LAZY = nn.LazyLinear(3).weight
DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]
NONE = [None]
TRUTHS = [np.True_, torch.tensor(True)]
COUNT = ["3", 0, -1, 1.5, NAN, INF, True, [2], 10**30, 10**5000, torch.tensor([1, 2]), *TRUTHS, Nothing(), Failing()]
ROWS_COUNT = [*COUNT, 2**31, 2**40, 2**62, NESTED]
SEED = ["3", -1, 1.5, NAN, True, [2], 10**30, torch.tensor([1, 2]), *TRUTHS, Nothing()]
NUMBER = ["1", NAN, INF, -INF, True, *TRUTHS, [1.0], 10**400, Nothing(), torch.ones(2)]
WEIGHT = [*NUMBER, -0.5]
POSITIVE = [*WEIGHT, 0]
BOOL = [None, 0, 1, "yes", [True], Nothing()]
OBJECT = [3, "text", [1], {"a": 1}, NESTED, Nothing(), Failing()]
TENSOR = [None, 3, "text", [1], np.ones(3), SPARSE, META, NESTED, MASKED, LAZY, Nothing()]
PATH = ["", "a\0b", "~nobody-of-that-name/x", "\ud800", "x" * 300, "y" * 4000, "a/" * 2000, b"bytes", 3, [1], Nothing()]
NAME = ["", " ", "\n", "a\nb", "a\0b", "\x1b[31m", "\ud800", "a" * 10**5, 3, b"bytes", [1], Nothing()]
TEXT = ["a\0b", "\x1b[31m", "\ud800", 3, b"bytes", [1], None, Nothing()]
OF_CODE = "code|in this latent|categor|discrete|values"
NO_CODE = [
    "nope",
    "",
    3,
    [1],
    ["style"],
    {"a": 1},
    "x" * 10**5,
    DEEP,
    10**5000,
    "\x1b[31m",
    "\ud800",
    NESTED,
    Nothing(),
]
FUNCTION = [3, "flip", [1], lambda: None, NESTED, Nothing()]
RNG = [5, "g", [1], np.random.default_rng(0), Nothing()]
FUNCTION_OF_ONE = [3, "sigmoid", [1], Nothing(), lambda: None]
MODULE = [3, "text", [1], nn.Linear, Nothing()]
DEVICE = [3.5, "gpu", "cuda:99", "meta", "x" * 10**5, [1], NESTED, Nothing()]
DEVICE += [torch.device("cuda:99"), torch.device("meta"), torch.device("mps:99")]
DTYPE = [3, "float32", torch.int64, torch.float8_e5m2, [1], Nothing()]
LABELS = ["abc", ["a"] * 16, torch.full((16,), NAN), torch.zeros(16), torch.full((16,), -1), torch.zeros(15).long(), 3]
LABELS += [torch.zeros(16, 2).long(), SPARSE, META, NESTED, MASKED, LAZY, DEEP, {"a": 1}, [[1], [1, 2]], Nothing()]
IMAGES = [
    *TENSOR,
    torch.zeros(()),
    images(0),
    images(2, (1, 4, 5)),
    images(16) * NAN,
    images(16).long(),
    images(16).to(torch.complex64),
    images(16).to(torch.float8_e4m3fn),
]
IMAGES += [images(16).to_sparse(), images(16).to("meta")]
LATENTS = [*TENSOR, torch.zeros(3, 5), torch.zeros(LATENT.width), torch.zeros(0, LATENT.width)]
MISSING = np.ma.masked_array(np.ones((80, 2)), np.arange(160).reshape(80, 2) == 7)
ARRAY = ["text", ["a", "b"], [[1], [1, 2]], {"a": 1}, None, Nothing(), SPARSE, META, MASKED, LAZY, MISSING]
ARRAY += [torch.ones(80, 2, dtype=torch.uint8).view(torch.bits8), range(10**18), np.ones((4, 2, 2))]
RANGE = [3, "ab", (0,), (1, 0), (1, 1), (0, NAN), {0, 1}, {0: "a", 1: "b"}, None, Nothing()]


OWN_ERRORS = (TypeError, ValueError, KeyError, ig.CheckpointError)
"""The errors of a refusal."""


class Row(NamedTuple):
    """An argument of a door: how to call the door with a value of it, values that it cannot take, and its label."""

    door: str
    argument: str
    call: Callable[[Any], Any]
    bad: list[Any]
    label: str


ROWS: list[Row] = []


def rows(door: str, call: Callable[..., Any], valid: Callable[[], dict[str, Any]] = dict, **bad: list[Any]) -> None:
    """Add the rows of a door.

    Args:
        door: Its name.
        call: Called with all its arguments by keyword.
        valid: Makes arguments that it takes.
        **bad: Values that each argument cannot take, the last one as a dict {"label": what messages call it} if that
            is not the argument's own name.
    """
    for argument, values in bad.items():
        label = argument
        if values and isinstance(values[-1], dict) and "label" in values[-1]:
            *values, last = values
            label = last["label"]
        ROWS.append(
            Row(door, argument, lambda value, name=argument: call(**(valid() | {name: value})), list(values), label)
        )


def is_hashable(value: object) -> bool:
    """Whether a value can be a key, so that a program can come as far as the library with it."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def called(label: str) -> dict[str, str]:
    """What messages call an argument, as the last one of its values."""
    return {"label": label}


@cache
def model() -> ig.InfoGAN:
    return make_trainer().model


@cache
def named_model() -> ig.InfoGAN:
    named = make_trainer().model
    named.set_category_names("digit", list("abcd"))
    return named


@cache
def history() -> ig.History:
    trainer = make_trainer()
    trainer.fit(images(16), epochs=1, batch_size=8)
    return trainer.history


def match() -> metrics.CategoryMatch:
    return metrics.match_categories([0, 1, 2, 3], [0, 1, 2, 3])


# The latent.
for kind, codes in ((ig.Uniform, True), (ig.Gaussian, True), (ig.Bernoulli, True), (ig.Noise, False)):
    more: dict[str, list[Any]] = {"weight": [*WEIGHT, None], "loss": [*OBJECT, called(kind.__name__)]} if codes else {}
    rows(kind.__name__, kind, lambda: {"dim": 2}, dim=[*COUNT, None], **more)
for kind in (ig.Categorical, ig.Label):
    rows(
        kind.__name__,
        kind,
        lambda: {"k": 3},
        k=[*COUNT, None, 1],
        weight=[*WEIGHT, None],
        loss=[*OBJECT, called(kind.__name__)],
        probs=[
            "3",
            1.0,
            [0.5, 0.5],
            [0.5, 0.5, 0.5],
            [1.5, -0.5, 0],
            [1, 0, 0],
            [NAN, 0.5, 0.5],
            torch.tensor([0.5, 0.5, 1j]),
            NESTED,
            Nothing(),
            Failing(),
        ],
        learn_probs_after=[*SEED, INF, DEEP, NESTED],
    )
rows("Label", ig.Label, lambda: {"k": 3}, supervision=[*WEIGHT, None, 0])
rows("Uniform", ig.Uniform, low=[*NUMBER, 1.0, 2.0], high=[*NUMBER, -1.0, -2.0])
rows("Noise", ig.Noise, lambda: {"dim": 2}, distribution=[None, 3, "normal", [1]])
rows("Noise.sample", ig.Noise(3).sample, lambda: {"n": 2}, n=[*ROWS_COUNT, None], rng=RNG, device=DEVICE, dtype=DTYPE)
for code, name in ((ig.Bernoulli(2), "Bernoulli"), (ig.Categorical(4), "Categorical")):
    rows(
        f"{name}.traverse",
        code.traverse,
        lambda code=code: {"base": code.center()},
        base=TENSOR,
        dim=[None, "0", -1, 9, 1.5, torch.ones(2), NESTED, DEEP, "\x1b[31m"],
        steps=["3", 1, 9, 1.5, torch.ones(2), NESTED, DEEP, 10**5000, "x" * 10**5],
        low=[*NUMBER, 5.0, DEEP, 10**5000],
        high=[*NUMBER, 5.0, DEEP, "\ud800"],
    )
    rows(
        f"{name}.as_rows",
        code.as_rows,
        lambda: {"value": 1, "n": 2},
        value=[None, "x", 9, -1, 0.5, NAN, [1, 2, 3], SPARSE, META, Nothing(), called(name)],
        n=[*ROWS_COUNT, None],
    )
rows(
    "LatentSpec",
    lambda variables: ig.LatentSpec(variables),
    variables=[3, "text", [1], {}, {3: ig.Noise(2)}, called("LatentSpec")],
)
rows(
    "LatentSpec",
    lambda named: ig.LatentSpec({named: ig.Noise(2)}) if is_hashable(named) else ig.LatentSpec([named]),
    named=[*(name for name in NAME if name != [1]), "__class__", "__init__", called("a name in a LatentSpec")],
)
rows("LatentSpec", lambda named: ig.LatentSpec(z=named), named=[None, 62, "Noise", ig.Noise, called("z must be")])
rows("LatentSpec.__getitem__", lambda name: LATENT[name], name=[*NO_CODE, called("in this latent")])
rows("LatentSpec.learned_prior", LATENT.learned_prior, name=[*NO_CODE, called("in this latent")])
rows("LatentSpec.sample", LATENT.sample, lambda: {"n": 2}, n=[*ROWS_COUNT, None], rng=RNG, device=DEVICE, dtype=DTYPE)
rows("LatentSpec.split", LATENT.split, latent=LATENTS[:-1])
rows(
    "LatentSpec.join",
    LATENT.join,
    parts=[
        *(None, 3, [1], {}, {"z": 1}),
        *(LATENT.split(LATENT.sample(2)) | {"z": z} for z in (3, torch.zeros(3, 5), torch.zeros(2, 5).to_sparse())),
        called("part"),
    ],
)
NO_OUTPUTS = [torch.zeros(0, LATENT.num_outputs), torch.zeros(2, LATENT.num_outputs).long()]
NO_OUTPUTS += [torch.zeros(2, LATENT.num_outputs).to(torch.complex64)]
rows(
    "LatentSpec.nll",
    LATENT.nll,
    lambda: {"outputs": torch.zeros(2, LATENT.num_outputs), "latent": LATENT.sample(2)},
    outputs=[*TENSOR, torch.zeros(2, 3), *NO_OUTPUTS, torch.zeros(3, LATENT.num_outputs), called("outputs")],
    latent=[*TENSOR, torch.zeros(2, 3)],
)
rows("LatentSpec.posteriors", LATENT.posteriors, outputs=[*TENSOR, torch.zeros(2, 3), *NO_OUTPUTS])
rows("LatentSpec.center", LATENT.center, n=[*ROWS_COUNT, None], device=DEVICE)
rows(
    "LatentSpec.replace_values",
    LATENT.replace_values,
    lambda: {"latent": LATENT.sample(2), "values": {"digit": 1}},
    latent=[*LATENTS[:-1], LATENT.sample(2).long()],
    values=[None, 3, [1], "text", Nothing()],
)
rows(
    "LatentSpec.traverse",
    LATENT.traverse,
    lambda: {"name": "style"},
    name=[*NO_CODE, None, called("in this latent")],
    dim=[None, "0", -1, 2, 1.5],
    steps=ROWS_COUNT,
    base=[*LATENTS[1:], *(LATENT.sample(2).to(kind) for kind in (torch.int64, torch.bool, torch.complex64))],
    low=[*NUMBER, 1e30],
    high=[*NUMBER, -1e30],
)
rows(
    "LatentSpec.grid",
    LATENT.grid,
    lambda: {"rows": 2, "columns": "style"},
    rows=[None, 1.5, [1], Nothing(), 0],
    columns=[None, 3, [1], ("style",), Nothing()],
    steps=COUNT,
    base=[value for value in LATENTS if value is not None],
    rng=RNG,
    device=DEVICE,
)
rows(
    "LatentSpec.traversal_steps",
    LATENT.traversal_steps,
    lambda: {"name": "style", "steps": 3},
    name=[*NO_CODE, None, called("in this latent")],
    steps=COUNT,
)
rows(
    "LatentSpec.from_json", ig.LatentSpec.from_json, text=[None, 3, "", "{", "[]", b"\xff", "[" * 10**5, called("JSON")]
)

# The model.
rows(
    "Tap",
    lambda layer, at: ig.Tap(layer, at),
    lambda: {"layer": "3", "at": "input"},
    layer=[None, 3, [1]],
    at=[None, 3, "middle", [1]],
)
rows(
    "QHead",
    ig.QHead,
    lambda: {"feature_shape": (4,), "outputs": 3},
    feature_shape=[None, 3, "ab", (), (0,), (1.5,), Nothing()],
    outputs=[*COUNT, None],
    hidden=[*ROWS_COUNT, None],
)
rows(
    "InfoGAN",
    ig.InfoGAN,
    lambda: {"generator": dense_generator(), "discriminator": dense_discriminator(), "latent": LATENT},
    generator=[*MODULE, None],
    discriminator=[*MODULE, None],
    latent=[*OBJECT, None, ig.Noise(3)],
    q_head=[*MODULE, nn.Linear(2, 2)],
    q_network=[*MODULE, nn.Linear(2, 2)],
    tap=[3, [1], "nowhere", "x" * 10**5, nn.Linear(2, 2), Nothing(), lambda: None],
    generator_input=[3, "map", None, [1], np.zeros(2)],
    generator_output=FUNCTION_OF_ONE,
    discriminator_output=[*FUNCTION_OF_ONE, None],
    q_output=FUNCTION_OF_ONE,
    pixel_range=RANGE[:-2],
    dry_run_batch_size=[*COUNT, 1],
    seed=[*SEED, None],
)
rows("InfoGAN.parameter_groups", lambda **arguments: model().parameter_groups(**arguments), frozen=[3, "yes", None])
rows(
    "InfoGAN.set_category_names",
    lambda code, names: model().set_category_names(code, names),
    lambda: {"code": "digit", "names": list("abcd")},
    code=[*NO_CODE, None, "style", "z", called(OF_CODE)],
    names=[
        None,
        3,
        "abcd",
        ["a"],
        list("aabc"),
        [1, 2, 3, 4],
        torch.tensor(1),
        itertools.repeat("a"),
        NESTED,
        *([name, "b", "c", "d"] for name in NAME),
    ],
)
rows(
    "InfoGAN.name_categories",
    lambda **arguments: model().name_categories(**arguments),
    lambda: {"images": images(16), "labels": torch.arange(16) % 4},
    images=IMAGES,
    labels=[*LABELS, None],
    code=[*NO_CODE, "style", called(OF_CODE)],
    names=[3, "abcd", set("abcd"), [1, 2, 3, 4], *([name, "b", "c", "d"] for name in NAME)],
)
rows("InfoGAN.save", lambda folder: model().save(folder), folder=[*PATH, None])
rows(
    "InfoGAN.load",
    ig.InfoGAN.load,
    lambda: {"folder": "nowhere", "generator": dense_generator(), "discriminator": dense_discriminator()},
    folder=[*PATH, None],
    generator=[*MODULE, None],
    discriminator=[*MODULE, None],
    q_head=[value for value in MODULE if not callable(value)],
    q_network=MODULE,
    tap=FUNCTION_OF_ONE,
    generator_output=FUNCTION_OF_ONE,
    discriminator_output=FUNCTION_OF_ONE,
    q_output=FUNCTION_OF_ONE,
)
GIVEN = [None, "x", NAN, [1, 2, 3, 4], SPARSE, META, NESTED, MASKED, LAZY, DEEP, "x" * 10**5, 10**5000]
GIVEN += [{"a": 1}, Nothing()]
rows(
    "InfoGAN.sample",
    lambda n, **arguments: model().sample(n, **arguments),
    lambda: {"n": 2},
    n=[*ROWS_COUNT, None],
    seed=SEED,
    rng=RNG,
    codes=[3, "text", [1], {"nope": 1}, called("")],
)
for code, values in (
    ("digit", [*GIVEN, -1, 4, 1.5, "seven"]),
    ("style", [*GIVEN, 1e30, -1e9, 1e308, [1, 2, 3]]),
    ("z", [*GIVEN, 1e30, [1.0] * 4]),
):
    rows("InfoGAN.sample", lambda named, code=code: model().sample(2, **{code: named}), named=[*values, called(code)])
rows(
    "InfoGAN.traverse",
    lambda code, **arguments: model().traverse(code, **arguments),
    lambda: {"code": "style"},
    code=[*NO_CODE, None, called("in this latent")],
    dim=[None, "0", -1, 2, 1.5],
    steps=ROWS_COUNT,
    n=[*ROWS_COUNT, None],
    low=[*NUMBER, 1e30],
    high=[*NUMBER, -1e30],
    seed=SEED,
    rng=RNG,
    codes=[3, "text", [1], torch.ones(2, 3), NESTED],
)
rows("InfoGAN.traverse", lambda named: model().traverse("style", digit=named), named=[*GIVEN, 4, called("digit")])
rows(
    "InfoGAN.decode",
    lambda **arguments: model().decode(**arguments),
    lambda: {"latent": LATENT.sample(3)},
    latent=[*LATENTS, torch.full((3, LATENT.width), NAN), torch.full((2, LATENT.width), 1e300, dtype=torch.float64)],
    batch_size=[*COUNT, None],
)
for method in ("encode", "q_outputs"):
    rows(
        f"InfoGAN.{method}",
        lambda method=method, **arguments: getattr(model(), method)(**arguments),
        lambda: {"images": images(3)},
        images=IMAGES,
        batch_size=[*COUNT, None],
        distributed=[0, "gloo", True],
    )

# Training.
rows(
    "Checkpoints",
    ig.Checkpoints,
    lambda: {"folder": "never"},
    folder=PATH,
    every=[*COUNT, None],
    keep=[*COUNT, None],
    resume=[*PATH, None, True],
)
rows(
    "Engine",
    lambda **settings: make_trainer(engine=ig.Engine(**settings)),
    device=DEVICE,
    precision=[None, 16, "float16", "FP32", [1]],
    accumulation_steps=[*COUNT, None],
    tf32=[0, 1, "yes", [True], Nothing()],
    compile=BOOL,
    sync_batchnorm=BOOL,
    graph=[0, 1, None, "yes", [True], Nothing()],
)


def optimizers(**settings: Any) -> None:
    make_trainer(optimizers=ig.Optimizers(**settings))


OPTIMIZER = [*POSITIVE, "adam", [1], nn.Linear(2, 2), lambda p: None, lambda p: torch.optim.LBFGS(p)]
OPTIMIZER += [lambda p: torch.optim.SparseAdam(p), lambda p: torch.optim.Adam(p, differentiable=True), lambda: None]
OPTIMIZER += [lambda p: torch.optim.SGD(p[:1], 0.1)]
SCHEDULER = [
    3,
    "cosine",
    [1],
    lambda o: None,
    lambda o: 3,
    lambda: None,
    lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
]
SCHEDULER += [lambda o: torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.zeros(1)], 1), 1)]
rows(
    "LinearDecay",
    ig.LinearDecay,
    lambda: {"steps": 10},
    steps=[*COUNT, None],
    start=[*WEIGHT, None, 1.0, 2],
)
rows(
    "Optimizers",
    optimizers,
    g=[*OPTIMIZER, None, called("optimizers.g")],
    d=[*OPTIMIZER, called("optimizers.d")],
    q=[*OPTIMIZER, called("optimizers.q")],
    betas=[3, "ab", (0.5,), (0.5, 1.0), (-0.1, 0.9), (NAN, 0.9)],
    scheduler=SCHEDULER,
)


def of_trainer(**settings: Any) -> None:
    ig.InfoGANTrainer(
        **{"generator": dense_generator(), "discriminator": dense_discriminator(), "latent": LATENT} | settings
    )


def of_step(**settings: Any) -> None:
    make_trainer(**settings).fit(images(16), steps=2, batch_size=8)


rows(
    "InfoGANTrainer",
    of_trainer,
    generator=[*MODULE, None],
    discriminator=[*MODULE, None],
    latent=[*OBJECT, None, ig.Noise(3)],
    optimizers=[*OBJECT, ig.Optimizers, 1e-3, 10**5000],
    engine=[*OBJECT, ig.Engine, "cpu"],
    adversarial=[*OBJECT, "hinge", losses.Hinge],
    regularizers=[3, "r1", ["r1"], {regularizers.R1()}, [regularizers.R1], torch.tensor(1.0), np.array("a"), NESTED],
    information_trains=[3, "all", [], ["generator", "d_head"], [[1]], itertools.repeat("all"), LAZY],
    d_steps=[*COUNT, None],
    g_steps=[*COUNT, None],
    joint_batches=BOOL,
    ema_decay=[*POSITIVE, 1.0, 2],
    augment=[*FUNCTION, nn.Linear(2, 2)],
    discriminator_augment=[*FUNCTION, nn.Linear(2, 2)],
    seed=[*SEED, None],
    unknown=[3],
)
CHANGES: list[Any] = [
    lambda x, g: None,
    lambda x, g: x.detach().numpy(),
    lambda x, g: x[: len(x) // 2],
    lambda x, g: x[:1],
    lambda x, g: x[0],
    lambda x, g: x[:0],
    lambda x, g: torch.cat([x, x]),
    lambda x, g: x[..., :2],
    lambda x, g: (x, 1),
    lambda x, g: x.double(),
    lambda x, g: x.half(),
    lambda x, g: (x * 127).to(torch.uint8),
    lambda x, g: x.to("meta"),
    lambda x, g: x.to_sparse(),
    lambda x, g: "images",
]
rows(
    "InfoGANTrainer",
    of_step,
    augment=[*CHANGES, lambda x, g: x.clone().requires_grad_() * 2],
    discriminator_augment=[*CHANGES, lambda x, g: x.detach()],
)
DATA = [
    *TENSOR[:4],
    SPARSE,
    META,
    NESTED,
    Nothing(),
    images(0),
    images(16) * NAN,
    images(16).long(),
    images(16)[:, 0],
    "a.png",
]
DATA += [[], [images(0)], [images(8), images(0)], [images(8), None], [images(8).to_sparse()], [images(8).to("meta")]]
DATA += [images(16).to_sparse(), images(16).to("meta"), np.array(["a"] * 16), [images(8), images(8) * INF]]
DATA += [images(16).to(torch.complex64), range(5), {1, 2}, [[images(8)], [3]], images(1)[0, 0, 0], torch.tensor(1.0)]
rows(
    "InfoGANTrainer.fit",
    lambda data, **arguments: make_trainer().fit(data, **({"steps": 2, "batch_size": 8} | arguments)),
    lambda: {"data": images(16)},
    data=[*DATA, called("data|batch|images")],
    steps=COUNT,
    batch_size=[*COUNT, None, 17],
    num_workers=["3", -1, 1.5, True, None, 1],
    image_key=[*NAME, "image"],
    callbacks=[
        None,
        5,
        "x",
        torch.tensor(1.0),
        np.array("a"),
        itertools.repeat(3),
        ig.Callback(),
        [3],
        ["log"],
        [ig.Callback],
        {"a": 1},
        [None],
        Nothing(),
    ],
    progress=BOOL,
    checkpoints=PATH,
    positional=[3],
    unknown=[3],
)
rows("InfoGANTrainer.fit", lambda epochs: make_trainer().fit(images(16), epochs=epochs, batch_size=8), epochs=COUNT)
for method in ("save_checkpoint", "load_checkpoint"):
    rows(
        f"InfoGANTrainer.{method}",
        lambda folder, method=method: getattr(make_trainer(), method)(folder),
        folder=[*PATH, None],
    )
BATCH = [*IMAGES, images(1), [], [3], (None, images(3)), {"label": torch.ones(3)}, called("batch|images|data")]
rows("InfoGANTrainer.step", lambda batch: make_trainer().step(batch), batch=BATCH)
rows("InfoGANTrainer.launch", lambda batch: (t := make_trainer(), t.launch(batch), t.read()), batch=BATCH)


def pretraining_trainer():
    return make_trainer(regularizers=[regularizers.RealImageInformation("digit")])


rows(
    "InfoGANTrainer.pretrain_q",
    lambda **arguments: pretraining_trainer().pretrain_q(**arguments),
    lambda: {"images": images(16), "steps": 1, "starts": 1, "batch_size": 8},
    images=[*IMAGES, None, "digits", 3],
    steps=[*COUNT, None],
    starts=[*COUNT, None, 2],
    batch_size=[*COUNT, None],
)
for method in ("steps", "__getitem__"):
    rows(
        f"History.{method}",
        lambda name, method=method: getattr(history(), method)(name),
        name=["nope", "", 3, None, [1], called("in this history")],
    )

rows(
    "History.last",
    lambda **arguments: history().last(**arguments),
    lambda: {"name": "loss/d", "count": 1},
    name=["nope", "", 3, None, [1], called("in this history")],
    count=[*COUNT, None],
)
rows(
    "History.since",
    lambda **arguments: history().since(**arguments),
    lambda: {"name": "loss/d", "step": 1},
    name=["nope", "", 3, None, [1], called("in this history")],
    step=["3", -1, 1.5, True, None],
)
rows("History.to_csv", lambda path: history().to_csv(path), path=[*PATH, None, ".", "/"])

# Callbacks.
rows("callbacks.JSONLLogger", callbacks.JSONLLogger, lambda: {"path": "x"}, path=[*PATH, None], every=[*COUNT, None])
rows(
    "callbacks.EarlyStopping",
    callbacks.EarlyStopping,
    lambda: {"metric": "loss/d", "mode": "min"},
    metric=NAME,
    mode=[None, 3, "less", ["min"]],
    patience=[*COUNT, None],
    min_delta=[*WEIGHT, None],
    every=[*COUNT, None],
)
rows(
    "callbacks.CollapseMonitor",
    callbacks.CollapseMonitor,
    every=[*COUNT, None],
    after=["3", -1, 1.5, True, None],
    real_after=["3", -1, 1.5, True, None],
    samples=[*COUNT, None, 7],
    on_symptom=FUNCTION,
)
rows(
    "callbacks.Evaluator",
    lambda code=None, **arguments: make_trainer().fit(
        images(16), steps=1, batch_size=8, callbacks=[callbacks.Evaluator(code=code, **arguments)]
    ),
    lambda: {"images": images(16), "labels": torch.arange(16) % 4},
    images=IMAGES,
    labels=[*LABELS, None],
    code=[*NO_CODE, "style", called(OF_CODE)],
    every=[*COUNT, None],
    samples=[*COUNT, None, 1],
)
rows(
    "callbacks.PretrainQ",
    lambda **arguments: pretraining_trainer().fit(
        images(16), steps=1, batch_size=8, callbacks=[callbacks.PretrainQ(**arguments)]
    ),
    lambda: {"images": images(16), "steps": 1, "starts": 1, "batch_size": 8},
    images=[*IMAGES, None, "digits", 3],
    steps=[*COUNT, None],
    starts=[*COUNT, None, 2],
    batch_size=[*COUNT, None],
)
rows(
    "callbacks.ProgressBar",
    callbacks.ProgressBar,
    seconds=[*POSITIVE, None],
    every=COUNT,
    file=["log.txt", 3, [1]],
)
rows(
    "callbacks.LivePreview",
    callbacks.LivePreview,
    every=[*COUNT, None],
    rows=[*COUNT, None],
    seed=[*SEED, None],
)
rows(
    "callbacks.SampleGrid",
    callbacks.SampleGrid,
    lambda: {"folder": "x"},
    folder=[*PATH, None],
    every=[*COUNT, None],
    rows=[*COUNT, None],
    seed=[*SEED, None],
)

TRACKING = {"every": [*COUNT, None], "images_every": [*COUNT, None], "rows": [*COUNT, None], "seed": [*SEED, None]}
rows("callbacks.TensorBoard", callbacks.TensorBoard, lambda: {"folder": "x"}, folder=[*PATH, None], **TRACKING)
rows(
    "callbacks.Tracker",
    callbacks.Tracker,
    lambda: {"run": SimpleNamespace(log=lambda metrics, step: None)},
    run=[*OBJECT, None],
    image=FUNCTION,
    record=PATH,
    **TRACKING,
)

# Losses and regularizers.
rows("losses.LeastSquares", losses.LeastSquares, a=[*NUMBER, None], b=[*NUMBER, None], c=[*NUMBER, None])
rows(
    "losses.NormalNLL",
    losses.NormalNLL,
    scale=POSITIVE,
    log_scale_range=[3, "ab", (1,), (1, 1), (2, 1), (NAN, 1), None],
)
SCHEDULE = {"after": ["3", -1, 1.5, True, None], "every": [*COUNT, None]}
rows("regularizers.R1", regularizers.R1, gamma=[*WEIGHT, None], **SCHEDULE)
rows("regularizers.R2", regularizers.R2, gamma=[*WEIGHT, None], **SCHEDULE)
rows(
    "regularizers.GradientPenalty",
    regularizers.GradientPenalty,
    weight=[*WEIGHT, None],
    target=[*WEIGHT, None],
    one_sided=BOOL,
    **SCHEDULE,
)
rows(
    "regularizers.Consistency",
    regularizers.Consistency,
    augment=FUNCTION,
    weight=[*WEIGHT, None],
    balanced=BOOL,
    **SCHEDULE,
)
rows(
    "regularizers.Contrastive",
    lambda **settings: make_trainer(regularizers=[regularizers.Contrastive(**settings)]),
    network=MODULE,
    codes=[3, [1], "nope", ["digit"], [], {"a": 1}],
    weight=[*WEIGHT, None],
    gap=[*WEIGHT, None, 1.0, {}, {1: 0.5}, {0: 2.0}, {"a": 0.1}],
    share_noise=BOOL,
    **SCHEDULE,
)
rows(
    "regularizers.ModeSeeking",
    lambda **settings: make_trainer(regularizers=[regularizers.ModeSeeking(**({"after": 3} | settings))]),
    noise=[3, [1], "nope", ["digit"], [], {"a": 1}],
    weight=[*WEIGHT, None],
    **SCHEDULE,
)
rows(
    "regularizers.RealImageInformation",
    lambda **settings: make_trainer(regularizers=[regularizers.RealImageInformation(**({"code": "digit"} | settings))]),
    code=[*NO_CODE, None, "style", "z", np.zeros(2), called(OF_CODE)],
    weight=[*WEIGHT, None],
    information=[*WEIGHT, None],
    balance=[*WEIGHT, None],
    augment=FUNCTION,
    views=[*COUNT, None],
    cluster_contrast=[*WEIGHT, None],
    **SCHEDULE,
)
rows(
    "regularizers.VirtualAdversarial",
    lambda **settings: make_trainer(regularizers=[regularizers.VirtualAdversarial(**({"code": "digit"} | settings))]),
    code=[*NO_CODE, None, "style", "z", called(OF_CODE)],
    weight=[*WEIGHT, None],
    radius=[*POSITIVE, None],
    probe=[*POSITIVE, None],
    **SCHEDULE,
)
rows(
    "regularizers.default_regularizers",
    regularizers.default_regularizers,
    lambda: {"latent": LATENT, "image_shape": (1, 4, 4)},
    latent=[*OBJECT, None, ig.Noise(3)],
    image_shape=[None, 3, "ab", (), (0,), (1.5,), Nothing()],
)
FRACTION = [*WEIGHT, None, 1.5]
rows("regularizers.Translation", regularizers.Translation, fraction=FRACTION)
rows("regularizers.Cutout", regularizers.Cutout, fraction=FRACTION, value=[*NUMBER, None])
rows("regularizers.Brightness", regularizers.Brightness, amount=[*WEIGHT, None])
rows("regularizers.Contrast", regularizers.Contrast, amount=[*WEIGHT, None])
rows("regularizers.Saturation", regularizers.Saturation, amount=[*WEIGHT, None])
rows("regularizers.Compose", regularizers.Compose, augmentations=[None, 3, "ab", [3], [regularizers.Cutout], Nothing()])
rows(
    "regularizers.RandomAffine",
    regularizers.RandomAffine,
    **{name: [*WEIGHT, None] for name in ("degrees", "scale", "shear", "shift")},
)

# Data.
rows(
    "data.ImageFolder",
    data.ImageFolder,
    lambda: {"folder": ".", "size": 4},
    folder=[*PATH, None],
    size=[*COUNT, None, (4,), (4, 0), "44"],
    mode=["rgb", None, 3, "CMYK"],
)
rows("data.Sharded", data.Sharded, batches=[None, 3, "ab", [], torch.zeros(4, 1, 4, 4), np.zeros((4, 1, 4, 4))])

# Metrics.
CODES, FACTORS = np.random.default_rng(0).random((80, 2)), np.arange(160).reshape(80, 2) % np.array([4, 3])
for name in ("mig", "modularity", "mutual_information", "dci", "sap", "explicitness", "disentanglement"):
    function = getattr(metrics, name)
    known = {"codes": ARRAY, "factors": [*ARRAY, CODES, np.zeros((80, 2), dtype=int)], "bins": [*ROWS_COUNT, None, 1]}
    known |= {"seed": [*SEED, None], "num_trees": [*ROWS_COUNT, None], "min_samples_leaf": [*COUNT, None]}
    known |= {"method": [None, 3, "svm", [1]]}
    names = _parameters(function)
    rows(
        f"metrics.{name}",
        function,
        lambda: {"codes": CODES, "factors": FACTORS},
        **{
            argument: [*known[argument], called("factor")] if argument == "factors" else known[argument]
            for argument in names
            if argument in known
        },
    )
rows(
    "metrics.match_categories",
    metrics.match_categories,
    lambda: {"categories": [0, 1], "labels": [1, 0]},
    categories=[*ARRAY, [0.5, 1], [-1, 0], [0]],
    labels=[*ARRAY, [0.5, 1], [-1, 0], [0]],
    category_count=[*COUNT, 1],
    label_count=[*COUNT, 1],
    identity=BOOL,
)
FEATURES = [*ARRAY, np.full((8, 2), NAN), np.ones((8, 3)), np.ones(8)]
for name in ("frechet_distance", "kernel_distance", "precision_recall", "density_coverage"):
    function = getattr(metrics, name)
    rows(
        f"metrics.{name}",
        function,
        lambda: {"real": CODES[:8], "generated": CODES[8:16]},
        real=FEATURES,
        generated=FEATURES,
    )
rows(
    "metrics.precision_recall",
    metrics.precision_recall,
    lambda: {"real": CODES[:8], "generated": CODES[8:16]},
    neighbors=[*COUNT, None, 8],
)
rows(
    "metrics.density_coverage",
    metrics.density_coverage,
    lambda: {"real": CODES[:8], "generated": CODES[8:16]},
    neighbors=[*COUNT, None, 8],
)
rows(
    "metrics.reliability",
    metrics.reliability,
    lambda: {"confidence": [0.5, 0.6], "correct": [1, 0]},
    confidence=[*ARRAY, [2.0, 0.5], [NAN, 0.5], [0.5]],
    correct=[*ARRAY, [1], [NAN, 0.0]],
    bins=[*ROWS_COUNT, None],
)
rows(
    "metrics.coverage",
    metrics.coverage,
    lambda: {"quantiles": [0.5]},
    quantiles=[*ARRAY[:-1], [2.0], [NAN], []],
    levels=[*ROWS_COUNT, None],
)
rows(
    "metrics.measure_images",
    metrics.measure_images,
    lambda: {"images": images(2), "pixel_range": (-1, 1)},
    images=[*TENSOR, images(2) * NAN, images(0), torch.zeros(3)],
    pixel_range=RANGE,
    background=NUMBER,
)


def grid_images(factors: Any) -> Tensor:
    return torch.zeros(len(factors), 1, 4, 4)


def encode_grid(x: Tensor) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((len(x), 2))


rows(
    "metrics.FactorGrid",
    metrics.FactorGrid,
    lambda: {"sizes": (2, 3), "images": grid_images},
    sizes=[None, 3, (), (1,), (2.5,), "ab", Nothing()],
    images=FUNCTION,
)
GRID = metrics.FactorGrid((2, 3), grid_images)
rows("metrics.FactorGrid.sample", GRID.sample, lambda: {"n": 2}, n=[*ROWS_COUNT, None], seed=[*SEED, None])
SCORE = {"group_size": [*COUNT, None, 1], "batch_size": [*COUNT, None], "seed": [*SEED, None]}
ENCODE = [*FUNCTION, None, lambda x: None, lambda x: np.ones(3), lambda x: np.full((len(x), 2), NAN), called("encode")]
FACTOR_GRID = [None, 3, (2, 3), Nothing()]
rows(
    "metrics.factor_vae_score",
    metrics.factor_vae_score,
    lambda: {"encode": encode_grid, "grid": GRID, "num_votes": 4, "group_size": 4, "num_samples": 8},
    encode=ENCODE,
    grid=FACTOR_GRID,
    num_votes=[*ROWS_COUNT, None, 1],
    num_samples=[*ROWS_COUNT, None, 1],
    min_std=[*WEIGHT, None],
    **SCORE,
)
rows(
    "metrics.beta_vae_score",
    metrics.beta_vae_score,
    lambda: {"encode": encode_grid, "grid": GRID, "num_points": 8, "group_size": 4},
    encode=ENCODE,
    grid=FACTOR_GRID,
    num_points=[*COUNT, None, 1],
    **SCORE,
)

# Evaluation.
NO_MODEL = [*OBJECT, None, nn.Linear(2, 2), ig.InfoGAN]


@cache
def spoiled_model() -> ig.InfoGAN:
    spoiled = make_trainer().model
    with torch.no_grad():
        next(spoiled.generator.parameters()).fill_(NAN)
    return spoiled


NO_MODEL_INFORMATION = {"model": NO_MODEL, "seed": [*SEED, None]}
rows(
    "evaluation.code_information",
    evaluation.code_information,
    lambda: {"model": model(), "n": 8},
    n=[*COUNT, None, 1],
    **NO_MODEL_INFORMATION,
)
rows(
    "evaluation.calibration",
    evaluation.calibration,
    lambda: {"model": model(), "n": 8},
    n=[*ROWS_COUNT, None],
    bins=[*ROWS_COUNT, None],
    **NO_MODEL_INFORMATION,
)
rows(
    "evaluation.code_effects",
    evaluation.code_effects,
    lambda: {"model": model(), "code": "style", "n": 4},
    code=[*NO_CODE, None, "digit", called(OF_CODE)],
    dim=[None, "0", -1, 2, 1.5],
    n=[*COUNT, None, 1],
    steps=[*COUNT, None, 2],
    **NO_MODEL_INFORMATION,
)
rows(
    "evaluation.model_centrality",
    evaluation.model_centrality,
    lambda: {"models": [model(), model()], "num_votes": 4, "group_size": 4, "num_samples": 8},
    models=[None, 3, [], [3, 4], [model()], model(), Nothing()],
    num_votes=[*ROWS_COUNT, None, 1],
    num_samples=[*ROWS_COUNT, None, 1],
    min_std=[*WEIGHT, None],
    **SCORE,
)
rows(
    "evaluation.sample_quality",
    evaluation.sample_quality,
    lambda: {"model": model(), "images": images(40), "extractor": nn.Flatten(), "name": "pixels"},
    images=IMAGES,
    extractor=[*FUNCTION, None, lambda x: None, lambda x: x[0], called("extractor")],
    name=NAME,
    neighbors=[*COUNT, None, 40],
    **NO_MODEL_INFORMATION,
)

rows(
    "evaluation.Features",
    evaluation.Features,
    lambda: {"network": nn.Flatten()},
    network=[*FUNCTION, None],
    size=COUNT,
    value_range=[3, None, (1,), (1, 0), (1, 1), (NAN, 1), "ab"],
    mean=["a", [NAN], [1, 2], [True, False, True], torch.ones(3) * 1j, NESTED, Nothing()],
    std=["a", [0.0], [1, 2], Nothing()],
    color=BOOL,
    as_bytes=[*BOOL, called("as_bytes")],
    resize=["nearest", None, 3],
    preprocess=FUNCTION,
)
rows(
    "evaluation.Features.prepare",
    lambda images: evaluation.Features(nn.Flatten()).prepare(images),
    images=[None, 3, "text", [1], torch.ones(3, 3), Nothing()],
)
BOMB = {name: range(1000) for name in "abcdefgh"}
rows(
    "sweep",
    lambda **arguments: experiments.sweep(**arguments),
    lambda: {"make_recipe": recipes.get, "data": images(8), "out": "x"},
    make_recipe=[*OBJECT, None, lambda: None],
    data=[3, "text", [1], {"a": 1}, None, (), (1,), (1, 2), (images(8), 2, 3), Nothing()],
    out=[*PATH, None],
    seeds=[3, "text", [], [-1], [1.5], None, range(10**9), itertools.count(), torch.tensor(1)],
    grid=[3, "text", [1], {"a": []}, {"a": 3}, {"a": [object()]}, {3: [1]}, {"a": range(10**12)}, BOMB],
    test=[3, "text", [1], (1,), (1, 2), Nothing()],
    evaluate=FUNCTION,
    processes=[*COUNT, None],
)
rows(
    "experiments.compare",
    experiments.compare,
    lambda: {"runs": ["nowhere"], "path": "x.html"},
    runs=[3, None, [], [3], ["nowhere"], called("a run|neither|runs")],
    path=[*PATH, None],
    title=TEXT,
)
rows("recipes.Recipe.for_images", lambda count: recipe().for_images(count), count=[*COUNT, None])

# Pictures.
rows(
    "viz.animate_folder",
    viz.animate_folder,
    lambda: {"folder": "nowhere", "path": "x.gif"},
    folder=[*PATH, None],
    path=[*PATH, None],
    seconds=[*POSITIVE, None, 1e30],
)
NO_HISTORY = [*OBJECT, None]
rows(
    "viz.epoch_means",
    viz.epoch_means,
    lambda: {"history": history(), "name": "loss/d"},
    history=NO_HISTORY,
    name=["nope", 3, None, [1], called("in this history")],
)
PICTURES = [*TENSOR, images(0), torch.zeros(3), images(2, (2, 4, 4)), images(2).to(torch.complex64)]
rows(
    "viz.image_grid",
    viz.image_grid,
    lambda: {"images": images(4), "columns": 2, "pixel_range": (-1, 1)},
    images=PICTURES,
    columns=[*ROWS_COUNT, None],
    pixel_range=RANGE,
)
rows(
    "viz.plot_grid",
    viz.plot_grid,
    lambda: {"images": images(4), "columns": 2, "pixel_range": (-1, 1)},
    images=PICTURES,
    columns=[*ROWS_COUNT, None],
    pixel_range=RANGE,
    title=TEXT,
    column_labels=[3, "ab", ["a"], [1, 2], ["\ud800", "b"], Nothing()],
    row_labels=[3, "ab", ["a"], [1, 2], ["\ud800", "b"], Nothing()],
    xlabel=TEXT,
    ylabel=TEXT,
)
rows(
    "viz.plot_calibration",
    viz.plot_calibration,
    curves=[None, 3, {}, {"a": 3}, [1], Nothing(), called("curves|calibration")],
)
rows(
    "viz.plot_confusion",
    viz.plot_confusion,
    lambda: {"match": match()},
    match=NO_MODEL,
    label_names=[3, "abcd", set("abcd"), ["a"], [1, 2, 3, 4], *([name, "b", "c", "d"] for name in NAME)],
    category_names=[3, "abcd", ["a"], [1, 2, 3, 4], *([name, "b", "c", "d"] for name in NAME)],
    title=TEXT,
)
rows("viz.plot_epochs", viz.plot_epochs, lambda: {"history": history()}, history=NO_HISTORY, total=BOOL)
rows(
    "viz.plot_history",
    viz.plot_history,
    lambda: {"history": history()},
    history=NO_HISTORY,
    entropy=[3, "text", [1], {"digit": "x"}, {"digit": NAN}, Nothing()],
)
FIGURE = {"model": NO_MODEL, "rows": [*ROWS_COUNT, None], "seed": [*SEED, None]}
CATEGORICAL = [*NO_CODE, np.zeros(2), "style", "z"]
NAMED = called(OF_CODE)
rows(
    "viz.plot_categories",
    viz.plot_categories,
    lambda: {"model": model(), "code": "digit"},
    code=[*CATEGORICAL, None, NAMED],
    dim=[None, "0", -1, 4, 1.5],
    title=TEXT[:-2],
    **FIGURE,
)
rows(
    "viz.plot_categories",
    lambda codes: viz.plot_categories(model(), "digit", style=codes),
    codes=[*GIVEN, 1e30, called("style")],
)
rows("viz.plot_fixed_noise", viz.plot_fixed_noise, lambda: {"model": model()}, code=[*CATEGORICAL, NAMED], **FIGURE)
rows(
    "viz.plot_fixed_category",
    viz.plot_fixed_category,
    lambda: {"model": model(), "category": 1},
    category=[None, "x", 9, -1, 1.5, [1, 2], Nothing(), called("digit|category")],
    code=[*CATEGORICAL, NAMED],
    columns=[*COUNT, None],
    **FIGURE,
)
rows(
    "viz.plot_requests",
    viz.plot_requests,
    lambda: {"model": named_model(), "requests": ["a"]},
    requests=[None, 3, "ab", [], ["nope"], [3], Nothing(), called("requests|category")],
    code=[*CATEGORICAL, NAMED],
    **FIGURE,
)
rows(
    "viz.plot_traversal",
    viz.plot_traversal,
    lambda: {"model": model(), "code": "style"},
    code=[*NO_CODE, None, "digit", NAMED],
    dim=[None, "0", -1, 2, 1.5],
    columns=[None, 0, -1, 1.5, "nope", [1], Nothing(), called("columns|in this latent")],
    steps=[*COUNT, None],
    title=TEXT[:-2],
    **{name: FIGURE[name] for name in ("model", "seed")},
)
rows(
    "viz.running_mean",
    viz.running_mean,
    lambda: {"values": [1.0], "width": 1},
    values=[*ARRAY, []][:-2],
    width=[*COUNT, None],
)
PIXELS = [None, 3, "text", [1], np.ones(3), np.full((4, 4, 3), NAN), np.array(["a"]), np.full((4, 4, 3), 2), Nothing()]
rows(
    "viz.save_png",
    viz.save_png,
    lambda: {"pixels": np.ones((4, 4, 3)), "path": "x.png"},
    pixels=PIXELS,
    path=[*PATH, None],
)
rows(
    "viz.save_figure",
    viz.save_figure,
    lambda: {"figure": viz.plot_grid(images(4), 2, pixel_range=(-1, 1)), "path": "x.png"},
    figure=[*OBJECT, None],
    path=[*PATH, None, "/", "x.y"],
)
rows(
    "viz.write_report",
    viz.write_report,
    lambda: {"model": model(), "images": images(16), "labels": torch.arange(16) % 4, "out": "report.html"},
    images=IMAGES,
    labels=LABELS,
    out=[*PATH, None, ".", "/", "report.json"],
    code=[*CATEGORICAL, NAMED],
    label_names=[3, "abcd", set("abcd"), ["a"], range(4), *([name, "b", "c", "d"] for name in NAME), called("label")],
    history=OBJECT,
    settings=[3, "text", [1], Nothing()],
    symptoms=[3, "text", [1], torch.tensor(1), itertools.repeat(3), Nothing()],
    title=TEXT,
    **{name: FIGURE[name] for name in ("model", "seed")},
)

# Recipes.


@cache
def recipe() -> recipes.Recipe:
    return recipes.get("default", width=1 / 16)


def recipe_fields() -> dict[str, Any]:
    return {
        "generator": dense_generator(),
        "discriminator": dense_discriminator(),
        "latent": LATENT,
        "image_size": 4,
        "batch_size": 8,
    }


rows(
    "recipes.Recipe",
    lambda **changes: recipes.Recipe(**changes).trainer(),
    recipe_fields,
    generator=[*MODULE, None],
    discriminator=[*MODULE, None],
    latent=[*OBJECT, None, ig.Noise(3)],
    image_size=[*COUNT, None],
    batch_size=[*COUNT, None],
    epochs=COUNT,
    steps=COUNT,
    q_head=MODULE,
    q_network=MODULE,
    tap=[3, [1], "nowhere", Nothing()],
    optimizers=[*OBJECT, None, ig.Optimizers],
    starts=["3", -1, 1.5, True, None, 2],
    decay_start=[*WEIGHT, 1.0, 2],
    engine=[*OBJECT, None, ig.Engine],
    trainer_kwargs=[3, "text", [1], {3: 1}, None, Nothing()],
    name=[3, None, [1], b"x", Nothing()],
    width=[*POSITIVE, None],
    seed=[*SEED, None],
)
rows("recipes.Recipe.images", lambda images: recipe().images(images), images=PICTURES[:-2])
rows(
    "recipes.Recipe.trainer",
    lambda overrides: recipe().trainer(**overrides),
    overrides=[{"d_step": 1}, {"d_steps": 0}, {"steps": 3}, called("step")],
)
rows(
    "recipes.all_digits",
    recipes.all_digits,
    name=["", "nope", 3, None, [1], {"a": 1}, np.zeros(2), Nothing(), called("settings for all digits")],
)
rows(
    "recipes.get",
    recipes.get,
    lambda: {"name": "default", "width": 1 / 16},
    name=["", "Default", "paper\0", "../x", 3, None, [1], {"a": 1}, Nothing(), called("recipe")],
    width=[*POSITIVE, None, 1e6, 1e300, 10**9],
    seed=[*SEED, None],
)
for name, values in {
    "settings": [3],
    "lr_x": [1],
    "batch_size": [*COUNT, None],
    "steps": COUNT,
    "epochs": COUNT,
    "image_size": [*COUNT, None],
    "generator": [*MODULE, None],
    "latent": OBJECT,
    "optimizers": OBJECT,
    "trainer_kwargs": [3, "text", [1]],
}.items():
    rows(
        "recipes.get",
        lambda overrides, name=name: recipes.get("default", width=1 / 16, **{name: overrides}),
        overrides=[*values, called(name)],
    )
rows("recipes.load_run", recipes.load_run, folder=[*PATH, None])
rows("recipes.register", lambda name: recipes.register(name), name=[*NAME, None])
rows(
    "recipes.dcgan_pair",
    recipes.dcgan_pair,
    lambda: {"latent_width": 9, "image_shape": (1, 16, 16)},
    latent_width=[*COUNT, None],
    image_shape=[None, 3, "ab", (), (0,), (1, 15, 15), (1, 16), (1, 2**30, 2**30), Nothing()],
    channels=[*COUNT, None],
    seed=[*SEED, None],
)
rows("datasets.digits", datasets.digits, size=[*COUNT, None, 7, 10**6])
rows("datasets.mnist", datasets.mnist, lambda: {"folder": "never"}, folder=[*PATH, None], split=["valid", None, 3, [1]])
rows(
    "recipes.resize_images",
    recipes.resize_images,
    lambda: {"images": images(2), "size": 8},
    images=PICTURES[:-2],
    size=[*COUNT, None],
)
rows(
    "recipes.save_run",
    recipes.save_run,
    lambda: {"folder": "never", "recipe": recipe(), "model": recipe().model()},
    folder=[*PATH, None],
    recipe=[*OBJECT, None, recipes.Recipe],
    model=NO_MODEL,
)
rows(
    "explorer.explore",
    lambda **arguments: explorer.explore(**({"open_browser": False, "block": False} | arguments)),
    lambda: {"model": model()},
    model=NO_MODEL,
    port=["80", -1, 65536, 1.5, None, True],
    open_browser=BOOL,
    block=BOOL,
    images=IMAGES[1:],
)
rows(
    "export.export_onnx",
    export.export_onnx,
    lambda: {"model": model(), "folder": "never", "web": True},
    model=[*NO_MODEL, spoiled_model()],
    folder=[*PATH, None],
    web=BOOL,
    engine=[*PATH, None, np.zeros(2), "nowhere"],
    images=IMAGES[1:],
)


@cache
def pretrained_generator() -> hub.PretrainedGenerator:
    trained = model()
    return hub.PretrainedGenerator(
        trained.generator,
        trained.latent,
        trained.generator_adapter,
        image_shape=trained.image_shape,
        pixel_range=trained.pixel_range,
        category_names={},
    )


PRETRAINED = {"card": [*TEXT[:-2], Nothing()], "metrics": [3, "ab", [1], {"a": "b"}, {3: 1.0}, {"a": NAN}, Nothing()]}
PRETRAINED |= {"model": [*NO_MODEL, spoiled_model()], "recipe": [*OBJECT, recipes.Recipe]}
NO_TOKEN = [*NAME[:-2], "hf_\u00e9", [1], NESTED, Nothing()]
rows(
    "hub.save_pretrained",
    hub.save_pretrained,
    lambda: {"model": model(), "folder": "never"},
    folder=[*PATH, None],
    **PRETRAINED,
)
rows(
    "hub.push_to_hub",
    hub.push_to_hub,
    lambda: {"model": model(), "repo": "me/never"},
    repo=[*PATH, None, "me", "me/my/model", "me/a b"],
    private=BOOL,
    token=NO_TOKEN,
    **PRETRAINED,
)
FUNCTION_ONLY = [3, "flip", [1], lambda: None, Nothing()]
rows(
    "hub.from_pretrained",
    hub.from_pretrained,
    lambda: {"source": "never", "generator": dense_generator(), "discriminator": dense_discriminator()},
    source=[*PATH, None, "never", "./never", "../never"],
    generator=[3, "text", [1], Nothing(), nn.Linear],
    discriminator=[3, "text", [1], Nothing(), nn.Linear],
    q_head=[3, "text", [1], Nothing()],
    q_network=[3, "text", [1], Nothing(), nn.Linear],
    revision=[*NAME[:-2], [1], NESTED, Nothing()],
    token=NO_TOKEN,
    **dict.fromkeys(("tap", "generator_output", "discriminator_output", "q_output"), FUNCTION_ONLY),
)
rows(
    "hub.PretrainedGenerator.sample",
    lambda n=4, **arguments: pretrained_generator().sample(n, **arguments),
    n=[*ROWS_COUNT, None],
    seed=SEED,
    rng=RNG,
    codes=[3, "text", [1], {"nope": 1}, called("")],
)
rows(
    "hub.PretrainedGenerator.sample",
    lambda named: pretrained_generator().sample(2, digit=named),
    named=[*GIVEN, -1, 4, 1.5, "seven", called("digit")],
)
rows(
    "hub.PretrainedGenerator.decode",
    lambda **arguments: pretrained_generator().decode(**({"latent": LATENT.sample(4)} | arguments)),
    latent=LATENTS,
    batch_size=[*COUNT, None],
)


def cases() -> Iterator[tuple[Row, Any]]:
    """All rows with each of their values."""
    for row in ROWS:
        for value in row.bad:
            yield row, value


class Untouchable:
    """An object that fails whatever it is asked for."""

    def __len__(self) -> int:
        raise TypeError("no len")

    def __float__(self) -> float:
        raise TypeError("no float")


def anything() -> list[Any]:
    """Values of every kind, whatever an argument is: each is taken or refused in words."""
    loop: list[Any] = []
    loop.append(loop)
    numbers = [0, -1, 3, 2**31, 2**62, 10**30, -(10**5000), 1.5, 1e308, -INF, NAN, 1 + 2j, True, Fraction(1, 3)]
    numbers += [Decimal("NaN"), Decimal("sNaN"), np.int64(-3), np.float16("inf"), np.bool_(True), np.datetime64("2020")]
    texts = [
        "",
        " ",
        "a",
        "a\0b",
        "\ud800",
        r"$\frac{$",
        "</script><script>",
        "\u202eabc",
        "x" * 10**5,
        b"x",
        bytearray(2),
    ]
    containers = [[], [None], [[[]]], (), (1, 2, 3), {}, {"a": 1}, {None: None}, {1}, frozenset(), range(5), iter([])]
    arrays = [np.zeros(0), np.array("a"), np.array([None], dtype=object), np.zeros(2, dtype=[("a", int)])]
    tensors = [torch.zeros(()), torch.zeros(0), torch.ones(2, 3), torch.full((3,), NAN), torch.tensor(True)]
    tensors += [torch.ones(2, dtype=torch.complex64), nn.Parameter(torch.ones(3)), SPARSE, META, NESTED]
    others = [
        None,
        Nothing(),
        Untouchable(),
        Failing(),
        lambda: None,
        int,
        nn.Linear(2, 2),
        ...,
        slice(3),
        ValueError("x"),
    ]
    others += [torch.device("cpu"), torch.float32, torch.Generator(), Path("x/y"), memoryview(b"abc"), np, loop, DEEP]
    return [*numbers, *texts, *containers, *arrays, *tensors, *others]
