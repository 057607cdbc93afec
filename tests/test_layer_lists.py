"""One argument that lists the sizes of all layers: what stands between input and output is the width."""

from __future__ import annotations

from pathlib import Path

import pytest

from muaudit.targets import TargetOptions, resolve

ZIPPED = """\
from typing import List
from torch import nn


class MLP(nn.Module):
    def __init__(self, layer_sizes: List[int]):
        super().__init__()
        pairs = zip(layer_sizes[:-1], layer_sizes[1:])
        self.net = nn.Sequential(*(layer for a, b in pairs for layer in (nn.Linear(a, b), nn.Tanh())))

    def forward(self, x):
        return self.net(x)
"""
FUNCTION = """\
from torch import nn


def mlp(sizes, activation=nn.ReLU):
    layers = []
    for j in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[j], sizes[j + 1]), activation()]
    return nn.Sequential(*layers[:-1])
"""
UNITS = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(units[i - 1], units[i]) for i in range(1, len(units)))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).tanh()
        return x
"""
BOUNDS = """\
from torch import nn


def build_mlp(dims):
    return nn.Sequential(*(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:])))


class Physics(nn.Module):
    def __init__(self, layers, lb, ub):
        super().__init__()
        self.net, self.lb, self.ub = build_mlp(layers), lb, ub

    def forward(self, x):
        return self.net(2 * (x - self.lb) / (self.ub - self.lb) - 1)
"""


@pytest.mark.parametrize(
    ("text", "name"), [(ZIPPED, "layer_sizes"), (FUNCTION, "sizes"), (UNITS, "units"), (BOUNDS, "layers")]
)
def test_the_ends_stay(tmp_path: Path, text: str, name: str) -> None:
    file = tmp_path / "net.py"
    file.write_text(text)
    target = resolve(str(file), TargetOptions())
    assert [axis.name for axis in target.axes] == [name]
    shapes = [
        [tuple(p.shape) for p in target.build(target.sizes(probe), 0).parameters() if p.dim() > 1] for probe in (0, 1)
    ]
    narrow, wide = target.axes[0].probes[:2]
    assert shapes[0] == [(narrow, 32), (narrow, narrow), (10, narrow)]
    assert shapes[1] == [(wide, 32), (wide, wide), (10, wide)]


def test_channels_of_stages_have_no_ends(tmp_path: Path) -> None:
    """They are taken in pairs, too, but a stem makes the first and a readout reads the last."""
    file = tmp_path / "net.py"
    file.write_text("""\
from torch import nn


class Stages(nn.Module):
    def __init__(self, stage_channels, classes=10):
        super().__init__()
        pairs = zip(stage_channels[:-1], stage_channels[1:])
        self.stem = nn.Conv2d(3, stage_channels[0], 3)
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in pairs)
        self.head = nn.Linear(stage_channels[-1], classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x).relu()
        return self.head(x.mean((2, 3)))
""")
    target = resolve(str(file), TargetOptions())
    model = target.build(target.sizes(0), 0)
    assert model.stem.out_channels == model.head.in_features == target.axes[0].probes[0]
