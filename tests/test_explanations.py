"""The same function written in another way has the same verdict, and one mistake has one explanation.

Every right answer is derived by hand: TP5 Table 3 with what Lemma J.1 (arXiv 2203.03466) leaves open.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import muaudit
from muaudit.audit import audit as audit_target
from muaudit.findings.model import Report
from muaudit.targets import resolve

BASE = 32
Errors = set[tuple[str, tuple[str, ...]]]


class Net(nn.Module):
    """Weights by name with their exponents of init and learning rate; `run(p, x, n)` is the forward."""

    def __init__(self, n: int, tensors: dict[str, tuple[tuple[int, ...], float]], run: Callable[..., object]) -> None:
        super().__init__()
        self.n, self.run = n, run
        for name, (shape, init) in tensors.items():
            sizes = [n if size == 0 else size for size in shape]
            self.register_parameter(name, nn.Parameter(torch.randn(sizes) * (n / BASE) ** init * BASE**-0.5))

    def forward(self, x: torch.Tensor) -> object:
        return self.run(self, x, self.n)


Tensors = dict[str, tuple[tuple[int, ...], float, float]]  # shape (0: the width), exponents of init and learning rate
INP: Tensors = {"inp": ((5, 0), 0.0, 0.0)}
HID: Tensors = {"hid": ((0, 0), -0.5, -1.0)}
OUT: Tensors = {"out": ((0, 3), -1.0, -1.0)}


def audit(tensors: Tensors, run: Callable[..., object], optimizer: str = "Adam", rows: int = 8) -> Report:
    def adam(model: Net) -> torch.optim.Optimizer:
        m = model.n / BASE
        groups = [{"params": [p], "lr": 1e-3 * m ** tensors[name][2]} for name, p in model.named_parameters()]
        return getattr(torch.optim, optimizer)(groups, lr=1e-3)

    def loss(out: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(out.reshape(-1, out.shape[-1]), torch.arange(out[..., 0].numel()) % 3)

    x = torch.randn(rows, 6, 5, generator=torch.Generator().manual_seed(0))
    shapes = {name: (shape, init) for name, (shape, init, _) in tensors.items()}
    return muaudit.check(
        lambda width: Net(width, shapes, run), batch=lambda width: x, loss=loss, optimizer=adam, widths=(64, 128)
    )


def found(report: Report) -> Errors:
    assert not report.unanalysed
    return {(v.rule, v.tensors) for v in report.violations if v.severity == "error"}


# -- a product and a sum is the contraction that it spells -----------------------------------------
PRODUCTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "matmul": lambda x, w: x @ w,
    "einsum": lambda x, w: torch.einsum("bti,io->bto", x, w),
    "product and sum": lambda x, w: (x.unsqueeze(-1) * w).sum(-2),
    "product and mean": lambda x, w: (x.unsqueeze(-1) * w).mean(-2) * w.shape[0],
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("rate", [-1.0, 0.0])
def test_a_product_and_a_sum(product: str, rate: float) -> None:
    by = PRODUCTS[product]
    report = audit(
        INP | {"hid": ((0, 0), -0.5, rate)} | OUT,
        lambda p, x, n: torch.tanh(by(torch.tanh(x @ p.inp), p.hid)) @ p.out,
    )
    assert found(report) == (set() if rate == -1.0 else {("MUP301", ("hid",))})


def test_shares_of_experts_sum_to_one() -> None:
    """Σ softmax over a number of experts that grows is a mean, as a product and a sum too."""

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        h = torch.tanh(x @ p.inp)
        made = torch.einsum("btd,edf->btef", h, p.experts)
        return ((h @ p.router).softmax(-1).unsqueeze(-1) * made).sum(-2) @ p.head

    kept: Tensors = {"inp": ((5, 16), 0.0, 0.0), "head": ((16, 3), 0.0, 0.0)}
    grown: Tensors = {"router": ((16, 0), 0.0, 0.0), "experts": ((0, 16, 16), 0.0, 0.0)}
    assert not found(audit(kept | grown, run))


# -- sums -----------------------------------------
MIXES: dict[str, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "sum": lambda x, y, c: x + c * y,
    "interpolation": lambda x, y, c: x + (y - x) * c,
    "shares": lambda x, y, c: (1 - c) * x + c * y,
    "lerp": lambda x, y, c: torch.lerp(x, y, c),
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("falls", [False, True])
def test_an_interpolation(mix: str, falls: bool) -> None:
    """With c = 8/n what the branch adds shrinks like 1/n: that is all that is wrong, however the sum is written."""
    by = MIXES[mix]

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        x = torch.relu(x @ p.inp)
        return torch.relu(by(x, x @ p.hid, 8 / n if falls else 0.125)) @ p.out

    assert found(audit(INP | HID | OUT, run)) == ({("MUP205", ("hid",))} if falls else set())


def test_a_long_sum_of_parameters() -> None:
    shifts: Tensors = {f"shift{i}": ((0,), float("-inf"), 0.0) for i in range(300)}

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        return torch.relu(x @ p.inp + sum(getattr(p, name) for name in shifts) / len(shifts)) @ p.out

    assert not found(audit(INP | OUT | shifts, run))


# -- constants that belong to what stands further away -----------------------------------------
def linear_attention(after: bool) -> Callable[..., object]:
    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        x = x @ p.inp
        h = F.layer_norm(x, x.shape[-1:])
        q, k, v = F.relu(h @ p.q), F.relu(h @ p.k), h @ p.v
        mixed = (q @ k.mT).tril() @ v * (4 / n) if after else (q @ k.mT * (4 / n)).tril() @ v
        return (x + mixed @ p.o) @ p.out

    return run


@pytest.mark.parametrize("after", [False, True])
def test_the_factor_of_linear_attention_behind_the_values(after: bool) -> None:
    hidden: Tensors = dict.fromkeys("qkvo", ((0, 0), -0.5, -1.0))
    assert not found(audit(INP | hidden | OUT, linear_attention(after)))
    wrong = hidden | {"v": ((0, 0), -0.5, 0.0)}
    assert found(audit(INP | wrong | OUT, linear_attention(after))) == {("MUP301", ("v",))}


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("names", [("q", "k", "v", "o"), ("q", "o"), ("v",)])
def test_one_rate_wrong_for_several_neighbours(names: tuple[str, ...], optimizer: str) -> None:
    """Every hidden weight N(0, 1) times n^-1/2 (neural tangent form): Adam needs n^-1/2, SGD n^1, of each."""
    right = -0.5 if optimizer == "Adam" else 1.0

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        x = x @ p.inp
        h = F.layer_norm(x, x.shape[-1:])
        q, k, v = (h @ w * n**-0.5 for w in (p.q, p.k, p.v))
        y = F.scaled_dot_product_attention(q, k, v, scale=1 / n)
        return F.layer_norm(x + y @ p.o * n**-0.5, x.shape[-1:]) @ p.out / n

    hidden: Tensors = {name: ((0, 0), 0.0, right + 0.5 if name in names else right) for name in "qkvo"}
    ends: Tensors = {"inp": ((5, 0), 0.0, 0.0 if optimizer == "Adam" else 1.0)}
    out: Tensors = {"out": ((0, 3), 0.0, 0.0 if optimizer == "Adam" else 1.0)}
    report = audit(ends | hidden | out, run, optimizer)
    assert {rule for rule, _ in found(report)} == {"MUP301"}
    assert {name for _, tensors in found(report) for name in tensors} == set(names)


def test_the_readout_is_to_blame_across_a_relu() -> None:
    """Input weights by fan_out, and a readout as PyTorch starts it: two mistakes, neither of which moves over."""
    tensors: Tensors = {"inp": ((5, 0), -0.5, 0.0), "out": ((0, 3), 0.0, 0.0)}
    report = audit(tensors, lambda p, x, n: torch.relu(x @ p.inp) @ p.out)
    assert found(report) == {("MUP102", ("inp",)), ("MUP202", ("out",))}


def test_a_gauge_that_is_open_moves_no_constant() -> None:
    """alpha·m with alpha at 1/m, applied twice, is right; the readout's missing factor is the one mistake."""

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        x = x @ p.inp
        for _ in range(2):
            x = x + torch.relu(x @ p.hid) @ p.down * (p.alpha * (n / BASE))
        return F.layer_norm(x, x.shape[-1:]) @ p.out

    loop: Tensors = {"down": ((0, 0), -0.5, -1.0), "alpha": ((1,), -1.0, -1.0)}
    assert not found(audit(INP | HID | loop | OUT, run))
    wrong = audit(INP | HID | loop | {"out": ((0, 3), 0.0, 0.0)}, run)
    assert found(wrong) == {("MUP202", ("out",))}


