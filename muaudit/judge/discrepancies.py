"""Turn judged uses into discrepancies, folded over repeated blocks and named by what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..findings.discrepancy import Aspect, Discrepancy, Role
from ..findings.names import fold, pattern_of, pattern_of_all
from ..findings.power import power
from ..optimizers import law_of
from ..optimizers.trained import Trained
from ..program.use import Use
from ..program.values import MOVED, PER_CHANNEL, ZERO, Value, arguments, beyond, readers_of
from ..solve.uses import Conflict
from ..thresholds import TOLERANCE
from ..trace.inits import Init
from .edits import Judged, owner


def discrepancies(
    values: Iterable[Value],
    judged: list[Judged],
    conflicts: Iterable[Conflict],
    inits: Mapping[str, Init],
    trained: Mapping[str, Trained],
) -> list[Discrepancy]:
    """All findings about uses and constants, repeated blocks folded."""
    consumers = readers_of(values)
    tied = {j.use.tensor for j in judged if j.use.role == "input"} & {
        j.use.tensor for j in judged if j.use.role == "output"
    }
    around = _Around(inits, trained, consumers, _shifts_of_modules(judged), _rates_alone(judged), _in_part(judged))
    found = [d for j in _once_per_tensor(judged) for d in _of_use(j, around)]
    found = _of_modules(found, judged)
    found = _readout_biases(found, judged)
    found = [replace(d, tied=d.role == "output" and d.tensors[0] in tied) if d.tensors else d for d in found]
    found += [_of_conflict(c) for c in conflicts]
    return folded(found)


def _once_per_tensor(judged: list[Judged]) -> list[Judged]:
    """A tensor used twice with the same thing wrong is wrong once."""
    kept: dict[tuple[object, ...], Judged] = {}
    blamed: set[tuple[str, str, float]] = set()
    for j in judged:
        if not j.aspects:
            continue
        if j.use.kind != "tensor":
            kept[(j.use.value.op.file, j.use.value.op.line, j.use.value.op.module, j.init_off, len(kept))] = j
            continue
        keys = [
            (j.use.tensor, aspect, round(off, 3)) for aspect, off in (("init", j.init_off), ("lr", j.lr_off)) if off
        ]
        if blamed.issuperset(keys):
            continue
        blamed.update(keys)
        kept.setdefault((j.use.tensor, j.use.role, round(j.init_off, 3), round(j.lr_off, 3)), j)
    return list(kept.values())


def _shifts_of_modules(judged: Iterable[Judged]) -> dict[str, set[float]]:
    """The constants on what modules make that are wrong, by the name of the module."""
    shifts: dict[str, set[float]] = {}
    for j in judged:
        if j.use.tensor and j.one_constant is not None:
            shifts.setdefault(owner(j.use), set()).add(round(j.one_constant, 3))
    return shifts


def _of_modules(found: list[Discrepancy], judged: Iterable[Judged]) -> list[Discrepancy]:
    """`found`, with one finding for a wrong constant on what a module makes: its bias is multiplied along."""
    owners = {j.use.tensor: owner(j.use) for j in judged if j.use.tensor}
    first: dict[tuple[str, float], int] = {}
    out: list[Discrepancy] = []
    for d in found:
        key = (owners.get(d.tensors[0], "") if d.tensors else "", round(d.found - d.expected, 3))
        if d.aspect != "multiplier" or not key[0] or key[0] == d.tensors[0]:
            out.append(d)
        elif key in first and d.tensors[0] not in out[first[key]].tensors:
            whole = out[first[key]]
            out[first[key]] = replace(whole, tensors=(*whole.tensors, *d.tensors), pattern="")
        else:
            first[key] = len(out)
            out.append(d)
    return out


def _rates_alone(judged: Iterable[Judged]) -> frozenset[tuple[Role, float]]:
    """By how much learning rates of tensors of a role are off that can be nothing else."""
    return frozenset(
        (j.use.role, round(j.lr_off, 3)) for j in judged if j.lr_off and not j.init_off and j.init_found != ZERO
    )


def _in_part(judged: Iterable[Judged]) -> frozenset[str]:
    """The tensors of which some rows are off by something else than others are, if at all."""
    offs: dict[str, set[tuple[float, float]]] = {}
    for j in judged:
        if j.use.rows:
            offs.setdefault(j.use.tensor, set()).add((round(j.init_off, 3), round(j.lr_off, 3)))
    return frozenset(name for name, each in offs.items() if len(each) > 1)


@dataclass(frozen=True)
class _Around:
    """What a finding about one use has to know of the others."""

    inits: Mapping[str, Init]
    trained: Mapping[str, Trained]
    consumers: Mapping[Value, list[Value]]
    shifts: Mapping[str, set[float]]
    rates: frozenset[tuple[Role, float]]
    in_part: frozenset[str]


def _of_use(j: Judged, around: _Around) -> list[Discrepancy]:
    if j.use.kind != "tensor":
        return [_of_contraction(j, around.consumers)]
    use, op = j.use, j.use.value.op
    init, how = around.inits.get(use.drawn), around.trained.get(use.tensor)
    family = how.family if how else ""
    base = Discrepancy(
        "init", use.role, (use.tensor,), use.tensor, j.init_found or 0.0, j.init_required, op.file, op.line,
        optimizer=family, module=op.module, bound=use.role == "output", values=init.rms if init else (),
        detail="added" if use.role == "scalar" and use.value.kind == "join" else "", noun=noun_of(use),
        rows=use.rows if use.tensor in around.in_part else "",
    )  # fmt: skip
    shift = _multiplier_shift(j, family, (use.role, round(j.lr_off, 3)) in around.rates)
    if shift is None:
        shift = j.shared(around.shifts.get(owner(use), ()))
    if shift is not None:
        detail = ("missing" if shift > 0 else "doubled") if use.role == "output" else "extra"
        mu = round(j.multiplier, 6)
        of_constant = replace(base, aspect="multiplier", found=mu, expected=mu - shift, detail=detail, bound=False,
                              values=(j.init_off, j.lr_off) if j.init_off and j.lr_off else ())  # fmt: skip
        rest = j.init_off - shift if j.init_off and use.role in ("bias", "scalar") else 0.0
        if abs(rest) < TOLERANCE:
            return [of_constant]
        return [replace(of_constant, values=()), replace(base, expected=j.init_required + shift)]
    out = []
    if j.init_off:
        out.append(base)
    if j.lr_off:
        twice = (
            use.role == "output" and family == "adam" and max(j.multiplier, j.lr_found or 0.0) <= -use.e_in + TOLERANCE
        )
        detail = how.adjust if how and how.law.spectral else "doubled" if twice else base.detail
        lr = replace(base, aspect="lr", found=j.lr_found or 0.0, expected=j.lr_required, bound=False, detail=detail)
        out.append(replace(lr, values=(how.lr,) if how else ()))
    return out


def noun_of(use: Use) -> str:
    """What a vector is called by what reads it, where that is not what its role is named after."""
    if use.role == "gain" and use.value.note == PER_CHANNEL:
        return "depthwise kernel"
    return "vector" if use.role == "bias" and use.value.kind != "join" else ""


def _readout_biases(found: list[Discrepancy], judged: Iterable[Judged]) -> list[Discrepancy]:
    """`found`, with biases of readouts that stop learning marked: the readout's weight can do what they do."""
    judged = list(judged)
    readouts = {j.use.value for j in judged if j.use.role == "output"}
    sums = {j.use.value: j.use.tensor for j in judged if j.use.role == "scalar"}
    biases = {tensor for value, tensor in sums.items() if _added_to(value, readouts)}
    biased = {j.use.tensor for j in judged if j.use.role == "output" and any(_added_to(s, {j.use.value}) for s in sums)}
    out = []
    for d in found:
        stops = d.aspect in ("lr", "multiplier") and d.found < d.expected
        if d.role == "scalar" and stops and d.tensors[0] in biases:
            d = replace(d, detail="readout bias")
        elif d.role == "output":
            d = replace(d, biased=d.tensors[0] in biased)
        out.append(d)
    return out


