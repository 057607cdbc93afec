"""docs/api.md is one session that runs, in this process and in a notebook's kernel; results have one manner."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import muaudit
from muaudit.errors import UserError
from muaudit.plan.file import write_plan

PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
CELLS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
RESULTS = ("report", "converted", "plan", "check", "norms", "held", "rungs", "carried", "swept")

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=64, classes=3):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu())
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page's session leaves."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("session"))
        for cell in CELLS:
            exec(compile(cell, "docs/api.md", "exec"), names)
    return names


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_short_and_plain_and_a_table(session: dict[str, Any], name: str) -> None:
    result = session[name]
    assert "\n" not in repr(result)
    assert len(repr(result)) < 250
    assert json.loads(json.dumps(result.to_dict()))
    rows = result.rows()
    assert rows
    page = result._repr_html_()
    if name in ("norms", "held", "rungs", "carried"):
        assert page.count("<tr>") == 1 + min(len(rows), 60)
        assert page.count("<table>") == page.count("</table>") == 1
    else:  # the page of --format html, in a frame
        assert page.startswith("<iframe srcdoc=")
        assert page.count("<") == 2
    pandas = pytest.importorskip("pandas")
    frame = result.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(rows)


def test_what_the_documents_are(session: dict[str, Any], tmp_path: Path) -> None:
    found = {name: session[name].to_dict()["schema"] for name in RESULTS}
    assert found == {
        "report": "muaudit.report/1", "converted": "muaudit.plan/1", "plan": "muaudit.plan/1",
        "check": "muaudit.coord-check/1", "norms": "muaudit.spectral-check/1",
        "held": "muaudit.precision-check/1", "rungs": "muaudit.ladder/1", "carried": "muaudit.transfer/1",
        "swept": "muaudit.sweep-report/1",
    }  # fmt: skip
    write_plan(session["plan"], tmp_path / "plan.yaml")
    assert muaudit.load_plan(tmp_path / "plan.yaml").to_dict() == session["plan"].to_dict()


def test_html_is_escaped() -> None:
    from muaudit.tabular import page

    assert "<script>" not in page("<script>", [{"<script>": "<script>"}])


def test_the_page_runs_in_a_notebook(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [*CELLS, *RESULTS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in notebook.cells[-len(RESULTS) :]:
        (output,) = cell.outputs
        assert any(mark in output["data"]["text/html"] for mark in ("<table>", "<iframe srcdoc="))


def test_rooms_of_the_same_names_do_not_take_the_functions_places() -> None:
    import muaudit.convert.planner
    import muaudit.sweep.result
    import muaudit.transfer.carry

    assert all(callable(each) for each in (muaudit.convert, muaudit.sweep, muaudit.transfer))


def test_a_target_by_its_name_and_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    report = muaudit.check(f"{tmp_path}/net.py:Net", set={"classes": 5}, widths={"width": (32, 64)}, optimizer="sgd")
    assert (report.probes, report.optimizer) == ((32, 64), "sgd")
    assert {row["name"]: row["shape"] for row in report.tensor_rows()}["c.weight"] == [5, 32]
    with pytest.raises(UserError, match="did you mean steps"):
        muaudit.sweep("net.py", step=3)
    with pytest.raises(UserError, match="at least two widths"):
        muaudit.coord_check(nn.Linear, train_widths=(64,))
    with pytest.raises(UserError, match="the base width is 0"):
        muaudit.convert(f"{tmp_path}/net.py", base_width=0)
    torch.manual_seed(0)


def test_rules_for_a_framework_from_python(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    net, emit = f"{tmp_path}/net.py:Net", ("megatron", "deepspeed")
    made = muaudit.convert(net, base_width=32, out=tmp_path / "mup", emit=emit, emit_bsh=True, no_state_dict=True)
    written = {path.name for path in (tmp_path / "mup").iterdir()} - {".gitignore"}
    assert written == {"plan.yaml", "model.bsh", "megatron_groups.py", "deepspeed_groups.py", "deepspeed_config.json"}
    plan = tmp_path / "mup" / "plan.yaml"
    assert muaudit.convert(net, plan=plan).plan.to_dict() == made.plan.to_dict()
    with pytest.raises(UserError, match="--plan and --base-width: a plan has its own"):
        muaudit.convert(net, plan=plan, base_width=16)
