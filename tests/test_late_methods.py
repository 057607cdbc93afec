"""A dataclass whose methods are made late is one like any other."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from muaudit.isolation.late_methods import late_methods


def made() -> tuple[type[Any], type[Any], type[Any]]:
    @dataclass(frozen=True, order=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        rest: list[int] = field(default_factory=list, compare=False)

    @dataclass
    class Undocumented:
        name: str = "a"

        def __post_init__(self) -> None:
            self.name *= 2

    class Below(Undocumented):
        def __init__(self, name: str) -> None:
            super().__init__(name)

    return Point, Undocumented, Below


with late_methods():
    Point, Undocumented, Below = made()
LATE, PLAIN = (Point, Undocumented, Below), made()
Point.__qualname__ = "Point"


@pytest.mark.parametrize(("point", "other", "below"), [LATE, PLAIN], ids=["late", "plain"])
def test_its_methods_do_what_they_do(point: Any, other: Any, below: Any) -> None:
    p = point(1)
    assert (p.x, p.y, p.rest) == (1, 2, [])
    assert p == point(1, rest=[3])
    assert p != point(1, 3)
    assert p < point(2)
    assert hash(p) == hash((1, 2))
    assert repr(p).endswith("Point(x=1, y=2, rest=[])")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        p.x = 3
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del p.x
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        point()
    assert replace(p, y=5) == copy.deepcopy(point(1, 5))
    assert dataclasses.astuple(p) == (1, 2, [])
    assert str(inspect.signature(point)).startswith("(x: 'int', y: 'int' = 2, rest: 'list[int]' =")
    assert point.__init__.__qualname__ == f"{point.__qualname__}.__init__"
    assert other.__doc__ == "Undocumented(name: 'str' = 'a')"
    assert (other("b").name, below("c").name, other("b") == other("b")) == ("bb", "cc", True)
    assert repr(below("c")).endswith("Below(name='cc')")


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Point(1, 4))) == Point(1, 4)


@pytest.mark.skipif(not hasattr(dataclasses, "_create_fn"), reason="this Python makes all methods in one go")
def test_a_method_is_made_when_it_is_looked_up_and_not_before() -> None:
    with late_methods():
        late = made()[0]
    assert not inspect.isfunction(vars(late)["__init__"])
    late(1)
    assert inspect.isfunction(vars(late)["__init__"])
    assert not inspect.isfunction(vars(late)["__eq__"])
    assert inspect.isfunction(vars(made()[0])["__init__"])  # outside of it at once