def _added_to(value: Value, sought: set[Value]) -> bool:
    """Whether a sum has one of these values as a term, scaled and reshaped as it may be."""
    return value.kind == "join" and any(arg in sought for arg in beyond(value, arguments))


def _multiplier_shift(j: Judged, family: str, as_others: bool) -> float | None:
    """By how much the forward multiplier is off, when that one constant explains init and learning rate together.

    as_others: whether learning rates of other tensors of its role are off by as much, where that can be nothing else.
    """
    by_lr = j.lr_off / law_of(family).slope
    mu = j.multiplier
    if j.init_off and j.lr_off:
        if any(abs(each - j.init_off) < TOLERANCE for each in j.by_rates):
            return j.one_constant
        if j.use.role == "output":
            return by_lr if 0 < j.init_off < by_lr + TOLERANCE and abs(mu) < TOLERANCE else None
    if not j.lr_off or abs(mu) < TOLERANCE:
        return None
    if j.use.role == "output":  # a smaller readout init is legal, so only the learning rate shows a multiplier too many
        return by_lr if by_lr < 0 and mu < -j.use.e_in - TOLERANCE else None
    right = abs(by_lr - mu) < TOLERANCE  # were there no multiplier
    both = bool(j.init_off) and j.use.role in ("bias", "scalar")  # what is left of the init is another matter
    return by_lr if right and ((j.init_found == ZERO and not as_others) or both) else None


