"""Kinds of value: one file each, and the exponents that theory gives them (TP5, arXiv 2203.03466, App. J)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from muaudit.program import kinds
from muaudit.program.kinds import MEANINGS
from muaudit.program.kinds.meaning import Flow, Meaning, Size
from muaudit.program.values import ZERO, Kind, Value
from muaudit.trace.inits import Init

N = 1.0  # a dim that grows like the width


def test_each_kind_has_its_file_and_its_words() -> None:
    stems = {path.stem for path in Path(kinds.__file__).parent.glob("*.py")} - {"__init__", "meaning"}
    assert stems == set(get_args(Kind)) == set(MEANINGS)
    assert {type(each).__module__.rpartition(".")[2] for each in MEANINGS.values()} == stems
    assert len({each.words for each in MEANINGS.values()}) == len(MEANINGS)


@pytest.mark.parametrize("kind", [each for each in get_args(Kind) if each not in ("param", "data")])
def test_each_kind_says_its_equation_and_its_exponents(kind: Kind) -> None:
    says = type(MEANINGS[kind])
    assert says.equation is not Meaning.equation
    assert says.forward is not Meaning.forward


def value(kind: Kind, *args: Value, dims: tuple[float, ...] = (N,), weight: bool = False, **fields: Any) -> Value:
    return Value(kind, args, dims, None, weight=weight, **fields)  # type: ignore[arg-type]


def sizes(v: Value, *of_args: Size) -> Size:
    flow = Flow({}, {}, {}, set(), set(), dict(zip(v.args, of_args, strict=True)))
    return MEANINGS[v.kind].forward(v, flow)


def hidden(e_out: float = N) -> Value:
    weight = value("param", dims=(N, e_out), weight=True, name="w")
    return value("contract", value("data", dims=(0.0, N)), weight, e=N, e_out=(0.0, e_out))


def test_a_random_hidden_weight_sums_like_a_root_and_its_change_like_a_count() -> None:
    """init −1/2 and a step of 1/n: µP's hidden weight, which keeps sizes, and whose own change is of size 1."""
    assert sizes(hidden(), Size(0, ZERO, ZERO), Size(-0.5, -1, -1)) == Size(0, 0, 0)
    assert sizes(hidden(), Size(0, ZERO, ZERO), Size(-0.5, 0, 0)) == Size(0, 1, 1)  # SP's learning rate under Adam
    # a change of what it reads: to a dim that grows by a bounded operator norm, to a finite one aligned
    assert sizes(hidden(), Size(0, 0, 0), Size(-0.5, ZERO, ZERO)).update == 0
    assert sizes(hidden(0.0), Size(0, 0, 0), Size(-0.5, ZERO, ZERO)).update == 0.5


def test_gradients_go_back_by_the_transposed_rules() -> None:
    v = hidden()
    of_args = dict(zip(v.args, (Size(0, 0, 0), Size(-0.5, -1, -1)), strict=True))
    contract = MEANINGS["contract"]
    assert contract.backward(v, 0, -1.0, of_args) == -1.0  # Wᵀ·g: −1/2 + 1/2
    assert contract.backward(v, 1, -1.0, of_args) == -1.0  # g·x, summed over finite batch dims only


def test_queries_and_keys_are_independent_at_first_and_aligned_later() -> None:
    q, k = value("lookup", dims=(0.0, N)), value("lookup", dims=(0.0, N))
    logits = value("contract", q, k, dims=(0.0, 0.0), e=N, e_out=(0.0, 0.0))
    assert sizes(logits, Size(0, 0, 0), Size(0, 0, 0)) == Size(0.5, 1, 1)


def test_what_a_norm_a_mean_and_a_power_leave() -> None:
    x = value("view")
    assert sizes(value("norm", x, e=N), Size(0.5, 1, 1)) == Size(0, 0.5, 0)
    assert sizes(value("reduce", x, dims=(), e=N, mean=True), Size(0, 0, 0)) == Size(-0.5, 0, 0)
    assert sizes(value("reduce", x, dims=(), e=N), Size(0, 0, 0)) == Size(0.5, 1, 1)
    assert sizes(value("power", x, c=2.0), Size(0.5, 0.25, 0.25)) == Size(1, 0.75, 0.75)


def test_a_parameter_starts_where_it_was_measured() -> None:
    v = value("param", weight=True, name="w")
    odd = Init(None, -0.6, 0.01, (1.0, 0.7), 0.0, False)
    flow = Flow({"w": odd}, {"w": -1.0}, {}, set(), set())
    assert MEANINGS["param"].forward(v, flow) == Size(-0.6, -1, -1)


def test_degrees_of_a_norm_written_out() -> None:
    """x · (mean x²)^(-1/2) is of degree 0 in x."""
    x = value("view")
    square = value("power", x, c=2.0)
    mean = value("reduce", square, e=N, mean=True)
    inverse = value("power", mean, c=-0.5)
    degree = 1.0
    for v in (square, mean, inverse):
        found = MEANINGS[v.kind].degree(v, [degree], True)
        assert found is not None
        degree = found
    assert degree == -1.0
    assert MEANINGS["mul"].degree(value("mul", x, inverse), [1.0, degree], True) == 0.0
