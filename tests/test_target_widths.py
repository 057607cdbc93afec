"""Which argument is the width: by name, by what it sizes where names leave a doubt; none where numbers stand."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from muaudit.audit import audit
from muaudit.errors import UserError
from muaudit.targets import Target, parse_widths, resolve
from muaudit.targets import argnames as names
from muaudit.targets.options import TargetOptions


def target(folder: Path, text: str, **options: object) -> Target:
    file = folder / "model.py"
    file.write_text("import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n" + dedent(text))
    return resolve(str(file), TargetOptions(**options))  # type: ignore[arg-type]


def refused(folder: Path, text: str, **options: object) -> UserError:
    with pytest.raises(UserError) as error:
        target(folder, text, **options)
    return error.value


SEGMENTER = """
class Block(nn.Module):
    def __init__(self, taken, made):
        super().__init__()
        self.conv = nn.Conv2d(taken, made, 3, padding=1)

    def forward(self, x):
        return self.conv(x).relu()

class Segmenter(nn.Module):
    def __init__(self, n_channels, n_classes, width_on_screen=80):
        super().__init__()
        self.first, self.second = Block(n_channels, 24), Block(24, 48)
        self.last = nn.Conv2d(48, n_classes, 1)

    def forward(self, x):
        return self.last(self.second(self.first(x)))
