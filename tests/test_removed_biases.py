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

    def forward(self, tokens):
        x = self.embed(tokens)
        return self.head(x + scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))
"""


def biases_found(folder: Path, text: str) -> set[str]:
    file = folder / "model.py"
    file.write_text(text)
    report = audit(resolve(str(file)))
    return {tensor for each in report.violations if each.rule == "MUP104" for tensor in each.tensors}


@pytest.mark.parametrize(
    ("norm", "found"),
    [("nn.BatchNorm1d(hidden)", set()), ("nn.LayerNorm(hidden)", {"mid.bias"}), ("nn.Identity()", {"mid.bias"})],
)
def test_a_bias_in_front_of_a_batch_norm_is_free(norm: str, found: set[str], tmp_path: Path) -> None:
    """Its mean over the batch takes out what is the same in every row; a layer norm's mean is over the entries."""
    assert biases_found(tmp_path, NORMED.replace("NORM", norm)) == found


def test_the_bias_of_the_keys_is_free_and_those_of_queries_and_values_are_not(tmp_path: Path) -> None:
    """q·b is the same for every key, and a softmax takes it out: (q·(k + b)) - max is (q·k) - max."""
    assert biases_found(tmp_path, ATTENTION) == {"q.bias", "v.bias"}
