"""What results show of themselves as text and in a notebook."""

import os
import pickle
import sys
import types

import numpy as np
import pytest

import infogan_lib as ig
from infogan_lib._html import sparkline, table
from infogan_lib.callbacks import LivePreview
from infogan_lib.metrics import match_categories
from infogan_lib.viz import Report, plot_categories, save_figure, write_report
from toys import images, make_trainer

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def trainer():
    made = make_trainer()
    made.fit(images(32), epochs=2, batch_size=8)
    return made


def test_a_history_is_a_line_of_its_length_losses_and_bounds(trainer):
    recent = {name: trainer.history[name][-20:].mean() for name in ("loss/d", "loss/g", "bound/digit", "bound/style")}
    d, g, digit, style = (f"{value:.2f}" for value in recent.values())
    assert repr(trainer.history) == f"History(8 steps; D {d}  G {g}  digit {digit} nats  style {style} nats)"
    assert repr(ig.History()) == "History(no steps yet)"


def test_a_history_read_from_a_checkpoint_knows_its_length(tmp_path):
    make_trainer().fit(images(32), steps=3, batch_size=8, checkpoints=tmp_path)
    resumed = make_trainer()
    resumed.load_checkpoint(tmp_path)
    assert repr(resumed.history).startswith("History(3 steps; D ")


def test_a_history_in_a_notebook_has_a_row_and_a_curve_per_metric(trainer):
    page = trainer.history._repr_html_()
    for name in trainer.history:
        assert f">{name}</th>" in page
    assert page.count("<polyline") == len(trainer.history)


def test_a_trainer_says_how_far_it_is_and_what_it_trains(trainer):
    assert repr(trainer).startswith(f"InfoGANTrainer(8 steps made on {trainer.device}, latent=LatentSpec(")
    page = trainer._repr_html_()
    assert "8 steps, 2 epochs" in page
    for row in trainer.summary().splitlines():
        assert f">{row.split('  ')[0]}</th>" in page


def test_a_match_shows_its_accuracy_and_the_label_of_each_category():
    match = match_categories([0, 0, 1, 1, 2], [5, 5, 3, 3, 3])
    assert repr(match) == "CategoryMatch(accuracy=0.800, purity=1.000, samples=5, label_per_category=[5, 3, -1])"
    page = match._repr_html_()
    assert "80.0% of 5 samples" in page
    rows = [
        [cell.split("<")[0] for cell in row.replace("th ", "td ").split('left">')[1:]] for row in page.split("<tr>")[2:]
    ]
    assert rows == [["0", "5", "2", "100.0%"], ["1", "3", "2", "100.0%"], ["2", "none", "1", "100.0%"]]


def test_a_match_of_many_categories_stays_short():
    assert len(repr(match_categories(np.arange(5000), np.arange(5000)))) < 200


def test_a_figure_is_a_picture_in_a_notebook_and_a_figure_elsewhere(trainer, tmp_path):
    figure = plot_categories(trainer.model, "digit", rows=2)
    assert figure._repr_png_().startswith(PNG)
    save_figure(figure, tmp_path / "a.png")
    assert pickle.loads(pickle.dumps(figure)).axes


def test_a_report_is_a_path_that_a_notebook_shows_as_the_page(trainer, tmp_path):
    pytest.importorskip("sklearn")
    report = write_report(trainer.model, images(16), out=tmp_path / "a & b.html", title='"quoted" & more')
    assert isinstance(report, Report)
    assert os.fspath(report) == str(report) == str(tmp_path / "a & b.html")
    with open(report, encoding="utf-8") as file:  # noqa: PTH123
        page = file.read()
    frame = report._repr_html_()
    inside = frame.split('srcdoc="')[1].split('" style=')[0]
    assert '"' not in inside
    assert inside.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'").replace(
        "&amp;", "&"
    ) == (page)


def test_cells_of_tables_are_escaped():
    assert "&lt;b&gt;" in table([["<b>", "x"]])
    assert "<b>" not in table([["a", "<b>"]], header=["<b>"], caption="<b>")


def test_curves_leave_out_what_is_not_finite():
    assert sparkline(np.array([np.nan, np.inf])) == ""
    curve = sparkline(np.array([1.0, np.nan, 3.0]))
    assert "nan" not in curve
    assert 'aria-label="from 1 to 3"' in curve
    assert sparkline(np.arange(10**5, dtype=float)).count(",") == 80


class FakeDisplay:
    """The display of a kernel: what was shown, and how often it was replaced."""

    def __init__(self):
        self.pages = []

    def __call__(self, page, *, display_id):
        assert display_id is True
        self.pages.append(page)
        return types.SimpleNamespace(update=self.pages.append)


@pytest.fixture
def kernel(monkeypatch):
    shown = FakeDisplay()
    display = types.ModuleType("IPython.display")
    display.display, display.HTML = shown, str
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_a_live_preview_is_redrawn_in_place(kernel):
    trainer = make_trainer()
    trainer.fit(images(64), steps=5, batch_size=8, callbacks=[LivePreview(every=2, rows=2)], progress=False)
    steps = [page.split("after step ")[1].split("<")[0] for page in kernel.pages]
    assert steps == ["0", "2", "4", "5"]
    assert "bound/digit" in kernel.pages[-1]
    assert "grad_norm" not in kernel.pages[-1]
    pictures = {page.split("base64,")[1].split('"')[0] for page in kernel.pages}
    assert len(pictures) == 4


def test_a_live_preview_changes_no_training(kernel):
    watched, alone = make_trainer(), make_trainer()
    watched.fit(images(64), steps=4, batch_size=8, callbacks=[LivePreview(every=1)], progress=False)
    alone.fit(images(64), steps=4, batch_size=8)
    assert watched.history["loss/g"].tolist() == alone.history["loss/g"].tolist()


def test_a_live_preview_warns_outside_a_notebook():
    with pytest.warns(UserWarning, match="SampleGrid writes pictures"):
        make_trainer().fit(images(16), steps=2, batch_size=8, callbacks=[LivePreview(every=1)])
