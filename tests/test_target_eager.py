"""Code that asks for a compiler or for a GPU is audited as it is written, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.driving import write

from muaudit.audit import audit
from muaudit.targets import resolve
from muaudit.targets.devices import on_the_cpu
from muaudit.targets.eager import eagerly

SCRIPTED = """
import torch
from torch import nn

MyModule, MyFunction = torch.jit.ScriptModule, torch.jit.script_method


@torch.jit.script
def act(x):
    return torch.relu(x)


class Net(MyModule):
    def __init__(self, dim=64):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, dim), nn.Linear(dim, dim), nn.Linear(dim, 4)

    @MyFunction
    def forward(self, x):
        return self.last(act(self.second(act(self.first(x)))))
"""
ON_A_GPU = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, dim), nn.Linear(dim, dim).cuda(), nn.Linear(dim, 4)
        self.shift = torch.ones(dim, device="cuda")

    def forward(self, x):
        places = torch.arange(0, len(x), out=torch.cuda.LongTensor(len(x)))
        zero = torch.zeros(x.shape[0], 1, device=torch.device("cuda", 0)).to("cuda") + 0 * places[:, None]
        return self.last(self.second(self.first(x).relu()) + zero + self.shift)
"""


@pytest.mark.parametrize("text", [SCRIPTED, ON_A_GPU])
def test_what_asks_for_a_compiler_or_a_gpu_is_audited_without(tmp_path: Path, text: str) -> None:
    """One learning rate for everything: hidden and readout weights are too fast (TP5 Table 3), whoever runs them."""
    if "cuda" in text and torch.accelerator.is_available():
        pytest.skip("there is a GPU, which it may have")
    with eagerly():
        report = audit(resolve(write(tmp_path, text)))
    assert report.verdict == "standard"
    found = {(each.rule, name) for each in report.violations for name in each.tensors}
    assert {("MUP301", "second.weight"), ("MUP202", "last.weight")} <= found


def test_everything_is_as_it_was_afterwards() -> None:
    before = torch.jit.script, torch.jit.ScriptModule, torch.compile, torch.cuda.LongTensor
    with eagerly():
        on_the_cpu("Torch not compiled with CUDA enabled")
        assert torch.zeros(2, device="cuda").device.type in ("cpu", "cuda")
    assert before == (torch.jit.script, torch.jit.ScriptModule, torch.compile, torch.cuda.LongTensor)
    assert torch._C._len_torch_function_stack() == 0
