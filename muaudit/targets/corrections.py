"""Other sizes for an input that a forward refused, by what its failure says of them.

An assertion that failed is read with the values that it compared, `seq_len % (self.bucket * 2) == 0`; so is what is
asked in front of a `raise`. Of a library's own messages the numbers are read: `mat1 and mat2 shapes cannot be
multiplied (64x32 and 48x64)` says that 48 were wanted where 32 came.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import FrameType, TracebackType
from typing import Any

import torch

from muaudit.targets.inputs import Form
from muaudit.targets.options import InputSpec
from muaudit.targets.slots import Filled, Slot
from muaudit.targets.source import nodes_of, tree_of
from muaudit.targets.userfiles import is_user_file

_LARGEST = 4096
"""No dim of an input is made larger: what a message asks for is then of no use to a small model."""
_FEATURES = re.compile(
    r"\(\d+x(?P<got>\d+) and (?P<wanted>\d+)x\d+\)"
    r"|expected input\[[\d, ]+\] to have (?P<wanted1>\d+) channels, but got (?P<got1>\d+)"
    r"|expected input with shape \[\*, (?P<wanted2>\d+)\], but got input of size\[(?:\d+, )*(?P<got2>\d+)\]"
    r"|input_size\. Expected (?P<wanted3>\d+), got (?P<got3>\d+)"
)
_EITHER = re.compile(
    r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)"
    r"|Expected size (\d+) but got size (\d+)"
    r"|has size (\d+) for operand \d+ which does not broadcast with previously seen size (\d+)"
    r"|Expected dim \d+ size (\d+), got (\d+)"
    r"|expected m1 and m2 to have the same .*?(\d+).*?(\d+)"
    r"|tensor \((\d+)\) must match the existing size \((\d+)\)"
)
_EXPECTED = re.compile(r"[Ee]xpect(?:ed|ing) [^\n]*?(?:of|to be) (\d+),? but got (\d+)")
_LENGTH = re.compile(r"must have length (\d+)\. Got (\d+)")
_SHAPES = (
    re.compile(r"(?:to be|shape of):? [\[(]([\d, ]+)[\])],? but got:? (?:torch\.Size\()?[\[(]([\d, ]+)[\])]"),
    re.compile(r"shape of the indexed tensor \[([\d, ]+)\]|shape of the mask \[([\d, ]+)\]"),
)
_CHUNKS = re.compile(r"can't divide axis of length (\d+) in chunks of (\d+)")
_COMPARED: dict[type[ast.cmpop], tuple[Callable[[Any, Any], bool], int]] = {
    ast.Eq: (lambda a, b: a == b, 0), ast.LtE: (lambda a, b: a <= b, 0), ast.GtE: (lambda a, b: a >= b, 0),
    ast.Lt: (lambda a, b: a < b, -1), ast.Gt: (lambda a, b: a > b, 1), ast.NotEq: (lambda a, b: a != b, 0),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b, ast.Mod: lambda a, b: a % b, ast.Pow: lambda a, b: a**b,
    ast.Div: lambda a, b: a / b,
}  # fmt: skip
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.NotEq: ast.Eq, ast.Gt: ast.LtE, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt,
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A size that came and the one that would do. features: of the channels alone, not of places."""

    got: int
    wanted: int
    features: bool = False


def said(error: BaseException) -> tuple[Said, ...]:
    """What a failure says of sizes, what it is surest of first."""
    found = [*_compared(error), *_told(str(error))]
    return tuple(dict.fromkeys(each for each in found if each.got != each.wanted and 0 < each.wanted <= _LARGEST))


def corrected(form: Form, told: Iterable[Said], sizes: Mapping[str, int]) -> Iterator[Form]:
    """The form with the sizes that are said to do, at these widths."""
    for each in told:
        yield from (_changed(form, places) for places in _places(form, each, sizes))


def along(form: Form, told: Iterable[Said], axis: str, sizes: tuple[int, int]) -> Iterator[Form]:
    """The form, which runs at the first width, with dims that grow with it where the second is said to want that."""
    for each in told:
        for places in _places(form, each, {axis: sizes[1]}):
            if all(new * sizes[0] == old * sizes[1] for old, new in places.values()):
                yield _changed(form, {place: (old, (axis, old / sizes[0])) for place, (old, _) in places.items()})


_Place = tuple[tuple[int | str, ...], int]
_Places = dict[_Place, tuple[int, Any]]


