"""`sweep --over`: one model, other runs of it (TP5, arXiv 2203.03466, Fig. 19); every run is what it is by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from program import app

from muaudit.errors import UserError
from muaudit.sweep.result import SweepResult
from muaudit.sweep.sweep_request import SweepRequest, check_request
from muaudit.sweep.sweep_task import carry_out

MODEL = """
import torch
from torch import nn
from torch.nn import functional as F

class Model(nn.Module):
    def __init__(self, d_model=32, length=16):
        super().__init__()
        self.embed = nn.Embedding(32, d_model)
        self.hidden = nn.Linear(d_model, d_model)
        self.head = nn.Linear(d_model, 32)
    def forward(self, tokens):
        x = self.embed(tokens)
        return self.head(x + F.relu(self.hidden(x)))
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    return str(tmp_path / "model.py")


def swept(path: str, number: int, **given: object) -> SweepResult:
    asked = {"width": ("d_model=32,64",), "lr": "2^-8,2^-6", "steps": 6, "seeds": 1, "data": "text", "near": 0,
             "results": Path(path).parent / f"results-{number}.jsonl", **given}  # fmt: skip
    request = SweepRequest(path, **asked)  # type: ignore[arg-type]
    check_request(request)
    return carry_out(request)[0]


def losses(result: SweepResult) -> np.ndarray:
    return result.curves[0].losses[:, 0, :]


@pytest.mark.parametrize(
    ("over", "alone"),
    [("batch=4,8", [{"batch_size": 4}, {"batch_size": 8}]), ("steps=6,12", [{"steps": 6}, {"steps": 12}])],
)
def test_each_run_is_as_if_it_were_alone(over: str, alone: list[dict[str, int]], path: str) -> None:
    found = swept(path, 0, over=over)
    assert found.curves[0].along == over.partition("=")[0]
    for place, settings in enumerate(alone, 1):
        itself = swept(path, place, widths="32,64", **settings)
        assert losses(found)[place - 1] == pytest.approx(losses(itself)[0])


def test_longer_sequences_are_drawn(path: str) -> None:
    found = swept(path, 0, over="sequence=4,16")
    assert found.curves[0].widths == (4, 16)
    assert not np.allclose(losses(found)[0], losses(found)[1])
    assert any("over sequence length values were seen to transfer" in each for each in found.notices)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"over": "batch"}, "expects NAME=N,N"), ({"over": "tokens=4,8"}, "unknown 'tokens'"),
     ({"over": "batch=8"}, "at least two"), ({"over": "batch=4,8", "convert": True}, "--convert does not go with it"),
     ({"over": "batch=4,8", "widths": "32,64"}, "--widths does not go with it"),
     ({"over": "steps=4,8", "warmup": 4}, "leaves nothing of 4 steps")],
)  # fmt: skip
def test_what_does_not_go_with_it(given: dict[str, object], message: str, path: str) -> None:
    with pytest.raises(UserError, match=message):
        swept(path, 0, **given)


def test_data_that_come_as_they_are(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    perceptron = str(Path(__file__).parents[1] / "fixtures" / "mlp" / "sp.py")
    with pytest.raises(UserError, match="come as they are"):
        swept(perceptron, 0, over="sequence=4,8", data="teacher", width=(), results=Path(path).parent / "r.jsonl")
    with pytest.raises(SystemExit) as stop:
        app(["sweep", path, "--over", "steps=4,8", "--curves", "x.png"], prog_name="muaudit")
    assert stop.value.code == 2
    assert "leave --curves out" in capsys.readouterr().err
