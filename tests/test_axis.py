"""An axis is one class: a second one, along which the inner size of a model grows alone."""

from __future__ import annotations

import torch
from torch import nn

from muaudit.analysis import analyse
from muaudit.analysis.width import WIDTH, Width
from muaudit.targets import from_functions
from muaudit.targets.probe import Target


class Block(nn.Module):
    """A residual block whose inner size is an argument of its own."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        return self.head(x + self.down(torch.relu(self.up(x))))


class Inner(Width):
    """The second argument grows, and the first keeps its size."""

    def argument(self, target: Target) -> str:
        return target.axes[1].name

    def sizes(self, target: Target, probe: int) -> dict[str, int]:
        return target.sizes(0) | {self.argument(target): target.sizes(probe)[self.argument(target)]}

    def ratios(self, target: Target) -> tuple[float, ...]:
        return (target.axes[1].probes[1] / target.axes[1].probes[0],)


def roles(target: Target, axis: Width | None = None) -> dict[str, str]:
    found = analyse(target, WIDTH if axis is None else axis)
    return {j.use.tensor: j.use.role for j in found.scaling.judged if j.use.tensor.endswith("weight")}


def test_what_grows_along_an_axis_is_a_matter_of_the_axis() -> None:
    target = from_functions(Block, batch=lambda width: torch.randn(4, 8), widths={"width": (16, 32), "inner": (24, 48)})
    assert roles(target) == {
        "embed.weight": "input", "up.weight": "hidden", "down.weight": "hidden", "head.weight": "output"
    }  # fmt: skip
    assert roles(target, Inner()) == {
        "embed.weight": "scalar", "up.weight": "input", "down.weight": "output", "head.weight": "scalar"
    }  # fmt: skip
