"""`coord-check --precision`: what fp16 and bf16 lose, held against torch's own casts and against planted mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from program import app

from muaudit.training.precision import LARGEST_SCALE, over, range_of, under

MODEL = """
import torch
from torch import nn
from torch.nn import functional as F

FORWARD, LOSS = {forward}, {loss}

class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)
        self.factor = (width / 16) ** FORWARD
    def forward(self, x):
        return self.head(F.relu(self.hidden(F.relu(self.embed(x) * self.factor))) / self.factor)

def build(width):
    return Model(width)

def batch(width):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 8, generator=generator), torch.randint(0, 4, (8,), generator=generator)

def loss(output, batch):
    return F.cross_entropy(output, batch[1]) * LOSS

widths = (16, 32)
"""


@pytest.mark.parametrize(("name", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_shares_are_those_of_a_cast(name: str, dtype: torch.dtype) -> None:
    held = range_of(name)
    info = torch.finfo(dtype)
    generator = torch.Generator().manual_seed(0)
    for center in (info.max, info.smallest_normal * info.eps):
        near = torch.tensor([0.25, 0.499, 0.5, 0.501, 0.999, 1.0, 1.0001, 1.001, 1.01, 2.0]) * min(center, 1.6e38)
        spread = torch.randn(1000, generator=generator) * min(center, 1e38)
        numbers = torch.cat([near, spread, torch.zeros(3)])
        cast = numbers.to(dtype)
        there = numbers != 0
        lost = ((cast == 0) & there).sum() / there.sum()
        assert float(under(numbers, held.least)) == pytest.approx(float(lost))
        assert float(over(numbers, held.largest)) == pytest.approx(float(torch.isinf(cast).double().mean()))


def test_the_loss_scale_is_the_largest_power_of_two_that_does_not_overflow() -> None:
    fp16 = range_of("fp16")
    for largest in (1e-9, 1.0, 3.7, 900.0, 1e6):
        scale = fp16.scale(largest)
        assert scale == 2.0 ** round(torch.tensor(scale).log2().item())
        assert torch.isfinite(torch.tensor(largest * scale).half())
        assert scale == LARGEST_SCALE or torch.isinf(torch.tensor(largest * scale * 2).half())
    assert range_of("bf16").scale(1e-9) == 1.0


@pytest.mark.parametrize(
    ("forward", "loss", "fp16", "bf16", "said"),
    [(0.0, 1.0, True, True, "nothing overflows"), (6.0, 1.0, False, True, "activations overflow at width 256"),
     (0.0, 1e-14, False, True, "a gradient loses most of its entries at width 16, 256")],
)  # fmt: skip
def test_planted_losses(
    forward: float, loss: float, fp16: bool, bf16: bool, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(forward=forward, loss=loss), encoding="utf-8")
    data, code = checked(path, "fp16,bf16", "json", capsys)
    fails = {name: any(each["fails"] for each in json.loads(data)["held"] if each["precision"] == name)
             for name in ("fp16", "bf16")}  # fmt: skip
    assert fails == {"fp16": not fp16, "bf16": not bf16}
    assert code == int(not (fp16 and bf16))
    if loss != 1.0:  # scaling brings back what the format alone would have lost
        rows = [each for each in json.loads(data)["held"] if each["precision"] == "fp16"]
        assert all(each["loss_scale"] == LARGEST_SCALE for each in rows)
    text, _ = checked(path, "fp16", "rich", capsys)
    assert f"fp16: {said}" in text


def checked(path: Path, precision: str, format_: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    args = ["coord-check", str(path), "--precision", precision, "--widths", "16,256", "--steps", "2", "--seeds", "1"]
    with pytest.raises(SystemExit) as stop:
        app([*args, "--format", format_], prog_name="muaudit")
    return capsys.readouterr().out, int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--precision", "fp8"], "unknown precision 'fp8'"), (["--precision", ","], "names nothing"),
     (["--precision", "fp16", "--dtype", "bf16"], "bf16 has lost some of them already"),
     (["--precision", "fp16", "--ladder"], "--ladder"), (["--precision", "fp16", "--format", "csv"], "rich or json")],
)  # fmt: skip
def test_what_does_not_go_with_it(
    args: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(forward=0.0, loss=1.0), encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        app(["coord-check", str(path), *args], prog_name="muaudit")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
