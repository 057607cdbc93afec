"""Expected sizes at a width: against limits worked out by hand, and against a model that is trained."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from muaudit.audit import audit
from muaudit.expect import expect
from muaudit.scaling.first import come
from muaudit.scaling.sizes import attended
from muaudit.targets import from_functions
from muaudit.trace.overlap import overlap
from muaudit.trace.recorder import record
from muaudit.trace.response import responses
from muaudit.training.first import Descent, measured

LR = 1e-3


class Net(nn.Module):
    """Two layers as PyTorch initializes them, in single or double precision."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width, bias=False)
        self.hidden = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(self.first(x)))


X = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(6) % 4


def target(optimizer=torch.optim.Adam, **options):
    return from_functions(
        Net, lambda width: X, lambda output, batch: F.cross_entropy(output, LABELS),
        lambda model: optimizer(model.parameters(), lr=LR, **options), widths=(64, 128),
    )  # fmt: skip


def one_step(width: int, optimizer, lr: float, **options) -> dict[str, float]:
    """Root mean square of the change of every layer's output after one small step, per unit of lr."""
    torch.manual_seed(width)
    model, seen = Net(width).double(), {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda _, args, output, name=name: seen.setdefault(name, []).append(output))
    loss = F.cross_entropy(model(X.double()), LABELS)
    loss.backward()
    optimizer(model.parameters(), lr=lr, **options).step()
    model(X.double())
    return {name: float((b - a).detach().square().mean().sqrt()) / lr for name, (a, b) in seen.items()}


@pytest.mark.parametrize(
    ("optimizer", "options"), [(torch.optim.Adam, {"eps": 1e-15}), (torch.optim.SGD, {})], ids=["Adam", "SGD"]
)
def test_slopes_and_sizes_of_changes_are_those_of_one_small_step(optimizer, options):
    expected = expect(target(optimizer, **options))
    widths = (512, 1024)
    narrow, wide = (one_step(width, optimizer, 1e-7, **options) for width in widths)
    for name, slopes in expected.slopes(widths).items():
        if name in narrow:
            measured = math.log2(wide[name] / narrow[name])
            assert abs(slopes.update - measured) < 0.25, name
            size = expected.sizes(1024)[name][1] / LR
            assert size / wide[name] == pytest.approx(1, abs=0.6), name


def trained(width: int, lr: float, steps: int) -> dict[str, float]:
    """Root mean square of the change of every layer's output after some steps of Adam; mean of the logarithms."""
    found: dict[str, list[float]] = {}
    for seed in range(4):
        torch.manual_seed(seed)
        model, seen = Net(width), {}
        for name, module in model.named_children():
            module.register_forward_hook(
                lambda _, args, out, name=name, seen=seen: seen.setdefault(name, []).append(out)
            )
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(X), LABELS).backward()
            optimizer.step()
        model(X)
        for name, outputs in seen.items():
            found.setdefault(name, []).append(
                math.log(float((outputs[-1] - outputs[0]).detach().square().mean().sqrt()))
            )
    return {name: math.exp(sum(each) / len(each)) for name, each in found.items()}


@pytest.mark.parametrize("lr", [1e-4, 1e-3, 1e-2])
def test_changes_after_three_updates_also_where_the_first_has_learned_the_batch(lr):
    # at 1e-2 one update moves the outputs of the widest by tens, and the loss is 0 after it
    subject = from_functions(
        Net, lambda width: X, lambda output, batch: F.cross_entropy(output, LABELS),
        lambda model: torch.optim.Adam(model.parameters(), lr=lr), widths=(64, 128),
    )  # fmt: skip
    expected = expect(subject, steps=3)
    for width in (64, 2048):
        for name, change in trained(width, lr, 3).items():
            assert expected.sizes(width)[name][2] / change == pytest.approx(1, abs=0.4), (width, name)


