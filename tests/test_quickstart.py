"""The quick-start notebook runs from its first cell to its last, and is stored without outputs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra dev)")


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def run(notebook, folder, iterations=None):
    """Execute the notebook with its files in a folder, a given number of iterations smaller; the cells by id."""
    client = pytest.importorskip("nbclient", reason="nbclient is not installed (extra dev)")
    cells = {cell.id: cell for cell in notebook.cells}
    if iterations is not None:
        smaller, found = re.subn(r"ITERATIONS = \d+", f"ITERATIONS = {iterations}", cells["train"].source)
        assert found == 1
        cells["train"].source = smaller
        cells["evaluate"].source = cells["evaluate"].source.replace("tasks=20", "tasks=4")
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return cells


def test_it_is_valid_and_has_no_outputs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    for page in re.findall(r"docs/[\w-]+\.md", NOTEBOOK.read_text()):
        assert (ROOT / page).is_file(), page


def test_it_runs(notebook, tmp_path, monkeypatch):
    """With ten iterations in place of its own number; the slow test has all of them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cells = run(notebook, tmp_path, iterations=10)
    assert "iteration  10: return" in text_of(cells["train"])
    assert any("image/png" in output.get("data", {}) for output in cells["plot"].outputs)
    assert "after two steps" in text_of(cells["adapt"])


@pytest.mark.slow
def test_the_policy_of_the_notebook_adapts(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    lines = text_of(run(notebook, tmp_path)["evaluate"]).splitlines()
    curve = [[float(number) for number in re.findall(r"-?\d+\.\d", line)] for line in lines]
    assert curve[1][0] > curve[0][0] + 10
    assert curve[3][0] > curve[3][1] + 10
