"""ONNX files in onnxruntime, and the plan as somebody reads it who has no library."""

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from custom_code import Angle
from export_toys import (
    ConvDiscriminator,
    IndexGenerator,
    MapGenerator,
    SequenceGenerator,
    digit_model,
    own_head,
    with_moved_average,
)
from infogan_lib import Bernoulli, Categorical, Gaussian, InfoGAN, LatentSpec, Noise, Uniform
from infogan_lib.export import ExportError, export_onnx, tracing
from infogan_lib.export.plan import export_plan
from infogan_lib.latent import Label
from infogan_lib.losses import MSE, NormalNLL
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator, images

pytestmark = pytest.mark.cpu
onnx = [pytest.importorskip(name, reason="pip install 'infogan-lib[onnx]'") for name in ("onnx", "onnxscript")]
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'infogan-lib[onnx]'")

EVERY_CODE = LatentSpec(
    z=Noise(3),
    u=Noise(2, distribution="uniform"),
    kind=Categorical(3, probs=[0.5, 0.25, 0.25]),
    label=Label(4),
    pan=Uniform(2, low=-1, high=3),
    fixed=Uniform(1, loss=NormalNLL(scale=0.5)),
    point=Uniform(1, loss=MSE()),
    tilt=Gaussian(2),
    bits=Bernoulli(3),
)
ANGLE = LatentSpec(z=Noise(3), hand=Angle())


def model_of(case: str) -> InfoGAN:
    torch.manual_seed(0)
    if case == "maps, average, tap":
        latent = EVERY_CODE
        return with_moved_average(InfoGAN(MapGenerator(latent.width), ConvDiscriminator(), latent))
    if case == "separate, own head":
        return InfoGAN(PartsGenerator(), dense_discriminator(), LATENT, q_head=own_head(LATENT))
    if case == "indices, outputs of D":
        return InfoGAN(IndexGenerator(), TupleDiscriminator(), LATENT)
    if case == "sequences, separate network":
        q = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
        return InfoGAN(SequenceGenerator(ANGLE.width), dense_discriminator((1, 8)), ANGLE, q_network=q)
    model = InfoGAN(torch.compile(dense_generator(), backend="eager"), dense_discriminator(), LATENT)
    return model.double()  # "flat, compiled, float64"


CASES = [
    "maps, average, tap",
    "separate, own head",
    "indices, outputs of D",
    "sequences, separate network",
    "flat, compiled, float64",
]


def run(folder, file, batch):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch.float().numpy()})[0]


def columns(outputs, ends):
    return outputs[:, ends[0] : ends[1]].astype(np.float64)


def posteriors(plan, outputs):
    """What plan.json says of Q's outputs, without the library: probabilities, or mean and standard deviation."""
    found = {}
    for variable in plan["variables"]:
        if (q := variable.get("q")) is None:
            continue
        take = partial(columns, outputs)
        if q["posterior"] == "categorical":
            e = np.exp(take(q["logits"]))
            found[variable["name"]] = (e / e.sum(1, keepdims=True),)
        elif q["posterior"] == "bernoulli":
            found[variable["name"]] = (1 / (1 + np.exp(-take(q["logits"]))),)
        elif q["posterior"] == "point":
            found[variable["name"]] = (take(q["value"]), 0)
        elif q["posterior"] == "normal":
            mean, std = take(q["mean"]), q["scale"]
            if "raw_scale" in q:
                r, half = take(q["raw_scale"]), q["log_scale_half"]
                std = np.exp(q["log_scale_middle"] + half * r / (half + abs(r)))
            found[variable["name"]] = (mean, std)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_files_give_what_the_model_gives_and_the_plan_says_what_it_means(tmp_path, case):
    model = model_of(case)
    was_training = model.training
    assert export_onnx(model, tmp_path / "out") == tmp_path / "out"
    assert model.training == was_training
    plan = json.loads((tmp_path / "out/plan.json").read_text())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["generator.onnx", "plan.json", "q.onnx"]
    for n in (1, 7):
        latent = model.latent.sample(n, rng=torch.Generator().manual_seed(n))
        expected = model.decode(latent)
        np.testing.assert_allclose(run(tmp_path / "out", "generator.onnx", latent), expected, atol=1e-5)
        outputs = run(tmp_path / "out", "q.onnx", expected)
        np.testing.assert_allclose(outputs, model.q_outputs(expected), atol=1e-5, rtol=1e-5)
        read, q = posteriors(plan, outputs), model.encode(expected)
        for name, statistics in read.items():
            moments = (q[name].mean,) if len(statistics) == 1 else (q[name].mean, q[name].variance.sqrt())
            for value, moment in zip(statistics, moments, strict=True):
                np.testing.assert_allclose(np.broadcast_to(value, moment.shape), moment, atol=1e-4)
        assert set(read) == set(model.latent.codes) - {"hand"}
    assert all(0 <= file["largest_difference"] <= 1e-5 for file in plan["files"].values())


