"""From a constructor's knobs to widths: what grows, what scales along with it, and the probe sizes worth trying."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from muaudit.errors import NoWidthError, UserError
from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.examples import Example
from muaudit.targets.heads import Heads, head_count, plan_heads
from muaudit.targets.literals import advice
from muaudit.targets.loader import near
from muaudit.targets.options import MAIN_AXIS, TargetOptions
from muaudit.targets.probe import WidthAxis
from muaudit.targets.reach import Construct, Reach, count, data_ends, reach, sizes_layers
from muaudit.targets.signatures import may_be_size
from muaudit.targets.small import assumed, formed, plan_fixed

PROBES = ((64, 128), (96, 192), (128, 256), (256, 512))
_LESS = ((32, 64), (16, 32), (24, 48))
"""Probes of models that are large even at the usual ones: of channels that are doubled five times, say."""
_LARGE = 8_000_000
_VAST = 100_000_000
"""Parameters of models that are not built at all, as long as there are smaller probes: 400 MB, thrice to train."""
_FEW = 20
"""The largest whole number that all widths of a table may be multiplied by: wide residual networks go up to 20."""
_CHANNEL_PROBES = ((32, 64), *PROBES)
_CHANNELS = (
    "base_channels", "base_width", "base_ch", "channels", "planes", "num_channels", "n_channels", "model_channels",
    "num_filters", "n_filters", "base_filters", "filters", "nf", "ngf", "ndf", "n_feat", "residual_channels", "ch",
    "channel", "base_channel",
)  # fmt: skip
_SUFFIXES = (
    "_dim", "_dims", "_sizes", "_width", "_widths", "_channels", "_features", "_units", "_hidden",
    "_hidden_size", "width", "hidden", "_channel",
)  # fmt: skip
_NO_CHANNELS = re.compile(
    r"(^|_)(kernels?|strides?|padding|dilations?|windows?|patch(es)?|pool(ing)?|batch)(_(dims?|sizes?|widths?))?$"
)
_NOT_WIDTH = (
    *argnames.VOCAB, *argnames.LENGTH, *argnames.IMAGE, *argnames.CLASSES, *argnames.OUTPUTS,
    *argnames.IN_CHANNELS, *argnames.INPUTS, *argnames.HEADS, *argnames.KV_HEADS, *argnames.HEAD_DIM, *argnames.DEPTH,
)  # fmt: skip


_MORE = 4
"""Times as many matrices as the width by name makes another width, which is the main one then."""
_TRIED = 128
"""About how wide a model is whose arguments are doubled one by one."""
_ODD = (37, 64, 64, 13)
"""A list of sizes whose ends are those of nothing else."""
_ENDS = (32, 10)
"""Sizes of an input and an output, as `argnames.guess` has them."""

_HIDDEN = 3
"""Layers of which one is neither the first nor the last."""
_SMALL, _SEEN = 4, 3
"""What is no larger by default, or in the code beside the model, counts something: no layer is as wide."""
_LAYER = 8
"""The least size in a list that has one for every layer; smaller numbers count something."""
_MOST_UNIT = 64
"""Of what the first of a list of widths is made a multiple, at most."""

Sizes = list[int] | tuple[int, ...]


@dataclass(frozen=True)
class WidthPlan:
    """How a model is built at any width: `values(sizes)` are its constructor arguments.

    axes: the widths, the main one first. fixed: arguments that stay. derived: from the main width to arguments that
    grow with it without being axes. lists: axes whose argument is a list, and that list at the model's own size.
    assumed: arguments with a value that nothing speaks for but that it is small. ends: of lists that begin with the
    size of the input or end with that of the output, these two, which are none of the list's here. tried: those seen
    to size hidden layers, axes or not.
    """

    axes: tuple[WidthAxis, ...]
    fixed: Mapping[str, Any]
    derived: Mapping[str, Callable[[int], Any]]
    lists: Mapping[str, Sizes]
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    ends: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    tried: tuple[str, ...] = ()

    def values(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Constructor arguments at these sizes; an axis left out keeps its ratio to the main one."""
        main = self.axes[0]
        width = sizes.get(main.name, main.probes[0])
        values: dict[str, Any] = dict(self.fixed)
        for axis in self.axes:
            size = sizes.get(axis.name, axis.probes[0] * width // main.probes[0])
            shape = self.lists.get(axis.name)
            values[axis.name] = self._listed(axis.name, shape, size) if shape else size
        return values | {name: derive(width) for name, derive in self.derived.items()}

    def _listed(self, name: str, shape: Sizes, size: int) -> Sizes:
        return _between(type(shape)(size * each // shape[0] for each in shape), self.ends.get(name, (None, None)))


@dataclass(frozen=True)
class _Chosen:
    """The main width, and whether what usually scales along with it does (not when the user picked a lesser width).

    inputs: arguments that are called like widths and size the input or the output alone. along: others that size
    hidden layers, or make matrices of their own whatever they are called. ratios: those that say how many times as
    wide as its base the model is, and size nothing. note: how it was found. tried: those seen to size hidden layers.
    """

    main: str
    together: bool
    inputs: tuple[str, ...] = ()
    along: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    note: str = ""
    tried: tuple[str, ...] = ()


def plans(
    knobs: Mapping[str, Leaf], options: TargetOptions, label: str, construct: Construct | None = None,
    file: str | None = None,
) -> Iterator[WidthPlan]:  # fmt: skip
    """Plans worth trying, best first: a small model at small probes, larger probes, then nothing made smaller.

    construct: from arguments to a model, to try what names leave in doubt. file: where its widths may be numbers.

    Raises UserError where no width is found, a flag names no argument, or an argument cannot be guessed.
    """
    for name in (*(name for name in options.widths if name != MAIN_AXIS), *options.set):
        if name not in knobs:
            raise UserError(f"{label} has no argument {name!r}", near(name, knobs, "its arguments"))
    if construct is not None:
        knobs = _with_ends(knobs, options, construct)
    chosen = _choose(knobs, options, label)
    if construct is not None:
        chosen = _tried(chosen, knobs, options, construct)
    if chosen is None:
        raise _no_width(knobs, label, file)
    if construct is not None:
        chosen = replace(chosen, ratios=_ratios(chosen, knobs, options, construct))
        knobs = _with_hidden_layers(chosen.main, knobs, options, construct)
    sized = chosen.together and construct is not None and _heads_are_sized(chosen.main, knobs, options, construct)
    beside = [name for name, leaf in knobs.items() if chosen.together and _grows_along(name, leaf)]
    growing = (chosen.main, *chosen.along, *(name for name in beside if name not in chosen.inputs))
    ways = [
        plan_fixed(knobs, options, shrink, images, growing)
        for shrink, images in ((True, True), (True, False), (False, False))
    ]
    less: list[tuple[int, ...]] | None = None
    large = _Large(construct)
    for shrink, fixed in [(at < 2, way) for at, way in enumerate(ways) if at == 2 or way not in ways[at + 1 : 2]]:
        heads = plan_heads(knobs, chosen.main, options, shrink, sized) if chosen.together else Heads()

        def plan(probes: tuple[int, ...]) -> WidthPlan:
            return _plan(chosen, probes, knobs, options, heads, fixed)  # noqa: B023 -- called before the next way

        divisor = math.lcm(heads.divisor, _unit(knobs[chosen.main]))
        usual = _probes(chosen.main, options, divisor, _is_multiplier(chosen.main, knobs[chosen.main]))
        if less is None:
            free = construct is not None and not options.widths and usual[0][0] > _LESS[1][0]
            legal: list[tuple[int, ...]] = [
                probes for probes in _LESS if probes[0] % divisor == 0 and probes < usual[0]
            ]
            size = large.first(map(plan, usual)) if free else 1
            if not size and fixed is not ways[-1]:
                continue  # it cannot be built like this
            less = legal if size > _LARGE else []
            small = [probes for probes in less if not large.than(_LARGE, plan(probes))]
            if less and not small and shrink:
                fixed = plan_fixed(knobs, options, True, fixed is ways[0], growing, little=True)
                small = [probes for probes in less if not large.than(_LARGE, plan(probes))]
            larger = [probes for probes in less[::-1] if probes not in small and large.possible(plan(probes))]
            # where nothing is small, what fits the heads by name may give way to what is smaller and can be built
            less = [*small, *larger] if small or not less else large.by_size(map(plan, _LESS)) or larger
        if less:
            usual = [probes for probes in usual if not large.than(_VAST, plan(probes))]
        first, *others = [*less, *usual]
        yield plan(first)
        held = [name for name in chosen.inputs if knobs[name].value is MISSING]
        if held:  # made by one layer alone, and maybe what others take for the width
            rest = tuple(name for name in chosen.inputs if name not in held)
            along = replace(chosen, inputs=rest, along=(*chosen.along, *held))
            yield _plan(along, first, knobs, options, heads, fixed)
        yield from map(plan, others)
        if not shrink and (read := _read_again(knobs, options)):  # a tied embedding, whatever its size is called
            yield _plan(replace(chosen, along=(*chosen.along, *read)), first, knobs, options, heads, fixed)


def _with_hidden_layers(
    main: str, knobs: Mapping[str, Leaf], options: TargetOptions, construct: Construct
) -> Mapping[str, Leaf]:  # fmt: skip
    """The arguments, with one layer more where a depth has to be guessed and at the usual one no matrix grows.

    That is a stack of which the first and the last layer count: of two layers none is hidden, and no rule for hidden
    ones would be held against the model.
    """
    free = [name for name, leaf in knobs.items() if leaf.value is MISSING and leaf.form is None and not leaf.example]
    deep = [name for name in free if name not in options.set
            and argnames.rank(name.rpartition(".")[2], argnames.DEPTH) is not None]  # fmt: skip
    values = _values_to_try(main, main, knobs, options) if deep else {}
    usual = reach(construct, values, main) if deep else None
    if usual is None or usual.matrices:
        return knobs
    more = reach(construct, {**values, **dict.fromkeys(deep, _HIDDEN)}, main)
    if more is None or not more.matrices:
        return knobs
    return {name: replace(leaf, least=_HIDDEN) if name in deep else leaf for name, leaf in knobs.items()}


def _read_again(knobs: Mapping[str, Leaf], options: TargetOptions) -> tuple[str, ...]:
    """The required arguments that are called like sizes of an input."""
    free = [name for name, leaf in knobs.items() if leaf.value is MISSING and leaf.form is None
            and name not in (*options.set, *options.widths)]  # fmt: skip
    return tuple(name for name in free if argnames.rank(name.rpartition(".")[2], argnames.INPUTS) is not None)


class _Large:
    """Whether the wider of two models is too large to be looked at in seconds.

    One that cannot be built without values is built narrow, once: its parameters grow as the square of its width.
    """

    def __init__(self, construct: Construct | None) -> None:
        self.construct = construct
        self.narrow: tuple[int, int] | None = None
        self.bare = False

    def than(self, most: int, plan: WidthPlan) -> bool:
        return self.construct is not None and self._count(self.construct, plan) > most

    def possible(self, plan: WidthPlan) -> bool:
        """Whether it can be built, as far as that is known."""
        if self.construct is None or not self._count(self.construct, plan):
            return self.construct is None
        main = plan.axes[0]
        return not self.bare or count(self.construct, plan.values({main.name: main.probes[0]}), bare=True) > 0

    def first(self, plans: Iterable[WidthPlan]) -> float:
        """How many parameters the first of several has that can be built; 0 where none can be."""
        counts = (self._count(self.construct, plan) for plan in plans) if self.construct is not None else ()
        return next((each for each in counts if each), 0)

    def by_size(self, plans: Iterable[WidthPlan]) -> list[tuple[int, ...]]:
        """The probes of those that can be built, those with the fewest parameters first."""
        found = [(self._count(self.construct, each), each.axes[0].probes) for each in plans] if self.construct else []
        return [probes for size, probes in sorted(found) if size]

    def _count(self, construct: Construct, plan: WidthPlan) -> float:
        main = plan.axes[0]
        narrow, wide = main.probes[:2]
        found = count(construct, plan.values({main.name: wide}), bare=True)
        self.bare = self.bare or found > 0
        if self.bare:  # it needs no values, and what cannot be built so cannot be built
            return found
        if self.narrow is None:
            parameters = count(construct, plan.values({main.name: narrow}))
            self.narrow = (narrow, parameters) if parameters else None
        width, parameters = self.narrow or (narrow, 0)
        return parameters * (wide / width) ** 2


def _plan(
    chosen: _Chosen, probes: tuple[int, ...], knobs: Mapping[str, Leaf], options: TargetOptions, heads: Heads,
    fixed: tuple[dict[str, Any], list[str]],
) -> WidthPlan:  # fmt: skip
    values, notes = dict(fixed[0]), [*([chosen.note] if chosen.note else []), *fixed[1]]
    held: list[str] = []
    base = _number(knobs[chosen.main].value)
    axes = [WidthAxis(chosen.main, probes, base)]
    equal = [name for name, leaf in knobs.items() if name not in (*options.set, *options.widths) and _is_size(leaf)
             and chosen.main.rpartition(".")[2] in leaf.equal]  # fmt: skip
    if equal:
        notes.append(f"{', '.join(equal)} = {chosen.main}, as the constructor asserts")
    if alike := [name for name in knobs if name not in (chosen.main, *equal, *options.set, *options.widths)
                 and _as_large(knobs[name], knobs[chosen.main]) and _may_be_width(name, knobs[name])]:  # fmt: skip
        notes.append(f"{', '.join(alike)} = {chosen.main}, as in the code beside it")
        values = {name: value for name, value in values.items() if name not in alike}
        equal += alike
    for name, leaf in knobs.items():
        if name in equal:
            continue
        if (
            name == chosen.main
            or name in options.set
            or not (name in options.widths or name in chosen.along or _grows_along(name, leaf))
        ):
            continue
        if name in chosen.inputs:
            values = {name: formed(leaf, value) for name, value in _as_input(name, leaf).items()} | values
            continue
        if name in options.widths:
            axes.append(WidthAxis(name, options.widths[name], _number(leaf.value)))
        elif chosen.together:
            axes.append(_along(name, leaf, axes[0], _own(knobs[chosen.main])))
            notes.append(f"{name} grows along, at {axes[-1].probes[0] / probes[0]:g} × {chosen.main}")
        elif leaf.value is MISSING:
            values[name] = 64
            held.append(name)
    if held:
        notes.append(f"{', '.join(held)} {'is' if len(held) == 1 else 'are'} held at 64")
    lists = {axis.name: shape for axis in axes if (shape := _shape(knobs[axis.name]))}
    notes += [
        f"{name} is as the code beside it has it, {_between(shape, knobs[name].ends)} ({example.where}), "
        "times what grows"
        for name, shape in lists.items() if (example := _listed_elsewhere(knobs[name])) is not None
    ]  # fmt: skip
    settled = {*values, *heads.derived, *heads.fixed, *equal, *(axis.name for axis in axes)}
    small = {name: value for name, leaf in knobs.items() if leaf.value is MISSING and name not in settled
             and (value := assumed(name.rpartition(".")[2], leaf)) is not None}  # fmt: skip
    if small:
        shown = ", ".join(f"{name}={value!r}" for name, value in small.items())
        notes.append(f"assumed, for want of anything to go by: {shown}; --set NAME=VALUE says otherwise")
    values |= small
    derived: dict[str, Callable[[int], Any]] = {name: heads.at(name, probes[0]) for name in heads.derived}
    derived |= dict.fromkeys(equal, _equal)
    derived |= {name: _of_base(knobs[name].value, probes[0]) for name in chosen.ratios}
    notes += [f"{name} grows along, as {chosen.main} / {probes[0]}" for name in chosen.ratios]
    off = [name for name, leaf in knobs.items() if leaf.value is False and name not in options.set
           and argnames.switches_mup(name.rpartition(".")[2])]  # fmt: skip
    notes += [f"{name} is off, as by default: --set {name}=True audits the model with it" for name in off]
    kept = {name: value for name, value in values.items() if name not in derived}
    heads_fixed = {name: formed(knobs[name], value) for name, value in heads.fixed.items()}
    ends = {name: knobs[name].ends for name in lists if knobs[name].ends != (None, None)}
    notes += [f"{name} is {_written(ends[name])}: the width is what stands between input and output" for name in ends]
    notes += heads.notes
    return WidthPlan(
        tuple(axes), kept | heads_fixed, derived, lists, tuple(notes), tuple(small), ends, chosen.tried
    )  # fmt: skip


def _as_large(leaf: Leaf, other: Leaf) -> bool:
    """Whether the code beside a model gives two of its arguments one and the same size."""
    seen = [each.example.value if each.example is not None else None for each in (leaf, other)]
    return type(seen[0]) is int and seen[0] == seen[1] and seen[0] > _SMALL


def _equal(width: int) -> int:
    return width


def _of_base(value: float, base: int) -> Callable[[int], float]:
    """From a width to how many times the base it is, times what the argument is there."""

    def at(width: int) -> float:
        grown = value * width / base
        return int(grown) if isinstance(value, int) and grown.is_integer() else grown

    return at


def _choose(knobs: Mapping[str, Leaf], options: TargetOptions, label: str) -> _Chosen | None:
    """The width argument: the one named by flag, else the one with the strongest name; None without any."""
    ranked = [name for _, name in sorted(_ranked(knobs, options))]
    named = [name for name in options.widths if name != MAIN_AXIS]
    for name in named:
        if not _can_grow(knobs[name].value):
            sizes = [each for each in knobs if _number(knobs[each].value)]
            raise UserError(f"--width {name}: {label} has {name}={knobs[name].value!r} there, which is no size",
                            near(name, sizes, "its sizes"))  # fmt: skip
    if ranked and (not named or ranked[0] in named or MAIN_AXIS in options.widths):
        return _Chosen(ranked[0], together=True)
    if named:
        return _Chosen(named[0], together=not ranked)
    return None


def _tried(
    chosen: _Chosen | None, knobs: Mapping[str, Leaf], options: TargetOptions, construct: Construct
) -> _Chosen | None:
    """The choice by what the arguments size, where names leave a doubt: of those, the one that makes most matrices."""
    ranked = [name for _, name in sorted(_ranked(knobs, options))]
    doubtful = [name for name in ranked if name not in options.widths and (len(ranked) > 1 or _in_doubt(name, knobs))]
    candidates = [name for name in knobs if name not in (*ranked, *options.set, *options.widths)]
    candidates = [
        name for name in candidates
        if _may_be_width(name, knobs[name])
        or (_is_multiplier(name, knobs[name]) and not (ranked and _says_nothing(name.rpartition(".")[2])))
    ]  # fmt: skip

    def sizes(name: str) -> Reach | None:
        return reach(construct, _values_to_try(chosen.main if chosen else name, name, knobs, options), name)

    tried = {name: each for name in candidates if (each := sizes(name)) is not None}
    for name in knobs:  # called like a size of data, and maybe that of what hidden layers hand to one another
        if name not in (*ranked, *candidates, *options.set, *options.widths) and _may_be_inside(name, knobs[name]):
            each = sizes(name)
            tried |= {name: each} if each is not None and each.hidden and not each.ends else {}
    better = any(each.matrices for each in tried.values())
    if better and not options.widths:
        doubtful = ranked
    found = {name: each for name in doubtful if (each := sizes(name)) is not None}
    better = better or any(each.matrices for each in found.values())
    alone = not any(each.matrices for each in found.values())
    inputs = tuple(
        name for name, each in found.items()
        if not each.sizes or (_in_doubt(name, knobs) and not each.hidden) or (each.ends and better)
        or (_as_input_is(name) and not each.matrices and not alone)
    )  # fmt: skip
    named = chosen is not None and chosen.main in options.widths
    tried = {name: each for name, each in tried.items() if each.hidden}
    suffixed = [name for name, each in found.items() if each.hidden and not _is_named(name)]
    own = (
        *suffixed,
        *(name for name, each in tried.items() if each.matrices and not _is_multiplier(name, knobs[name])),
    )
    if chosen is not None and named:
        return replace(chosen, inputs=inputs, along=own if chosen.together else ())
    sure = [name for name in ranked if name not in inputs]
    if sure:
        most = max((name for name in sure if name in found), key=lambda name: found[name].matrices, default=sure[0])
        first = found[sure[0]].matrices if sure[0] in found else 0
        main = most if most in found and found[most].matrices >= _MORE * max(1, first) else sure[0]
        by_itself = better or not tried or bool((at := found.get(main) or sizes(main)) and at.matrices)
        if not by_itself and not options.widths:  # one makes what another reads, no matrix grows with either alone
            own = (*own, *(name for name in tried if name not in own and not _is_multiplier(name, knobs[name])))
        return _Chosen(main, True, inputs, tuple(name for name in own if name != main), tried=tuple(tried))
    if not tried:
        return None
    best = max(tried, key=lambda name: (tried[name].matrices, _is_multiplier(name, knobs[name])))
    note = f"{best} was tried and sizes hidden layers: it is the width"
    if not tried[best].matrices:  # each makes what another reads, as bottlenecks do: matrices grow with all of them
        own = tuple(name for name in tried if not _is_multiplier(name, knobs[name]))
    alike = tuple(name for name in tried if name not in own and _called_alike(name, best))
    along = () if _is_multiplier(best, knobs[best]) else tuple(name for name in (*own, *alike) if name != best)
    return _Chosen(best, True, inputs, along, note=note, tried=tuple(tried))


def _heads_are_sized(main: str, knobs: Mapping[str, Leaf], options: TargetOptions, construct: Construct) -> bool:
    """Whether more heads alone make layers wider: a head is then of a size that no argument tells."""
    name = head_count(knobs, options)
    if name is None:
        return False
    return sizes_layers(construct, _values_to_try(main, name, knobs, options), name)


def _ratios(
    chosen: _Chosen, knobs: Mapping[str, Leaf], options: TargetOptions, construct: Construct
) -> tuple[str, ...]:  # fmt: skip
    """The arguments that are width / base width: what builds the model hands them in, as they size nothing."""
    if _is_multiplier(chosen.main, knobs[chosen.main]):
        return ()
    taken = {chosen.main, *chosen.along, *options.set, *options.widths}
    names = [name for name, leaf in knobs.items() if name not in taken and _is_number_of_base(name, leaf.value)]
    reaches = {name: reach(construct, _values_to_try(chosen.main, name, knobs, options) | {name: 1.0}, name)
               for name in names}  # fmt: skip
    return tuple(name for name, each in reaches.items() if each is not None and not each.sizes)


def _is_number_of_base(name: str, value: Any) -> bool:
    """Whether a value may be width / base width: 1 where the model has its base width, any number where µP is named."""
    short = name.rpartition(".")[2]
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return number and argnames.of_base_width(short) and (value == 1 or "mup" in short.lower())


def _called_alike(name: str, other: str) -> bool:
    """Whether two names differ in their first word alone: `atom_fea_len` and `h_fea_len`."""
    ends = [each.rpartition(".")[2].partition("_")[2] for each in (name, other)]
    return ends[0] == ends[1] != ""


def _as_input_is(name: str) -> bool:
    """Whether a name is that of an input where another is a width: what is read and made beside it is data."""
    return argnames.rank(name.rpartition(".")[2], argnames.DOUBTFUL) is not None


def _in_doubt(name: str, knobs: Mapping[str, Leaf]) -> bool:
    """Whether a name is as often that of an input: `channels`, `width` beside `height`; or only ends like a width."""
    short = name.rpartition(".")[2]
    beside = short.endswith("width") and f"{short.removesuffix('width')}height" in {n.rpartition(".")[2] for n in knobs}
    known = argnames.rank(short, argnames.WIDTH + argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH) is not None
    return beside or not known or argnames.rank(short, argnames.DOUBTFUL) is not None


def _may_be_width(name: str, leaf: Leaf) -> bool:
    short = name.rpartition(".")[2]
    said = argnames.no_width(short) or argnames.rank(short, _NOT_WIDTH) is not None
    sizes = leaf.value if short.endswith("_layers") and isinstance(leaf.value, (list, tuple)) else ()
    each_sized = bool(sizes) and all((_number(each) or 0) >= _LAYER for each in sizes)  # `mlp_layers=(64, 32)`
    return _is_size(leaf) and (not said or each_sized or len(short) == 1)  # one letter says nothing


def _may_be_inside(name: str, leaf: Leaf) -> bool:
    """Whether an argument with a default is called like a size of the input or the output: `out_channels=128`."""
    data = argnames.INPUTS + argnames.OUTPUTS + argnames.IN_CHANNELS
    return leaf.value is not MISSING and _is_size(leaf) and argnames.rank(name.rpartition(".")[2], data) is not None


def _is_multiplier(name: str, leaf: Leaf) -> bool:
    """Whether an argument is a number that every width of a table is multiplied by: by its name, else by being 1."""
    short = name.rpartition(".")[2]
    if leaf.value is MISSING:  # one for every stage
        return leaf.form is not None and argnames.multiplies_widths(short)
    number = isinstance(leaf.value, float) or (type(leaf.value) is int and leaf.value <= _FEW)
    return number and (argnames.multiplies_widths(short) or (leaf.value == 1 and _says_nothing(short)))


def _says_nothing(short: str) -> bool:
    """Whether a name is neither that of a width nor of anything else that is known."""
    other = argnames.no_width(short) or argnames.is_dropout(short) or argnames.rank(short, _NOT_WIDTH) is not None
    return not other and not _ends_like_width(short) and not _is_named(short)


def _values_to_try(main: str, name: str, knobs: Mapping[str, Leaf], options: TargetOptions) -> dict[str, Any]:
    """The arguments of a small model, with a size for the one that is to be doubled."""
    fixed, _ = plan_fixed(knobs, options, shrink=True)
    heads = plan_heads(knobs, main, options, shrink=True)
    size = heads.divisor * -(-_TRIED // heads.divisor)
    plan = _plan(_Chosen(main, together=True), (size, 2 * size), knobs, options, heads, (fixed, []))
    leaf = knobs[name]
    listed = list(_between(leaf.value, leaf.ends)) if isinstance(leaf.value, (list, tuple)) else formed(leaf, 64)
    return {name: 1.0 if _is_multiplier(name, leaf) else listed} | plan.values({})


def _as_input(name: str, leaf: Leaf) -> dict[str, Any]:
    """A value for an argument that turned out to size the input or the output."""
    if leaf.value is not MISSING:
        return {}
    return {name: 3 if "ch" in name.rpartition(".")[2].lower() else 32}


def _no_width(knobs: Mapping[str, Leaf], label: str, file: str | None) -> NoWidthError:
    numbers = [name for name, leaf in knobs.items() if _may_be_width(name, leaf) and _number(leaf.value) is not None]
    commands = "\n".join(f"  --width {name}=64,128" for name in numbers[:8])
    hint = advice(file, parts=True) or (f"name the argument that is:\n{commands}" if numbers else "")
    takes = f"it takes {', '.join(knobs)}" if knobs else "it takes none"
    return NoWidthError(f"{label} has no argument that looks like a width; {takes}", hint)


def _ranked(knobs: Mapping[str, Leaf], options: TargetOptions) -> Iterator[tuple[tuple[int, int], str]]:
    """Possible main widths as (rank by name, order of appearance)."""
    for order, (name, leaf) in enumerate(knobs.items()):
        short = name.rpartition(".")[2]
        if name in options.set or not _is_size(leaf):
            continue
        rank = argnames.rank(short, argnames.WIDTH)
        if rank is not None:
            yield (rank, order), name
        elif _goes_through(leaf):
            yield (400, order), name
        elif argnames.rank(short, argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH) is not None:
            yield (1000, order), name
        elif _ends_like_width(short):
            yield (500, order), name


def _goes_through(leaf: Leaf) -> bool:
    """Whether an argument lists the sizes of all layers, input and output among them."""
    return leaf.through and leaf.ends != (None, None)


def _with_ends(knobs: Mapping[str, Leaf], options: TargetOptions, construct: Construct) -> dict[str, Leaf]:
    """The arguments, those that list the sizes of all layers without the ends that are data.

    The first is where no layer makes it. The last is where no layer reads it, if the first is, or another list begins
    with as many as this one ends with, as an encoder's does. Channels of stages, which a stem makes, are all widths.
    """
    given = {
        name: _sizes_given(leaf) for name, leaf in knobs.items()
        if leaf.through and name not in options.set and (leaf.value is MISSING or _are_sizes(leaf.value))
    }  # fmt: skip
    found: dict[str, tuple[bool, bool]] = {}
    for name, sizes in given.items():
        odd = _odd(knobs[name], sizes)
        values = {**_values_to_try(name, name, knobs, options), name: odd}
        found[name] = data_ends(construct, values, name)
    first = {sizes[0] for name, sizes in given.items() if sizes and found[name][0]}
    return {name: _without_ends(leaf, given[name], found[name], first) if name in given else leaf
            for name, leaf in knobs.items()}  # fmt: skip


def _sizes_given(leaf: Leaf) -> Sizes | None:
    """The list that an argument is by default, or in the code beside it."""
    sizes = leaf.example.value if leaf.value is MISSING and leaf.example is not None else leaf.value
    return sizes if _are_sizes(sizes) and len(sizes) > 1 else None


def _odd(leaf: Leaf, sizes: Sizes | None) -> Any:
    """A list whose ends are those of nothing else, as long as the argument's own."""
    if sizes is None:
        return leaf.form.of(_ODD) if leaf.form is not None else list(_ODD)
    return type(sizes)((_ODD[0], *[_ODD[1]] * (len(sizes) - 2), _ODD[-1]))


def _without_ends(leaf: Leaf, sizes: Sizes | None, ends: tuple[bool, bool], others: set[int]) -> Leaf:
    first, last = ends[0], ends[1] and (ends[0] or (sizes is not None and sizes[-1] in others))
    inner = sizes[first : len(sizes) - last] if sizes else ()
    if not (first or last) or (sizes and not inner):
        form = leaf.form and replace(leaf.form, through=False)
        return replace(leaf, through=False, form=form)
    at_ends = (sizes[0], sizes[-1]) if sizes else _ENDS
    leaf = replace(leaf, ends=(at_ends[0] if first else None, at_ends[1] if last else None))
    if leaf.value is not MISSING:
        return replace(leaf, value=inner)
    form = leaf.form and replace(leaf.form, length=len(_ODD) - first - last)
    example = leaf.example and replace(leaf.example, value=inner)
    return replace(leaf, form=form, example=example if sizes else None)


def _between(inner: Sizes, ends: tuple[int | None, int | None]) -> Sizes:
    first, last = ([each] if each is not None else [] for each in ends)
    return type(inner)([*first, *inner, *last])


def _are_sizes(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(each) is int and each > 0 for each in value)


def _written(ends: tuple[int | None, int | None]) -> str:
    first, last = ("" if each is None else str(each) for each in ends)
    return f"[{', '.join(filter(None, (first, 'width', '...', last)))}]"


def _is_width(name: str, leaf: Leaf) -> bool:
    """Whether an argument is a width that scales along with the main one."""
    return _is_size(leaf) and _is_named(name)


def _is_named(name: str) -> bool:
    """Whether an argument is called like a width."""
    tables = argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH + argnames.WIDTH
    return argnames.rank(name.rpartition(".")[2], tables) is not None


def _grows_along(name: str, leaf: Leaf) -> bool:
    """Whether an argument scales along: a width, or one without a default that is called like nothing but a width."""
    short = name.rpartition(".")[2]
    bare = leaf.value is MISSING and argnames.guess(short) is None and _ends_like_width(short)
    return _is_width(name, leaf) or (bare and _is_size(leaf))


def _ends_like_width(short: str) -> bool:
    """Whether a name ends like that of a width and says nothing else: `kernel_sizes` are none."""
    return short.endswith(_SUFFIXES) and argnames.rank(short, _NOT_WIDTH) is None and not _NO_CHANNELS.search(short)


def _is_size(leaf: Leaf) -> bool:
    if leaf.counted:
        return False
    if leaf.value is MISSING:
        seen = leaf.example.value if leaf.example is not None else _SEEN + 1
        said = isinstance(seen, (list, tuple)) or (type(seen) is int and seen > _SEEN)
        return said and not leaf.unread and leaf.word is None and may_be_size(leaf.annotation)
    number = _number(leaf.value)
    return number is not None and number > _SMALL


def _along(name: str, leaf: Leaf, main: WidthAxis, base: int | None) -> WidthAxis:
    """A secondary axis at its ratio to the main one, rounded to a multiple of 8 at the first probe."""
    own, first = _own(leaf), main.probes[0]
    feedforward = argnames.rank(name.rpartition(".")[2], argnames.FEEDFORWARD) is not None
    ratio = own / (base or 512) if own is not None else (4 if feedforward and "hidden" not in name else 1)
    unit = math.lcm(8, _unit(leaf))
    size = max(unit, round(ratio * first / unit) * unit)
    return WidthAxis(name, tuple(size * probe // first for probe in main.probes), _number(leaf.value))


def _unit(leaf: Leaf) -> int:
    """What the first of a list of widths has to be a multiple of, so that all of them grow as it does; 1 where that
    is much."""
    shape = _shape(leaf)
    unit = shape[0] // math.gcd(*shape) if shape and all(type(each) is int for each in shape) else 1
    return unit if unit <= _MOST_UNIT else 1


def _probes(main: str, options: TargetOptions, divisor: int, multiplier: bool) -> list[tuple[int, ...]]:
    """The probe sizes to try: the user's alone, else those that the number of heads divides."""
    given = options.widths.get(main) or options.widths.get(MAIN_AXIS)
    if given:
        return [given]
    if multiplier:
        return [(1, 2), (2, 4)]
    usual = _CHANNEL_PROBES if argnames.rank(main.rpartition(".")[2], _CHANNELS) is not None else PROBES
    legal: list[tuple[int, ...]] = [probes for probes in usual if probes[0] % divisor == 0]
    return legal or [(4 * divisor, 8 * divisor)]


def _number(value: Any) -> int | None:
    """The size an argument stands for: its value, or the first of a list of sizes."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(each, int) for each in value):
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _can_grow(value: Any) -> bool:
    """Whether an argument can be a width: a size, or a ratio of sizes such as width / base_width."""
    return _number(value) is not None or isinstance(value, float) or value in (MISSING, None)


def _listed_elsewhere(leaf: Leaf) -> Example | None:
    """The widths that the code beside it gives for a list without a default."""
    example = leaf.example if leaf.value is MISSING and leaf.form is not None else None
    return example if example is not None and _are_sizes(example.value) else None


def _own(leaf: Leaf) -> int | None:
    """The size that an argument has by default, or in the code beside it where it is a list."""
    example = _listed_elsewhere(leaf)
    return _number(leaf.value if example is None else example.value)


def _shape(leaf: Leaf) -> Sizes:
    """The list behind a list-like width; equal sizes where it has no default."""
    if isinstance(leaf.value, (list, tuple)):
        return leaf.value
    if (example := _listed_elsewhere(leaf)) is not None:
        return list(example.value)
    found: Sizes = leaf.form.of((1,) * leaf.form.length) if leaf.form is not None else ()
    return found
