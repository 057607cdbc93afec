"""What each operation is, declared once: recording, lowering and everything behind them ask `of(name)`.

To add an operation, write its line into the table of its family; a way of treating sizes that no family knows is a new
class there, and one function of `program.lowering` that reads it.
"""

from functools import cache
from typing import Any

from . import functions, moves, products, reductions, sums, whole_matrices
from .operation import Declarations, Operation

DECLARATIONS = Declarations(
    moves.DECLARED, sums.DECLARED, products.DECLARED, functions.DECLARED, whole_matrices.DECLARED,
    reductions.DECLARED,
)  # fmt: skip


def of(name: str) -> Operation | None:
    """What an operation is: of `aten.add`, `add`, `add_` or `library.name`; None where nobody has said it."""
    return DECLARATIONS.of(name)


@cache
def name_of(function: Any) -> str:
    """`aten.add` of any overload that torch dispatches; of another function what it prints as."""
    return str(getattr(function, "overloadpacket", function))


__all__ = [
    "DECLARATIONS", "Declarations", "Operation", "functions", "moves", "name_of", "of", "products",
    "reductions", "sums", "whole_matrices",
]  # fmt: skip
