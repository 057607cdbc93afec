"""Muon on what is no matrix between two widths, and on several matrices as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

VOCABULARY, HEADS = 32, 2


class Model(nn.Module):
    """Tokens through one block of attention in µP (TP5 Table 3). fused: queries, keys and values in one weight."""

    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY, bias=False)
        parts = {"qkv": 3} if fused else {"q": 1, "k": 1, "v": 1}
        self.parts = nn.ModuleDict({name: nn.Linear(width, size * width, bias=False) for name, size in parts.items()})
        self.out = nn.Linear(width, width, bias=False)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        for layer in (*self.parts.values(), self.out):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.normal_(self.embed.weight, std=1.0)
        nn.init.normal_(self.depthwise.weight, std=0.5)
        nn.init.normal_(self.head.weight, std=1 / width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        x = x + self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        made = [layer(x) for layer in self.parts.values()]
        q, k, v = made if len(made) > 1 else made[0].chunk(3, dim=-1)
        q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=8 / q.shape[-1])
        return self.head(self.out(mixed.transpose(1, 2).flatten(2)))


def polar(g: torch.Tensor) -> torch.Tensor:
    """Of spectral norm sqrt(rows/columns), each matrix of a stack by itself; a vector as a column."""
    if g.dim() == 1:
        return g / (g.norm() + 1e-30)
    left, sizes, right = torch.linalg.svd(g, full_matrices=False)
    kept = (left * (sizes > 1e-9 * sizes[..., :1])[..., None, :]) @ right
    return kept * (g.shape[-2] / g.shape[-1]) ** 0.5


Update = Callable[[torch.Tensor], torch.Tensor]


def flattened(g: torch.Tensor) -> torch.Tensor:
    return polar(g.flatten(1)).view_as(g) if g.dim() > 1 else polar(g)


def orthogonaliser(update: Update) -> Any:
    class Muon(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.02})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * update(p.grad))

    return Muon


def audit(extra: tuple[str, ...] = (), *, fused: bool = False, update: Update = flattened, rate: float = 1.0) -> Report:
    def optimizer(model: Model) -> list[torch.optim.Optimizer]:
        m = model.out.weight.shape[0] / 64
        named = dict(model.named_parameters())
        muon = {name: p for name, p in named.items() if name.startswith(("parts", "out")) or name in extra}
        rest = [{"params": [p], "lr": 1e-3 / (m if name == "head.weight" else 1)} for name, p in named.items()
                if name not in muon]  # fmt: skip
        held = [{"params": [p], "lr": 0.02 * (m**rate if name == "embed.weight" else 1)} for name, p in muon.items()]
        return [orthogonaliser(update)(held), *([torch.optim.AdamW(rest, weight_decay=0.0)] if rest else [])]

    return muaudit.check(
        lambda width: Model(width, fused=fused),
        batch=lambda width: torch.randint(0, VOCABULARY, (4, 8), generator=torch.Generator().manual_seed(0)),
        loss=lambda out, batch: F.cross_entropy(out.flatten(0, 1), batch.flatten()),
        optimizer=optimizer, widths=(64, 128),
    )  # fmt: skip


def test_matrices_between_widths_alone_are_silent() -> None:
    report = audit()
    assert not [v for v in report.violations if v.severity != "advice" or v.rule in ("MUP322", "MUP323")]
    assert not report.unanalysed


@pytest.mark.parametrize(
    ("name", "what"),
    [("embed.weight", "embedding"), ("head.weight", "readout"), ("depthwise.weight", "depthwise kernel")],
)
def test_what_is_no_such_matrix_is_told(name: str, what: str) -> None:
    (found,) = [v for v in audit((name,)).violations if v.severity != "advice"]
    assert (found.rule, found.tensors) == ("MUP322", (name,))
    assert f"{what} under an orthogonalised update" in found.message


def test_queries_keys_and_values_that_are_orthogonalised_as_one() -> None:
    (found,) = [v for v in audit(fused=True).violations if v.rule == "MUP323"]
    assert (found.severity, found.tensors) == ("advice", ("parts.qkv.weight",))
    assert "holds outputs that are taken apart into 64, 64, 64" in found.message


def of(report: Report, rule: str) -> list[tuple[str, tuple[str, ...]]]:
    """The findings of a rule, where all others are advice."""
    assert not [v for v in report.violations if v.severity != "advice" and v.rule != rule], report.violations
    return [(v.severity, v.tensors) for v in report.violations if v.rule == rule]


def test_a_rate_that_does_not_fit_what_should_not_be_there_is_no_finding_of_its_own() -> None:
    """The update of an embedding has spectral norm sqrt(32/n) · lr, and its rows have to move by 1: lr ∝ n."""
    (found,) = [v for v in audit(("embed.weight",), rate=0.0).violations if v.severity != "advice"]
    assert (found.rule, found.severity, found.found_exponent, found.expected_exponent) == ("MUP322", "error", 0.0, 1.0)


QKV = "parts.qkv.weight"


def split_by(sizes: Callable[[int], list[int]], dim: int = 0) -> Update:
    """Takes what has three times as many rows as columns apart before it orthogonalises."""

    def update(g: torch.Tensor) -> torch.Tensor:
        if g.dim() != 2 or g.shape[0] != 3 * g.shape[1]:
            return flattened(g)
        return torch.cat([polar(each.contiguous()) for each in g.split(sizes(g.shape[1]), dim)], dim)

    return update


def every_third(g: torch.Tensor) -> torch.Tensor:
    if g.dim() != 2 or g.shape[0] != 3 * g.shape[1]:
        return flattened(g)
    return torch.stack([polar(g[i::3]) for i in range(3)], 1).reshape(g.shape)


RIGHT = {"by thirds": split_by(lambda n: [n, n, n]), "by heads": split_by(lambda n: [n // HEADS] * (3 * HEADS))}
WRONG = {
    "sizes": split_by(lambda n: [2 * n, n]),
    "order": every_third,
    "axis": split_by(lambda n: [n // 2, n // 2], dim=1),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_an_optimizer_that_takes_apart_what_the_graph_takes_apart_is_silent(kind: str) -> None:
    report = audit(fused=True, update=RIGHT[kind])
    assert (of(report, "MUP323"), of(report, "MUP325")) == ([], [])


@pytest.mark.parametrize("kind", WRONG)
def test_an_optimizer_that_takes_other_parts_apart_is_told(kind: str) -> None:
    assert of(audit(fused=True, update=WRONG[kind]), "MUP323") == [("advice", (QKV,))]


def test_heads_on_the_axis_that_has_none_are_pieces_of_one_matrix() -> None:
    def by_rows(g: torch.Tensor) -> torch.Tensor:
        return torch.cat([polar(each) for each in g.chunk(HEADS)]) if g.dim() == 2 else flattened(g)

    names = {name for _, tensors in of(audit(update=by_rows), "MUP325") for name in tensors}
    assert names == {"out.weight"}


class Channels(nn.Module):
    """A convolution between widths in µP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.hidden = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.head = nn.Linear(2 * width, 10, bias=False)
        for layer, std in ((self.first, 0.2), (self.hidden, (9 * width) ** -0.5), (self.head, 1 / width)):
            nn.init.normal_(layer.weight, std=std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.hidden(torch.relu(self.first(x)))).mean((2, 3)))


