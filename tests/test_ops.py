"""Each operation is declared once: what is declared holds of torch, and one line makes a new one understood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import muaudit
from muaudit import ops
from muaudit.findings.model import Report
from muaudit.ops.functions import Derivative, Function, Homogeneous
from muaudit.ops.moves import Moves, SizedByData
from muaudit.ops.products import Contracts
from muaudit.program.builder import LOWERINGS

DECLARED = ops.DECLARATIONS.by_name
MARKERS = {"getitem", "function_input", "written_alias"}


@torch.library.custom_op("muaudit_tests::gate", mutates_args=())
def gate(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.7 * x)


@torch.library.custom_op("muaudit_tests::mirror", mutates_args=())
def mirror(x: torch.Tensor) -> torch.Tensor:
    return x.flip(-1)


def _saved(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _slope(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
    (x,) = ctx.saved_tensors
    share = torch.sigmoid(1.7 * x)
    return gradient * (share + 1.7 * x * share * (1 - share))


gate.register_autograd(_slope, setup_context=_saved)
mirror.register_autograd(lambda ctx, gradient: gradient.flip(-1))


class Net(nn.Module):
    """Two hidden layers with operations between them that no library but this test has."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(gate(self.hidden(mirror(gate(self.embed(x))))))


class Plain(Net):
    """The same in torch's own words."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        silu = nn.functional.silu
        return self.head(silu(self.hidden(silu(self.embed(x)).flip(-1))))


def audited(model: type[nn.Module]) -> Report:
    return muaudit.check(model, batch=lambda width: torch.randn(4, 8), widths=(32, 64))


def test_an_operation_not_known_today_is_listed_and_one_line_makes_it_understood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unknown = {each.reason for each in audited(Net).unanalysed}
    assert unknown == {f"the operation muaudit_tests.{name} is not understood" for name in ("gate", "mirror")}

    monkeypatch.setitem(DECLARED, "muaudit_tests.gate", Function(low=1, high=1))
    monkeypatch.setitem(DECLARED, "muaudit_tests.mirror", Moves())
    found, usual = audited(Net), audited(Plain)
    assert not found.unanalysed
    assert [(v.rule, v.tensors) for v in found.violations] == [(v.rule, v.tensors) for v in usual.violations]
    assert [(a.init_exponent, a.update_exponent) for a in found.activations] == [
        (a.init_exponent, a.update_exponent) for a in usual.activations
    ]
    assert [(row.roles, row.lr_required) for row in found.tensors] == [
        (row.roles, row.lr_required) for row in usual.tensors
    ]


class Various(nn.Module):
    """Table 3, with operations between its layers that keep activations of size 1 by what they are defined to be."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        start = torch.Generator().manual_seed(0)
        self.embed, self.hidden, self.blocks = (
            nn.Parameter(torch.randn(*shape, generator=start) * shape[-2] ** -0.5)
            for shape in ((8, n), (n, n), (2, n // 2, n // 2))
        )
        self.head = nn.Parameter(torch.zeros(n, 4))
        self.gain, self.bias = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(x @ self.embed)
        y = h @ torch.lerp(self.hidden, self.hidden.detach(), 0.5) @ torch.diag(self.gain)
        z = (
            (torch.complex(h, y) * torch.exp(1j * h)).imag
            + torch.polar(y, h).real
            + torch.hypot(y, h)
            + torch.atan2(y, h)
        )
        z = torch.logaddexp(z, y) + torch.copysign(y, h) + y % 1.0
        z = torch.tanh(z + torch.stack([torch.addmv(self.bias, torch.block_diag(*self.blocks), row) for row in z]))
        z = z + (torch.autograd.grad(torch.sin(y).sum(), y, create_graph=True)[0] + self.bias)
        places = x[:, :2].view(1, 2, 2, 2)
        image = nn.functional.grid_sample(z.view(1, 2, 2, -1).permute(0, 3, 1, 2), places, align_corners=False)
        z = z + torch.func.jvp(torch.tanh, (y,), (h,))[1] + image.flatten(2)[0].mT
        return (
            nn.utils.rnn.pack_padded_sequence(z.view(2, 2, -1), torch.tensor([2, 1]), batch_first=True).data @ self.head
        )


def test_rarer_operations_keep_the_sizes_that_their_definitions_say() -> None:
    def optimizer(model: nn.Module, off: str = "") -> torch.optim.Optimizer:
        falls = ("hidden", "blocks", "head", off)
        return torch.optim.Adam([
            {"params": [p], "lr": 0.1 / model.n if name in falls else 1e-3} for name, p in model.named_parameters()
        ])  # fmt: skip

    for off, blamed in (("", []), ("gain", [("MUP305", ("gain",))])):  # a diagonal is a gain, not a matrix
        report = muaudit.check(Various, batch=lambda width: torch.rand(4, 8), widths={"n": (32, 64)},
                               loss=lambda out, batch: (out - 1).square().mean(),
                               optimizer=lambda model, off=off: optimizer(model, off))  # fmt: skip
        assert not report.unanalysed
        assert [(v.rule, v.tensors) for v in report.violations if v.severity != "advice"] == blamed


Made = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
MATRICES: dict[str, Made] = {  # of a kernel of few rows, and of values; both of size 1
    "inverse": lambda kernel, v: torch.linalg.inv(kernel + torch.eye(4)) @ v,
    "solve": lambda kernel, v: torch.linalg.solve(kernel + torch.eye(4), v),
    "root": lambda kernel, v: torch.linalg.cholesky(kernel + torch.eye(4)) @ v,
    "exponential": lambda kernel, v: torch.matrix_exp(kernel) @ v,
    "eigenvalues": lambda kernel, v: torch.linalg.eigvalsh(kernel)[:, None] * v,
    "determinant": lambda kernel, v: torch.det(kernel + torch.eye(4)) * v,
    "many columns": lambda kernel, v: torch.linalg.qr(v.mT)[0].mT * v.shape[-1] ** 0.5 + kernel @ v,
    "singular values": lambda kernel, v: torch.linalg.svdvals(v)[:, None] * v.shape[-1] ** -0.5 + kernel @ v,
    "angle": lambda kernel, v: torch.complex(kernel @ v, v).angle(),
}


class Kernel(nn.Module):
    """Table 3 with zero biases; a matrix of scalar products between the layers."""

    def __init__(self, n: int, made: Made, constant: float) -> None:
        super().__init__()
        self.made, self.constant = made, constant
        self.embed, self.hidden, self.head = (nn.Linear(i, o, bias=False) for i, o in ((8, n), (n, n), (n, 4)))
        nn.init.normal_(self.embed.weight)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.embed(x))
        return self.head(torch.tanh(self.hidden(torch.tanh(self.made(h @ h.mT * self.constant, h)))))


@pytest.mark.parametrize("name", MATRICES)
def test_functions_of_whole_matrices_keep_to_their_degree(name: str) -> None:
    """f(t·A) = tᵖ·f(A), with p from linear algebra: the kernel needs 1/n in front of all but what has p = 0."""
    for power in (-1.0, -0.5):
        report = muaudit.check(
            lambda n, power=power: Kernel(n, MATRICES[name], n**power),
            batch=lambda width: torch.randn(4, 8), widths=(64, 128),
            optimizer=lambda model: torch.optim.Adam([
                {"params": [p], "lr": 1e-3 if name == "embed.weight" else 0.1 / model.head.in_features}
                for name, p in model.named_parameters()
            ]),
        )  # fmt: skip
        assert not report.unanalysed
        found = {v.rule for v in report.violations if v.severity == "error"}
        assert found == ({"MUP206"} if power > -1 else set())


class Scaled(Net):
    """A constant that the size of what nobody knows may ask for, and a gain behind it."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = self.gain.shape[0]
        return self.head(torch.tanh(n**0.5 * self.gain * torch.ops.muaudit_tests.mirror(self.embed(x))))


def test_a_constant_behind_what_is_not_understood_is_no_mistake_of_what_follows() -> None:
    report = audited(Scaled)
    assert {each.reason for each in report.unanalysed} >= {"the operation muaudit_tests.mirror is not understood"}
    assert not any("gain" in violation.tensors for violation in report.violations)


@pytest.mark.parametrize("name", sorted(DECLARED.keys() - MARKERS))
def test_what_is_declared_is_an_operation_of_torch(name: str) -> None:
    assert hasattr(torch.ops.aten, name) or hasattr(torch.ops.aten, f"{name}_")


def test_every_way_of_treating_sizes_is_lowered() -> None:
    ways = {type(operation) for operation in DECLARED.values()}
    assert ways - LOWERINGS.keys() == {SizedByData}  # whose results have no size to speak of


def test_an_operation_is_declared_once() -> None:
    with pytest.raises(ValueError, match="gelu is declared twice"):
        ops.Declarations({"gelu": Moves()}, {"gelu": Homogeneous(1.0, signed=True)})


def test_in_place_is_the_same_operation() -> None:
    assert ops.of("aten.add_") is ops.of("aten.add") is ops.of("add") is not None
    assert ops.of("library.add") is None


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "threshold": (0, 0), "rrelu_with_noise": (torch.zeros(64),), "rrelu_with_noise_functional": (torch.zeros(64),)
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, what in DECLARED.items() if isinstance(what, Homogeneous)])
def test_degree_and_sign_of_homogeneous_functions(name: str) -> None:
    """f(3x) = 3ᵖ·f(x), for x > 0 alone where f is not defined below; values of both signs where both are said."""
    what, function = DECLARED[name], getattr(torch.ops.aten, name)
    assert isinstance(what, Homogeneous)
    x = torch.randn(64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x.abs() if name in ("sqrt", "rsqrt") else x
    once, thrice = (function(each, *ARGUMENTS.get(name, ())) for each in (x, 3 * x))
    once, thrice = (each[0] if isinstance(each, tuple) else each for each in (once, thrice))
    torch.testing.assert_close(thrice, 3**what.degree * once)
    assert bool((once < 0).any()) == what.signed


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "elu", "celu", "selu", "hardswish", "tanh", "erf", "atan",
                                  "softplus", "sigmoid", "hardsigmoid"])  # fmt: skip
def test_degrees_of_functions_near_zero_and_far_out(name: str) -> None:
    what, function = DECLARED[name], getattr(torch.ops.aten, name)
    assert isinstance(what, Function)
    for degree, at in ((what.low, 1e-6), (what.high, 1e9)):
        small, large = function(torch.tensor([at, 10 * at], dtype=torch.float64)).abs()
        assert float(torch.log10(large / small)) == pytest.approx(degree, abs=1e-3)


@pytest.mark.parametrize("name", [name for name, what in DECLARED.items() if isinstance(what, Derivative)])
def test_a_derivative_is_that_of_a_declared_function(name: str) -> None:
    base = name.removesuffix("_backward")
    homogeneous = isinstance(DECLARED[base], Homogeneous)
    assert homogeneous == DECLARED[name].homogeneous  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["mm", "bmm", "addmm", "baddbmm"])
def test_what_a_product_contracts(name: str) -> None:
    what = DECLARED[name]
    assert isinstance(what, Contracts)
    batch = (2,) if "bmm" in name else ()
    factors = {what.first: torch.ones(*batch, 3, 5), what.second: torch.ones(*batch, 5, 4)}
    added = {} if what.added is None else {what.added: torch.zeros(*batch, 3, 4)}
    out = getattr(torch.ops.aten, name)(*(value for _, value in sorted((factors | added).items())))
    assert out.shape == (*batch, 3, 4)
    assert bool((out == 5).all())
