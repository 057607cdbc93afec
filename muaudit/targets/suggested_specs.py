"""Specs for messages to print: complete, with every value that was guessed, and right once they stand in a file.

What could not be found is a line of its own, with a comment that says so: everything else is as it was tried.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Arguments
from muaudit.targets.widths import WidthPlan

_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))
_GIVEN = re.compile(r"=([A-Z]\w*)(?=[,)])")
FILL_IN = "fill in:"
"""What a comment begins with that stands at a line which is to be changed before a spec is used."""
_CALLED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")


def construction(read: Arguments, plan: WidthPlan, marked: Sequence[str] = ()) -> str:
    """The constructor call as source, `width` where the width goes. marked: arguments that are lines of their own."""
    main = plan.axes[0]
    start, small = main.probes[0], plan.values({})
    texts = {name: _variable(name) for name in marked}
    for name, value in ((name, value) for name, value in small.items() if name not in texts):
        axis = next((each for each in plan.axes if each.name == name), None)
        if name in plan.lists:
            first, last = plan.ends.get(name, (None, None))
            held = {0: first, len(value) - 1: last}
            grown = [str(each) if held.get(at) is not None else _grown(int(each), start)
                     for at, each in enumerate(value)]  # fmt: skip
            sizes = ", ".join(grown)
            texts[name] = f"({sizes},)" if isinstance(value, tuple) else f"[{sizes}]"
        elif axis is not None or name in plan.derived:
            texts[name] = _grown(int(value), start)
        elif inspect.isclass(value):
            texts[name] = value.__name__
        elif _differs(read, name, value):
            texts[name] = repr(value)
    call = read.call(texts)
    return re.sub(r"(?<![\w.])namespace\(", "SimpleNamespace(", call)


def without_width(read: Arguments, module: ModuleType) -> str:
    """A spec for a model of which no width is known: guesses for what has to be given, a line for each of the rest."""
    needed = {name: leaf for name, leaf in read.knobs.items() if leaf.value is MISSING}
    shown = {name: leaf.example.value if leaf.example else
             None if leaf.form else leaf.word or argnames.guess(name.rpartition(".")[2])
             for name, leaf in needed.items()}  # fmt: skip
    call = read.call({name: _variable(name) if value is None else repr(value) for name, value in shown.items()})
    call = re.sub(r"(?<![\w.])namespace\(", "SimpleNamespace(", call)
    lines = [open_line(name) for name, value in shown.items() if value is None]
    build = f"{call}  # {FILL_IN} let what hidden layers are as wide as be `width`"
    return spec(build, imports(call, module), before=lines)


def open_line(name: str, value: str = "...", why: str = "") -> str:
    """The line of an argument that is to be filled in. value: what was tried, and why: what it led to."""
    return f"{_variable(name)} = {value}  # {FILL_IN} {name.rpartition('.')[2]}{why}"


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name)


def imports(call: str, module: ModuleType) -> list[str]:
    """The import lines that a construction wants, also in the very file that it names."""
    called = dict.fromkeys([*_CALLED.findall(call), *_GIVEN.findall(call)])
    known = [name for name in called if name in vars(module) and vars(module)[name] is not SimpleNamespace]
    lines = [f"from {module.__name__} import {', '.join(known)}"] if known else []
    return [*(["from types import SimpleNamespace"] if "SimpleNamespace" in call else []), *lines]


def spec(build: str, lines: Sequence[str], batch: str = "", before: Sequence[str] = ()) -> str:
    """A spec at the left margin, to be pasted as it is. before: lines in front of what `build` returns."""
    head = "\n".join(["import torch", *lines]) if batch else "\n".join(lines)
    body = "".join(f"    {each}\n" for each in before)
    parts = [head, f"def build(width):\n{body}    return {build}" if build else "", batch]
    return "\n\n\n".join(part for part in parts if part)


def open_batch(names: Sequence[str]) -> str:
    """`batch(width)` as source, with what it returns to be filled in. names: what the forward takes."""
    kind = "a tensor, say" if len(names) == 1 else "a tuple, or a dict by these names"
    return f"def batch(width):\n    return ...  # {FILL_IN} {', '.join(names)}, as the forward takes it: {kind}"


def _differs(read: Arguments, name: str, value: Any) -> bool:
    own = read.knobs[name].value if name in read.knobs else MISSING
    return isinstance(value, _PLAIN) and (own is MISSING or type(own) is not type(value) or own != value)


def _grown(size: int, start: int) -> str:
    """A size as an expression in the width, which is `start` where the size is what it is."""
    if size == start:
        return "width"
    if size % start == 0:
        return f"{size // start} * width"
    return f"width // {start // size}" if start % size == 0 else f"{size} * width // {start}"