"""


def test_image_channels_are_no_width_and_numbers_in_the_code_are_shown(tmp_path: Path) -> None:
    error = refused(tmp_path, SEGMENTER)
    assert error.message == (
        "Segmenter has no argument that looks like a width; it takes n_channels, n_classes, width_on_screen"
    )
    assert error.hint.splitlines() == [
        "its widths are numbers in the code:",
        "  model.py:16: Block(n_channels, 24)",
        "  model.py:16: Block(24, 48)",
        "  model.py:17: nn.Conv2d(48, n_classes, 1)",
        "make them an argument: width=24, with width for 24, 2 * width for 48",
    ]


NAMED = """
class Net(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        self.first, self.mid = nn.Linear({taken}, {width}), nn.Linear({width}, {width})
        self.last = nn.Linear({width}, {made})

    def forward(self, x):
        return self.last(self.mid(self.first(x).relu()).relu())
"""


@pytest.mark.parametrize(
    ("arguments", "taken", "width", "made", "found"),
    [
        ("state_dim, action_dim, hidden_dim=32", "state_dim", "hidden_dim", "action_dim", ["hidden_dim"]),
        ("n_channels=3, width=256, height=8", "n_channels * height", "width", "4", ["width"]),
        ("num_features, channels", "num_features", "channels", "8", ["channels"]),
        ("seed=7, num_classes=20, cells=40", "16", "cells", "num_classes", ["cells"]),
        ("nhid=24, nfeat=16, nclass=7", "nfeat", "nhid", "nclass", ["nhid"]),
        ("vocab_size=90, res_channel=40", "vocab_size", "res_channel", "vocab_size", ["res_channel"]),
    ],
)
def test_of_the_arguments_the_one_that_sizes_hidden_layers(
    tmp_path: Path, arguments: str, taken: str, width: str, made: str, found: list[str]
) -> None:
    text = NAMED.format(arguments=arguments, taken=taken, width=width, made=made)
    assert [axis.name for axis in target(tmp_path, text).axes] == found


@pytest.mark.parametrize("arguments", ["num_classes=64", "in_channels=16, n_layers=9", "vocab_size=512, image_size=64"])
def test_what_is_never_a_width_is_never_offered(tmp_path: Path, arguments: str) -> None:
    error = refused(tmp_path, NAMED.format(arguments=arguments, taken=5, width=7, made=4))
    assert "--width" not in error.hint
    assert "but" not in error.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mlp_mult", 4),
        ("encoder_num_layers", 2),
        ("nfeat", 32),
        ("attn_heads", 4),
        ("temperature", None),
        ("rank", None),
    ],
)
def test_a_name_after_a_prefix_is_guessed_as_the_name_itself(name: str, value: object) -> None:
    assert names.guess(name) == value


def test_every_number_in_the_code_is_put_in_terms_of_one_width(tmp_path: Path) -> None:
    layers = "nn.Linear(16, 84), nn.Linear(84, 120), nn.Linear(120, 168), nn.Linear(168, 4)"
    text = f"class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__({layers})\n"
    assert refused(tmp_path, text).hint.endswith(
        "width=84, with width for 84, 120 * width // 84 for 120, 2 * width for 168"
    )


HEADS = """
class Net(nn.Module):
    def __init__(self, dim, num_tokens=128, {heads}=4, {size}=32):
        super().__init__()
        self.heads, self.inner = {heads}, {heads} * {size}
        self.embed, self.qkv = nn.Embedding(num_tokens, dim), nn.Linear(dim, 3 * self.inner, bias=False)
        self.out, self.head = nn.Linear(self.inner, dim, bias=False), nn.Linear(dim, num_tokens, bias=False)

    def forward(self, x):
        x = self.embed(x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return self.head(x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))
"""


@pytest.mark.parametrize(
    ("heads", "size"), [("attn_heads", "attn_dim_head"), ("encoder_num_heads", "encoder_head_dim")]
)
def test_heads_after_a_prefix_grow_in_number_as_others_do(tmp_path: Path, heads: str, size: str) -> None:
    found = target(tmp_path, HEADS.format(heads=heads, size=size))
    assert any(note.startswith(f"{size} stays 16: {heads} grows with dim") for note in found.notes)
    report = audit(found)
    assert {row.name for row in report.tensors if row.kind == "matrix"} == {"qkv.weight", "out.weight"}
    assert "MUP404" not in {violation.rule for violation in report.violations}


OF_SIZE = """
class Net(nn.Module):
    def __init__(self, dim, num_tokens=128, channels_per_head=64):
        super().__init__()
        self.heads = dim // channels_per_head
        self.embed, self.qkv = nn.Embedding(num_tokens, dim), nn.Linear(dim, 3 * dim)
        self.out, self.head = nn.Linear(dim, dim), nn.Linear(dim, num_tokens)

    def forward(self, x):
        x = self.embed(x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return self.head(x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))
"""


def test_channels_per_head_are_the_size_of_a_head_and_no_number_of_heads(tmp_path: Path) -> None:
    found = target(tmp_path, OF_SIZE)
    assert "channels_per_head stays 16: the number of heads grows with dim" in found.notes
    assert "MUP201" not in {violation.rule for violation in audit(found).violations}


@pytest.mark.parametrize("said", ["assert d_model == d_vec", "if d_vec != d_model: raise ValueError(d_vec)"])
def test_what_has_to_be_equal_to_the_width_grows_with_it(tmp_path: Path, said: str) -> None:
    text = f"""
    class Net(nn.Module):
        def __init__(self, n_words, d_vec=512, d_model=512, d_inner=2048, d_k=64, heads=8):
            super().__init__()
            {said}
            self.embed, self.up = nn.Embedding(n_words, d_vec), nn.Linear(d_model, d_inner)
            self.down, self.head = nn.Linear(d_inner, d_model), nn.Linear(d_model, n_words)

        def forward(self, x):
            return self.head(self.down(self.up(self.embed(x)).relu()))
    """
    found = target(tmp_path, text)
    assert found.axes[0].name == "d_model"
    assert "d_vec = d_model, as the constructor asserts" in found.notes
    assert [found.build(found.sizes(at), 0).embed.embedding_dim for at in (0, 1)] == list(found.axes[0].probes)


def test_a_width_that_does_not_grow_points_to_what_holds_it_fixed() -> None:
    with pytest.raises(UserError, match="--set n_kv_head=2"):
        parse_widths(["n_kv_head=2,2"])


AUTOENCODER = """
class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.mean, self.spread = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.back, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = self.up(x).relu()
        return self.out(self.back(self.mean(h) + self.spread(h).exp()).relu())
"""


TABLE = """
sizes = {"A": [64, "M", 128, 256, 256], "B": [64, 64, "M", 512]}

class VGG(nn.Module):
    def __init__(self, name="A", n_classes=10):
        super().__init__()
        layers, last = [], 3
        for size in sizes[name]:
            layers += [nn.MaxPool2d(2)] if size == "M" else [nn.Conv2d(last, size, 3, padding=1), nn.ReLU()]
            last = last if size == "M" else size
        self.body, self.head = nn.Sequential(*layers), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
"""


def test_widths_in_a_table_that_a_loop_goes_through_are_shown(tmp_path: Path) -> None:
    hint = refused(tmp_path, TABLE).hint
    assert "  model.py:5: sizes: [64, 'M', 128, 256, 256]" in hint
    assert hint.endswith("make them an argument: width=64, with width for 64, 2 * width for 128, 4 * width for 256")


def test_the_size_of_the_data_is_no_width_also_where_the_output_has_it(tmp_path: Path) -> None:
    assert refused(tmp_path, AUTOENCODER).hint.endswith(
        "make them an argument: width=400, with width for 400, width // 20 for 20"
    )


@pytest.mark.parametrize(
    ("given", "probes"), [("wm=1", (1, 2)), ("wm=1.0", (1, 2)), ("groups=1", None), ("gain=1.0", None)]
)
def test_a_number_that_multiplies_all_widths_under_a_name_that_says_nothing(
    tmp_path: Path, given: str, probes: tuple[int, int] | None
) -> None:
    """What is 1 and doubles every hidden layer is a width; what doubles none (groups, a gain) is not."""
    name = given.partition("=")[0]
    text = f"""
        class Net(nn.Module):
            def __init__(self, num_classes=10, {given}):
                super().__init__()
                c = int(32 * {"wm" if name == "wm" else "1"})
                self.a = nn.Conv2d(3, c, 3)
                self.b = nn.Conv2d(c, 2 * c, 3)
                self.out = nn.Linear(2 * c, num_classes)

            def forward(self, x):
                return self.out(F.relu(self.b(F.relu(self.a(x)))).mean((2, 3)))
        """
    if probes is None:
        refused(tmp_path, text)
    else:
        assert [(axis.name, axis.probes) for axis in target(tmp_path, text).axes] == [(name, probes)]


@pytest.mark.parametrize("name", ["nr_filters", "nb_filters", "no_of_filters"])
def test_a_count_is_one_in_every_spelling(name: str) -> None:
    assert names.plain(name) == "num_filters"
    assert names.rank(name, names.WIDTH) == names.WIDTH.index("num_filters")


BOTTLENECKED = """
class Separator(nn.Module):
    def __init__(self, out_channels=128, in_channels=512, enc_num_basis=512):
        super().__init__()
        self.encoder, self.bottleneck = nn.Conv1d(1, enc_num_basis, 4), nn.Conv1d(enc_num_basis, out_channels, 1)
        self.up, self.down = nn.Conv1d(out_channels, in_channels, 1), nn.Conv1d(in_channels, out_channels, 1)
        self.mask, self.decoder = nn.Conv1d(out_channels, enc_num_basis, 1), nn.Conv1d(enc_num_basis, 1, 1)

    def forward(self, sound):
        x = self.encoder(sound)
        y = self.bottleneck(x)
        return self.decoder(x * self.mask(y + self.down(self.up(y).relu())).sigmoid())
"""
AT_THE_ENDS = """
class Wave(nn.Module):
    def __init__(self, out_channels=256, residual_channels=512):
        super().__init__()
        self.first, self.mid = nn.Conv1d(out_channels, residual_channels, 1), nn.Conv1d(residual_channels,
                                                                                       residual_channels, 1)
        self.last = nn.Conv1d(residual_channels, out_channels, 1)

    def forward(self, x):
        return self.last(self.mid(self.first(x).relu()).relu())
"""


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        (BOTTLENECKED, {"enc_num_basis", "out_channels", "in_channels"}),
        (AT_THE_ENDS, {"residual_channels"}),
    ],
)
def test_what_is_called_like_data_and_goes_between_hidden_layers_grows_along(
    text: str, axes: set[str], tmp_path: Path
) -> None:
    assert {axis.name for axis in target(tmp_path, text).axes} == axes


HANDED_IN = """
from dataclasses import dataclass

@dataclass
class Config:
    n_embd: int = 256
    vocab_size: int = 64
    mup: bool = False
    {ratio}

class LM(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, n = config, config.n_embd
        m = config.{name} if config.mup else 1
        self.embed = nn.Embedding(config.vocab_size, n)
        self.up, self.down = nn.Linear(n, 4 * n, bias=False), nn.Linear(4 * n, n, bias=False)
        self.norm = nn.LayerNorm(n)
        self.head = nn.Linear(n, config.vocab_size, bias=False)
        for layer, std in ((self.embed, 0.02), (self.up, 0.02 / m**0.5), (self.down, 0.02 / m**0.5), (self.head, 0.02)):
            nn.init.normal_(layer.weight, std=std)

    def forward(self, idx):
        x = self.embed(idx)
        x = self.norm(x + self.down(torch.relu(self.up(x))))
        return self.head(x / self.config.{name} if self.config.mup else x)

    def configure_optimizers(self, learning_rate=1e-3):
        m = self.config.{name} if self.config.mup else 1
        hidden = [self.up.weight, self.down.weight]
        rest = [p for p in self.parameters() if all(p is not each for each in hidden)]
        return torch.optim.Adam([{{"params": hidden, "lr": learning_rate / m}}, {{"params": rest}}], lr=learning_rate)
"""


@pytest.mark.parametrize("ratio", ["mup_width_multiplier: float = 1", "width_mult: int = 1", "mup_mult: float = 2.0"])
def test_how_many_times_its_base_a_model_is_grows_with_it(tmp_path: Path, ratio: str) -> None:
    """The script that trains hands it in; held at one value, a model that is µP would look standard."""
    name = ratio.partition(":")[0]
    found = target(tmp_path, HANDED_IN.format(ratio=ratio, name=name), set={"mup": True})
    assert f"{name} grows along, as n_embd / 64" in found.notes
    report = audit(found)
    assert (report.verdict, [v.rule for v in report.violations if v.severity != "advice"]) == ("mup", [])
    held = target(tmp_path, HANDED_IN.format(ratio=ratio, name=name), set={"mup": True, name: 1})
    assert audit(held).verdict == "standard"


def test_a_switch_of_mup_that_is_off_is_told(tmp_path: Path) -> None:
    text = HANDED_IN.format(ratio="width_mult: int = 1", name="width_mult")
    assert "mup is off, as by default: --set mup=True audits the model with it" in target(tmp_path, text).notes
    assert not any("is off" in note for note in target(tmp_path, text, set={"mup": False}).notes)


def test_what_multiplies_sizes_is_no_ratio_to_a_base(tmp_path: Path) -> None:
    text = """
        class Net(nn.Module):
            def __init__(self, hidden_dim=64, width_mult=1.0):
                super().__init__()
                wide = int(hidden_dim * width_mult)
                self.a, self.b, self.out = nn.Linear(8, wide), nn.Linear(wide, wide), nn.Linear(wide, 10)

            def forward(self, x):
                return self.out(F.relu(self.b(F.relu(self.a(x)))))
        """
    found = target(tmp_path, text)
    assert not any("grows along, as" in note for note in found.notes)


REPEATED = """
class Block(nn.Module):
    def __init__(self, taken, made):
        super().__init__()
        self.linear = nn.Linear(taken, made)

    def forward(self, x):
        return self.linear(x).relu()

class Model(nn.Module):
    def __init__(self, d_model=64, d_layers=8):
        super().__init__()
        self.hidden, self.count = d_model, d_layers
        self.number = d_layers
        self.blocks = nn.Sequential(Block(8, self.hidden), *([Block(self.hidden, self.hidden)] * (self.number - 1)))
        self.head = nn.Linear(self.hidden, 4)

    def forward(self, x):
        return self.head(self.blocks(x))
"""


def test_how_often_a_list_is_repeated_is_no_width(tmp_path: Path) -> None:
    """`d_layers` is a width in models that list their layers; here it is a number, under another name."""
    assert [axis.name for axis in target(tmp_path, REPEATED).axes] == ["d_model"]


SIZED_HEADS = """
class Attention(nn.Module):
    def __init__(self, dim, heads, own):
        super().__init__()
        self.heads, inner = heads, heads * 16 if own else dim
        self.qkv, self.out = nn.Linear(dim, 3 * inner), nn.Linear(inner, dim)
        self.bias = nn.Parameter(torch.zeros(32, heads))

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        x = torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1], -1) @ v
        return self.out((x + self.bias.mean(0)[:, None, None]).transpose(1, 2).flatten(2))

