"""What the edits need to know and the audit does not keep: where each tensor was last written while the model was
built, and what the width is called on the lines in question."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..targets import argnames
from ..targets.probe import Target
from ..targets.usercode import quiet
from ..trace.frames import user_frame

Spot = tuple[str, int]
_DEPTH = 2


@dataclass
class RunLine:
    """A line that was run: the expressions that were the width each time, at both probes.

    ends: the last dims of local tensors, by name and width. heads: the numbers of heads that the module said it has.
    """

    widths: set[str] | None = None
    ends: dict[str, dict[int, set[int]]] = field(default_factory=dict)
    heads: set[int] = field(default_factory=set)

    def met(self, frame: FrameType, size: int) -> None:
        """Keep what is the width here as well."""
        here = set(_named(frame, size))
        self.widths = here if self.widths is None else self.widths & here
        self.heads |= set(_head_counts(frame.f_locals.get("self")))
        for name, value in frame.f_locals.items():
            if isinstance(value, torch.Tensor) and value.dim():
                self.ends.setdefault(name, {}).setdefault(size, set()).add(value.shape[-1])

    def share(self, name: str) -> float | None:
        """What part of the width a local tensor's last dim is, None where it is none or not the same at each width."""
        shares = {end / width for width, ends in self.ends.get(name, {}).items() for end in ends}
        return shares.pop() if len(shares) == 1 and len(self.ends[name]) > 1 else None


@dataclass
class Writers:
    """inits: the line that wrote each parameter last. holders: by parameter, the locals that held its module there,
    `module` → `lm_head` (the module's name in the model that `self` is). lines: by place."""

    inits: dict[str, Spot] = field(default_factory=dict)
    holders: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: dict[Spot, RunLine] = field(default_factory=dict)

    def width(self, spot: Spot, name: str, of_self: bool = False, near: str = "") -> str | None:
        """The best expression for the width on a line, `name` being what the target calls it, `near` a module."""
        return next(iter(self.all_widths(spot, name, of_self, near)), None)

    def all_widths(self, spot: Spot, name: str, of_self: bool = False, near: str = "") -> list[str]:
        """All expressions for the width on a line, the best first."""
        line = self.lines.get(spot)
        found = [each for each in (line.widths if line else None) or () if each.startswith("self.") or not of_self]
        return sorted(found, key=lambda each: _rank(each, name.rpartition(".")[2], near))


def watch(target: Target, spots: Collection[Spot], seed: int = 0) -> Writers:
    """Build and run the model at both probes and look on."""
    watched = Writers()
    for probe in (0, 1):
        sizes = target.sizes(probe)
        size = sizes[target.axes[0].name]
        with _Writes() as writes:
            model = target.build(sizes, seed)
        _note_inits(watched, model, writes, size)
        inputs = target.inputs(sizes)
        with quiet(), _Lines(watched, spots, size):
            model(*inputs.args, **inputs.kwargs)
    return watched


@dataclass
class _Write:
    spot: Spot
    frame: FrameType
    modules: dict[str, nn.Module]
    root: object


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as for the recorder: importing torch._dynamo takes longer than the work


class _Writes(_Mode):
    """Notes the last operation that wrote each storage, with a copy of what the user's frame held then."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.last: dict[int, _Write] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        written = args[:1] if func._schema.is_mutable else _made(out, args)
        frame = user_frame() if written else None
        for tensor in written:
            if isinstance(tensor, torch.Tensor) and frame is not None:
                self.last[tensor.untyped_storage().data_ptr()] = _write(frame)
        return out


class _Lines(_Mode):
    """Notes what the width is called on some lines."""

    def __init__(self, watched: Writers, spots: Collection[Spot], size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watched, self.spots, self.size = watched, frozenset(spots), size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        frame = user_frame()
        if frame is not None and (frame.f_code.co_filename, frame.f_lineno) in self.spots:
            spot = frame.f_code.co_filename, frame.f_lineno
            self.watched.lines.setdefault(spot, RunLine()).met(frame, self.size)
        return func(*args, **(kwargs or {}))


def _made(out: Any, args: Any) -> list[Any]:
    """The outputs that are new memory: a view writes nothing."""
    outputs = out if isinstance(out, tuple | list) else [out]
    inputs = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
    return [o for o in outputs if isinstance(o, torch.Tensor) and o.untyped_storage().data_ptr() not in inputs]


def _write(frame: FrameType) -> _Write:
    modules = {name: value for name, value in frame.f_locals.items() if isinstance(value, nn.Module)}
    return _Write((frame.f_code.co_filename, frame.f_lineno), frame, modules, frame.f_locals.get("self"))


def _note_inits(watched: Writers, model: nn.Module, writes: _Writes, size: int) -> None:
    names = {id(module): name for name, module in model.named_modules()}
    for name, param in model.named_parameters():
        write = writes.last.get(param.untyped_storage().data_ptr())
        if write is None:
            watched.inits.pop(name, None)
            continue
        watched.inits[name] = write.spot
        if write.root is model:
            held = {local: names.get(id(module), "") for local, module in write.modules.items() if local != "self"}
            watched.holders[name] = {local: known for local, known in held.items() if known}
        watched.lines.setdefault(write.spot, RunLine()).met(write.frame, size)


def _head_counts(module: object) -> Iterator[int]:
    for name, value in vars(module).items() if isinstance(module, nn.Module) else ():
        if type(value) is int and argnames.rank(name, argnames.HEADS) is not None:
            yield value


def _named(frame: FrameType, size: int) -> Iterator[str]:
    for name, value in frame.f_locals.items():
        if name.isidentifier():
            yield from _equal(name, value, size, _DEPTH)


def _equal(text: str, value: Any, size: int, depth: int) -> Iterator[str]:
    """The expressions below `text` whose value is `size`: attributes, keys, modules, dims of a tensor."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value == size:
            yield text
    elif isinstance(value, torch.Tensor):
        yield from (f"{text}.size({i - value.dim()})" for i, dim in enumerate(value.shape) if dim == size)
    elif depth:
        for part, inner in _parts(value).items():
            if not isinstance(inner, torch.Tensor):
                yield from _equal(f"{text}{part}", inner, size, depth - 1)


def _parts(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return {f'["{key}"]': inner for key, inner in value.items() if isinstance(key, str) and key.isprintable()}
    if isinstance(value, type | ModuleType | FunctionType) or not hasattr(value, "__dict__"):
        return {}
    found = {**vars(value), **(dict(value._modules) if isinstance(value, nn.Module) else {})}
    return {f".{name}": inner for name, inner in found.items() if name.isidentifier() and not name.startswith("_")}


def _rank(text: str, name: str, near: str) -> tuple[bool, bool, bool, bool, int, int, str]:
    """The target's own name for the width first, then what belongs to the module and the model, then what is short."""
    last = re.split(r"[.\[]", text)[-1].strip("\"']")
    own = text.startswith(("self.", "config.", "cfg.", "args."))
    near_by = bool(near) and f".{near}." in text
    return ".size(" in text, last != name, not near_by, not own, text.count("."), len(text), text
