"""Weights that are functions of parameters and derivatives in the forward: right models are silent, mistakes named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models import functions as zoo
from test_architectures import ROWS
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.errors import UserError
from muaudit.findings.model import Report


def adam(hidden: str, power: float = -1.0) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """Learning rates by TP5 Table 8: hidden ones, whose names start with a word of `hidden`, fall like 1/n."""

    def build(model: nn.Module) -> torch.optim.Optimizer:
        width, prefixes = model.head.in_features, tuple(hidden.split())  # type: ignore[union-attr]
        rates = {
            name: 0.01 * (width / 64) ** power if name.startswith(prefixes) else 0.01
            for name, _ in model.named_parameters()
        }
        return torch.optim.Adam([{"params": [p], "lr": rates[n]} for n, p in model.named_parameters()], eps=1e-20)

    return build


def audit(build: Callable[[int], nn.Module], hidden: str, batch: object = ROWS, power: float = -1.0) -> Report:
    def zero_bias(width: int) -> nn.Module:
        model = build(width)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        return model

    return muaudit.check(zero_bias, batch=lambda width: batch, optimizer=adam(hidden, power), widths=(64, 128))


def found(report: Report) -> set[tuple[str, tuple[str, ...]]]:
    return {(v.rule, v.tensors) for v in report.violations if v.severity != "advice"}


def straight_through(w: torch.Tensor) -> torch.Tensor:
    """Ternary forwards, the weight itself backwards (arXiv 2402.17764)."""
    scale = w.abs().mean()
    return w + ((w / scale).round().clamp(-1, 1) * scale - w).detach()


def cayley(w: torch.Tensor) -> torch.Tensor:
    skew, one = (w - w.T) / 2, torch.eye(len(w))
    return torch.linalg.solve(one + skew, one - skew)


# an odd function of a hidden weight leaves its entries as random and as large as they were; a rotation that is made of
# one of bounded operator norm is the identity and a matrix of such entries
HIDDEN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh, "straight through": straight_through,
    "exponential": lambda w: torch.matrix_exp(w - w.T), "Cayley": cayley,
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_a_function_of_a_hidden_weight_is_a_hidden_weight(name: str) -> None:
    def build(factor: Callable[[int], float]) -> Callable[[int], nn.Module]:
        return lambda n: zoo.Made(n, HIDDEN[name], {"w": n**-0.5}, factor(n))

    right = audit(build(lambda n: 1.0), "parts")
    assert not found(right)
    assert not right.unanalysed
    assert found(audit(build(lambda n: n**0.5), "parts")) == {("MUP205", ("parts.w",))}
    assert found(audit(build(lambda n: 1.0), "nothing")) == {("MUP301", ("parts.w",))}


POSITIVE: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], float, float]] = {  # w and its rate, a constant
    "softplus": (F.softplus, 0.0, -1.0), "absolute": (torch.abs, -1.0, 0.0), "square": (torch.square, -0.5, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIVE)
def test_positive_entries_add_up(name: str) -> None:
    """Σ f(w)·x over n positive terms is as large as n of them from the start: w needs what makes each of size 1/n."""
    function, own, constant = POSITIVE[name]
    for off in (0.0, 0.5):
        report = audit(
            lambda n, off=off: zoo.Made(n, function, {"w": n**own}, n ** (constant + off)), "parts", power=own
        )
        assert found(report) == ({("MUP206", ())} if off else set())
        assert not report.unanalysed


@pytest.mark.parametrize("hidden", ["parts.w", "nothing"])
def test_a_matrix_times_a_function_of_another(hidden: str) -> None:
    """w ⊙ sigmoid(mask): w is a hidden weight; what the mask, nonlinear inside a sum, needs is not said."""
    report = audit(lambda n: zoo.Made(n, lambda w, mask: w * torch.sigmoid(mask), {"w": n**-0.5, "z": 1.0}), hidden)
    assert found(report) == (set() if hidden == "parts.w" else {("MUP301", ("parts.w",))})
    assert {u.name for u in report.unanalysed} == {"parts.z"}


def test_noise_of_a_learned_size_on_a_weight() -> None:
    """mean + softplus(rho) · noise (arXiv 1505.05424): the mean is a hidden weight, and rho not judged."""

    def made(mean: torch.Tensor, rho: torch.Tensor) -> torch.Tensor:
        return mean + F.softplus(rho - 4) * torch.randn_like(mean) * len(mean) ** -0.5

    report = audit(lambda n: zoo.Made(n, made, {"mean": n**-0.5, "rho": 1.0}), "parts.mean")
    assert not found(report)
    assert {u.name for u in report.unanalysed} == {"parts.rho"}


def test_a_transposed_product_of_factors() -> None:
    """width → 4 → width: v needs init and lr 1/n, u constant ones, whichever way the product is turned."""
    right = audit(lambda n: zoo.Factors(n, wrong=False), "v")
    assert not found(right)
    assert not right.unanalysed
    assert {tensors for _, tensors in found(audit(lambda n: zoo.Factors(n, wrong=True), "v"))} == {("u",)}


@pytest.mark.parametrize("functional", [False, True])
def test_derivatives_in_the_forward(functional: bool) -> None:
    """By the chain rule a derivative asks nothing more of a weight: only a readout without its multiplier is wrong."""
    points = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    right = audit(lambda n: zoo.Slopes(n, wrong=False, functional=functional), "hidden.weight", points)
    assert not found(right)
    assert not right.unanalysed
    wrong = audit(lambda n: zoo.Slopes(n, wrong=True, functional=functional), "hidden.weight", points)
    assert found(wrong) == {("MUP202", ("head.weight",))}


@pytest.mark.parametrize(("order", "power"), [(1.0, 1.0), (2.0, 0.5), (4.0, 0.25), (float("inf"), 0.0)])
def test_norms_of_any_order(order: float, power: float) -> None:
    """n entries of size 1 have a p-norm of n^(1/p)."""
    assert not found(audit(lambda n: zoo.Normed(n, order, power), "hidden.weight"))
    wrong = audit(lambda n: zoo.Normed(n, order, power + 0.5), "hidden.weight")
    assert {v.tensors for v in wrong.violations if v.severity == "error"} == {("hidden.weight",)}


def test_a_matrix_that_a_layer_makes_is_not_judged() -> None:
    """A hypernetwork: a layer from 4 numbers to n² has no fan_out that µP speaks of."""

    class Hyper(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.make, self.head = nn.Linear(16, width), nn.Linear(4, width**2), nn.Linear(width, 5)
            self.latent = nn.Parameter(torch.randn(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.tanh(self.embed(x))
            weight = self.make(self.latent).unflatten(0, (h.shape[-1], -1)) * h.shape[-1] ** -0.5
            return self.head(torch.tanh(h @ weight) * 64 / h.shape[-1])

    report = audit(Hyper, "nothing")
    assert not found(report)
    assert {u.name for u in report.unanalysed} == {"make.weight", "make.bias"}


def test_a_cosine_similarity_asks_for_no_readout() -> None:
    """Two towers of one weight, compared by angle, which is of size 1 whatever n is: hidden layers alone."""

    class Towers(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.hidden, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.head(torch.tanh(self.hidden(torch.tanh(self.embed(x)))))
            return 5 * F.cosine_similarity(y[:, None], y[None], dim=-1)

    right = audit(Towers, "hidden.weight head.weight")
    assert not found(right)
    assert not right.unanalysed
    assert found(audit(Towers, "head.weight")) == {("MUP301", ("hidden.weight",))}


def test_a_cosine_readout_is_not_told_a_multiplier_that_nobody_wrote() -> None:
    """Both norms divide by n^1/2, so a learning rate of 1/n is one scaling too many: relative steps are n^-1/2."""

    class Cosine(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.hidden = nn.Linear(16, width), nn.Linear(width, width)
            self.head = nn.Linear(width, 3, bias=False)
            nn.init.normal_(self.head.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.tanh(self.hidden(torch.tanh(self.embed(x))))
            return 5 * F.normalize(h, dim=-1) @ F.normalize(self.head.weight, dim=-1).T

    [wrong] = [v for v in audit(Cosine, "hidden.weight head").violations if v.severity == "error"]
    assert (wrong.rule, wrong.tensors) == ("MUP203", ("head.weight",))
    assert "multiplier" not in wrong.message + wrong.fix
    assert "besides what divides it forwards" in wrong.message


def test_ragged_rows_are_rows() -> None:
    """Examples of 1 and 3 rows as one jagged tensor: the layers see rows, as they do of a dense one."""

    class Ragged(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.hidden, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = torch.nested.as_nested_tensor([x[:1], x[1:]], layout=torch.jagged)
            h = torch.tanh(self.hidden(torch.tanh(self.embed(rows))))
            return self.head(h.values() * 64 / self.head.in_features)

    right = audit(Ragged, "hidden.weight")
    assert not found(right)
    assert not right.unanalysed
    assert found(audit(Ragged, "nothing")) == {("MUP301", ("hidden.weight",))}


def test_a_weight_that_the_forward_trains_is_not_judged() -> None:
    """MAML (arXiv 1703.03400): a gradient step on the layer inside the forward, then the layer is used."""

    class Adapted(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.hidden, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h, m = torch.tanh(self.embed(x)), self.head.in_features / 64
            inner = self.head(torch.tanh(self.hidden(h)) / m).square().mean()
            (slope,) = torch.autograd.grad(inner, self.hidden.weight, create_graph=True)
            return self.head(torch.tanh(F.linear(h, self.hidden.weight - 0.1 * slope, self.hidden.bias)) / m)

    report = audit(Adapted, "hidden.weight")
    assert not found(report)
    assert report.unanalysed


FORCED = """
import torch
from torch import nn