# -- what a norm removes -----------------------------------------
@pytest.mark.parametrize(("init", "rate"), [(-0.5, -1.0), (0.0, -0.5), (-1.0, -1.5), (0.0, 0.0), (-1.0, -1.0)])
def test_a_finite_product_that_is_normalised(init: float, rate: float) -> None:
    """From growing to finite, then a norm: only λ − s = −1/2 counts (s/n^-1/2 is what the norm divides by).

    Of the two, what departs from the tables is told: Adam's rate is n^-1 in all of them (TP5 Tables 3, 8, 9).
    """

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        y = torch.relu(x @ p.inp) @ p.down
        return torch.relu((y - y.mean(0)) / (y.var(0) + 1e-12).sqrt() if n < 0 else F.layer_norm(y, (16,))) @ p.head

    tensors: Tensors = INP | {"down": ((0, 16), init, rate), "head": ((16, 3), 0.0, 0.0)}
    wrong = "MUP103" if rate == -1.0 else "MUP303"
    assert found(audit(tensors, run)) == (set() if rate - init == -0.5 else {(wrong, ("down",))})


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_a_constant_before_a_norm_is_no_finding(scale: float) -> None:
    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        h = torch.tanh(x @ p.inp)
        scores = (h @ p.q) @ (h @ p.k).mT * n**-scale
        return F.layer_norm(scores.tril() @ (h @ p.v), (n,)) @ p.out

    hidden: Tensors = dict.fromkeys("qkv", ((0, 0), -0.5, -1.0))
    assert not found(audit(INP | hidden | OUT, run))