def _of_contraction(j: Judged, consumers: Mapping[Value, list[Value]]) -> Discrepancy:
    use, value = j.use, j.use.value
    expected, off = -use.e_in, j.init_off
    found = expected + off
    op = _constant_of(value, found, consumers).op
    aspect: Aspect = "attention" if use.kind == "attention" else "contraction"
    what = "attention logits" if aspect == "attention" else "values"
    effect = f"{what} grow like {power(off)} once trained" if off > 0 else f"{what} shrink like {power(off)}"
    return Discrepancy(
        aspect, None, (), "", found, expected, op.file, op.line, module=op.module, consequence=effect,
        detail="1/sqrt(d_head)" if abs(found + use.e_in / 2) < TOLERANCE and use.e_in else "",
    )  # fmt: skip


def _constant_of(value: Value, found: float, consumers: Mapping[Value, list[Value]]) -> Value:
    """The scaling that holds the constant, of this exponent, of a contraction; else the contraction.

    The first one after it, before or after which nothing else happens; or one on an operand, where that is all there is
    of it or one of two equal halves, and the first one after it is not.
    """
    after = _constant_after(value, consumers)
    if after is not None and abs(after.c - found) < TOLERANCE:
        return after
    before = [scale for arg in value.args if (scale := _constant_on(arg)) is not None]
    halves = len(before) == 2 and all(abs(2 * scale.c - found) < TOLERANCE for scale in before)
    whole = [scale for scale in before if halves or abs(scale.c - found) < TOLERANCE]
    if whole:
        return whole[0]
    return value if after is None else after


def _constant_on(operand: Value) -> Value | None:
    while operand.kind == "view" and operand.args:
        operand = operand.args[0]
    return operand if operand.kind == "scale" and operand.c else None


def _constant_after(value: Value, consumers: Mapping[Value, list[Value]]) -> Value | None:
    current = value
    for _ in range(6):
        followers = consumers.get(current, [])
        scaled = [v for v in followers if v.kind == "scale" and v.c]
        if scaled:
            return scaled[0]
        following = [v for v in followers if v.kind in ("view", "join", "scale")]
        if not following:
            return None
        current = following[0]
    return None


def _of_conflict(conflict: Conflict) -> Discrepancy:
    off = conflict.delta if conflict.pinned else abs(conflict.delta)
    constant = _constant_before(conflict.value, abs(off))
    if constant is not None and not conflict.pinned:
        off = math.copysign(off, constant.c)
    op = (constant or conflict.value).op
    grows = f"one branch outgrows the other by {power(abs(off))}"
    return Discrepancy(
        "join", None, (), "", off, 0.0, op.file, op.line, module=op.module,
        detail="alone" if conflict.pinned else "", consequence="" if conflict.pinned else grows,
    )  # fmt: skip


def _constant_before(value: Value, off: float) -> Value | None:
    """The only constant of this exponent on the way to where exponents conflict."""

    def is_it(v: Value) -> bool:
        return v.kind == "scale" and abs(abs(v.c) - off) < TOLERANCE

    def passed(v: Value) -> bool:
        return v.kind in (*MOVED, "reduce") and not v.weight and not is_it(v)

    constants = [v for v in beyond(value, arguments, passed) if is_it(v)]
    return constants[0] if len(constants) == 1 else None


def folded(found: list[Discrepancy]) -> list[Discrepancy]:
    """Merge discrepancies that differ only in which repeated block they are in."""
    groups: dict[tuple[object, ...], list[Discrepancy]] = {}
    for d in found:
        where = pattern_of(d.tensors[0]) if d.tensors else (d.file, d.line)
        key = (d.aspect, d.role, where, round(d.found, 3), round(d.expected, 3), d.optimizer, d.detail, d.rows)
        groups.setdefault(key, []).append(d)
    return [_merged(group) for group in groups.values()]


def _merged(group: list[Discrepancy]) -> Discrepancy:
    names = list(dict.fromkeys(name for d in group for name in d.tensors))
    modules = list(dict.fromkeys(d.module for d in group))
    return replace(
        group[0],
        tensors=tuple(names),
        pattern=pattern_of_all(names) if names else "",
        module=fold(modules) if modules else "",
        modules=tuple(modules),
    )
