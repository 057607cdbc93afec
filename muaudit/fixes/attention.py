"""Edits of attention scales: by the size of a head where that is known at the base width, else by the width.

The size of a head is what the scale has to follow (DESIGN 3.4): where more width means more heads of one size it stays
as it is, which a factor of the width would not.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from math import isclose, isqrt

from ..findings.model import SourceEdit
from ..targets import argnames
from ..targets.probe import Target
from .places import Factor, Source, called, is_product
from .watch import Spot, Writers

_SDPA = "scaled_dot_product_attention"


def own_heads(target: Target) -> int | None:
    """The model's own number of heads, where the audited one has fewer."""
    found = (n for name, n in target.cut.items() if argnames.named(name.rpartition(".")[2], argnames.HEADS))
    return next((n for n in found if isinstance(n, int)), None)


def head_factor(
    watched: Writers, spot: Spot, node: ast.expr, base: int, exponent: float, own: int | None
) -> Factor | None:
    """The factor by the size of a head; None where that is not known, as a whole number, at the base width."""
    line = watched.lines.get(spot)
    for name in (each.id for each in ast.walk(node) if isinstance(each, ast.Name)):
        share = line.share(name) if line else None
        size = None if share is None or line is None else _head_size(share, base, line.heads, own)
        if size is not None:
            return Factor(f"{name}.size(-1)", size, exponent)
    return None


def _head_size(share: float, base: int, heads: Collection[int], own: int | None) -> int | None:
    """The size of a head at the base width. share: of the width, where the model has `heads`; own: the model's own
    number of heads, where the audited model has fewer. None where it is no whole number."""
    if own is not None:
        if len(heads) != 1:
            return None
        share *= next(iter(heads)) / own
    return round(share * base) if share * base >= 1 and isclose(share * base, round(share * base)) else None


def attention_at(source: Source, line: int) -> ast.expr | None:
    """What makes the attention logits on a line."""
    fused = source.on_line(line, lambda node: called(node) == _SDPA)
    return next(iter(fused or source.on_line(line, is_product)), None)


def attention_edits(source: Source, node: ast.expr, factor: Factor) -> list[SourceEdit]:
    """Edits that scale the attention logits made by an expression, and on other paths of the same function."""
    edits = _scaled_attention(source, node, factor)
    # The same queries and keys on another path of the function (flash or not) need the same scale.
    for other in _same_contraction(source, node):
        edits += _scaled_attention(source, other, factor)
    return edits


def _scaled_attention(source: Source, node: ast.expr, factor: Factor) -> list[SourceEdit]:
    if called(node) != _SDPA:
        return source.scaled(node, factor)
    assert isinstance(node, ast.Call)
    given = [each.value for each in node.keywords if each.arg == "scale"]
    none = bool(given) and isinstance(given[0], ast.Constant) and given[0].value is None
    if given and not none:
        return source.scaled(given[0], factor)
    query = node.args[0] if node.args else None
    if not isinstance(query, ast.Name | ast.Attribute):
        return []
    head = f"{source.code(query)}.size(-1)"
    scale = f"{head} ** -0.5 * {factor}"  # None means 1 / sqrt(d_head)
    if factor.width == head and factor.exponent == -0.5 and isinstance(factor.base, int):
        scale = f"{_root_of(factor.base)} / {head}"
    if none:
        return [source.replace(given[0], scale)]
    return [source.argument(node, f"scale={scale}")]


def _same_contraction(source: Source, node: ast.expr) -> list[ast.expr]:
    """Other contractions of the same queries and keys in the same function, with their scales."""
    function = source.enclosing(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    names = _operands(node)
    if function is None or names is None:
        return []
    found: list[ast.expr] = []
    for each in ast.walk(function):
        if not isinstance(each, ast.expr) or _operands(each) != names:
            continue
        outer: ast.expr = each
        parent = source.parents.get(outer)
        while isinstance(parent, ast.BinOp) and is_product(parent) and parent.left is outer:
            outer, parent = parent, source.parents.get(parent)
        if outer is not node and not _within(outer, node) and outer not in found:
            found.append(outer)
    return found


def _operands(node: ast.expr) -> tuple[str, str] | None:
    """(`q`, `k`) of `q @ k.transpose(-2, -1)`, of `torch.matmul(q, k.mT)`, and of the fused call."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        pair = [node.left, node.right]
    elif isinstance(node, ast.BinOp) and is_product(node):
        return _operands(node.left)
    elif isinstance(node, ast.Call) and called(node) in (_SDPA, "matmul", "bmm") and len(node.args) >= 2:
        pair = node.args[:2]
    else:
        return None
    first, second = (_root(each) for each in pair)
    return (first, second) if first and second and isinstance(pair[0], ast.Name) else None


def _root(node: ast.expr) -> str:
    """`k` of `k.transpose(-2, -1)`."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _root_of(size: int) -> str:
    return str(isqrt(size)) if isqrt(size) ** 2 == size else f"{size} ** 0.5"


def _within(node: ast.AST, outer: ast.AST) -> bool:
    return any(each is node for each in ast.walk(outer)) or any(each is outer for each in ast.walk(node))
