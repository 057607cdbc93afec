"""µP one ingredient at a time: what each rung of the ladder does to a coordinate check."""

from __future__ import annotations

import torch
from torch import nn

from muaudit.targets import from_functions
from muaudit.targets.probe import Target
from muaudit.training.ladder import climb, ladder_data
from muaudit.training.run_settings import RunSettings


class Net(nn.Module):
    """SP, and with a std that stays: all of init, learning rates and readout are to be mended."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        for layer in (self.up, self.mid, self.head):
            nn.init.normal_(layer.weight, 0, 0.1)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.mid(torch.relu(self.up(x)))))  # type: ignore[no-any-return]


def target() -> Target:
    return from_functions(
        Net, batch=lambda width: torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), widths=(64, 128),
        loss=lambda out, batch: ((out - batch[:, :4]) ** 2).mean(),
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
    )  # fmt: skip


def test_each_rung_takes_some_failures_away() -> None:
    """Without any, hidden values start like n^1/2 and change like n; the init mends the first, the rates the second."""
    rungs = climb(target(), None, RunSettings((64, 128, 256, 512), 2, 2))
    assert [each.title for each in rungs] == ["as it is", "+ initialization", "+ learning rates", "+ readout"]
    failed = [{each.activation.name for each in rung.verdict.offenders} for rung in rungs]
    assert "mid" in failed[0]
    assert "mid" not in failed[2]
    assert failed[3] == set()
    starts = [
        next(s.fit.slope for j in rung.verdict.judged if j.activation.name == "mid" for s in j.slopes if s.step == 0)
        for rung in rungs
    ]
    assert abs(starts[0] - 0.5) < 0.2
    assert all(abs(each) < 0.2 for each in starts[1:])


def test_at_the_base_width_every_rung_is_the_model_as_it_is() -> None:
    rungs = climb(target(), 64, RunSettings((64, 128), 2, 1))
    assert len({float(rung.run.loss[0, 0, -1]) for rung in rungs}) == 1
    assert ladder_data(rungs)["schema"] == "muaudit.ladder/1"
