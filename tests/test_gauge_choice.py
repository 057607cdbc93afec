"""Constants between two contractions or two layers belong to either: the explanation with the least wrong is taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bugs.plant import fixture
from torch import Tensor, nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

BASE, TOKENS, TIME = 64, 48, 8


def norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


class Retention(nn.Module):
    """Decayed q·k over a growing dim, divided by it; what comes out is normalised (arXiv 2307.08621)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(TOKENS, width), nn.Linear(width, TOKENS, bias=False)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `(batch, time, TOKENS)`."""
        x = self.embed(tokens)
        y, steps = norm(x), torch.arange(TIME)
        decay = (0.9 ** (steps[:, None] - steps).clamp(min=0)).tril()
        kept = (self.q(y) @ self.k(y).mT / y.shape[-1]) * decay
        return self.head(norm(x + self.o(norm(kept @ self.v(y)))))


class Interactions(nn.Module):
    """Dot products of embeddings, divided by the width, into a perceptron of a fixed size (arXiv 1906.00091)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.tables = nn.ModuleList(nn.Embedding(TOKENS, width) for _ in range(4))
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `(batch, time, TOKENS)`."""
        z = torch.stack([table(tokens) for table in self.tables], -2)
        rows, columns = torch.triu_indices(4, 4, 1)
        return self.second(F.relu(self.first((z @ z.mT)[..., rows, columns] / self.width)))


def audit(build: Any, shrunk: str = "") -> Report:
    """In µP with Adam, but for the parameter `shrunk`: its init and learning rate fall like 1/n."""

    def made(width: int) -> nn.Module:
        model = build(width)
        model.m = width / BASE
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.div_(model.m if name == shrunk else 1.0)
        return model  # type: ignore[no-any-return]

    def optimizer(model: Any) -> torch.optim.Optimizer:
        matrices = ("q.weight", "k.weight", "v.weight", "o.weight", "head.weight", shrunk)
        groups = [{"params": [p], "lr": 0.01 / (model.m if n in matrices else 1)} for n, p in model.named_parameters()]
        return torch.optim.Adam(groups, eps=1e-15)

    tokens = torch.randint(TOKENS, (4, TIME), generator=torch.Generator().manual_seed(0))
    return muaudit.check(
        made, batch=lambda width: tokens, loss=lambda out, batch: F.cross_entropy(out.flatten(0, 1), batch.flatten()),
        optimizer=optimizer, widths=(64, 128),
    )  # fmt: skip


@pytest.mark.parametrize("build", [Retention, Interactions])
def test_the_divisor_of_a_product_is_not_what_reads_it_is_blamed_for(build: Any) -> None:
    report = audit(build)
    assert report.verdict == "mup", [v.message for v in report.violations]
    assert not report.unanalysed


def test_one_tensor_is_blamed_rather_than_two_before_it() -> None:
    """Behind a relu: shrinking `second` is also a constant on `first.weight` and `first.bias`, but they are two."""
    found = [v for v in audit(Interactions, "second.weight").violations if v.severity == "error"]
    assert [v.tensors for v in found] == [("second.weight",)], [v.message for v in found]


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.5, 1.0])
def test_the_learning_rate_of_a_bias_is_not_a_constant_on_the_gain_beside_it(power: float) -> None:
    """The last norm of a GPT whose tied readout is absorbed there: its bias alone learns at another rate."""
    gpt = fixture("gpt/absorbed")

    def optimizer(model: Any) -> torch.optim.Optimizer:
        made, bias = gpt.optimizer(model), model.transformer.ln_f.bias
        group = next(g for g in made.param_groups if any(p is bias for p in g["params"]))
        group["params"] = [p for p in group["params"] if p is not bias]
        m = model.config.n_embd / BASE
        made.add_param_group({"params": [bias], "lr": group["lr"] * m**power, "weight_decay": 0.0})
        return made  # type: ignore[no-any-return]

    report = muaudit.check(gpt.build, batch=gpt.batch, loss=gpt.loss, optimizer=optimizer, widths=(64, 128))
    found = [v for v in report.violations if v.severity == "error"]
    assert [v.tensors for v in found] == [("transformer.ln_f.bias",)], [v.message for v in found]


class Tied(nn.Module):
    """One table goes in and out, with m^2/5 between: rows of size n^-1/5, met by n^1/5, add up to n."""

    def __init__(self, width: int, out: float = -1.0) -> None:
        super().__init__()
        self.m, self.out = width / BASE, out
        self.table = nn.Parameter(torch.randn(TOKENS, width) * self.m**-0.2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `(batch, time, TOKENS)`."""
        return F.linear(F.embedding(tokens, self.table) * self.m**0.4, self.table) * self.m**self.out


