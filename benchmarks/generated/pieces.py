"""What stands between products: nonlinearities, norms, gains, sums."""

from __future__ import annotations

from fractions import Fraction

from .constants import exponent, maybe, written
from .draw import Draw
from .products import HALF, added, pay
from .scope import Place, Site, Value

# name → (expression, degree of homogeneity; None: bounded or with a scale of its own)
FUNCTIONS: dict[str, tuple[str, int | None]] = {
    "relu": ("F.relu({x})", 1),
    "tanh": ("torch.tanh({x})", None),
    "gelu": ("F.gelu({x})", None),
    "silu": ("F.silu({x})", None),
    "leaky": ("F.leaky_relu({x}, 0.1)", 1),
    "clamp": ("{x}.clamp(min=0)", 1),
    "abs": ("{x}.abs()", 1),
    "squared": ("F.relu({x}).square()", 2),
    "sigmoid": ("torch.sigmoid({x})", None),
    "elu": ("F.elu({x}) + 1", None),
    "maximum": ("torch.maximum({x}, torch.zeros_like({x}))", 1),
    "silu written out": ("{x} * torch.sigmoid({x})", None),
}


def activation(place: Place, draw: Draw, x: Value, name: str | None = None) -> Value:
    """An elementwise nonlinearity."""
    draw = draw.sub("act")
    name = name or draw("function", *FUNCTIONS, weights=(4, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1))
    text, degree = FUNCTIONS[name]
    place.word(name)
    var = place.assign("a", text.format(x=x.var))
    phi = place.truth.value(f"{name} of {x.var}")
    if degree is None:
        place.truth.pin(x.phi)
        place.truth.pin(phi)
        return Value(var, phi, x.grows, x.size)
    place.truth.same(phi, x.phi, degree)
    terms = x.terms if degree == 1 else frozenset()
    value = Value(var, phi, x.grows, x.size, terms, x.debts if degree == 1 else ())
    return maybe(place, draw, "behind act", value, set(terms), 0.08) if terms else value


NORMS = ("layer", "rms", "layer written out", "rms written out", "layer functional", "rms functional", "normalize",
         "group", "standard", "batch")  # fmt: skip
NORM_ODDS = (3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.5, 0.7, 0.7, 0.7)


def norm(place: Place, draw: Draw, x: Value, name: str) -> Value:
    """A norm over the features (over the batch, for `batch`) of x (…, n), with gain and bias or without."""
    draw = draw.sub(name)
    kind = draw("kind", *NORMS, weights=NORM_ODDS)
    if not x.grows and kind == "group":
        kind = "layer"
    place.word(f"{kind} norm")
    attribute = place.scope.attribute(name)
    affine = draw("affine", "none", "gain", "both", weights=(2, 2, 1)) if not place.index else "none"
    phi = place.truth.value(f"{kind} of {x.var}")
    out = Value("", phi, x.grows, x.size)
    inside = affine != "none" and kind in ("layer", "rms", "group", "batch")
    var, debt = _normalised(place, draw, x, kind, attribute, affine if inside else "none")
    if debt is None:
        place.truth.pin(phi)
    else:
        place.truth.row({phi: 1, debt[1]: -1}, -HALF if x.grows else 0)
        place.truth.pin(phi)
        out = Value(var, phi, x.grows, x.size, frozenset(), ((debt[0], place.instance),))
    out = Value(var, phi, x.grows, x.size, frozenset(), out.debts)
    if affine == "none":
        return out
    if inside:
        biased = affine == "both" or kind in ("group", "batch")
        names = ["weight", "bias"] if biased and kind != "rms" else ["weight"]
        return _affine_inside(place, out, [f"{place.prefix}{attribute}.{n}" for n in names])
    out = gain(place, draw, out, f"{attribute}_gain", size=1.0)
    if affine == "both":
        bias = place.scope.attribute(f"{attribute}_shift")
        place.scope.init.append(f"self.{bias} = nn.Parameter(torch.empty({x.size}))")
        out = added(place, draw.sub("shift"), out, bias, "zero", 0.5)
    return out


def _normalised(
    place: Place, draw: Draw, x: Value, kind: str, attribute: str, affine: str
) -> tuple[str, tuple[Site, int] | None]:
    """The variable that holds the normalised x, and the constant of a norm that needs one."""
    v, init = x.var, place.scope.init
    if kind in ("layer", "rms", "group", "batch"):
        flag = affine != "none"
        makers = {
            "layer": f"nn.LayerNorm({x.size}, eps=EPS, elementwise_affine={flag}{_no_bias(affine)})",
            "rms": f"nn.RMSNorm({x.size}, eps=EPS, elementwise_affine={flag})",
            "group": f"nn.GroupNorm(2, {x.size}, eps=EPS, affine={flag})",
            "batch": f"nn.BatchNorm1d({x.size}, eps=EPS, affine={flag})",
        }
        init.append(f"self.{attribute} = {makers[kind]}")
        if kind in ("group", "batch"):
            return place.assign("h", f"self.{attribute}({v}.reshape(-1, {v}.shape[-1])).reshape({v}.shape)"), None
        return place.assign("h", f"self.{attribute}({v})"), None
    if kind == "normalize":
        site, column = place.site(place.scope.attribute("of_norm"), HALF * x.grows, set(), HALF * x.grows)
        var = place.assign("h", f"F.normalize({v}, dim=-1, eps=EPS)")
        draw = draw.sub("of norm")
        return written(place, draw, site, var), (site, column)
    texts = {
        "layer functional": f"F.layer_norm({v}, {v}.shape[-1:], eps=EPS)",
        "rms functional": f"F.rms_norm({v}, {v}.shape[-1:], eps=EPS)",
        "layer written out": f"({v} - {v}.mean(-1, keepdim=True))"
        f" / ({v}.var(-1, keepdim=True, correction=0) + EPS).sqrt()",
        "rms written out": f"{v} * torch.rsqrt({v}.pow(2).mean(-1, keepdim=True) + EPS)",
        "standard": f"({v} - {v}.mean(-1, keepdim=True)) / ({v}.std(-1, keepdim=True) + EPS)",
    }
    return place.assign("h", texts[kind]), None


