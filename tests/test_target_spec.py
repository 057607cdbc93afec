"""Specs by functions: what is taken from them, and what is said when they are malformed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from models.driving import drive, write
from torch import nn

from muaudit.errors import UserError
from muaudit.targets import TargetOptions, from_functions, parse_inputs, parse_set, parse_widths, resolve

SPEC = """
import torch
from torch import nn
import torch.nn.functional as F

widths = (32, 64, 128)

def build(width):
    print("building")
    return nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, 10))

def batch(width):
    return torch.randn(8, 20), torch.randint(0, 10, (8,))

def loss(output, batch):
    return F.cross_entropy(output, batch[1])

def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)
"""


def test_all_functions_of_a_spec_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = resolve(write(tmp_path, SPEC))
    assert target.describe == "spec.py:build(width), width 32 → 64 → 128, input float32[8, 20]"
    assert (target.optimizer_name, target.optimizer_source) == ("sgd", "your own optimizer()")
    assert target.axes[0].probes == (32, 64, 128)
    assert target.class_line == 8
    drive(target)
    assert capsys.readouterr().out == ""


def test_what_the_forward_does_not_take_goes_to_the_loss() -> None:
    """`(inputs, targets)` as a DataLoader gives them: cross entropy for classes, the squared error for numbers."""
    x, classes, numbers = torch.randn(64, 20), torch.randint(0, 3, (64,)), torch.randn(64, 3)

    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, 3))

    for targets, expected in ((classes, nn.functional.cross_entropy), (numbers, nn.functional.mse_loss)):
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, targets), batch_size=16, shuffle=True)
        target = from_functions(build, batches=loader)
        assert target.data is not None
        stream, again = target.data(target.sizes(0), 0), target.data(target.sizes(0), 0)
        inputs, same = next(stream), next(again)
        assert torch.equal(inputs.args[0], same.args[0])
        assert not torch.equal(inputs.args[0], next(target.data(target.sizes(0), 1)).args[0])
        output = target.build(target.sizes(0), 0)(*inputs.args)
        assert len(inputs.args) == 1
        assert target.loss(output, inputs) == expected(output, inputs.raw[1])
    with pytest.raises(UserError, match="fits no standard loss"):
        from_functions(build, batch=lambda width: (x, torch.randn(64, 2)))


def test_same_seed_same_weights_and_the_same_data_at_every_width(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, SPEC))
    first, again, other = (target.build({"width": 32}, seed)[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(target.inputs({"width": 32}).args[0], target.inputs({"width": 64}).args[0])


def test_several_width_arguments_are_several_axes() -> None:
    def build(d_model: int, d_ff: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, d_model), nn.Linear(d_model, d_ff), nn.Linear(d_ff, 3))

    target = from_functions(build, widths={"d_model": (32, 64), "d_ff": (96, 288)})
    assert [(axis.name, axis.probes) for axis in target.axes] == [("d_model", (32, 64)), ("d_ff", (96, 288))]
    drive(target)


def test_functions_in_python_need_no_file_and_the_optimizer_may_be_a_name() -> None:
    target = from_functions(lambda width: nn.Linear(width, 3), optimizer="SGD", widths=(16, 32), name="tiny")
    assert target.describe == "tiny:<lambda>(width), width 16 → 32, input float32[4, width]"
    assert target.optimizer_name == "sgd"
    assert "the input is as wide as the model" in " ".join(target.notes)


def test_flags_beat_the_file(tmp_path: Path) -> None:
    options = TargetOptions(
        widths=parse_widths(["16,48"]), inputs=parse_inputs(["float32[3,20]"]), optimizer="AdamW", loss=_mean
    )
    target = resolve(write(tmp_path, SPEC), options)
    assert target.describe == "spec.py:build(width), width 16 → 48, input float32[3, 20]"
    assert target.optimizer_source == "default adamw, one learning rate for everything"


def test_a_function_may_have_any_name_and_take_settings(tmp_path: Path) -> None:
    text = SPEC.replace("def build(width)", "def make(width, depth=1)")
    target = resolve(write(tmp_path, text) + ":make", TargetOptions(set=parse_set(["depth=3"])))
    assert target.label == "spec.py:make(width)"


def test_lr_groups_scale_with_the_width() -> None:
    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, 3))

    target = from_functions(build, options=TargetOptions(lr_groups=(("1.weight", -1.0),)))
    groups = target.optimizer(target.build({"width": 256}, 0), {"width": 256}).param_groups
    rates = {tuple(group["params"][0].shape): group["lr"] for group in groups}
    assert rates[(256, 256)] == pytest.approx(1e-3 / 4)
    assert rates[(256, 4)] == pytest.approx(1e-3)


BROKEN = {
    "build = 3": "spec.py: build is of type int, expected a function",
    "def build(): return 1": "spec.py: build() takes no width, expected build(width)",
    "widths = (64,)\ndef build(width): return 1": (
        "spec.py: widths expects at least two different positive whole numbers, found 64"
    ),
    "widths = (64, 'x')\ndef build(width): return 1": (
        "spec.py: widths expects at least two different positive whole numbers, found 64, x"
    ),
    "widths = 64\ndef build(width): return 1": "spec.py: widths is 64, expected at least two whole numbers",
    "widths = {'n': (1, 2)}\ndef build(width): return 1": ("spec.py: widths names 'n', which is no argument of build"),
    "loss = 1\ndef build(width): return 1": "spec.py: loss is of type int, expected a function",
    "def build(width): return {}": "build(width) returned an object of type dict, expected a torch.nn.Module",
    "import torch\ndef build(width): return torch.nn.ReLU()": "spec.py:build(width) has no parameters",
}


@pytest.mark.parametrize("text", BROKEN)
def test_malformed_specs_say_what_was_expected(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(write(tmp_path, text))
    assert caught.value.message == BROKEN[text]
    assert caught.value.hint


def test_a_build_that_raises_shows_the_users_own_line(tmp_path: Path) -> None:
    path = write(tmp_path, "def build(width):\n    raise ValueError('odd width')\n")
    with pytest.raises(UserError) as caught:
        resolve(path)
    assert caught.value.message == (
        "building spec.py:build(width) at width=64 raised ValueError: odd width\n"
        f"  {path}:2: raise ValueError('odd width')"
    )


def test_a_batch_that_does_not_fit(tmp_path: Path) -> None:
    text = SPEC.replace("torch.randn(8, 20)", "torch.randn(8, 21)")
    with pytest.raises(UserError) as caught:
        resolve(write(tmp_path, text))
    assert caught.value.message.startswith(
        "the batch (float32[8, 21]) does not fit spec.py:build(width): forward raised RuntimeError: mat1 and mat2"
    )


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("output", "loss(output, batch) returned a tensor of shape (8, 10), expected a scalar tensor"),
        ("output.sum().item()", "loss(output, batch) returned a float, expected a scalar tensor"),
        ("output.sum().detach()", "loss(output, batch) returned a tensor without a gradient"),
    ],
)
def test_a_loss_that_is_none(tmp_path: Path, returned: str, message: str) -> None:
    text = SPEC.replace("return F.cross_entropy(output, batch[1])", f"return {returned}")
    with pytest.raises(UserError) as caught:
        resolve(write(tmp_path, text))
    assert caught.value.message == message


def test_unknown_names_in_flags(tmp_path: Path) -> None:
    path = write(tmp_path, SPEC)
    with pytest.raises(UserError, match="build has no argument 'widht'") as caught:
        resolve(path, TargetOptions(widths=parse_widths(["widht=64,128"])))
    assert "did you mean width?" in caught.value.hint
    with pytest.raises(UserError, match="unknown optimizer 'adamv'") as caught:
        resolve(path, TargetOptions(optimizer="adamv"))
    assert "did you mean adamw?" in caught.value.hint or "did you mean adam?" in caught.value.hint
    with pytest.raises(UserError, match="matches no parameter"):
        resolve(path, TargetOptions(lr_groups=(("h.*", -1.0),)))


def _mean(output: torch.Tensor, batch: object) -> torch.Tensor:
    return output.square().mean()


def stacked(depth: int = 3, width: int = 64) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width), *(nn.Linear(width, width) for _ in range(depth)), nn.Linear(width, 4))


@pytest.mark.parametrize(
    ("build", "expected"),
    [(stacked, "width"), (lambda vocab_size=100, d_model=64: stacked(3, d_model), "d_model"),
     (lambda N=64, count=3: stacked(count, N), "N"), (lambda size=64, features=3: stacked(3, size), "size")],
)  # fmt: skip
def test_a_first_argument_that_is_called_like_another_size_is_no_width(build: Any, expected: str) -> None:
    """`build(width)` has any name; a class that is given as one may begin with its depth or its vocabulary."""
    target = from_functions(build, batch=lambda width: torch.ones(2, 8))
    assert [axis.name for axis in target.axes] == [expected]
