"""Constant matrices by what they do to sizes, and constants told on the line where they stand."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from advice import but_for_appendix_d
from models import constants as zoo
from test_architectures import ROWS, SEQUENCE, audit, errors, expected
from torch import nn

import muaudit
from muaudit.findings.power import power
from muaudit.trace.recorder import record

# by hand: the largest singular value of a random n × n matrix of std s is 2s·sqrt(n), of a permutation 1, of ones n
FIXED: dict[str, tuple[Callable[[int], torch.Tensor], bool]] = {
    "random, 1/sqrt(n)": (lambda n: torch.randn(n, n) * n**-0.5, True),
    "random, 1": (lambda n: torch.randn(n, n), False),
    "permutation": (lambda n: torch.eye(n).flip(0), True),
    "mean": (lambda n: torch.ones(n, n) / n, True),
    "sum": (lambda n: torch.ones(n, n), False),
}


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("name", FIXED)
def test_a_constant_matrix(name: str, left: bool) -> None:
    """PyTorch's default init and one learning rate: what reads the matrix has them too large by what it enlarges."""
    make, right = FIXED[name]
    found = errors(audit(lambda n: zoo.Fixed(n, make, left), ROWS))
    usual = expected("hidden.weight", "head.weight")
    assert (found == usual) == right
    assert right or {tensor for _, tensor in found - usual} == {"hidden.weight"}


def test_a_constant_is_told_on_its_own_line() -> None:
    source, start = inspect.getsourcelines(zoo.Grown.forward)
    line = start + next(i for i, text in enumerate(source) if "self.factor" in text)
    report = audit(zoo.Grown, ROWS)
    assert [v.line for v in report.violations if v.rule == "MUP207"] == [line]


def hidden_over_width(model: nn.Module) -> torch.optim.Optimizer:
    """Adam by TP5 Table 8: hidden weights 1/n, all else constant."""
    hidden = ("squeeze.weight", "excite.weight", "mix.weight")
    return torch.optim.Adam(
        [
            {"params": [p], "lr": 0.64 / model.head.in_features if name in hidden else 0.01}  # type: ignore[union-attr]
            for name, p in model.named_parameters()
        ],
        eps=1e-20,
    )


def test_a_constant_that_no_parameter_stands_before_is_one_finding() -> None:
    """Without it all is right, so it is wrong: not the layer, the norm and the readout that follow."""
    assert not errors(audit(lambda n: zoo.Gated(n, 1.0), SEQUENCE, optimizer=hidden_over_width))
    source, start = inspect.getsourcelines(zoo.Gated.forward)
    line = start + next(i for i, text in enumerate(source) if "self.factor" in text)
    report = audit(lambda n: zoo.Gated(n, n**0.5), SEQUENCE, optimizer=hidden_over_width)
    assert [(v.rule, v.tensors, v.line) for v in report.violations if v.severity == "error"] == [("MUP207", (), line)]
    rows = [(row.lr_exponent, row.lr_required) for row in report.tensors if row.lr_required is not None]
    assert all(found == needed for found, needed in rows)  # the table says of tensors what the finding says
    assert "once those that findings name are mended" in str(report.derivations["norm.weight"])


def test_a_table_read_in_two_places_is_judged_in_each() -> None:
    """sqrt(n) on one stream blames what goes into that one, not the layers of the other."""
    usual = errors(audit(lambda n: zoo.TwoStreams(n, 1.0), ROWS))
    assert usual == expected("first.weight second.weight", "head.weight")
    wrong = errors(audit(lambda n: zoo.TwoStreams(n, n**0.5), ROWS)) - usual
    assert {tensor for _, tensor in wrong} == {"left.weight", "left.bias", "positions"}


def test_both_parts_of_a_complex_parameter_are_measured() -> None:
    right = errors(audit(lambda n: zoo.Complex(n, n**-0.5, n**-0.5), ROWS))
    assert right == expected("weight", "head.weight")
    assert ("MUP101", "weight") in errors(audit(lambda n: zoo.Complex(n, n**-1.0, 1.0), ROWS))