class Model(nn.Module):
    def __init__(self, vocab_size, dim, heads):
        super().__init__()
        self.look, self.mix = nn.Embedding(vocab_size, dim), Attention(dim, heads, {own})
        self.head = nn.Linear(dim, vocab_size)

    def forward(self, ids):
        return self.head(self.mix(self.look(ids)))
"""


@pytest.mark.parametrize("own", [True, False])
def test_heads_of_a_size_that_no_argument_tells_grow_in_number(tmp_path: Path, own: bool) -> None:
    """More heads alone make such layers wider; a table with an entry a head is as large as their number."""
    found = target(tmp_path, SIZED_HEADS.format(own=own))
    narrow, wide = (found.build({"dim": size}, 0).mix.qkv.out_features for size in (64, 128))
    assert wide == 2 * narrow
    assert any(note == "heads grows with dim: a head has a size of its own" for note in found.notes) is own


HEADS_APART = """
class Net(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.parts = nn.ModuleList(nn.Linear(16, dim) for _ in range(heads))
        self.mix, self.out = nn.Linear(heads * dim, dim), nn.Linear(dim, 4)

    def forward(self, x):
        h = self.embed(x).relu()
        return self.out(self.mix(torch.cat([part(h) for part in self.parts], -1)).relu())
"""


def test_heads_that_are_modules_of_their_own_keep_their_number(tmp_path: Path) -> None:
    """More of them would be another model, and the narrow and the wide one could not be held against each other."""
    found = target(tmp_path, HEADS_APART)
    assert len({len(found.build({"dim": size}, 0).parts) for size in (64, 128)}) == 1


LABELLED = """
class Net(nn.Module):
    def __init__(self, input_dim, hidden_dim, {classes}, dec_voc_size):
        super().__init__()
        self.look, self.first = nn.Embedding(dec_voc_size, 8), nn.Linear(8, hidden_dim)
        self.mix, self.last = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, {classes})

    def forward(self, ids):
        return self.last(self.mix(self.first(self.look(ids).mean(1)).relu()).relu())