def normalize(w):
    return w / (1e-4 + w.norm(dim=1, keepdim=True) / w.shape[1] ** 0.5)


class Magnitude(nn.Module):
    def __init__(self, taken, made):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(made, taken))

    def forward(self, x, gain=1.0):
        w = self.weight.to(torch.float32)
        if {forced}:
            with torch.no_grad():
                self.weight.copy_(normalize(w))
        return x @ (normalize(w) * gain / w.shape[1] ** 0.5).t()


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.inp, self.mid, self.out = Magnitude(16, width), Magnitude(width, width), Magnitude(width, 4)
        self.gain = nn.Parameter(torch.zeros([]))

    def forward(self, x):
        return self.out(self.mid(self.inp(x).relu()).relu(), self.gain)
"""


def test_weights_that_every_forward_writes_back_normed_are_those_weights(tmp_path: Path) -> None:
    """EDM2 (arXiv 2312.02696) writes every weight back at length 1: as the forward norms it anyway, nothing changes."""
    rows = []
    for forced in ("self.training", "False"):
        file = tmp_path / f"{forced.replace('.', '')}.py"
        file.write_text(FORCED.format(forced=forced))
        report = muaudit.check(str(file))
        rows.append((report.verdict, found(report)))
    assert rows[0] == rows[1]
    assert ("MUP301", ("mid.weight",)) in rows[0][1]


@pytest.mark.parametrize("write", ["mul_(0.9)", "clamp_(-2.5, 2.5)"])
def test_a_weight_that_every_forward_changes_further_is_not_that_weight(write: str, tmp_path: Path) -> None:
    """Clipped weights stay clipped. Those that shrink with every step are another matter, however little they do."""
    file = tmp_path / "shrinks.py"
    file.write_text(
        FORCED.format(forced="False").replace(
            "w = self.weight.to(torch.float32)",
            f"""w = self.weight
        with torch.no_grad():
            self.weight.{write}""",
        )
    )
    plain = tmp_path / "plain.py"
    plain.write_text(FORCED.format(forced="False"))
    assert (outcome(file) == outcome(plain)) == write.startswith("clamp")


def outcome(file: Path) -> object:
    try:
        report = muaudit.check(str(file))
    except UserError as error:
        return str(error)
    return report.verdict, found(report), len(report.unanalysed)
