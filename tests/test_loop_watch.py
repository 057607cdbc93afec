"""`muaudit.watch` in a loop: the figures are coord-check's, and nothing is left behind."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from test_convert import target_of
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.errors import UserError
from muaudit.targets.usercode import seed_everything
from muaudit.training.loop import Work, look, train
from muaudit.training.run_settings import RunSettings


@pytest.mark.parametrize("family", ["mlp", "gpt", "llama"])
def test_the_figures_are_those_of_a_coordinate_check(family: str) -> None:
    target = target_of(family, "adamw")
    sizes = target.sizes(0)
    work = Work(target, sizes, RunSettings(steps=3))
    look(work, 0)
    expected = train(work, 0)

    model, optimizer = work.built(0)
    watched = muaudit.watch(model, optimizer, every=1)
    inputs = work.inputs()
    for _ in range(3):
        seed_everything(0)
        loss = target.loss(model(*inputs.args, **inputs.kwargs), inputs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    assert list(watched.series) == [0, 1, 2]
    for step, found in watched.series.items():
        values = {f"activation/{name}": value for (name, column, at), value in expected.values.items()
                  if column == 0 and at == step}  # fmt: skip
        values |= {f"{'update' if column else 'gradient'}/{name}": value
                   for (name, column, at), value in expected.parameters.items() if at == step}  # fmt: skip
        measured = {name: value for name, value in found.items() if value == value}
        assert measured.keys() ^ values.keys() == set()
        assert measured == pytest.approx(values, rel=1e-6)


class Net(nn.Module):
    def __init__(self, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(16, width), nn.Linear(width, 8)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x.relu())
        return self.head(x)


X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))


def loop(model: nn.Module, optimizer: Any, steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), X[:, :8].argmax(-1)).backward()
        optimizer.step()
    return time.perf_counter() - start


def test_every_so_many_steps_and_nothing_is_left_behind() -> None:
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    told: list[int] = []
    watched = muaudit.watch(model, optimizer, every=4, tell=lambda step, found: told.append(step))
    with torch.no_grad():
        model(X)  # is not looked at: nothing is trained
    model.eval()
    model(X)
    model.train()
    loop(model, optimizer, 10)
    assert told == list(watched.series) == [0, 4, 8]
    assert {"activation/layers.1", "gradient/stem.bias", "update/head.weight"} <= watched.series[4].keys()
    assert len(watched.rows()) == 3 * len(watched.series[0])
    assert "\n" not in repr(watched)
    assert "<table>" in watched._repr_html_()
    watched.remove()
    for module in model.modules():
        assert len(module._forward_hooks) == len(module._forward_pre_hooks) == 0
        assert "forward" not in vars(module)
    assert len(optimizer._optimizer_step_pre_hooks) == len(optimizer._optimizer_step_post_hooks) == 0
    torch.manual_seed(0)
    plain = Net()
    loop(plain, torch.optim.AdamW(plain.parameters(), lr=1e-3), 10)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), model.parameters(), strict=True))


def test_gradients_that_are_accumulated_and_a_forward_that_raises() -> None:
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    watched = muaudit.watch(model, optimizer, every=1)
    with pytest.raises(RuntimeError):
        model(X[:, :3])
    assert not any("forward" in vars(module) for module in model.modules())
    loop(model, optimizer, 1)
    for _ in range(3):
        F.cross_entropy(model(X), X[:, :8].argmax(-1)).backward()
    optimizer.step()
    assert list(watched.series) == [0, 1]


def test_what_cannot_be_watched() -> None:
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with pytest.raises(UserError, match="compiled"):
        muaudit.watch(torch.compile(model), optimizer)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="positive"):
        muaudit.watch(model, optimizer, every=0)
