"""The arguments of a model's constructor as one flat set of knobs, however deep its config objects are nested."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from muaudit.targets import argnames, configs, merged, sentinels, signatures
from muaudit.targets.config_reads import Accessed, Fields, accessed_fields, is_config_name
from muaudit.targets.examples import Example, examples
from muaudit.targets.sequences import Sequence, annotated, listed
from muaudit.targets.source import class_node, nodes_of

MISSING: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Leaf:
    """One argument that is no config: its default (MISSING when it has none) and its annotation.

    Where it has no default: form: the list that it has to be, if one number will not do. word: the first text that it
    is compared with. switch: nothing but its truth is asked. example: what the code around the model gives for it.
    asserted: what the constructor demands of it, in numbers. split: at what it is taken apart, where it is a text.
    equal: the arguments that the constructor demands it to be equal to. unread: it is taken and nothing is made of it.
    counted: it says how often something is repeated. through: it lists sizes, each of which and the next make a layer.
    ends: of such a list, the sizes of data that stand before and behind it. least: what a guess may not fall below.
    """

    value: Any = MISSING
    annotation: Any = None
    form: Sequence | None = None
    word: str | None = None
    switch: bool = False
    example: Example | None = None
    asserted: tuple[ast.expr, ...] = ()
    split: str = ""
    equal: frozenset[str] = frozenset()
    unread: bool = False
    counted: bool = False
    through: bool = False
    ends: tuple[int | None, int | None] = (None, None)
    least: int = 0


@dataclass(frozen=True)
class Branch:
    """Something that is called with arguments, some of which are configs and so branches themselves.

    make: from the arguments that were given values to the object.
    optional: whether it may be left out when none of its own arguments is given. made: the class it makes.
    source: what is called in a spec, where that is not its name.
    """

    make: Callable[[Mapping[str, Any]], Any]
    children: Mapping[str, Leaf | Branch]
    name: str
    optional: bool = False
    made: type | None = None
    source: str = ""

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Leaf]]:
        """Every leaf below, with its path."""
        for name, child in self.children.items():
            if isinstance(child, Branch):
                yield from child.leaves((*path, name))
            else:
                yield (*path, name), child

    def construct(self, values: Mapping[tuple[str, ...], Any]) -> Any:
        """Build the object from values by path; arguments without a value keep their default."""
        arguments: dict[str, Any] = {}
        for name, child in self.children.items():
            if isinstance(child, Branch):
                below = {path[1:]: value for path, value in values.items() if path[0] == name and len(path) > 1}
                if below or not child.optional:
                    arguments[name] = child.construct(below)
            elif (name,) in values:
                arguments[name] = values[(name,)]
        return self.make(arguments)


@dataclass(frozen=True)
class Arguments:
    """A constructor's knobs: short name → default, and the way back from knob values to a model."""

    root: Branch
    knobs: Mapping[str, Leaf]
    paths: Mapping[str, tuple[str, ...]]
    config: str = ""

    def construct(self, values: Mapping[str, Any]) -> Any:
        """Build the model from knob values."""
        return self.root.construct({self.paths[name]: value for name, value in values.items()})

    def call(self, values: Mapping[str, Any]) -> str:
        """The constructor call as source, for specs to paste."""
        return _call(self.root, {self.paths[name]: text for name, text in values.items()})


@dataclass(frozen=True)
class _Scope:
    """Where the class under construction lives, for looking up its config.

    spared: a config that is None by default stays None. made: it is made, whether or not a field of its is given.
    """

    module: ModuleType
    cls: Callable[..., Any]
    depth: int = 0
    given: Any = field(default=None)
    spared: bool = True
    made: bool = False

    @property
    def name(self) -> str:
        return str(getattr(self.cls, "__name__", "model"))


def read(cls: Callable[..., Any], module: ModuleType, config: Any = None, spared: bool = True) -> Arguments:
    """The arguments of a class, or of a function that builds a model.

    config: a config class or instance that is used wherever a config is taken. spared: configs that are None by default
    stay None, where the width is no field of theirs.
    """
    found = _read(cls, _Scope(module, cls, given=config, spared=spared, made=not spared))
    if not spared or any(argnames.rank(name.rpartition(".")[2], argnames.WIDTH) is not None for name in found.knobs):
        return found
    return _read(cls, _Scope(module, cls, given=config, spared=False))  # a config that may be None holds the width


