"""An input that a forward is brought to take step by step, where none of those that were guessed fits.

Every dim has a size of its own to begin with, so that a failure which names a size names the dim. What it asks for is
changed: sizes, the number of dims of what the line reads, a tensor instead of None, whole numbers for a table. Of all
that this makes, what gets farthest in the forward is changed next.
"""

from __future__ import annotations

import ast
import functools
import heapq
import inspect
import itertools
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from traceback import clear_frames
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from muaudit.targets.corrections import Said, along, at_path, corrected, frames, said, tensors, worth
from muaudit.targets.inputs import Form
from muaudit.targets.inputs_by_layer import vocabulary
from muaudit.targets.options import InputSpec
from muaudit.targets.readers import running
from muaudit.targets.slots import Filled
from muaudit.targets.source import statement_at
from muaudit.targets.userfiles import is_user_file

_STARTS, _TRIES, _DEEPEST, _ALIKE = 8, 500, 5, 3
"""How many inputs it begins with, and tries; up to how many dims a tensor has; how many that fail alike are changed."""
_FEW = 2
"""Of so few entries the sizes that were guessed are kept at first: a failure that names one names the dim as well."""
_PATIENCE = 5.0
"""Seconds of processor."""
_OWN = tuple(2 * prime for prime in (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89))
"""Sizes that no layer has, even, as halves are taken of many."""
_LARGEST = 1 << 24
"""Numbers in a tensor that a forward makes of a small input, beyond which the input is none: 64 MB."""
_THROUGH = 1 << 30
_MOST_NUMBERS = 1 << 20
"""In a tensor that is put in: what has more takes long, and tells no more."""
_INTEGERS = re.compile(
    r"scalar types: Long, Int|tensors used as ind\w+ must be long|expected .*(Long|Int)\b.* got .*Float"
)
_NUMBERS = re.compile(
    r"not implemented for '(Long|Bool)'|must have the same dtype, but got [lL]ong|should be the same"
    r"|expected .*Float.* got .*Long|found dtype Long|with a bool tensor is not supported"
)
_NOTHING = re.compile(r"NoneType")
_COUNT = re.compile(
    r"values to unpack \(expected (\d)|with <= (\d) dim|len\(dims\) = (\d)|[Ee]xpected (\d)D|must have (\d) dim"
)

Path = tuple[int | str, ...]
Run = Callable[[Form], tuple[tuple[Any, ...], BaseException | None, int]]


class _TooLargeError(Exception):
    """A forward made a tensor that no small input leads to."""