def _places(form: Form, each: Said, sizes: Mapping[str, int]) -> Iterator[_Places]:
    """The dims of an input that may be meant: all of this size together, or each of them alone; the batch last.

    Where none has it, it is that of channels to which the forward adds: they are made more or fewer by the difference.
    """
    dims = {
        (path, at): size
        for path, slot in tensors(form)
        for at, size in enumerate(slot.shape(sizes))
        if not (each.features and _wide_elsewhere(slot, at))
    }
    deep = {path: len(slot.dims) for path, slot in tensors(form)}
    fixed = {(path, at) for path, slot in tensors(form) for at, dim in enumerate(slot.dims) if isinstance(dim, int)}
    found = [place for place, size in dims.items() if size == each.got and (place[1] or deep[place[0]] == 1)]
    together = [found] if len(found) > 1 else []
    alone = [[place] for place in found]
    batch = [[place for place, size in dims.items() if size == each.got and not place[1]]]
    choices = [*alone, *together, *batch] if each.features else [*together, *alone, *batch]
    for chosen in choices:
        if chosen:
            yield dict.fromkeys(chosen, (each.got, each.wanted))
    for place, size in dims.items() if each.features and not found else ():
        more = size + each.wanted - each.got
        if place in fixed and 0 < place[1] in (1, deep[place[0]] - 1) and 0 < more <= _LARGEST:
            yield {place: (size, more)}


def _wide_elsewhere(slot: InputSpec, place: int) -> bool:
    """Whether another dim was guessed to go with the width, as that of channels: the guess was wrong, not the size."""
    return any(not isinstance(dim, int) for at, dim in enumerate(slot.dims) if at != place)


def tensors(form: Form) -> Iterator[tuple[tuple[int | str, ...], InputSpec]]:
    """The tensors of a form, each with the way to it: the place or name of its argument, then places and keys."""
    named: list[tuple[int | str, Slot]] = [*enumerate(form.args), *form.kwargs.items()]
    for key, slot in named:
        yield from _within((key,), slot)


def _within(path: tuple[int | str, ...], slot: Slot) -> Iterator[tuple[tuple[int | str, ...], InputSpec]]:
    if isinstance(slot, InputSpec):
        yield path, slot
    elif isinstance(slot, (list, tuple)):
        for at, each in enumerate(slot):
            yield from _within((*path, at), each)
    elif isinstance(slot, dict):
        for name, each in slot.items():
            yield from _within((*path, name), each)


def at_path(form: Form, path: tuple[int | str, ...], slot: Slot) -> Form:
    """The form with another slot at the end of a path."""

    def put(held: Any, rest: tuple[int | str, ...]) -> Any:
        if not rest:
            return slot
        if isinstance(held, (list, tuple)):
            return type(held)(put(each, rest[1:]) if at == rest[0] else each for at, each in enumerate(held))
        return {**held, rest[0]: put(held.get(rest[0]), rest[1:])}

    if isinstance(path[0], int):
        return replace(form, args=put(form.args, path))
    return replace(form, kwargs=put(form.kwargs, path))


def _changed(form: Form, places: _Places) -> Form:
    def change(path: tuple[int | str, ...], slot: Slot) -> Slot:
        if isinstance(slot, (list, tuple)):
            return type(slot)(change((*path, at), each) for at, each in enumerate(slot))
        if isinstance(slot, dict):
            return {name: change((*path, name), each) for name, each in slot.items()}
        if not isinstance(slot, InputSpec):
            return slot
        dims = tuple(places[path, at][1] if (path, at) in places else dim for at, dim in enumerate(slot.dims))
        lengths = dict(places.values())  # a tensor of lengths goes with what is as long
        if isinstance(slot, Filled) and slot.value > 1 and type(lengths.get(slot.value)) is int:
            return replace(slot, dims=dims, value=lengths[slot.value])
        return replace(slot, dims=dims)

    args = tuple(change((at,), slot) for at, slot in enumerate(form.args))
    kwargs = {name: change((name,), slot) for name, slot in form.kwargs.items()}
    return replace(form, args=args, kwargs=kwargs, key=(*form.key, "corrected", *sorted(map(str, places.items()))))


def _told(text: str) -> Iterator[Said]:
    """What the messages of torch and einops say."""
    for match in _CHUNKS.finditer(text):
        got, unit = map(int, match.groups())
        yield Said(got, _multiple(got, unit))
    for match in _FEATURES.finditer(text):
        named = {name.rstrip("123"): int(value) for name, value in match.groupdict().items() if value}
        yield Said(named["got"], named["wanted"], features=True)
    for match in _EXPECTED.finditer(text):
        yield Said(int(match[2]), int(match[1]))
    for match in _LENGTH.finditer(text):
        yield Said(int(match[2]), int(match[1]))
    for due, came in _shapes(text):
        yield from (Said(b, a) for a, b in zip(due, came, strict=False))
    for match in _EITHER.finditer(text):
        one, other = (int(each) for each in match.groups() if each)
        yield Said(one, other)
        yield Said(other, one)


