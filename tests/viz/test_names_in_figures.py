"""Names in figures: drawn as they are, formula or not; what cannot be drawn is refused where it is given."""

import time

import pytest
import torch

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, Uniform
from infogan_lib.history.history import History
from infogan_lib.metrics import match_categories, reliability
from infogan_lib.viz import plot_calibration, plot_categories, plot_confusion, plot_grid, plot_history, write_report
from toys import dense_discriminator, dense_generator, images

FORMULAS = [r"$\frac{$", "$", "$x^{2}$", "5$ and 6$", r"\$", "_a", "%s {0}", "漢字"]
UNDRAWABLE = ["\ud800", "a\0b", "a\nb", "\x1b[1m", ""]


def model(code="digit", names=None):
    latent = LatentSpec({"z": Noise(4), code: Categorical(3), "style": Uniform(1)})
    torch.manual_seed(0)
    made = InfoGAN(dense_generator(latent.width, (1, 8, 8)), dense_discriminator((1, 8, 8)), latent)
    if names:
        made.set_category_names(code, names)
    return made


def drawn(figure):
    """The figure's text as matplotlib draws it, in which a dollar sign that begins no formula is escaped."""
    figure.savefig("figure.png")
    axes = figure.axes
    texts = [t for a in axes for t in (a.title, a.xaxis.label, a.yaxis.label, *a.get_xticklabels(), *a.texts)]
    texts += [t for a in axes if a.get_legend() for t in a.get_legend().get_texts()]
    return {text.get_text().replace(r"\$", "$") for text in texts}


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
@pytest.mark.parametrize("name", FORMULAS)
def test_every_name_is_drawn_as_it_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {name, "b", "(2)"} <= drawn(plot_categories(model(names=[name, "b", None]), "digit", rows=1))
    assert name in drawn(plot_categories(model(code=name), name, rows=1))
    pictures = plot_grid(
        images(2, (1, 8, 8)), 2, pixel_range=(-1, 1), title=name, xlabel=name, column_labels=[name] * 2
    )
    assert name in drawn(pictures)
    labels = torch.arange(6) % 3
    assert name in drawn(plot_confusion(match_categories(labels, labels), label_names=[name, "b", "c"], title=name))
    assert any(name in text for text in drawn(plot_calibration({name: reliability([0.5], [1])})))
    history = History()
    history.record(1, {"loss/d": 1.0, f"bound/{name}": 0.5})
    assert {f"bound/{name}", f"H({name})"} <= drawn(plot_history(history, entropy={name: 1.0}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMULAS[:3])
def test_a_report_is_written_whatever_the_names(name, tmp_path):
    x, labels = images(60, (1, 8, 8)), torch.arange(60) % 3
    reports = [
        (model(names=[name, "b", None]), {}),
        (model(), {"labels": labels, "label_names": [name, "b", "c"]}),
        (model(code=name), {"title": name, "settings": {name: "\udcff"}}),
    ]
    for number, (made, given) in enumerate(reports):
        assert write_report(made, x, out=tmp_path / f"{number}.html", **given).path.stat().st_size > 10_000


@pytest.mark.parametrize("name", UNDRAWABLE, ids=repr)
def test_what_cannot_be_drawn_is_refused_before_the_evaluation(name, tmp_path):
    x, labels, began = images(60, (1, 8, 8)), torch.arange(60) % 3, time.process_time()
    with pytest.raises(ValueError, match="one of the names of 'digit' must be"):
        model(names=[name, "b", None])
    with pytest.raises((TypeError, ValueError), match="a name in a LatentSpec must be"):
        model(code=name)
    with pytest.raises(ValueError, match="one of label_names must be"):
        write_report(model(), x, labels, out=tmp_path / "a.html", label_names=[name, "b", "c"])
    if name not in ("", "a\nb"):
        with pytest.raises(ValueError, match="title must be text"):
            write_report(model(), x, out=tmp_path / "a.html", title=name)
    assert not list(tmp_path.iterdir())
    assert time.process_time() - began < 5
