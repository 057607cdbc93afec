"""A recording holds no tensor that the forward itself lets go, and no backward's values where none follows."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from muaudit.targets.memory import _c_library, forward_only, give_back
from muaudit.trace.recorder import record, watched


class Held(nn.Module):
    """Makes one tensor after the other, and notes which of them are there at the end of its forward."""

    def __init__(self, steps: int = 6) -> None:
        super().__init__()
        self.steps = steps
        self.scale = nn.Parameter(torch.ones(()))
        self.living: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = []
        for _ in range(self.steps):
            x = x + 1.0  # an addition saves nothing for its backward
            made.append(weakref.ref(x))
        self.living = [each() is not None for each in made]
        return x * self.scale


class OfItsGradient(nn.Module):
    """Takes a gradient inside its forward, by autograd or by torch.func."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.functional = functional
        self.weight = nn.Parameter(torch.randn(4, 4))

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.weight).square().sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(4)
        if self.functional:
            return torch.func.grad(self.energy)(x) + noise
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.energy(x), x, create_graph=True)[0] + noise


def test_a_recording_keeps_no_value_alive_that_the_model_drops() -> None:
    model = Held()
    record(model, (torch.zeros(3),), {}, torch.sum)
    assert model.living == [False] * 5 + [True]


def test_who_looks_at_values_has_them_all() -> None:
    model = Held()
    _, _, values = watched(model, (torch.zeros(3),), {}, torch.sum)
    assert model.living == [True] * 6
    assert sorted(float(each.sum()) for node, each in values.items() if "add" in node.name) == [
        3 * n for n in range(1, 7)
    ]


def test_a_tensor_made_of_one_that_is_gone_is_still_known_by_its_memory() -> None:
    class Behind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = (x * self.weight).data  # the product itself is gone, and `.data` is no operation
            made.add_(1.0)
            return made.data * self.weight

    recorded = record(Behind(), (torch.ones(3),), {}, torch.sum)
    product, again = (node for node in recorded.graph.nodes if node.name.startswith("mul"))
    assert product.op == again.op == "call_function"
    (read,) = [node for node in again.all_input_nodes if "param" not in node.meta]
    assert "add_" in read.name or any("add_" in each.name for each in read.all_input_nodes)
    assert not [node for node in recorded.graph.nodes if node.name.startswith("constant")]


@pytest.mark.parametrize("functional", [False, True])
def test_a_forward_of_which_nothing_is_kept_may_take_gradients_inside(functional: bool) -> None:
    model, x = OfItsGradient(functional), torch.ones(4)
    torch.manual_seed(3)
    wanted = model(x)
    torch.manual_seed(3)
    torch.testing.assert_close(forward_only(lambda: model(x)), wanted)


def test_of_a_forward_that_no_backward_follows_nothing_is_kept() -> None:
    layer = nn.Linear(4, 4)
    out = forward_only(lambda: layer(torch.ones(2, 4)).exp())  # whose derivative is what it returns
    assert out.requires_grad
    with pytest.raises(Exception, match="not kept"):
        out.sum().backward()


def test_what_a_model_raises_is_not_run_a_second_time() -> None:
    calls = []

    def run() -> None:
        calls.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        forward_only(run)
    assert len(calls) == 1


@pytest.mark.skipif(_c_library() is None, reason="another C library gives back what it likes")
def test_free_memory_goes_back_to_the_system_where_it_is_much() -> None:
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    give_back()
    before = resident()
    pieces = [torch.ones(2**14) for _ in range(300 * 16)]  # of 1/16 MB
    held = pieces[::50]  # so that what is free lies between what is not
    del pieces
    assert resident() - before > 200
    give_back()
    assert resident() - before < 100
    assert held
