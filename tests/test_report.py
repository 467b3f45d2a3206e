"""The report: what stands in it, that it needs nothing from outside, and that nothing given to it is taken for HTML."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.evaluation import information
from infogan_lib.metrics import match_categories
from infogan_lib.metrics.calibration import Coverage, Reliability
from infogan_lib.viz import html as page
from infogan_lib.viz import plot_calibration, plot_confusion, write_report
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

LABELS = torch.arange(64) % 3


class Read(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "br"):
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
    read = Read(path.read_text(encoding="utf-8"))
    assert read.open == []
    return read


def test_everything_is_inside(tmp_path):
    read = report_of(tmp_path, model_of(), images(64), LABELS)
    for tag, attributes in read.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    style = (tmp_path / "deep/report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", style)
    pictures = [attributes for tag, attributes in read.tags if tag == "img"]
    alts = [attributes["alt"] for attributes in pictures]
    assert alts[:2] == ["A grid of real images", "A grid of generated images"]
    assert alts[2:] == [
        "Samples, one value of digit per column",
        "Sweep of style[0]",
        "Sweep of style[1]",
        "Images by category and label",
        "Calibration",
    ]
    for attributes in pictures:
        data = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
        assert np.asarray(PIL.Image.open(io.BytesIO(data)).convert("L")).std() > 1


def test_the_figures_are_the_models(tmp_path):
    model = model_of()
    text = report_of(tmp_path, model, images(64), LABELS, settings={"recipe": "mine"}).text
    match = match_categories(model.encode(images(64))["digit"].mode.argmax(1), LABELS, category_count=4)
    assert f"{match.accuracy:.1%} of 64 images are in the category matched to their label" in text
    assert f"{match.nmi:.3f} normalised mutual information" in text
    assert f"{information(model)['style'].bound:.3f}" in text
    assert "style[1]" in text
    assert f"recipe {'mine'}" in text
    assert f"{sum(p.numel() for p in model.generator.parameters()):,}" in text


def test_without_labels_it_counts_the_categories(tmp_path):
    model = model_of()
    model.set_category_names("digit", ["zero", None, "two", "three"])
    read = report_of(tmp_path, model, images(64))
    assert "Categories and labels" not in read.text
    counts = np.bincount(model.encode(images(64))["digit"].mode.argmax(1), minlength=4)
    lead = "Real images by digit What Q says of them; no labels were given. category name images"
    assert f"{lead} 0 zero {counts[0]} 1 {counts[1]} 2 two {counts[2]}" in read.text


def test_curves_of_a_run(tmp_path):
    torch.manual_seed(0)
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu", ema_decay=0.9)
    trainer.fit(images(64), steps=3, batch_size=8)
    read = report_of(tmp_path, trainer.model, images(64), LABELS, history=trainer.history)
    assert "How it was trained" in read.text
    assert "averaged over the last steps" in read.text
    assert "How it was trained" not in report_of(tmp_path, trainer.model, images(64), LABELS).text


@pytest.mark.parametrize(
    ("latent", "shape"),
    [
        (LATENT, (3, 4, 4)),
        (LATENT, (16,)),
        (LATENT, (1, 1, 16)),
        (ig.LatentSpec(z=ig.Noise(9), style=ig.Uniform(2, loss=losses.MSE())), (1, 4, 4)),
        (ig.LatentSpec(z=ig.Noise(5), kind=ig.Categorical(3), digit=ig.Categorical(3)), (1, 4, 4)),
        (ig.LatentSpec(z=ig.Noise(5), bits=ig.Bernoulli(3), many=ig.Uniform(20)), (1, 4, 4)),
    ],
)
def test_any_codes_and_any_images(tmp_path, latent, shape):
    model = model_of(shape, latent)
    read = report_of(tmp_path, model, images(64, shape))
    known, table = information(model), read.text.split("The codes")[1]
    for name, code in latent.codes.items():
        of_code = known[name]
        bound = f"none; squared error {of_code.loss:.3f}" if of_code.bound is None else f"{of_code.bound:.3f}"
        assert f"{name} {code!r} {code.entropy:.3f} {bound} {of_code.standard_error:.3f}" in table
    with_pictures = len(shape) == 3 and min(shape[1:]) >= 2
    assert ("Real and generated" in read.text) == with_pictures
    sweeps = sum(code.width for code in latent.codes.values() if not code.is_discrete)
    alts = [attributes["alt"] for tag, attributes in read.tags if tag == "img"]
    assert sum(alt.startswith("Sweep") for alt in alts) == (min(sweeps, 12) if with_pictures else 0)
    bits = sum(code.width for code in latent.codes.values() if isinstance(code, ig.Bernoulli))
    assert sum(alt.endswith("off and on") for alt in alts) == (bits if with_pictures else 0)


def test_nothing_that_is_given_is_taken_for_html(tmp_path):
    model, evil = model_of(), "<script>alert(1)</script>\"'&"
    model.set_category_names("digit", [evil, "b", "c", "d"])
    names = [evil, "b", "c", "d"]
    read = report_of(tmp_path, model, images(64), LABELS, title=evil, settings={evil: evil}, label_names=names)
    assert not any(tag == "script" for tag, _ in read.tags)
    assert read.text.count("alert(1)") >= 4
    read = report_of(tmp_path, model, images(64))
    assert not any(tag == "script" for tag, _ in read.tags)


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
def test_mistakes_are_named_and_leave_no_file(tmp_path, call, error, message):
    path = tmp_path / "report.html"
    with pytest.raises(error, match=message):
        call(model_of(), path)
    assert not path.exists()


def test_parts_of_a_page():
    made = page.table(["a", "b"], [["<1>", "2"]], numeric=[1])
    assert "<td>&lt;1&gt;</td>" in made
    assert '<td class="n">2</td>' in made
    assert page.facts([("5", "<b>")]) == '<ul class="facts"><li><b>5</b>&lt;b&gt;</li></ul>'
    assert page.heading("a", level=1) == "<h1>a</h1>"


def test_confusion_figure_has_the_labels_in_order():
    match = match_categories([2, 2, 0, 1, 1, 1], [0, 0, 1, 2, 2, 0], category_count=4)
    figure = plot_confusion(match, label_names=["a", "b", "c"])
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "0", "1", "3"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "2", (1, 1): "1", (0, 2): "1", (2, 2): "2"}
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, [[2 / 3, 0, 0], [0, 1, 0], [1 / 3, 0, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match="3 label names are needed, but got 2"):
        plot_confusion(match, label_names=["a", "b"])


def test_calibration_figure_shows_what_was_found():
    nan = float("nan")
    edges, counts = np.linspace(0, 1, 4), np.array([0, 2, 6])
    sure = Reliability(edges, counts, np.array([nan, 0.5, 0.9]), np.array([nan, 0.25, 1.0]), 0.1375)
    inside = Coverage(np.array([0.5, 1.0]), np.array([0.3, 1.0]), 0.1)
    figure = plot_calibration({"digit": sure, "style": inside})
    first, second = figure.axes
    assert first.get_title() == "digit: off by 0.138"
    assert first.lines[1].get_xydata().tolist() == [[0.5, 0.25], [0.9, 1.0]]
    assert second.lines[1].get_xydata().tolist() == [[0.5, 0.3], [1.0, 1.0]]
    with pytest.raises(ValueError, match="no code whose posterior says how sure it is"):
        plot_calibration({})


def test_a_generator_without_a_known_range(tmp_path):
    read = report_of(tmp_path, model_of(end=nn.Identity()), images(16))
    assert "Real and generated" in read.text