def _shapes(text: str) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Shapes that were wanted and that came."""
    for match in _SHAPES[0].finditer(text):
        yield _numbers(match[1]), _numbers(match[2])
    indexed = list(_SHAPES[1].finditer(text))
    if (
        len(indexed) == 2
    ):  # The shape of the mask [2, 3] at index 1 does not match the shape of the indexed tensor [2, 9]
        yield _numbers(indexed[1][1] or ""), _numbers(indexed[0][2] or "")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def _multiple(size: int, unit: int) -> int:
    return unit * -(-size // unit) if unit > 0 else size


def _compared(error: BaseException) -> Iterator[Said]:
    """The sizes that the innermost assertion, or question in front of a `raise`, compares."""
    for frame, line in reversed(list(frames(error.__traceback__))):
        if not is_user_file(frame.f_code.co_filename):
            continue
        tree = tree_of(frame.f_code.co_filename)
        for test, holds in _asked(tree, line) if tree is not None else ():
            yield from _of_test(test, holds, frame)
        return


def frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """The frames that an exception passed, the outermost first, each with the line where it stood."""
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _asked(tree: ast.Module, line: int) -> Iterator[tuple[ast.expr, bool]]:
    """The assertion at a line (True), or what is asked in front of the `raise` at it (False)."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or 0):
            yield node.test, True
        elif isinstance(node, ast.If):
            raised = [each for each in node.body if isinstance(each, ast.Raise)]
            if any(each.lineno <= line <= (each.end_lineno or 0) for each in raised):
                yield node.test, False


def _of_test(test: ast.expr, holds: bool, frame: FrameType) -> Iterator[Said]:
    """holds: whether the test should be true."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _of_test(test.operand, not holds, frame)
    elif isinstance(test, ast.BoolOp):
        for part in test.values:
            yield from _of_test(part, holds, frame)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        kind = type(test.ops[0])
        wanted = kind if holds else _OPPOSITE.get(kind)
        if wanted is not None:
            yield from _of_comparison(test.left, wanted, test.comparators[0], frame)


def _of_comparison(left: ast.expr, kind: type[ast.cmpop], right: ast.expr, frame: FrameType) -> Iterator[Said]:
    if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod) and worth(right, frame) == 0 and kind is ast.Eq:
        size, unit = worth(left.left, frame), worth(left.right, frame)
        if type(size) is int and type(unit) is int and unit > 0 and size % unit:
            yield Said(size, math.lcm(unit, 1) * -(-size // unit))
        return
    one, other = worth(left, frame), worth(right, frame)
    pairs = [(one, other)]
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)) and len(one) == len(other):
        pairs = list(zip(one, other, strict=True))
    rule = _COMPARED.get(kind)
    for a, b in pairs if rule is not None else ():
        if type(a) is int and type(b) is int and rule is not None and not rule[0](a, b):
            yield Said(a, b + rule[1])
            yield Said(b, a - rule[1])


def worth(node: ast.expr, frame: FrameType) -> Any:
    """What an expression of names, attributes, entries and arithmetic is worth in a frame; None for any other."""
    try:
        return _worth(node, frame)
    except Exception:  # what is asked is the user's own objects
        return None


def _worth(node: ast.expr, frame: FrameType) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return frame.f_locals[node.id] if node.id in frame.f_locals else frame.f_globals[node.id]
    if isinstance(node, ast.Attribute):
        return getattr(_worth(node.value, frame), node.attr)
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_worth(each, frame) for each in node.elts)
    if isinstance(node, ast.Subscript):
        held = _worth(node.value, frame)
        return held[_worth(node.slice, frame)] if isinstance(held, (tuple, list, dict)) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_worth(node.operand, frame)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_worth(node.left, frame), _worth(node.right, frame))
    if isinstance(node, ast.Call) and not node.keywords:
        given = [_worth(each, frame) for each in node.args]
        if isinstance(node.func, ast.Name) and node.func.id == "len":
            return len(given[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("size", "dim"):
            held = _worth(node.func.value, frame)
            return getattr(held, node.func.attr)(*given) if isinstance(held, torch.Tensor) else None
    raise ValueError
