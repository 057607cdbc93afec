"""Values for arguments whose names say nothing: what the code around a model gives, asserts and asks of them."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from muaudit.errors import UserError
from muaudit.targets import Target, resolve

HEAD = "import torch\nimport torch.nn as nn\n"
LAYERS = """
class Stack(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        self.first, self.last = nn.Linear(8, {width}), nn.Linear({width}, 4)
        self.rest = nn.ModuleList({rest})

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = x + layer(x).relu()
        return self.last(x)
"""
REST = "nn.Linear(hidden_dim, hidden_dim) for _ in range({})"


def written(folder: Path, text: str, name: str = "model.py") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(HEAD + dedent(text))
    return str(folder / name)


def stack(arguments: str, rest: str, width: str = "hidden_dim") -> str:
    return LAYERS.format(arguments=arguments, rest=rest, width=width)


def taken(target: Target) -> str:
    return next((note for note in target.notes if note.startswith("as the code beside it has them: ")), "")


def modules(target: Target) -> int:
    """How many layers stand between the first and the last."""
    return len(target.build({axis.name: axis.probes[0] for axis in target.axes}, 0).rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        ("model.py", "if __name__ == '__main__':\n    net = Stack(64, 5)\n", "model.py:18"),
        ("model.py", "if __name__ == '__main__':\n    H, R = 64, 5\n    Stack(H, reps=R)\n", "model.py:19"),
        ("train.py", "parser.add_argument('--reps', type=int, default=5)\n", "train.py:3"),
        ("config.json", json.dumps({"model": {"reps": 5}}), "config.json"),
        ("config.yaml", "model:\n  reps: 5\n", "config.yaml"),
    ],
)
def test_a_value_comes_from_the_code_around_the_model(tmp_path: Path, file: str, text: str, where: str) -> None:
    """`reps` is a name of this file's own: no table knows it. The number and its line are read off by hand."""
    target = written(tmp_path, stack("hidden_dim, reps", REST.format("reps")))
    if file == "model.py":
        target = written(tmp_path, stack("hidden_dim, reps", REST.format("reps")) + "\n\n" + text)
    else:
        (tmp_path / file).write_text(HEAD + text if file.endswith(".py") else text)
    found = resolve(target)
    assert taken(found).startswith(f"as the code beside it has them: reps=5 ({where});")
    assert modules(found) == 5


def test_what_is_nearest_counts_and_only_a_repository_is_searched_upwards(tmp_path: Path) -> None:
    target = written(tmp_path, stack("hidden_dim, reps", REST.format("reps")), "lib/models/model.py")
    (tmp_path / "train.py").write_text("reps = 5\n")
    assert taken(resolve(target)) == ""
    (tmp_path / "README.md").write_text("a repository\n")
    assert "reps=5 (train.py:1)" in taken(resolve(target))
    (tmp_path / "lib/models/other.py").write_text("reps = 3\n")
    assert "reps=3 (other.py:1)" in taken(resolve(target))


def test_letters_are_what_the_file_says_they_are(tmp_path: Path) -> None:
    """N would be a number of layers by its name; here it is a width like B, and each alone makes no matrix."""
    text = """
    class Separator(nn.Module):
        def __init__(self, N, B, R):
            super().__init__()
            self.encode, self.narrow = nn.Linear(8, N), nn.Linear(N, B)
            self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(B, N), nn.ReLU(), nn.Linear(N, B)) for _ in range(R))
            self.decode = nn.Linear(B, 4)

        def forward(self, x):
            x = self.narrow(self.encode(x).relu())
            for block in self.blocks:
                x = x + block(x)
            return self.decode(x)

    if __name__ == "__main__":
        N, B, R = 16, 4, 3
        print(Separator(N, B, R))
    """
    found = resolve(written(tmp_path, text))
    assert {axis.name for axis in found.axes} == {"N", "B"}
    assert "R=3" in taken(found)


def test_a_number_that_is_asserted_is_one_that_holds(tmp_path: Path) -> None:
    """`(depth - 4) % 6 == 0`: 4 holds and leaves no layer at all, 10 is the first that leaves one."""
    body = stack("depth, hidden_dim", REST.format("(depth - 4) // 6"))
    body = body.replace("        self.first", "        assert (depth - 4) % 6 == 0\n        self.first")
    found = resolve(written(tmp_path, body))
    assert any("depth=10" in note for note in found.notes)
    assert modules(found) == 1


def test_an_argument_whose_truth_alone_is_asked_is_off_and_places_are_a_list(tmp_path: Path) -> None:
    rest = "nn.Linear(hidden_dim, hidden_dim, bias=learned) if at in chosen else nn.ReLU() for at in range(2)"
    body = stack("hidden_dim, learned, chosen", rest)
    body = body.replace("        self.first", "        scale = 1.0 if learned else 2.0\n        self.first")
    found = resolve(written(tmp_path, body))
    assert any("learned=False, chosen=(1,)" in note for note in found.notes)


def test_words_are_compared_in_any_class_of_the_file_and_sizes_of_kernels_are_no_widths(tmp_path: Path) -> None:
    text = """
    class Part(nn.Module):
        def __init__(self, config):
            super().__init__()
            assert config.flavour in ("plain", "fancy")
            self.layers = nn.ModuleList(nn.Conv1d(config.hidden_dim, config.hidden_dim, size, padding="same")
                                        for size in config.kernel_sizes)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    class Model(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.first, self.part = nn.Conv1d(2, config.hidden_dim, 3, padding=1), Part(config)
            self.last = nn.Conv1d(config.hidden_dim, 2, 1)

        def forward(self, x):
            return self.last(self.part(self.first(x)))
    """
    found = resolve(written(tmp_path, text))
    assert [axis.name for axis in found.axes] == ["hidden_dim"]
    assert any("flavour='plain'" in note for note in found.notes)
    layers = found.build({"hidden_dim": 64}, 0).part.layers  # type: ignore[union-attr]
    assert len(layers) == 2  # type: ignore[arg-type]


def test_a_generator_is_the_model_and_its_discriminator_is_not(tmp_path: Path) -> None:
    text = stack("hidden_dim=64", REST.format(2)).replace("Stack", "Generator")
    text += stack("hidden_dim=64", REST.format(1)).replace("Stack", "PatchDiscriminator")
    text += stack("hidden_dim=64", REST.format(3)).replace("Stack", "GeneratorXL")
    found = resolve(written(tmp_path, text))
    assert found.label == "Generator"
    assert any("not PatchDiscriminator, GeneratorXL" in note for note in found.notes)


def test_what_was_assumed_is_told_beside_what_failed(tmp_path: Path) -> None:
    """The forward wants an object that nobody can guess: that is the cause, and not a missing value."""
    body = stack("hidden_dim, zork", REST.format("zork")).replace("self.first(x)", "self.first(x.node_features)")
    with pytest.raises(UserError) as caught:
        resolve(written(tmp_path, body))
    first = caught.value.message.splitlines()[0]
    assert first.startswith("no input was found that Stack accepts: forward raised AttributeError")
    assert caught.value.hint.startswith("assumed, for want of anything to go by: zork=2; give what is right with --set")


def test_what_is_held_fixed_is_one_note_with_its_values(tmp_path: Path) -> None:
    """Heads, layers, classes and a width that does not grow are told with the value that the probes have."""
    text = """
    class Mixer(nn.Module):
        def __init__(self, dim=512, depth=24, heads=8, num_classes=10, seed=7, causal=True, dropout=0.1):
            super().__init__()
            self.first, self.last = nn.Linear(8, dim), nn.Linear(dim, num_classes)
            self.rest = nn.ModuleList(nn.MultiheadAttention(dim, heads, dropout) for _ in range(depth))

        def forward(self, x):
            x = self.first(x)
            for layer in self.rest:
                x = x + layer(x, x, x)[0]
            return self.last(x)
    """
    target = resolve(written(tmp_path, text))
    told = [note for note in target.notes if note.startswith("held fixed: ")]
    assert told == ["held fixed: depth = 2 (of 24), heads = 8, num_classes = 10; --set NAME=VALUE holds another value"]
    assert modules(target) == 2


def test_a_config_of_configs_and_what_other_files_read_of_it(tmp_path: Path) -> None:
    written(tmp_path, """
    class Encoder(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.rest = nn.ModuleList(nn.Linear(config.model.hidden_dim, config.model.hidden_dim)
                                      for _ in config.model.ratios)
            self.scale = config.zork

        def forward(self, x):
            for layer in self.rest:
                x = layer(x).relu()
            return x * self.scale
    """, "encoder.py")  # fmt: skip
    target = written(tmp_path, """
    from encoder import Encoder

    class Net(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.first, self.encoder = nn.Linear(8, config.model.hidden_dim), Encoder(config)
            self.last, ratios = nn.Linear(config.model.hidden_dim, 4), tuple(config.model.ratios)

        def forward(self, x):
            return self.last(self.encoder(self.first(x)))
    """)  # fmt: skip
    (tmp_path / "base.yml").write_text("model:\n  ratios: [1, 2, 2]\nzork: 3\n")
    found = resolve(target)
    assert [axis.name for axis in found.axes] == ["hidden_dim"]
    assert "ratios=[1, 2, 2] (base.yml)" in taken(found)
    assert "zork=3 (base.yml)" in taken(found)


def test_an_argument_of_which_only_fields_are_read_is_a_config(tmp_path: Path) -> None:
    body = stack("hyper", "nn.Linear(hyper.hidden_dim, hyper.hidden_dim) for _ in range(2)", "hyper.hidden_dim")
    assert [axis.name for axis in resolve(written(tmp_path, body)).axes] == ["hidden_dim"]


def test_a_function_without_a_width_leads_to_its_class_with_what_it_gives(tmp_path: Path) -> None:
    text = """
    class Dense(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.inner = nn.Linear(dim, dim)

        def forward(self, x):
            return x + self.inner(x).relu()

    class Tower(nn.Module):
        def __init__(self, block, nblocks, growth_rate=12, num_class=10):
            super().__init__()
            self.first, self.last = nn.Linear(8, growth_rate), nn.Linear(growth_rate, num_class)
            self.rest = nn.Sequential(*(block(growth_rate) for each in nblocks for _ in range(each)))

        def forward(self, x):
            return self.last(self.rest(self.first(x)))

    def tower121():
        return Tower(Dense, [6, 12, 24, 16], growth_rate=32)
    """
    found = resolve(written(tmp_path, text))
    assert found.label == "Tower"
    assert [axis.name for axis in found.axes] == ["growth_rate"]
    assert "block=Dense (model.py:22), nblocks=[2, 2, 2, 2] (model.py:22)" in taken(found)
    assert modules(found) == 8


def test_sizes_that_may_be_left_out_are_given_where_nothing_is_built_without_them(tmp_path: Path) -> None:
    body = """
    class MLP(nn.Module):
        def __init__(self, sizes=None, in_channels=None, hidden_channels=None, out_channels=None, num_layers=None):
            super().__init__()
            if in_channels is not None:
                sizes = [in_channels] + [hidden_channels] * num_layers + [out_channels]
            self.rest = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

        def forward(self, x):
            for layer in self.rest:
                x = layer(x)
            return x
    """
    found = resolve(written(tmp_path, body))
    assert [axis.name for axis in found.axes] == ["hidden_channels"]
    assert modules(found) == 3


def test_a_text_that_is_taken_apart_is_a_text(tmp_path: Path) -> None:
    body = stack("hidden_dim, reps", "nn.Linear(hidden_dim, hidden_dim) for each in reps.split('x')")
    assert modules(resolve(written(tmp_path, body))) == 2


def test_a_text_that_a_function_of_the_file_takes_apart_is_a_text(tmp_path: Path) -> None:
    body = stack("hidden_dim, enc_blocks", "nn.Linear(hidden_dim, hidden_dim) for each in parsed(enc_blocks)")
    (tmp_path / "hps.py").write_text("small.enc_blocks = '8x2,4x3'\n")
    parsed = "\n\ndef parsed(text):\n    return [each for each in text.split(',')]\n"
    assert modules(resolve(written(tmp_path, body + parsed))) == 2


def test_a_text_that_the_script_takes_apart_is_the_list_that_it_makes(tmp_path: Path) -> None:
    body = stack(
        "embed_dim, args", "nn.Linear(embed_dim, embed_dim, bias=n > 3) for n in args.kernel_sizes", "embed_dim"
    )
    script = """
    parser.add_argument("--kernel-sizes", type=str, default="3,4,5")
    args.kernel_sizes = [int(each) for each in args.kernel_sizes.split(",")]
    """
    written(tmp_path, script, "main.py")
    target = resolve(written(tmp_path, body))
    model = target.build(target.sizes(0), 0)
    assert [layer.bias is not None for layer in model.rest] == [False, True, True]


def test_two_layers_of_every_stage_unless_a_kind_of_module_comes_later(tmp_path: Path) -> None:
    rest = "nn.Linear(hidden_dim, hidden_dim) if at < {} else nn.ReLU() for each in depths for at in range(each)"
    body = stack("hidden_dim=64, depths=(2, 2, 18, 2)", rest.format(30))
    assert modules(resolve(written(tmp_path, body))) == 8
    body = stack("hidden_dim=64, depths=(2, 2, 18, 2)", rest.format(12))
    assert modules(resolve(written(tmp_path, body, "late.py"))) == 24


def test_a_policy_is_the_model_beside_its_values_and_what_modules_have_is_no_method_of_theirs(tmp_path: Path) -> None:
    text = stack("hidden_dim=64", REST.format(2)).replace("Stack", "Policy")
    text += stack("hidden_dim=64", REST.format(1)).replace("Stack", "QNetwork")
    text += stack("hidden_dim=64", REST.format(1)).replace("Stack", "SparsePolicy")
    assert resolve(written(tmp_path, text)).label == "Policy"
    text = stack("hidden_dim=64", REST.format(2)).replace("def forward", "def act")
    text += "\n    def train(self, mode=True):\n        return super().train(mode)\n"
    with pytest.raises(UserError) as caught:
        resolve(written(tmp_path, text, "agent.py"))
    commands = [line for line in caught.value.hint.splitlines() if line.startswith("  muaudit check")]
    assert [line.rpartition(":")[2] for line in commands] == ["Stack.act"]


def test_scripts_are_run_from_a_folder_of_their_package(tmp_path: Path) -> None:
    (tmp_path / "lab/common").mkdir(parents=True)
    (tmp_path / "lab/__init__.py").touch()
    (tmp_path / "lab/common/__init__.py").touch()
    written(tmp_path, "WIDE = 64", "lab/common/sizes.py")
    target = written(tmp_path, "from common import sizes" + stack("hidden_dim=64", REST.format(2)), "lab/common/net.py")
    assert resolve(target).label == "Stack"


def test_a_list_that_a_function_of_ones_own_asks_for_may_stay_nothing(tmp_path: Path) -> None:
    body = stack("hidden_dim=64, kinds=None", "nn.Linear(hidden_dim, hidden_dim) for each in kinds")
    body = body.replace(
        "        self.first", "        if not exists(kinds):\n            kinds = 'abc'\n        self.first"
    )
    found = resolve(written(tmp_path, "def exists(value):\n    return value is not None\n" + body))
    assert modules(found) == 3


WITH_FILES = """
class Config:
    def __init__(self, folder):
        self.labels = open(folder + "/labels.txt").read().split()
        self.num_classes = len(self.labels)
        self.table = torch.load(folder + "/table") if folder != "none" else None
        self.n_vocab = 0
        self.dropout, self.hidden_size = 0.5, 96
        self.hidden_size = 96
        self.embed = 96

class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        if config.table is not None:
            self.look = nn.Embedding.from_pretrained(config.table)
        else:
            self.look = nn.Embedding(config.n_vocab, config.embed, padding_idx=config.n_vocab - 1)
        self.mix = nn.Linear(config.hidden_size, config.hidden_size)
        self.last = nn.Linear(config.hidden_size, config.num_classes)

    def forward(self, x):
        return self.last(self.mix(self.look(x[0])).relu().mean(1))
"""
STAGES = """
class Stages(nn.Module):
    def __init__(self, width_multipliers=None, num_classes=4):
        super().__init__()
        assert len(width_multipliers) == 3
        a, b, c = (int(16 * each) for each in width_multipliers)
        self.layers = nn.Sequential(nn.Linear(8, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c))
        self.last = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.last(self.layers(x).relu())
"""
CALLED = """
def mlp(sizes, activation):
    layers = []
    for j in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[j], sizes[j + 1]), activation()]
    return nn.Sequential(*layers)

class Actor(nn.Module):
    def __init__(self, obs_dim, act_dim, hidden_sizes, activation):
        super().__init__()
        self.net = mlp([obs_dim] + list(hidden_sizes) + [act_dim], activation)

    def forward(self, obs):
        return self.net(obs)
"""
AROUND = """
class Around(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim):
        super().__init__()
        self.first, self.mix = nn.Linear(input_dim, hidden_dim), nn.Linear(hidden_dim, hidden_dim)
        self.last = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        return x + self.last(self.mix(self.first(x).relu()).relu())
"""


@pytest.mark.parametrize(
    ("text", "described", "note"),
    [
        (
            WITH_FILES,
            "Model(namespace), hidden_size 64 → 128, input int64[2, 32]",
            "embed = hidden_size, as in the code",
        ),
        (STAGES, "Stages, width_multipliers 1 → 2, input float32[4, 8]", "it is the width"),
        (CALLED, "Actor, hidden_sizes 64 → 128, input float32[4, 32]", "activation=GELU"),
        (AROUND, "Around, hidden_dim 64 → 128, input float32[4, 32]", "output_dim=32"),
    ],
    ids=["config that reads files", "a multiplier a stage", "a word that is called", "as large as the input"],
)
def test_values_that_the_code_itself_tells(tmp_path: Path, text: str, described: str, note: str) -> None:
    """What a config writes out, how many stages are asserted, what is called, and what is added to the input."""
    found = resolve(written(tmp_path, text))
    assert found.describe == described
    assert any(note in each for each in found.notes), found.notes


def test_what_counts_positions_is_not_cut_like_a_depth(tmp_path: Path) -> None:
    text = """
    class Reader(nn.Module):
        def __init__(self, vocab_size, hidden_size=64, max_len=20):
            super().__init__()
            self.max_len, self.look = max_len, nn.Embedding(vocab_size, hidden_size)
            self.mix, self.last = nn.LSTM(hidden_size, hidden_size), nn.Linear(hidden_size, vocab_size)

        def forward(self, ids):
            return self.last(self.mix(self.look(ids))[0])

        def sample(self, first):
            return [first for _ in range(self.max_len)]
    """
    assert resolve(written(tmp_path, text)).describe.endswith("input int64[2, 20]")
