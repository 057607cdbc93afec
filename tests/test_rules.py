"""The rules: every discrepancy has exactly one, and what they say is concrete."""

from __future__ import annotations

import importlib
import re
from itertools import product
from math import inf
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import muaudit.rules
from muaudit.audit.violations import judge
from muaudit.errors import UserError
from muaudit.findings.discrepancy import Aspect, Discrepancy, Role
from muaudit.findings.model import Violation
from muaudit.parametrizations import PROFILES, get_profile
from muaudit.rules import RULES, get_rule
from muaudit.rules.rule import the_one_of

TP5 = get_profile("tp5")
SECTIONS = ["What it does", "Why is this bad", "Example", "Fix", "Evidence", "When it is fine"]
ASPECTS, ROLES = get_args(Aspect), get_args(Role)
# Only a tensor has an init and a learning rate.
PAIRS = [(a, r) for a, r in product(ASPECTS, (*ROLES, None)) if r or a not in ("init", "lr")]


def discrepancy(
    aspect: str, role: str | None = None, found: float = 0.0, expected: float = -1.0, **more: Any
) -> Discrepancy:
    fields = {"tensors": ("h.0.w", "h.1.w"), "pattern": "h.*.w", "file": "m.py", "line": 3, **more}
    return Discrepancy(aspect, role, found=found, expected=expected, **fields)  # type: ignore[arg-type]


def violation(*args: Any, **kwargs: Any) -> Violation:
    (found,) = judge([discrepancy(*args, **kwargs)], TP5)
    return found


@pytest.mark.parametrize("aspect", sorted({aspect for aspect, _ in PAIRS}))
def test_every_pair_has_exactly_one_rule(aspect: Any) -> None:
    roles = [role for each, role in PAIRS if each == aspect]
    for role, tied, detail, found in product(roles, [False, True], ["", "missing", "doubled", "extra"], [0.0, -2.0]):
        assert the_one_of(RULES, discrepancy(aspect, role, found, tied=tied, detail=detail)) in RULES


def test_a_discrepancy_without_a_rule_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="exactly one rule, found none"):
        the_one_of(RULES, discrepancy("init", None))


@pytest.mark.parametrize(
    ("aspect", "role", "more", "code"),
    [
        ("init", "hidden", {}, "MUP101"),
        ("init", "input", {}, "MUP102"),
        ("init", "positional", {}, "MUP102"),
        ("init", "output", {}, "MUP103"),
        ("init", "bias", {}, "MUP104"),
        ("init", "gain", {}, "MUP105"),
        ("mean", "hidden", {}, "MUP106"),
        ("init", "scalar", {}, "MUP107"),
        ("attention", None, {}, "MUP201"),
        ("multiplier", "output", {"detail": "missing"}, "MUP202"),
        ("multiplier", "output", {"found": 0.5, "detail": "extra"}, "MUP202"),
        ("multiplier", "output", {"found": -2.0, "detail": "extra"}, "MUP203"),
        ("multiplier", "output", {"detail": "doubled"}, "MUP203"),
        ("lr", "output", {"detail": "doubled"}, "MUP203"),
        ("lr", "output", {"detail": "doubled", "tied": True}, "MUP203"),
        ("multiplier", "input", {}, "MUP204"),
        ("multiplier", "hidden", {}, "MUP205"),
        ("contraction", None, {}, "MUP206"),
        ("join", None, {}, "MUP207"),
        ("multiplier", "bias", {}, "MUP208"),
        ("lr", "hidden", {}, "MUP301"),
        ("lr", "positional", {}, "MUP302"),
        ("lr", "output", {}, "MUP303"),
        ("lr", "bias", {}, "MUP304"),
        ("lr", "gain", {}, "MUP305"),
        ("lr", "scalar", {}, "MUP306"),
        ("weight_decay", "hidden", {}, "MUP310"),
        ("eps", "gain", {}, "MUP311"),
        ("l2_adam", None, {}, "MUP312"),
        ("dims", None, {}, "MUP401"),
        ("multiplier", "output", {"tied": True, "detail": "missing"}, "MUP402"),
        ("init", "output", {"tied": True}, "MUP402"),
        ("lr", "input", {"tied": True}, "MUP302"),
        ("zero_readout", "output", {}, "MUP501"),
        ("d_head", None, {}, "MUP502"),
        ("decay_vector", "gain", {}, "MUP503"),
        ("not_power_law", "hidden", {}, "MUP902"),
    ],
)
def test_codes(aspect: str, role: str | None, more: dict[str, Any], code: str) -> None:
    assert violation(aspect, role, **more).rule == code


def test_hidden_init_says_what_to_write() -> None:
    v = violation("init", "hidden", 0.0, -0.5, values=(0.02, 0.02))
    assert v.message == ("hidden weights h.*.w (×2): init std ∝ n^0, needs n^-1/2 (measured 0.02 → 0.02)")
    assert v.fix == "initialise with std = 0.02 * (width / base_width)**-0.5"
    assert v.consequence == "at initialization, activations grow like n^1/2"
    assert (v.found, v.expected, v.found_exponent, v.expected_exponent) == ("n^0", "n^-1/2", 0.0, -0.5)


def test_init_that_already_depends_on_width_is_corrected_relatively() -> None:
    assert "multiply its init std by m**0.5" in violation("init", "input", -0.5, 0.0, values=(0.02, 0.01)).fix


