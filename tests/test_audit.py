"""Properties of the analysis: what it records, how it aligns, and what it refuses to guess."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report
from muaudit.program.expression import Expr
from muaudit.solve.linear import System

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
SEQUENCE = torch.randn(4, 6, 16, generator=torch.Generator().manual_seed(0))


def audit(build: Any, x: torch.Tensor = X, **options: Any) -> Report:
    return muaudit.check(build, batch=lambda width: x, widths=(64, 128), **options)


def errors(report: Report) -> set[tuple[str, str]]:
    return {(v.rule, v.pattern) for v in report.violations if v.severity == "error"}


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(-3, 3)), max_size=12))
def test_a_solved_system_satisfies_every_equation_it_accepted(rows: list[tuple[int, int, int]]) -> None:
    system = System()
    for _ in range(6):
        system.unknown()
    accepted = []
    for first, second, const in rows:
        expr = Expr(float(const), {first: 1.0}) - Expr(0.0, {second: 2.0})
        if system.equate(expr) in (None, 0.0):
            accepted.append(expr)
    for expr in accepted:
        reduced = system.reduce(expr)
        assert abs(reduced.const) < 1e-6
        assert not reduced.terms


def test_a_width_that_reaches_no_parameter_is_refused() -> None:
    with pytest.raises(muaudit.UserError, match=r"no parameter of .* changes its shape"):
        audit(lambda width: nn.Linear(16, 4))


class Recurrent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.cell, self.head = (
            nn.Linear(16, width),
            nn.LSTM(width, width, batch_first=True),
            nn.Linear(width, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(self.embed(x))[0])


def test_a_recurrent_layer_is_hidden_in_both_directions() -> None:
    """The zero initial state tells nothing about the recurrent weight."""
    found = errors(audit(Recurrent, SEQUENCE))
    assert found == {("MUP202", "head.weight"), ("MUP301", "cell.{weight_ih_l0,weight_hh_l0}")}


class Routed(nn.Module):
    """Experts chosen by data: the number of rows per expert differs between the probes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.router, self.head = nn.Linear(16, width), nn.Linear(width, 4), nn.Linear(width, 5)
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.gelu(self.embed(x))
        weights, chosen = self.router(h).softmax(-1).topk(2, -1)
        out = torch.zeros_like(h)
        for index, expert in enumerate(self.experts):
            rows, slot = torch.where(chosen == index)
            if rows.numel():
                out[rows] += expert(h[rows]) * weights[rows, slot, None]
        return self.head(h + out)


def test_data_dependent_routing_is_audited() -> None:
    found = errors(audit(Routed))
    assert ("MUP202", "router.weight") in found
    assert ("MUP202", "head.weight") in found
    assert {rule for rule, _ in found} == {"MUP202", "MUP301"}


