"""The verifier between the solved program and the judge: every parameter is judged once a use, or listed and why.

The uses that there must be are read off the program: wherever a value that depends on the data reads one made of
parameters alone. The solver walks that program by its own rules. What it neither made a use of nor gave a reason for
is a mistake of this package: raised where the variable MUAUDIT_VERIFY is set, as the tests set it, and listed among
what was not analysed for everybody else.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import fx

from ..program.lower import Program
from ..program.operands import parameters_in
from ..program.values import Value
from ..solve.uses import Ideal
from ..trace.align import Op

STRICT = "MUAUDIT_VERIFY"

Standing = Literal["judged", "not judged", "not reached", "frozen", "no gradient"]


class Unaccounted(AssertionError):
    """A parameter that is neither judged nor listed, or judged at fewer places than it is used at."""


@dataclass(frozen=True)
class Account:
    """What became of one parameter. reason: why it is listed; empty where it is judged, or a finding of its own.

    frozen: it is read as a constant of the step, which no training changes. no gradient: read, trainable, and the real
    backward left it without a gradient, which is a finding. not reached: nothing that could train it reads it.
    """

    standing: Standing
    reason: str = ""
    op: Op | None = None  # where the reason is

    @property
    def in_words(self) -> str:
        """Why there is no use of it to speak of."""
        plain = {"frozen": "it is frozen", "no gradient": "no gradient reaches it"}
        return self.reason or plain.get(self.standing, self.standing)


def accounts(program: Program, ideal: Ideal) -> dict[str, Account]:
    """What became of every parameter, by name.

    Raises:
        Unaccounted: where MUAUDIT_VERIFY is set, and the program holds a use that was lost.
    """
    due, judged = Counter(_due(program)), Counter((use.tensor, use.value) for use in ideal.uses if use.tensor)
    lost: dict[str, Value] = {}
    for (name, value), count in due.items():
        if name not in ideal.unjudged and not 1 <= judged[name, value] <= count:
            lost.setdefault(name, value)
    used = {name for name, _ in due} | {name for name, _ in judged}
    found = {
        name: _account(name, node, program, ideal, lost.get(name), name in used)
        for node in dict.fromkeys(program.aligned.narrow.params.values())
        for name in (node.meta["param"],)
    }
    if lost and os.environ.get(STRICT):
        raise Unaccounted("; ".join(f"{name}: {found[name].reason}" for name in lost))
    return found


def _due(program: Program) -> Iterator[tuple[str, Value]]:
    """Parameter and reading value, for every use that there must be: not in a derivative, which is no further use."""
    live = program.reaching_outputs()
    for value in program.values:
        if value in live and not value.weight and value.kind != "data" and not value.derivative:
            for arg in dict.fromkeys(value.args):
                if arg.weight:
                    yield from ((name, value) for name in parameters_in(arg))


def _account(name: str, node: fx.Node, program: Program, ideal: Ideal, lost: Value | None, used: bool) -> Account:
    if name in ideal.unjudged:
        op, reason = ideal.unjudged[name]
        return Account("not judged", reason, op)
    if lost is not None:
        return Account("not judged", f"the use by {lost.op.name} was lost: a mistake of muaudit", lost.op)
    if used:
        return Account("judged")
    if not node.users:
        return Account("not reached", "never used in the recorded forward pass")
    if node.meta["frozen"]:
        return Account("frozen")
    gradients = program.aligned.narrow.grad_rms, program.aligned.wide.grad_rms
    if all(gradients) and not any(name in each for each in gradients):
        return Account("no gradient")
    if all(gradients):
        reader = program.aligned.by_node[next(iter(node.users))]
        if not any(each.get(name) for each in gradients):
            return Account("not judged", "what it multiplies is zero in the recorded pass, as first states are", reader)
        return Account("not judged", f"how {reader.name} depends on it is not understood", reader)
    return Account("not reached", "no gradient can reach it from the loss or from an output")
