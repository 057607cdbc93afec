"""Which class or function of a file is the model: what nothing else in it uses, however it is built."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from muaudit.audit import audit
from muaudit.errors import UserError
from muaudit.targets import Target, resolve

RESIDUAL = """
class Residual(nn.Module):
    def __init__(self, dim, inner):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(dim), inner

    def forward(self, x):
        return x + self.inner(self.norm(x))
"""
COMPOSED = (
    RESIDUAL
    + """
def dense(dim):
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

def mixer(*, vocab=64, dim=48, depth=2, num_classes=10):
    blocks = [Residual(dim, dense(dim)) for _ in range(depth)]
    return nn.Sequential(nn.Embedding(vocab, dim), *blocks, nn.LayerNorm(dim), nn.Linear(dim, num_classes))

def count(model):
    return sum(p.numel() for p in model.parameters())
"""
)
BLOCKS = """
class Plain(nn.Module):
    def __init__(self, taken, planes):
        super().__init__()
        self.conv = nn.Conv2d(taken, planes, 3, padding=1)

    def forward(self, x):
        return self.conv(x).relu()

class Double(Plain):
    def forward(self, x):
        return super().forward(x) * 2

class Tower(nn.Module):
    def __init__(self, block, num_blocks, {width}num_classes=10):
        super().__init__()
        self.first, self.rest = block(3, {size}), nn.Sequential(*(block({size}, {size}) for _ in range(num_blocks[0])))
        self.head = nn.Linear({size}, num_classes)

    def forward(self, x):
        return self.head(self.rest(self.first(x)).mean((2, 3)))

def tower18({argument}):
    return Tower(Plain, [2]{given})

def tower34({argument}):
    net = Tower(Double, [3]{given})
    return net
"""
AGENT = """
class Agent(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(8, {size}), nn.Tanh(), nn.Linear({size}, {size}), nn.Linear({size}, 1))
        self.actor = nn.Sequential(nn.Linear(8, {size}), nn.Tanh(), nn.Linear({size}, 4))

    def load(self, path):
        raise NotImplementedError

    def get_value(self, x):
        return self.critic(x)

    def get_action(self, x, action=None):
        return self.actor(x).softmax(-1), self.critic(x)
"""


def written(folder: Path, text: str, name: str = "") -> str:
    file = folder / "model.py"
    file.write_text("import torch\nimport torch.nn as nn\n" + dedent(text))
    return f"{file}:{name}" if name else str(file)


def refused(text: str) -> UserError:
    with pytest.raises(UserError) as error:
        resolve(text)
    return error.value


def widths(target: Target) -> list[str]:
    return [axis.name for axis in target.axes]


@pytest.mark.parametrize("name", ["", "mixer"])
def test_a_function_that_puts_a_files_parts_together_is_its_model(tmp_path: Path, name: str) -> None:
    target = resolve(written(tmp_path, COMPOSED, name))
    assert (target.label, widths(target)) == ("mixer", ["dim"])
    assert target.axes[0].default == 48
    assert {row.kind for row in audit(target).tensors if row.name.endswith("inner.0.weight")} == {"matrix"}


def test_a_named_function_still_builds_at_a_width_of_its_own(tmp_path: Path) -> None:
    text = "def net(n):\n    return nn.Sequential(nn.Linear(16, n), nn.ReLU(), nn.Linear(n, n), nn.Linear(n, 4))\n"
    assert widths(resolve(written(tmp_path, text, "net"))) == ["n"]


def test_a_class_that_takes_a_class_of_blocks_is_built_by_the_functions_of_its_file(tmp_path: Path) -> None:
    text = BLOCKS.format(width="width=32, ", size="width", argument="width=32", given=", width=width")
    target = resolve(written(tmp_path, text))
    assert (target.label, widths(target)) == ("tower18", ["width"])
    assert any(note.startswith("tower18 was taken for the model, not tower34") for note in target.notes)


def test_its_widths_are_shown_where_they_are_numbers(tmp_path: Path) -> None:
    error = refused(written(tmp_path, BLOCKS.format(width="", size="24", argument="", given="")))
    assert error.message == "tower18 has no argument that looks like a width; it takes none"
    assert "model.py:20: nn.Linear(24, num_classes)" in error.hint


def test_a_class_used_by_way_of_a_function_is_a_part(tmp_path: Path) -> None:
    text = (
        RESIDUAL
        + """
def wrapped(dim):
    return Residual(dim, nn.Linear(dim, dim))