def test_far_out_the_slopes_are_the_exponents():
    # Standard parametrization under Adam: hidden +1 by its own update, readout +1.5 through the change that it is given
    slopes = expect(target()).slopes((10**8, 2 * 10**8))
    assert slopes["hidden"].init == pytest.approx(0, abs=0.02)
    assert slopes["hidden"].update == pytest.approx(1, abs=0.02)
    assert slopes["head"].update == pytest.approx(1.5, abs=0.05)


def test_a_gradient_far_below_eps_moves_weights_less_but_not_in_the_linear_response():
    usual, drowned = expect(target()), expect(target(eps=1.0))
    width = 512
    for name in ("first", "hidden", "head"):
        assert drowned.sizes(width)[name][2] < 0.2 * usual.sizes(width)[name][2]
        assert drowned.sizes(width)[name][1] == pytest.approx(usual.sizes(width)[name][1])


class OnlyHead(nn.Module):
    """Two logits of one example; nothing learns but the readout, so that they move apart along (1, -1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width, bias=False).requires_grad_(False)
        self.head = nn.Linear(width, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.first(x))


def test_what_is_left_of_the_gradient_is_that_of_the_loss_further_along():
    subject = from_functions(
        OnlyHead, lambda width: X[:1], lambda output, batch: F.cross_entropy(output, LABELS[:1]),
        lambda model: torch.optim.SGD(model.parameters(), lr=LR), widths=(64, 128),
    )  # fmt: skip
    found = audit(subject).derivations
    outputs = [v for name, v in found.activations.items() if name.startswith("(output)")]
    descent = Descent(subject, found, outputs)
    apart = []  # of the two logits at initialization
    for _, (logits,) in descent.before:
        apart.append(float(logits.meta["value"][0, 0] - logits.meta["value"][0, 1]))
    for moved in (0.1, 1.0, 3.0):  # each logit: the right one up, the other one down
        wanted = sum((1 + math.exp(a)) / (1 + math.exp(a + 2 * moved)) for a in apart) / len(apart)
        assert descent.at(moved) == pytest.approx((wanted, wanted), rel=1e-6)


def way(gradients: list[float], momentum: float | None) -> float:
    """How far SGD takes an entry in units of the learning rate, or Adam (arXiv 1412.6980, Algorithm 1) without one."""
    first = second = total = 0.0
    for t, g in enumerate(gradients, 1):
        if momentum is None:
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            total += first / (1 - 0.9**t) / math.sqrt(second / (1 - 0.999**t))
        else:
            first = momentum * first + g
            total += first
    return total


@pytest.mark.parametrize(
    ("optimizer", "momentum"), [(torch.optim.SGD, 0.0), (torch.optim.SGD, 0.9), (torch.optim.Adam, None)]
)
def test_parameters_come_as_far_as_the_optimizer_takes_them_with_what_is_left_of_the_gradient(optimizer, momentum):
    subject = target(optimizer, **({} if momentum is None else {"momentum": momentum}))
    path = measured(subject, audit(subject).derivations, 3).paths["hidden.weight"]
    ways = [way([1.0, left, left**2], momentum) for left in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert [each / path[-1][0] for each in path[-1]] == pytest.approx([each / ways[0] for each in ways], rel=0.01)
    if momentum == 0.0:  # three updates in independent directions
        assert path[0][-1] / path[-1][0] == pytest.approx(math.sqrt(3), rel=0.02)
    assert come(path, 1.0, 0.6) == pytest.approx(0.6 * path[-1][2] + 0.4 * path[-1][3])


def test_parts_of_a_changed_product_tell_aligned_factors_from_independent_ones():
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(512, 32, generator=torch.Generator().manual_seed(3)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    x, model = torch.randn(1, 512, generator=torch.Generator().manual_seed(4)), Product()
    for direction, larger in ((x.T.expand(-1, 32), 512.0), (torch.randn(512, 32), math.sqrt(512))):
        before = record(model, (x,), {}, torch.sum, values=True)
        with torch.no_grad():
            model.weight += 0.01 * direction
        found = responses(before, record(model, (x,), {}, torch.sum, values=True))
        (answer,) = (each for each in found.values() if each.product is not None)
        assert answer.product.parts == (0.0, pytest.approx(larger, rel=0.35 if larger < 100 else 1e-4))
        assert answer.product.change == pytest.approx(answer.change, rel=1e-3)


class Faint(nn.Module):
    """A norm, spelled out, of values so small that its eps counts: 0.001 at width 64, and growing like n^1/2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.hidden = nn.Linear(8, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        nn.init.normal_(self.hidden.weight, std=2e-4)
        self.norm = Norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.hidden(self.first(x))))


