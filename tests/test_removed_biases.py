"""Biases that something downstream takes out again, a batch norm or the softmax behind the keys: their init is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from muaudit.audit import audit
from muaudit.targets import resolve

NORMED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3)
        self.norm = NORM
        if ZERO:
            nn.init.zeros_(self.head.weight)

    def forward(self, x):
        return self.head(self.norm(self.mid(self.up(x).relu())).relu())
"""

ATTENTION = """
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

class Net(nn.Module):
    def __init__(self, d_model=64):
        super().__init__()
        self.embed, self.head = nn.Embedding(32, d_model), nn.Linear(d_model, 32)
        self.q, self.k, self.v = (nn.Linear(d_model, d_model) for _ in range(3))
        if ZERO:
            nn.init.zeros_(self.q.weight)
            nn.init.zeros_(self.q.bias)

    def forward(self, tokens):
        x = self.embed(tokens)
        return self.head(x + scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))
"""


CONVOLUTIONS = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = NORM
        self.head = nn.Linear(channels, 3)
        if ZERO:
            nn.init.zeros_(self.head.weight)

    def forward(self, x):
        return self.head(self.norm(self.conv(F.relu(self.stem(x)))).relu().mean((2, 3)))

def build(width):
    return Net(width)

def batch(width):
    return torch.randn(4, 3, 6, 6)

widths = (16, 32)
"""

STARTS = [False, True]


def biases_found(folder: Path, text: str, zero: bool) -> set[str]:
    file = folder / "model.py"
    file.write_text(text.replace("ZERO", str(zero)))
    report = audit(resolve(str(file)))
    return {tensor for each in report.violations if each.rule == "MUP104" for tensor in each.tensors}


@pytest.mark.parametrize("zero", STARTS)
@pytest.mark.parametrize(
    ("norm", "found"),
    [("nn.BatchNorm1d(hidden)", set()), ("nn.LayerNorm(hidden)", {"mid.bias"}), ("nn.Identity()", {"mid.bias"})],
)
def test_a_bias_in_front_of_a_batch_norm_is_free(norm: str, found: set[str], zero: bool, tmp_path: Path) -> None:
    """Its mean over the batch takes out what is the same in every row; a layer norm's mean is over the entries."""
    assert biases_found(tmp_path, NORMED.replace("NORM", norm), zero) == found


@pytest.mark.parametrize(
    ("norm", "found"),
    [
        ("nn.BatchNorm2d(channels)", set()),
        ("nn.InstanceNorm2d(channels)", set()),
        ("nn.GroupNorm(channels, channels)", set()),
        ("nn.GroupNorm(16, channels)", {"conv.bias"}),  # of one channel each at the first of the widths alone
        ("nn.GroupNorm(4, channels)", {"conv.bias"}),
    ],
)
def test_a_bias_is_free_where_channels_are_normalised_one_by_one(norm: str, found: set[str], tmp_path: Path) -> None:
    """A mean over several channels leaves how their biases differ; the readout starts at zero."""
    assert biases_found(tmp_path, CONVOLUTIONS.replace("NORM", norm), True) == found


@pytest.mark.parametrize("zero", STARTS)
def test_the_bias_of_the_keys_is_free_and_those_of_queries_and_values_are_not(zero: bool, tmp_path: Path) -> None:
    """q·b is the same for every key, and a softmax takes it out: (q·(k + b)) - max is (q·k) - max."""
    assert biases_found(tmp_path, ATTENTION, zero) == ({"v.bias"} if zero else {"q.bias", "v.bias"})


BALANCED = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width, self.up, self.head = width, nn.Linear(8, width, bias=False), nn.Linear(width, 3)
        nn.init.normal_(self.up.weight, std=0.3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.up(x).relu())

def build(width):
    return Net(width)

def batch(width):
    return torch.randn(6, 8)

def loss(output, batch):
    return F.cross_entropy(output, torch.arange(6) % 3)

def optimizer(model):
    rates = {"up.weight": 1.0, "head.weight": 16 / model.width, "head.bias": RATE}
    return torch.optim.Adam([{"params": [p], "lr": 0.01 * rates[name]} for name, p in model.named_parameters()])

widths = (16, 32)
"""


@pytest.mark.parametrize(("rate", "found"), [("1.0", set()), ("model.width / 16", {"head.bias"})])
def test_a_bias_without_gradient_only_because_all_classes_are_as_likely_is_judged(
    rate: str, found: set[str], tmp_path: Path
) -> None:
    """Behind a readout at zero, as many targets of every class leave its first gradient at nothing (TP5 Table 3)."""
    file = tmp_path / "model.py"
    file.write_text(BALANCED.replace("RATE", rate))
    report = audit(resolve(str(file)))
    assert {t for each in report.violations if each.severity == "error" for t in each.tensors} == found


GATED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.stem, self.up = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, width, 1, bias=False)
        self.norm, self.normed = nn.BatchNorm2d(width), nn.BatchNorm2d(16)
        self.squeeze, self.squeezed, self.excite = nn.Conv2d(width, 16, 1), nn.BatchNorm2d(16), nn.Conv2d(16, width, 1)
        self.down, self.head = nn.Conv2d(width, 16, 1, bias=False), nn.Linear(16, 3)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.up(x)).relu()
        gate = self.squeezed(self.squeeze(y.mean((2, 3), keepdim=True))).relu()
        y = y * self.excite(gate).sigmoid()
        return self.head((x + self.normed(self.down(y))).relu().mean((2, 3)))
"""


def test_a_bias_is_free_where_the_samples_of_a_batch_hardly_differ(tmp_path: Path) -> None:
    """Means over a whole image: a batch norm blows up what little tells them apart, and the rounding of a gradient of 0
    with it, while the weight's own gradient shrinks with them."""
    file = tmp_path / "model.py"
    file.write_text(GATED)
    told = [each for each in audit(resolve(str(file))).violations if "squeeze.bias" in each.tensors]
    assert not told
