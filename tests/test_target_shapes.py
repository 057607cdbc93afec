"""Shapes that public model files have: how configs are read, what is repeated, who is used."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from muaudit.audit import audit
from muaudit.errors import UserError
from muaudit.targets import Target, resolve

HEADER = "import torch\nimport torch.nn as nn\nfrom types import SimpleNamespace\n"


def target(folder: Path, text: str, name: str = "net.py") -> Target:
    (folder / name).write_text(HEADER + dedent(text))
    return resolve(str(folder / name))


BOTH = """
class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        size = config.hidden_size
        self.first = nn.Linear(config["inputs"], size)
        self.blocks = nn.ModuleList(nn.Linear(size, size) for _ in range(config.encoder["depth"]))
        self.last = nn.Linear(size, config["num_classes"])

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x).relu()
        return self.last(x)
"""


def test_a_config_may_be_read_as_a_dict_and_by_its_attributes(tmp_path: Path) -> None:
    assert target(tmp_path, BOTH).describe == "Net(dict), hidden_size 64 → 128, input float32[4, 2]"


def test_a_table_of_configs_holds_one_with_all_that_is_read(tmp_path: Path) -> None:
    """`CONFIGS = {"small": ..., "large": ...}` of dicts with attributes that hold others; the depth below is cut."""
    table = """
    class ConfigDict(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__

    CONFIGS = {
        "bare": ConfigDict(hidden_size=96, inputs=5),
        "full": ConfigDict(hidden_size=96, inputs=5, num_classes=3, encoder=ConfigDict(depth=12)),
    }
    """
    found = target(tmp_path, dedent(table) + BOTH)
    assert found.describe == "Net(ConfigDict), hidden_size 64 → 128, input float32[4, 5]"
    assert len(list(found.build({"hidden_size": 64}, 0).blocks)) == 2


def test_a_config_that_is_kept_under_another_name_is_read_there(tmp_path: Path) -> None:
    found = target(
        tmp_path,
        """
        class Net(nn.Module):
            def __init__(self, num_items, model_args):
                super().__init__()
                self.args = model_args
                self.items = nn.Embedding(num_items, self.args.dim)
                self.hidden = nn.Linear(self.args.dim, self.args.dim)
                self.last = nn.Linear(self.args.dim, num_items)

            def forward(self, items):
                return self.last(self.hidden(self.items(items)).relu())
        """,
    )
    assert found.describe.startswith("Net(namespace), dim 64 → 128")


def test_sizes_between_an_input_and_an_output_are_a_list(tmp_path: Path) -> None:
    """With two sizes there is a hidden matrix, with one there would be none."""
    found = target(
        tmp_path,
        """
        class Decoder(nn.Module):
            def __init__(self, code_size, dims):
                super().__init__()
                dims = [code_size + 3] + dims + [1]
                for at in range(len(dims) - 1):
                    setattr(self, f"lin{at}", nn.Linear(dims[at], dims[at + 1]))
                self.layers, self.inputs = len(dims) - 1, dims[0]

            def forward(self, x):
                for at in range(self.layers):
                    x = getattr(self, f"lin{at}")(x)
                    x = x.relu() if at < self.layers - 1 else x
                return x
        """,
    )
    shapes = [tuple(each.shape) for each in found.build({"dims": 64}, 0).parameters() if each.dim() == 2]
    assert shapes == [(64, 5), (64, 64), (1, 64)]


REPEATED = """
class Group(nn.Module):
    def __init__(self, size, parts):
        super().__init__()
        self.parts = nn.Sequential(*[nn.Linear(size, size) for _ in range(parts)])

    def forward(self, x):
        return x + self.parts(x)


class Net(nn.Module):
    def __init__(self, hidden_dim, d_layers, groups=10, parts=20):
        super().__init__()
        self.first = nn.Linear(6, hidden_dim)
        self.groups = nn.Sequential(*[Group(hidden_dim, parts) for _ in range(groups)])
        self.decoder = nn.ModuleList([nn.Linear(hidden_dim, hidden_dim) for _ in range(d_layers)])
        self.last = nn.Linear(hidden_dim, 2)

    def forward(self, x):
        x = self.groups(self.first(x))
        for layer in self.decoder:
            x = layer(x).relu()
        return self.last(x)
"""


def test_what_is_only_counted_is_no_width_and_made_small_whatever_it_is_called(tmp_path: Path) -> None:
    found = target(tmp_path, REPEATED)
    assert found.describe == "Net, hidden_dim 64 → 128, input float32[4, 6]"
    small = found.build({"hidden_dim": 64}, 0)
    assert (len(small.groups), len(small.groups[0].parts), len(small.decoder)) == (2, 2, 2)


def test_a_layer_that_a_helper_of_the_file_uses_is_not_the_model(tmp_path: Path) -> None:
    text = """
    class Cell(nn.Module):
        def __init__(self, channels, leak):
            super().__init__()
            self.conv, self.leak = nn.Conv2d(channels, channels, 3, padding=1), leak

        def forward(self, x):
            return torch.nn.functional.leaky_relu(self.conv(x), self.leak)

    def _cells(channels, number):
        return nn.Sequential(*[Cell(channels, 0.1) for _ in range(number)])

    class Stage(nn.Module):
        def __init__(self, taken, made):
            super().__init__()
            self.down, self.cells = nn.Conv2d(taken, made, 2, 2), _cells(made, 2)

        def forward(self, x):
            return self.cells(self.down(x))

    class Volume(nn.Module):
        def __init__(self, leaky=True):
            super().__init__()
            self.first, self.second, self.last = Stage(3, 16), Stage(16, 32), nn.Conv2d(32, 2, 1)

        def forward(self, x):
            return self.last(self.second(self.first(x)))
    """
    with pytest.raises(UserError, match="Volume has no argument that looks like a width"):
        target(tmp_path, text)


def test_the_last_of_a_list_of_widths_grows_exactly_as_the_first(tmp_path: Path) -> None:
    """16 of 256 is a sixteenth: with a first one of 40 and 80 it would be 2 and 5, and biases behind it n^-0.66."""
    found = target(
        tmp_path,
        """
        class Net(nn.Module):
            def __init__(self, hidden_size=96, decoder_dim=(256, 128, 16)):
                super().__init__()
                self.first, sizes = nn.Linear(5, hidden_size), (hidden_size, *decoder_dim)
                self.decoder = nn.Sequential(*[nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])])
                self.last = nn.Linear(sizes[-1], 2)

            def forward(self, x):
                return self.last(self.decoder(self.first(x)))
        """,
    )
    for width in (64, 128):
        sizes = [each.out_features for each in found.build({"hidden_size": width}, 0).decoder]
        assert sizes[0] == 16 * sizes[2]


def test_sizes_that_groups_do_not_divide_are_not_tried(tmp_path: Path) -> None:
    """At 32 and 64 channels it has 9 million parameters, more than is usual; 24 and 16 are no multiples of 32."""
    found = target(
        tmp_path,
        """
        class Net(nn.Module):
            def __init__(self, model_channels, out_channels=3):
                super().__init__()
                wide = 24 * model_channels
                self.first = nn.Conv2d(3, model_channels, 3, padding=1)
                self.norm = nn.GroupNorm(32, model_channels)
                self.wide, self.more = nn.Conv2d(model_channels, wide, 1), nn.ModuleList([nn.Conv2d(wide, wide, 1)])
                self.most = nn.Conv2d(wide, 4 * wide, 1)
                self.last = nn.Conv2d(4 * wide, out_channels, 1)

            def forward(self, x):
                x = self.more[0](self.wide(self.norm(self.first(x)).relu()).relu()).relu()
                return self.last(self.most(x).relu())
        """,
    )
    assert "model_channels 32 → 64" in found.describe


def test_what_a_constructor_does_not_hand_on_is_none_of_its_arguments(tmp_path: Path) -> None:
    """`**kwargs` swallows what a config holds besides; the parent's block is given by name."""
    found = target(
        tmp_path,
        """
        class Body(nn.Module):
            def __init__(self, in_channels, basic_module, f_maps=16):
                super().__init__()
                self.first, self.last = basic_module(in_channels, f_maps), basic_module(f_maps, f_maps)

            def forward(self, x):
                return self.last(self.first(x).relu())

        class Net(Body):
            def __init__(self, in_channels, f_maps=16, **kwargs):
                super().__init__(in_channels=in_channels, basic_module=nn.Linear, f_maps=f_maps)
        """,
    )
    assert found.describe.startswith("Net, f_maps 64 → 128")