class Stack(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up, self.mid, self.down = nn.Linear(16, dim), wrapped(dim), nn.Linear(dim, 4)

    def forward(self, x):
        return self.down(self.mid(self.up(x)))
"""
    )
    assert resolve(written(tmp_path, text)).label == "Stack"


def test_a_module_without_a_forward_asks_which_of_its_methods(tmp_path: Path) -> None:
    path = written(tmp_path, AGENT.format(arguments="envs", size="64"))
    error = refused(path)
    assert error.message == "Agent is a torch.nn.Module without a forward: say which of its methods to audit"
    assert error.hint.splitlines()[1:3] == [
        f"  muaudit check {path}:Agent.get_value", f"  muaudit check {path}:Agent.get_action"
    ]  # fmt: skip
    assert "nn.Linear(8, 64)" in error.hint
    assert "load" not in error.hint


@pytest.mark.parametrize(("method", "judged"), [("get_value", {"critic"}), ("get_action", {"critic", "actor"})])
def test_the_method_that_is_named_is_audited(tmp_path: Path, method: str, judged: set[str]) -> None:
    target = resolve(written(tmp_path, AGENT.format(arguments="hidden=32", size="hidden"), f"Agent.{method}"))
    assert (target.label, widths(target)) == (f"Agent.{method}", ["hidden"])
    assert {row.name.partition(".")[0] for row in audit(target).tensors if row.roles} == judged


@pytest.mark.parametrize("root", [True, False], ids=["in a repository", "below the working directory"])
def test_modules_at_the_root_of_a_repository_are_found_from_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bool
) -> None:
    folder = tmp_path / "training" / "nets"
    folder.mkdir(parents=True)
    (tmp_path / "helpers_of_this_repository.py").write_text("size = 16\n")
    if root:
        (tmp_path / "pyproject.toml").write_text("")
    else:
        monkeypatch.chdir(tmp_path)
    text = "from helpers_of_this_repository import size\n" + RESIDUAL.replace("dim, inner", "dim").replace(
        ", inner\n", ", nn.Linear(dim, size)\n"
    ).replace("x + self.inner(self.norm(x))", "self.inner(self.norm(x))")
    assert resolve(written(folder, text)).label == "Residual"


def test_a_file_called_like_a_folder_it_lies_in_does_not_stand_in_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "residual_nets" / "models"
    folder.mkdir(parents=True)
    (folder / "sizes.py").write_text("size = 16\n")
    text = "from residual_nets.models.sizes import size\n" + RESIDUAL.replace("dim, inner", "dim").replace(
        ", inner\n", ", nn.Linear(dim, size)\n"
    ).replace("x + self.inner(self.norm(x))", "self.inner(self.norm(x))")
    file = folder / "residual_nets.py"
    file.write_text(Path(written(folder, text)).read_text())
    assert resolve(str(file)).label == "Residual"


NO_FORWARD = """
class Block(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.up = nn.Linear(width, width)
"""
NET = """
    class Net(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.up = nn.Linear(8, width)

        def forward(self, x):
            return self.up(x)
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NO_FORWARD, "Block (line 4) derives from torch.nn.Module, but cannot be run: it needs a forward and has none"),
        (NO_FORWARD + "\n    def forward(self, x):\n        raise NotImplementedError\n",
         "Block (line 4) derives from torch.nn.Module, but cannot be run: it needs a forward and has only one that "
         "raises"),
        (NO_FORWARD + NO_FORWARD.replace("Block", "Other"),
         "{file} holds no model that can be run: Block (line 4), Other (line 9) derive from torch.nn.Module, but none "
         "defines forward"),
        ("def train():" + NET,
         "{file} holds no model that can be taken from it: Net (line 4) is defined inside train(), out of reach of "
         "others"),
        ("if __name__ == '__main__':" + NET,
         "{file} holds no model that can be taken from it: Net (line 4) is defined below the if of line 3, which does "
         "not hold when the file is imported"),
        ("net = nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 2))",
         "{file} holds a model of one width, net (Sequential), and nothing that builds it at another"),
        ("from torch.nn import Linear",
         "{file} holds no model: no class that derives from torch.nn.Module and no build(width); it imports Linear, "
         "and derives no class from it"),
    ],
)  # fmt: skip
def test_what_a_file_has_in_place_of_a_model_is_said_as_it_is(tmp_path: Path, text: str, message: str) -> None:
    """Every sentence read off the file by hand: its classes, their lines, and what they lack."""
    target = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        resolve(target)
    assert caught.value.message == message.format(file=target)


def test_several_modules_without_a_forward_are_offered_by_their_methods(tmp_path: Path) -> None:
    step = "\n    def {name}(self, x):\n        return self.up(x)\n"
    text = NO_FORWARD + step.format(name="encode") + NO_FORWARD.replace("Block", "Agent") + step.format(name="__call__")
    target = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        resolve(target)
    commands = [line.strip() for line in caught.value.hint.splitlines()[1:3]]
    assert commands == [f"muaudit check {target}:Block.encode", f"muaudit check {target}:Agent.__call__"]
    assert resolve(f"{target}:Agent.__call__").label == "Agent.__call__"


def test_a_forward_that_the_constructor_gives_is_a_forward(tmp_path: Path) -> None:
    text = NO_FORWARD + "        self.forward = self.plain\n\n    def plain(self, x):\n        return self.up(x)\n"
    assert resolve(written(tmp_path, text)).label == "Block"


