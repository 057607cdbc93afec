"""The generator of models: its equations by hand, its claims against training, and a sample of it judged."""

from __future__ import annotations

import ast
from dataclasses import replace
from fractions import Fraction

import pytest
from generated import seeds
from generated.mistakes import mistake
from generated.model import generate
from generated.repair import Change, mends, places
from generated.seeds import audited, failures, shrunk
from generated.training import apart, gradients
from generated.truth import Truth
from generated.verdict import is_exact

HALF = Fraction(1, 2)
SAMPLE = (
    101, 102, 105, 108, 109, 114, 118, 121, 122, 123, 126, 128, 129, 130, 131, 132, 134, 135, 137, 139, 140,
    141, 142, 143,
)  # fmt: skip


def chain(optimizer: str = "adam", homogeneous: bool = True) -> Truth:
    """x → input → f → hidden → f → readout, with a constant on the hidden weight; f lets constants through, or not."""
    truth = Truth(optimizer)  # type: ignore[arg-type]
    x = truth.value("x")
    truth.pin(x)
    for name, k, p in (("input", 0, 1), ("hidden", 1, 1), ("readout", 1, 0)):
        law, offset = ("at most", Fraction(0)) if not p else ("equal", HALF * k)
        tensor = truth.tensor(name, k, p, law, offset)  # type: ignore[arg-type]
        y = truth.value(name)
        c = {truth.column("c", "c"): -1} if name == "hidden" else {}
        truth.row({y: 1, x: -1, tensor.column: -1} | c, k, name)
        if not homogeneous or name == "readout":
            truth.pin(y)
        x = y
    assert truth.solve()
    return truth


@pytest.mark.parametrize(
    ("optimizer", "rates"), [("adam", (0, -1, -1)), ("sgd", (1, 0, -1))]
)  # TP5 Table 3: input, hidden, output
def test_the_equations_give_table_3(optimizer: str, rates: tuple[int, ...]) -> None:
    truth = chain(optimizer)
    assert tuple(t.rate for t in truth.tensors.values()) == rates
    assert tuple(t.init for t in truth.tensors.values()) == (0, -HALF, -1)
    assert truth.explains()


def test_a_constant_between_homogeneous_layers_may_be_told_at_either() -> None:
    truth = chain()
    c = truth.columns.index(("c", "c"))
    truth.found[c] = Fraction(-1)
    assert not truth.explains()
    for name in ("input", "hidden", "readout"):  # W3 f(c W2 f(W1 x)) is the same network wherever c stands
        assert truth.explains([("use", name)])
    assert not truth.explains([("rate", "hidden")])


def test_a_constant_between_nonlinearities_that_keep_their_scale_is_told_where_it_is() -> None:
    truth = chain(homogeneous=False)
    truth.found[truth.columns.index(("c", "c"))] = Fraction(-1)
    assert [n for n in truth.tensors if truth.explains([("use", n)])] == ["hidden"]


def test_a_smaller_readout_is_right_and_a_larger_one_is_not() -> None:
    truth = chain()
    truth.tensors["readout"].init -= HALF
    assert truth.explains()
    truth.tensors["readout"].init += 1
    assert not truth.explains()
    assert truth.explains([("init", "readout")])


def test_what_accuses_more_than_it_must_is_not_exact() -> None:
    truth = chain()
    truth.tensors["hidden"].rate += 1
    rate, more = frozenset({("rate", "hidden")}), frozenset({("init", "input")})
    assert is_exact(truth, [rate])  # type: ignore[list-item]
    assert not is_exact(truth, [rate, more])  # type: ignore[list-item]
    assert not is_exact(truth, [more])  # type: ignore[list-item]


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_gives_one_file_and_a_mistake_that_is_one(seed: int) -> None:
    model = generate(seed)
    assert model.text() == generate(seed).text()
    ast.parse(model.text())
    assert model.truth.explains()
    wrong = mistake(model)
    assert wrong is not None
    assert wrong.model.text() != model.text()
    assert not wrong.model.truth.explains()
    assert wrong.model.truth.explains(wrong.planted)


@pytest.mark.parametrize("seed", range(8))
def test_a_right_model_trains_as_its_table_3_form(seed: int) -> None:
    """Lemma J.1, in float64 and at a width that is no base: every constant, init and learning rate at once."""
    assert apart(generate(seed)) < 1e-6


def test_a_mistake_trains_otherwise() -> None:
    model = generate(0)
    wrong = mistake(model)
    assert wrong is not None
    other = wrong.model
    other.in_table_3 = model.in_table_3  # type: ignore[method-assign]
    assert apart(other) > 1e-3


def test_shrinking_keeps_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that fails every model with attention: what is left has attention, and little else."""
    import generated.seeds as seeds

    def told(seed: int, grammar: seeds.Grammar = seeds.WHOLE, parts: object = ()) -> seeds.Row:
        title = grammar.model(seed).title
        return {"seed": seed, "right": "accused" if ", attention" in title else "right"}

    monkeypatch.setattr(seeds, "audited", told)
    seed = next(s for s in range(100) if generate(s).title.count(", attention") and len(generate(s).shared.words) > 8)
    least = shrunk({"seed": seed, "right": "accused"}, "right")
    assert len(least.model(seed).shared.words) <= 5


@pytest.mark.parametrize("seed", SAMPLE)
def test_a_sample_is_judged_right_and_blamed_exactly(seed: int) -> None:
    row = audited(seed)
    assert not failures(row), row


@pytest.mark.parametrize(
    ("seed", "of"),
    [
        (44000016, "a bias three moves away from the constant of a linear attention"),
        (44000077, "a constant that a custom function leaves out of the gradient, under SGD"),
        (44000157, "a constant behind a product that is added up from parts"),
        (54001938, "a constant behind logits, and one as large on one of the operands"),
    ],
)
def test_a_mistake_that_was_told_beside_the_truth_is_blamed_exactly(seed: int, of: str) -> None:
    assert audited(seed, parts=["wrong"])["wrong"] == "exact", of


def test_findings_done_to_the_letter_mend_or_do_not() -> None:
    """n^-1/2 too much on the keys, of q·k of finite heads, in a class that is used twice (by hand: one line of it)."""
    model = seeds.WHOLE.model(4000718)
    wrong = mistake(model)
    assert wrong is not None
    assert (wrong.words, wrong.changes) == ("constant Block.scale × m^-0.5", 1)
    text = wrong.model.text()
    keys = [Change("use", f"blocks.{i}.k", HALF) for i in range(2)]
    assert places(keys) == 1
    assert mends(wrong.model, keys, text)
    assert not mends(wrong.model, keys[:1], text)  # the other block is as wrong
    assert not mends(wrong.model, [replace(key, by=-HALF) for key in keys], text)
    assert not mends(wrong.model, [*keys, Change("rate", "inp", Fraction(0))], text)  # which nothing needs
    line = next(number for number, row in enumerate(text.split("\n"), 1) if "k * math.sqrt" in row)
    assert mends(wrong.model, [Change("line", f"line {line}", HALF, line)], text)


def test_an_eps_that_training_cannot_see_is_no_mistake() -> None:
    model = seeds.WHOLE.model(4001596)
    for sizes in gradients(model):  # a vector before a matrix and a batch norm, which subtracts what it adds
        assert sizes["blocks2.0.norm_in_shift"] < 1e-12 * sizes["blocks2.0.mid"]
    wrong = mistake(model)
    assert wrong is not None
    assert "eps of blocks2.0.norm_in_shift" not in wrong.words
