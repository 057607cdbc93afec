"""Source text of one class while it is written, and the place in the model that is being walked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from .draw import Draw
from .truth import Tensor, Truth


@dataclass(frozen=True)
class Line:
    """One line of `forward`; `tag` names the line of attention logits that it belongs to, `site` a constant on it."""

    text: str
    tag: str | None = None
    site: str | None = None


@dataclass
class Scope:
    """The class `name`: what its __init__ and its forward say so far."""

    name: str
    init: list[str] = field(default_factory=list)
    forward: list[Line] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    depth: int = 0  # of loops around what is written
    used: dict[str, int] = field(default_factory=dict)

    def fresh(self, stem: str) -> str:
        """A variable `stem`, or with a number where it is taken."""
        return self._free(stem, stem)

    def attribute(self, stem: str) -> str:
        """An attribute `stem` of self, or with a number where it is taken."""
        return self._free(stem.replace(" ", "_"), f"self.{stem}")

    def _free(self, stem: str, key: str) -> str:
        count = self.used[key] = self.used.get(key, 0) + 1
        return stem if count == 1 else f"{stem}{count}"

    def say(self, text: str, tag: str | None = None, site: str | None = None) -> None:
        self.forward.append(Line("    " * self.depth + text, tag, site))


@dataclass
class Site:
    """A constant in the forward pass.

    columns: that of its exponent, by instance. owners: the tensors that it multiplies, or the line, by instance.
    falls: only exponents of at most 0 keep what stands beside it harmless.
    """

    key: str
    columns: list[int] = field(default_factory=list)
    owners: list[set[str]] = field(default_factory=list)
    falls: bool = False


@dataclass
class Shared:
    """What all places of one model have in common."""

    truth: Truth
    sites: dict[str, Site] = field(default_factory=dict)
    classes: list[Scope] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)  # the one-line description


@dataclass(frozen=True)
class Value:
    """A value in the forward pass.

    var: its name there. phi: its column. grows: whether its features grow; `size` says their number in source text.
    terms: the tensors all of which would take up a constant on it. debts: sites whose constant its readers take up.
    """

    var: str
    phi: int
    grows: bool
    size: str
    terms: frozenset[str] = frozenset()
    debts: tuple[tuple[Site, int], ...] = ()
    lone: bool = True  # nothing else reads it


@dataclass(frozen=True)
class Place:
    """Where in the model: the class, the prefix of its parameters' names, and which instance of the class it is.

    index: source text that picks from stacked parameters, such as "[i]". visit: which time these tensors are used.
    """

    shared: Shared
    scope: Scope
    prefix: str = ""
    instance: int = 0
    index: str = ""
    visit: int = 0

    @property
    def truth(self) -> Truth:
        return self.shared.truth

    def say(self, text: str, tag: str | None = None, site: str | None = None) -> None:
        self.scope.say(text, tag, site)

    def assign(self, stem: str, expression: str, tag: str | None = None, site: str | None = None) -> str:
        """A new variable that holds `expression`."""
        name = self.scope.fresh(stem)
        self.say(f"{name} = {expression}", tag, site)
        return name

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.say(head)
        self.scope.depth += 1
        yield
        self.scope.depth -= 1

    def word(self, text: str) -> None:
        if self.instance == 0 and self.visit == 0:
            self.shared.words.append(text)

    def site(
        self, name: str, wanted: Fraction, owners: set[str], plain: Fraction = Fraction(0), falls: bool = False
    ) -> tuple[Site, int]:
        """The constant `name` of this class, with a column for this instance; its exponent is `plain` in Table 3."""
        key = f"{self.scope.name}.{name}"
        site = self.shared.sites.setdefault(key, Site(key, falls=falls))
        while len(site.columns) <= self.instance:
            site.columns.append(self.truth.column("c", key, wanted, plain))
            site.owners.append(set())
        site.owners[self.instance] |= owners
        return site, site.columns[self.instance]


__all__ = ["Draw", "Line", "Place", "Scope", "Shared", "Site", "Tensor", "Value"]
