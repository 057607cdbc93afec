"""Rows of a table."""

from __future__ import annotations

from ..expression import Expr
from ..use import Reading
from ..values import Value
from .meaning import Equations, Flow, Meaning, Size


class Lookup(Meaning):
    words = "row of a table: nothing is summed"
    keeps_signs = True
    is_weight = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        table = v.args[0]
        return to.used(table, Reading(v, 0.0, table.size, "input" if table.size > 0 else "scalar"))

    def forward(self, v: Value, flow: Flow) -> Size:
        x, table = flow.sizes[v.args[0]], v.args[0]
        own = {table.name: x.init} if table.kind == "param" and table.name in flow.tied else {}
        return Size(x.init, x.update, x.capped, own)
