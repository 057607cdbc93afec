"""Parameters that nothing gives values: what memory holds there is chance, so zeros stand in and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import muaudit
from muaudit.errors import UserError
from muaudit.targets.unfilled import filled


class Few(nn.Module):
    """A hidden weight and a readout that nothing gives values, beside a table that is larger."""

    def __init__(self, width: int = 128, rows: int = 500) -> None:
        super().__init__()
        self.tok, self.mix = nn.Embedding(rows, width), nn.Parameter(torch.empty(width, width))
        self.head = nn.Parameter(torch.empty(5, width))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.tok(ids) @ self.mix) @ self.head.T


def test_zeros_that_stand_in_are_no_dead_path() -> None:
    report = muaudit.check(Few)
    assert {each.name for each in report.unanalysed} == {"mix", "head"}
    assert {each.rule for each in report.violations if each.severity == "error"} <= {"MUP301", "MUP303"}


def test_a_model_without_values_is_refused() -> None:
    with pytest.raises(UserError, match="nothing gives most parameters values: mix, head hold"):
        muaudit.check(Few, set={"rows": 4})


class Many(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.bare, self.old = nn.Parameter(torch.empty(n)), nn.Parameter(torch.Tensor(n, 3))
        self.new, self.like = nn.Parameter(torch.ones(2).new_empty(n)), nn.Parameter(torch.empty_like(torch.ones(n)))
        self.drawn, self.partly = nn.Parameter(torch.empty(n, n)), nn.Parameter(torch.empty(n, 2))
        self.out, self.by_numpy = nn.Parameter(torch.empty(n)), nn.Parameter(torch.empty(n))
        self.frozen = nn.Parameter(torch.empty(n), requires_grad=False)
        self.zeros, self.layers = nn.Parameter(torch.zeros(n)), nn.ModuleList([nn.Linear(n, n), nn.LSTM(n, n)])
        nn.init.orthogonal_(self.drawn)
        with torch.no_grad():
            self.partly[:, 0] = 1.0
            torch.add(torch.zeros(n), 0.0, out=self.out)
        self.by_numpy.detach().numpy()[:] = 2.0


def test_what_is_never_written_to_is_found_and_zero() -> None:
    build, model, left = filled(lambda sizes, seed: Many(sizes["n"]), {"n": 8})
    assert set(left) == {"bare", "old", "new", "like"}
    for made in (model, build({"n": 16}, 0)):
        assert not any(made.get_parameter(name).any() for name in left)
    assert model.get_parameter("by_numpy").sum().item() == 16.0


def test_models_with_values_everywhere_are_built_as_they_are() -> None:
    def build(sizes: object, seed: int) -> nn.Module:
        return nn.Linear(3, 3)

    assert filled(build, {})[::2] == (build, ())


def test_its_init_is_not_judged_and_the_rest_is(tmp_path: Path) -> None:
    """With values, the same model is told two errors of its weights, and nothing of the table of positions."""
    text = (
        "import torch\nimport torch.nn as nn\n\nclass Net(nn.Module):\n    def __init__(self, width=128):\n"
        "        super().__init__()\n        self.tok, self.pos = nn.Embedding(50, width), nn.Parameter({})\n"
        "        self.mix, self.head = nn.Linear(width, width, False), nn.Linear(width, 50, False)\n\n"
        "    def forward(self, ids):\n        x = self.tok(ids) + self.pos[: ids.shape[1]]\n"
        "        return self.head(x + self.mix(x).relu())\n"
    )
    found = {}
    for made in ("torch.empty(32, width)", "torch.zeros(32, width)"):
        (tmp_path / "net.py").write_text(text.format(made))
        report = muaudit.check(tmp_path / "net.py")
        found[made] = [(each.rule, each.tensors) for each in report.violations], [e.name for e in report.unanalysed]
    empty, zeros = found.values()
    assert empty[0] == zeros[0] != []
    assert (empty[1], zeros[1]) == (["pos"], [])