def of_tied(rate: float, out: float) -> Any:
    tokens = torch.randint(TOKENS, (4, TIME), generator=torch.Generator().manual_seed(0))
    report = muaudit.check(
        lambda width: Tied(width, out), batch=lambda width: tokens,
        loss=lambda out, batch: F.cross_entropy(out.flatten(0, 1), batch.flatten()),
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=0.01 * model.m**rate, eps=1e-30),
        widths=(16, 48),
    )  # fmt: skip
    return [(v.rule, v.tensors, v.found, v.expected) for v in report.violations if v.severity == "error"]


def test_a_tied_table_whose_learning_rate_is_wrong_is_told_one_exponent() -> None:
    """Whichever fraction its measured init is nearest to: Adam's rate for rows of size n^-1/5 is n^-1/5."""
    ((_, tensors, found, expected),) = of_tied(0.3, -1.0)
    assert (tensors, found, expected) == (("table",), "n^3/10", "n^-1/5")


def test_a_constant_that_is_left_out_is_told_as_one_however_roughly_the_init_is_known() -> None:
    """The learning rate says that n^-1 is missing, and chance reaches to an init that says so too."""
    assert of_tied(-0.2, 0.0) == [("MUP402", ("table",), "n^1/5", "n^-4/5")]


class Recurrent(nn.Module):
    """A GRU, whose bias of the candidate is multiplied by a gate: alone at the first step, where the state is zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.core, self.head = nn.GRU(4, width, batch_first=True), nn.Linear(width, TOKENS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, time, TOKENS)`."""
        return self.head(self.core(x)[0])  # type: ignore[no-any-return]


def test_a_bias_that_is_added_here_and_multiplied_there_is_wrong_once() -> None:
    """As torch starts it, with one learning rate under SGD: both uses lack the same."""
    x = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(0))
    report = muaudit.check(
        Recurrent, batch=lambda width: x, loss=lambda out, batch: out.square().mean(),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1), widths=(32, 64),
    )  # fmt: skip
    names = [name for v in report.violations if v.severity == "error" for name in v.tensors]
    assert sorted(names) == ["core.bias_hh_l0", "core.bias_ih_l0", "core.weight_ih_l0", "head.weight"]


class Normed(nn.Module):
    """Convolutions behind each of which stands a norm, as images are classified; Table 3 but for `power`."""

    def __init__(self, width: int, power: float = -0.5) -> None:
        super().__init__()
        self.width = width
        self.convs = nn.ModuleList(nn.Conv1d(i, width, 3, padding=1, bias=False) for i in (4, width, width))
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(3))
        self.head = nn.Linear(width, 5, bias=False)
        for conv in self.convs[1:]:
            nn.init.normal_(conv.weight, std=width**power)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, 4, time)` → `(batch, 5)`."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return self.head(x.mean(-1))


@pytest.mark.parametrize(
    ("power", "falls", "blamed"),
    [
        (-0.5, "", {}),
        (-1.0, "", {"MUP101": {"convs.1.weight", "convs.2.weight"}}),
        (0.0, "", {"MUP101": {"convs.1.weight", "convs.2.weight"}}),
        (-0.5, "norms.1", {"MUP305": {"norms.1.weight"}, "MUP304": {"norms.1.bias"}}),
        (-0.5, "norms.1.weight", {"MUP305": {"norms.1.weight"}}),
    ],
    ids=["right", "init too small", "init of one size", "norm in the wrong group", "gain in the wrong group"],
)
def test_what_a_norm_follows_is_blamed_for_what_departs_from_the_tables(
    power: float, falls: str, blamed: dict[str, set[str]]
) -> None:
    """Only learning rate relative to init counts there, and one of the two is as TP5 Table 3 has it."""

    def optimizer(model: Normed) -> torch.optim.Optimizer:
        hidden = ("convs.1", "convs.2", "head", *([falls] if falls else ()))
        return torch.optim.Adam([
            {"params": [p], "lr": 1e-3 * (BASE / model.width if name.startswith(hidden) else 1)}
            for name, p in model.named_parameters()
        ])  # fmt: skip

    report = muaudit.check(
        lambda width: Normed(width, power), batch=lambda width: torch.randn(4, 4, TIME), widths=(64, 128),
        optimizer=optimizer,
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for each in report.violations:
        if each.severity == "error":
            rule = "MUP101" if each.rule == "MUP108" else each.rule  # all hidden weights at once
            found.setdefault(rule, set()).update(each.tensors)
    assert found == blamed
