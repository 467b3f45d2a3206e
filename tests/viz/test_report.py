"""The report: its content, that it loads nothing from a network, and that no text given to it becomes HTML."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.evaluation import CodeInformation, Symptom, code_information
from infogan_lib.metrics import Coverage, Effect, match_categories
from infogan_lib.viz import html, report_sections, write_report
from infogan_lib.viz.findings import Findings
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

LABELS = torch.arange(64) % 3


class ParsedPage(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def model_of(shape=(1, 4, 4), latent=LATENT, end=None):
    torch.manual_seed(0)
    return ig.InfoGAN(dense_generator(latent.width, shape, end), dense_discriminator(shape), latent)


def report_of(tmp_path, model, *arguments, **options):
    path = write_report(model, *arguments, out=tmp_path / "deep" / "report.html", **options)
    page = ParsedPage(path.path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_styles_and_images_are_embedded(tmp_path):
    page = report_of(tmp_path, model_of(), images(64), LABELS)
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    style = (tmp_path / "deep/report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", style)
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    alts = [attributes["alt"] for attributes in pictures]
    assert alts[:2] == ["A grid of real images", "A grid of generated images"]
    assert alts[2:] == [
        "Samples, one value of digit per column",
        "Traversal of style[0]",
        "Traversal of style[1]",
        "Images by category and label",
        "Calibration of digit",
        "Calibration of style",
    ]
    for attributes in pictures:
        data = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
        assert np.asarray(PIL.Image.open(io.BytesIO(data)).convert("L")).std() > 1


def test_numbers_are_those_of_the_model(tmp_path):
    model = model_of()
    text = report_of(tmp_path, model, images(64), LABELS, settings={"recipe": "mine"}).text
    match = match_categories(model.encode(images(64))["digit"].mode.argmax(1), LABELS, category_count=4)
    assert f"{match.accuracy:.1%} of 64 images are in the category matched to their label" in text
    assert f"{match.nmi:.3f} normalized mutual information" in text
    assert f"{code_information(model)['style'].bound:.3f}" in text
    assert "style[1]" in text
    assert f"recipe {'mine'}" in text
    assert f"{sum(p.numel() for p in model.generator.parameters()):,}" in text


def test_without_labels_it_counts_the_categories(tmp_path):
    model = model_of()
    model.set_category_names("digit", ["zero", None, "two", "three"])
    page = report_of(tmp_path, model, images(64))
    assert "Categories and labels" not in page.text
    counts = np.bincount(model.encode(images(64))["digit"].mode.argmax(1), minlength=4)
    lead = "Real images by digit Q's predictions; no labels were given. category name images"
    assert f"{lead} 0 zero {counts[0]} 1 {counts[1]} 2 two {counts[2]}" in page.text


def test_labels_without_categories_leave_a_report_that_says_so(tmp_path):
    latent = ig.LatentSpec(z=ig.Noise(9), style=ig.Uniform(2), switch=ig.Bernoulli(1))
    model = ig.InfoGAN(dense_generator(latent.width), dense_discriminator(), latent)
    text = report_of(tmp_path, model, images(64), LABELS).text
    assert "Labels were given, but only the categories of a Categorical code are compared" in text
    assert "the codes are 'style' and 'switch'" in text
    assert "Calibration of Q" in text
    with pytest.raises(ValueError, match="labels: there must be one for each of 64 images, but got 63"):
        report_of(tmp_path, model, images(64), LABELS[:-1])
    with pytest.raises(TypeError, match="'style' is .* which has no categories"):
        report_of(tmp_path, model, images(64), LABELS, code="style")


def test_label_names_may_be_given_by_number(tmp_path):
    names = {2: "two", 0: "zero", 1: "one"}
    by_number = report_of(tmp_path, model_of(), images(64), LABELS, label_names=names).text
    assert by_number == report_of(tmp_path, model_of(), images(64), LABELS, label_names=["zero", "one", "two"]).text
    with pytest.raises(TypeError, match=r"label_names must be strings in a list, or in a dict by number from 0 to 0"):
        report_of(tmp_path, model_of(), images(64), LABELS, label_names={"digit": ["zero", "one", "two"]})


@pytest.mark.slow
def test_curves_of_a_run(tmp_path):
    torch.manual_seed(0)
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu", ema_decay=0.9)
    trainer.fit(images(64), steps=3, batch_size=8)
    page = report_of(tmp_path, trainer.model, images(64), LABELS, history=trainer.history)
    assert "How it was trained" in page.text
    assert "averaged over the last steps" in page.text
    assert "How it was trained" not in report_of(tmp_path, trainer.model, images(64), LABELS).text


@pytest.mark.parametrize(
    ("latent", "shape"),
    [
        (LATENT, (3, 4, 4)),
        (LATENT, (16,)),
        (LATENT, (1, 1, 16)),
        (ig.LatentSpec(z=ig.Noise(9), style=ig.Uniform(2, loss=losses.MSE())), (1, 4, 4)),
        (ig.LatentSpec(z=ig.Noise(5), kind=ig.Categorical(3), digit=ig.Categorical(3)), (1, 4, 4)),
        pytest.param(
            *(ig.LatentSpec(z=ig.Noise(5), bits=ig.Bernoulli(3), many=ig.Uniform(20)), (1, 4, 4)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_any_codes_and_any_images(tmp_path, latent, shape):
    model = model_of(shape, latent)
    page = report_of(tmp_path, model, images(64, shape))
    information, table = code_information(model), page.text.split("The codes")[-1]
    for name, code in latent.codes.items():
        info = information[name]
        bound = f"none; squared error {info.loss:.3f}" if info.bound is None else f"{info.bound:.3f}"
        assert f"{name} {code!r} {code.entropy:.3f} {bound} {info.standard_error:.3f}" in table
    with_pictures = len(shape) == 3 and min(shape[1:]) >= 2
    assert ("Real and generated" in page.text) == with_pictures
    traversals = sum(code.width for code in latent.codes.values() if not code.is_discrete)
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert sum(alt.startswith("Traversal") for alt in alts) == (min(traversals, 12) if with_pictures else 0)
    bits = sum(code.width for code in latent.codes.values() if isinstance(code, ig.Bernoulli))
    assert sum(alt.endswith("off and on") for alt in alts) == (bits if with_pictures else 0)


@pytest.mark.slow
def test_text_is_escaped(tmp_path):
    model, evil = model_of(), "<script>alert(1)</script>\"'&"
    model.set_category_names("digit", [evil, "b", "c", "d"])
    names = [evil, "b", "c", "d"]
    page = report_of(tmp_path, model, images(64), LABELS, title=evil, settings={evil: evil}, label_names=names)
    assert not any(tag == "script" for tag, _ in page.tags)
    assert page.text.count("alert(1)") >= 4
    page = report_of(tmp_path, model, images(64))
    assert not any(tag == "script" for tag, _ in page.tags)


@pytest.mark.slow
def test_labels_of_one_class_and_blank_images(tmp_path):
    model = model_of()
    text = report_of(tmp_path, model, torch.zeros(6, 1, 4, 4), torch.zeros(6, dtype=torch.int64)).text
    assert "100.0% of 6 images" in text
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.zero_()
    text = report_of(tmp_path, model, images(6), torch.arange(6) % 2).text
    assert "nan" not in text.lower().replace("nanometre", "")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, p: write_report(m, images(8), torch.zeros(7).long(), p),
            ValueError,
            "equally long, but got 8 and 7",
        ),
        (
            lambda m, p: write_report(m, images(8, (1, 5, 5)), None, p),
            ValueError,
            r"images must have shape \(N, 1, 4, 4\)",
        ),
        (lambda m, p: write_report(m, images(8) * torch.nan, None, p), ValueError, "images must be finite"),
        (lambda m, p: write_report(m, images(8), LABELS[:8], p, code="x"), KeyError, "no 'x' in this latent"),
        (lambda m, p: write_report(m, images(8), LABELS[:8], p, label_names=["a"]), ValueError, "label_count is 1"),
        (lambda m, p: write_report(m, images(8), None, p, settings=[1]), TypeError, "settings must be a mapping"),
        (lambda m, p: write_report(m, images(8), None, p, seed=-1), ValueError, "seed must be a whole number"),
        (lambda m, p: write_report(m, [1], None, p), TypeError, "images must be a Tensor"),
    ],
)
def test_invalid_arguments_are_named_and_leave_no_file(tmp_path, call, error, message):
    path = tmp_path / "report.html"
    with pytest.raises(error, match=message):
        call(model_of(), path)
    assert not path.exists()


def test_the_numbers_are_beside_the_page(tmp_path):
    model, old = model_of(), tmp_path / "deep/report.html"
    old.parent.mkdir()
    old.write_text("before")
    (tmp_path / "held").hardlink_to(old)
    report_of(tmp_path, model, images(64), LABELS, symptoms=[], label_names=["zero", "one", "two"])
    assert (tmp_path / "held").read_text() == "before"  # who reads the old file sees no part of the new one
    numbers = json.loads((tmp_path / "deep/report.json").read_text())
    match = match_categories(model.encode(images(64))["digit"].mode.argmax(1), LABELS, category_count=4)
    assert numbers["labels"]["accuracy"] == match.accuracy
    assert numbers["labels"]["contingency"] == match.contingency.tolist()
    assert numbers["labels"]["names"] == ["zero", "one", "two"]
    information = code_information(model)
    assert numbers["codes"]["style"]["bound"] == information["style"].bound
    assert numbers["symptoms"] == []
    assert [effect["measure"] for effect in numbers["effects"]["style[0]"]]
    assert numbers["settings"]["latent"] == repr(LATENT)


def test_numbers_replace_no_other_file(tmp_path):
    recipe = tmp_path / "recipe.json"
    for content in ('{"format": 1, "name": "default"}', "[]", "no JSON"):
        recipe.write_text(content)
        with pytest.raises(ValueError, match="would replace .*recipe.json, which is no report.s"):
            write_report(model_of(), images(64), out=tmp_path / "recipe.html")
        assert recipe.read_text() == content
    assert not (tmp_path / "recipe.html").exists()
    report_of(tmp_path, model_of(), images(64))
    report_of(tmp_path, model_of(), images(64))  # which replaces its own


def test_the_page_has_landmarks_contents_captions_and_scopes(tmp_path):
    page = report_of(tmp_path, model_of(), images(64), LABELS)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("main") == tags.count("nav") == 1
    assert tags.count("caption") == tags.count("table")
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    targets = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [f"#{target}" for target in targets]
    assert len(set(targets)) == len(targets) > 5
    style = (tmp_path / "deep/report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "prefers-color-scheme: dark" in style
    labels = {attributes.get("data-label") for tag, attributes in page.tags if tag == "td"}
    assert {"code", "standard error", "rank correlation", "purity"} <= labels


def test_categories_are_named_in_the_tables(tmp_path):
    model = model_of()
    names = ["zero", "one", "two"]
    match = match_categories(model.encode(images(64))["digit"].mode.argmax(1), LABELS, category_count=4)
    page = report_of(tmp_path, model, images(64), LABELS, label_names=names)
    for category, label in enumerate(match.label_per_category):
        shown = names[label] if label >= 0 else f"category {category}"
        assert f"{shown} {category} {match.category_counts[category]}" in page.text
    model.set_category_names("digit", ["a", "b", "c", "d"])
    assert f"d 3 {match.category_counts[3]}" in report_of(tmp_path, model, images(64), LABELS).text


def test_settings_have_no_folders_of_this_machine(tmp_path):
    settings = {"data": Path("/home/me/mnist"), "out": "/home/me/runs/x", "windows": r"C:\Users\me\y", "rate": 0.1}
    text = report_of(tmp_path, model_of(), images(16), settings=settings).text
    assert "home" not in text
    assert "Users" not in text
    assert "data mnist out x windows y rate 0.1" in text


def test_what_the_monitor_saw_and_what_to_try(tmp_path):
    symptom = Symptom("flat bound", "style", "Q knows nothing of 'style'", "a higher weight", step=300)
    page = report_of(tmp_path, model_of(), images(16), symptoms=[symptom])
    assert f"What the monitor saw {symptom} What to try next" in page.text
    assert "No symptom of collapse in the whole run." in report_of(tmp_path, model_of(), images(16), symptoms=[]).text
    assert "What the monitor saw" not in report_of(tmp_path, model_of(), images(16)).text
    for advice in json.loads((tmp_path / "deep/report.json").read_text())["advice"]:
        assert advice in page.text


def test_a_symptom_that_recurs_is_listed_once(tmp_path):
    flat = [Symptom("flat bound", "style", f"Q knows {step}", "a higher weight", step=step) for step in (300, 500, 900)]
    merged = [Symptom("merged categories", "digit", "-", "-", categories=(i, 2)) for i in (0, 1)]
    report_of(tmp_path, model_of(), images(16), symptoms=[flat[0], merged[0], flat[1], "own words", merged[1], flat[2]])
    seen = json.loads((tmp_path / "deep/report.json").read_text())["symptoms"]
    assert seen == [f"{flat[2]} (reported 3 times since step 300)", *map(str, merged), "own words"]


def findings_of(match=None, symptoms=None, fraction=1.0, error=0.0, correlation=1.0):
    info = CodeInformation(0.0, 0.0, 2.3 * fraction, fraction)
    effect = Effect("slant", -10.0, 10.0, 1.0, correlation)
    curve = Coverage(np.array([0.5]), np.array([0.5]), error)
    names = {"digit": ["a", "b"]}
    arguments = {"counts": {}, "effects": {"style[0]": [effect]}, "curves": {"digit": curve}, "symptoms": symptoms}
    return Findings(
        information={"digit": info}, code="digit", match=match, names=names, label_names=["a", "b"], **arguments
    )


def test_advice_follows_the_numbers():
    assert findings_of().advice()[0].startswith("Nothing here calls for a change")
    assert "Q reads 20% of digit" in findings_of(fraction=0.2).advice()[0]
    assert "is below zero" in findings_of(fraction=-0.5).advice()[0]
    assert "confidence in digit is 30% off" in findings_of(error=0.3).advice()[0]
    assert "style[0] changes none of the measures" in findings_of(correlation=0.1).advice()[0]
    one = match_categories([0, 0, 0, 0], [0, 1, 0, 1], category_count=2)
    assert [text.partition(":")[0] for text in findings_of(one).advice()] == [
        "No category is matched to b" if len(one.unmatched_labels) == 1 else "",
        "The bound is full, but the categories are not those of the labels",
    ]


def test_brightness_is_in_percent():
    bright = replace(findings_of(), effects={"style[0]": [Effect("brightness", 0.1, 0.25, 1.0, 1.0)]})
    row = "".join(report_sections.effects(bright))
    assert re.findall("<td[^>]*>(.*?)</td>", row) == ["style[0]", "brightness", "10.0", "25.0", "percent", "+1.00"]


def test_html_elements():
    made = html.table([["<1>", "2"]], header=["a", "b"], numeric=[1])
    assert '<td data-label="a">&lt;1&gt;</td>' in made
    assert '<td class="n" data-label="b">2</td>' in made
    assert '<th scope="col">a</th><th class="n" scope="col">b</th>' in made
    assert '<th scope="row">a</th><td>b</td>' in html.table([["a", "b"]])
    assert html.image(b"x", "<a>") == '<figure><img src="data:image/png;base64,eA==" alt="&lt;a&gt;"></figure>'
    assert html.facts([("5", "<b>")]) == '<ul class="facts"><li><b>5</b>&lt;b&gt;</li></ul>'
    assert html.heading("a", level=1) == "<h1>a</h1>"


def test_a_bound_below_zero_is_shown_as_it_is(tmp_path):
    model = model_of()
    with torch.no_grad():
        model.q.out.weight.mul_(200)  # sure, and wrong
    bound = code_information(model, seed=0)["digit"].bound
    assert bound < -0.5
    assert f"{bound:.2f} nats of information about digit" in report_of(tmp_path, model, images(16)).text


def test_a_generator_without_a_known_range(tmp_path):
    with pytest.warns(UserWarning, match="range of the generator's images is not known"):
        page = report_of(tmp_path, model_of(end=nn.Identity()), images(16))
    assert "Real and generated" in page.text
