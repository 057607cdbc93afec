"""What nothing is written down about: lists that only the code shows, keywords passed on, sizes that size nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from muaudit.errors import UserError
from muaudit.targets import TargetOptions, resolve, widths
from muaudit.targets.probe import Target
from muaudit.targets.sequences import Sequence, listed
from muaudit.targets.userfiles import module_file

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"


def target(tmp_path: Path, text: str, name: str = "") -> Target:
    file = tmp_path / "m.py"
    file.write_text(HEAD + text)
    return resolve(f"{file}:{name}" if name else str(file), TargetOptions())


class Lists:
    def __init__(self, dims, channels, size, depth, tupled, either, plain, kinds):  # type: ignore[no-untyped-def]
        assert len(dims) == 3
        height, width = size
        last = channels[4]
        assert isinstance(tupled, tuple)
        either = either if isinstance(either, tuple) else (either,)
        self.all = [either[0], *[each for each in depth], plain, last, height, width, 2 in kinds]  # noqa: C416


def test_lists_are_known_by_what_the_code_does_with_them() -> None:
    found = listed(Lists)
    assert {name: each.length for name, each in found.items()} == {
        "dims": 3, "channels": 5, "size": 2, "depth": 2, "tupled": 2, "kinds": 2,
    }  # fmt: skip
    assert found["dims"] == Sequence(3)


STAGES = """class Stages(nn.Module):
    def __init__(self, image_size, dims, depths, num_classes):
        super().__init__()
        height, width = image_size
        assert isinstance(depths, tuple)
        stages, last = [nn.Conv2d(3, dims[0], 4, 4)], dims[0]
        for dim, depth in zip(dims, depths):
            stages += [nn.Conv2d(last, dim, 1), *[nn.Conv2d(dim, dim, 1) for _ in range(depth)]]
            last = dim
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(last * (height // 4) * (width // 4), num_classes)

    def forward(self, img):
        return self.head(self.stages(img).flatten(1))
"""


def test_a_list_without_a_default_is_a_list_of_the_width(tmp_path: Path) -> None:
    found = target(tmp_path, STAGES)
    assert [axis.name for axis in found.axes] == ["dims"]
    model = found.build({"dims": 64}, 0)
    assert [each.out_channels for each in model.stages] == [64] * len(model.stages)  # type: ignore[attr-defined, union-attr]


PASSED_ON = """class Net(nn.Module):
    def __init__(self, block, layers, num_classes=10, width=32):
        super().__init__()
        self.stem = nn.Linear(16, width)
        self.layers = nn.Sequential(*[block(width) for _ in range(layers[0])])
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.layers(self.stem(x)))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc(x)


def net18(**kwargs):
    return Net(Block, [2, 2], **kwargs)
"""
OF_A_PART = """class Trunk(nn.Module):
    def __init__(self, dim, depth, dim_in=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim_in, dim), *[nn.Linear(dim, dim) for _ in range(depth)])

    def forward(self, x):
        return self.layers(x)


class Net(nn.Module):
    def __init__(self, num_classes=10, **kwargs):
        super().__init__()
        self.trunk = Trunk(depth=2, **kwargs)
        self.head = nn.LazyLinear(num_classes) if num_classes > 99 else nn.Linear(kwargs["dim"], num_classes)

    def forward(self, x):
        return self.head(self.trunk(x))
"""


@pytest.mark.parametrize(("text", "label", "axis"), [(PASSED_ON, "net18", "width"), (OF_A_PART, "Net", "dim")])
def test_keywords_that_are_passed_on_are_those_of_what_is_called(
    tmp_path: Path, text: str, label: str, axis: str
) -> None:
    found = target(tmp_path, text)
    assert (found.label, [each.name for each in found.axes]) == (label, [axis])


RELATIVE = """class Net(nn.Module):
    def __init__(self, dim=256, base_dim=64):
        super().__init__()
        self.mult = dim / base_dim
        self.inp, self.hid, self.head = nn.Linear(16, dim), nn.Linear(dim, dim), nn.Linear(dim, 10)

    def forward(self, x):
        return self.head(self.hid(self.inp(x).relu()).relu()) / self.mult
