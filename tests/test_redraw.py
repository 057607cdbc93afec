"""A construction that is run again under another seed: what building the model anew gives, or the model anew."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from muaudit.audit import check
from muaudit.targets.usercode import seed_everything
from muaudit.trace.redraw import Redraws, _Taping

Make = Callable[[], nn.Module]


def module(**parameters: torch.Tensor) -> nn.Module:
    """A module with these parameters."""
    made = nn.Module()
    for name, value in parameters.items():
        made.register_parameter(name, nn.Parameter(value))
    return made


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Conv1d(8, 3, 2), nn.Embedding(5, 4), nn.LSTM(4, 3))


def initialized() -> nn.Module:
    model = layers()
    nn.init.orthogonal_(model[0].weight)
    nn.init.xavier_normal_(model[2].weight)
    with torch.no_grad():
        model[3].weight[0].zero_()
        model[3].weight.mul_(0.5)
    return model


def in_parts() -> nn.Module:
    """Parameters that are chunks of one draw, and one that is filled through `.data`."""
    whole = torch.randn(6, 4)
    first, second = whole.chunk(2)
    model = module(first=first.clone(), second=second, third=torch.empty(3))
    model.third.data.normal_(0, 0.1)
    model.second.data = torch.randn(4, 3).t()
    return model


def of_numbers() -> nn.Module:
    return module(
        gain=torch.tensor([1.0, 2.0]) * 3, shift=torch.from_numpy(np.ones(3, np.float32)), weight=torch.randn(2)
    )


def tied() -> nn.Module:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    model[1].weight = model[0].weight
    return model


def of_numpy() -> nn.Module:
    return module(weight=torch.from_numpy(np.random.randn(3).astype(np.float32)))


def of_random() -> nn.Module:
    return module(weight=torch.randn(3) * random.random())


def of_a_seed() -> nn.Module:
    torch.manual_seed(3)
    return module(weight=torch.randn(3))


def of_a_generator() -> nn.Module:
    return module(weight=torch.randn(3, generator=torch.Generator().manual_seed(1)))


def of_a_value() -> nn.Module:
    drawn = torch.randn(3)
    return module(weight=drawn / float(drawn.abs().max()))


def of_a_choice() -> nn.Module:
    drawn = torch.randn(4)
    return module(weight=drawn if bool(drawn.sum() > 0) else -drawn)


def truncated() -> nn.Module:
    """Some versions of torch look at the values."""
    model = layers()
    nn.init.trunc_normal_(model[2].weight, std=0.02)
    return model


def in_halves() -> nn.Module:
    return module(weight=torch.randn(4).view(torch.int32).view(torch.float32))


def with_a_forward() -> nn.Module:
    """What a constructor runs besides, here a forward with dropout, makes no parameter; what it draws counts."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    model(torch.randn(3, 4))
    model.append(nn.Linear(2, 2))
    return model


RUN_AGAIN = (layers, initialized, in_parts, of_numbers, tied, with_a_forward)
BUILT = (of_numpy, of_random, of_a_value, of_a_seed, of_a_generator, of_a_choice, in_halves)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("make", [*RUN_AGAIN, *BUILT, truncated])
def test_a_draw_is_what_a_construction_gives(make: Make, known: bool) -> None:
    builds: list[int] = []

    def build(probe: int, seed: int) -> nn.Module:
        builds.append(seed)
        seed_everything(seed)
        return make()

    draws = Redraws(build, 100, {0: (build(0, 7), 7)} if known else {})
    builds.clear()
    for number in range(6):
        drawn = {name: each.clone() for name, each in draws(0, number).items()}
        seed_everything(100 + number)
        expected = dict(make().named_parameters())
        assert drawn.keys() == expected.keys()
        assert all(torch.equal(each, expected[name]) for name, each in drawn.items()), number
    if make is not truncated:
        assert len(builds) == (1 if known else 2) if make in RUN_AGAIN else len(builds) >= 5


def test_what_makes_no_parameter_is_not_run_again() -> None:
    taping = _Taping()
    with taping:
        model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
        model(torch.randn(3, 4))
    tape = taping.tape(model)
    assert tape is not None
    names = {step.function.overloadpacket.__name__ for step in tape.steps}
    assert "addmm" not in names
    assert {"uniform_", "randn"} <= names


def test_an_audit_builds_a_model_a_few_times_only() -> None:
    """Small tensors need many draws: 68 of ten entries."""
    builds = []

    def build(width: int) -> nn.Module:
        builds.append(width)
        return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))

    assert check(build, batch=lambda width: torch.randn(4, 16)).verdict == "standard"
    assert len(builds) < 16


@pytest.mark.parametrize("make", RUN_AGAIN)
def test_some_parameters_are_drawn_alone(make: Make) -> None:
    """Other numbers than in the whole model, of the same size; what is not drawn stays the same."""

    def build(probe: int, seed: int) -> nn.Module:
        seed_everything(seed)
        return make()

    draws = Redraws(build, 100, {0: (build(0, 7), 7)})
    first = draws(0, 0)
    for name in first:
        alone = [draws(0, number, {name}) for number in range(1, 30)]
        whole = [draws(0, number)[name] for number in range(1, 30)]
        assert all(each.keys() == {name} for each in alone)
        sizes = [torch.stack(each).square().mean().sqrt() for each in ([each[name] for each in alone], whole)]
        torch.testing.assert_close(*sizes, rtol=0.3, atol=0)
        assert (alone[0][name] == alone[1][name]).all() == (whole[0] == whole[1]).all()