def test_hidden_lr_says_what_to_write() -> None:
    v = violation("lr", "hidden", optimizer="adamw")
    assert "adamw learning rate ∝ n^0, needs n^-1" in v.message
    assert v.fix.startswith("divide its learning rate by m, with m = width / base_width")
    assert v.fix.endswith("{'params': [...], 'lr': lr / m}")


def test_sgd_counts_the_multiplier_twice() -> None:
    v = violation("lr", "bias", 0.0, 1.0, optimizer="sgd")
    assert "sgd learning rate ∝ n^0, needs n^1" in v.message
    assert "'lr': lr * m" in v.fix
    assert "stops learning" in v.consequence


def test_attention_and_readout_fixes() -> None:
    assert "sqrt(base_d_head)/d_head" in violation("attention", None, -0.5, pattern="", tensors=()).fix
    assert "logits = head(x) * (base_width / width)" in violation("multiplier", "output", detail="missing").fix
    assert "logits = head(x) * (base_width / width)" in violation("multiplier", "output", tied=True).fix


def test_eps_is_shown_against_the_gradient() -> None:
    message = violation("eps", "hidden", 0.0, -1.0, values=(1e-8, 3e-9)).message
    assert "(eps 1e-08, gradients about 3e-09 at the target width)" in message


def test_upper_bounds_are_called_so() -> None:
    assert "needs n^-1 or smaller" in violation("init", "output", -0.5, bound=True).message


def test_the_engine_may_word_the_consequence() -> None:
    assert violation("init", "hidden", consequence="logits grow like n^1/2").consequence == "logits grow like n^1/2"


def test_a_shrinking_bias_is_only_a_warning() -> None:
    assert violation("init", "bias", -0.5, 0.0).severity == "warning"
    assert violation("init", "bias", 0.5, 0.0).severity == "error"


def test_profiles_set_severities() -> None:
    strict = type(TP5)(name="x", source="", summary="", severities={"MUP310": "error"})
    assert judge([discrepancy("weight_decay", "hidden")], strict)[0].severity == "error"


def test_worst_first() -> None:
    found = judge(
        [
            discrepancy("zero_readout", "output"),
            discrepancy("eps", "hidden"),
            discrepancy("attention", None, -0.5),
            discrepancy("lr", "hidden", line=9),
            discrepancy("lr", "hidden", line=3),
            discrepancy("init", "gain", -inf, 0.0),
        ],
        TP5,
    )
    assert [(v.rule, v.line) for v in found] == [
        ("MUP105", 3), ("MUP301", 3), ("MUP301", 9), ("MUP201", 3), ("MUP311", 3), ("MUP501", 3),
    ]  # fmt: skip


numbers = st.sampled_from([-inf, -2.0, -1.5, -1.0, -0.5, -0.25, 0.0, 0.5, 1.0, 0.37])


@settings(deadline=None)  # the first example reads the tables of all optimizers
@given(
    st.sampled_from(PAIRS),
    numbers,
    numbers,
    st.booleans(),
    st.lists(st.floats(0, 1, allow_subnormal=False), max_size=3),
)
def test_every_finding_can_be_put_into_words(
    pair: tuple[Any, Any], found: float, expected: float, tied: bool, values: list[float]
) -> None:
    assume(pair[0] != "dims" or found > 0)  # a number of dims, no exponent
    v = violation(*pair, found, expected, tied=tied, values=tuple(values))
    for text in (v.message, v.fix, v.consequence):
        assert text
        assert not re.search(r"\b(nan|inf)\b", text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_is_documented_in_its_file(rule: Any) -> None:
    assert re.findall(r"^## (.+)$", rule.doc, re.M) == SECTIONS
    assert re.fullmatch(r"MUP[1-79]\d\d", rule.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name)
    assert type(rule).__module__.rsplit(".", 1)[1] == f"{rule.code.lower()}_{rule.name.replace('-', '_')}"
    assert rule.channel != "violation" or rule.keys


def test_the_list_is_complete_and_sorted() -> None:
    files = sorted(path.stem for path in Path(muaudit.rules.__file__).parent.glob("mup*.py"))
    for name in files:
        importlib.import_module(f"muaudit.rules.{name}")
    assert [type(rule).__module__.rsplit(".", 1)[1] for rule in RULES] == files
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("text", ["MUP201", "mup201", "201", "attention-scale", "Attention-Scale"])
def test_a_rule_by_any_of_its_names(text: str) -> None:
    assert get_rule(text).code == "MUP201"


def test_unknown_rule() -> None:
    with pytest.raises(UserError, match=r"unknown rule 'MUP20'\ndid you mean MUP\d\d\d"):
        get_rule("MUP20")
    with pytest.raises(UserError, match="did you mean attention-scale"):
        get_rule("attention-scal")


def test_unknown_profile() -> None:
    with pytest.raises(UserError, match="did you mean tp5") as error:
        get_profile("tp6")
    assert all(name in str(error.value) for name in PROFILES)


def test_profiles_differ_where_the_papers_do() -> None:
    assert TP5.readout_init_bound == -1.0
    assert get_profile("standard-full-align").readout_init_bound == -0.5
    assert get_profile("lingle").readout_init_bound == -0.5
    decays = {p.name: p.weight_decay_target for p in PROFILES.values() if p.source}
    assert decays == dict.fromkeys(PROFILES, 0.0) | {"tp5-as-written": -1.0}