"""


def test_a_base_width_sizes_nothing_and_stays(tmp_path: Path) -> None:
    found = target(tmp_path, RELATIVE)
    assert [axis.name for axis in found.axes] == ["dim"]
    assert [found.build({"dim": size}, 0).mult for size in (64, 128)] == [1, 2]


MULTIPLIED = """class Net(nn.Module):
    def __init__(self, width_mult=1.0, round_nearest=8, num_classes=10):
        super().__init__()
        sizes = [int(each * width_mult + round_nearest / 2) // round_nearest * round_nearest for each in (16, 24)]
        self.a, self.b = nn.Conv2d(3, sizes[0], 3), nn.Conv2d(*sizes, 3)
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()).relu().mean((2, 3)))
"""


def test_what_multiplies_all_widths_is_the_width_and_what_rounds_them_is_not(tmp_path: Path) -> None:
    found = target(tmp_path, MULTIPLIED)
    assert [(axis.name, axis.probes) for axis in found.axes] == [("width_mult", (1, 2))]


GROWS_BY = """class Dense(nn.Module):
    def __init__(self, stem_features=64, growth_rate=32, num_classes=10):
        super().__init__()
        self.stem = nn.Linear(16, stem_features)
        self.one = nn.Linear(stem_features, growth_rate)
        self.two = nn.Linear(growth_rate, growth_rate)
        self.head = nn.Linear(stem_features + growth_rate, num_classes)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([x, self.two(self.one(x).relu())], 1))
"""


def test_a_size_that_makes_matrices_of_its_own_grows_along(tmp_path: Path) -> None:
    found = target(tmp_path, GROWS_BY)
    assert {axis.name for axis in found.axes} == {"stem_features", "growth_rate"}


UNKNOWN = """class Net(nn.Module):
    def __init__(self, width, n_bumps, mode):
        super().__init__()
        self.mode = mode
        self.inp, self.hid = nn.Linear(16 * n_bumps, width), nn.Linear(width, width)
        if mode == "mean":
            self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.hid(self.inp(x).relu()).relu())
"""


def test_what_nothing_is_known_about_is_assumed_and_said(tmp_path: Path) -> None:
    found = target(tmp_path, UNKNOWN)
    assert found.build({"width": 64}, 0).mode == "mean"
    assert any(note.startswith("assumed, for want of anything to go by: n_bumps=2;") for note in found.notes)


def test_but_asked_for_where_the_model_cannot_be_built_with_it(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"has no attribute 'start'[\s\S]*assumed, [\s\S]*n_bumps=2[\s\S]*n_bumps = 2  # fill in: n_bumps",
    ):
        target(tmp_path, UNKNOWN.replace("self.mode = mode", "self.mode = mode\n        n_bumps.start()"))


ABSTRACT = """class Agent(nn.Module):
    def __init__(self, state_dim, hidden=64):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(state_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden))

    def forward(self):
        raise NotImplementedError

    def act(self, state):
        return self.actor(state)
"""


def test_a_forward_that_only_raises_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without a forward[\s\S]*Agent\.act"):
        target(tmp_path, ABSTRACT)
    assert target(tmp_path, ABSTRACT, "Agent.act").axes[0].name == "hidden"


AT_SIXTEEN = """class Attention(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.mix = nn.Conv2d(ch, ch, 1)

    def forward(self, x):
        return x + self.mix(x)


class Net(nn.Module):
    def __init__(self, ch=64, resolution=256, attend_at=(AT,)):
        super().__init__()
        self.layers, res = nn.Sequential(nn.Conv2d(3, ch, 3, padding=1)), resolution
        for _ in range(3):
            self.layers.append(nn.Conv2d(ch, ch, 3, 2, 1))
            res //= 2
            if res in attend_at:
                self.layers.append(Attention(ch))
        self.resolution = resolution
        self.head = nn.Conv2d(ch, 3, 1)

    def forward(self, x):
        assert x.shape[-1] == self.resolution
        return self.head(self.layers(x))
"""


@pytest.mark.parametrize(("at", "side"), [(16, 64), (32, 64), (128, 256)])
def test_a_large_image_is_made_small_where_the_model_stays_what_it_is(tmp_path: Path, at: int, side: int) -> None:
    text = AT_SIXTEEN if at != 16 else AT_SIXTEEN.replace("(AT,)", "(16, 32)")
    found = target(tmp_path, text.replace("AT,", f"{at},"))
    assert found.inputs({"ch": 32}).args[0].shape[-1] == side


LOOPS = """class Net(nn.Module):
    def __init__(self, in_dim=7, points_dim=2, width=64):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(in_dim, width), nn.Linear(width, width)])
        self.trunk = nn.ModuleList([nn.Linear(points_dim, width), nn.Linear(width, width)])

    def forward(self, u, grid):
        for layer in self.layers:
            u = torch.tanh(layer(u))
        for i, layer in enumerate(self.trunk):
            grid = torch.tanh(self.trunk[i](grid))
        return torch.einsum("bp,bnp->bn", u, grid)
"""
PERMUTED = """class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.inp, self.conv, self.head = nn.Linear(3, width), nn.Conv2d(width, width, 1), nn.Linear(width, 1)

    def forward(self, field):
        x = self.conv(self.inp(field).permute(0, 3, 1, 2))
        return self.head(x.permute(0, 2, 3, 1))
