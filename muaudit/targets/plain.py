"""Arguments of a forward that are no tensors, by what its text asks of them: `if augment:`, `mode == "train"`."""

from __future__ import annotations

import ast

from torch import nn

from muaudit.targets.readers import forward_of
from muaudit.targets.source import nodes_of


def plain_value(model: nn.Module, argument: str) -> bool | str | None:
    """False where a forward asks nothing but the truth of an argument, the first text that it is compared with.

    None where it does anything else with it, or hands it on.
    """
    forward = forward_of(model)
    nodes = list(nodes_of(forward)) if forward is not None else []
    uses = [each for each in nodes if isinstance(each, ast.Name) and each.id == argument]
    asked = {id(part) for node in nodes for part in _asked(node)}
    compared = [node for node in nodes if isinstance(node, ast.Compare) and len(node.ops) == 1]
    compared = [node for node in compared if isinstance(node.left, ast.Name) and node.left.id == argument]
    constants = [node.comparators[0].value for node in compared if isinstance(node.comparators[0], ast.Constant)]
    known = asked | {id(node.left) for node in compared if isinstance(node.comparators[0], ast.Constant)}
    if not uses or any(id(each) not in known for each in uses):
        return None
    texts = [each for each in constants if isinstance(each, str)]
    if texts:
        return texts[0]
    return False if all(isinstance(each, bool) for each in constants) else None


def _asked(node: ast.AST) -> list[ast.expr]:
    """The expressions of whose truth this node makes use."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
        return [node.test]
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.operand] if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else []
