"""The ways to write a weight times an activation, each with the tensors and equations that it has."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .constants import OFTEN, QUARTERS, exponent, maybe, multiply, scaled
from .draw import Draw
from .scope import Place, Value
from .truth import Law, Tensor

HALF = Fraction(1, 2)
# style → whether its parameter is (in, out); {x} and {w} are filled in
OUT_IN = {
    "functional": "F.linear({x}, {w})",
    "transposed": "{x} @ {w}.mT",
    "einsum": 'torch.einsum("...i,oi->...o", {x}, {w})',
    "product and sum": "({x}.unsqueeze(-2) * {w}).sum(-1)",
    "inner": "torch.inner({x}, {w})",
    "mv": "({w} @ {x}.unsqueeze(-1)).squeeze(-1)",
    "halves": "F.linear({x}[..., : {x}.shape[-1] // 2], {w}[:, : {x}.shape[-1] // 2])"
    " + F.linear({x}[..., {x}.shape[-1] // 2 :], {w}[:, {x}.shape[-1] // 2 :])",
    "conv1d": "F.conv1d({x}.reshape(-1, {x}.shape[-1], 1), {w}.unsqueeze(-1)).reshape(*{x}.shape[:-1], -1)",
}
IN_OUT = {
    "matmul": "torch.matmul({x}, {w})",
    "at": "{x} @ {w}",
    "einsum in out": 'torch.einsum("...i,io->...o", {x}, {w})',
    "tensordot": "torch.tensordot({x}, {w}, dims=1)",
    "product and sum in out": "({x}.unsqueeze(-1) * {w}).sum(-2)",
    "bmm": "torch.bmm({x}.reshape(1, -1, {x}.shape[-1]), {w}.unsqueeze(0)).reshape(*{x}.shape[:-1], -1)",
    "mm": "torch.mm({x}.reshape(-1, {x}.shape[-1]), {w}).reshape(*{x}.shape[:-1], -1)",
}
# weights divided by the length of their rows: only lr relative to init counts
NORMALISED = {
    "weight norm": "F.linear({x}, F.normalize({w}, dim=-1, eps=EPS))",
    "weight norm written out": "F.linear({x}, {w} / {w}.norm(dim=-1, keepdim=True))",
}
STYLES = ("layer", *OUT_IN, *IN_OUT, "addmm", "baddbmm", *NORMALISED, "forward only")
ODDS = (6.0, 2.0, *[1.0] * (len(STYLES) - 2))
STACKED = (*OUT_IN, *IN_OUT)


@dataclass(frozen=True)
class Bias:
    """A vector, or a scalar of a finite layer, added behind the product."""

    start: str = "zero"


def law_of(k: int, p: int, zero: bool, normed: bool) -> tuple[Law, Fraction]:
    """(law, offset) of the init: where nothing but a norm reads the result, an output's too is relative."""
    if zero:
        return "zero", Fraction(0)
    if k and not p and not normed:
        return "at most", Fraction(0)
    return "equal", HALF * k


def matrix(
    place: Place, draw: Draw, x: Value, name: str, out_size: str, out_grows: bool, *, bias: Bias | None = None,
    zero: bool = False, normed: bool = False, plain: bool = False, style: str | None = None,
    multiplier: Fraction | None = None,
) -> Value:  # fmt: skip
    """x (…, in) times a weight: (…, out), with its own constants unless `plain`.

    normed: nothing but a norm reads the result. zero: the weight starts at zero. multiplier: the constant behind is
    always there, and this is the exponent wanted for it.
    """
    draw = draw.sub(name)
    chance = 0.0 if plain else 0.13
    k, p = int(x.grows), int(out_grows)
    law, offset = law_of(k, p, zero, normed)
    style = style or (draw("style", *STACKED) if place.index else draw("style", *STYLES, weights=ODDS))
    if (style == "halves" and not x.grows) or (style in NORMALISED and (zero or not p)):
        style = "functional"
    attribute = place.scope.attribute(name)
    full = f"{place.prefix}{attribute}" + (".weight" if style == "layer" else "")
    tensor = place.truth.tensor(full, k, p, law, offset)
    _start(tensor, draw, k, p, zero)
    owners = {full}
    pay(x, owners)
    before = maybe(place, draw, "before", x, owners, chance)
    out = Value("", place.truth.value(full), out_grows, out_size, frozenset(owners))
    terms = {out.phi: 1, before.phi: -1, tensor.column: -1}
    summed = k
    if style in NORMALISED:
        place.truth.wanted[tensor.column] = place.truth.plain[tensor.column] = Fraction(-k)
        terms, summed = {out.phi: 1, before.phi: -1}, 0
    if style in ("addmm", "baddbmm"):
        var = _with_alpha(place, draw, style, before, attribute, out_size, terms, owners, chance)
    elif style == "forward only":
        var = _forward_only(place, draw, before, attribute, out_size, terms, tensor)
    elif style == "layer":
        has_bias = bias is not None and draw.chance("bias inside", 0.7) and multiplier is None
        place.scope.init.append(f"self.{attribute} = nn.Linear({x.size}, {out_size}, bias={has_bias})")
        var = place.assign("y", f"self.{attribute}({before.var})")
        if has_bias and bias is not None:
            out = add_vector(place, out, f"{place.prefix}{attribute}.bias", bias, terms, k)
            bias, terms = None, {}
    else:
        sizes = (x.size, out_size) if style in IN_OUT else (out_size, x.size)
        stacked = "LAYERS, " if place.index else ""
        place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({stacked}{', '.join(sizes)}))")
        weight = f"self.{attribute}{place.index}"
        scale = draw.sub("on weight")
        if scale.chance("there", chance):
            site, column = place.site(place.scope.attribute("on_weight"), _drawn(scale), owners)
            if style not in NORMALISED:  # which takes it away again
                terms[column] = -1
            weight = f"({scaled(place, scale, site, weight)})"
        var = place.assign("y", (OUT_IN | IN_OUT | NORMALISED)[style].format(x=before.var, w=weight))
    if terms:
        place.truth.row(terms, summed, full)
    out = Value(var, out.phi, out.grows, out.size, out.terms)
    if multiplier is not None:
        out = multiply(place, draw.sub("behind"), "behind", out, owners, multiplier)
    else:
        out = maybe(place, draw, "behind", out, set(out.terms), chance)
    if bias is not None:
        out = _bias(place, draw, out, attribute, bias)
        out = maybe(place, draw, "behind bias", out, set(out.terms), chance)
    return out


