"""One argument that lists the sizes of all layers: what stands between input and output is the width."""

from __future__ import annotations

from pathlib import Path

import pytest

from muaudit.targets import Target, TargetOptions, resolve

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


def shapes_at(target: Target, probe: int) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in target.build(target.sizes(probe), 0).parameters() if p.dim() > 1]


def test_the_ends_of_a_default_stay(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(ZIPPED.replace("layer_sizes: List[int]", "layer_sizes=(784, 256, 128, 10)"))
    target = resolve(str(file), TargetOptions())
    narrow = target.axes[0].probes[0]
    assert target.axes[0].default == 256
    assert shapes_at(target, 0) == [(narrow, 784), (narrow // 2, narrow), (10, narrow // 2)]
    assert shapes_at(target, 1) == [(2 * narrow, 784), (narrow, 2 * narrow), (10, narrow)]


AUTOENCODER = """\
from torch import nn


def layers(sizes, first=None):
    pairs = zip(sizes[:-1], sizes[1:]) if first is None else zip([first] + sizes[:-1], sizes)
    return nn.Sequential(*(layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU())))


class Autoencoder(nn.Module):
    def __init__(self, encoder_sizes, code, decoder_sizes):
        super().__init__()
        self.encoder, self.code = layers(encoder_sizes), nn.Linear(encoder_sizes[-1], code)
        self.decoder = layers(decoder_sizes, code)

    def forward(self, x):
        return self.decoder(self.code(self.encoder(x)))
"""


def test_an_encoder_begins_with_the_data_that_its_decoder_ends_with(tmp_path: Path) -> None:
    """The sizes in the middle are the widths: of the code that both are beside nothing grows, nor do the data."""
    file = tmp_path / "net.py"
    file.write_text(AUTOENCODER)
    (tmp_path / "train.py").write_text(
        "from net import Autoencoder\nnet = Autoencoder(encoder_sizes=[60, 40], code=2, decoder_sizes=[40, 60])\n"
    )
    target = resolve(str(file), TargetOptions())
    assert shapes_at(target, 0) == [(64, 60), (2, 64), (64, 2), (60, 64)]
    assert shapes_at(target, 1) == [(128, 60), (2, 128), (128, 2), (60, 128)]


def test_what_may_be_a_list_is_none_where_one_value_will_do(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("""\
from torch import nn


def named(act):
    if isinstance(act, str):
        if act.startswith("leaky"):
            act = act.split()
            return nn.LeakyReLU(float(act[1]))
        return {"relu": nn.ReLU(), "gelu": nn.GELU()}[act]
    raise TypeError(act)


class MLP(nn.Module):
    def __init__(self, sizes, activation):
        super().__init__()
        if isinstance(activation, list):
            self.activation = list(map(named, activation))
        else:
            self.activation = named(activation)
        self.layers = nn.ModuleList(nn.Linear(sizes[i - 1], sizes[i]) for i in range(1, len(sizes)))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
""")
    target = resolve(str(file), TargetOptions())
    assert any("activation='gelu'" in note for note in target.notes)


def test_levels_of_which_the_first_is_named_are_several(tmp_path: Path) -> None:
    """A model of one level would have none of the layers between levels, and be judged without them."""
    file = tmp_path / "net.py"
    file.write_text("""\
from torch import nn


class Levels(nn.Module):
    def __init__(self, channels):
        super().__init__()
        places = range(len(channels) - 1)
        self.stem = nn.Linear(3, channels[0])
        self.down = nn.ModuleList(nn.Linear(channels[i], channels[i + 1]) for i in places)
        self.up = nn.ModuleList(nn.Linear(channels[i + 1], channels[i]) for i in reversed(places))
        self.head = nn.Linear(channels[0], 3)

    def forward(self, x):
        x = self.stem(x)
        for layer in (*self.down, *self.up):
            x = layer(x).relu()
        return self.head(x)
""")
    target = resolve(str(file), TargetOptions())
    assert len(target.build(target.sizes(0), 0).down) == 3
