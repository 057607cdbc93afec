"""Plans of many entries: entries are looked up, not tried one by one, and found as if each had been tried."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_speed import PER_LAYER, model_of, plan_of

from muaudit.errors import UserError
from muaudit.plan import patterns as patterns_module
from muaudit.plan import scales
from muaudit.plan.patterns import Patterns
from muaudit.plan.scales import Entry, Hook, Scales

PART = st.sampled_from(["h", "w", "0", "1", "17", "*", "h*", "*w", "h1", "1w", "x*y", "x12y"])
NAMES = st.lists(PART, min_size=1, max_size=3).map(".".join)


def plan_with(found: list[str]) -> Scales:
    return Scales("m", "width", 1, 2, "adamw", tuple(Entry(each, ("hidden",), ("n",)) for each in found))


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES, max_size=8), st.lists(NAMES.map(lambda name: name.replace("*", "3")), min_size=1, max_size=3))
def test_the_entry_is_the_first_that_would_match(found: list[str], names: list[str]) -> None:
    """As a search through all of them in their order: an exact name, else the first pattern."""
    plan = plan_with(found)
    exact = next((each for each in plan.entries if each.pattern in names), None)
    first = next((each for each in plan.entries if any(matches(each.pattern, name) for name in names)), None)
    assert plan.entry(names) is (exact or first)


def matches(pattern: str, name: str) -> bool:
    return re.fullmatch(r"\d+".join(map(re.escape, pattern.split("*"))), name) is not None


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often patterns are indexed, names looked up, and regular expressions made."""
    counts = {"indexed": 0, "looked up": 0, "expressions": 0}

    class Counting(Patterns):
        def __init__(self, *args: Any) -> None:
            counts["indexed"] += 1
            super().__init__(*args)

        def matching(self, name: str) -> list[int]:
            counts["looked up"] += 1
            return super().matching(name)

    def expression(pattern: str) -> re.Pattern[str]:
        counts["expressions"] += 1
        return re.compile(pattern)

    from muaudit.plan import apply

    monkeypatch.setattr(scales, "Patterns", Counting)
    monkeypatch.setattr(apply, "Patterns", Counting)
    monkeypatch.setattr(scales, "name_regex", expression)
    monkeypatch.setattr(patterns_module, "name_regex", expression)
    return counts


@pytest.mark.parametrize("folded", [False, True])
def test_each_tensor_is_looked_up_once_or_twice(counted: dict[str, int], folded: bool) -> None:
    layers = 60
    model, plan = model_of(layers), plan_of(layers, folded)
    plan.apply_(model)
    tensors, modules = layers * PER_LAYER, len(list(model.modules()))
    assert counted["expressions"] == 0
    assert counted["indexed"] == 2  # the entries and the hooks
    assert counted["looked up"] <= 2 * tensors + 2 * modules
    before = counted["looked up"]
    groups = plan.param_groups(model, lr=0.1)
    assert counted["indexed"] == 2
    assert counted["looked up"] - before <= 4 * tensors
    assert sum(len(group["params"]) for group in groups) == tensors


def test_a_hook_of_a_module_that_is_not_there_is_named() -> None:
    plan = plan_of(2, False)
    plan = type(plan)(**{**vars_of(plan), "hooks": (*plan.hooks, Hook("blocks.*.gone", "input", -1.0))})
    with pytest.raises(UserError, match=r"a module that is not there\n  blocks\.\*\.gone"):
        plan.apply_(model_of(2))


def vars_of(plan: Any) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}