def _read(cls: Callable[..., Any], scope: _Scope) -> Arguments:
    children = dict(_children(cls, scope))
    root = Branch(lambda given: cls(**given), children, scope.name)
    knobs: dict[str, Leaf] = {}
    paths: dict[str, tuple[str, ...]] = {}
    branches = [child for child in children.values() if isinstance(child, Branch)]
    made = [*([cls] if inspect.isclass(cls) else []), *(child.made for child in branches if child.made is not None)]
    tested, asserted, equal = sentinels.asserted(made), sentinels.conditions(made), sentinels.equals(made)
    lists, words, inside = listed(cls), sentinels.words(cls), sentinels.given_inside(cls)
    unread, asked, counted = sentinels.unread(cls), sentinels.asked_for(cls), sentinels.counted(cls)
    kept = sentinels.kept_alone(cls)
    switches, may_be_none = sentinels.switches(cls), sentinels.compared_with_none(cls)
    split = {name: at for name, at in sentinels.split_by(cls).items() if name not in lists}
    for path, leaf in sorted(root.leaves(), key=lambda item: len(item[0])):
        name = path[-1] if path[-1] not in knobs else ".".join(path)
        nothing = sentinels.stands_for_nothing(path[-1], leaf.value, tested)
        nothing = nothing or (
            leaf.value is None
            and path[-1] in lists
            and path[-1] not in may_be_none
            and not (len(path) > 1 and path[-1] in asked)
        )
        nothing = nothing or (len(path) > 1 and _wants_number(path[-1], leaf) and path[-1] not in asked)
        leaf = dataclasses.replace(leaf, value=MISSING) if nothing else leaf
        if leaf.value is None and path[1:] == () and argnames.rank(name, argnames.WIDTH) is not None:
            leaf = dataclasses.replace(leaf, value=inside.get(name))
        if leaf.value is MISSING:
            form = None if leaf.annotation is int else annotated(leaf.annotation, lists.get(path[-1]))
            leaf = dataclasses.replace(leaf, form=form, word=words.get(path[-1]), switch=path[-1] in switches)
        leaf = dataclasses.replace(
            leaf, asserted=tuple(asserted.get(path[-1], ())), split=split.get(path[-1], ""),
            equal=frozenset(equal.get(path[-1], ())),
            unread=(len(path) == 1 and path[-1] in unread) or path[-1] in kept,
            counted=path[-1] in counted, through=path[-1] in lists and lists[path[-1]].through,
        )  # fmt: skip
        knobs[name], paths[name] = leaf, path
    short = {name: name.rpartition(".")[2] for name, leaf in knobs.items() if _says_nothing(name, leaf)}
    data = {
        name: name.rpartition(".")[2] for name, leaf in knobs.items() if name not in short and _sizes_data(name, leaf)
    }
    several = {end for name, end in short.items() if knobs[name].form is not None}
    seen = examples([*short.values(), *data.values()], scope.module, cls, several) if short else {}
    said = {seen[end].where.partition(":")[0] for end in short.values() if end in seen}
    seen = {end: each for end, each in seen.items() if end in short.values()
            or (type(each.value) is int and each.where.partition(":")[0] in said)}  # fmt: skip
    texts = {end for name, end in short.items() if split.get(end) or knobs[name].word is not None}
    seen = {end: each for end, each in seen.items() if isinstance(each.value, str) or end not in texts}
    formed = {end for name, end in short.items() if knobs[name].form is not None and not split.get(end)}
    seen = {end: each for end, each in seen.items() if end not in formed or not isinstance(each.value, str)}
    lengths = {
        len(seen[end].value) if end in seen and isinstance(seen[end].value, (list, tuple)) else 0 for end in formed
    }
    files = {seen[end].where.partition(":")[0] for end in formed if end in seen}
    if 0 in lengths or (len(lengths) > 1 and len(files) > 1):  # lists that go together are of one length, or one file
        seen = {end: each for end, each in seen.items() if end not in formed}
    knobs |= {name: dataclasses.replace(knobs[name], example=seen.get(end, knobs[name].example))
              for name, end in (short | data).items()}  # fmt: skip
    return Arguments(root, knobs, paths, branches[0].name if branches else "")


