"""A base width as an argument of the model, for code that loads checkpoints of several sizes (`from_pretrained`).

A number in the source would change every one of these models but the one of that width. As a field of the configuration
that is None by default it changes none of them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..findings.model import SourceEdit
from ..targets.probe import Target
from ..targets.userfiles import is_user_file
from .places import Source

LOADS = "from_pretrained"


@dataclass(frozen=True)
class BaseArgument:
    """The field `name` of the configuration `config`, beside the field `width`; `edit` adds it."""

    config: str
    width: str
    name: str
    edit: SourceEdit

    def at(self, source: Source, line: int, expression: str) -> tuple[str, list[SourceEdit]] | None:
        """How the base width is written on a line where the width is `expression`, and what else that takes.

        `config.n_embd` → `(config.base_n_embd or config.n_embd)`; where a module has kept the width as an attribute
        of its own, it keeps the base width beside it. None where no configuration is in reach.
        """
        holder, _, field = expression.rpartition(".")
        if field != self.width or not holder:
            return None
        if holder != "self":
            return f"({holder}.{self.name} or {expression})", []
        kept = _kept(source, line, field)
        if kept is None:
            return None
        statement, value = kept
        given = source.code(value)
        base = f"{given.rpartition('.')[0]}.{self.name} or {given}"
        return f"self.{self.name}", [source.below(statement, f"self.{self.name} = {base}")]


def loads_checkpoints(target: Target) -> bool:
    """Whether the model's class has a `from_pretrained` of its own."""
    if target.class_file is None or target.class_line is None or not is_user_file(target.class_file):
        return False
    home = _class_at(Source(target.class_file), target.class_line)
    return home is not None and any(isinstance(each, ast.FunctionDef) and each.name == LOADS for each in home.body)


def base_argument(target: Target) -> BaseArgument | None:
    """Where the base width can be an argument: a dataclass in the model's file that has the width as a field."""
    assert target.class_file is not None
    source, width = Source(target.class_file), target.axes[0].name.rpartition(".")[2]
    name = f"base_{width}"
    for each in ast.walk(source.tree):
        if not isinstance(each, ast.ClassDef) or not any("dataclass" in source.code(d) for d in each.decorator_list):
            continue
        fields = {
            field.target.id: field
            for field in each.body
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        }
        last = list(fields.values())[-1] if fields else None
        if width in fields and name not in fields and last is not None:
            added = f"{name}: int | None = None  # µP: the {width} that was tuned at; None: no change"
            return BaseArgument(each.name, width, name, source.below(last, added))
    return None


def _class_at(source: Source, line: int) -> ast.ClassDef | None:
    classes = (each for each in ast.walk(source.tree) if isinstance(each, ast.ClassDef))
    return next((each for each in classes if each.lineno <= line <= (each.end_lineno or 0)), None)


def _kept(source: Source, line: int, field: str) -> tuple[ast.Assign, ast.expr] | None:
    """`self.n_embd = config.n_embd` of the class around a line, and its right side."""
    home = _class_at(source, line)
    for each in ast.walk(home) if home is not None else ():
        if not isinstance(each, ast.Assign) or not isinstance(each.value, ast.Attribute) or each.value.attr != field:
            continue
        if (
            any(source.code(to) == f"self.{field}" for to in each.targets)
            and source.code(each.value) != f"self.{field}"
        ):
            return each, each.value
    return None
