"""A small model is as deep as it takes for every kind of module of the whole model to occur."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import drive, write

from muaudit.audit import audit
from muaudit.targets import Target, TargetOptions, resolve

HYBRID = """\
import math
from torch import nn


class Mix(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (p.view(b, t, self.heads, -1).transpose(1, 2) for p in self.qkv(x).split(c, dim=2))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))


class Gate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x):
        return self.down(self.up(x).relu())


class Block(nn.Module):
    def __init__(self, dim, heads, place):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(dim), Mix(dim, heads) if {when} else Gate(dim)

    def forward(self, x):
        return x + self.mix(self.norm(x))


class Net(nn.Module):
    def __init__(self, dim=256, n_heads=4, n_layer={depth}, vocab_size=128):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, dim)
        self.blocks = nn.ModuleList(Block(dim, n_heads, place) for place in range(n_layer))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, vocab_size)

    def forward(self, ids):
        x = self.emb(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
"""


def made(folder: Path, when: str, depth: int, options: TargetOptions | None = None) -> tuple[Target, int]:
    target = resolve(write(folder, HYBRID.format(when=when, depth=depth)), options)
    drive(target)
    model = target.build(target.sizes(0), 0)
    return target, sum(name.endswith("norm.weight") for name, _ in model.named_parameters()) - 1


def test_attention_in_every_fifth_block_is_built_and_judged(tmp_path: Path) -> None:
    target, depth = made(tmp_path, "place % 5 == 4", 20)
    assert depth == 5
    assert any("n_layer = 5 (of 20)" in note for note in target.notes)
    assert dict(target.cut) == {"n_layer": 20}
    assert "MUP201" in {each.rule for each in audit(target).violations}


@pytest.mark.parametrize("when", ["True", "place == 0", "place == 1", "place % 2"])
def test_two_layers_stay_two_where_they_hold_all_there_is(tmp_path: Path, when: str) -> None:
    assert made(tmp_path, when, 20)[1] == 2


def test_the_whole_model_where_a_kind_comes_last(tmp_path: Path) -> None:
    target, depth = made(tmp_path, "place == 8", 9)
    assert depth == 9
    assert not any("(of " in note for note in target.notes)
    assert not target.cut


def test_what_comes_too_late_is_named_as_not_analysed(tmp_path: Path) -> None:
    target, depth = made(tmp_path, "place == 59", 60)
    assert depth == 2
    report = audit(target)
    missing = [(each.name, each.reason) for each in report.unanalysed]
    why = "it is in the model at n_layer = 60, not in the small one"
    assert missing == [("Mix", why)]
    assert report.verdict != "mup"


def test_the_users_depth_is_his(tmp_path: Path) -> None:
    target, depth = made(tmp_path, "place % 5 == 4", 20, TargetOptions(set={"n_layer": 3}))
    assert depth == 3
    assert not target.missing


def test_a_constructor_that_looks_at_values_is_built_on_the_cpu(tmp_path: Path) -> None:
    text = HYBRID.format(when="place % 5 == 4", depth=20)
    text = text.replace(
        "        self.norm, self.head",
        "        assert float(self.emb.weight.std()) > 0.5\n        self.norm, self.head",
    )
    target = resolve(write(tmp_path, text))
    assert any("n_layer = 5 (of 20)" in note for note in target.notes)