def _sizes_data(name: str, leaf: Leaf) -> bool:
    """Whether an argument without a default sizes data: one that is seen where others are goes with them."""
    tables = argnames.INPUTS + argnames.OUTPUTS + argnames.IN_CHANNELS + argnames.LENGTH
    return leaf.value is MISSING and argnames.rank(name.rpartition(".")[2], tables) is not None


def _wants_number(name: str, leaf: Leaf) -> bool:
    """Whether a field is annotated as a whole number, known by its name, and nothing: to be filled in."""
    return leaf.value is None and leaf.annotation is int and argnames.guess(name) is not None


def _says_nothing(name: str, leaf: Leaf) -> bool:
    """Whether neither default nor name tells of a value: what names of one letter stand for is the file's own."""
    short = name.rpartition(".")[2]
    if leaf.value is not MISSING:
        return False
    widths = argnames.WIDTH + argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH
    return (
        len(short) == 1
        or leaf.word is not None
        or bool(leaf.split)
        or leaf.form is not None
        or (argnames.guess(short) is None and argnames.rank(short, widths) is None)
    )


def _children(cls: Callable[..., Any], scope: _Scope) -> Iterator[tuple[str, Leaf | Branch]]:
    for name, parameter in signatures.parameters(cls).items():
        hint = parameter.annotation
        branch = _branch(name, hint, parameter.default, scope) if scope.depth < 3 else None
        yield name, branch or Leaf(parameter.default, hint)


def _branch(name: str, hint: Any, default: Any, scope: _Scope) -> Branch | None:
    """The config behind a parameter: from its annotation, its default, or what the module has to offer."""
    optional = default is not MISSING and not (default is None and scope.made)
    if scope.given is not None and scope.depth == 0 and configs.fits(name, hint, scope.given):
        return _of_given(scope.given, scope, optional)
    if default is None and scope.spared and name not in listed(scope.cls):
        return None
    found = configs.config_class(hint) or (configs.config_class(default) if default is not MISSING else None)
    if found is not None:
        return _of_class(found, name, scope, optional)
    if configs.is_config_instance(default):
        return _of_instance(default, optional)
    if not optional and (part := configs.module_class(scope.cls, name, hint, scope.module)) not in (None, scope.cls):
        return _of_class(part, name, scope, optional)
    if not optional and (made := configs.splatted(scope.cls, name)) is not None:
        return dataclasses.replace(_of_class(made, name, scope, optional), make=dict, name="dict")
    wanted = default is None and name in listed(scope.cls) and name not in sentinels.compared_with_none(scope.cls)
    into = configs.splatted_into(scope.cls, name) if wanted or not optional else None
    if into is not None and into[0] is not scope.cls:
        inner = dict(
            _children(into[0], _Scope(scope.module, into[0], scope.depth + 1, spared=scope.spared, made=scope.made))
        )
        children = {key: each for key, each in inner.items() if key not in into[1]}
        return Branch(lambda given: dict(**given), children, "dict") if children else None
    called = is_config_name(name, hint) or (not optional and configs.is_read_like_config(scope.cls, name, hint))
    if (optional and default is not None) or not called:
        return None
    return _found_in_module(name, scope, optional)


def _found_in_module(name: str, scope: _Scope, optional: bool) -> Branch | None:
    accessed = accessed_fields(scope.module, name, scope.cls)
    default = configs.default_of(scope.cls)
    if default is not None:
        return _of_given(default, scope, optional)
    if accessed and accessed.subscripts and (known := merged.table(scope.cls, name)):
        return _of_instance(known, optional, accessed.fields)
    given = configs.find(scope.module, scope.cls, accessed)
    if inspect.isclass(given) and (known := configs.set_inside(given, accessed)):
        made = _of_fields(accessed.fields, *_made_of(accessed))
        seen = {name: Leaf(example=Example(value, given.__name__)) for name, value in known.items()}
        return dataclasses.replace(made, children={**made.children, **seen})
    if given is not None:
        return _of_given(given, scope, optional, accessed)
    if optional or not accessed:
        return None
    node = class_node(scope.cls) if inspect.isclass(scope.cls) else None
    if node is not None and any(configs.is_measured(each, name) for each in nodes_of(node)):
        return _of_fields(accessed.fields, _Measured, "namespace", _MEASURED)
    return _of_fields(accessed.fields, *_made_of(accessed))