"""
TRANSPOSED = """class Net(nn.Module):
    def __init__(self, n_mels=20, width=64):
        super().__init__()
        self.conv, self.head = nn.Conv1d(n_mels, width, 3, padding=1), nn.Linear(width, 5)

    def forward(self, frames, lengths):
        return self.head(self.conv(frames.transpose(1, 2)).transpose(1, 2)), lengths
"""


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (LOOPS, [(4, 7), (4, 32, 2)]),
        (PERMUTED, [(2, 16, 16, 3)]),
        (TRANSPOSED, [(2, 128, 20), (2,)]),
    ],
)
def test_inputs_of_layers_in_loops_on_grids_and_of_frames(
    tmp_path: Path, text: str, shapes: list[tuple[int, ...]]
) -> None:
    found = target(tmp_path, text)
    given = found.inputs(found.sizes(0)).args
    assert [tuple(each.shape) for each in given] == shapes


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> object:
        raise ImportError(name)


def test_a_module_that_raises_when_it_is_asked_has_no_file() -> None:
    assert module_file(_Lazy("lazy")) is None
    assert module_file(torch) == torch.__file__


WRAPPED = """class UNet(nn.Module):
    def __init__(self, ch=32):
        super().__init__()
        self.inp, self.mid, self.out = nn.Conv2d(3, ch, 3, padding=1), nn.Conv2d(ch, ch, 1), nn.Conv2d(ch, 3, 1)

    def forward(self, x):
        return self.out(self.mid(self.inp(x).relu()).relu())


class Diffusion(nn.Module):
    def __init__(self, model: UNet, image_size, steps=1000):
        super().__init__()
        self.model = model

    def forward(self, img):
        return F.mse_loss(self.model(img), img)
"""


def test_what_wants_a_model_is_not_the_model(tmp_path: Path) -> None:
    assert target(tmp_path, WRAPPED).label == "UNet"


WANTED = """def exists(value):
    return value is not None


class Stack(nn.Module):
    def __init__(self, dim, depth=None):
        super().__init__()
        assert exists(depth), "depth must be passed in"
        self.layers = nn.Sequential(*[nn.Linear(dim, dim) for _ in range(depth)])
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        return self.head(self.layers(x))
"""


def test_what_the_constructor_asserts_on_is_guessed(tmp_path: Path) -> None:
    found = target(tmp_path, WANTED)
    assert "guessed, as the constructor asks for it: depth=2; --set NAME=VALUE says otherwise" in found.notes


DETACHED = ABSTRACT.replace(
    "    def act(self, state):\n        return self.actor(state)\n",
    "    def act(self, state):\n        return self.actor(state).detach()\n\n"
    "    def evaluate(self, state, action):\n        return self.actor(state)[:, :1] * action\n",
)


def test_methods_that_learn_come_before_those_that_act(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Agent\.evaluate\n[\s\S]*Agent\.act"):
        target(tmp_path, DETACHED)


LARGE = """class Deep(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        sizes = [width * 2**i for i in range(6)]
        self.convs = nn.Sequential(nn.Conv2d(3, width, 3), *[nn.Conv2d(a, b, 3) for a, b in zip(sizes, sizes[1:])])
        self.head = nn.Linear(sizes[-1], 10)

    def forward(self, x):
        return self.head(self.convs(x).mean((2, 3)))
"""


def test_a_model_that_is_large_at_the_usual_widths_is_looked_at_at_smaller_ones(tmp_path: Path) -> None:
    assert target(tmp_path, LARGE).axes[0].probes == (16, 32)


INSIDE = """class VAE(nn.Module):
    def __init__(self, latent_dim=16, hidden_dims=None):
        super().__init__()
        if hidden_dims is None:
            hidden_dims = [32, 64]
        self.a, self.b = nn.Linear(24, hidden_dims[0]), nn.Linear(hidden_dims[0], hidden_dims[1])
        self.code, self.back = nn.Linear(hidden_dims[1], latent_dim), nn.Linear(latent_dim, 24)

    def forward(self, x):
        return self.back(self.code(self.b(self.a(x).relu()).relu()))
"""


def test_a_default_that_is_given_inside_is_the_default(tmp_path: Path) -> None:
    found = target(tmp_path, INSIDE)
    assert [axis.name for axis in found.axes] == ["hidden_dims", "latent_dim"]
    assert found.axes[0].default == 32


PAIRS = """class Pairs(nn.Module):
    def __init__(self, layers_hidden, has_bias):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(a, b, bias=has_bias) for a, b in zip(layers_hidden[:-1], layers_hidden[1:])]
        )

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x
"""


def test_a_list_of_neighbouring_sizes_is_long_enough_for_hidden_layers(tmp_path: Path) -> None:
    found = target(tmp_path, PAIRS)
    assert found.axes[0].name == "layers_hidden"
    shapes = [tuple(each.shape) for each in found.build(found.sizes(0), 0).parameters() if each.dim() > 1]
    assert shapes == [(64, 32), (64, 64), (10, 64)]


CROSSED = """class Net(nn.Module):
    def __init__(self, dim=64, cross_heads=2, cross_dim_head=32):
        super().__init__()
        self.sizes = (cross_heads, cross_dim_head)
        self.inp, self.up = nn.Linear(16, dim), nn.Linear(dim, cross_heads * cross_dim_head)
        self.out = nn.Linear(cross_heads * cross_dim_head, 10)

    def forward(self, x):
        return self.out(self.up(self.inp(x)))
