"""Settings of an initialization that set nothing: each kind planted in a right model, and the model without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muaudit.audit import audit
from muaudit.targets import resolve

MODEL = """\
import math
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width, init_std, w1_std):
        super().__init__()
        self.w1, self.w2, self.proj = (nn.Linear(width, width, bias=False) for _ in range(3))
        nn.init.normal_(self.w1.weight, std=w1_std * (64 / width) ** 0.5)
        nn.init.normal_(self.w2.weight, std=init_std * (64 / width) ** 0.5)
        {bounds}

    def forward(self, x):
        return x + self.proj(torch.tanh(self.w1(x)) * torch.tanh(self.w2(x)))


class Net(nn.Module):
    def __init__(self, width=64, init_std=0.1, n_layer=2):
        super().__init__()
        self.up = nn.Linear(8, width, bias=False)
        self.blocks = nn.ModuleList(Block(width, {w2}, {w1}) for _ in range(n_layer))
        self.head = nn.Linear(width, 4, bias=False)
        nn.init.zeros_(self.head.weight)
        nn.init.normal_(self.up.weight)
        for name, p in self.named_parameters():
            if name.endswith("{name}.weight"):
                p.data.mul_(1 / math.sqrt(2 * n_layer))

    def forward(self, x):
        return self.head(torch.tanh(self.blocks[1](self.blocks[0](torch.tanh(self.up(x))))))

    def configure_optimizers(self):
        m = self.up.out_features / 64
        groups = [{{"params": self.up.weight}}, {{"params": self.head.weight, "lr": 1e-3 / m}}]
        return torch.optim.Adam([*groups, {{"params": self.blocks.parameters(), "lr": 1e-3 / m}}], lr=1e-3)
"""
RIGHT = {
    "w1": "init_std", "w2": "init_std", "name": "proj",
    "bounds": "nn.init.trunc_normal_(self.proj.weight, std=width**-0.5, a=-2 * width**-0.5, b=2 * width**-0.5)",
}  # fmt: skip
PLANTED = {
    "none": ({"w1": "0.1", "w2": "0.1"}, (), "init_std changes no parameter"),
    "part": ({"w1": "0.1"}, ("blocks.0.w1.weight", "blocks.1.w1.weight"), r"init_std = 0.1 does not reach blocks.*.w1"),
    "bounds": (
        {"bounds": "nn.init.trunc_normal_(self.proj.weight, std=width**-0.5, a=-2, b=2)"}, (),
        "bounds of trunc_normal_ are 16 standard deviations away",
    ),
    "name": ({"name": "c_proj"}, (), "'c_proj.weight'"),
}  # fmt: skip


def advice(folder: Path, **parts: str) -> list[tuple[tuple[str, ...], str, int | None]]:
    file = folder / "net.py"
    file.write_text(MODEL.format(**RIGHT | parts))
    report = audit(resolve(f"{file}:Net"))
    assert report.verdict == "mup", report.violations
    return [(v.tensors, v.message, v.line) for v in report.violations if v.rule == "MUP109"]


def test_settings_that_set_what_they_say_are_silent(tmp_path: Path) -> None:
    assert advice(tmp_path) == []


@pytest.mark.parametrize("kind", PLANTED)
def test_a_setting_that_sets_nothing_is_told(kind: str, tmp_path: Path) -> None:
    parts, tensors, says = PLANTED[kind]
    ((named, message, line),) = advice(tmp_path, **parts)
    assert (named, says in message, line is not None) == (tensors, True, True), message


NAMES = """\
import torch
from torch import nn


class Part(nn.Module):
    def __init__(me, width):
        super().__init__()
        me.inner, me.out = nn.Linear(width, width), nn.Linear(width, width)
        for key, weight in me.named_parameters():
            if key == "{key}":
                nn.init.normal_(weight, std=0.02)

    def forward(me, x):
        return x + me.out(torch.tanh(me.inner(x)))


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.up, self.part, self.head = nn.Linear(8, width), Part(width), nn.Linear(width, 4)

    def forward(self, x):
        return self.head(torch.tanh(self.part(self.up(x))))