def test_glorot_between_a_fixed_and_a_growing_dim_shrinks_like_an_inverse_root() -> None:
    """sqrt(2 / (40 + n)) is n^-1/2 in the limit; between 64 and 128 it looks like n^-0.35."""

    def build(width: int) -> nn.Module:
        layers = nn.Linear(40, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 40)
        for layer in layers[::2]:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        return nn.Sequential(*layers)

    report = audit(build, torch.randn(4, 40))
    assert [t.init_exponent for t in report.tensors if t.name.endswith("weight")] == [-0.5] * 3
    assert ("MUP102", "0.weight") in {(v.rule, v.tensors[0]) for v in report.violations}


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.0])
@pytest.mark.parametrize("how", ["pairs", "distances", "root"])
def test_squares_summed_over_a_growing_dim_need_its_inverse(power: float, how: str) -> None:
    """Distances to prototypes, squared again where a root was taken; pairs by squares of sums: n terms of size 1."""

    class Squares(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.factor = nn.Linear(16, width), width**power

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.embed(x)
            if how == "root":
                return torch.cdist(z[2:], z[:2]).square() * self.factor
            if how == "pairs":
                return (z.view(2, 2, -1).sum(1).square() - z.view(2, 2, -1).square().sum(1)).sum(-1) * self.factor
            return (z[2:, None] - z[:2]).square().sum(-1) * self.factor

    found = errors(audit(Squares, ROWS))
    assert found == (set() if power == -1 else {("MUP206", "")})


class Beside(nn.Module):
    """What is made of an embedding without a parameter, beside a readout that is left as PyTorch has it."""

    def __init__(self, width: int, made: Callable[[torch.Tensor, int], torch.Tensor]) -> None:
        super().__init__()
        self.width, self.made = width, made
        self.embed, self.head = nn.Linear(16, width), nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = self.embed(x)
        return self.head(z), self.made(z, self.width)


def beside_the_readout(made: Callable[[torch.Tensor, int], torch.Tensor]) -> list[tuple[Any, ...]]:
    found = [v for v in audit(lambda n: Beside(n, made), ROWS).violations if v.severity == "error"]
    assert "MUP202" in {v.rule for v in found}
    return [(v.rule, v.tensors, v.found, v.expected) for v in found if v.rule != "MUP202"]


SUMMED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], float]] = {  # and the constant that it needs
    "distance": (lambda z: (z[2:] - z[:2]).norm(dim=-1), -0.5),
    "spelled out": (lambda z: (z[2:] - z[:2]).square().sum(-1).sqrt(), -0.5),
    "cubes": (lambda z: (z[2:] - z[:2]).norm(p=3, dim=-1), -1 / 3),
    "spread": (lambda z: z.std(-1), 0.0),
    "absolute": (lambda z: (z[2:] - z[:2]).abs().sum(-1), -1.0),
    "gates": (lambda z: z.sigmoid().sum(-1), -1.0),
    "overlap": (lambda z: (z[2:].softmax(-1) * z[:2].softmax(-1)).sum(-1), 1.0),
}


@pytest.mark.parametrize("wrong", [0.0, 0.5])
@pytest.mark.parametrize("how", SUMMED)
def test_what_is_summed_over_a_growing_dim_needs_a_constant_on_its_line(how: str, wrong: float) -> None:
    """n terms of size 1, and a root of them; n products of shares 1/n. The layer before is right."""
    summed, needed = SUMMED[how]
    told = beside_the_readout(lambda z, n: summed(z) * n ** (needed + wrong))
    assert told == [("MUP206", (), power(needed + wrong), power(needed))] * bool(wrong)


LOGARITHMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "log-sum-exp": lambda z: z.exp().sum(-1).log(),
    "entropy": lambda z: -(z.softmax(-1) * z.softmax(-1).log()).sum(-1),
}


@pytest.mark.parametrize("how", LOGARITHMS)
def test_logarithms_of_sums_take_any_power_as_a_shift(how: str) -> None:
    """By hand: log Σ exp is log n and a value of size 1, as torch.logsumexp; so is the entropy of n shares."""
    assert not beside_the_readout(lambda z, n: LOGARITHMS[how](z))


def test_a_constant_that_follows_a_logarithm_is_told_once() -> None:
    """Entropy over log n: the constant is no power of width, and what it stands on is as right as it was."""
    report = muaudit.check(lambda n: Beside(n, lambda z, n: LOGARITHMS["entropy"](z) / math.log(n)),
                           batch=lambda width: ROWS, widths=(64, 128))  # fmt: skip
    assert len(report.unanalysed) == 1
    assert {v.rule for v in report.violations if v.severity == "error"} == {"MUP202"}


