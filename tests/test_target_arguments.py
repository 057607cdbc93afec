"""What a constructor takes, as its author meant it: annotations, defaults that mean nothing, configs, decorators."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from muaudit.errors import UserError
from muaudit.targets import Target, resolve
from muaudit.targets.options import TargetOptions

LAYERS = """
        self.first, self.last = nn.Linear(16, {0}), nn.Linear({0}, 4)

    def forward(self, x):
        return self.last(self.first(x).relu())
"""


def target(folder: Path, text: str, **options: object) -> Target:
    file = folder / "model.py"
    file.write_text("import torch.nn as nn\n" + dedent(text))
    return resolve(str(file), TargetOptions(**options))  # type: ignore[arg-type]


def future(folder: Path, text: str) -> Target:
    file = folder / "model.py"
    file.write_text("from __future__ import annotations\nimport torch.nn as nn\n" + dedent(text))
    return resolve(str(file))


UNRESOLVED = """
from dataclasses import dataclass
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from elsewhere import Kernel

@dataclass
class Settings:
    d_model: int
    kernel: Kernel | None = None
    rank: Union[int, str] = "auto"

class Net(nn.Module):
    def __init__(self, settings: Settings, kernel: Kernel = None):
        super().__init__()
""" + LAYERS.format("settings.d_model")


def test_one_annotation_that_means_nothing_here_does_not_hide_the_others(tmp_path: Path) -> None:
    found = future(tmp_path, UNRESOLVED)
    assert found.label == "Net(Settings)"
    assert [axis.name for axis in found.axes] == ["d_model"]


DECORATED = """
def registered(cls):
    class Registered(cls):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.given = kwargs
    return Registered

@registered
class Net(nn.Module):
    def __init__(self, classes=4, model_channels=48):
        super().__init__()
""" + LAYERS.format("model_channels")

WRAPPED = """
def recorded(init):
    def wrapper(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.given = kwargs
    return wrapper

class Net(nn.Module):
    @recorded
    def __init__(self, classes=4, model_channels=48):
        super().__init__()
""" + LAYERS.format("model_channels")

INHERITED = (
    """
class Base(nn.Module):
    def __init__(self, depth, model_channels=48, gain=1.0):
        super().__init__()
"""
    + LAYERS.format("model_channels")
    + """
class Net(Base):
    def __init__(self, name="net", **kwargs):
        super().__init__(depth=2, **kwargs)
        self.name = name
"""
)


@pytest.mark.parametrize("text", [DECORATED, INHERITED], ids=["decorated", "inherited"])
def test_arguments_that_are_passed_on_are_those_of_what_takes_them(tmp_path: Path, text: str) -> None:
    found = target(tmp_path, text)
    assert [(axis.name, axis.default) for axis in found.axes] == [("model_channels", 48)]
    assert not [note for note in found.notes if note.startswith("guessed")]


def test_a_constructor_behind_a_wrapper_that_hides_its_arguments(tmp_path: Path) -> None:
    found = target(tmp_path, WRAPPED)
    assert [(axis.name, axis.default) for axis in found.axes] == [("model_channels", 48)]


OPTIONAL = """
from dataclasses import dataclass
from typing import Optional

@dataclass
class AdapterConfig:
    rank: int
    hidden_size: int

class Net(nn.Module):
    def __init__(self, d_model=32, adapter: Optional[AdapterConfig] = None):
        super().__init__()
        assert adapter is None, "no adapters here"
""" + LAYERS.format("d_model")


def test_a_config_that_is_none_by_default_stays_none(tmp_path: Path) -> None:
    assert [axis.name for axis in target(tmp_path, OPTIONAL).axes] == ["d_model"]


ONLY_CONFIG = """
from dataclasses import dataclass

@dataclass
class NetConfig:
    d_model: int = 32

class Net(nn.Module):
    def __init__(self, config: NetConfig = None):
        super().__init__()
        config = config or NetConfig()
""" + LAYERS.format("config.d_model")


def test_but_not_where_it_alone_holds_the_width(tmp_path: Path) -> None:
    assert [axis.name for axis in target(tmp_path, ONLY_CONFIG).axes] == ["d_model"]


SENTINELS = """
class Node:
    def __init__(self, **kwargs):
        self.__dict__.update(kwargs)

    def update(self, more):
        self.__dict__.update(more)

class GPT(nn.Module):
    @staticmethod
    def get_default_config():
        return Node(kind="small", n_layer=None, n_embd=None, vocab_size=-1, n_kv_head=None)

    def __init__(self, config):
        super().__init__()
        assert config.vocab_size > 0
        assert config.n_kv_head is None or config.n_kv_head > 0
        named = config.kind is not None
        sized = all([config.n_layer is not None, config.n_embd is not None])
        assert named ^ sized
        if named:
            config.update({"tiny": {"n_layer": 1, "n_embd": 8}}[config.kind])
        self.embed = nn.Embedding(config.vocab_size, config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size)
        self.kv = config.n_kv_head

    def forward(self, idx):
        return self.head(self.embed(idx))
"""


def test_defaults_that_the_constructor_asserts_on_are_guessed(tmp_path: Path) -> None:
    """And what stands against what was guessed is left out, where the assertion names it."""
    found = target(tmp_path, SENTINELS)
    assert [axis.name for axis in found.axes] == ["n_embd"]
    assert "kind left out as None, as the constructor asserts; --set NAME=VALUE says otherwise" in found.notes
    assert any(note.startswith("guessed") and "vocab_size=256" in note for note in found.notes)
    assert found.build({"n_embd": 64}, 0).kv is None  # asked for nothing, so it is left as it is


def test_what_is_called_on_a_config_is_no_field_of_it(tmp_path: Path) -> None:
    text = SENTINELS.replace("get_default_config", "example")
    assert [axis.name for axis in target(tmp_path, text, set={"kind": None}).axes] == ["n_embd"]


ASSERTS = """
class Net(nn.Module):
    def __init__(self, d_model=32, groups=7):
        super().__init__()
        size = d_model // groups
        assert size * groups == d_model, "no"
""" + LAYERS.format("d_model")


def test_a_failed_assertion_names_the_flags_it_depends_on(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        target(tmp_path, ASSERTS)
    assert "assert size * groups == d_model" in refused.value.message
    assert refused.value.hint == (
        "what it asserts depends on d_model=64, groups=7; give other values with --set d_model=... --set groups=..."
    )