def pay(x: Value, owners: set[str]) -> None:
    """Who reads `x` linearly takes up the constants that nothing before it could."""
    for site, instance in x.debts:
        site.owners[instance] |= owners


def _drawn(draw: Draw) -> Fraction:
    return draw("exponent", *QUARTERS, weights=OFTEN)


def _start(tensor: Tensor, draw: Draw, k: int, p: int, zero: bool) -> None:
    tensor.start = "zero" if zero else draw("start", "normal", "uniform", weights=(5, 1))
    tensor.size = draw("size", 1.0, 0.5, weights=(2, 1)) if p else 1.0


def _with_alpha(
    place: Place, draw: Draw, style: str, x: Value, attribute: str, out_size: str, terms: dict[int, int],
    owners: set[str], chance: float,
) -> str:  # fmt: skip
    """torch.addmm and torch.baddbmm, whose alpha is a constant."""
    place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({x.size}, {out_size}))")
    draw = draw.sub("alpha")
    alpha = ""
    if draw.chance("there", 2 * chance):
        site, column = place.site(place.scope.attribute("alpha"), _drawn(draw), owners)
        terms[column] = -1
        alpha = f", alpha={scaled(place, draw, site, '1.0', 'inline').removeprefix('1.0 * ')}"
    flat = f"{x.var}.reshape(-1, {x.var}.shape[-1])"
    zeros = f"{x.var}.new_zeros(1)"
    if style == "addmm":
        made = f"torch.addmm({zeros}, {flat}, self.{attribute}, beta=0{alpha})"
    else:
        made = f"torch.baddbmm({zeros}, {flat}.unsqueeze(0), self.{attribute}.unsqueeze(0), beta=0{alpha})"
    return place.assign("y", f"{made}.reshape(*{x.var}.shape[:-1], -1)")


def _forward_only(
    place: Place, draw: Draw, x: Value, attribute: str, out_size: str, terms: dict[int, int], tensor: Tensor
) -> str:
    """x W c, where the gradient of x is multiplied by c as it should, and that of W is not (unit scaling)."""
    place.shared.helpers.add("forward only")
    place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({out_size}, {x.size}))")
    draw = draw.sub("forward only")
    site, column = place.site(place.scope.attribute("forward_only"), _drawn(draw), {tensor.name})
    terms[column] = -1
    if column not in tensor.forward_only:
        tensor.forward_only.append(column)
    c = place.assign("c", f"(self.width / BASE) ** {exponent(site.key)}")
    return place.assign("y", f"Forward.apply(F.linear(Backward.apply({x.var}, {c}), self.{attribute}), {c})")


def add_vector(place: Place, out: Value, name: str, bias: Bias, product: dict[int, int], k: int) -> Value:
    """The bias inside a layer: y = (W x) + b, where both terms have y's size."""
    tensor = place.truth.tensor(name, 0, int(out.grows), "zero" if bias.start == "zero" else "equal", Fraction(0))
    tensor.start, tensor.size = bias.start, 0.5
    place.truth.row(product, k, next(iter(out.terms)))
    place.truth.row({out.phi: 1, tensor.column: -1}, 0, name)
    return Value(out.var, out.phi, out.grows, out.size, out.terms | {name})


def _bias(place: Place, draw: Draw, y: Value, attribute: str, bias: Bias) -> Value:
    """A bias as a parameter of its own."""
    name = place.scope.attribute(f"{attribute}_bias")
    stacked = "LAYERS, " if place.index else ""
    place.scope.init.append(f"self.{name} = nn.Parameter(torch.empty({stacked}{y.size}))")
    return added(place, draw.sub("bias"), y, name, bias.start, 0.5)


def added(place: Place, draw: Draw, y: Value, name: str, start: str, size: float) -> Value:
    """y + a parameter of its features' size, which may carry a constant."""
    full = f"{place.prefix}{name}"
    law: Law = "zero" if start == "zero" else "equal"
    tensor = place.truth.tensor(full, 0, int(y.grows), law, Fraction(0))
    tensor.start, tensor.size = start, size
    vector = Value(f"self.{name}{place.index}", place.truth.value(full), y.grows, y.size, frozenset({full}))
    place.truth.row({vector.phi: 1, tensor.column: -1}, 0, full)
    vector = maybe(place, draw, "on bias", vector, {full}, 0.1)
    place.truth.same(vector.phi, y.phi)
    how = draw("how", "{y} + {b}", "torch.add({y}, {b})", "{b} + {y}")
    var = place.assign("y", how.format(y=y.var, b=vector.var))
    return Value(var, y.phi, y.grows, y.size, y.terms | {full})
