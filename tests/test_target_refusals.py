"""Arguments that a refusal corrects: words that the code does not know, configs and sizes that only stand for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import write

from muaudit.errors import UserError
from muaudit.targets import resolve

HEAD = "import torch\nfrom torch import nn\n\n\n"
WORDS = """class Gate(nn.Module):
    def __init__(self, dim, kind):
        super().__init__()
        self.layer, self.nonlinearity = nn.Linear(dim, dim), kind

    def forward(self, x):
        if self.nonlinearity == "tanh":
            return self.layer(x).tanh()
        elif self.nonlinearity == "softmax":
            return self.layer(x).softmax(-1)
        else:
            raise NotImplementedError(f"{self.nonlinearity} is not implemented")


class Gated(nn.Module):
    def __init__(self, dim, activation):
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(9, dim), Gate(dim, activation), nn.Linear(dim, 3)

    def forward(self, x):
        return self.last(self.gate(self.first(x)))
"""
NESTED = """from dataclasses import dataclass, field
from typing import Optional


@dataclass
class CellConfig:
    dim: int = -1
    factor: int = 2


@dataclass
class BlockConfig:
    cell: CellConfig = field(default_factory=CellConfig)


@dataclass
class StackConfig:
    block: Optional[BlockConfig] = None
    embedding_dim: int = 128
    context_length: int = -1
    depth: int = 2

    def __post_init__(self):
        if self.block is not None:
            self.block.cell.dim = self.embedding_dim


class Block(nn.Module):
    def __init__(self, config: BlockConfig, length):
        super().__init__()
        cell = config.cell
        self.register_buffer("mask", torch.ones(length, length).tril())
        self.up, self.down = nn.Linear(cell.dim, cell.factor * cell.dim), nn.Linear(cell.factor * cell.dim, cell.dim)

    def forward(self, x):
        n = x.shape[1]
        return x + self.mask[:n, :n] @ self.down(self.up(x).relu())


class StackModel(nn.Module):
    def __init__(self, config: StackConfig):
        super().__init__()
        self.embed = nn.Embedding(50, config.embedding_dim)
        self.blocks = nn.ModuleList(Block(config.block, config.context_length) for _ in range(config.depth))
        self.last = nn.Linear(config.embedding_dim, 50)

    def forward(self, idx):
        x = self.embed(idx)
        for block in self.blocks:
            x = block(x)
        return self.last(x)
"""
KEPT = """class Forecast(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.horizon = args.horizon
        self.graph_mode = args.graph_mode
        self.first, self.mix = nn.Linear(7, args.hidden_dim), nn.Linear(args.hidden_dim, args.hidden_dim)
        self.last = nn.Linear(args.hidden_dim, self.horizon)

    def forward(self, x):
        return self.last(self.mix(self.first(x)).relu())
"""


def test_a_guessed_word_that_the_code_refuses_gives_way_to_one_that_it_knows(tmp_path: Path) -> None:
    found = resolve(write(tmp_path, HEAD + WORDS))
    assert found.describe == "Gated, dim 64 → 128, input float32[4, 9]"
    assert "as the code asks for it: activation='tanh'" in " ".join(found.notes)


def test_a_default_that_the_code_refuses_stays_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gelu is not implemented"):
        resolve(write(tmp_path, HEAD + WORDS.replace("self, dim, activation)", 'self, dim, activation="gelu")')))


def test_a_config_that_is_none_by_default_is_made_where_it_is_read(tmp_path: Path) -> None:
    found = resolve(write(tmp_path, HEAD + NESTED))
    assert found.describe.startswith("StackModel(StackConfig), embedding_dim 64 → 128")
    assert "context_length=64" in " ".join(found.notes)
    shapes = {name: tuple(each.shape) for name, each in found.build(found.sizes(0), 0).named_parameters()}
    assert shapes["blocks.0.up.weight"] == (128, 64)


def test_a_field_that_is_kept_and_never_read_is_not_asked_for(tmp_path: Path) -> None:
    found = resolve(write(tmp_path, HEAD + KEPT))
    assert found.describe == "Forecast(namespace), hidden_dim 64 → 128, input float32[4, 7]"
    read = KEPT.replace("return self.last(", "x = self.graph_mode.apply(x)\n        return self.last(")
    with pytest.raises(UserError, match="graph_mode"):
        resolve(write(tmp_path, HEAD + read))