class Norm(nn.Module):
    """RMSNorm without a gain."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def test_the_eps_of_a_norm_counts_where_values_are_small():
    subject = from_functions(
        Faint, lambda width: X, lambda output, batch: F.cross_entropy(output, LABELS),
        lambda model: torch.optim.Adam(model.parameters(), lr=LR), widths=(64, 128),
    )  # fmt: skip
    expected = expect(subject)
    for width in (64, 512, 4096):
        torch.manual_seed(0)
        model = Faint(width)
        size = float(model.norm(model.hidden(model.first(X))).detach().square().mean().sqrt())
        assert expected.sizes(width)["norm"][0] == pytest.approx(size, rel=0.15), width


class Depthwise(nn.Module):
    """A convolution from finite to width, one that keeps channels apart, a readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, width, 1, bias=False)
        self.apart = nn.Conv1d(width, width, 3, groups=width, padding=1, bias=False)
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.apart(self.first(x))[..., 0])


def test_a_gradient_passes_a_depthwise_convolution_channel_by_channel():
    signal = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(2))
    subject = from_functions(
        Depthwise, lambda width: signal, lambda output, batch: F.cross_entropy(output, LABELS),
        lambda model: torch.optim.SGD(model.parameters(), lr=LR), widths=(64, 128),
    )  # fmt: skip
    gradients = []
    for width in (64, 1024):
        torch.manual_seed(width)
        model = Depthwise(width)
        F.cross_entropy(model(signal), LABELS).backward()
        gradients.append(float(model.first.weight.grad.square().mean().sqrt()))
    slope = math.log(gradients[1] / gradients[0]) / math.log(16)
    assert slope == pytest.approx(-0.5, abs=0.1)  # that of the readout's weights: nothing sums over the channels
    report = audit(subject)
    assert report.derivations.prediction.param_gradients["first.weight"] == pytest.approx(-0.5)
    # moved by lr · n^-1/2 where µP wants lr · 1
    assert {row.name: row for row in report.activations}["first"].update_exponent == pytest.approx(-0.5)


def test_overlap_is_one_for_equal_vectors_and_a_share_for_independent_ones():
    one = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    many = torch.randn(16, 4096, generator=torch.Generator().manual_seed(0))
    assert overlap(one.expand(16, -1)).whole == pytest.approx(1)
    assert overlap(many).whole == pytest.approx(1 / 16, rel=0.05)
    assert overlap(many + 5 * one).whole > 0.8
    assert overlap(many + 5 * one).centred == pytest.approx(1 / 15, rel=0.1)


def test_attention_that_changes_little_changes_in_proportion_and_never_by_more_than_all_of_it():
    # softmax at equal logits: da = (x - mean x) / keys
    _, small = attended(0.0, 1e-4, 8)
    assert small == pytest.approx(1e-4 / 8 * math.sqrt(7 / 8), rel=0.05)
    init, large = attended(0.0, 1e4, 8)
    assert init == pytest.approx(1 / 8)
    assert large == pytest.approx(math.sqrt((1 / 8) * (1 - 1 / 8)), rel=0.01)  # all on one key
