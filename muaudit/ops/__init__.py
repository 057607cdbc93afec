"""What each operation is, declared once: recording, lowering and everything behind them ask `of(name)`.

To add an operation, write its line into the table of its family; a way of treating sizes that no family knows is a new
class there, and one function of `program.lowering` that reads it.
"""

from . import functions, moves, products, reductions, sums
from .operation import Declarations, Operation

DECLARATIONS = Declarations(
    moves.DECLARED, sums.DECLARED, products.DECLARED, functions.DECLARED, reductions.DECLARED
)  # fmt: skip


def of(name: str) -> Operation | None:
    """What an operation is: of `aten.add`, `add`, `add_` or `library.name`; None where nobody has said it."""
    return DECLARATIONS.of(name)


__all__ = ["DECLARATIONS", "Declarations", "Operation", "functions", "moves", "of", "products", "reductions", "sums"]
