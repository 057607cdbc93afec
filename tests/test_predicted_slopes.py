"""The exponents of a report against slopes of models that are trained: a slice of benchmarks/predict_vs_measure.py."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from predict_vs_measure import Point, compare, measured
from subjects import subjects
from torch import nn
from torch.nn import functional as F

from muaudit.audit import audit
from muaudit.targets import from_functions

WIDTHS = (128, 256, 512)
SUBJECTS = {subject.name: subject for subject in subjects()}


def points(name: str, folder: Path) -> list[Point]:
    subject = dataclasses.replace(SUBJECTS[name], seeds=3)
    found = measured(subject, WIDTHS, folder, folder)
    assert found is not None
    compared = list(compare(subject, WIDTHS, found, folder))
    assert {p.what for p in compared} == {"init", "change"}
    return compared


@pytest.mark.parametrize("name", ["mlp/table3", "gpt/table3"])
def test_of_a_right_model_every_slope_is_its_exponent(name: str, tmp_path: Path) -> None:
    assert not [p for p in points(name, tmp_path) if not (p.agrees or p.below)]


@pytest.mark.parametrize("name", ["mlp/sp, Adam", "mlp/table3, hidden lr of the base"])
def test_of_a_wrong_model_every_slope_is_of_the_class_of_its_exponent(name: str, tmp_path: Path) -> None:
    found = points(name, tmp_path)
    assert not [p for p in found if not (p.same_class or p.below)]
    growing = {p.name for p in found if p.what == "change" and p.slope > 0.75}
    assert growing == {"hidden.0", "hidden.1", "readout", "(output)"}


class Depthwise(nn.Module):
    """A convolution from finite to width, one that keeps channels apart, a readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, width, 1, bias=False)
        self.apart = nn.Conv1d(width, width, 3, groups=width, padding=1, bias=False)
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.apart(self.first(x))[..., 0])


def test_a_gradient_passes_a_depthwise_convolution_channel_by_channel() -> None:
    signal = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(6) % 4
    gradients = []
    for width in (64, 1024):
        torch.manual_seed(width)
        model = Depthwise(width)
        F.cross_entropy(model(signal), labels).backward()
        assert model.first.weight.grad is not None
        gradients.append(float(model.first.weight.grad.square().mean().sqrt()))
    slope = math.log(gradients[1] / gradients[0]) / math.log(16)
    assert slope == pytest.approx(-0.5, abs=0.1)  # that of the readout's weights: nothing sums over the channels
    report = audit(
        from_functions(
            Depthwise, lambda width: signal, lambda output, batch: F.cross_entropy(output, labels),
            lambda model: torch.optim.SGD(model.parameters(), lr=1e-3), widths=(64, 128),
        )
    )  # fmt: skip
    # moved by lr · n^-1/2 where µP wants lr · 1
    assert {row.name: row for row in report.activations}["first"].update_exponent == pytest.approx(-0.5)