NORMED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "normalize": lambda w: F.normalize(w, dim=0),
    "norm": lambda w: w / w.norm(dim=0, keepdim=True),
    "square root": lambda w: w * (w.square().sum(0, keepdim=True) + 1e-12).rsqrt(),
}


@pytest.mark.parametrize("way", NORMED)
@pytest.mark.parametrize(("init", "rate"), [(-0.5, -1.0), (0.0, -0.5), (-0.5, 0.0)])
def test_a_weight_over_its_norm(way: str, init: float, rate: float) -> None:
    """Entries are n^-1/2 whatever the init; a step moves them by n^(λ − s − 1/2), which has to be n^-1."""
    report = audit(
        INP | {"hid": ((0, 0), init, rate)} | OUT,
        lambda p, x, n: torch.relu(torch.relu(x @ p.inp) @ NORMED[way](p.hid)) @ p.out,
    )
    assert found(report) == (set() if rate - init == -0.5 else {("MUP301", ("hid",))})


# -- functions of parameters -----------------------------------------
def test_a_weight_that_is_a_product_by_entries() -> None:
    """w ∘ g: the init of the product counts; a step of one factor counts times the size of the other."""

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        return torch.tanh(torch.tanh(x @ p.inp) @ (p.w * p.g)) @ p.out

    def errors(**tensors: tuple[float, float]) -> Errors:
        return found(audit(INP | {name: ((0, 0), *each) for name, each in tensors.items()} | OUT, run))

    assert not errors(w=(0.0, -0.5), g=(-0.5, -1.0))
    assert errors(w=(0.0, 0.0), g=(-0.5, -1.0)) == {("MUP301", ("w",))}
    assert errors(w=(0.0, -0.5), g=(-0.5, 0.0)) == {("MUP301", ("g",))}
    assert {rule for rule, _ in errors(w=(0.0, -1.0), g=(0.0, -1.0))} == {"MUP101"}


def test_a_tensor_as_exponent() -> None:
    """A decay to the power of a position is of size 1, and its parameter is a scalar."""

    def run(p: Net, x: torch.Tensor, n: int) -> torch.Tensor:
        decay = torch.exp(-torch.exp(p.decay)).unsqueeze(-1) ** torch.arange(6)
        return torch.tanh(x @ p.inp * decay.mean(0).unsqueeze(-1)) @ p.out

    assert not found(audit(INP | {"decay": ((4,), 0.0, 0.0)} | OUT, run))
    wrong = {"decay": ((4,), 0.0, -1.0)}
    assert {tensors for _, tensors in found(audit(INP | wrong | OUT, run))} == {("decay",)}


# -- what is normalised, however that is written ---------------------------------------------------
NORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "layer": lambda y: F.rms_norm(y, y.shape[-1:]),
    "normalize": lambda y: F.normalize(y, dim=-1),
    "over its root mean square": lambda y: y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6),
    "over its length": lambda y: y / y.norm(dim=-1, keepdim=True),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize("rate", [-0.75, 0.0])