def test_the_plan_names_every_column():
    torch.manual_seed(0)
    model = InfoGAN(dense_generator(EVERY_CODE.width), dense_discriminator(), EVERY_CODE)
    model.set_category_names("kind", ["seven", None, "two"])
    plan = json.loads(json.dumps(export_plan(model, {"generator.onnx": None, "q.onnx": None}), allow_nan=False))
    variables = {variable.pop("name"): variable for variable in plan["variables"]}
    assert list(variables) == list(EVERY_CODE)
    for name, variable in variables.items():
        assert slice(variable["offset"], variable["offset"] + variable["width"]) == EVERY_CODE.slices[name]
        assert variable["kind"] == type(EVERY_CODE[name]).__name__
        if name in EVERY_CODE.codes:
            assert slice(variable["q"]["start"], variable["q"]["end"]) == EVERY_CODE.output_slices[name]
    assert variables["kind"]["categories"] == ["seven", None, "two"]
    assert variables["kind"]["prior"] == [0.5, 0.25, 0.25]
    assert variables["u"]["distribution"] == "uniform"
    assert (variables["pan"]["low"], variables["pan"]["high"]) == (-1, 3)
    assert {name: variable["values"] for name, variable in variables.items()} == {
        "z": "noise",
        "u": "noise",
        "kind": "one-hot",
        "label": "one-hot",
        "pan": "numbers",
        "fixed": "numbers",
        "point": "numbers",
        "tilt": "numbers",
        "bits": "bits",
    }
    assert (plan["image_shape"], plan["pixel_range"], plan["width"]) == ([1, 4, 4], [-1, 1], EVERY_CODE.width)


def test_a_code_of_ones_own_is_a_path_of_rows():
    model = InfoGAN(dense_generator(ANGLE.width), dense_discriminator(), ANGLE)
    hand = export_plan(model, {})["variables"][1]
    assert hand["values"] == "rows"
    assert torch.tensor(hand["rows"]).norm(dim=1).allclose(torch.ones(33))
    assert hand["q"] == {"start": 0, "end": 3, "posterior": "unknown"}


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = dense_generator()

    def forward(self, latent):
        return self.body(latent) if latent.sum() > 0 else 0.5 * self.body(latent)


class Looping(Branching):
    def forward(self, latent):
        return torch.cat([self.body(row[None]) for row in latent])


class Random(Branching):
    def forward(self, latent):
        return self.body(latent) + 0.1 * torch.randn(len(latent), 1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (Branching, "the generator cannot be written as ONNX: .*without branches on their values"),
        (Looping, "the generator was traced for batches of 2 only"),
    ],
)
def test_networks_that_cannot_be_traced_are_refused(tmp_path, generator, message):
    with pytest.raises(ExportError, match=message) as raised:
        export_onnx(InfoGAN(generator(), dense_discriminator(), LATENT), tmp_path / "out")
    assert len(str(raised.value)) < 700
    assert not (tmp_path / "out").exists()


def test_a_generator_with_noise_of_its_own_is_refused(tmp_path):
    with pytest.raises(ExportError, match="the generator draws random numbers .* make that noise a variable"):
        export_onnx(InfoGAN(Random(), dense_discriminator(), LATENT), tmp_path / "out")


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    other, trace = dense_generator().eval(), tracing._trace
    monkeypatch.setattr(tracing, "_trace", lambda name, network, *ends: trace(name, other, *ends))
    with pytest.raises(ExportError, match=r"computes something else in onnxruntime: it differs from torch by \d"):
        export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(tracing, "_trace", trace)
    export_onnx(model, tmp_path / "out")
    plan = json.loads((tmp_path / "out/plan.json").read_text())
    assert plan["files"]["q.onnx"]["largest_difference"] is None


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    with pytest.raises(ImportError, match=rf"ONNX needs {package}: pip install 'infogan-lib\[onnx\]'"):
        export_onnx(model, tmp_path / "out")


def test_what_only_a_page_needs_is_refused_without_one(tmp_path):
    model = InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    for extra in ({"images": images(4)}, {"engine": tmp_path}):
        with pytest.raises(ValueError, match="give web=True as well"):
            export_onnx(model, tmp_path / "out", **extra)
    noise = LatentSpec(z=Noise(3), hand=Angle())
    sounds = InfoGAN(SequenceGenerator(5), dense_discriminator((1, 8)), noise)
    with pytest.raises(ValueError, match=r"the page shows images \(1 or 3, H, W\), but this model makes \(1, 8\)"):
        export_onnx(sounds, tmp_path / "out", web=True)


@pytest.mark.slow
def test_an_earlier_page_does_not_stay_beside_the_files_of_an_export_without_one(tmp_path):
    export_onnx(digit_model(), tmp_path, web=True)
    assert (tmp_path / "index.html").is_file()
    export_onnx(digit_model(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generator.onnx", "plan.json", "q.onnx"]
    (tmp_path / "index.html").write_text("<title>A page of one's own</title>")
    export_onnx(digit_model(), tmp_path)
    assert (tmp_path / "index.html").is_file()
