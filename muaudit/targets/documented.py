"""Shapes as a forward's docstring and comments tell them: `x: (B, T, d_model)`, `# adj: [n_nodes, n_nodes]`."""

from __future__ import annotations

import inspect
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

_DIM = re.compile(r"[A-Za-z_]\w*( [A-Za-z_]\w*)?|\d+")
_NO_DIM = re.compile(
    r"tensor|torch|np|ndarray|array|optional|default|int\d*|float\d*|bool|str|list|none|long|dict|tuple"
)
_ROWS = re.compile(r"b|bs|bsz|bz|batch([ _]?size)?|num[ _]?samples?|n[ _]?samples?")
_LENGTHS = re.compile(
    r"t|l|s|tl|seq|(src|tgt|trg|seq|sequence|input|text|time)?[ _]?(len(gth)?|steps?|frames)|time|frames|timesteps?"
)
_NODES = re.compile(r"n|v|(num|n)?_?(nodes|vertices|atoms|points?)")
_SIDES = re.compile(r"h|w|height|width|hh|ww")
_INTEGERS = re.compile(r"longtensor|inttensor|int64|int32|long\b|\bint\b|indices|\bids?\b|token", re.IGNORECASE)
_OTHER = 6
NODES = 4
"""How many a graph has: twice the rows of a batch, as there are of single vectors."""


def told(model: nn.Module, argument: str) -> tuple[list[str], bool]:
    """What the dims of an argument are called, and whether integers are spoken of; no dims where nothing tells."""
    for line in _lines(model):
        found = re.match(rf"\W*(?:param\w*\s+|args?\s+)?`*{re.escape(argument)}`*\s*(?![\w.=(\[])", line)
        if found is None:
            continue
        rest = line[found.end() :]
        if re.search(r"\b(1-?D|one-dimensional) (batch|tensor|vector|array)", rest, re.IGNORECASE):
            return ["batch"], _INTEGERS.search(rest) is not None
        for group in re.findall(r"[(\[{]([^()\[\]{}]*)[)\]}]", rest):
            dims = [each.strip() for each in re.split(r",|\s[x×*]\s", group) if each.strip()]
            if dims and ("," in group or len(dims) > 1) and all(map(_is_dim, dims)):
                return dims, _INTEGERS.search(rest) is not None
    return [], False


def lists_places(model: nn.Module, argument: str) -> bool:
    """Whether an argument is a list with a tensor of places for every graph: `list of LongTensor`."""
    lines = (line for line in _lines(model) if re.match(rf"\W*{re.escape(argument)}\b", line))
    return any(re.search(r"\blists? of .*(long|int)(tensor|64)?", line, re.IGNORECASE) for line in lines)


def sizes(dims: list[str], known: Mapping[str, Any], length: int, side: int, rows: int) -> list[int | None]:
    """Sizes for dims by what they are called; None for those that their reader has to tell.

    There are as many nodes in a graph as there are rows in a batch of single vectors.
    """
    return [_size(each, known, length, side, rows) for each in dims]


def _size(name: str, known: Mapping[str, Any], length: int, side: int, rows: int) -> int | None:
    if name.isdigit():
        return int(name)
    said = known.get(name, known.get(name.replace(" ", "_")))
    if type(said) is int and said > 0:
        return said
    lowered = name.lower()
    by_kind = ((_ROWS, rows), (_LENGTHS, length), (_NODES, NODES), (_SIDES, side))
    return next((size for kind, size in by_kind if kind.fullmatch(lowered)), None)


def anything(name: str) -> int:
    """A size for a dim that nothing is known about; the same wherever it is called the same."""
    return _OTHER + len(name) % 3


def _is_dim(text: str) -> bool:
    return _DIM.fullmatch(text) is not None and _NO_DIM.fullmatch(text.lower()) is None


def _lines(model: nn.Module) -> Iterator[str]:
    """The lines of the docstring, and the comments, of the forward that runs; then of the class.

    That of a container of torch says nothing of what is in it.
    """
    cls = next(each for each in type(model).__mro__ if "forward" in vars(each))
    if cls is nn.Sequential:
        return
    forward = inspect.unwrap(vars(cls)["forward"])
    for held in (forward, cls):
        yield from (inspect.getdoc(held) or "").splitlines() if held is forward or "__doc__" in vars(held) else ()
        if held is forward:
            yield from _comments(forward)


def _comments(function: Any) -> Iterator[str]:
    try:
        text = inspect.getsource(function)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError, IndentationError):
        return
    yield from (each.string.lstrip("# ") for each in tokens if each.type == tokenize.COMMENT)