"""


@pytest.mark.parametrize(("key", "lines"), [("out.weight", []), ("part.out.weight", [10])])
def test_a_part_asks_for_the_names_that_it_has_itself(key: str, lines: list[int], tmp_path: Path) -> None:
    file = tmp_path / "parts.py"
    file.write_text(NAMES.format(key=key))
    assert [v.line for v in audit(resolve(f"{file}:Net")).violations if v.rule == "MUP109"] == lines


ASKED = """\
import re
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64, init_std=0.1):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.mid.is_residual = True
        for name, part in self.named_modules():
            std = init_std
            if {condition}:
                std = std / 2
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=std)

    def forward(self, x):
        return self.head(torch.tanh(self.mid(torch.tanh(self.up(x)))))
"""


@pytest.mark.parametrize(
    ("condition", "lines"),
    [
        ("name.split('.')[-1] == 'c_proj'", [13]),
        ("any(each in name for each in ('c_proj', 'w_out'))", [13]),
        ("re.search('c_proj', name) and isinstance(part, nn.Linear)", [13]),
        ("hasattr(part, 'IS_RESIDUAL')", [13]),
        ("name.split('.')[-1] == 'mid'", []),
        ("any(each in name for each in ('c_proj', 'mid'))", []),
        ("re.search('m.d', name) and isinstance(part, nn.Linear)", []),
        ("getattr(part, 'is_residual', False)", []),
    ],
)
def test_conditions_are_asked_of_the_names_and_marks_that_there_are(
    condition: str, lines: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "asked.py"
    file.write_text(ASKED.format(condition=condition))
    assert [v.line for v in audit(resolve(str(file))).violations if v.rule == "MUP109"] == lines


RANGE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64, initializer_range=0.02):
        super().__init__()
        self.table, self.mid, self.head = nn.Embedding(32, width), nn.Linear(width, width), nn.Linear(width, 4)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initializer_range)
        nn.init.normal_(self.table.weight, std={std})

    def forward(self, tokens):
        return self.head(torch.tanh(self.mid(self.table(tokens))))
"""


@pytest.mark.parametrize(
    ("std", "left"), [("0.02", [("table.weight",)]), ("initializer_range", []), ("1.0", []), ("0.5 / width**0.5", [])]
)
def test_a_kind_of_layer_that_keeps_the_size_that_the_range_had(std: str, left: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "kept.py"
    file.write_text(RANGE.format(std=std))
    assert [v.tensors for v in audit(resolve(str(file))).violations if v.rule == "MUP109"] == left


KINDS = """\
import torch
from torch import nn


class Dense(nn.Linear):
    pass


class Net(nn.Module):
    def __init__(self, width=64, init_std=0.1):
        super().__init__()
        self.up, self.a, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.b = Dense(width, width)
        for module in self.modules():
            if type(module) in {kinds}:
                nn.init.normal_(module.weight, std=init_std)

    def forward(self, x):
        return self.head(torch.tanh(self.b(torch.tanh(self.a(torch.tanh(self.up(x)))))))
"""


@pytest.mark.parametrize(("kinds", "left"), [("(nn.Linear,)", [("b.weight",)]), ("(nn.Linear, Dense)", [])])
def test_a_kind_of_layer_that_nobody_initialises_is_told(kinds: str, left: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "kinds.py"
    file.write_text(KINDS.format(kinds=kinds))
    assert [v.tensors for v in audit(resolve(str(file))).violations if v.rule == "MUP109"] == left


def test_the_range_of_a_published_config_reaches_what_it_is_for() -> None:
    pytest.importorskip("transformers")
    report = audit(resolve("transformers:LlamaForCausalLM"))
    assert not [v for v in report.violations if v.rule == "MUP109"]


RATES = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64, hidden_lr_scale=0.25, min_lr=1e-5):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.scale, self.m = hidden_lr_scale, width / 64

    def forward(self, x):
        return self.head(torch.tanh(self.mid(torch.tanh(self.up(x))))) / self.m

    def configure_optimizers(self):
        groups = [{{"params": [self.mid.weight], "lr": {lr} / self.m}}]
        others = [p for p in self.parameters() if p is not self.mid.weight]
        return torch.optim.Adam([*groups, {{"params": others}}], lr=1e-3)
"""


@pytest.mark.parametrize(("lr", "told"), [("1e-3 * self.scale", []), ("1e-3", ["hidden_lr_scale changes no param"])])
def test_a_factor_that_never_arrives_in_the_optimizer_is_told(lr: str, told: list[str], tmp_path: Path) -> None:
    file = tmp_path / "rates.py"
    file.write_text(RATES.format(lr=lr))
    found = [v.message for v in audit(resolve(str(file))).violations if v.rule == "MUP324"]
    assert [message.startswith(each) for message, each in zip(found, told, strict=True)] == [True] * len(told)
