"""Methods of dataclasses that are made when they are first looked up.

Python writes and compiles up to six for each while its module is imported. torch has 270 dataclasses and muaudit 180:
an eighth of the time of all imports goes into them, and an audit calls one method in seven.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import Any

_module: Any = dataclasses


@contextmanager
def late_methods() -> Iterator[None]:
    """Inside, dataclasses get their methods late. Python 3.13 makes all of a class in one go, and is let do it."""
    compiled = getattr(_module, "_create_fn", None)
    if compiled is not None:
        _module._create_fn = lambda name, *args, **known: _Late(name, partial(compiled, name, *args, **known))
    try:
        yield
    finally:
        if compiled is not None:
            _module._create_fn = compiled


class _Late:
    """In the place of a method of a class, which takes it when it is looked up, in the class or in one below it."""

    __slots__ = ("__name__", "_made", "_make")

    def __init__(self, name: str, make: Callable[[], FunctionType]) -> None:
        self.__name__ = name
        self._make = make
        self._made: FunctionType | None = None

    def __get__(self, instance: Any, owner: type) -> Any:
        method = self._method()
        for home in owner.__mro__:
            if home.__dict__.get(self.__name__) is self:
                method.__qualname__ = f"{home.__qualname__}.{self.__name__}"
                setattr(home, self.__name__, method)
        return method.__get__(instance, owner)

    def __call__(self, *args: Any) -> Any:
        """As what `reprlib.recursive_repr` has wrapped."""
        return self._method()(*args)

    def _method(self) -> FunctionType:
        if self._made is None:
            self._made = self._make()
        return self._made