def test_a_bottleneck_that_is_normalised_is_judged_by_its_rate_over_its_init(
    norm: str, slices: bool, rate: float
) -> None:
    # from n to 6, init −1/4: the norm takes the size away, so λ − s = −1/2 is right, whatever s is
    def run(p: nn.Module, x: torch.Tensor, n: int) -> torch.Tensor:
        h = torch.tanh(x @ p.inp)
        y = h[..., : n // 2] @ p.down[: n // 2] + h[..., n // 2 :] @ p.down[n // 2 :] if slices else h @ p.down
        return torch.tanh(NORMS[norm](y) @ p.up) @ p.out

    report = audit(INP | {"down": ((0, 6), -0.25, rate), "up": ((6, 0), 0.0, 0.0)} | OUT, run)
    assert found(report) == (set() if rate == -0.75 else {("MUP303", ("down",))})


@pytest.mark.parametrize("written", [lambda w: w / w.norm(dim=0, keepdim=True), lambda w: F.normalize(w, dim=0)])
@pytest.mark.parametrize("rate", [0.25, 1.25])
def test_rows_over_a_few_inputs_that_are_normalised(
    written: Callable[[torch.Tensor], torch.Tensor], rate: float
) -> None:
    report = audit(  # the length of a row of five is n^1/4, as its entries are: λ − s = 0 is right
        {"inp": ((5, 0), 0.25, rate)} | HID | OUT,
        lambda p, x, n: torch.tanh(torch.tanh(x @ written(p.inp)) @ p.hid) @ p.out,
    )
    assert found(report) == (set() if rate == 0.25 else {("MUP302", ("inp",))})


# -- sizes other than 1, and what a finding names --------------------------------------------------
def test_a_size_that_a_later_constant_takes_back_is_a_choice_and_one_rate_is_blamed() -> None:
    # hid makes n^1/2, the constant behind the relu takes it back; the readout's learning rate is too large by n
    report = audit(
        INP | {"hid": ((0, 0), 0.0, -0.5), "out": ((0, 3), -1.0, 0.0)},
        lambda p, x, n: ((torch.tanh(x @ p.inp) @ p.hid).relu() * (n / BASE) ** -0.5) @ p.out,
    )
    assert found(report) == {("MUP303", ("out",))}


@pytest.mark.parametrize("where", ["query", "key", "logits"])
def test_the_line_of_an_attention_finding_is_where_its_constant_stands(where: str) -> None:
    def run(p: nn.Module, x: torch.Tensor, n: int) -> torch.Tensor:
        h = torch.tanh(x @ p.inp)
        q = h @ p.q
        q = q * (n**-0.5 if where == "query" else 1.0)
        k = (h * (n / BASE) ** 0.25) @ p.k
        k = k * (n / BASE) ** -0.25
        k = k * (n**-0.5 if where == "key" else 1.0)
        s = q @ k.mT
        s = s * (n**-0.5 if where == "logits" else 1.0)
        return torch.tanh(torch.tanh(s.softmax(-1) @ (h @ p.v)) @ p.hid) @ p.out

    heads: Tensors = dict.fromkeys(("q", "k", "v"), ((0, 0), -0.5, -1.0))
    report = audit(INP | heads | HID | OUT, run)
    (violation,) = [v for v in report.violations if v.severity == "error"]
    line = run.__code__.co_firstlineno + {"query": 3, "key": 6, "logits": 8}[where]
    assert (violation.rule, violation.line) == ("MUP201", line)


def test_a_module_whose_constant_is_wrong_is_one_finding() -> None:
    class Scaled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.m = width / BASE
            self.a, self.b = nn.Linear(5, width), nn.Linear(width, width)
            self.c = nn.Linear(width, 3, bias=False)
            for layer in (self.a, self.b):
                nn.init.zeros_(layer.bias)
            nn.init.zeros_(self.c.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.c(torch.tanh(self.b(torch.tanh(self.a(x))) / self.m))

    def optimizer(model: Scaled) -> torch.optim.Optimizer:
        falling = {"params": [model.b.weight, model.c.weight], "lr": 1e-3 / model.m}
        return torch.optim.Adam([falling, {"params": [*model.a.parameters(), model.b.bias]}], lr=1e-3, eps=1e-15)

    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    report = muaudit.check(Scaled, batch=lambda width: x, optimizer=optimizer, widths=(64, 128))
    assert found(report) == {("MUP205", ("b.weight", "b.bias"))}


@pytest.mark.parametrize(("eps", "blamed"), [(1e-15, False), (1.0, True)])
def test_eps_is_judged_where_a_gradient_has_an_effect(eps: float, blamed: bool) -> None:
    class Attention(nn.Module):  # a bias of keys moves all logits of a query alike, which the softmax takes away
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inp, self.q, self.k = nn.Linear(5, width), nn.Linear(width, 8), nn.Linear(width, 8)
            self.gain, self.out = nn.LayerNorm(width), nn.Linear(width, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.tanh(self.inp(x))
            return self.out(self.gain((self.q(h) @ self.k(h).mT).softmax(-1) @ h))

    def optimizer(model: Attention) -> torch.optim.Optimizer:
        biases = [p for name, p in model.named_parameters() if name in ("k.bias", "gain.weight")]
        rest = [p for name, p in model.named_parameters() if name not in ("k.bias", "gain.weight")]
        return torch.optim.Adam([{"params": biases, "eps": eps}, {"params": rest}], lr=1e-3, eps=1e-15)

    x = torch.randn(8, 6, 5, generator=torch.Generator().manual_seed(0))
    report = muaudit.check(Attention, batch=lambda width: x, optimizer=optimizer, widths=(64, 128))
    named = {name for v in report.violations if v.rule == "MUP311" for name in v.tensors}
    assert named == ({"gain.weight"} if blamed else set())


# -- a fix that is applied is the end of it --------------------------------------------------------
RIGHT: Tensors = INP | HID | {"out": ((0, 3), -1.0, -1.0)}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize(("init", "rate"), [(0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (0.5, -0.5), (0.0, 0.5), (1.0, 0.0)])
def test_after_what_a_finding_asks_for_nothing_is_found(name: str, init: float, rate: float) -> None:
    shape, start, falls = RIGHT[name]
    tensors, constant = RIGHT | {name: (shape, start + init, falls + rate)}, dict.fromkeys(RIGHT, 0.0)
    for _ in range(2):  # once as it is, once mended

        def run(p: nn.Module, x: torch.Tensor, n: int, constant: dict[str, float] = dict(constant)) -> torch.Tensor:  # noqa: B006
            c = {each: (n / BASE) ** exponent for each, exponent in constant.items()}
            return torch.tanh(torch.tanh(x @ p.inp * c["inp"]) @ p.hid * c["hid"]) @ p.out * c["out"]

        report = audit(tensors, run)
        for v in (v for v in report.violations if v.severity == "error"):
            (blamed,) = v.tensors
            assert blamed == name
            shape, start, falls = tensors[name]
            if v.rule[3] == "2":
                constant[name] += v.expected_exponent - v.found_exponent
            elif v.rule[3] == "1":
                tensors = tensors | {name: (shape, v.expected_exponent, falls)}
            else:
                tensors = tensors | {name: (shape, start, v.expected_exponent)}
    assert not [v for v in report.violations if v.severity == "error"]


@pytest.mark.parametrize("function", [torch.relu, torch.tanh])
def test_a_fixed_init_is_wrong_and_no_size_of_activations(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    # std 0.02 and one learning rate for everything: values of n^1/2 would excuse the init, but not the learning rate
    report = audit(
        {"inp": ((5, 0), 0.0, 0.0), "hid": ((0, 0), 0.0, 0.0), "out": ((0, 3), 0.0, 0.0)},
        lambda p, x, n: function(function(x @ p.inp) @ p.hid) @ p.out,
    )
    assert found(report) == {("MUP101", ("hid",)), ("MUP301", ("hid",)), ("MUP202", ("out",))}


@pytest.mark.parametrize("family", ["LagunaForCausalLM", "Kolibri1ForCausalLM"])
def test_constants_that_nobody_wrote_explain_nothing(family: str) -> None:
    """Standard models with gates and routers: constants on gains and embeddings would make the readouts right."""
    pytest.importorskip("transformers")
    report = audit_target(resolve(f"transformers:{family}"))
    assert report.verdict == "standard"
    assert {each.rule for each in report.violations if each.severity == "error"} == {"MUP101", "MUP202", "MUP301"}


class Decoder(nn.Module):
    """A decoder as people write it: norms with gains, pre-norm blocks, one learning rate under SGD."""

    def __init__(self, n: int, norm: type[nn.Module], gated: bool, bias: bool) -> None:
        super().__init__()
        self.emb, self.head, self.norm = nn.Embedding(11, n), nn.Linear(n, 11, bias=False), norm(n)
        nn.init.normal_(self.emb.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(n, norm, gated, bias) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.emb(x)
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.head(self.norm(x))
        return out


class Block(nn.Module):
    def __init__(self, n: int, norm: type[nn.Module], gated: bool, bias: bool) -> None:
        super().__init__()
        self.ln1, self.ln2 = norm(n), norm(n)
        self.qkv, self.proj = nn.Linear(n, 3 * n, bias), nn.Linear(n, n, bias)
        self.up, self.down = nn.Linear(n, 4 * n, bias), nn.Linear(4 * n, n, bias)
        self.gate = nn.Linear(n, 4 * n, bias) if gated else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in self.qkv(self.ln1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
        x = x + self.proj(y)
        h = self.ln2(x)
        inner = F.gelu(self.up(h)) if self.gate is None else F.silu(self.gate(h)) * self.up(h)
        out: torch.Tensor = x + self.down(inner)
        return out


@pytest.mark.parametrize(("norm", "gated", "bias"), [(nn.LayerNorm, False, True), (nn.RMSNorm, True, False)])
def test_activations_of_another_size_excuse_no_gains(norm: type[nn.Module], gated: bool, bias: bool) -> None:
    """Behind gains of n^-1/2 every learning rate of SGD would be right (TP5 Table 3: vectors need n^1), but none is."""
    report = muaudit.check(
        lambda width: Decoder(width, norm, gated, bias),
        batch=lambda width: torch.arange(44).reshape(4, 11) % 11,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        widths=(64, 128),
    )
    assert report.verdict == "standard"
    errors = {each.rule for each in report.violations if each.severity == "error"}
    assert errors == {"MUP201", "MUP202", "MUP302", "MUP305"} | ({"MUP208", "MUP304"} if bias else set())


@pytest.mark.parametrize(("optimizer", "gain", "head"), [("Adam", 0.5, -1.5), ("SGD", 2.0, -2.0)])
def test_a_size_that_a_learning_rate_was_written_for_is_believed(optimizer: str, gain: float, head: float) -> None:
    """A gain of n^1/2 before the readout, in inits and rates of both (Lemma J.1), but for the init of the gain."""
    inp = {"inp": ((5, 0), 0.0, 1.0 if optimizer == "SGD" else 0.0)}
    tensors: Tensors = {**inp, "gain": ((0,), 0.0, gain), "out": ((0, 3), -1.5, head)}
    report = audit(
        tensors, lambda p, x, n: (F.layer_norm(torch.tanh(x @ p.inp), (n,)) * p.gain) @ p.out, optimizer=optimizer
    )
    assert {tensors for _, tensors in found(report)} == {("gain",)}
    (violation,) = (v for v in report.violations if v.severity == "error")
    assert (violation.found_exponent, violation.expected_exponent) == (0.0, 0.5)


def test_a_constant_behind_a_layer_of_every_block_is_one() -> None:
    """relu(x W) n^3/4 in two blocks, whose weights were made for n^-1/4: one constant, behind what both make."""
    weights: Tensors = dict.fromkeys(("blocks.0.w", "blocks.1.w"), ((0, 0), -0.25, -0.75))

    class Blocks(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.n = n
            self.inp, self.head = nn.Linear(5, n, bias=False), nn.Linear(n, 3, bias=False)
            self.blocks = nn.ModuleList(Scaled(n) for _ in range(2))
            for name, p in self.named_parameters():
                init = weights.get(name, ((), {"inp.weight": 0.0}.get(name, -1.0), 0.0))[1]
                nn.init.normal_(p, std=BASE**-0.5 * (n / BASE) ** init)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.tanh(self.inp(x))
            for block in self.blocks:
                x = block(x)
            out: torch.Tensor = self.head(x)
            return out

    class Scaled(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(n, n))
            self.c = (n / BASE) ** 0.75

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x @ self.w) * self.c

    def adam(model: Blocks) -> torch.optim.Optimizer:
        rates = {"inp.weight": 0.0, "head.weight": -1.0}
        groups = [
            {"params": [p], "lr": 1e-3 * (model.n / BASE) ** rates.get(name, -0.75)}
            for name, p in model.named_parameters()
        ]
        return torch.optim.Adam(groups)

    report = muaudit.check(
        Blocks, batch=lambda width: torch.randn(8, 5, generator=torch.Generator().manual_seed(0)), optimizer=adam,
        loss=lambda out, x: F.cross_entropy(out, torch.arange(8) % 3), widths=(64, 128),
    )  # fmt: skip
    assert found(report) == {("MUP205", ("blocks.0.w", "blocks.1.w"))}
