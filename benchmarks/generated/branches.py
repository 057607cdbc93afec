"""What a block computes: perceptrons, gates, experts, convolutions, recurrences."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from .attention import attention, linear_attention
from .constants import maybe
from .draw import Draw
from .pieces import activation, gain, norm
from .products import Bias, law_of, matrix, pay
from .scope import Place, Value

Branch = Callable[[Place, Draw, Value, bool], Value]


def _bias(draw: Draw, name: str) -> Bias | None:
    return Bias(draw(f"{name} start", "zero", "normal")) if draw.chance(name, 0.35) else None


def single(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """One matrix."""
    draw = draw.sub("single")
    place.word("one matrix")
    return matrix(place, draw, x, "mid", x.size, True, bias=_bias(draw, "bias"), zero=zero)


def perceptron(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """Up, a nonlinearity, down; perhaps through a layer of finite size."""
    draw = draw.sub("perceptron")
    size = draw("size", x.size, f"2 * {x.size}", "6", weights=(3, 2, 1))
    place.word("bottleneck" if size == "6" else "perceptron")
    normed = draw.chance("normed", 0.3 if size == "6" else 0.08)
    y = matrix(place, draw, x, "up", size, size != "6", bias=_bias(draw, "bias"), normed=normed)
    y = norm(place, draw, y, "norm_mid") if normed else y
    y = activation(place, draw, y)
    return matrix(place, draw, y, "down", x.size, True, bias=_bias(draw, "down bias"), zero=zero)


def gated(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """f(gate x) · (up x), then down; gate and up may be one tensor."""
    draw = draw.sub("gated")
    place.word("gated perceptron")
    if draw.chance("fused", 0.4):
        place.word("gate and up fused")
        both = matrix(place, draw, x, "gate_up", f"2 * {x.size}", True)
        first, second = place.scope.fresh("gate"), place.scope.fresh("up")
        place.say(f"{first}, {second} = {both.var}.chunk(2, -1)")
        a, b = (Value(n, both.phi, True, x.size, both.terms) for n in (first, second))
    else:
        a = matrix(place, draw, x, "gate", x.size, True, bias=_bias(draw, "bias"))
        b = matrix(place, draw, x, "up", x.size, True)
    if draw.chance("bilinear", 0.15):
        place.word("bilinear")
    else:
        a = activation(place, draw, a)
    phi = place.truth.value("gated")
    place.truth.product(phi, (a.phi, b.phi))
    terms = b.terms if not (a.terms & b.terms) else frozenset()
    y = Value(place.assign("h", f"{a.var} * {b.var}"), phi, True, x.size, terms)
    y = maybe(place, draw, "on product", y, set(terms), 0.1) if terms else y
    return matrix(place, draw, y, "down", x.size, True, zero=zero)


EXPERTS = 3


def experts(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """A fixed number of experts, weighted by a softmax over all or over the best two."""
    draw = draw.sub("experts")
    chosen = draw("routing", "dense", "top two", "sigmoid", weights=(2, 2, 1))
    place.word(f"experts, {chosen}")
    router = draw.sub("router")
    logits = matrix(place, router, x, "router", str(EXPERTS), False, zero=router.chance("zero", 0.2))
    place.truth.pin(logits.phi)
    if chosen == "sigmoid":
        shares = place.assign("p", f"torch.sigmoid({logits.var})")
    elif chosen == "dense":
        shares = place.assign("p", f"{logits.var}.softmax(-1)")
    else:
        best, where = place.scope.fresh("best"), place.scope.fresh("where")
        place.say(f"{best}, {where} = {logits.var}.topk(2, -1)")
        full = f'torch.full_like({logits.var}, float("-inf")).scatter(-1, {where}, {best})'
        shares = place.assign("p", f"{full}.softmax(-1)")
    return _experts(place, draw, x, shares, zero)


def _experts(place: Place, draw: Draw, x: Value, shares: str, zero: bool) -> Value:
    """Two layers of stacked weights."""
    layout = draw("layout", "out in", "in out")
    how = draw("how", "einsum", "loop", "product and sum")
    up, y = stacked(place, draw, x, "experts_up", layout, False)
    if how == "loop":
        return _looped(place, draw, x, shares, (up, y), layout, zero)
    letters = "{v},eoi->...eo" if layout == "out in" else "{v},eio->...eo"
    var = place.assign("y", f'torch.einsum("{letters.format(v="...i")}", {x.var}, {up})')
    y = activation(place, draw, Value(var, y.phi, True, x.size, y.terms))
    down, z = stacked(place, draw, y, "experts_down", layout, zero)
    var = place.assign("y", f'torch.einsum("{letters.format(v="...ei")}", {y.var}, {down})')
    if how == "einsum":
        mixed = draw("mixed", 'torch.einsum("...e,...eo->...o", {p}, {y})', "({p}.unsqueeze(-2) @ {y}).squeeze(-2)")
    else:
        mixed = "({p}.unsqueeze(-1) * {y}).sum(-2)"
    var = place.assign("y", mixed.format(p=shares, y=var))
    return maybe(place, draw, "behind", Value(var, z.phi, True, x.size, z.terms), set(z.terms), 0.15)


def _looped(
    place: Place, draw: Draw, x: Value, shares: str, first: tuple[str, Value], layout: str, zero: bool
) -> Value:
    """sum over experts of share × down(f(up(x))), in a Python loop."""
    up, y = first
    total, i = place.scope.fresh("total"), place.scope.fresh("e")
    place.say(f"{total} = 0")
    apply = "F.linear({x}, {w})" if layout == "out in" else "{x} @ {w}"
    place.say(f"for {i} in range({EXPERTS}):")
    place.scope.depth += 1
    var = place.assign("y", apply.format(x=x.var, w=f"{up}[{i}]"))
    y = activation(place, draw, Value(var, y.phi, True, x.size, y.terms))
    down, z = stacked(place, draw, y, "experts_down", layout, zero)
    var = place.assign("y", apply.format(x=y.var, w=f"{down}[{i}]"))
    place.say(f"{total} = {total} + {shares}[..., {i} : {i} + 1] * {var}")
    place.scope.depth -= 1
    return maybe(place, draw, "behind", Value(total, z.phi, True, x.size, z.terms), set(z.terms), 0.15)


def stacked(place: Place, draw: Draw, x: Value, name: str, layout: str, zero: bool) -> tuple[str, Value]:
    """A parameter (experts, out, in) or (experts, in, out), and what it makes of x, without its name yet."""
    draw = draw.sub(name)
    law, offset = law_of(1, 1, zero, False)
    attribute = place.scope.attribute(name)
    full = f"{place.prefix}{attribute}"
    more = "LAYERS, " if place.index else ""
    place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({more}{EXPERTS}, {x.size}, {x.size}))")
    tensor = place.truth.tensor(full, 1, 1, law, offset)
    tensor.start = "zero" if zero else "normal"
    pay(x, {full})
    phi = place.truth.value(full)
    place.truth.row({phi: 1, x.phi: -1, tensor.column: -1}, 1, full)
    return f"self.{attribute}{place.index}", Value("", phi, True, x.size, frozenset({full}))


def many_experts(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """Through a finite layer, to as many small experts as the width says: their softmax shares make a mean of them."""
    draw = draw.sub("many experts")
    place.word("as many experts as the width")
    h = activation(place, draw, matrix(place, draw, x, "narrow", "6", False), "tanh")
    logits = matrix(place, draw, h, "router", "width", True)
    place.truth.pin(logits.phi)
    shares = place.assign("p", f"{logits.var}.softmax(-1)")
    attribute = place.scope.attribute("experts")
    full = f"{place.prefix}{attribute}"
    more = "LAYERS, " if place.index else ""
    place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({more}width, 6, 6))")
    tensor = place.truth.tensor(full, 0, 1, "equal", Fraction(0))
    tensor.size = 0.4
    phi = place.truth.value(full)
    place.truth.row({phi: 1, h.phi: -1, tensor.column: -1}, 0, full)
    y = place.assign("y", f'torch.einsum("...i,eio->...eo", {h.var}, self.{attribute}{place.index})')
    mixed = draw("mixed", 'torch.einsum("...e,...eo->...o", {p}, {y})', "({p}.unsqueeze(-1) * {y}).sum(-2)")
    value = Value(place.assign("y", mixed.format(p=shares, y=y)), phi, False, "6", frozenset({full}))
    return matrix(place, draw, value, "wide", x.size, True, zero=zero)


def convolution(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """Over positions, of kernel size 3; x is (batch, positions, n)."""
    draw = draw.sub("convolution")
    depthwise = draw.chance("depthwise", 0.4)
    y = _convolved(place, draw.sub("first"), x, "conv", depthwise, False)
    y = activation(place, draw, y)
    if depthwise or draw.chance("matrix", 0.5):
        return matrix(place, draw, y, "point", x.size, True, bias=_bias(draw, "bias"), zero=zero)
    return _convolved(place, draw.sub("second"), y, "conv", False, zero)


def _convolved(place: Place, draw: Draw, x: Value, name: str, depthwise: bool, zero: bool) -> Value:
    place.word("depthwise convolution" if depthwise else "convolution")
    attribute = place.scope.attribute(name)
    k = int(not depthwise)
    law, offset = law_of(k, 1, zero, False)
    layer = draw("style", "layer", "functional") == "layer" and not place.index
    bias = draw.chance("bias", 0.4) and layer
    full = f"{place.prefix}{attribute}" + (".weight" if layer else "")
    tensor = place.truth.tensor(full, k, 1, law, offset)
    tensor.start = "zero" if zero else "normal"
    pay(x, {full})
    x = maybe(place, draw, "before", x, {full}, 0.1)
    phi = place.truth.value(full)
    place.truth.row({phi: 1, x.phi: -1, tensor.column: -1}, k, full)
    terms = frozenset({full})
    groups = f", groups={x.size}" if depthwise else ""
    if layer:
        place.scope.init.append(f"self.{attribute} = nn.Conv1d({x.size}, {x.size}, 3, padding=1, bias={bias}{groups})")
        var = place.assign("y", f"self.{attribute}({x.var}.mT).mT")
        if bias:
            terms |= {f"{place.prefix}{attribute}.bias"}
            vector = place.truth.tensor(f"{place.prefix}{attribute}.bias", 0, 1, "zero", Fraction(0))
            vector.start = "zero"
            place.truth.row({phi: 1, vector.column: -1}, 0, vector.name)
    else:
        more = "LAYERS, " if place.index else ""
        inner = "1" if depthwise else x.size
        place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({more}{x.size}, {inner}, 3))")
        groups = groups.replace("width", "self.width")
        var = place.assign("y", f"F.conv1d({x.var}.mT, self.{attribute}{place.index}, padding=1{groups}).mT")
    return maybe(place, draw, "behind", Value(var, phi, True, x.size, terms), set(terms), 0.12)


def recurrence(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """A state over positions: decayed by a vector, or a recurrent net whose matrix is used at every position."""
    draw = draw.sub("recurrence")
    kind = draw("kind", "decay", "recurrent", "gated", weights=(2, 1, 1))
    place.word(f"scan, {kind}")
    u = matrix(place, draw, x, "inp_proj", x.size, True, bias=_bias(draw, "bias"))
    y = _decayed(place, draw, u) if kind == "decay" else _recurrent(place, draw, x, u, kind == "gated")
    return matrix(place, draw, y, "out_proj", x.size, True, zero=zero)


def _decayed(place: Place, draw: Draw, u: Value) -> Value:
    """h = sigmoid(a)·h + u."""
    a = place.scope.attribute("decay")
    full = f"{place.prefix}{a}"
    place.scope.init.append(f"self.{a} = nn.Parameter(torch.empty({'LAYERS, ' if place.index else ''}{u.size}))")
    tensor = place.truth.tensor(full, 0, 1, "equal", Fraction(0))
    tensor.start, tensor.size = "normal", 0.5
    rate = Value(f"self.{a}{place.index}", place.truth.value(full), True, u.size, frozenset({full}))
    place.truth.row({rate.phi: 1, tensor.column: -1}, 0, full)
    rate = maybe(place, draw, "on decay", rate, {full}, 0.15)
    place.truth.pin(rate.phi)
    squash = draw("squash", "torch.sigmoid({a})", "torch.exp(-F.softplus({a}))", "torch.exp(-torch.exp({a}))")
    kept = place.assign("kept", squash.format(a=rate.var))
    h, t, out = place.scope.fresh("state"), place.scope.fresh("t"), place.scope.fresh("states")
    place.say(f"{h}, {out} = torch.zeros_like({u.var}[:, 0]), []")
    with place.block(f"for {t} in range({u.var}.shape[1]):"):
        step = draw("step", "{k} * {h} + {u}[:, {t}]", "torch.addcmul({u}[:, {t}], {k}, {h})")
        place.say(f"{h} = {step.format(k=kept, h=h, u=u.var, t=t)}")
        place.say(f"{out}.append({h})")
    return Value(place.assign("y", f"torch.stack({out}, 1)"), u.phi, True, u.size, u.terms)


def _recurrent(place: Place, draw: Draw, x: Value, u: Value, is_gated: bool) -> Value:
    """h = tanh(W h + u), perhaps mixed with the h before by a gate."""
    gate = matrix(place, draw, x, "gate", x.size, True) if is_gated else None
    if gate is not None:
        place.truth.pin(gate.phi)
        gate = Value(place.assign("g", f"torch.sigmoid({gate.var})"), gate.phi, True, x.size)
    h, t, out = place.scope.fresh("state"), place.scope.fresh("t"), place.scope.fresh("states")
    place.say(f"{h}, {out} = torch.zeros_like({u.var}[:, 0]), []")
    state = Value(h, place.truth.value("state"), True, u.size)
    place.truth.pin(state.phi)
    with place.block(f"for {t} in range({u.var}.shape[1]):"):
        back = matrix(place, draw, state, "recur", u.size, True)
        place.truth.same(back.phi, u.phi)
        place.truth.pin(u.phi)
        new = f"torch.tanh({back.var} + {u.var}[:, {t}])"
        if gate is not None:
            mixed = draw("mixed", "{g} * {n} + (1 - {g}) * {h}", "torch.lerp({h}, {n}, {g})", "{h} + {g} * ({n} - {h})")
            new = mixed.format(g=f"{gate.var}[:, {t}]", n=new, h=h)
        place.say(f"{h} = {new}")
        place.say(f"{out}.append({h})")
    return Value(place.assign("y", f"torch.stack({out}, 1)"), state.phi, True, u.size)


def scaled_only(place: Place, draw: Draw, x: Value, zero: bool) -> Value:
    """A gain and a nonlinearity: no matrix at all."""
    place.word("elementwise")
    return gain(place, draw, activation(place, draw.sub("elementwise"), x, "tanh"), "gain")


ANYWHERE: dict[str, tuple[Branch, float]] = {
    "single": (single, 2), "perceptron": (perceptron, 4), "gated": (gated, 2), "experts": (experts, 1.5),
    "elementwise": (scaled_only, 0.3), "many experts": (many_experts, 0.4),
}  # fmt: skip
OVER_POSITIONS: dict[str, tuple[Branch, float]] = ANYWHERE | {
    "attention": (attention, 5), "linear attention": (linear_attention, 2), "convolution": (convolution, 1.5),
    "recurrence": (recurrence, 1.2),
}  # fmt: skip