@pytest.mark.parametrize("exponent", [0.5, -1.0])
@pytest.mark.parametrize("how", ["branch", "alone"])
def test_a_constant_between_functions_is_told_as_it_is(how: str, exponent: float) -> None:
    def made(z: torch.Tensor, n: int) -> torch.Tensor:
        t = z.tanh()
        return (t + t.square() * n**exponent if how == "branch" else t * n**exponent).sin().mean(-1)

    assert beside_the_readout(made) == [("MUP207", (), power(exponent), "n^0")]


class Squared(nn.Module):
    """A norm whose mean of squares is an einsum of a vector with itself, and its gain; Table 3 under Adam."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.width, self.factor = width, width**power
        self.embed, self.hidden = nn.Linear(16, width, bias=False), nn.Linear(width, width, bias=False)
        self.gain, self.head = nn.Parameter(torch.ones(width)), nn.Linear(width, 4, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x)
        rms = (torch.einsum("...d,...d->...", h, h) / self.width + 1e-6).sqrt()
        return self.head(h + self.hidden(h / rms[..., None] * self.gain * self.factor).relu())


@pytest.mark.parametrize("power", [0.0, -0.5])
def test_squares_summed_by_einsum_are_those_of_a_norm(power: float) -> None:
    """By hand: h over its root mean square is of size 1, and what multiplies it after that is the gain's."""

    def optimizer(model: Squared) -> torch.optim.Optimizer:
        rest = [model.embed.weight, model.gain]
        hidden = [model.hidden.weight, model.head.weight]
        return torch.optim.Adam([{"params": hidden, "lr": 0.064 / model.width}, {"params": rest}], lr=1e-3)

    report = muaudit.check(lambda width: Squared(width, power), batch=lambda width: ROWS, optimizer=optimizer,
                           widths=(64, 128))  # fmt: skip
    assert errors(report) == ({("MUP208", "gain")} if power else set())


class Dropping(nn.Module):
    """Table 8 under Adam; what it drops grows with the width."""

    def __init__(self, width: int, by_hand: bool) -> None:
        super().__init__()
        self.width, self.p, self.by_hand = width, 0.1 * (width / 64) ** 0.5, by_hand
        self.embed, self.hidden = nn.Linear(16, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.hidden(self.embed(x).relu()).relu()
        if self.by_hand:
            h = h * torch.bernoulli(torch.full_like(h, 1 - self.p)) / (1 - self.p)
        else:
            h = nn.functional.dropout(h, self.p)
        return self.head(h) * (64 / self.width)


@pytest.mark.parametrize("by_hand", [False, True])
def test_dropout_that_varies_is_no_wrong_multiplier(by_hand: bool) -> None:
    def optimizer(model: Dropping) -> torch.optim.Optimizer:
        rest = [model.embed.weight, model.head.weight]
        return torch.optim.Adam(
            [{"params": [model.hidden.weight], "lr": 0.064 / model.width}, {"params": rest}], lr=1e-3
        )

    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    report = muaudit.check(
        lambda width: Dropping(width, by_hand), batch=lambda width: x, optimizer=optimizer, widths=(64, 128)
    )
    assert [v.rule for v in but_for_appendix_d(report)] == ([] if by_hand else ["MUP507"])
    assert bool(report.unanalysed) is by_hand  # the share is a number like any other there, and no power of width


class Assembled(nn.Module):
    """What is read is written piece by piece into memory that held something else."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.embed(x))
        out = torch.empty(x.shape[0], 6, h.shape[-1])
        for row in range(x.shape[0]):
            out[row, :4] = h[row]
            out[row, 4:] = h[row, 0]
        return self.head(torch.tanh(self.hidden(out)))  # type: ignore[no-any-return]


def test_what_was_in_memory_is_no_constant_of_the_model() -> None:
    """`torch.empty` holds anything; NaN here, as torch fills it where it is told to be deterministic."""
    torch.use_deterministic_algorithms(True)
    try:
        recorded = record(Assembled(16), (torch.randn(2, 4, 8),), {}, lambda out: out.square().mean())
        report = muaudit.check(Assembled, batch=lambda width: torch.randn(2, 4, 8), widths=(64, 128))
    finally:
        torch.use_deterministic_algorithms(False)
    made = [node for node in recorded.graph.nodes if "empty" in str(node.target)]
    assert [node.meta["rms"] for node in made] == [0.0]
    assert not report.unanalysed
    assert report.verdict == "standard"
