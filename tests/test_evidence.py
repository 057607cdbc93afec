"""No verdict about nothing: what grows has to be made by one parameter and read by another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from program import app
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.convert.plannable import analyse
from muaudit.findings.model import Report
from muaudit.targets import from_functions

ROWS = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 64, (4, 6), generator=torch.Generator().manual_seed(0))


def audit(build: Callable[..., nn.Module], batch: Callable[[int], Any] = lambda width: ROWS) -> Report:
    return muaudit.check(build, batch=batch, widths=(64, 128))


class Codes(nn.Module):
    """Vector quantization, softly: codes are chosen by how well they match, and averaged."""

    def __init__(self, codes: int, tied: bool) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(16, 24), nn.Linear(24, 16)
        self.codes = nn.Parameter(torch.randn(codes, 24))
        self.values = self.codes if tied else nn.Parameter(torch.randn(codes, 24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shares = F.softmax(self.encode(x) @ self.codes.T, dim=-1)
        return self.decode(shares @ self.values)


class Slots(nn.Module):
    """A set of learned vectors that read the input by attention; their number grows, their size does not."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(slots, 24))
        self.keys, self.values, self.head = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read = (self.slots @ self.keys(x).T / 24).softmax(-1) @ self.values(x)
        mixed = (read @ read.T / 24).softmax(-1) @ read
        return self.head(mixed).mean(0)


class Tokens(nn.Module):
    def __init__(self, vocabulary: int, tied: bool) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(vocabulary, 24), nn.Linear(24, 24)
        self.head = nn.Linear(24, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x) + self.mix(self.embed(x)).relu())


def image(width: int) -> torch.Tensor:
    return torch.randn(2, width, 6, 6, generator=torch.Generator().manual_seed(0))


def convolutions(channels: int) -> nn.Module:
    """The gains and biases of the first norm grow, but what they multiply grew before."""
    return nn.Sequential(
        nn.BatchNorm2d(channels), nn.Conv2d(channels, 24, 3), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(),
        nn.Conv2d(24, channels, 1),
    )  # fmt: skip


def classifier(classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, classes), nn.LogSoftmax(-1))


REFUSED = {
    "image channels": (convolutions, image, "the input, which 1.weight reads and what 5.weight makes"),
    "classes": (classifier, lambda width: ROWS, "what 2.weight makes, which no parameter reads"),
    "vocabulary": (lambda v: Tokens(v, False), lambda width: TOKENS, "head.weight"),
    "tied vocabulary": (lambda v: Tokens(v, True), lambda width: TOKENS, "embed.weight"),
    "codebook": (lambda n: Codes(n, True), lambda width: ROWS, "codes"),
    "codes and values": (lambda n: Codes(n, False), lambda width: ROWS, "codes"),
    "slots": (Slots, lambda width: ROWS, "what slots makes"),
    "one layer": (lambda n: nn.Linear(16, n), lambda width: ROWS, "what weight makes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_no_hidden_activation_grows_there_is_no_verdict(name: str) -> None:
    build, batch, grows = REFUSED[name]
    with pytest.raises(muaudit.UserError, match="nothing to judge: no hidden activation") as refused:
        audit(build, batch)
    assert grows in refused.value.message
    with pytest.raises(muaudit.UserError, match="nothing to judge"):
        analyse(from_functions(build, batch=batch, widths=(64, 128)))


def test_what_would_be_a_width_is_named_with_its_size_and_line() -> None:
    with pytest.raises(muaudit.UserError) as refused:
        audit(convolutions, image)
    line = convolutions.__code__.co_firstlineno + 3
    assert f"  3.weight 24×24×3×3 at {Path(__file__).relative_to(Path.cwd())}:{line}" in refused.value.hint


class Towers(nn.Module):
    """Two encoders that only a product of what they make brings together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = nn.Embedding(64, width), nn.Embedding(64, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.left(x) * self.right(x)).sum(-1)


class Constant(nn.Module):
    """A learned start, as generators have it: no data flows into what grows first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.start, self.head = nn.Parameter(torch.randn(width)), nn.Linear(width, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.head(self.start.expand(8, -1))


JUDGED = {
    "one hidden layer": (lambda n: nn.Sequential(nn.Linear(16, n), nn.ReLU(), nn.Linear(n, 5)), lambda width: ROWS),
    "recurrent": (lambda n: nn.LSTM(16, n, batch_first=True), lambda width: ROWS[None]),
    "towers": (Towers, lambda width: TOKENS),
    "a learned start": (Constant, lambda width: ROWS),
    "a layer in the middle": (
        lambda n: nn.Sequential(nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, n)),
        lambda width: torch.randn(8, width),
    ),
}


@pytest.mark.parametrize("name", JUDGED)
def test_where_one_grows_there_is_a_verdict(name: str) -> None:
    build, batch = JUDGED[name]
    assert audit(build, batch).verdict in ("mup", "standard", "mixed")


class OneGrows(nn.Module):
    """Of six layers, only what the first makes grows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, width), nn.Linear(width, 24)
        self.rest = nn.ModuleList(nn.Linear(24, 24) for _ in range(3))
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x).relu()).relu()
        for layer in self.rest:
            x = layer(x).relu()
        return self.head(x)


def test_a_model_whose_hidden_layers_kept_their_size_says_so_above_the_verdict() -> None:
    report = audit(OneGrows)
    assert report.caution == (
        "only first.weight, second.weight grow with width; 4 other weights keep their size (rest.0.weight, "
        "rest.1.weight, rest.2.weight and 1 more): the verdict says nothing about them"
    )
    assert report.coverage.judged == 3  # with the bias of the first
    assert report.coverage.tensors == 12
    assert report.coverage.judged_elements == 64 * 16 + 64 + 24 * 64


def test_a_model_that_grows_says_nothing_above_the_verdict() -> None:
    report = audit(lambda n: nn.Sequential(nn.Linear(16, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 5)))
    assert report.caution == ""
    assert (report.coverage.judged, report.coverage.tensors) == (5, 6)


SOURCE = """
import torch.nn as nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x):
        return self.head(self.conv2(self.conv1(x).relu()).relu().mean(dim=(2, 3)))
"""


@pytest.mark.parametrize("format_", ["rich", "json", "concise"])
def test_a_refusal_is_the_same_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    with pytest.raises(SystemExit) as stop:
        app(["check", str(tmp_path / "net.py"), "--no-cache", "--width", "num_classes=64,128", "--format", format_])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert "✓" not in out
    assert "nothing to judge" in out + err
    assert "net.py:8" in out + err
