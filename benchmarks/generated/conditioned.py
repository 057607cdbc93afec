"""Blocks whose products are decided by something beside them: squeeze and excitation, gates, a memory, a GRU."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from .constants import written
from .draw import Draw
from .pieces import activation
from .products import matrix, pay
from .scope import Place, Value

SLOTS, HEADS = 4, 2


def _squashed(place: Place, draw: Draw, x: Value) -> Value:
    """sigmoid(x), which is of size 1 where x is."""
    place.truth.pin(x.phi)
    phi = place.truth.value(f"sigmoid of {x.var}")
    place.truth.pin(phi)
    how = draw("squash", "torch.sigmoid({x})", "0.5 + 0.5 * torch.tanh(0.5 * {x})", "F.hardsigmoid({x})")
    return Value(place.assign("s", how.format(x=x.var)), phi, x.grows, x.size)


def _times(place: Place, draw: Draw, a: Value, b: Value) -> Value:
    """a · b, entry by entry; a constant on a could stand on its product as well."""
    phi = place.truth.value(f"{a.var}·{b.var}")
    place.truth.product(phi, (a.phi, b.phi))
    how = draw("product", "{a} * {b}", "torch.mul({b}, {a})", "{b} * {a}")
    return Value(place.assign("h", how.format(a=a.var, b=b.var)), phi, True, a.size, a.terms)


def squeeze_excite(place: Place, draw: Draw, x: Value, zero: bool, positions: bool) -> Value:
    """x · sigmoid(W₂ relu(W₁ mean(x))), the mean over positions; then a matrix, or nothing."""
    draw = draw.sub("squeeze")
    place.word("squeeze and excitation")
    narrow = draw("narrow", "6", f"{x.size} // 2", weights=(2, 1))
    mean = Value(place.assign("m", f"{x.var}.mean(1, keepdim=True)"), x.phi, True, x.size) if positions else x
    y = matrix(place, draw, mean, "squeeze", narrow, narrow != "6")
    y = activation(place, draw, y)
    y = _squashed(place, draw, matrix(place, draw, y, "excite", x.size, True))
    out = _times(place, draw, Value(x.var, x.phi, True, x.size), y)
    return matrix(place, draw, out, "mix", x.size, True, zero=zero) if zero or draw.chance("mixed", 0.7) else out


def gated_unit(place: Place, draw: Draw, x: Value, zero: bool, positions: bool) -> Value:
    """(a depthwise filter of a projection, or the projection) · sigmoid(gate x), then a matrix."""
    draw = draw.sub("gated unit")
    place.word("gated filter" if positions else "gated unit")
    y = matrix(place, draw, x, "value", x.size, True)
    if positions:
        y = _filtered(place, draw, y)
    y = _times(place, draw, y, _squashed(place, draw, matrix(place, draw, x, "gate", x.size, True)))
    return matrix(place, draw, y, "out", x.size, True, zero=zero)


def _filtered(place: Place, draw: Draw, x: Value) -> Value:
    """A causal filter of three taps a channel: the sum of shifted copies, each times a vector."""
    attribute = place.scope.attribute("taps")
    full = f"{place.prefix}{attribute}"
    stacked = "LAYERS, " if place.index else ""
    place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({stacked}3, {x.size}))")
    tensor = place.truth.tensor(full, 0, 1, "equal", Fraction(0))
    tensor.start = "normal"
    pay(x, {full})
    phi = place.truth.value(full)
    place.truth.product(phi, (x.phi, tensor.column), 0, full)
    taps = f"self.{attribute}{place.index}"
    padded = place.assign("padded", f"F.pad({x.var}, (0, 0, 2, 0))")
    terms = [f"{padded}[:, {i} : {i} + {x.var}.shape[1]] * {taps}[{i}]" for i in range(3)]
    looped = f"sum({padded}[:, tap : tap + {x.var}.shape[1]] * {taps}[tap] for tap in range(3))"
    return Value(place.assign("y", draw("taps", " + ".join(terms), looped)), phi, True, x.size, frozenset({full}))


def memory(place: Place, draw: Draw, x: Value, zero: bool, positions: bool) -> Value:
    """Attention of x to a few slots that are parameters, perhaps with a temperature for every head."""
    draw = draw.sub("memory")
    place.word("memory")
    q = matrix(place, draw, x, "q", x.size, True)
    made = []
    for name in ("slot_keys", "slot_values"):
        attribute = place.scope.attribute(name)
        full = f"{place.prefix}{attribute}"
        stacked = "LAYERS, " if place.index else ""
        place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({stacked}{SLOTS}, {x.size}))")
        reads = name == "slot_keys"  # of few slots: a readout of the queries, which may start smaller
        tensor = place.truth.tensor(full, int(reads), int(not reads), "at most" if reads else "equal", Fraction(0))
        tensor.size = 1.0
        value = Value(f"self.{attribute}{place.index}", place.truth.value(full), True, x.size, frozenset({full}))
        place.truth.row({value.phi: 1, tensor.column: -1}, 0, full)
        made.append(value)
    k, v = made
    tag = f"line {place.scope.fresh('logits')} of {place.scope.name}"
    owner = f"{tag} at {place.instance}"
    site, column = place.site(place.scope.attribute("scale"), Fraction(-1), {owner}, Fraction(-1))
    logits = place.truth.value("logits")
    place.truth.product(logits, (q.phi, k.phi, column), 1, owner)
    in_front = ".transpose(-3, -2)"
    split = [
        place.assign(n, f"{y.var}.unflatten(-1, ({HEADS}, -1)){in_front if several else '.unsqueeze(-2)'}")
        for n, y, several in (("q", q, positions), ("k", k, True), ("v", v, True))
    ]
    scores = place.assign("scores", f"{split[0]} @ {split[1]}.mT", tag)
    scores = written(place, draw, site, scores, tag)
    if draw.chance("temperature", 0.5):
        place.word("a temperature a head")
        scores, logits = _heated(place, draw, Value(scores, logits, False, str(HEADS)))
    place.truth.pin(logits)
    weights = place.assign("weights", f"{scores}.softmax(-1)", tag)
    mixed = place.assign("y", f"{weights} @ {split[2]}")
    mixed = place.assign("y", f"{mixed}.transpose(1, 2).flatten(2)" if positions else f"{mixed}.squeeze(-2).flatten(1)")
    return matrix(place, draw, Value(mixed, v.phi, True, x.size, v.terms), "o", x.size, True, zero=zero)


def _heated(place: Place, draw: Draw, scores: Value) -> tuple[str, int]:
    """Logits (…, heads, queries, slots) times a number for every head."""
    attribute = place.scope.attribute("temperature")
    full = f"{place.prefix}{attribute}"
    stacked = "LAYERS, " if place.index else ""
    place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({stacked}{HEADS}, 1, 1))")
    tensor = place.truth.tensor(full, 0, 0, "equal", Fraction(0))
    tensor.start, tensor.size = "ones", 1.0
    vector = place.truth.value(full)
    place.truth.row({vector: 1, tensor.column: -1}, 0, full)
    phi = place.truth.value("heated")
    place.truth.product(phi, (scores.phi, vector))
    how = draw("heat", "{x} * {t}", "torch.mul({t}, {x})")
    return place.assign("scores", how.format(x=scores.var, t=f"self.{attribute}{place.index}")), phi


def gru(place: Place, draw: Draw, x: Value, zero: bool, positions: bool) -> Value:
    """h ← (1 − z)·n + z·h with z = σ(W x + U h), r = σ(W′x + U′h), n = tanh(W″x + r·(U″h)), by hand."""
    draw = draw.sub("gru")
    place.word("gru")
    inputs = {name: matrix(place, draw, x, f"{name}_in", x.size, True) for name in "zrn"}
    h, t, out = place.scope.fresh("state"), place.scope.fresh("t"), place.scope.fresh("states")
    any_input = inputs["z"].var
    place.say(f"{h}, {out} = torch.zeros_like({any_input}[:, 0]), []")
    state = Value(h, place.truth.value("state"), True, x.size)
    place.truth.pin(state.phi)
    with place.block(f"for {t} in range({any_input}.shape[1]):"):
        back = {name: matrix(place, draw, state, f"{name}_back", x.size, True) for name in "zrn"}
        for name in "zrn":
            place.truth.pin(inputs[name].phi)
            place.truth.pin(back[name].phi)
        z, r = (place.assign(name, f"torch.sigmoid({inputs[name].var}[:, {t}] + {back[name].var})") for name in "zr")
        new = place.assign("n", f"torch.tanh({inputs['n'].var}[:, {t}] + {r} * {back['n'].var})")
        mixed = draw("mixed", "(1 - {z}) * {n} + {z} * {h}", "torch.lerp({n}, {h}, {z})", "{n} + {z} * ({h} - {n})")
        place.say(f"{h} = {mixed.format(z=z, n=new, h=h)}")
        place.say(f"{out}.append({h})")
    y = Value(place.assign("y", f"torch.stack({out}, 1)"), state.phi, True, x.size)
    return matrix(place, draw, y, "out_proj", x.size, True, zero=zero)


KNOWN: dict[str, Callable[[Place, Draw, Value, bool, bool], Value]] = {
    "squeeze": squeeze_excite, "gated unit": gated_unit, "memory": memory, "gru": gru,
}  # fmt: skip


def conditioned(place: Place, draw: Draw, x: Value, zero: bool, positions: bool) -> Value:
    """One of these."""
    draw = draw.sub("conditioned")
    names = [name for name in KNOWN if positions or name != "gru"]
    return KNOWN[draw("which", *names)](place, draw, x, zero, positions)
