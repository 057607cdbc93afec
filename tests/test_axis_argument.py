"""Any argument as an axis: what follows it is read from shapes, inits, learning rates and constants, and not judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from program import app
from torch import nn
from typer.testing import CliRunner

from muaudit.analysis.along_argument import ArgumentReading, read_along
from muaudit.targets import from_functions


class Mixed(nn.Module):
    """LoRA of a rank beside a layer (arXiv 2106.09685), and experts whose outputs are averaged."""

    def __init__(self, width: int, rank: int, experts: int) -> None:
        super().__init__()
        self.base, self.head = nn.Linear(width, width), nn.Linear(width, 4)
        self.a = nn.Parameter(torch.randn(rank, width) / rank**0.5)
        self.b = nn.Parameter(torch.zeros(width, rank))
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(experts))
        self.scale = 8 / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.base(x) + (x @ self.a.T @ self.b.T) * self.scale
        out = sum(expert(x) for expert in self.experts)
        return self.head(out / len(self.experts))


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    adapters = [model.a, model.b]
    rest = [p for name, p in model.named_parameters() if name not in ("a", "b")]
    rank = model.a.shape[0]
    return torch.optim.AdamW([{"params": adapters, "lr": 1e-2 * rank**-0.5, "weight_decay": 0.0}, {"params": rest}])


def read(**sizes: tuple[int, int]) -> ArgumentReading:
    def build(width: int, rank: int = 4, experts: int = 2) -> nn.Module:
        return Mixed(width, rank, experts)

    target = from_functions(
        build, batch=lambda width: torch.randn(8, width), optimizer=optimizer, widths=(16, 32), depths=sizes
    )
    return read_along(target)


def test_a_rank_is_in_shapes_inits_rates_and_the_constant_behind_it() -> None:
    found = read(rank=(4, 16))
    rows = {each.pattern: each for each in found.tensors if each.follows}
    assert set(rows) == {"a", "b"}
    assert (rows["a"].dims, rows["a"].init, rows["a"].lr) == ((1.0, 0.0), -0.5, -0.5)
    assert (rows["b"].dims, rows["b"].lr, rows["b"].decay) == ((0.0, 1.0), -0.5, None)
    ((constant),) = found.constants
    assert (constant.exponent, constant.value) == (-1.0, 2.0)
    assert constant.file is not None
    assert constant.file.endswith("test_axis_argument.py")
    assert found.held == {"width": 16}


def test_modules_that_an_argument_repeats_are_counted() -> None:
    found = read(experts=(2, 4))
    assert found.copies == {"experts": (2, 4)}
    assert [each.exponent for each in found.constants] == [-1.0]
    assert not any(each.follows for each in found.tensors)


FILE = """
import torch
from muaudit_here import Mixed

def build(width, rank=4):
    return Mixed(width, rank, 2)

def batch(width):
    return torch.ones(8, width)

widths = (16, 32)
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    source = Path(__file__).read_text(encoding="utf-8")
    start = source.index("class Mixed")
    (tmp_path / "muaudit_here.py").write_text(
        "import torch\nfrom torch import nn\n\n" + source[start : source.index("\ndef optimizer")]
    )
    (tmp_path / "model.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["check", "model.py", *arguments])
        return done.exit_code, done.stdout or done.output

    return run


def test_the_table_and_the_document(check: Callable[..., tuple[int, str]]) -> None:
    code, text = check("--axis", "rank=4,16")
    assert code == 0
    assert "read, not judged: powers of rank; held fixed: width = 16" in text
    assert "4→16 (1), 16" in text
    assert "rank^-1" in text
    document = json.loads(check("--axis", "rank=4,16", "--format", "json")[1])
    assert (document["schema"], document["axis"]) == ("muaudit.axis/1", {"name": "rank", "probes": [4, 16]})
    assert {each["name"]: each["init_exponent"] for each in document["tensors"]}["b"] == "-inf"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--axis", "ranks=4,16"), "no argument 'ranks'"),
        (("--axis", "rank=4,8,16"), "is read between two sizes"),
        (("--axis", "rank=4,16", "--format", "sarif"), "expected --format rich or json"),
        (("--axis", "rank=4"), "rank"),
    ],
)
def test_what_cannot_be_read_is_one_error(
    check: Callable[..., tuple[int, str]], arguments: tuple[str, ...], words: str
) -> None:
    code, text = check(*arguments)
    assert (code, words in text) == (2, True), text
