"""The notebooks of the documents run from a fresh kernel, and their results show themselves."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def execute(name, folder, monkeypatch):
    """A notebook with the outputs of a short run, executed in a folder of its own."""
    monkeypatch.setenv("INFOGAN_NOTEBOOK_STEPS", "4")
    monkeypatch.setenv("INFOGAN_NOTEBOOK_SEEDS", "2")
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=120, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def outputs(notebook, source):
    """The outputs of the cell whose source has this text."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    return cell.outputs


def last_data(notebook, source):
    return outputs(notebook, source)[-1].data


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_quickstart(tmp_path, monkeypatch):
    notebook = execute("quickstart.ipynb", tmp_path, monkeypatch)
    kinds = [output.output_type for output in outputs(notebook, "trainer.fit")]
    assert kinds == ["display_data", "stream", "execute_result"]
    preview, bar, history = outputs(notebook, "trainer.fit")
    assert "Samples after step 4" in preview.data["text/html"]
    assert "4/4" in bar.text
    assert "nats" in bar.text
    assert history.data["text/plain"].startswith("History(4 steps; ")
    assert "bound/digit" in history.data["text/html"]
    assert "samples are in the category of their label" in last_data(notebook, "name_categories")["text/html"]
    for source in ("plot_categories(", "plot_fixed_noise(", "plot_requests("):
        assert last_data(notebook, source)["image/png"].startswith("iVBORw0KGgo"), source
    assert "srcdoc=" in last_data(notebook, "write_report(")["text/html"]
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_research(tmp_path, monkeypatch):
    notebook = execute("research.ipynb", tmp_path, monkeypatch)
    table = last_data(notebook, 'groupby("setting")')["text/html"]
    assert table.count("with Brightness") == 1
    assert "regularizer/brightness" in last_data(notebook, "[0].history")["text/html"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert path.stat().st_size < 20_000
