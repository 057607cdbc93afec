"""Models trained as one end where they end when they are trained one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import load
from torch import nn

from muaudit.training.ensemble import CannotStack, Ensemble

FIXTURES = Path(__file__).parents[1] / "fixtures"
WIDTH, STEPS = 32, 5


class Net(nn.Module):
    """Batch norm and a tied layer: buffers that change, one tensor with two names."""

    def __init__(self, seed: int, factor: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.norm = nn.Linear(8, WIDTH, bias=False), nn.BatchNorm1d(WIDTH)
        self.first, self.again = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.again.weight = self.first.weight
        self.scale, self.factor = nn.Parameter(torch.tensor(1.0)), factor
        self.head = nn.Linear(WIDTH, 4)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embed(x)).relu()
        return self.head(self.again(self.first(x).relu()) * self.scale) * self.factor


X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).double()
Y = X[:, :4].argmax(-1)
Make = Callable[[nn.Module, float], torch.optim.Optimizer]


def loss(model: nn.Module) -> torch.Tensor:
    return nn.functional.cross_entropy(model(X), Y)


def apart(seeds: list[int], rates: list[float], make: Make, steps: int = STEPS) -> list[tuple[list[float], nn.Module]]:
    done = []
    for seed, rate in zip(seeds, rates, strict=True):
        model, losses = Net(seed), []
        optimizer = make(model, rate)
        for _ in range(steps):
            value = loss(model)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()
            losses.append(value.item())
        done.append((losses, model))
    return done


def together(seeds: list[int], rates: list[float], make: Make) -> Ensemble:
    models = [Net(seed) for seed in seeds]
    return Ensemble(models, [make(model, rate) for model, rate in zip(models, rates, strict=True)])


def train(ensemble: Ensemble, steps: int = STEPS) -> torch.Tensor:
    """The losses (steps, K)."""
    rows = []
    for _ in range(steps):
        losses = ensemble.run(loss)
        ensemble.backward(losses)
        ensemble.step()
        rows.append(losses.detach())
    return torch.stack(rows)


def same(ensemble: Ensemble, losses: torch.Tensor, expected: list[tuple[list[float], nn.Module]]) -> None:
    for number, (alone, model) in enumerate(expected):
        assert losses[:, number].tolist() == pytest.approx(alone, rel=1e-6)
        ours = dict(ensemble.models[number].state_dict())
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(ours[name], tensor, rtol=1e-6, atol=1e-9)


class Normalised(torch.optim.Optimizer):
    """A step of fixed norm a tensor: not entry by entry, so no one optimizer can step for all."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p -= group["lr"] * p.grad / p.grad.norm()


