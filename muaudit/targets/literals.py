"""Widths that are numbers in the code: which lines of a file hold them, and how they become an argument."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from muaudit.targets.source import nodes_of, tree_of

# Layers of torch.nn by how many of their leading arguments are sizes of features, what is taken and what is made.
_LAYERS = {
    "Linear": 2, "LazyLinear": 1, "Bilinear": 3, "Embedding": 2, "MultiheadAttention": 1, "LSTM": 2, "GRU": 2, "RNN": 2,
    "LSTMCell": 2, "GRUCell": 2, "RNNCell": 2, "TransformerEncoderLayer": 1, "TransformerDecoderLayer": 1,
} | {f"{kind}{n}d": 2 for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)}  # fmt: skip
_KEYWORDS = (
    "in_features", "out_features", "in_channels", "out_channels", "embedding_dim", "hidden_size", "input_size",
    "embed_dim", "d_model", "dim_feedforward",
)  # fmt: skip
_MAKES = re.compile(r"make_?.*(layer|block|stage)")
_NO_LAYER = re.compile(r"Pool|Drop|Norm|Upsample|Pad|Error|Config|Exception")
_IS_SIZE = re.compile(r"(^|_)(filters?|hidden|width|dim|channels?|units|features?|nf|planes)(_|$)")
_SMALLEST = 8  # smaller numbers are colours, kernels, classes
_SHOWN = 4


@dataclass(frozen=True)
class Literal:
    """One layer whose sizes are numbers. made, taken: those that it makes, and those that it takes."""

    line: int
    text: str
    made: tuple[int, ...]
    taken: tuple[int, ...]


def advice(file: str | None, parts: bool = False) -> str:
    """The lines that hold the widths, and what to write instead; empty where the file has none.

    parts: sizes that parts have by default count, where no other numbers are found.
    """
    found = list(literals(file)) or (list(_defaults(tree_of(file))) if parts else [])
    if not found or file is None:
        return ""
    name = Path(file).name
    lines = [f"  {name}:{each.line}: {each.text}" for each in found[:_SHOWN]]
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "\n".join(
        ["its widths are numbers in the code:", *lines, *more, f"make them an argument: {_written(*_inner(found))}"]
    )


def tied_to(file: str | None, name: str, own: int) -> str:
    """The lines with numbers that have to go with an argument which is `own` by default; empty where there are none."""
    tied = {n: (n // own, 1) if n % own == 0 else (1, own // n) for each in literals(file)
            for n in (*each.made, *each.taken) if n % own == 0 or (n in each.taken and own % n == 0)}  # fmt: skip
    found = [each for each in literals(file) if tied.keys() & {*each.made, *each.taken}]
    if file is None or not found:
        return ""
    lines = [f"  {Path(file).name}:{each.line}: {each.text}" for each in found[:_SHOWN]]
    shown = [f"{name if part == 1 else f'{name} // {part}'}{'' if times == 1 else f' * {times}'} for {n}"
             for n, (times, part) in tied.items()]  # fmt: skip
    return "\n".join(["numbers in the code that go with it:", *lines, f"write {', '.join(shown[:_SHOWN])}"])


def literals(file: str | None) -> Iterator[Literal]:
    """The layers of a file whose sizes are numbers in the code, in the order of its lines."""
    tree = tree_of(file)
    calls = [node for node in nodes_of(tree) if isinstance(node, ast.Call)] if tree is not None else []
    yield from [*_tables(tree, calls), *_assigned(tree, calls)] if tree is not None else ()
    makers = dict(_makers(tree)) if tree is not None else {}
    for call in sorted(calls, key=lambda each: each.lineno):
        name = _layer(call)
        if name in makers and isinstance(call.func, ast.Name):  # init_layer(400, 300)
            at = dict(zip(makers[name], map(_number, call.args), strict=False))
            made, taken = (tuple(n for each, n in at.items() if n and each.startswith(side)) for side in ("out", "in"))
            yield from [Literal(call.lineno, ast.unparse(call), made, taken)] if made or taken else []
            continue
        if name not in _LAYERS and not _is_own(call):
            if isinstance(call.func, ast.Attribute) and _MAKES.search(name):  # self._make_layer(block, 64, 2)
                sizes = tuple(n for each in call.args[:3] if (n := _number(each)))
                yield from [Literal(call.lineno, ast.unparse(call), sizes, sizes)] if sizes else []
            continue
        count = _LAYERS.get(name, 2)
        pairs = list(enumerate(call.args[:count]))
        pairs += [(int(not key.arg.startswith("in")), key.value) for key in call.keywords if key.arg in _KEYWORDS]
        made = tuple(n for place, each in pairs if place == count - 1 and (n := _number(each)))
        taken = tuple(n for place, each in pairs if place == 0 and (n := _number(each)))
        if made or taken:
            yield Literal(call.lineno, ast.unparse(call), made, taken)


def _defaults(tree: ast.Module | None) -> Iterator[Literal]:
    """Sizes that parts have by default, and that nothing in the file gives them: `Coupling(in_channel, filter=512)`."""
    nodes = nodes_of(tree) if tree is not None else ()
    calls = [each for each in nodes if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]
    for part in (each for each in nodes if isinstance(each, ast.ClassDef)):
        made = [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == part.name]
        init = next((each for each in part.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
        names = [each.arg for each in init.args.args][1:] if init is not None and made else []
        values = init.args.defaults if init is not None else []
        for name, value in zip(names[::-1], values[::-1], strict=False):
            given = any(
                len(each.args) > names.index(name) or name in {key.arg for key in each.keywords} for each in made
            )
            if _IS_SIZE.search(name) and not given and (size := _number(value)):
                yield Literal(value.lineno, f"class {part.name}: {name}={size}", (size,), (size,))


def _assigned(tree: ast.Module, calls: Sequence[ast.Call]) -> Iterator[Literal]:
    """Numbers that constructors give to a name of their own which sizes a layer: `self.d_model = 30`."""
    sizes = {ast.unparse(each) for call in calls if _layer(call) in _LAYERS for each in call.args[:2]}
    own = [call for call in calls if _is_own(call)]  # VGGBlock(nb_filter[0], nb_filter[1])
    read = sizes | {ast.unparse(each) for call in own for each in call.args}
    functions = (node for node in nodes_of(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    for statement in (node for function in functions for node in nodes_of(function) if isinstance(node, ast.Assign)):
        pairs = [(target, statement.value) for target in statement.targets]
        if isinstance(statement.targets[0], ast.Tuple) and isinstance(statement.value, ast.Tuple):
            pairs = list(zip(statement.targets[0].elts, statement.value.elts, strict=False))
        numbers = tuple(n for name, value in pairs if ast.unparse(name) in sizes and (n := _number(value)))
        entries = {ast.unparse(name): each for name, each in pairs if isinstance(each, (ast.List, ast.Tuple))}
        numbers += tuple(n for name, each in entries.items() if any(size.startswith(f"{name}[") for size in read)
                         for part in each.elts if (n := _number(part)))  # fmt: skip
        if numbers:
            yield Literal(statement.lineno, ast.unparse(statement), numbers, numbers)


def _tables(tree: ast.Module, calls: Sequence[ast.Call]) -> Iterator[Literal]:
    """The lists of a file's own tables, where a loop makes layers of their entries: `cfg = {"A": [64, "M", 128]}`."""
    sized = {
        each.id for call in calls if _layer(call) in _LAYERS for each in call.args[:2] if isinstance(each, ast.Name)
    }
    loops = (node for node in nodes_of(tree) if isinstance(node, ast.For))
    if not any(isinstance(each, ast.Name) and each.id in sized for loop in loops for each in nodes_of(loop.target)):
        return
    for statement in (each for each in tree.body if isinstance(each, ast.Assign)):
        for row in (each for each in nodes_of(statement.value) if isinstance(each, (ast.List, ast.Tuple))):
            if numbers := tuple(n for each in row.elts if (n := _number(each))):
                name = ast.unparse(statement.targets[0])
                yield Literal(row.lineno, f"{name}: {ast.unparse(row)}", numbers, numbers)
                break  # the others are other models


