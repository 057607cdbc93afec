"""Sizes that a published configuration may have. A class of transformers makes lists and tables of some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muaudit.errors import UserError
from muaudit.targets import argnames
from muaudit.targets.shrink import WIDTHS

_COUNTED = ("num_", "n_")
_LARGEST = (
    (argnames.VOCAB, 1 << 28),
    (argnames.LENGTH, 1 << 34),
    (argnames.DEPTH, 1 << 14),
    (argnames.CLASSES, 1 << 20),
)
_MOST = 1 << 24
"""Of anything else that is counted, or a width: a thousand times what was ever published."""


def check_sizes(fields: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a width that is none, and for a size or number of things that nothing could have."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            check_sizes(value, where)
        elif isinstance(value, int) and not isinstance(value, bool):
            most = next((most for table, most in _LARGEST if name in table), None)
            counted = most is not None or name in WIDTHS or str(name).startswith(_COUNTED)
            least = 1 if name in WIDTHS or name in argnames.DEPTH or name in argnames.HEADS else None
            if least is not None and value < least:
                raise UserError(f"cannot read {where}: {name} is {value}, expected at least {least}")
            if counted and value > (most or _MOST):
                raise UserError(f"cannot read {where}: {name} is {value:,}, expected at most {most or _MOST:,}")
        elif name in WIDTHS and isinstance(value, str):
            raise UserError(f"cannot read {where}: {name} is {value!r}, expected a width")