def _no_bias(affine: str) -> str:
    return ", bias=False" if affine == "gain" else ""


def _affine_inside(place: Place, x: Value, names: list[str]) -> Value:
    """Gain and bias inside a norm layer: a shared column, as no constant fits between them and what is normalised."""
    phi = place.truth.value(names[0])
    for name in names:
        is_gain = name.endswith("weight")
        tensor = place.truth.tensor(name, 0, int(x.grows), "equal" if is_gain else "zero", Fraction(0))
        tensor.start, tensor.size = ("ones" if is_gain else "zero"), 1.0
        place.truth.row({phi: 1, tensor.column: -1} | ({x.phi: -1} if is_gain else {}), 0, name)
    pay(x, set(names))
    return Value(x.var, phi, x.grows, x.size, frozenset(names))


def gain(place: Place, draw: Draw, x: Value, name: str, *, scalar: bool = False, size: float = 0.5) -> Value:
    """x times a vector (or one number) of its own: a gain, LayerScale, alpha."""
    draw = draw.sub("gain" if not scalar else "alpha")
    attribute = place.scope.attribute(name)
    grows = int(x.grows and not scalar)
    full = f"{place.prefix}{attribute}"
    stacked = "LAYERS, " if place.index else ""
    shape = f"{stacked}1" if scalar else f"{stacked}{x.size}"
    if not scalar or stacked or draw("shape", "1", "0") == "1":
        place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.empty({shape}))")
    else:
        place.scope.init.append(f"self.{attribute} = nn.Parameter(torch.tensor(0.0))")
    tensor = place.truth.tensor(full, 0, grows, "equal", Fraction(0))
    tensor.start, tensor.size = "ones", size
    pay(x, {full})
    vector = Value(f"self.{attribute}{place.index}", place.truth.value(full), x.grows, x.size, frozenset({full}))
    place.truth.row({vector.phi: 1, tensor.column: -1}, 0, full)
    vector = maybe(place, draw, "on gain", vector, {full}, 0.12)
    phi = place.truth.value(f"{x.var}·{attribute}")
    place.truth.product(phi, (x.phi, vector.phi))
    how = draw("how", "{x} * {g}", "{g} * {x}", "torch.mul({x}, {g})")
    var = place.assign("h", how.format(x=x.var, g=vector.var))
    return maybe(place, draw, "behind gain", Value(var, phi, x.grows, x.size, frozenset({full})), {full}, 0.08)


def residual(place: Place, draw: Draw, x: Value, branch: Value) -> Value:
    """x + branch, perhaps with a constant, a scalar or a gain on the branch, or as an interpolation."""
    draw = draw.sub("sum")
    extra = draw("scale", "none", "alpha", "layer scale", "constant", weights=(6, 1.2, 1.2, 1.2))
    if extra != "none":
        place.word(extra)
    if extra == "alpha":
        branch = gain(place, draw, branch, "alpha", scalar=True)
    elif extra == "layer scale":
        branch = gain(place, draw, branch, "layer_scale")
    elif extra == "constant":
        branch = maybe(place, draw, "branch", branch, set(branch.terms), 1.0)
    how = draw("how", "x + b", "b + x", "add", "alpha", "interpolation", "lerp", weights=(5, 2, 1, 1, 1, 0.7))
    phi = place.truth.value("sum")
    if how in ("alpha", "interpolation", "lerp") and branch.terms:
        place.word(f"sum as {how}")
        return _interpolated(place, draw, x, branch, how, phi)
    place.truth.same(phi, x.phi)
    place.truth.same(phi, branch.phi)
    text = {"x + b": "{x} + {b}", "b + x": "{b} + {x}"}.get(how, "torch.add({x}, {b})")
    var = place.assign("x", text.format(x=x.var, b=branch.var))
    return Value(var, phi, x.grows, x.size, x.terms | branch.terms if x.terms else frozenset())


def _interpolated(place: Place, draw: Draw, x: Value, branch: Value, how: str, phi: int) -> Value:
    """x + c·b, or (1 − c)·x + c·b in one of two ways, where c may only fall with width."""
    falls = how != "alpha"
    wanted = draw("exponent", Fraction(0), -HALF, Fraction(-1), Fraction(-1, 4), weights=(4, 1, 1, 0.5))
    name = place.scope.attribute("mix")
    site, column = place.site(name, wanted, set(branch.terms), wanted, falls)
    amount = draw("amount", "0.5", "0.3", "0.25")
    place.scope.init.append(f"self.{name} = {amount} * (width / FIRST) ** {exponent(site.key)}")
    place.truth.same(phi, x.phi)
    place.truth.row({phi: 1, branch.phi: -1, column: -1})
    texts = {
        "alpha": "torch.add({x}, {b}, alpha={c})",
        "interpolation": draw("written", "{x} + ({b} - {x}) * {c}", "(1 - {c}) * {x} + {c} * {b}"),
        "lerp": "torch.lerp({x}, {b}, {c})",
    }
    var = place.assign("x", texts[how].format(x=x.var, b=branch.var, c=f"self.{name}"))
    terms = x.terms | branch.terms if x.terms else frozenset()
    return Value(var, phi, x.grows, x.size, terms)
