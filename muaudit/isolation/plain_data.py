"""Dataclasses as plain data and back. What comes back is checked against the types of the fields: it may be forged."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Dataclasses and mappings as dicts, sequences and sets as lists, paths as texts, arrays as shape and entries."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list | frozenset | set):
        return [plain(each) for each in value]
    if isinstance(value, PurePath | Fraction):
        return str(value)
    if hasattr(value, "tolist"):
        return {"shape": list(value.shape), "entries": value.ravel().tolist()}
    return value


def rebuilt(cls: type[T], data: Any) -> T:
    """What `plain` was given, of this dataclass.

    Raises:
        ValueError: the data are no such thing.
    """
    try:
        found: T = _value(cls, data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected {cls.__name__}: {error}") from error
    return found


def _value(hint: Any, data: Any) -> Any:
    if hint is Any or hint is object:
        return data
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint(**{name: _value(kind, data[name]) for name, kind in _fields(hint).items()})
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _of_several(inner, data)
    if origin is Literal:
        return _expected(data in inner, hint, data)
    if origin is not None:
        return _collection(origin, inner, data)
    if hint is float:  # JSON knows no difference
        return float(_expected(type(data) in (int, float), hint, data))
    if issubclass(hint, PurePath | Fraction):
        return hint(_expected(isinstance(data, str), hint, data))
    return _expected(type(data) is hint or (hint is type(None) and data is None), hint, data)


def _of_several(kinds: tuple[Any, ...], data: Any) -> Any:
    for kind in kinds:
        try:
            return _value(kind, data)
        except (ValueError, TypeError, KeyError):
            continue
    raise ValueError(f"expected one of {kinds}, found {data!r:.60}")


def _collection(origin: Any, inner: tuple[Any, ...], data: Any) -> Any:
    if origin.__name__ == "ndarray":
        import numpy as np

        return np.array(data["entries"], dtype=np.float64).reshape(data["shape"])
    if issubclass(origin, Mapping):
        _expected(isinstance(data, dict), origin, data)
        return {_value(inner[0], key): _value(inner[1], each) for key, each in data.items()}
    _expected(isinstance(data, list), origin, data)
    if origin is tuple and inner[-1] is not Ellipsis:
        return tuple(_value(kind, each) for kind, each in zip(inner, data, strict=True))
    make = origin if origin in (tuple, frozenset, list) else tuple
    return make(_value(inner[0], each) for each in data)


def _expected(holds: bool, hint: Any, data: Any) -> Any:
    if not holds:
        raise ValueError(f"expected {getattr(hint, '__name__', hint)}, found {data!r:.60}")
    return data


@cache
def _fields(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