class Experts(nn.Module):
    """A stack of matrices, (experts, in, out), each with inputs of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(3, 4 * width, bias=False)
        self.hidden = nn.Parameter(torch.randn(4, width, 2 * width) * width**-0.5)
        self.head = nn.Linear(2 * width, 10, bias=False)
        nn.init.normal_(self.head.weight, std=1 / width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.first(x.flatten(2).transpose(1, 2))).unflatten(-1, (4, -1)).flatten(0, 1).transpose(0, 1)
        return self.head(torch.tanh(h @ self.hidden).mean(0)).unflatten(0, (len(x), -1)).mean(1)


def hidden_by(update: Update, build: Any) -> Report:
    def optimizer(model: Any) -> list[torch.optim.Optimizer]:
        hidden = dict(model.named_parameters()).get("hidden", getattr(model.hidden, "weight", None))
        head = {"params": [model.head.weight], "lr": 1e-3 * 16 / model.width}
        return [
            orthogonaliser(update)([hidden]),
            torch.optim.Adam([{"params": [model.first.weight], "lr": 1e-3}, head]),
        ]

    return muaudit.check(
        build, batch=lambda width: torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)),
        loss=lambda out, batch: F.cross_entropy(out, torch.arange(4)), optimizer=optimizer, widths=(16, 32),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("build", "right", "wrong", "rule", "severity"),
    [
        (Channels, flattened, polar, "MUP325", "error"),  # 3 × 3 by itself: every entry moves by lr, as under Adam
        (Experts, polar, flattened, "MUP323", "error"),  # with the factor of a 4 × 2n² matrix
    ],
)
def test_kernels_and_stacks_are_orthogonalised_as_the_graph_uses_them(
    build: Any, right: Update, wrong: Update, rule: str, severity: str
) -> None:
    assert not [v for v in hidden_by(right, build).violations if v.severity != "advice" or v.rule == rule]
    name = "hidden.weight" if build is Channels else "hidden"
    assert of(hidden_by(wrong, build), rule) == [(severity, (name,))]


class Gained(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.hidden, self.norm = nn.Linear(3, width), nn.Linear(width, width), nn.RMSNorm(width)
        self.head = nn.Linear(width, 10, bias=False)
        nn.init.zeros_(self.hidden.bias)
        nn.init.normal_(self.hidden.weight, std=width**-0.5)
        nn.init.normal_(self.head.weight, std=1 / width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.hidden(self.norm(torch.tanh(self.first(x.mean((2, 3))))))))


@pytest.mark.parametrize(("vectors", "told"), [(polar, True), (torch.sign, False)])
def test_vectors_under_what_orthogonalises(vectors: Update, told: bool) -> None:
    """A column of norm 1 moves by n^-1/2 an entry, and gains have to move by 1; their signs do."""

    def optimizer(model: Any) -> list[torch.optim.Optimizer]:
        held = [model.hidden.weight, model.hidden.bias, model.norm.weight]
        head = {"params": [model.head.weight], "lr": 1e-3 * 32 / model.width}
        update = lambda g: flattened(g) if g.dim() > 1 else vectors(g)  # noqa: E731
        rest = {"params": list(model.first.parameters()), "lr": 1e-3}
        return [orthogonaliser(update)(held), torch.optim.Adam([rest, head])]

    report = muaudit.check(
        Gained, batch=lambda width: torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)),
        loss=lambda out, batch: F.cross_entropy(out, torch.arange(4)), optimizer=optimizer, widths=(32, 64),
    )  # fmt: skip
    names = {name for severity, tensors in of(report, "MUP322") for name in tensors if severity == "error"}
    assert names == ({"hidden.bias", "norm.weight"} if told else set())


def test_blocks_of_a_fixed_size_are_one_finding_with_the_rate_that_they_need() -> None:
    """Each 16 × 16 of norm 1 moves its entries by 1/16 at any width, so lr has to fall like 1/n."""

    def blocks(g: torch.Tensor) -> torch.Tensor:
        rows, columns = (size // 16 for size in g.shape)
        return polar(g.view(rows, 16, columns, 16).transpose(1, 2)).transpose(1, 2).reshape(g.shape)

    report = audit(update=lambda g: blocks(g) if g.dim() == 2 else flattened(g))
    (found,) = [v for v in report.violations if v.severity != "advice"]
    assert (found.rule, found.found_exponent, found.expected_exponent) == ("MUP325", 0.0, -1.0)
    assert set(found.tensors) == {"parts.q.weight", "parts.k.weight", "parts.v.weight", "out.weight"}
