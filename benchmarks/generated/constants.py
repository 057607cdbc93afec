"""The ways to write a constant that depends on width."""

from __future__ import annotations

from fractions import Fraction

from .draw import Draw
from .scope import Place, Site, Value

QUARTERS = tuple(Fraction(i, 4) for i in (0, 2, -2, 4, -4, 1, -1, 3, -3))
OFTEN = (3.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25)
WAYS = (
    "attribute", "inline", "divided", "buffer", "property", "guarded", "function", "module", "root", "nested",
)  # fmt: skip
EXPRESSIONS = ("attribute", "inline", "divided", "buffer", "property", "function", "module", "root")


def exponent(key: str) -> str:
    """Stands in source text for the exponent of the constant `key`, until all is solved."""
    return f"⟦{key}⟧"


def factor(draw: Draw) -> str:
    """A plain number in front."""
    return draw("plain", "", "0.5 * ", "2 * ", "1.3 * ", weights=(5, 1, 1, 1))


def maybe(place: Place, draw: Draw, name: str, value: Value, owners: set[str], probability: float = 0.2) -> Value:
    """`value`, multiplied by a constant with this probability."""
    draw = draw.sub(name)
    if not draw.chance("there", probability):
        return value
    return multiply(place, draw, name, value, owners)


def multiply(
    place: Place, draw: Draw, name: str, value: Value, owners: set[str], wanted: Fraction | None = None,
    tag: str | None = None, plain: Fraction = Fraction(0),
) -> Value:  # fmt: skip
    """`value` times a constant, in one of the ways; the exponent it should have is drawn where none is wanted."""
    aim = draw("exponent", *QUARTERS, weights=OFTEN) if wanted is None else wanted
    site, column = place.site(place.scope.attribute(name), aim, owners, plain)
    var = written(place, draw, site, value.var, tag)
    phi = place.truth.value(f"{value.var}·{site.key}")
    place.truth.row({phi: 1, value.phi: -1, column: -1})
    # a constant of exponent 0 in the middle of what the equations say: the value behind it is another one
    return Value(var, phi, value.grows, value.size, value.terms, value.debts)


def written(place: Place, draw: Draw, site: Site, expression: str, tag: str | None = None) -> str:
    """Writes `expression` times the constant; returns the variable that holds it."""
    way = draw("way", *WAYS)
    if way in ("guarded", "nested"):
        attribute = defined(place, draw, site, "guarded")
        var = place.assign("z", expression, tag)
        test = f"self.{attribute} != 1" if way == "guarded" else f"abs(self.{attribute} - 1) > 1e-6"
        place.say(f"if {test}:", tag)
        place.say(f"    {var} = {var} * self.{attribute}", tag, site.key)
        return var
    return place.assign("z", scaled(place, draw, site, expression, way), tag, site.key)


def scaled(place: Place, draw: Draw, site: Site, expression: str, way: str | None = None) -> str:
    """An expression for `expression` times the constant."""
    way = draw("way", *EXPRESSIONS) if way is None else way
    inner = expression if expression.replace(".", "").replace("_", "").isalnum() else f"({expression})"
    power = f"(self.width / BASE) ** {exponent(site.key)}"
    if way == "inline":
        return f"{inner} * ({factor(draw)}{power})"
    if way == "divided":
        return f"{inner} / (self.width / BASE) ** -({exponent(site.key)})"
    if way == "root":
        return f"{inner} * math.sqrt((self.width / BASE) ** (2 * ({exponent(site.key)})))"
    if way == "function":
        place.shared.helpers.add("scale")
        return f"scale({expression}, {factor(draw)}{power})"
    if way == "module":
        place.shared.helpers.add("Scale")
        name = site.key.split(".")[-1]
        place.scope.init.append(f"self.{name}_scale = Scale({factor(draw)}(width / BASE) ** {exponent(site.key)})")
        return f"self.{name}_scale({expression})"
    return f"{inner} * self.{defined(place, draw, site, way)}"


def defined(place: Place, draw: Draw, site: Site, way: str = "attribute") -> str:
    """Defines the constant in the class; returns its name."""
    name = site.key.split(".")[-1]
    plain = factor(draw) if way != "guarded" else ""  # with a factor, 1 means nothing
    number = f"{plain}(width / BASE) ** {exponent(site.key)}"
    if way == "buffer":
        persistent = draw("persistent", "", ", persistent=False")
        place.scope.init.append(f'self.register_buffer("{name}", torch.tensor({number}){persistent})')
    elif way == "property":
        number = number.replace("(width", "(self.width")
        place.scope.methods.append(f"@property\ndef {name}(self):\n    return {number}")
    else:
        place.scope.init.append(f"self.{name} = {number}")
    return name