class NotUnderstood(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.product = nn.Linear(16, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(
            torch.tanh(self.embed(x))
            @ torch.linalg.householder_product(self.product.weight, torch.ones(len(self.product.weight)))
        )


def test_what_is_not_understood_is_listed_and_its_parameters_are_not_judged() -> None:
    report = audit(NotUnderstood)
    assert any(u.name == "product.weight" and "not understood" in u.reason for u in report.unanalysed)
    assert not [v for v in report.violations if "product.weight" in v.tensors]
    assert report.exit_code(strict=True) == 1


def test_a_sum_of_products_over_width_is_a_contraction() -> None:
    class Dot(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(16, width), nn.Linear(16, width)
            for layer in (self.left, self.right):
                nn.init.zeros_(layer.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.left(x) * self.right(x)).sum(-1)

    report = audit(Dot)
    assert [(v.rule, v.found_exponent, v.expected_exponent, v.tensors) for v in report.violations] == [
        ("MUP206", 0.0, -1.0, ())
    ]


@pytest.mark.parametrize(
    "spelled",
    [
        lambda h, w, c: torch.einsum("bn,kn->bk", h, w) * c,
        lambda h, w, c: (h[:, None] * w).sum(-1) * c,
        lambda h, w, c: (h[:, None] * w * c).sum(-1),
        lambda h, w, c: -((-h[:, None] * w * c).to(torch.float64).sum(-1)).to(h),
    ],
    ids=["einsum", "sum", "constant between", "more between"],
)
def test_a_readout_is_one_however_its_product_is_summed(spelled: Any) -> None:
    """Half of the 1/n in a constant, half in an init that may be smaller than it has to be; no gain."""

    class Spelled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.w = nn.Linear(16, width), nn.Parameter(torch.randn(3, width) / width)
            self.bias = nn.Parameter(torch.zeros(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.tanh(self.embed(x)[..., None] + self.bias[:, None])[..., 0]
            return spelled(h, self.w, self.w.shape[-1] ** -0.5)

    def optimizer(model: Any) -> torch.optim.Optimizer:
        rest = [p for name, p in model.named_parameters() if name != "w"]
        return torch.optim.Adam([{"params": rest}, {"params": [model.w], "lr": 1e-3 * model.w.shape[-1] ** -0.5}])

    report = audit(Spelled, optimizer=optimizer)
    assert {t.name: t.roles for t in report.tensors if t.name in ("w", "bias")} == {"w": ("output",), "bias": ("bias",)}
    assert not {name for v in report.violations for name in v.tensors if v.severity == "error"} - {"embed.bias"}


def test_a_gain_that_a_fixed_readout_reads_is_no_readout_itself() -> None:
    """A stack of blocks ends in a norm, and random numbers of size 1/n stand in for the layer that would read it."""

    class Stack(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.mix = nn.Linear(16, width), nn.Linear(width, width)
            self.gamma = nn.Parameter(torch.ones(width))
            self.register_buffer("fixed", torch.randn(width, generator=torch.Generator().manual_seed(0)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.mix(torch.relu(self.embed(x)))
            normed = nn.functional.layer_norm(x, (len(self.gamma),)) * self.gamma
            return (normed * self.fixed / len(self.gamma)).sum(-1)

    report = audit(Stack)
    assert {t.name: t.roles for t in report.tensors if t.name == "gamma"} == {"gamma": ("gain",)}


def test_a_kernel_that_grows_is_summed_over_as_channels_are() -> None:
    """Sentences as images of one channel, kernels as wide as the embedding: each is a matrix of (3 n, n)."""

    class Sentences(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, width)
            self.conv, self.head = nn.Conv2d(1, width, (3, width), bias=False), nn.Linear(width, 3, bias=False)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.conv(self.embed(ids)[:, None]))
            return self.head(x.squeeze(3).amax(2))

    report = audit(Sentences, torch.arange(32).reshape(4, 8) % 10)
    assert errors(report) == {("MUP301", "conv.weight"), ("MUP202", "head.weight")}
    assert {t.name: t.roles for t in report.tensors}["conv.weight"] == ("hidden",)


class Spread(nn.Module):
    """From one place to as many as the kernel has, or from as many: how many overlap then is not known."""

    def __init__(self, width: int, places: bool) -> None:
        super().__init__()
        self.inp, self.up = nn.Linear(16, width, bias=False), nn.ConvTranspose1d(1 if places else width, 1, width)
        self.head, self.places = nn.Linear(width, 3, bias=False), places

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.inp(x))
        h = torch.relu(self.up(h[:, None] if self.places else h[..., None]))
        return self.head(h[:, 0, : self.head.in_features])


@pytest.mark.parametrize("places", [False, True])
def test_a_transposed_kernel_that_grows_is_a_matrix_unless_its_input_grows_too(places: bool) -> None:
    report = audit(lambda width: Spread(width, places))
    rates = {v.pattern for v in report.violations if v.rule == "MUP301"}
    assert (rates, {each.name for each in report.unanalysed} >= {"up.weight"}) == (
        (set(), True) if places else ({"up.weight"}, False)
    )


def test_predicted_init_exponents_are_the_measured_ones() -> None:
    """SP perceptron with a constant std: every layer adds 1/2, by the central limit theorem."""

    class Wide(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 4)
            for layer in (self.first, self.second, self.last):
                nn.init.normal_(layer.weight, std=0.1)
                nn.init.zeros_(layer.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(F.relu(self.second(F.relu(self.first(x)))))

    rows = {row.module: row.init_exponent for row in audit(Wide).activations if row.module}
    assert rows == {"first": 0.0, "second": 0.5, "last": 1.0}


def test_a_constant_that_is_no_power_of_width_is_said() -> None:
    class Odd(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width
            self.embed, self.head = nn.Linear(16, width), nn.Linear(width, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.embed(x)) / math.log(self.width))

    report = audit(Odd)
    assert any("not a power of width" in u.reason for u in report.unanalysed)


def test_an_init_that_is_zero_at_one_probe_alone_is_told_without_an_exponent() -> None:
    """A temperature that starts at log(n / 64)."""

    class Tempered(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(16, width), nn.Linear(width, 4)
            self.temperature = nn.Parameter(torch.tensor(math.log(width / 64)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.embed(x))) * self.temperature.exp()

    reasons = [each.reason for each in audit(Tempered).unanalysed]
    assert reasons == ["its initialization is not a power of width: std 0 → 0.6931"]


@pytest.mark.parametrize(
    ("scale", "found"),
    [  # (constant on the logits, its exponent where the width is large)
        (lambda n: 1 / (n + 40), -1.0),
        (lambda n: 1 / n, -1.0),
        (lambda n: 1 - 0.25 * n**-0.25, 0.0),
        (lambda n: 3 + n**0.5, 0.5),
        (lambda n: n**-0.375, -0.375),
    ],
    ids=["sum below", "power", "limit", "sum", "eighths"],
)
def test_a_constant_counts_by_what_it_does_where_the_width_is_large(scale: Any, found: float) -> None:
    class Scaled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.scale = scale(width)
            self.embed, self.head = nn.Linear(16, width), nn.Linear(width, 4, bias=False)
            nn.init.normal_(self.head.weight, std=0.02 * width ** -(1 + found))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.embed(x))) * self.scale

    def optimizer(model: Scaled) -> torch.optim.Optimizer:
        width = model.head.in_features
        return torch.optim.Adam(
            [{"params": model.embed.parameters()}, {"params": [model.head.weight], "lr": width ** -(1 + found)}],
            lr=1e-3,
        )

    def optimizer_off(model: Scaled) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=1e-3)

    for rates, wrong in ((optimizer, False), (optimizer_off, found != -1.0)):
        report = muaudit.check(Scaled, batch=lambda width: X, widths=(64, 128), optimizer=rates)
        assert not [u for u in report.unanalysed if "power" in u.reason]
        assert bool(errors(report)) is wrong


class FeedForward(nn.Module):
    """Table 3 by hand, with fan_in taken from either axis of the two hidden weights."""

    def __init__(self, d_model: int, d_ff: int, fan: int = 1) -> None:
        super().__init__()
        self.embed, self.up = nn.Linear(16, d_model, bias=False), nn.Linear(d_model, d_ff, bias=False)
        self.down, self.head = nn.Linear(d_ff, d_model, bias=False), nn.Linear(d_model, 4, bias=False)
        nn.init.normal_(self.embed.weight, std=0.3)
        for layer in (self.up, self.down):
            nn.init.normal_(layer.weight, std=layer.weight.shape[fan] ** -0.5)
        nn.init.normal_(self.head.weight, std=1 / d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.down(torch.tanh(self.up(torch.tanh(self.embed(x)))))))


def by_fan(model: FeedForward, fan: int = 1) -> torch.optim.Optimizer:
    rates = {"embed": 1.0, "head": 1 / model.head.weight.shape[1]}
    rates |= {name: 1 / getattr(model, name).weight.shape[fan] for name in ("up", "down")}
    return torch.optim.Adam([{"params": [getattr(model, name).weight], "lr": rate} for name, rate in rates.items()])


@pytest.mark.parametrize(("init_fan", "lr_fan"), [(1, 1), (0, 1), (1, 0)])
def test_fan_in_from_the_wrong_axis_shows_at_unequal_growth(init_fan: int, lr_fan: int) -> None:
    def check(widths: Any) -> set[tuple[str, str]]:
        report = muaudit.check(
            lambda d_model, d_ff: FeedForward(d_model, d_ff, init_fan),
            batch=lambda d_model, d_ff: X,
            optimizer=lambda model: by_fan(model, lr_fan),
            widths=widths,
        )
        assert not report.unanalysed, report.unanalysed
        return errors(report)

    rule = "MUP101" if init_fan == 0 else "MUP301"
    expected = set() if init_fan == lr_fan == 1 else {(rule, "up.weight"), (rule, "down.weight")}
    assert check({"d_model": (64, 128), "d_ff": (96, 288)}) == expected
    assert check({"d_model": (64, 128), "d_ff": (96, 192)}) == set()


class Biased(nn.Module):
    """A learned position bias reaches fused attention as its mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(16, width), nn.Linear(width, 4)
        self.bias = nn.Parameter(torch.zeros(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x).unflatten(-1, (-1, 16)).transpose(1, 2)
        h = F.scaled_dot_product_attention(h, h, h, attn_mask=self.bias)
        return self.head(h.transpose(1, 2).flatten(-2))


def test_a_learned_attention_mask_is_a_use() -> None:
    rows = {row.name: row for row in audit(Biased, SEQUENCE).tensors}
    assert rows["bias"].roles == ("scalar",)
    assert rows["bias"].lr_required == 0


@pytest.mark.parametrize("function", [lambda h: h.clamp(-1, 1), lambda h: torch.maximum(h, torch.full((1,), -0.5))])
def test_a_bound_is_a_nonlinearity_and_not_a_view(function: Any) -> None:
    """A multiplier before it is on the upstream weight; through a view it would belong to the readout."""

    class Bounded(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(16, width, bias=False), nn.Linear(width, 4, bias=False)
            nn.init.normal_(self.embed.weight, std=0.3)
            nn.init.normal_(self.head.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.embed(x)
            return self.head(function(h / (h.shape[-1] / 64)))

    assert errors(audit(Bounded)) == {("MUP204", "embed.weight"), ("MUP202", "head.weight")}


def test_a_running_sum_over_width_is_not_understood() -> None:
    class Running(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(16, width), nn.Linear(width, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(x).cumsum(-1))

    assert any("along a dim that grows" in u.reason for u in audit(Running).unanalysed)


@pytest.mark.parametrize(
    ("std", "known"),
    [(lambda n: n**-0.5 * (1.08 if n < 100 else 1.0), True), (lambda n: (2 / (256 + n)) ** 0.5, False)],
)
def test_a_third_probe_tells_an_odd_first_one_from_a_drift(std: Any, known: bool) -> None:
    def build(width: int) -> nn.Module:
        model = nn.Sequential(nn.Linear(16, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 4))
        nn.init.normal_(model[2].weight, std=std(width))
        return model

    report = audit(build)
    row = next(row for row in report.tensors if row.name == "2.weight")
    assert (row.init_exponent == -0.5) is known
    assert any(u.name == "2.weight" for u in report.unanalysed) is not known
