"""All mutants of a right model, each with what theory says must be blamed.

The invariants of a parameter's use are A·B (multiplier × init) and A·C (Adam) or A²·C (SGD) with the learning rate C
(TP5 Lemma J.1). One thing changed by m**e moves them by:

    init        A·B                     seen, unless the parameter starts at zero, or is an output made smaller (legal)
    lr          A·C                     seen
    multiplier  A·B and A·C alike       seen, unless the parameter is free (normalised at once: its size plays no part)
    constant    as the multiplier of what stands before it, or behind it: see `families`
    scale       the attention logits    seen, and no tensor is to blame; in all blocks alike maybe the queries

Equivalent mutants move no invariant: gauge moves (multiplier ·θ, init /θ, learning rate /θ with Adam and /θ² with SGD,
weight decay and eps along), constants that cancel, constants that a normalization reads first, free parameters whose
init and learning rate (squared with SGD) move together, plain constants, another base width, smaller readouts, and zero
init.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from .changes import Change
from .families import FAMILIES, LOGITS, Cancel, Family, Role, Site, family_of
from .subject import FIXTURES, Anatomy, anatomy

EXPONENTS = (0.5, -0.5, 1.0, -1.0)
INIT, MULTIPLIER, RATE, SHARED = "MUP1", "MUP2", "MUP3", "MUP4"
Blame = tuple[frozenset[str], ...]  # the sets of names of which one must be blamed; LOGITS for the logits' line


@dataclass(frozen=True)
class Mutant:
    """One mutant of one model.

    blames: for each place changed, the sets of parameters that may be blamed for it; none: nothing may be reported.
    rules: prefixes of the codes that may report it. base: another base width than the fixture's.
    """

    model: str
    kind: str
    name: str
    changes: tuple[Change, ...]
    blames: tuple[Blame, ...] = ()
    rules: tuple[str, ...] = ()
    base: int | None = None

    @property
    def equivalent(self) -> bool:
        return not self.blames

    def acceptable(self) -> set[frozenset[str]]:
        """The unions of one choice per place."""
        return {frozenset().union(*choice) for choice in product(*self.blames)}

    def __str__(self) -> str:
        return f"{self.model} {self.kind} {self.name}"


def models() -> list[str]:
    """The right models: every formulation of every family under fixtures/."""
    stems = ("table*", "absorbed*")
    paths = [p for family in FAMILIES for stem in stems for p in sorted((FIXTURES / family).glob(f"{stem}.py"))]
    return [f"{path.parent.name}/{path.stem}" for path in paths]


def mutants(model: str) -> list[Mutant]:
    """All mutants of one model, in a fixed order."""
    maker = _Maker(model, family_of(model), anatomy(model))
    return [*maker.wrong(), *maker.equivalent()]


def sample(found: Iterable[Mutant], per_kind: int) -> list[Mutant]:
    """At most so many of each kind of each model, chosen by a hash of the name: always the same."""
    kinds: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in found:
        kinds.setdefault((mutant.model, mutant.kind), []).append(mutant)
    return [m for group in kinds.values() for m in sorted(group, key=lambda m: zlib.crc32(str(m).encode()))[:per_kind]]


class _Maker:
    def __init__(self, model: str, family: Family, body: Anatomy) -> None:
        self.model, self.family, self.body = model, family, body
        self.rate = 2.0 if body.family == "sgd" else 1.0  # learning rates move by θ² under SGD

    # -- mutants that change an invariant ------------------------------------------------------------------------
    def wrong(self) -> Iterator[Mutant]:
        for names, label in self._targets():
            for e in EXPONENTS:
                yield from self._parameter(names, label, e)
        for site in self.family.sites:
            if site.blames:
                for number, blocks in enumerate(self._scopes(site.module)):
                    for e in EXPONENTS:
                        yield from self._site(site, blocks, e, number)
        for e in EXPONENTS:
            yield from self._attention(e)

    def _parameter(self, names: tuple[str, ...], label: str, e: float) -> Iterator[Mutant]:
        role, zero = self.family.role(names[0]), names[0] in self.body.zero
        shared = (SHARED,) if role == "tied" else ()
        if not zero and not (role == "output" and e < 0):
            either = (RATE,) if role == "free" else ()
            yield self._wrong("init", label, names, e, (INIT, *shared, *either))
        doubled = (MULTIPLIER,) if role == "output" and e < 0 else ()  # told as scaled by multiplier and learning rate
        # of a parameter that starts at zero only A·C is seen, and a multiplier explains that as well
        either = (INIT,) if role == "free" else (MULTIPLIER,) if zero else ()
        yield self._wrong("lr", label, names, e, (RATE, *shared, *doubled, *either))
        if role != "free":
            hidden_init = zero or (e < 0 and role in ("output", "tied"))
            yield self._wrong("multiplier", label, names, e, (MULTIPLIER, *shared, *((RATE,) if hidden_init else ())))

    def _wrong(self, kind: str, label: str, names: tuple[str, ...], e: float, rules: tuple[str, ...]) -> Mutant:
        blames = tuple((frozenset({name}), *self._as_logits(kind, name)) for name in names)
        return self._mutant(kind, f"{label} m^{e:+g}", [Change(kind, name, e) for name in names], blames, rules)

    def _as_logits(self, kind: str, name: str) -> Blame:
        """A multiplier of queries or keys is one of the logits."""
        projections = (".wq.weight", ".wk.weight", ".q.weight", ".k.weight")
        return (frozenset({LOGITS}),) if kind == "multiplier" and name.endswith(projections) else ()

    def _site(self, site: Site, blocks: tuple[tuple[str, str], ...], e: float, number: int) -> Iterator[Mutant]:
        places = [self._fill(site.module, *b) for b in blocks]
        if not all(place in self.body.called for place in places):
            return
        blames = tuple(tuple(self._names(self._fill(s, *b)) for s in site.blames) for b in blocks)
        rules = (MULTIPLIER, SHARED)
        if any(name in self.body.zero or self._shrinks(name, e) for b in blames for s in b for name in s):
            rules += (RATE,)
        where = site.module if number == 0 else places[0]
        name = f"{site.at} of {where} m^{e:+g}"
        yield self._mutant("constant", name, [Change(site.at, place, e) for place in places], blames, rules)

    def _shrinks(self, name: str, e: float) -> bool:
        return e < 0 and name != LOGITS and self.family.role(name) in ("output", "tied")

    def _attention(self, e: float) -> Iterator[Mutant]:
        for pattern in self.family.attention:
            for number, blocks in enumerate(self._scopes(pattern)):
                places = [self._fill(pattern, *b) for b in blocks]
                label = pattern if number == 0 else places[0]
                blame = (frozenset({LOGITS}), *((self._queries(places),) if len(places) > 1 else ()))
                yield self._mutant("attention", f"scale of {label} m^{e:+g}", [Change("scale", p, e) for p in places],
                                   (blame,), (MULTIPLIER,))  # fmt: skip

    def _queries(self, attentions: Iterable[str]) -> frozenset[str]:
        """In all blocks alike, c on the logits is c on the queries, where these are parameters of their own.

        In one block alone it is not: the block stands out by its scale, its queries are as everywhere.
        """
        return frozenset(map(self._query, attentions)) if self.family.queries else frozenset({LOGITS})

    def _query(self, attention: str) -> str:
        """The query parameter of an attention module."""
        return attention + self.family.queries[self.family.queries.rindex(".attention") + len(".attention") :]

    # -- mutants that change none --------------------------------------------------------------------------------
    def equivalent(self) -> Iterator[Mutant]:
        for names, label in self._targets():
            for t in EXPONENTS:
                yield self._gauge(names, label, t)
        for pattern in self.family.attention if self.family.queries else ():
            for t in EXPONENTS:
                yield self._query_gauge(pattern, t)
        yield from self._harmless_constants()
        yield from self._plain()

    def _gauge(self, names: tuple[str, ...], label: str, t: float) -> Mutant:
        """θ = m^t moves between multiplier, init and learning rate; a free parameter needs no multiplier."""
        free = self.family.role(names[0]) == "free"
        changes = [change for name in names for change in self._moved(name, t, multiplier=not free)]
        return self._mutant("gauge", f"{label} θ=m^{t:+g}", changes)

    def _moved(self, name: str, t: float, *, multiplier: bool = True) -> list[Change]:
        moved = [Change("init", name, -t), Change("lr", name, -self.rate * t), Change("eps", name, t)]
        return [Change("multiplier", name, t), *moved] if multiplier else moved

    def _query_gauge(self, pattern: str, t: float) -> Mutant:
        """Between the scale of the logits and the queries."""
        changes: list[Change] = []
        for block in self._scopes(pattern)[0]:
            attention = self._fill(pattern, *block)
            changes += [Change("scale", attention, t), *self._moved(self._query(attention), t, multiplier=False)]
        return self._mutant("gauge", f"scale of {pattern} and queries θ=m^{t:+g}", changes)

    def _harmless_constants(self) -> Iterator[Mutant]:
        for site in self.family.sites:
            for blocks in self._scopes(site.module) if not site.blames else ():
                places = [self._fill(site.module, *b) for b in blocks]
                for e in EXPONENTS if all(place in self.body.called for place in places) else ():
                    name = f"{site.at} of {places[0] if len(places) == 1 else site.module} m^{e:+g}"
                    yield self._mutant("normalised", name, [Change(site.at, place, e) for place in places])
        for cancel in self.family.cancels:
            for e in EXPONENTS:
                yield from self._cancelling(cancel, e)

    def _cancelling(self, cancel: Cancel, e: float) -> Iterator[Mutant]:
        changes: list[Change] = []
        for block in self._scopes(cancel.first[0] + cancel.second[0])[0]:
            for (module, at), sign in ((cancel.first, 1), (cancel.second, -1)):
                changes.append(Change(at, self._fill(module, *block), sign * e))
        if all(change.where in self.body.called for change in changes):
            name = f"{cancel.first[0]} m^{e:+g} against {cancel.second[0]}"
            yield self._mutant("cancelling", name, changes)

    def _plain(self) -> Iterator[Mutant]:
        """Plain constants, other base widths, smaller readouts, zero init."""
        for names, label in self._targets():
            role, zero = self.family.role(names[0]), names[0] in self.body.zero
            for what, constant in (("init", 2.5), ("lr", 0.2), ("multiplier", 0.4)):
                yield self._mutant("plain", f"{what} of {label} ×{constant}",
                                   [Change(what, name, 0.0, constant) for name in names])  # fmt: skip
            for e in (-0.5, -1.0) if role == "output" else ():
                yield self._mutant("smaller", f"init of {label} m^{e:+g}", [Change("init", n, e) for n in names])
            never = any(fnmatchcase(name, p) for p in self.family.never_zero for name in names)
            if role not in ("free", "tied") and not zero and not never:
                yield self._mutant("zero", label, [Change("zero", name) for name in names])
        for base in (16, 37, 256):
            yield Mutant(self.model, "base", f"{base}", (), base=base)

    # -- names ---------------------------------------------------------------------------------------------------
    def _mutant(self, kind: str, name: str, changes: list[Change], blames: tuple[Blame, ...] = (),
                rules: tuple[str, ...] = ()) -> Mutant:  # fmt: skip
        return Mutant(self.model, kind, name, tuple(changes), blames, rules)

    def _targets(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Every parameter: alike ones of all blocks together, then one block's alone."""
        alike: dict[tuple[str, Role], list[str]] = {}
        for name in self.body.names:
            alike.setdefault((self._pattern(name), self.family.role(name)), []).append(name)
        for (pattern, _), names in alike.items():
            yield tuple(names), pattern
            if len(names) > 1:
                chosen = names[zlib.crc32(pattern.encode()) % len(names)]
                yield (chosen,), chosen

    def _pattern(self, name: str) -> str:
        prefixes = {block: f"{{{key}}}" for key, blocks in self.family.blocks.items() for block in blocks}
        for block, key in prefixes.items():
            if name.startswith(block + "."):
                return key + name[len(block) :]
        return name

    def _scopes(self, pattern: str) -> list[tuple[tuple[str, str], ...]]:
        """(key, block) for all blocks a pattern has room for, then for one alone; nothing to fill in otherwise."""
        for key, blocks in self.family.blocks.items():
            if f"{{{key}}}" in pattern:
                one = blocks[zlib.crc32(pattern.encode()) % len(blocks)]
                return [tuple((key, block) for block in blocks), ((key, one),)]
        return [(("", ""),)]

    def _fill(self, pattern: str, key: str, block: str) -> str:
        if not key:
            return pattern
        blocks = self.family.blocks[key]
        index = blocks.index(block)
        before, behind = self.family.ends.get(key, ("", ""))
        return pattern.format(**{
            key: block,
            "p": blocks[index - 1] if index else before,
            "n": blocks[index + 1] if index + 1 < len(blocks) else behind,
        })  # fmt: skip

    def _names(self, patterns: str) -> frozenset[str]:
        if patterns == LOGITS:
            return frozenset({LOGITS})
        found = {n for p in patterns.split() for n in self.body.names if fnmatchcase(n, p)}
        assert found, f"{self.model}: no parameter is {patterns}"
        return frozenset(found)
