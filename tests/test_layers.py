"""Layers, subscripts and logits: which tensors are wrong is worked out by hand, the default init and Adam throughout.

As in `test_architectures`: a hidden weight of PyTorch's default init has too large a learning rate (MUP301), a readout
lacks its multiplier (MUP202), and nothing else is wrong unless a comment says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import layers as zoo
from test_architectures import ROWS, SEQUENCE, audit, errors, expected
from torch import nn
from torch.nn.utils import parametrizations

import muaudit

QKV = "attention.in_proj_weight attention.out_proj.weight"
ATTENTION = {("MUP201", "")}


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("grow", ["heads", "head size"])
def test_torch_s_own_attention_scales_by_the_root_of_the_head_size(grow: str, weights: bool) -> None:
    """1/sqrt(d) is a constant while heads of a fixed size are added, and wrong when the heads grow."""
    found = errors(audit(lambda n: zoo.SelfAttention(n, n // 16 if grow == "heads" else 4, weights), SEQUENCE))
    assert found == expected(QKV, "head.weight") | (ATTENTION if grow == "head size" else set())


@pytest.mark.parametrize("name", zoo.LOGITS)
def test_logits_of_heads_that_grow(name: str) -> None:
    """Trained queries and keys are aligned: their product sums to d (TP5, arXiv 2203.03466, section 4)."""
    logits, right = zoo.LOGITS[name]
    found = errors(audit(lambda n: zoo.WiderHeads(n, logits), SEQUENCE))
    assert found == expected("qkv.weight out.weight", "head.weight") | (set() if right else ATTENTION)


@pytest.mark.parametrize("kind", ["learned", "rotary", "rotary, complex"])
def test_positions(kind: str) -> None:
    found = errors(audit(lambda n: zoo.Positions(n, kind), SEQUENCE))
    assert found == expected("qkv.weight out.weight", "head.weight")


RECURRENT: dict[str, tuple[Callable[[int], nn.Module], set[tuple[str, str]]]] = {
    "two layers": (
        lambda n: zoo.Cells(n, nn.GRU, num_layers=2),
        expected("cell.weight_ih_l0 cell.weight_hh_l0 cell.weight_ih_l1 cell.weight_hh_l1", "head.weight"),
    ),
    "both ways": (
        lambda n: zoo.Cells(n, nn.LSTM, bidirectional=True),
        expected("cell.weight_ih_l0 cell.weight_hh_l0 cell.weight_ih_l0_reverse cell.weight_hh_l0_reverse",
                 "head.weight"),
    ),
    # the state is read out to 8 numbers; what comes back in from these is an input, whose std must not shrink like
    # 1/sqrt(hidden size), as torch draws it
    "projected": (
        lambda n: zoo.Cells(n, nn.LSTM, proj_size=8),
        expected("cell.weight_ih_l0", "cell.weight_hr_l0") | {("MUP102", "cell.weight_hh_l0")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name: str) -> None:
    build, wanted = RECURRENT[name]
    assert errors(audit(build, SEQUENCE)) == wanted


@pytest.mark.parametrize("name", zoo.EINSUMS)
def test_einsum(name: str) -> None:
    assert errors(audit(zoo.einsum(name), ROWS)) == expected(zoo.EINSUMS[name][1], "head.weight")


@pytest.mark.parametrize(("power", "right"), [(0.0, False), (-0.5, False), (-1.0, True)])
def test_an_inner_product_of_two_towers_needs_one_over_n(power: float, right: bool) -> None:
    assert errors(audit(lambda n: zoo.DotProduct(n, power), ROWS)) == (set() if right else {("MUP206", "")})


def test_experts_by_grouped_products() -> None:
    assert errors(audit(zoo.GroupedExperts, ROWS)) == expected("up down", "router.weight head.weight")


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_several_readouts_that_lack_their_multiplier_are_not_one_gain_too_large(norm: type[nn.Module]) -> None:
    found = errors(audit(lambda n: zoo.Heads(n, norm), ROWS))
    assert found == expected("hidden.weight", "policy.weight value.weight extra.weight")


def test_a_standardised_weight_is_judged_by_its_change() -> None:
    """Its std cancels, so only the learning rate relative to it counts: n^-1 at the default std of n^-1/2."""
    assert errors(audit(zoo.StandardisedConv, SEQUENCE)) == expected("conv.weight", "head.weight")


def test_the_size_of_a_whole_weight_is_a_number_that_grows() -> None:
    """g = ‖v‖ is n^1/2 by construction: a step of n^0 moves it, and what it makes, by n^-1/2 of its size."""

    def build(width: int) -> nn.Module:
        return zoo.Middle(width, parametrizations.weight_norm(nn.Linear(width, width), dim=None))

    g, v = "layer.parametrizations.weight.original0", "layer.parametrizations.weight.original1"
    assert errors(audit(build, ROWS)) == expected(v, "head.weight") | {("MUP306", g)}


def test_what_no_gradient_reaches_is_told_and_not_judged() -> None:
    report = audit(zoo.Dropped, ROWS)
    assert errors(report) == expected("hidden.weight", "head.weight")
    told = {name for v in report.violations if v.rule == "MUP405" for name in v.tensors}
    assert told == {"pooler.weight", "pooler.bias", "indexer.weight", "indexer.bias"}


def test_a_weight_that_is_clipped_in_place_stays_a_weight() -> None:
    assert errors(audit(lambda n: zoo.Clipped(n, 120.0), ROWS)) == expected("hidden.weight", "head.weight")
    changed = muaudit.check(lambda width: zoo.Clipped(width, 1e-3), batch=lambda width: ROWS, widths=(64, 128))
    assert "hidden.weight" in {each.name for each in changed.unanalysed}


def test_a_layer_that_is_also_run_without_gradients_is_one_layer() -> None:
    assert errors(audit(zoo.Cycles, ROWS)) == expected("hidden.weight", "head.weight")


def test_a_parametrization_that_is_not_understood_is_said_to_be() -> None:
    def build(width: int) -> nn.Module:
        return zoo.Middle(width, parametrizations.orthogonal(nn.Linear(width, width), orthogonal_map="householder"))

    report = muaudit.check(build, batch=lambda width: ROWS, widths=(64, 128))
    assert "layer.parametrizations.weight.original" in {each.name for each in report.unanalysed}


def rates(exponents: dict[str, float]) -> Callable[[nn.Module], torch.optim.Optimizer]:
    def build(model: nn.Module) -> torch.optim.Optimizer:
        width = model.head.in_features  # type: ignore[union-attr, operator]
        named: Any = dict(model.named_parameters())
        return torch.optim.SGD([{"params": [p], "lr": 0.01 * width ** exponents[n]} for n, p in named.items()])

    return build


def test_forward_and_backward_scales_may_differ() -> None:
    """A multiplier of 1/n forwards is all that Adam needs of a readout. Under SGD, Table 8 asks for lr n on the readout
    and the inputs, and 1 on hidden weights, when the gradients are scaled by 1/n too; here they are n times larger."""
    assert errors(audit(zoo.ScaledReadout, ROWS)) == expected("layer.weight", "")
    table_8 = {"embed.weight": 1, "embed.bias": 1, "layer.weight": 0, "layer.bias": 1, "head.weight": 1}
    found = errors(audit(zoo.ScaledReadout, ROWS, optimizer=rates(table_8)))
    assert {name for _, name in found} == {"embed.weight", "embed.bias", "layer.weight", "layer.bias", "head.weight"}
    larger = {name: exponent - 1 for name, exponent in table_8.items()}
    assert not errors(audit(zoo.ScaledReadout, ROWS, optimizer=rates(larger)))