def _makers(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The functions of the file that make a layer of two sizes, by their first arguments: `in_size`, `out_size`."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            first = [each.arg for each in node.args.args[:2]]
            if len(first) == 2 and first[0].startswith("in") and first[1].startswith("out"):
                yield node.name, first


def _is_own(call: ast.Call) -> bool:
    """Whether a call is one of a layer of one's own: `DoubleConv(3, 64)`."""
    return isinstance(call.func, ast.Name) and call.func.id[:1].isupper() and not _NO_LAYER.search(call.func.id)


def _layer(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _number(node: ast.expr) -> int:
    value = node.value if isinstance(node, ast.Constant) else 0
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= _SMALLEST else 0


def _inner(found: Sequence[Literal]) -> tuple[list[int], int]:
    """The sizes of hidden layers, and which of them is the width.

    What is taken before anything makes it is the size of the input, also where the output has it again. The width is
    the smallest where the others are doublings of it, as channels of stages are, else the one that most layers have.
    """
    first: dict[int, bool] = {}
    for each in found:
        first |= {n: False for n in each.taken if n not in first and n not in each.made}
        first |= {n: True for n in each.made if n not in first}
    made, taken = Counter(n for each in found for n in each.made), Counter(n for each in found for n in each.taken)
    inner = sorted(n for n in made.keys() & taken.keys() if first[n]) or sorted(made) or sorted(taken)
    doubled = all(n % inner[0] == 0 and (n // inner[0]).bit_count() == 1 for n in inner)
    return inner, inner[0] if doubled else max(inner, key=lambda n: (made + taken)[n])


def _written(numbers: Sequence[int], base: int) -> str:
    """`width=32, with width for 32, 2 * width for 64`."""
    shown = [f"{_grown(n, base)} for {n}" for n in [base, *(n for n in numbers if n != base)][:_SHOWN]]
    return f"width={base}, with {', '.join(shown)}"


def _grown(n: int, base: int) -> str:
    if n % base == 0:
        return "width" if n == base else f"{n // base} * width"
    return f"width // {base // n}" if base % n == 0 else f"{n} * width // {base}"