POSITIONS = """
class Positions(nn.Module):
    def __init__(self, channels, freqs):
        super().__init__()
        self.bands = [2.0**each for each in range(freqs)]

    def forward(self, x):
        return torch.cat([torch.sin(band * x) for band in self.bands], -1)


class Field(nn.Module):
    def __init__(self, channels=64, taken=63):
        super().__init__()
        self.first, self.mix = nn.Linear(taken, channels), nn.Linear(channels, channels)
        self.last = nn.Linear(channels, 4)

    def forward(self, x):
        return self.last(self.mix(self.first(x).relu()).relu())
"""


def test_what_holds_no_layer_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "field.py"
    file.write_text("import torch\nfrom torch import nn\n" + POSITIONS)
    assert resolve(str(file)).describe.startswith("Field, channels")


PAIRED = """
class Attention(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.mix = nn.Linear(d_model, d_model)

    def forward(self, x):
        return self.mix(x)


class Pair(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x):
        return self.encoder(x)

    def forward(self, x):
        return self.decoder(self.encode(x))


def make_model(d_model=64):
    attention = Attention(d_model)
    return Pair(nn.Sequential(nn.Linear(16, d_model), nn.ReLU(), attention), nn.Linear(d_model, 4))
"""


def test_what_runs_the_modules_that_it_is_given_is_a_model(tmp_path: Path) -> None:
    file = tmp_path / "pair.py"
    file.write_text("import torch\nfrom torch import nn\n" + PAIRED)
    assert resolve(str(file)).describe.startswith("make_model, d_model")


NAMED = """
class PointNet(nn.Module):
    def __init__(self, emb_dims=64):
        super().__init__()
        self.first, self.mix = nn.Linear(16, emb_dims), nn.Linear(emb_dims, emb_dims)
        self.last = nn.Linear(emb_dims, 4)

    def forward(self, x):
        return self.last(self.mix(self.first(x).relu()).relu())
"""


def test_of_several_models_the_one_that_the_folder_is_called_like_is_the_model(tmp_path: Path) -> None:
    file = tmp_path / "dgcnn" / "pytorch" / "model.py"
    file.parent.mkdir(parents=True)
    file.write_text("import torch\nfrom torch import nn\n" + NAMED + NAMED.replace("PointNet", "DGCNN"))
    assert resolve(str(file)).describe.startswith("DGCNN, emb_dims")


GIVEN_PARTS = """
class Side(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.look, self.mix = nn.Embedding(vocab_size, d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        return self.mix(self.look(x)).relu()

class {part}(Side):
    pass

class Attending(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.score, self.out = nn.Linear(d_model, 1), nn.Linear(d_model, 10)

    def forward(self, x):
        return self.out((self.score(x).softmax(1) * x).sum(1))

class Ending(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.attending = Attending(d_model)

    def forward(self, x):
        return self.attending(x)

class {whole}(nn.Module):
    def __init__(self, {given}, ending):
        super().__init__()
        {asserted}
        self.first, self.ending = {given}, ending

    def forward(self, x):
        return self.ending(self.first(x))
"""


@pytest.mark.parametrize(
    "names",
    [
        {"part": "Reader", "whole": "Pair", "given": "reader", "asserted": "pass"},
        {"part": "Deep", "whole": "PairWrapper", "given": "below", "asserted": "assert isinstance(below, Side)"},
    ],
)
def test_a_class_that_takes_objects_of_others_is_the_model_and_they_are_built_for_it(
    tmp_path: Path, names: dict[str, str]
) -> None:
    """By what an argument is called like, or by what it is asserted to be; what derives from that is a part, too."""
    file = tmp_path / "model.py"
    file.write_text("import torch\nfrom torch import nn\n" + GIVEN_PARTS.format(**names))
    found = resolve(str(file))
    assert found.describe.startswith(f"{names['whole']}("), found.describe
    assert {axis.name for axis in found.axes} == {"d_model", "ending.d_model"}


def test_a_function_called_build_that_takes_a_config_is_no_spec(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    own = "\n\ndef build(args):\n    return PointNet(args.emb_dims), len(args.kinds)\n"
    file.write_text("import torch\nfrom torch import nn\n" + NAMED + own)
    assert resolve(str(file)).describe.startswith("PointNet, emb_dims")


AROUND = """
class Head(nn.Module):
    def __init__(self, hidden_dim):
        super().__init__()
        self.first, self.last = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, 4)

    def forward(self, x):
        return self.last(self.first(x).relu())

class Detector(nn.Module):
    def __init__(self, backbone, hidden_dim):
        super().__init__()
        self.backbone, self.head = backbone, Head(hidden_dim)

    def forward(self, x):
        return self.head(self.backbone(x))
"""


def test_a_part_of_what_wants_a_model_is_not_the_model(tmp_path: Path) -> None:
    file = tmp_path / "detect.py"
    file.write_text("import torch\nfrom torch import nn\n" + AROUND)
    with pytest.raises(UserError, match="Detector needs a value for backbone"):
        resolve(str(file))
