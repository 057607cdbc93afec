"""Attention: softmax over positions, or linear."""

from __future__ import annotations

from fractions import Fraction

from .constants import exponent, scaled, written
from .draw import Draw
from .pieces import activation
from .products import Bias, matrix
from .scope import Place, Value

HEADS = 2
FIXED = 8  # the size of a head where their number grows


def attention(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """Softmax attention with its output projection; x is (batch, positions, n)."""
    draw = draw.sub("attention")
    grows = draw("head size", "grows", "fixed", weights=(3, 1)) == "grows"
    q, k, v, shared = _projections(place, draw, x, grows)
    place.word(f"attention, head size {'grows' if grows else 'fixed'}")
    if draw.chance("norm of queries and keys", 0.12):
        place.word("qk norm")
        q, k = (_unit(place, y, grows) for y in (q, k))
    y = _softmax(place, draw, q, k, v, grows, shared)
    merged = place.assign("y", f"{y.var}.transpose(1, 2).flatten(2)")
    y = Value(merged, y.phi, True, x.size, y.terms)
    return matrix(place, draw, y, "o", x.size, True, bias=_maybe_bias(draw, "o bias"), zero=zero)


def _maybe_bias(draw: Draw, name: str) -> Bias | None:
    return Bias(draw("start", "zero", "normal")) if draw.chance(name, 0.25) else None


def _projections(place: Place, draw: Draw, x: Value, grows: bool) -> tuple[Value, Value, Value, str]:
    """q, k, v of (batch, heads, positions, d); what repeats keys and values, in words."""
    how = draw("projections", "split", "fused", "fused kv", "grouped", weights=(3, 2, 1, 1))
    place.word(f"{how} projections")
    bias = _maybe_bias(draw, "bias")
    heads = str(HEADS) if grows else f"{x.size} // {FIXED}"
    view = f"{{y}}.unflatten(-1, ({_own(heads)}, -1)).transpose(1, 2)"
    names = [place.scope.fresh(n) for n in "qkv"]

    def headed(y: Value, name: str, text: str) -> Value:
        place.say(f"{name} = {text.format(y=y.var)}")
        return Value(name, y.phi, True, y.size, y.terms)

    if how == "fused":
        y = matrix(place, draw, x, "qkv", f"3 * {x.size}", True, bias=bias)
        parts = place.scope.fresh("parts")
        place.say(f"{parts} = {y.var}.chunk(3, -1)")
        made = [headed(Value(f"{parts}[{i}]", y.phi, True, x.size, y.terms), names[i], view) for i in range(3)]
    elif how == "fused kv":
        q = headed(matrix(place, draw, x, "q", x.size, True, bias=bias), names[0], view)
        y = matrix(place, draw, x, "kv", f"2 * {x.size}", True, bias=bias)
        halves = [place.scope.fresh(n) for n in ("first", "second")]
        place.say(f"{halves[0]}, {halves[1]} = {y.var}.split({_own(x.size)}, -1)")
        made = [q, *(headed(Value(h, y.phi, True, x.size, y.terms), names[i + 1], view) for i, h in enumerate(halves))]
    else:
        few = how == "grouped"
        size = f"{x.size} // 2" if few else x.size
        pairs = f"{{y}}.unflatten(-1, ({_own(heads)} // 2, -1)).transpose(1, 2).repeat_interleave(2, 1)"
        repeated = pairs if few else view
        made = []
        for i, name in enumerate("qkv"):
            own = bias if name != "k" else None  # a softmax takes away what a bias of the keys adds
            y = matrix(place, draw, x, name, x.size if name == "q" else size, True, bias=own)
            made.append(headed(y, names[i], view if name == "q" else repeated))
    return made[0], made[1], made[2], how


def _own(size: str) -> str:
    return size.replace("width", "self.width")


def _unit(place: Place, y: Value, grows: bool) -> Value:
    """An rms norm over the head."""
    var = place.assign("u", f"F.rms_norm({y.var}, {y.var}.shape[-1:], eps=EPS)")
    phi = place.truth.value("unit")
    place.truth.pin(phi)
    return Value(var, phi, True, y.size)


def _softmax(place: Place, draw: Draw, q: Value, k: Value, v: Value, grows: bool, how: str) -> Value:
    """softmax(c q·k) v: c belongs to no tensor."""
    tag = f"line {place.scope.fresh('logits')} of {place.scope.name}"
    owner = f"{tag} at {place.instance}"
    wanted = draw("exponent", Fraction(0), Fraction(1, 2), Fraction(-1, 2), weights=(6, 1, 1))
    site, column = place.site(place.scope.attribute("scale"), wanted - int(grows), {owner}, Fraction(-int(grows)))
    written_as = draw("written", "matmul", "sdpa", "einsum", "scaled queries", "scaled keys", "sdpa, scaled queries",
                      "both", weights=(3, 2, 1, 1, 1, 1, 1))  # fmt: skip
    logits = place.truth.value("logits")
    place.truth.product(logits, (q.phi, k.phi, column), int(grows), owner)
    place.truth.pin(logits)
    mask = draw("mask", "", "causal")
    phi = v.phi
    if written_as.startswith("sdpa"):
        causal = ", is_causal=True" if mask else ""
        if written_as == "sdpa":
            scale = f", scale={scaled(place, draw, site, '1.0', 'inline').removeprefix('1.0 * ')}"
            text = f"F.scaled_dot_product_attention({q.var}, {k.var}, {v.var}{scale}{causal})"
        else:
            scaled_q = written(place, draw, site, q.var, tag)
            text = f"F.scaled_dot_product_attention({scaled_q}, {k.var}, {v.var}, scale=1.0{causal})"
        var = place.assign("y", text, tag)
    else:
        a, b = q.var, k.var
        if written_as == "scaled queries":
            a = written(place, draw, site, a, tag)
        elif written_as == "scaled keys":
            b = written(place, draw, site, b, tag)
        elif written_as == "both":
            root = f"((self.width / BASE) ** {exponent(site.key)}) ** 0.5"
            a, b = (place.assign("z", f"{z} * {root}", tag) for z in (a, b))
        text = f'torch.einsum("bhqd,bhkd->bhqk", {a}, {b})' if written_as == "einsum" else f"{a} @ {b}.mT"
        scores = place.assign("scores", text, tag)
        if written_as in ("matmul", "einsum"):
            scores = written(place, draw, site, scores, tag)
        if mask:
            ones = f"torch.ones_like({scores}[0, 0]).triu(1).bool()"
            scores = place.assign("scores", f'{scores}.masked_fill({ones}, float("-inf"))', tag)
        weights = place.assign("weights", f"{scores}.softmax(-1)", tag)
        read = draw("read", "{w} @ {v}", 'torch.einsum("bhqk,bhkd->bhqd", {w}, {v})')
        var = place.assign("y", read.format(w=weights, v=v.var))
    return Value(var, phi, True, v.size, v.terms)


def linear_attention(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """(f(q) f(k)ᵀ) v in either order, the constant anywhere in it, or divided by the sum of the weights."""
    draw = draw.sub("linear attention")
    q, k, v, _ = _projections(place, draw, x, True)
    feature = draw("feature", "relu", "elu", "none", "sigmoid")
    place.word(f"linear attention, {feature}")
    if feature != "none":
        q, k = (activation(place, draw.sub(n), y, feature) for n, y in (("q", q), ("k", k)))
    tag = f"line {place.scope.fresh('logits')} of {place.scope.name}"
    owner = f"{tag} at {place.instance}"
    y = place.truth.value("linear attention")
    if feature in ("relu", "elu", "sigmoid") and draw.chance("normalised", 0.25):
        place.word("normalised by its sum")
        scores = place.assign("scores", f"{q.var} @ {k.var}.mT", tag)
        weights = place.assign("weights", f"{scores} / ({scores}.sum(-1, keepdim=True) + EPS)", tag)
        place.truth.same(y, v.phi)
        var = place.assign("y", f"{weights} @ {v.var}")
    else:
        wanted = draw("exponent", Fraction(0), Fraction(1, 2), Fraction(-1, 2), weights=(6, 1, 1))
        site, column = place.site(place.scope.attribute("scale"), wanted - 1, {owner}, Fraction(-1))
        place.truth.product(y, (q.phi, k.phi, v.phi, column), 1, owner)
        order = draw("order", "scores", "state", "queries", "after", "state after", "causal after")
        if order in ("scores", "after", "causal after"):
            scores = place.assign("scores", f"{q.var} @ {k.var}.mT", tag)
            if order == "scores":
                scores = written(place, draw, site, scores, tag)
            if order == "causal after":
                scores = place.assign("scores", f"{scores}.tril()", tag)
            var = place.assign("y", f"{scores} @ {v.var}", tag)
        else:
            state = place.assign("state", f"{k.var}.mT @ {v.var}", tag)
            if order == "state":
                state = written(place, draw, site, state, tag)
            queries = written(place, draw, site, q.var, tag) if order == "queries" else q.var
            var = place.assign("y", f"{queries} @ {state}", tag)
        if order.endswith("after"):
            var = written(place, draw, site, var, tag)
    merged = place.assign("y", f"{var}.transpose(1, 2).flatten(2)")
    out = Value(merged, y, True, x.size)
    return matrix(place, draw, out, "o", x.size, True, bias=_maybe_bias(draw, "o bias"), zero=zero)
