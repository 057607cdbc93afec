"""Sweeps over depth, and over widths with a depth for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import app
from typer.testing import CliRunner

import muaudit
from muaudit.errors import UserError

MODEL = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))

class Net(nn.Module):
    def __init__(self, width, n_layer):
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(8, width), nn.LayerNorm(width), nn.Linear(width, 4)
        self.blocks = nn.ModuleList(Block(width) for _ in range(n_layer))

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

def build(width=16, n_layer=2):
    return Net(width, n_layer)

def batch(width):
    return torch.randn(16, 8, generator=torch.Generator().manual_seed(0))

widths = (16, 32)
"""
FEW: dict[str, Any] = {"lr": "2^-10,2^-7", "steps": 5, "seeds": 1, "near": 0, "extend": 0, "results": "r.jsonl"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def losses(found: Any) -> dict[tuple[str, int], list[float]]:
    return {
        (curves.variant, size): curves.losses[place, 0].tolist()
        for curves in found.measured.curves
        for place, size in enumerate(curves.widths)
    }


def test_every_depth_is_trained_and_the_base_depth_is_what_it_was(folder: Path) -> None:
    found = muaudit.sweep("model.py", depths=(2, 4, 8), convert=True, **FEW)
    runs = losses(found)
    assert runs["converted", 2] == runs["original", 2]
    assert runs["converted", 8] != runs["original", 8]
    assert found.measured.width_name == "n_layer"
    assert found.measured.setup.startswith("depths 2, 4, 8; lr")
    assert "depth 8 at the best lr of depth 2" in found.text()
    assert "deeper is better" in found.text()


def test_widths_and_depths_are_pairs(folder: Path) -> None:
    both = losses(muaudit.sweep("model.py", widths=(16, 32), depths=(2, 6), convert=True, **FEW))
    assert both["converted", 16] == both["original", 16]
    alone = losses(muaudit.sweep("model.py", widths=(16, 32), **{**FEW, "results": "other.jsonl"}))
    assert both["original", 16] == alone["original", 16]
    assert both["original", 32] != alone["original", 32]


def test_results_of_widths_are_not_taken_for_those_of_depths(folder: Path) -> None:
    muaudit.sweep("model.py", widths=(16, 32), **FEW)
    with pytest.raises(UserError, match="another sweep"):
        muaudit.sweep("model.py", depths=(16, 32), **FEW)


@pytest.fixture
def run(folder: Path) -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["sweep", "model.py", *arguments])
        return done.exit_code, done.output

    return call


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--depths", "4,2"), "--depths expects ascending depths"),
        (("--depths", "2,4", "--widths", "16,32,64"), "are pairs: expected as many of each"),
        (("--depths", "2,4", "--base-depth", "2"), "--base-depth is for the plan that --convert makes"),
        (("--depths", "layers=2,4"), "has no argument 'layers'"),
    ],
)
def test_what_does_not_fit_is_one_error(
    run: Callable[..., tuple[int, str]], arguments: tuple[str, ...], words: str
) -> None:
    code, text = run(*arguments)
    assert (code, words in text) == (2, True), text