"""


def test_the_size_of_a_head_after_a_prefix_is_no_number_of_heads(tmp_path: Path) -> None:
    found = target(tmp_path, CROSSED)
    assert [found.build({"dim": size}, 0).sizes for size in (64, 128)] == [(4, 16), (8, 16)]


def test_of_smaller_widths_the_one_that_runs_is_taken_even_where_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 16 the model has no head of 32 and fails; at 64 it is large, and so it is looked at at 32."""
    monkeypatch.setattr(widths, "_LARGE", 500_000)  # a sixteenth, as is the model: 1.6 million entries at 32
    text = LARGE.replace("        sizes =", "        assert width >= 32\n        sizes =").replace("(6)", "(5)")
    assert target(tmp_path, text).axes[0].probes == (32, 64)


CALCULATED = """class Stack(nn.Module):
    def __init__(self, dim, mem_len=None, depth=None):
        super().__init__()
        self.reach = mem_len + 1
        self.layers = nn.Sequential(*[nn.Linear(dim, dim) for _ in range(depth)])
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        return self.head(self.layers(x))
"""


def test_what_the_constructor_calculates_with_is_guessed(tmp_path: Path) -> None:
    found = target(tmp_path, CALCULATED)
    assert any("mem_len=2" in note for note in found.notes)
    assert any("depth=2" in note for note in found.notes)


PARTS = """class Encoder(nn.Module):
    def __init__(self, vocab_size, hidden=512, n_layers=12):
        super().__init__()
        self.hidden = hidden
        self.embed = nn.Embedding(vocab_size, hidden)
        self.layers = nn.Sequential(*[nn.Linear(hidden, hidden) for _ in range(n_layers)])

    def forward(self, x):
        return self.layers(self.embed(x))


class LanguageModel(nn.Module):
    def __init__(self, {said}, vocab_size):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.hidden, vocab_size)

    def forward(self, x):
        return self.head(self.encoder(x))
"""


@pytest.mark.parametrize("said", ["encoder: Encoder", "encoder"])
def test_a_part_that_is_handed_in_is_made_of_its_class(tmp_path: Path, said: str) -> None:
    found = target(tmp_path, PARTS.format(said=said))
    assert found.label == "LanguageModel(Encoder)"
    assert [axis.name for axis in found.axes] == ["hidden"]
    assert len(found.build(found.sizes(0), 0).encoder.layers) == 2


SPLATTED = """from dataclasses import dataclass


@dataclass
class LMConfig:
    hidden_size: int
    vocab_size: int
    expansion: float = 2.0


class LM(nn.Module):
    def __init__(self, config_dict: dict):
        super().__init__()
        self.config = LMConfig(**config_dict)
        self.embed = nn.Embedding(self.config.vocab_size, self.config.hidden_size)
        self.up = nn.Linear(self.config.hidden_size, int(self.config.expansion * self.config.hidden_size))
        self.head = nn.Linear(self.up.out_features, self.config.vocab_size)

    def forward(self, tokens):
        return self.head(self.up(self.embed(tokens)).relu())
"""


def test_a_dict_that_a_configuration_is_made_of_has_its_fields(tmp_path: Path) -> None:
    assert target(tmp_path, SPLATTED).describe == "LM(dict), hidden_size 64 → 128, input int64[2, 32]"


def test_a_folder_on_the_path_is_beside_the_file_that_puts_it_there(tmp_path: Path) -> None:
    (tmp_path / "helping").mkdir()
    (tmp_path / "helping" / "odd_layers_of_one_test.py").write_text("from torch.nn import Linear\n")
    text = "import sys\nsys.path.append('helping')\nfrom odd_layers_of_one_test import Linear\n" + CALCULATED
    assert target(tmp_path, text.replace("nn.Linear", "Linear")).label == "Stack"
