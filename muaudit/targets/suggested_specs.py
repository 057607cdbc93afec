"""Specs for messages to print: complete, with every value that was guessed, and right once they stand in a file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Arguments
from muaudit.targets.inputs import Form
from muaudit.targets.options import InputSpec
from muaudit.targets.slots import Filled, Slot
from muaudit.targets.widths import WidthPlan

_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))
_GIVEN = re.compile(r"=([A-Z]\w*)(?=[,)])")
_CALLED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")


def construction(read: Arguments, plan: WidthPlan, unknown: Sequence[str] = ()) -> str:
    """The constructor call as source, `width` where the width goes; `...` for arguments that nothing is known about."""
    main = plan.axes[0]
    start, small = main.probes[0], plan.values({})
    texts: dict[str, str] = dict.fromkeys(unknown, "...")
    for name, value in ((name, value) for name, value in small.items() if name not in texts):
        axis = next((each for each in plan.axes if each.name == name), None)
        if name in plan.lists:
            last = len(value) - 1 if name in plan.ends else 0
            grown = [
                str(each) if last and at in (0, last) else _grown(int(each), start) for at, each in enumerate(value)
            ]
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
    """A spec for a model of which no width is known: guesses for what has to be given, `...` for the rest."""
    needed = {name: leaf for name, leaf in read.knobs.items() if leaf.value is MISSING}
    shown = {name: leaf.example.value if leaf.example else
             None if leaf.form else leaf.word or argnames.guess(name.rpartition(".")[2])
             for name, leaf in needed.items()}  # fmt: skip
    call = read.call({name: "..." if value is None else repr(value) for name, value in shown.items()})
    call = re.sub(r"(?<![\w.])namespace\(", "SimpleNamespace(", call)
    return spec(call, imports(call, module))


def imports(call: str, module: ModuleType) -> list[str]:
    """The import lines that a construction wants, also in the very file that it names."""
    called = dict.fromkeys([*_CALLED.findall(call), *_GIVEN.findall(call)])
    known = [name for name in called if name in vars(module) and vars(module)[name] is not SimpleNamespace]
    lines = [f"from {module.__name__} import {', '.join(known)}"] if known else []
    return [*(["from types import SimpleNamespace"] if "SimpleNamespace" in called else []), *lines]


def spec(build: str, lines: Sequence[str], batch: str = "") -> str:
    """A spec at the left margin, to be pasted as it is."""
    head = "\n".join(["import torch", *lines]) if batch else "\n".join(lines)
    parts = [head, f"def build(width):\n    return {build}" if build else "", batch]
    return "\n\n\n".join(part for part in parts if part)


def batch(form: Form, names: Sequence[str], axis: str) -> str:
    """`batch(width)` as source, a line for every argument of the call. names: what the forward calls them."""
    slots = [*zip(names, form.args, strict=False), *form.kwargs.items()]
    end = ".numpy()" if form.arrays else ""
    rows = [f"    {name} = {_made(slot, axis)}{end}" for name, slot in slots]
    given = ", ".join(name for name, _ in slots)
    if form.kwargs:
        given = "{" + ", ".join(f'"{name}": {name}' for name, _ in slots) + "}"
    return "\n".join(["def batch(width):", *rows, f"    return {given}"])


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


def _made(slot: Slot, axis: str) -> str:
    if isinstance(slot, (list, tuple)):
        inner = ", ".join(_made(each, axis) for each in slot)
        return f"[{inner}]" if isinstance(slot, list) else f"({inner},)"
    if isinstance(slot, dict):
        return "{" + ", ".join(f"{name!r}: {_made(each, axis)}" for name, each in slot.items()) + "}"
    if isinstance(slot, SimpleNamespace):
        return "SimpleNamespace(" + ", ".join(f"{name}={_made(each, axis)}" for name, each in vars(slot).items()) + ")"
    if not isinstance(slot, InputSpec):
        return repr(slot)
    shape = ", ".join(_dim(dim, axis) for dim in slot.dims)
    if isinstance(slot, Filled):
        return f"torch.full(({shape},), {slot.value}, dtype=torch.{slot.dtype})"
    if "int" in slot.dtype or slot.dtype == "bool":
        kind = "" if slot.dtype == "int64" else f", dtype=torch.{slot.dtype}"
        return f"torch.randint(0, {slot.high or 2}, ({shape},){kind})"
    return f"torch.randn({shape})" + ("" if slot.dtype == "float32" else f".to(torch.{slot.dtype})")


def _dim(dim: int | str | tuple[str, float], axis: str) -> str:
    if isinstance(dim, int):
        return str(dim)
    name, factor = (dim, 1.0) if isinstance(dim, str) else dim
    if name != axis or factor == 1:
        return "width" if name == axis else name
    return f"round({factor:g} * width)"
