"""Expected sizes at a width: against limits worked out by hand, and against a model that is trained."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from muaudit.audit import audit
from muaudit.capture.overlap import overlap
from muaudit.expect import expect
from muaudit.scaling.sizes import attended
from muaudit.target import from_functions

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
