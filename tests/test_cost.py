"""What an explanation costs is the formula of the page, however the edits came together."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muaudit.judge.cost import CAUSE, IMAGINED, INIT_BEFORE_NORM, TENSOR, UNSEEN, Tally
from muaudit.judge.edits import Edit

NAMES = {"init": ("a.w", "b.w", "c.w"), "lr": ("a.w", "b.w", "c.w"), "use": ("m.0.a", "m.1.a", "b"), "line": ("a", "b")}
EVERYWHERE = {("init", "hidden"): frozenset(NAMES["init"]), ("lr", "hidden"): frozenset(NAMES["lr"]),
              ("use", "hidden"): frozenset(NAMES["use"])}  # fmt: skip
FREE = frozenset({"b.w"})


@st.composite
def edit(draw: st.DrawFn) -> Edit:
    """Two lines of one module are two places, two names may share one, and a tensor names as many as its place does.

    Of the modules of two blocks, which are called at one place, one pattern is made."""
    aspect = draw(st.sampled_from(("init", "lr", "use", "line")))
    name = draw(st.sampled_from(NAMES[aspect]))
    place = draw(st.sampled_from(("f.py:1", "f.py:2")))
    imagined = aspect == "use" and draw(st.booleans())
    unseen = aspect == "use" and draw(st.booleans())
    off = draw(st.sampled_from((0.5, -1.0)))
    return Edit(aspect, "hidden", place, name, off, 1 + (place == "f.py:2"), imagined, unseen)


def formula(edits: list[Edit]) -> float:
    """The cost of a set of edits, from the beginning."""
    total = 0.0
    for cause, found in groupby(sorted(set(edits), key=lambda e: (e.cause, e.name, e.place)), key=lambda e: e.cause):
        group = list(found)
        places = {e.place for e in group}
        spot = {"m.0.a": "m.a", "m.1.a": "m.a"}
        spots = {(e.place, spot.get(e.name, e.name)) for e in group}
        real = {(e.place, spot.get(e.name, e.name)) for e in group if not e.imagined}
        all_there_are = {e.name for e in group} == EVERYWHERE.get(cause[:2])
        count = 1 if all_there_are else len(places)
        imagined = int(not real) if all_there_are else len({place for place, _ in spots - real})
        again = imagined + (0 if real else CAUSE)
        named = sum(1 + (place == "f.py:2") for place in places)
        lost = len({(e.name, e.place) for e in group if cause[0] == "init" and e.name in FREE})
        total += CAUSE + count + (IMAGINED - 1) * again + TENSOR * named + INIT_BEFORE_NORM * lost
        total += UNSEEN * all(e.unseen for e in group)
    return total


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(edit(), max_size=4), max_size=8))
def test_the_cost_of_edits_is_that_of_the_last_ones(steps: list[list[Edit]]) -> None:
    tally, before = Tally(EVERYWHERE, FREE), list[Edit]()
    for after in steps:
        tally.change(before, after)
        before = after
        assert tally.cost == pytest.approx(formula(after))


def test_two_lines_of_one_module_are_two_places() -> None:
    tally = Tally(EVERYWHERE, FREE)
    one, two = (Edit("line", "contraction", place, "block", 1.0) for place in ("f.py:1", "f.py:2"))
    tally.change((), (one, two))
    assert tally.cost == pytest.approx(CAUSE + 2 + 2 * TENSOR)
    tally.change((one,), ())
    assert tally.cost == pytest.approx(CAUSE + 1 + TENSOR)