def test_a_truth_value_in_arithmetic_is_a_number(tmp_path: Path) -> None:
    """`mean + self.training * eps * std`: noise that is left out when nothing is trained."""
    report = audit(
        target(
            tmp_path,
            """
            class Net(nn.Module):
                def __init__(self, hidden):
                    super().__init__()
                    self.first, self.mean = nn.Linear(8, hidden), nn.Linear(hidden, hidden)
                    self.std, self.last = nn.Linear(hidden, hidden), nn.Linear(hidden, 3)

                def forward(self, x):
                    x = self.first(x).relu()
                    noise = torch.randn_like(x)
                    return self.last(self.mean(x) + self.training * noise * torch.exp(self.std(x)))
            """,
        )
    )
    assert {each.rule for each in report.violations} >= {"MUP202", "MUP301"}


TOGETHER = """
class Mixer(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.mix = nn.Linear(d_model, d_model)

    def forward(self, x):
        return x + self.mix(x).relu()


class Stack(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Tokens(nn.Module):
    def __init__(self, d_model, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)

    def forward(self, x):
        return self.table(x)


class Pair(nn.Module):
    def __init__(self, stack, tokens):
        super().__init__()
        self.stack, self.tokens = stack, tokens

    def encode(self, ids):
        return self.stack(self.tokens(ids))


def build_pair(vocab_size, d_model=512, n=4):
    layers = []
    for _ in range(n):
        layers.append(Mixer(d_model))
    pair = Pair(Stack(nn.ModuleList(layers)), Tokens(d_model, vocab_size))
    return pair
"""


def test_a_function_that_puts_a_module_without_a_forward_together_is_the_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Pair, which build_pair makes, is a") as error:
        target(tmp_path, TOGETHER)
    assert error.value.hint.split()[-1].endswith("net.py:build_pair.encode")
    found = resolve(f"{tmp_path / 'net.py'}:build_pair.encode")
    assert found.describe == "build_pair.encode, d_model 64 → 128, input int64[2, 32]"
    weights = [tuple(each.shape) for each in found.build({"d_model": 64}, 0).parameters() if each.dim() == 2]
    assert weights == [(64, 64)] * 4 + [(256, 64)]