def _of_fields(fields: Fields, make: Callable[..., Any], kind: str, source: str) -> Branch:
    """A config with these fields, those that have fields themselves as configs like it."""
    children = {name: _of_fields(inner, make, kind, source) if inner else Leaf() for name, inner in fields.items()}
    return Branch(lambda given: make(**given), children, kind, source=source)


class _Measured(SimpleNamespace):
    """What has fields and a length, as an alphabet has."""

    def __len__(self) -> int:
        """As many as a vocabulary is guessed to hold."""
        return int(str(argnames.guess("vocab_size")))


_MEASURED = 'type("Config", (SimpleNamespace,), {"__len__": lambda self: 256})'


class _Entries(dict[str, Any]):
    """A dict whose entries are attributes as well."""

    __getattr__ = dict.__getitem__


def _made_of(accessed: Accessed) -> tuple[Callable[..., Any], str, str]:
    """What stands for a config that is read like this, its name, and what makes it in a spec."""
    if accessed.both:
        return _Entries, "dict", 'type("Config", (dict,), {"__getattr__": dict.__getitem__})'
    return (dict, "dict", "") if accessed.subscripts else (SimpleNamespace, "namespace", "")


def _of_given(given: Any, scope: _Scope, optional: bool, accessed: Accessed | None = None) -> Branch:
    if inspect.isclass(given):
        return _of_class(given, "", scope, optional, accessed)
    return _of_instance(given, optional, accessed.fields if accessed is not None else {})


def _of_class(cls: type, name: str, scope: _Scope, optional: bool, accessed: Accessed | None = None) -> Branch:
    """A config class: called with keyword arguments, or made and then assigned to where it takes none."""
    children = dict(_children(cls, _Scope(scope.module, cls, scope.depth + 1, spared=scope.spared, made=scope.made)))
    if signatures.takes_any_keyword(cls):
        accessed = accessed or accessed_fields(scope.module, name or "config")
        children.update({field_name: Leaf(getattr(cls, field_name, MISSING)) for field_name in accessed.names
                         if field_name not in children and not callable(getattr(cls, field_name, None))})  # fmt: skip
    if children:
        return Branch(lambda given: cls(**given), children, cls.__name__, optional, cls)
    return dataclasses.replace(_of_instance(cls(), optional), name=cls.__name__)


def _of_instance(instance: Any, optional: bool, read: Fields | None = None) -> Branch:
    """A config object that exists: copied, with the changed fields assigned.

    read: the fields that are read of it; a dict in it that has fields of its own is a config like it.
    """

    read = read or {}

    def make(given: Mapping[str, Any]) -> Any:
        if isinstance(instance, Mapping):
            changed = {**instance, **given}
            return changed if type(instance) is dict else type(instance)(changed)  # type: ignore[call-arg]
        if dataclasses.is_dataclass(instance) and not isinstance(instance, type):
            return dataclasses.replace(instance, **given)
        copied = copy.deepcopy(instance)
        for name, value in given.items():
            setattr(copied, name, value)
        return copied

    fields: dict[str, Leaf | Branch] = {
        name: _of_instance(value, True, read.get(name, {}))
        if configs.is_config_instance(value) or (read.get(name) and isinstance(value, dict))
        else Leaf(value)
        for name, value in configs.fields(instance).items()
    }
    return Branch(make, fields, type(instance).__name__, optional)


def _call(branch: Branch, values: Mapping[tuple[str, ...], Any]) -> str:
    arguments = []
    for name, child in branch.children.items():
        below = {path[1:]: value for path, value in values.items() if path[0] == name}
        if isinstance(child, Branch) and (below or not child.optional):
            arguments.append(f"{name}={_call(child, below)}")
        elif () in below:
            arguments.append(f"{name}={below[()]}")
    return f"{branch.source or branch.name}({', '.join(arguments)})"
