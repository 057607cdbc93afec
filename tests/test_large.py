"""Models of many blocks: the work grows with their number, and one block that differs from the others is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from muaudit import check
from muaudit.judge import search

WIDTHS = (32, 64)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))  # type: ignore[no-any-return]


class Stack(nn.Module):
    """Standard parametrization, with an init that falls twice as fast in one block."""

    def __init__(self, width: int, depth: int, differs: int | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, width), nn.Linear(width, 8)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        for number, block in enumerate(self.blocks):
            nn.init.normal_(block.up.weight, std=1 / width if number == differs else width**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)  # type: ignore[no-any-return]


def report(depth: int, differs: int | None = None) -> Any:
    return check(lambda width: Stack(width, depth, differs), batch=lambda _: torch.randn(4, 8), widths=WIDTHS)


def test_the_work_of_the_search_grows_with_the_number_of_blocks_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    plain = search._Searcher._edits

    def counting(self: search._Searcher, number: int) -> Any:
        nonlocal asked
        asked += 1
        return plain(self, number)

    monkeypatch.setattr(search._Searcher, "_edits", counting)
    counts, rules = [], []
    for depth in (5, 20):
        asked = 0
        rules.append([violation.rule for violation in report(depth).violations])
        counts.append(asked)
    assert rules[0] == rules[1]
    assert counts[1] < 5 * counts[0]


def test_one_block_of_many_that_differs_is_named() -> None:
    found = [violation for violation in report(12, differs=7).violations if violation.rule == "MUP101"]
    assert [violation.tensors for violation in found] == [("blocks.7.up.weight",)]