class OperationsRun(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How many operations have run. Raises at a tensor that is too large for the forward of a small input."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ran = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation."""
        made = func(*args, **(kwargs or {}))
        self.ran += 1
        if isinstance(made, torch.Tensor) and made.numel() > _LARGEST:
            raise _TooLargeError(f"a tensor of {made.numel()} numbers")
        return made


def brought_to_fit(
    refused: Sequence[Form], model: nn.Module, run: Run, axis: str, sizes: tuple[Mapping[str, int], Mapping[str, int]],
    ended: Callable[[], bool],
) -> tuple[Form, tuple[Any, ...]] | None:  # fmt: skip
    """An input that both models take, and what they make of it. run: calls them, and says which one raised what."""
    starts: dict[Any, Form] = {}
    for each in refused:
        starts.setdefault(tuple((path, slot.dtype, len(slot.dims)) for path, slot in tensors(each)), each)
    own = [_with_own_sizes(each) for each in list(starts.values())[:_STARTS]]
    few = max((_entries((*each.args, *each.kwargs.values())) for each in own[:1]), default=0) <= _FEW
    for queue in (refused if few else [*itertools.chain.from_iterable(map(_all_alike, own[:1]))], own):
        found = _Search(model, run, axis, sizes, ended).brought(queue)
        if found is not None:
            return found
    return None


class _Search:
    """One search. waiting: by how far they got, whether it is a size that is changed, and their order."""

    def __init__(
        self, model: nn.Module, run: Run, axis: str, sizes: tuple[Mapping[str, int], Mapping[str, int]],
        ended: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._model, self._run, self._axis, self._sizes, self._ended = model, run, axis, sizes, ended
        self._end = time.process_time() + _PATIENCE
        self._waiting: list[tuple[int, int, int, list[Form]]] = []
        self._seen: list[Form] = []
        self._order = itertools.count()
        self._met: Counter[tuple[int, str, int]] = Counter()

    def brought(self, queue: Sequence[Form]) -> tuple[Form, tuple[Any, ...]] | None:
        heapq.heappush(self._waiting, (1, 0, next(self._order), list(queue)))
        while self._waiting:
            farthest, kind, _, forms = heapq.heappop(self._waiting)
            for form in forms:
                if self._over:
                    return None
                if form not in self._seen and self._makes_sense(form):
                    self._seen.append(form)
                    if (found := self._tried(form, kind - farthest)) is not None:
                        return found
        return None

    @property
    def _over(self) -> bool:
        return len(self._seen) >= _TRIES or self._ended() or time.process_time() > self._end

    def _makes_sense(self, form: Form) -> bool:
        """Whether no tensor of it is large, nor grows with the width in two dims: places do not."""
        slots = [slot for _, slot in tensors(form)]
        grown = max((sum(not isinstance(dim, int) for dim in slot.dims) for slot in slots), default=0)
        most = _MOST_NUMBERS << 2 * any(len(slot.dims) > 4 for slot in slots)  # four times as many in a volume
        return grown < 2 and all(math.prod(slot.shape(self._sizes[0])) < most for slot in slots)

    def _tried(self, form: Form, least: int) -> tuple[Form, tuple[Any, ...]] | None:
        """What both models make of a form. least: how far it has to get for what it says to be heard."""
        with OperationsRun() as watched:
            outputs, error, place = self._run(form)
        if error is None and outputs:
            return form, outputs
        if error is None:  # all of something was hidden
            heapq.heappush(self._waiting, (-2 * _THROUGH, 0, next(self._order), list(_otherwise_hidden(form))))
            return None
        ran = watched.ran + _THROUGH * place
        failed = (ran, str(error), _line(error))
        self._met[failed] += 1
        if ran >= least and self._met[failed] <= _ALIKE:
            told, both = said(error), (self._sizes[0][self._axis], self._sizes[1][self._axis])
            ways = [along(form, told, self._axis, both)]
            if not place:
                ways = [
                    _of_other_sizes(form, told, self._sizes[0]),
                    _otherwise(form, self._model, error, self._sizes[0]),
                ]
            for kind, way in enumerate(ways):
                heapq.heappush(self._waiting, (-ran, kind, next(self._order), list(way)))
        clear_frames(error.__traceback__)
        return None


def _line(error: BaseException) -> int:
    """Where the user's code failed."""
    lines = [line for frame, line in frames(error.__traceback__) if is_user_file(frame.f_code.co_filename)]
    return lines[-1] if lines else 0


def _of_other_sizes(form: Form, told: Sequence[Said], sizes: Mapping[str, int]) -> Iterator[Form]:
    """The form with sizes that a failure asks for; of two that are nothing but own ones the first is kept."""
    both = {(each.got, each.wanted) for each in told}
    for each in told:
        if (each.wanted, each.got) not in both or each.got > each.wanted or each.wanted not in _OWN:
            changed = corrected(form, [each], sizes)
            alone = len(list(tensors(form))) == 1  # of several, as many rows in all of them are what a batch is
            yield from (other for other in changed if alone or _rows(other) == _rows(form))
        yield from _of_other_sums(form, each)
        for own in dict.fromkeys(dim for _, slot in tensors(form) for dim in slot.dims[1:] if dim in _OWN):
            size = int(own)
            if each.got != size and each.got % (size // 2) == 0 and size * each.wanted % each.got == 0:  # twice a prime
                yield _everywhere(form, size, size * each.wanted // each.got)
        runs = {path: list(_runs(slot, each.got)) for path, slot in tensors(form)}
        like = [slot.dims[first:last] for _, slot in tensors(form) for first, last in _runs(slot, each.wanted)]
        for path, slot in tensors(form):
            for first, last in runs[path]:
                root = math.isqrt(each.wanted)
                square = [(root, root)] if last - first == 2 and root * root == each.wanted else []
                for dims in like or square:
                    yield at_path(form, path, replace(slot, dims=(*slot.dims[:first], *dims, *slot.dims[last:])))


def _all_alike(form: Form) -> Iterator[Form]:
    """The form with all that its entries give of one shape, as series are beside the masks of what is missing."""
    main = next((slot for _, slot in tensors(form) if slot.dtype.startswith("float")), None)
    held = any(isinstance(slot, dict) and len(slot) > 1 for slot in (*form.args, *form.kwargs.values()))
    for rank in dict.fromkeys((len(main.dims), 3)) if main is not None and held else ():
        like = InputSpec("float32", (*main.dims[:1], *_OWN)[:rank])  # type: ignore[union-attr]
        alike = [dict.fromkeys(slot, like) if isinstance(slot, dict) else slot for slot in form.args]
        yield replace(form, args=tuple(alike))


def _entries(slots: Iterable[Any]) -> int:
    """How much is given, with what dicts and lists of it hold."""
    inside = (
        each.values() if isinstance(each, dict) else each if isinstance(each, (list, tuple)) else () for each in slots
    )
    return sum(max(1, _entries(each)) for each in inside)


def _rows(form: Form) -> list[Any]:
    return [slot.dims[:1] for _, slot in tensors(form)]


def _of_other_sums(form: Form, told: Said) -> Iterator[Form]:
    """The form where two sizes that make up one that came are those that make up the one that is due."""
    own = dict.fromkeys(dim for _, slot in tensors(form) for dim in slot.dims if isinstance(dim, int) and dim in _OWN)
    came = [pair for pair in itertools.combinations(own, 2) if sum(pair) == told.got]
    due = [pair for pair in itertools.permutations(own, 2) if sum(pair) == told.wanted]
    for (a, b), (c, d) in itertools.product(came, due):
        yield _everywhere(_everywhere(form, a, c), b, d)


def _runs(slot: InputSpec, size: int) -> Iterator[tuple[int, int]]:
    """The dims side by side, two or more, of which a size is the product."""
    for first, last in itertools.combinations(range(len(slot.dims) + 1), 2):
        dims = slot.dims[first:last]
        whole = [dim for dim in dims if isinstance(dim, int)]
        if 1 < len(whole) == len(dims) and any(dim in _OWN for dim in whole) and math.prod(whole) == size:
            yield first, last


def _with_own_sizes(form: Form) -> Form:
    """The form with a size of its own for every fixed dim of its numbers but the first."""
    own = iter(_OWN)
    for path, slot in tensors(form):
        if slot.dtype.startswith("float") and not isinstance(slot, Filled):
            dims = tuple(next(own, dim) if at and isinstance(dim, int) else dim for at, dim in enumerate(slot.dims))
            form = at_path(form, path, replace(slot, dims=dims))
    return replace(form, key=(*form.key, "stepwise"))


def _otherwise(form: Form, model: nn.Module, error: BaseException, sizes: Mapping[str, int]) -> Iterator[Form]:
    """The form with what its failure may be asking for besides sizes, what it is surest of first."""
    text = str(error)
    names = list(inspect.signature(running(model)).parameters)
    read = list(_read(error, form, names, sizes))
    wanted = _wanted_rank(error)
    if "0 elements" in text:
        yield from _otherwise_hidden(form)
    if _NOTHING.search(text) or isinstance(error, ValueError):
        yield from _given(form, error, names)
    for path in read:
        slot = dict(tensors(form))[path]
        if _INTEGERS.search(text) and slot.dtype.startswith("float"):
            yield at_path(form, path, InputSpec("int64", slot.dims, vocabulary(model)))
        if _NUMBERS.search(text) and not slot.dtype.startswith("float"):
            yield at_path(form, path, InputSpec("float32", slot.dims))
        if (most := _shortest_list(error)) is not None:
            yield from (_everywhere(form, dim, most) for dim in slot.dims[1:] if isinstance(dim, int) and dim > most)
        alike = [other for other in read if other != path and dict(tensors(form))[other] == slot]
        for each in _of_other_rank(form, slot, wanted):
            if alike:
                yield functools.reduce(lambda changed, at: at_path(changed, at, each), [path, *alike], form)
            yield at_path(form, path, each)


def _everywhere(form: Form, size: int, other: int) -> Form:
    """The form with another size for all dims of one."""
    for path, slot in tensors(form):
        form = at_path(form, path, replace(slot, dims=tuple(other if dim == size else dim for dim in slot.dims)))
    return form


def _wanted_rank(error: BaseException) -> int | None:
    """How many dims are asked for: by a message, or by the indices of the line that found too many."""
    if (count := _COUNT.search(str(error))) is not None:
        return int(next(filter(None, count.groups())))
    if "too many indices" not in str(error):
        return None
    for frame, line in reversed(list(frames(error.__traceback__))):
        nodes = (each for node in statement_at(frame.f_code.co_filename, line) for each in ast.walk(node))
        indices = [len(each.slice.elts) for each in nodes if isinstance(each, ast.Subscript)
                   and isinstance(each.slice, ast.Tuple)]  # fmt: skip
        if indices:
            return max(indices)
    return None


def _otherwise_hidden(form: Form) -> Iterator[Form]:
    """The form with masks of which half hides."""
    for path, slot in tensors(form):
        if isinstance(slot, Filled) and slot.dtype == "bool":
            yield at_path(form, path, InputSpec("bool", slot.dims))


def _of_other_rank(form: Form, slot: InputSpec, wanted: int | None) -> Iterator[InputSpec]:
    """A tensor with more dims, or fewer. wanted: how many, where that is told."""
    used = {dim for _, each in tensors(form) for dim in each.dims}
    free = [size for size in _OWN if size not in used]
    rank = len(slot.dims)
    for target in (rank - 1, rank + 1, rank - 2) if wanted is None else (wanted,):
        if 0 < target < rank:
            yield replace(slot, dims=(*slot.dims[: target - 1], slot.dims[-1]) if target > 1 else slot.dims[:1])
            yield replace(slot, dims=slot.dims[:target])
        elif rank < target <= _DEEPEST and len(free) >= target - rank:
            yield replace(slot, dims=(*slot.dims, *free[: target - rank]))
            if rank > 1:
                yield replace(slot, dims=(*slot.dims[:-1], *free[: target - rank], slot.dims[-1]))


def _given(form: Form, error: BaseException, names: Sequence[str]) -> Iterator[Form]:
    """The form with a tensor for an argument that is None, or left out, and that the line where it failed reads."""
    main = next((slot for _, slot in tensors(form)), None)
    if main is None:
        return
    asked = {name for frame, line in frames(error.__traceback__) for name in _names_at(frame, line)}
    empty = [name for at, name in enumerate(names) if name in asked
             and (form.args[at] if at < len(form.args) else form.kwargs.get(name)) is None]  # fmt: skip
    rows, *rest = main.dims
    shapes = [(rows, *rest[1:]), (rows, *rest[:-1]), (rows, *rest[:1]), (rows, *rest)]
    kinds = [InputSpec("float32", ())]
    for name in empty:
        mask = "mask" in name
        masks = [InputSpec("bool", ()), Filled("bool", (), None, 0), Filled("bool", (), None, 1)] if mask else []
        each = dict.fromkeys(shapes if mask and len(rest) else [(rows,), *shapes])
        for shape, kind in itertools.product(each, [*masks, *kinds]):
            yield at_path(form, (names.index(name) if names.index(name) < len(form.args) else name,),
                          replace(kind, dims=shape))  # fmt: skip


def _names_at(frame: FrameType, line: int) -> set[str]:
    """The variables that a statement of the user's reads, or that the question around it asks for."""
    if not is_user_file(frame.f_code.co_filename):
        return set()
    found = statement_at(frame.f_code.co_filename, line)
    return {node.id for each in found for node in ast.walk(each) if isinstance(node, ast.Name)}


def _read(error: BaseException, form: Form, names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[Path]:
    """The tensors of the input that the line reads where a forward failed: by their names, or by their own sizes."""
    for frame, line in reversed(list(frames(error.__traceback__))):
        nodes = statement_at(frame.f_code.co_filename, line) if is_user_file(frame.f_code.co_filename) else []
        held = [value.shape for node in nodes for each in ast.walk(node) if isinstance(each, (ast.Name, ast.Attribute))
                if isinstance(value := worth(each, frame), torch.Tensor)]  # fmt: skip
        called = {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}
        found = []
        for path, slot in tensors(form):
            name = names[path[0]] if isinstance(path[0], int) and path[0] < len(names) else path[0]
            own = {size for size in slot.shape(sizes)[1:] if size in _OWN}
            if name in called or any(own & set(shape) for shape in held):
                found.append(path)
        if found:
            yield from found
            return


def _shortest_list(error: BaseException) -> int | None:
    """How long the list is that a statement looks too far into."""
    if not isinstance(error, IndexError) or "list index" not in str(error):
        return None
    for frame, line in reversed(list(frames(error.__traceback__))):
        lengths = [len(value) for node in statement_at(frame.f_code.co_filename, line) for each in ast.walk(node)
                   if isinstance(each, ast.Subscript)
                   and isinstance(value := worth(each.value, frame), (list, tuple, nn.ModuleList))]  # fmt: skip
        if lengths:
            return min(lengths)
    return None