"""


@pytest.mark.parametrize(("classes", "beside"), [("label_dim", ""), ("kind_dim", "Net(10, 20, kind_dim=2)")])
def test_a_number_of_labels_is_no_width_whatever_it_ends_in(tmp_path: Path, classes: str, beside: str) -> None:
    """By its name, or as the code beside has two of them: no layer is as wide."""
    (tmp_path / "train.py").write_text(beside)
    found = target(tmp_path, LABELLED.format(classes=classes))
    assert [axis.name for axis in found.axes] == ["hidden_dim"]
    assert not any("assumed" in note for note in found.notes), found.notes


ONE_HEAD = """
class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.heads = dim // 16
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (self.heads, 16)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        x = torch.softmax(q @ k.transpose(-2, -1) / 4, -1) @ v
        return self.out(x.transpose(1, 2).flatten(2))

class Model(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.look, self.mix = nn.Embedding(vocab_size, dim), Attention(dim)
        self.head = nn.Linear(dim, vocab_size)

    def forward(self, ids):
        return self.head(self.mix(self.look(ids)).relu())
"""


def test_one_head_and_two_of_the_same_size_are_the_same_computation(tmp_path: Path) -> None:
    """With one head a reshape is a view, with two it is a copy: what is as large as a head does not grow."""
    found = audit(target(tmp_path, ONE_HEAD, widths={"dim": (16, 32)}))
    assert not {each.rule for each in found.violations} & {"MUP201", "MUP206"}


STACK = """
class Stack(nn.Module):
    def __init__(self, in_channels, hidden_channels, out_channels, num_layers):
        super().__init__()
        sizes = [in_channels] + [hidden_channels] * (num_layers - 1) + [out_channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)
"""


def test_a_stack_that_counts_its_first_and_last_layer_has_a_hidden_one(tmp_path: Path) -> None:
    """Of two layers none reads and makes what grows: the rate of hidden weights would not be looked at."""
    report = audit(target(tmp_path, STACK))
    assert "MUP301" in {violation.rule for violation in report.violations}
    assert {row.name for row in report.tensors if row.kind == "matrix"} == {"layers.1.weight"}


FACTORS = """
class Ranker(nn.Module):
    def __init__(self, n_users=100, n_items=100, factors=32, mlp_layers=(64, 32)):
        super().__init__()
        self.a, self.b = nn.Embedding(n_users, factors), nn.Embedding(n_items, factors)
        self.c, self.d = nn.Embedding(n_users, mlp_layers[0] // 2), nn.Embedding(n_items, mlp_layers[0] // 2)
        self.mix, self.last = nn.Linear(*mlp_layers), nn.Linear(factors + mlp_layers[-1], 1)

    def forward(self, user, item):
        deep = self.mix(torch.cat([self.c(user), self.d(item)], -1)).relu()
        return self.last(torch.cat([self.a(user) * self.b(item), deep], -1))
"""


def test_a_list_of_sizes_is_tried_whatever_it_is_called_and_what_stays_beside_it_is_told(tmp_path: Path) -> None:
    ranker = target(tmp_path, FACTORS)
    assert [axis.name for axis in ranker.axes] == ["mlp_layers"]
    assert any("factors = 32" in note for note in ranker.notes if note.startswith("held fixed"))


def test_columns_of_a_table_are_made_and_its_rows_are_no_width(tmp_path: Path) -> None:
    body = (
        FACTORS.replace(", mlp_layers=(64, 32)", "").replace("mlp_layers[0] // 2", "8").replace("*mlp_layers", "16, 8")
    )
    assert [axis.name for axis in target(tmp_path, body.replace("mlp_layers[-1]", "8")).axes] == ["factors"]


def test_channels_of_dilated_convolutions_grow_along(tmp_path: Path) -> None:
    body = """
class Net(nn.Module):
    def __init__(self, residual_channels=32, dilation_channels=32, dilations=(1, 2), kernel_width=3):
        super().__init__()
        self.first, self.last = nn.Conv1d(8, residual_channels, 1), nn.Conv1d(residual_channels, 4, 1)
        made = [nn.Conv1d(residual_channels, dilation_channels, kernel_width, dilation=d, padding=d) for d in dilations]
        self.inner = nn.ModuleList(made)
        self.back = nn.ModuleList(nn.Conv1d(dilation_channels, residual_channels, 1) for _ in dilations)

    def forward(self, x):
        x = self.first(x)
        for a, b in zip(self.inner, self.back):
            x = x + b(a(x).tanh())
        return self.last(x)
"""
    assert {axis.name for axis in target(tmp_path, body).axes} == {"residual_channels", "dilation_channels"}
