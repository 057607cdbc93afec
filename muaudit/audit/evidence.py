"""Whether there is anything to judge: a hidden activation that grows, made by one parameter and read by another.

A verdict about width is one about what hidden layers do to one another as they grow. Where only the input grows, or
only the output (classes, a vocabulary, entries of a codebook), no layer reads what another made, and every invariant
holds for want of anything it could fail at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ..analysis.derive import Scaling
from ..errors import UserError
from ..locations import location
from ..program.operands import through_views
from ..program.use import Use
from ..program.values import PER_CHANNEL, Value
from ..targets.probe import Target
from ..trace.definitions import Place

_SHOWN = 4


@dataclass(frozen=True)
class Evidence:
    """What a verdict stands on. Names are those of weights that multiply and sum, in the order of the program.

    hidden: they make or read a hidden activation that grows. matrix: of these, both sides grow.
    kept: neither side grows. read_input, made_output: one side grows, which is no hidden activation. rows: tables of
    more rows, each as long as before.
    """

    hidden: tuple[str, ...]
    matrix: tuple[str, ...]
    kept: tuple[str, ...]
    read_input: tuple[str, ...]
    made_output: tuple[str, ...]
    rows: tuple[str, ...]


def evidence(scaling: Scaling) -> Evidence:
    """Follow what every use of a parameter makes grow to where it is summed over by another use."""
    weights = _weights(scaling)
    sums = {judged.use.value for judged in scaling.judged if not judged.use.tensor}
    live = scaling.program.reaching_outputs()
    made: dict[Value, frozenset[Value]] = {}
    makers: set[Value] = set()  # the values at which a weight makes an activation that another use reads
    readers: set[Value] = set()
    for value in scaling.program.values:
        if value in live and not value.op.narrow.meta.get("in_loss"):
            found = _read(value, made, sums)
            makers |= found
            readers |= {value} if found else set()
            made[value] = _made(value, made, weights)
    at = makers | readers
    products = [use for uses in weights.values() for use in uses if use.value.kind == "contract"]
    hidden = [use for uses in weights.values() for use in uses if use.value in at]
    touched = {use.tensor for use in hidden}
    tables = [use for uses in weights.values() for use in uses if use.value.kind == "lookup" and use.role == "input"]
    made_alone = [use for use in (*products, *tables) if use.role == "input" and use.tensor not in touched]
    return Evidence(
        hidden=_names(hidden),
        matrix=_names(use for use in hidden if use.role == "hidden"),
        kept=_names(use for use in products if use.role == "scalar" and use.value.note != PER_CHANNEL),
        read_input=_names(use for use in products if use.role == "output" and use.tensor not in touched),
        made_output=_names(use for use in made_alone if use.value.kind != "lookup" or _longer_rows(use.value)),
        rows=_names(use for use in made_alone if use.value.kind == "lookup" and not _longer_rows(use.value)),
    )


def require_evidence(target: Target, scaling: Scaling, places: Mapping[str, Place]) -> Evidence:
    """What the verdict will stand on. `places`: where parameters are made, to say what could grow instead.

    Raises:
        UserError: no parameter grows, or no hidden activation does (MUP403).
    """
    axes = ", ".join(f"{axis.name} {axis.probes[0]} → {axis.probes[1]}" for axis in target.axes)
    by_node = scaling.aligned.by_node
    if not any(e > 0 for node in scaling.aligned.narrow.params.values() for e in by_node[node].dims):
        raise UserError(
            f"no parameter of {target.label} changes its shape with the width ({axes})",
            "use the width in the model, or name the argument that sizes it: --width NAME=64,128 "
            "(muaudit explain MUP403)",
        )
    found = evidence(scaling)
    if found.hidden:
        return found
    raise UserError(
        f"nothing to judge: no hidden activation of {target.label} grows with the width ({axes})\n{_what_grows(found)}",
        f"{_what_would_be_a_width(scaling, found, places)} (muaudit explain MUP403)",
    )


def caution(found: Evidence, axis: str) -> str:
    """What is said above the verdict where most hidden layers kept their size, or all but one kind; else empty."""
    few = not found.matrix or len(found.kept) > len(found.hidden)
    if not (found.kept and few):
        return ""
    return (
        f"only {_listed(found.hidden)} {'grow' if len(found.hidden) > 1 else 'grows'} with {axis}; "
        f"{len(found.kept)} other weight{'s keep their' if len(found.kept) > 1 else ' keeps its'} size "
        f"({_listed(found.kept)}): the verdict says nothing about them"
    )


# -- following growth --------------------------------------------------------------------------------------------
def _weights(scaling: Scaling) -> dict[Value, list[Use]]:
    """The uses of parameters by the value that they are used for."""
    found: dict[Value, list[Use]] = {}
    for judged in scaling.judged:
        if judged.use.tensor:
            found.setdefault(judged.use.value, []).append(judged.use)
    return found


def _made(v: Value, made: Mapping[Value, frozenset[Value]], weights: Mapping[Value, list[Use]]) -> frozenset[Value]:
    """The values at which a parameter's use made v grow; none where v's growth came in with data, or is a choice.

    A softmax over a dim that grows makes shares of it: classes, tokens, codes or experts to choose from, which what
    reads it averages over. These are no features.
    """
    if v.weight or v.kind in ("data", "param", "loss") or v.size <= 0 or (v.kind == "softmax" and v.e > 0):
        return frozenset()
    passed = [a for a in v.args if not a.weight and (v.kind not in ("contract", "reduce") or a.size > v.e + 1e-6)]
    found = frozenset().union(*(made.get(a, frozenset()) for a in passed))
    grown = any(use.e_out > 0 and use.role in ("input", "hidden") for use in weights.get(v, ()))
    grown = grown and (v.kind != "lookup" or _longer_rows(v))
    return found | {v} if grown or _widened(v) else found


def _longer_rows(v: Value) -> bool:
    """Whether the rows of a table that is looked up in grow, rather than their number."""
    return any(e > 0 for e in v.args[0].dims[1:])


def _widened(v: Value) -> bool:
    """Whether a parameter gives v a dim that grows and that no activation it is combined with had."""
    if v.kind == "contract" and all(a.weight for a in v.args):
        return True
    inputs = max((a.size for a in v.args if not a.weight), default=0.0)
    return v.kind in ("join", "mul", "unknown") and any(a.weight and a.size > inputs for a in v.args)


def _read(v: Value, made: Mapping[Value, frozenset[Value]], sums: Collection[Value]) -> frozenset[Value]:
    """Where the activations were made that v sums over: with a parameter, or with one another.

    sums: the sums over activations that a constant belongs to, which is judged.
    """
    if v.weight:
        return frozenset()
    if v in sums and not any(a.weight for a in v.args):
        beneath = through_views(v.args[0]) if v.kind == "reduce" else v
        found = [made.get(a, frozenset()) for a in beneath.args]
        return frozenset().union(*found) if v.e > 0 and all(found) else frozenset()
    if v.kind == "contract" and v.e > 0 and not any(a.weight for a in v.args):  # experts, weighed by their shares
        shares, values = (made.get(_weighed(a), frozenset()) for a in v.args)
        return shares | values if shares and values and not shares & values else frozenset()
    if v.kind == "unknown" or (v.kind == "contract" and v.e > 0):
        weights = [a for a in v.args if a.weight]
        if v.kind == "contract" and len(weights) == 2:  # a learned vector that a learned matrix reads
            return frozenset({v})
        return frozenset().union(*(made.get(a, frozenset()) for a in v.args)) if weights else frozenset()
    return frozenset()


def _weighed(v: Value) -> Value:
    """What shares are a softmax of."""
    while v.kind in ("view", "scale", "softmax") and v.args:
        v = v.args[0]
    return v


# -- in words ----------------------------------------------------------------------------------------------------
def _names(uses: Iterable[Use]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(use.tensor for use in uses))


def _what_grows(found: Evidence) -> str:
    parts = []
    if found.read_input:
        parts.append(f"the input, which {_listed(found.read_input)} {_verb(found.read_input, 'read')}")
    if found.made_output:
        parts.append(f"what {_listed(found.made_output)} {_verb(found.made_output, 'make')}, which no parameter reads")
    if found.rows:
        parts.append(f"the number of rows of {_listed(found.rows)}")
    grows = f"only {' and '.join(parts)}" if parts else "no parameter makes what another one reads"
    return f"{grows}: any learning rate and any init would pass"


def _what_would_be_a_width(scaling: Scaling, found: Evidence, places: Mapping[str, Place]) -> str:
    """The weights whose sizes are the model's widths, with where they are made."""
    if not found.kept:
        return "a width sizes what one layer makes and another reads: name the argument that does, --width NAME=64,128"
    shown = []
    for name in found.kept[:_SHOWN]:
        where = location(*places.get(name, (None, None)))
        shape = "×".join(map(str, scaling.aligned.narrow.params[name].meta["shape"]))
        shown.append(f"  {name} {shape}" + (f" at {where}" if where else ""))
    more = [f"  and {len(found.kept) - _SHOWN} more"] if len(found.kept) > _SHOWN else []
    lines = "\n".join([*shown, *more])
    return (
        "the widths are the sizes of what hidden layers make, which stayed as they are:\n"
        f"{lines}\nname the argument that sizes these, or make one: --width NAME=64,128"
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _verb(names: tuple[str, ...], verb: str) -> str:
    return verb if len(names) > 1 else f"{verb}s"
