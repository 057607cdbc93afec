"""What could not be judged, each with its reason."""

from __future__ import annotations

from ..analysis.derive import Scaling
from ..findings.model import Unanalysed
from ..optimizers import UNKNOWN


def not_analysed(scaling: Scaling, over: str = "width", symbol: str = "n") -> tuple[Unanalysed, ...]:
    """Operations, parameters, initializations and optimizers that could not be judged, each with its reason."""
    out: list[Unanalysed] = []
    for value in scaling.ideal.unknown:
        out.append(Unanalysed(value.op.module or value.op.name, value.op.file, value.op.line, value.note, "MUP901"))
    for op, raw in scaling.program.irregular:
        reason = f"a constant here is not a power of {over}: {symbol}^{raw:.2f} between the probes"
        out.append(Unanalysed(op.module or op.name, op.file, op.line, reason, "MUP902"))
    if any(how.law.gradient for how in scaling.trained.values()):  # the others do not see the size of a gradient
        reason = "the backward of a custom autograd.Function here could not be compared with its forward"
        ops = scaling.program.odd_backward
        out += [Unanalysed(op.module or op.name, op.file, op.line, reason) for op in ops]
    for name, account in scaling.accounts.items():
        if account.reason:
            where = (account.op.file, account.op.line) if account.op is not None else (None, None)
            rule = "MUP904" if account.standing == "not reached" else "MUP901"
            out.append(Unanalysed(name, *where, account.reason, rule))
        out += _unknown_settings(scaling, name, over, symbol)
    return tuple(dict.fromkeys(out))


def _unknown_settings(scaling: Scaling, name: str, over: str, symbol: str) -> list[Unanalysed]:
    init, how = scaling.inits.get(name), scaling.trained.get(name)
    out: list[Unanalysed] = []
    if init is not None and init.exponent is None:
        sizes = f"std {init.rms[0]:.4g} → {init.rms[1]:.4g}"
        if all(init.rms):  # else it is zero at one probe alone, and no exponent
            sizes += f", that is {symbol}^{init.raw:.2f} ± {init.error:.2f}"
        why = init.note or f"not a power of {over}: {sizes}"
        out.append(Unanalysed(name, None, None, f"its initialization is {why}", "MUP902"))
    if how is not None and how.family == UNKNOWN:
        out.append(
            Unanalysed(
                name,
                None,
                None,
                f"do not know the optimizer {how.optimizer}: its learning rate is not judged{_because(how.reason)}"
                "; --optimizer-kind 'PATTERN=adamw' says what its steps are like",
                "MUP903",
            )
        )
    elif how is not None and how.lr_exponent is None:
        reason = f"its learning rate is not a power of {over}: {symbol}^{how.raw_lr_exponent:.2f}"
        if how.lr == 0:
            reason = "its learning rate is 0 where the optimizer is made, and the group has no initial_lr"
        out.append(Unanalysed(name, None, None, reason, "MUP902"))
    return out


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