OPTIMIZERS: dict[str, tuple[Make, bool]] = {
    "adam": (lambda m, lr: torch.optim.Adam(m.parameters(), lr=lr, eps=1e-6), True),
    "adamw": (lambda m, lr: torch.optim.AdamW(m.parameters(), lr=lr, eps=1e-6, weight_decay=0.3), True),
    "momentum": (lambda m, lr: torch.optim.SGD(m.parameters(), lr=lr, momentum=0.9, weight_decay=0.01), True),
    "rmsprop": (lambda m, lr: torch.optim.RMSprop(m.parameters(), lr=lr, eps=1e-6, momentum=0.5), True),
    "adagrad": (lambda m, lr: torch.optim.Adagrad(m.parameters(), lr=lr, lr_decay=0.1), True),
    "groups": (
        lambda m, lr: torch.optim.Adam(
            [{"params": [*m.head.parameters()], "lr": lr / 3}, {"params": [m.first.weight, m.first.bias]}], lr=lr
        ),
        True,
    ),
    "own class": (lambda m, lr: Normalised(m.parameters(), lr), False),
    "own weight decay": (lambda m, lr: torch.optim.AdamW(m.parameters(), lr=lr, weight_decay=lr * 10), False),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_members_end_where_they_end_alone(name: str) -> None:
    make, joint = OPTIMIZERS[name]
    seeds, rates = [0, 1, 2, 0], [1e-2, 1e-2, 1e-3, 3e-3]
    ensemble = together(seeds, rates, make)
    losses = train(ensemble)
    assert ensemble.joint == joint
    same(ensemble, losses, apart(seeds, rates, make))


def test_dropping_members_leaves_the_others_alone() -> None:
    make, seeds, rates = OPTIMIZERS["adam"][0], [0, 1, 2], [1e-2, 3e-3, 1e-3]
    ensemble = together(seeds, rates, make)
    dropped = ensemble.models[0]
    first = train(ensemble, 2)
    ensemble.keep([2, 1])
    losses = torch.cat([first[:, [2, 1]], train(ensemble, 3)])
    same(ensemble, losses, apart([2, 1], [1e-3, 3e-3], make))
    torch.testing.assert_close(dropped.head.weight, apart([0], [1e-2], make, 2)[0][1].head.weight, rtol=1e-6, atol=1e-9)


def test_a_member_that_diverges_harms_no_other() -> None:
    make = OPTIMIZERS["momentum"][0]
    ensemble = together([0, 1], [1e30, 1e-2], make)
    losses = train(ensemble)
    assert not losses[-1, 0].isfinite()
    assert losses[:, 1].tolist() == pytest.approx(apart([1], [1e-2], make)[0][0], rel=1e-6)


def test_a_schedule_changes_the_members_groups() -> None:
    def scheduled(optimizer: torch.optim.Optimizer, step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (step + 1)

    make = OPTIMIZERS["adam"][0]
    ensemble = together([0, 1], [1e-2, 1e-3], make)
    model = Net(0)
    optimizer = make(model, 1e-2)
    for step in range(3):
        scheduled(ensemble.optimizers[0], step)
        scheduled(optimizer, step)
        ensemble.backward(ensemble.run(loss))
        ensemble.step()
        optimizer.zero_grad()
        torch.autograd.backward(loss(model))
        optimizer.step()
    torch.testing.assert_close(ensemble.models[0].embed.weight, model.embed.weight, rtol=1e-6, atol=1e-9)


def test_a_setting_that_starts_to_differ_is_followed() -> None:
    make = OPTIMIZERS["adamw"][0]
    ensemble = together([0, 1], [1e-2, 1e-2], make)
    train(ensemble, 2)
    ensemble.optimizers[1].param_groups[0]["weight_decay"] = 0.0
    train(ensemble, 2)
    assert not ensemble.joint
    expected = apart([0], [1e-2], make, 4)[0][1]
    torch.testing.assert_close(ensemble.models[0].embed.weight, expected.embed.weight, rtol=1e-6, atol=1e-9)


def test_data_of_their_own() -> None:
    ensemble = together([0, 1], [1e-2, 1e-2], OPTIMIZERS["adam"][0])
    data = torch.stack([X, -X])
    found = ensemble.run(lambda model, x: nn.functional.cross_entropy(model(x), Y), data, in_dims=(0,))
    expected = [nn.functional.cross_entropy(model(x), Y).item() for model, x in zip(ensemble.models, data, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_what_cannot_be_stacked() -> None:
    with pytest.raises(CannotStack, match="differ in name, shape or type"):
        Ensemble([Net(0), nn.Linear(2, 2)], [torch.optim.SGD(Net(0).parameters(), lr=1.0)] * 2)
    stepped = [Net(0), Net(1)]
    optimizers = [torch.optim.Adam(model.parameters()) for model in stepped]
    torch.autograd.backward(loss(stepped[0]))
    optimizers[0].step()
    with pytest.raises(CannotStack, match="stepped before"):
        Ensemble(stepped, optimizers)


def test_a_number_that_differs_between_members_shows() -> None:
    def ensemble(*factors: float) -> Ensemble:
        models = [Net(0, factor) for factor in factors]
        return Ensemble(models, [torch.optim.SGD(model.parameters(), lr=0.1) for model in models])

    assert ensemble(1.0, 1.0).agrees(loss)
    assert not ensemble(1.0, 2.0).agrees(loss)


@pytest.mark.parametrize("name", ["gpt/table8", "resnet/table8", "llama/table3"])
def test_fixtures(name: str) -> None:
    fixture = load(FIXTURES / f"{name}.py")
    data, width = fixture.batch(fixture.BASE), fixture.BASE
    inputs = data if isinstance(data, tuple) else (data,)

    def built(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        model = fixture.build(width)
        return model, fixture.optimizer(model)

    def value(model: nn.Module) -> torch.Tensor:
        found: torch.Tensor = fixture.loss(model(*inputs), data)
        return found

    ensemble = Ensemble(*zip(*(built(seed) for seed in (0, 1)), strict=True))
    for step in range(3):
        losses = ensemble.run(value)
        ensemble.backward(losses)
        ensemble.step()
        if step == 0:
            first = losses.detach()
    for seed in (0, 1):
        model, optimizer = built(seed)
        for step in range(3):
            alone = value(model)
            if step == 0:
                assert first[seed].item() == pytest.approx(alone.item(), rel=1e-5)
            optimizer.zero_grad()
            torch.autograd.backward(alone)
            optimizer.step()
        assert losses[seed].item() == pytest.approx(alone.item(), rel=1e-3)
