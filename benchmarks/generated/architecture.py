"""The whole network: input, blocks in one of several arrangements, heads."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction

from .branches import ANYWHERE, OVER_POSITIONS
from .constants import maybe, multiply
from .draw import Draw
from .pieces import activation, norm, residual
from .products import Bias, matrix
from .scope import Place, Scope, Value

BATCH, POSITIONS, FEATURES, WORDS, CLASSES, LAYERS, SHIFTS = 8, 6, 5, 11, 3, 2, 400


def network(place: Place, draw: Draw, source: str) -> str:
    """Writes the forward pass of Net; returns what it returns."""
    x = _input(place, draw.sub("input"), source)
    for number in range(draw("segments", 0, 1, 2, 3, weights=(0.3, 3, 3, 2))):
        x = _segment(place, draw.sub(f"segment {number}"), x, source != "vector")
    return _heads(place, draw.sub("heads"), x, source)


def _input(place: Place, draw: Draw, source: str) -> Value:
    data = place.truth.value("data")
    place.truth.pin(data)
    if source != "tokens":
        bias = Bias(draw("start", "zero", "normal")) if draw.chance("bias", 0.4) else None
        x = matrix(place, draw, Value("x", data, False, str(FEATURES)), "inp", "width", True, bias=bias)
    else:
        x = _embedding(place, draw)
    if source != "vector" and draw.chance("positions", 0.4):
        x = _positions(place, draw.sub("positions"), x)
    if draw.chance("many shifts", 0.01):
        x = _shifted(place, x)
    if draw.chance("norm", 0.15):
        x = norm(place, draw, x, "norm")
    return activation(place, draw, x) if draw.chance("activation", 0.3) else x


def _embedding(place: Place, draw: Draw) -> Value:
    style = draw("embedding", "layer", "functional", "index", "one hot", weights=(4, 1, 1, 1))
    name = place.scope.attribute("emb")
    full = name + (".weight" if style == "layer" else "")
    make = f"nn.Embedding({WORDS}, width)" if style == "layer" else f"nn.Parameter(torch.empty({WORDS}, width))"
    place.scope.init.append(f"self.{name} = {make}")
    tensor = place.truth.tensor(full, 0, 1, "equal", Fraction(0))
    tensor.size = 1.0
    texts = {"layer": "self.{n}(x)", "functional": "F.embedding(x, self.{n})", "index": "self.{n}[x]",
             "one hot": f"F.one_hot(x, {WORDS}).to(self.{{n}}.dtype) @ self.{{n}}"}  # fmt: skip
    value = Value(place.assign("x", texts[style].format(n=name)), place.truth.value(full), True, "width",
                  frozenset({full}))  # fmt: skip
    place.truth.row({value.phi: 1, tensor.column: -1}, 0, full)
    return maybe(place, draw, "behind", value, {full}, 0.2)


def _positions(place: Place, draw: Draw, x: Value) -> Value:
    place.word("positions")
    style = draw("style", "parameter", "layer")
    name = place.scope.attribute("pos")
    full = name + (".weight" if style == "layer" else "")
    layer = style == "layer"
    make = f"nn.Embedding({POSITIONS}, width)" if layer else f"nn.Parameter(torch.empty({POSITIONS}, width))"
    place.scope.init.append(f"self.{name} = {make}")
    start = draw("start", "normal", "zero", weights=(2, 1))
    tensor = place.truth.tensor(full, 0, 1, "equal" if start == "normal" else "zero", Fraction(0))
    tensor.start, tensor.size = start, 0.5
    text = f"self.{name}(torch.arange({POSITIONS}))" if layer else f"self.{name}"
    table = Value(text, place.truth.value(full), True, "width", frozenset({full}))
    place.truth.row({table.phi: 1, tensor.column: -1}, 0, full)
    table = maybe(place, draw, "on table", table, {full}, 0.15)
    place.truth.same(table.phi, x.phi)
    value = Value(place.assign("x", f"{x.var} + {table.var}"), x.phi, True, "width", x.terms | table.terms)
    return maybe(place, draw, "on both", value, set(value.terms), 0.2)


def _shifted(place: Place, x: Value) -> Value:
    """x plus the mean of very many vectors."""
    place.word(f"{SHIFTS} shifts")
    name = place.scope.attribute("shifts")
    make = f"nn.ParameterList([nn.Parameter(torch.empty({x.size})) for _ in range({SHIFTS})])"
    place.scope.init.append(f"self.{name} = {make}")
    names = [f"{name}.{i}" for i in range(SHIFTS)]
    for full in names:
        tensor = place.truth.tensor(full, 0, 1, "zero", Fraction(0))
        tensor.start = "zero"
        place.truth.row({x.phi: 1, tensor.column: -1}, 0, full)
    return replace(x, var=place.assign("x", f"{x.var} + sum(self.{name}) / {SHIFTS}"), terms=x.terms | set(names))


def _segment(place: Place, draw: Draw, x: Value, positions: bool) -> Value:
    """One block once, several with weights of their own, one applied twice, or stacked parameters."""
    how = draw("arrangement", "once", "blocks", "looped", "blocks, looped", "stacked", weights=(4, 3, 0.7, 0.7, 1))
    if how == "once":
        return _block(place, draw, x, positions)
    place.word(f"[{how}:")
    count = {"blocks": 2, "looped": 1, "blocks, looped": 2, "stacked": LAYERS}[how]
    times = 2 if "looped" in how else 1
    x = _in_loop(place, draw, x, positions) if how == "stacked" else _in_class(place, draw, x, positions, count, times)
    place.word("]")
    return x


def _in_class(place: Place, draw: Draw, x: Value, positions: bool, count: int, times: int) -> Value:
    name = place.scope.attribute("Block")
    attribute = place.scope.attribute("blocks")
    place.scope.init.append(f"self.{attribute} = nn.ModuleList([{name}(width, i) for i in range({count})])")
    place.say(f"for block in self.{attribute}:")
    if times > 1:
        place.say(f"    for _ in range({times}):")
    place.say("    " * min(times, 2) + f"{x.var} = block({x.var})")
    var = x.var
    for instance in range(count):
        for visit in range(times):
            scope = Scope(name)
            scope.used["x"] = 1
            if instance == visit == 0:
                place.shared.classes.append(scope)
            inner = Place(place.shared, scope, f"{attribute}.{instance}.", instance, "", visit)
            y = _block(inner, draw, replace(x, var="x"), positions)
            scope.say(f"return {y.var}")
            x = replace(y, var=var)
    return x


def _in_loop(place: Place, draw: Draw, x: Value, positions: bool) -> Value:
    i, var = place.scope.fresh("i"), x.var
    place.say(f"for {i} in range(LAYERS):")
    before = copy.deepcopy(place.scope)
    for visit in range(LAYERS):
        scope = place.scope if visit == 0 else copy.deepcopy(before)
        scope.depth += 1
        inner = Place(place.shared, scope, place.prefix, place.instance, f"[{i}]", visit)
        y = _block(inner, draw, replace(x, var=var), positions)
        scope.say(f"{var} = {y.var}")
        scope.depth -= 1
        x = replace(y, var=var)
    return x


def _block(place: Place, draw: Draw, x: Value, positions: bool) -> Value:
    """norm, branch, sum, norm: each there or not."""
    known = OVER_POSITIONS if positions else ANYWHERE
    branch = known[draw("branch", *known, weights=[odds for _, odds in known.values()])][0]
    sums = draw.chance("residual", 0.65)
    norms = draw("norms", "none", "before", "behind", "both", "branch", weights=(3, 4, 1, 0.7, 0.7))
    place.word("residual" if sums else "plain")
    y = norm(place, draw, x, "norm_in") if norms in ("before", "both") else x
    y = branch(place, draw, y, sums and draw.chance("zero", 0.15))
    if norms in ("both", "branch"):
        y = norm(place, draw, y, "norm_out")
    if sums:
        y = residual(place, draw, x, y)
    if norms == "behind":
        y = norm(place, draw, y, "norm_behind")
    if draw.chance("activation", 0.25 if sums else 0.5):
        y = activation(place, draw, y)
    return y


def _heads(place: Place, draw: Draw, x: Value, source: str) -> str:
    if draw.chance("norm", 0.5):
        x = norm(place, draw, x, "norm_f")
    tied = source == "tokens" and draw.chance("tied", 0.35)
    if source != "vector" and not tied and draw.chance("pooled", 0.3):
        place.word("pooled")
        x = replace(x, var=place.assign("x", f"{x.var}.mean(1)"))
    x = maybe(place, draw, "before heads", x, set(x.terms), 0.12) if x.terms else x
    made = [_tied(place, draw, x) if tied else _head(place, draw.sub("head"), x, "head", str(CLASSES))]
    if draw.chance("second", 0.3):
        place.word("value head")
        made.append(_head(place, draw.sub("value"), x, "value", "1"))
    return ", ".join(v.var for v in made)


def _head(place: Place, draw: Draw, x: Value, name: str, size: str) -> Value:
    bias = Bias("zero") if draw.chance("bias", 0.25) else None
    scaled = draw.chance("multiplier", 0.5)
    wanted = draw("exponent", Fraction(-1), Fraction(-1, 2), Fraction(0), weights=(4, 1, 1)) if scaled else None
    y = matrix(place, draw, x, name, size, False, bias=bias, zero=draw.chance("zero", 0.25), multiplier=wanted)
    place.truth.pin(y.phi)
    return y


def _tied(place: Place, draw: Draw, x: Value) -> Value:
    """Logits with the embedding's own weights."""
    place.word("tied")
    draw = draw.sub("tied")
    full = "emb.weight" if "emb.weight" in place.truth.tensors else "emb"
    tensor = place.truth.tensors[full]
    x_c = (
        multiply(place, draw.sub("before"), "tied_in", x, {full}, Fraction(-1), None, Fraction(-1))
        if draw.chance("before", 0.3)
        else x
    )
    style = draw("style", "F.linear({x}, self.{w})", "{x} @ self.{w}.T", 'torch.einsum("btn,vn->btv", {x}, self.{w})')
    value = Value(place.assign("y", style.format(x=x_c.var, w=full)), place.truth.value("tied"), False, str(WORDS),
                  frozenset({full}))  # fmt: skip
    place.truth.row({value.phi: 1, x_c.phi: -1, tensor.column: -1}, 1, full)
    if x_c is x:
        value = multiply(place, draw.sub("behind"), "tied_out", value, {full}, Fraction(-1), None, Fraction(-1))
    place.truth.pin(value.phi)
    return value
