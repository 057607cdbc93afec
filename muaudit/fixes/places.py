"""Syntax trees for edits: the expressions on a line, and how to put a factor behind one without touching the rest."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO

from ..findings.model import SourceEdit
from ..findings.power import number
from ..targets.source import read_source

_SAFE_PARENTS = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr, ast.Tuple, ast.List, ast.Dict, ast.keyword,
    ast.NamedExpr,
)  # fmt: skip
_PRODUCTS = (ast.Mult, ast.Div, ast.MatMult)


@dataclass(frozen=True)
class Factor:
    """(width / base) ** exponent, written so that it is readable: `(768 / self.n_embd) ** 0.5`.

    base: a number, or how the base width is written there.
    """

    width: str
    base: int | str
    exponent: float

    def __str__(self) -> str:
        ratio = f"({self.width} / {self.base})" if self.exponent > 0 else f"({self.base} / {self.width})"
        power = abs(self.exponent)
        return ratio if power == 1 else f"{ratio} ** {number(power)}"


def lines_of(text: str) -> list[str]:
    """The lines as Python counts them, with their ends: `str.splitlines` breaks at form feeds too."""
    return StringIO(text, newline="").readlines()


class Source:
    """One file as text and tree. Raises OSError, SyntaxError or UnicodeDecodeError for what is no Python."""

    def __init__(self, file: str) -> None:
        self.file = file
        data = read_source(file)
        self.digest = hashlib.sha256(data).hexdigest()
        self.text = data.decode("utf-8")
        self.tree = ast.parse(self.text)
        self.lines = lines_of(self.text)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Every node's parent."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def code(self, node: ast.expr) -> str:
        """The source of an expression."""
        return ast.get_source_segment(self.text, node) or ""

    def on_line(self, line: int, fits: Callable[[ast.expr], bool]) -> list[ast.expr]:
        """The expressions of the statement at `line` that span it and fit, outermost first."""
        statement = self.statement(line)
        return [] if statement is None else [
            node for node in ast.walk(statement)
            if isinstance(node, ast.expr) and node.lineno <= line <= (node.end_lineno or 0) and fits(node)
        ]  # fmt: skip

    def statement(self, line: int) -> ast.stmt | None:
        """The innermost simple statement at `line`."""
        simple = (s for s in ast.walk(self.tree) if isinstance(s, ast.stmt) and not hasattr(s, "body"))
        return next((s for s in simple if s.lineno <= line <= (s.end_lineno or 0)), None)

    def enclosing(self, node: ast.AST, kind: type | tuple[type, ...]) -> ast.AST | None:
        """The innermost node of a kind around `node`."""
        current: ast.AST | None = self.parents.get(node)
        while current is not None and not isinstance(current, kind):
            current = self.parents.get(current)
        return current

    def scaled(self, node: ast.expr, factor: Factor) -> list[SourceEdit]:
        """Edits that multiply an expression by a factor: text behind it, and brackets where it needs them."""
        product = isinstance(node, ast.BinOp) and isinstance(node.op, _PRODUCTS)
        simple = product or isinstance(node, ast.Call | ast.Name | ast.Constant | ast.Attribute | ast.Subscript)
        inside = [self.insert(node, "("), self.insert(node, f") * {factor}", end=True)]
        if not simple:
            return inside
        if product or self._stands_alone(node):
            return [self.insert(node, f" * {factor}", end=True)]
        return [self.insert(node, "("), self.insert(node, f" * {factor})", end=True)]

    def insert(self, node: ast.expr, text: str, end: bool = False) -> SourceEdit:
        """An edit that puts text before or behind an expression."""
        line, column = self._position(node, end)
        return SourceEdit(self.file, line, column, line, column, text, self.digest)

    def argument(self, call: ast.Call, text: str) -> SourceEdit:
        """An edit that gives a call one argument more, as its last."""
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if given:
            last = max(given, key=lambda each: (each.end_lineno, each.end_col_offset))
            return self.insert(last, f", {text}", end=True)
        line, column = self._position(call, end=True)
        return SourceEdit(self.file, line, column - 1, line, column - 1, text, self.digest)

    def below(self, statement: ast.stmt, text: str) -> SourceEdit:
        """An edit that puts one more line below a statement, indented as it is."""
        end = statement.end_lineno or statement.lineno
        line, first = self.lines[end - 1], self.lines[statement.lineno - 1]
        bare = line.rstrip("\r\n")
        indent = first[: len(first) - len(first.lstrip())]
        added = f"{line[len(bare) :] or chr(10)}{indent}{text}"
        return SourceEdit(self.file, end, len(bare), end, len(bare), added, self.digest)

    def replace(self, node: ast.expr, text: str) -> SourceEdit:
        """An edit that puts text in place of an expression."""
        return SourceEdit(self.file, *self._position(node), *self._position(node, end=True), text, self.digest)

    def _stands_alone(self, node: ast.expr) -> bool:
        parent = self.parents.get(node)
        return isinstance(parent, _SAFE_PARENTS) or (isinstance(parent, ast.Call) and node in parent.args)

    def _position(self, node: ast.expr, end: bool = False) -> tuple[int, int]:
        """Line from 1 and column from 0 in characters; the tree counts bytes."""
        line, offset = (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)
        assert line is not None
        assert offset is not None
        return line, len(self.lines[line - 1].encode()[:offset].decode())


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """All calls below a node."""
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


def called(node: ast.expr) -> str:
    """`normal_` of `nn.init.normal_(...)`; empty for what is no call of a name."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def is_product(node: ast.expr) -> bool:
    """Whether it is a product, a quotient, or a call that contracts."""
    contracts = called(node) in ("matmul", "bmm", "einsum", "baddbmm", "linear", "dot", "mul", "div")
    return contracts or (isinstance(node, ast.BinOp) and isinstance(node.op, _PRODUCTS))
