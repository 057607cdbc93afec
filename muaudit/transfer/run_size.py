"""Where values come from and where they go: width, depth, batch and amount of data. Free of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from muaudit.errors import UserError
from muaudit.pairs import pairs
from muaudit.suggest import nearest

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)([kmbgt]?)", re.IGNORECASE)
_SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_NAMES = {"width": "width", "depth": "depth", "batch": "batch", "tokens": "data", "data": "data", "examples": "data",
          "steps": "steps"}  # fmt: skip
_EXAMPLE = "for example 256, or width=256,depth=4,batch=0.5M,tokens=2.5B"


@dataclass(frozen=True)
class RunSize:
    """One end of a transfer; None: not said. batch and data are in the same unit, tokens or examples."""

    width: int | None = None
    depth: int | None = None
    batch: float | None = None
    data: float | None = None

    @property
    def steps(self) -> float | None:
        """Updates of the run."""
        return None if self.batch is None or self.data is None else self.data / self.batch


def parse_size(text: str, flag: str) -> RunSize:
    """`256`, or `width=256,depth=4,batch=0.5M,tokens=2.5B`; `steps=5000` in place of the data. Raises UserError."""
    if "=" not in text:
        return RunSize(width=_whole("the width", _number(text, flag), flag))
    found: dict[str, float] = {}
    for part, name, value in pairs([text]):
        if not name:
            raise UserError(f"{flag} expects NAME=VALUE,NAME=VALUE, found {part!r}", _EXAMPLE)
        if name not in _NAMES:
            raise UserError(f"{flag}: unknown size {name!r}", nearest(name, _NAMES, "sizes"))
        if _NAMES[name] in found:
            raise UserError(f"{flag} gives {name} twice", _EXAMPLE)
        found[_NAMES[name]] = _number(value, flag)
    return of_numbers(found, flag)


def of_numbers(found: Mapping[str, float], flag: str) -> RunSize:
    """From names (width, depth, batch, data or tokens, steps) and numbers. Raises UserError."""
    sizes = {_NAMES[name]: float(value) for name, value in found.items() if name in _NAMES}
    steps, batch, data = sizes.get("steps"), sizes.get("batch"), sizes.get("data")
    if steps is not None:
        if batch is None and data is None:
            raise UserError(f"{flag}: steps say how long it trains with batch or tokens only", _EXAMPLE)
        if batch is not None and data is not None and not math.isclose(steps * batch, data, rel_tol=1e-3):
            raise UserError(f"{flag}: {steps:g} steps of a batch of {batch:g} are {steps * batch:g}, not {data:g}")
        data = data if data is not None else steps * (batch or 0.0)
        batch = batch if batch is not None else data / steps
    if batch is not None and data is not None and data < batch:
        raise UserError(f"{flag}: a batch of {batch:g} is more than all of the {data:g} trained on")
    width, depth = (_whole(name, sizes[name], flag) if name in sizes else None for name in ("width", "depth"))
    return RunSize(width, depth, batch, data)


def check_pair(start: RunSize, to: RunSize) -> None:
    """Raise UserError where one end says what the other leaves out, or a run's length is not known."""
    for name in ("width", "depth", "batch", "data"):
        here, there = getattr(start, name), getattr(to, name)
        if (here is None) != (there is None):
            silent = "--to" if there is None else "--from"
            raise UserError(f"{silent} does not say its {'tokens' if name == 'data' else name}", "give it at both ends")
    if (start.batch is None) != (start.data is None):
        there, missing = ("batch", "tokens or steps") if start.data is None else ("tokens", "batch or steps")
        raise UserError(f"{there} alone does not say how long the runs are: give {missing} as well", _EXAMPLE)
    if start == RunSize():
        raise UserError("--from and --to say nothing", _EXAMPLE)


def amount(value: float) -> str:
    """`0.5M`, `2.5B`, `256`: as people write it."""
    for suffix, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= unit / 2:
            return f"{value / unit:.4g}{suffix}"
    return f"{value:.6g}"


def suffixed(text: str) -> float | None:
    """`0.5M` as a number; None for what is none."""
    match = _NUMBER.fullmatch(text.strip())
    return float(match[1]) * _SUFFIX[match[2].lower()] if match else None


def _number(text: str, flag: str) -> float:
    value = suffixed(text) or 0.0
    if not 0 < value < math.inf:
        raise UserError(f"{flag} expects positive numbers, found {text.strip()!r}", _EXAMPLE)
    return value


def _whole(name: str, value: float, flag: str) -> int:
    if value != round(value):
        raise UserError(f"{flag}: {name} is {value:g}, expected a whole number", _EXAMPLE)
    return int(value)
