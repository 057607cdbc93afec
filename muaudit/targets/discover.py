"""Which class in a module is the model: the root that the other classes are parts of."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from muaudit.errors import AmbiguousModelError
from muaudit.targets import argnames, arguments, configs, signatures
from muaudit.targets.absent import no_model
from muaudit.targets.factories import Factory, factories, handed
from muaudit.targets.literals import advice
from muaudit.targets.methods import forwardless, has_forward, no_forward
from muaudit.targets.scripts import left_out_of
from muaudit.targets.small import assumed
from muaudit.targets.source import class_node, nodes_of, tree_of

_PREFERRED = re.compile(
    r"(GPT|Transformer|Model|Net|LM|Llama|MLP|ViT|BERT|Mixer|Mamba|ResNet|UNet|Classifier)", re.IGNORECASE
)
_MODELS = ("model", "net", "network", "unet", "denoise_fn", "denoiser", "eps_model", "backbone", "base_model")
_NO_MODEL = re.compile(r"(Loss|Criterion|Metric|Wrapper|Mixin)$")
_AROUND = 3  # folders above a file that may be called like the model
_ADVERSARY = re.compile(r"discriminator|critic|^(q|v|value)_?(net|func)", re.IGNORECASE)
"""What is trained beside the model that a file is about, where that is there too."""


def find_root(module: ModuleType, target: str) -> tuple[Callable[..., Any], str]:
    """The model of a module, a class or a function that builds it, and a note on the choice (empty without one).

    Raises UserError when the module holds no `nn.Module`, or several that may be the model.
    """
    candidates = module_classes(module)
    built = factories(module, candidates)
    composed = {name: each for name, each in built.items() if not each.returns and each.uses}
    if not candidates and not composed:
        raise no_model(module, target)
    parts = _parts(module, candidates, built)
    wrapping = {name for name, cls in candidates.items() if _wraps(cls)}
    parts = {name: used for name, used in parts.items() if name not in wrapping} or parts
    inner = set().union(*parts.values())
    roots = [name for name in parts if name not in inner] or [name for name in candidates if name in parts]
    callables: dict[str, Callable[..., Any]] = {**candidates, **{name: composed[name].function for name in composed}}
    returned = {each.returns for each in built.values()} & set(roots)
    returned = returned if len(returned) == 1 else set()  # functions that make several tell of none
    roots = [name for name in roots if name not in candidates or _holds_layers(candidates[name])] or roots
    best = _strongest({name: (name in returned, *_score(callables[name], module, parts, name)) for name in roots})
    best = best if len(best) == 1 else _variants(list(map(candidates.get, best)), candidates, module) or best
    without = forwardless(module)
    for name, each in factories(module, without).items() if without else ():
        if each.returns and len(each.uses & set(candidates)) > 1 and set(best) <= each.uses:
            raise no_forward(without[each.returns], module, target, name)
    for cls in without.values() if len(best) > 1 else ():  # whose parts they are
        if set(best) <= used_classes(cls):
            raise no_forward(cls, module, target)
    if len(above := [name for name in wrapping if set(best) <= _made_by(candidates[name])]) == 1:
        best = above  # it makes what is left of the file, beside the model that it wants
    if len(best) > 1:
        wide = any(_wide(callables[name], module) for name in best)
        hints = (left_out_of(vars(module)), "" if wide else advice(module.__file__))
        raise ambiguous(target, best, "\n".join(filter(None, hints)))
    chosen = _preset(best[0], callables, built, module) or best[0]
    others = [name for name in roots if name not in (best[0], chosen)]
    others += [name for name, each in built.items() if chosen != best[0] and each.returns == best[0] and name != chosen]
    note = f"{chosen} was taken for the model, not {', '.join(others)}; {target}:NAME picks another" if others else ""
    return built[chosen].function if chosen in built else candidates[chosen], note


def _holds_layers(model: type) -> bool:
    """Whether a class makes a layer, a parameter, or an object of another class, or runs what it holds."""
    own = [base for base in model.__mro__ if not base.__module__.startswith(("torch.", "builtins", "abc"))]
    bodies = [class_node(base) for base in own if base.__module__ == model.__module__]
    if len(bodies) < len(own) or None in bodies:
        return True
    nodes = [node for body in bodies if body is not None for node in ast.walk(body)]
    methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    held = [each.attr for each in calls if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "self"]
    names = (each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in calls)
    made = any(name[:1].isupper() or re.match(r"(add|register)_(module|parameter)|_?make", name) for name in names)
    return made or any(name not in methods and name != "register_buffer" for name in held)


def _wraps(model: Callable[..., Any]) -> bool:
    """Whether a class wants a model to be given: a diffusion process, a trainer."""
    taken = inspect.signature(model).parameters.values() if inspect.isclass(model) else ()
    return any(each.name in _MODELS and each.default is each.empty for each in taken)


def _parts(module: ModuleType, classes: dict[str, type], built: Mapping[str, Factory]) -> dict[str, set[str]]:
    """What every class and function that may be the model makes use of, also by way of functions that build it."""
    composed = {name for name, each in built.items() if not each.returns and each.uses}
    behind = {name: {each.returns} if each.returns else {name} for name, each in built.items()}
    uses = {name: used_classes(cls) for name, cls in classes.items()}
    uses |= {name: set(each.uses) for name, each in built.items() if name in composed}
    helpers = _mentioned(module, {*classes, *built})
    uses = {name: used.union(*(helpers[each] for each in used if each in helpers)) for name, used in uses.items()}
    for name, part in (*handed(module, classes), *_taken(module, classes)):
        uses[name].add(part)
    known = {*classes, *composed}
    through = {name: used.union(*(behind[each] for each in used if each in behind)) for name, used in uses.items()}
    return {name: used & known - {name} for name, used in through.items()}


def _taken(module: ModuleType, classes: Mapping[str, type]) -> Iterator[tuple[str, str]]:
    """The classes of which a class takes an object, those that derive from them too: `Seq2Seq(encoder, decoder)`."""
    for name, cls in classes.items():
        taken = signatures.parameters(cls).items()
        parts = [configs.module_class(cls, each, given.annotation, module) for each, given in taken
                 if given.default is arguments.MISSING]  # fmt: skip
        for part in (each for each in parts if each is not None and not issubclass(cls, each)):
            yield from ((name, other) for other, each in classes.items() if issubclass(each, part))


def _mentioned(module: ModuleType, known: Collection[str]) -> dict[str, set[str]]:
    """What the other functions of a file mention, and what those that they mention do: `_make_layers(n)`."""
    tree = tree_of(module.__file__)
    bodies = [each for each in (tree.body if tree is not None else ()) if isinstance(each, ast.FunctionDef)]
    found = {
        each.name: {node.id for node in nodes_of(each) if isinstance(node, ast.Name)}
        for each in bodies if each.name not in known
    }  # fmt: skip
    for _ in range(2):
        found = {name: used.union(*(found[each] for each in used if each in found)) for name, used in found.items()}
    return found


def _preset(
    name: str, callables: Mapping[str, Callable[..., Any]], built: Mapping[str, Factory], module: ModuleType
) -> str | None:
    """A function that builds a class which wants what nobody can guess, such as a class of blocks."""
    if name in built or not _wants_unknown(callables[name], module):
        return None
    presets = [
        each for each in built if built[each].returns == name and not _wants_unknown(built[each].function, module)
    ]
    wide = [each for each in presets if _wide(built[each].function, module)]
    return next(iter(wide or presets), None)


def _wants_unknown(model: Callable[..., Any], module: ModuleType) -> bool:
    knobs = arguments.read(model, module).knobs
    return any(
        leaf.value is arguments.MISSING
        and argnames.guess(name) is None
        and assumed(name, leaf) is None
        and leaf.word is None
        and not _is_width(name)
        for name, leaf in ((name.rpartition(".")[2], leaf) for name, leaf in knobs.items())
    )


def _is_width(name: str) -> bool:
    return argnames.rank(name, argnames.WIDTH + argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH) is not None


def module_classes(module: ModuleType) -> dict[str, type]:
    """The models a module defines, or else those that it imports from its own neighbours."""
    classes = {name: value for name, value in vars(module).items() if is_model_class(value)}
    aliases = {
        name for name, value in classes.items() if name != value.__name__ and classes.get(value.__name__) is value
    }
    classes = {name: value for name, value in classes.items() if name not in aliases}
    own = {name: value for name, value in classes.items() if value.__module__ == module.__name__}
    package = module.__name__.partition(".")[0]
    near = {name: value for name, value in classes.items() if value.__module__.partition(".")[0] == package}
    return own or near


def is_model_class(value: Any) -> bool:
    """Whether a value is a class of modules that can be run: it, or a base of its own, defines a forward."""
    import torch

    if not inspect.isclass(value) or not issubclass(value, torch.nn.Module) or value is torch.nn.Module:
        return False
    return has_forward(value) and not value.__module__.startswith("torch.")


def used_classes(cls: type) -> set[str]:
    """The names that a class and its parents mention: the classes they instantiate are among them, and the parents."""
    own = [base for base in cls.__mro__ if base is cls or base.__module__ == cls.__module__]
    bodies = [node.body for node in map(class_node, own) if node is not None]
    mentioned = (node for body in bodies for statement in body for node in nodes_of(statement))
    return {node.id for node in mentioned if isinstance(node, ast.Name)} | {base.__name__ for base in cls.__mro__[1:]}


def _made_by(cls: type) -> set[str]:
    """The names that a class mentions besides those of what its methods take, which others make."""
    nodes = list(nodes_of(class_node(cls) or ast.Module([], [])))
    taken = {id(each) for node in nodes if isinstance(node, ast.arg) and node.annotation is not None
             for each in nodes_of(node.annotation)}  # fmt: skip
    return {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in taken}


def ambiguous(target: str, candidates: list[str], more: str = "") -> AmbiguousModelError:
    """Several classes may be the model: list them as commands to paste. more: what else there is to say of them."""
    commands = "\n".join(f"  muaudit check {target}:{name}" for name in candidates)
    message = f"{target} holds several models: {', '.join(candidates)}"
    hint = f"name one of them:\n{commands}" + (f"\n{more}" if more else "")
    return AmbiguousModelError(message, hint, candidates)


def _variants(models: list[type | None], candidates: dict[str, type], module: ModuleType) -> list[str]:
    """The one model that several are variants of: the class that they derive from, or the first of several that are
    called alike with inputs of the same names, one for another. Empty where they are models of different kinds.
    """
    own = {cls: name for name, cls in candidates.items()}
    classes = [cls for cls in models if cls is not None]
    if len(classes) < len(models):
        return []
    eldest = dict.fromkeys(own[[base for base in cls.__mro__ if base in own][-1]] for cls in classes)
    if _are_variants(plain := min(eldest, key=len), list(eldest)):
        return [plain]
    taken = {tuple(inspect.signature(vars(cls).get("forward", cls.forward)).parameters) for cls in classes}  # type: ignore[attr-defined]
    alike = len(taken) == 1 and len(next(iter(taken))) > 2 and all(_wide(cls, module) for cls in classes)
    return [own[classes[0]]] if alike and all(_called_alike(own[classes[0]], own[cls]) for cls in classes) else []


def _called_alike(one: str, other: str) -> bool:
    """Whether two names share words and differ in one: `MLPEncoder` and `CNNEncoder`, not `RewardModel` and
    `PixelEncoderModel`."""
    a, b = (set(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", each)) for each in (one, other))
    return bool(a & b) and len(a - b) <= 1 and len(b - a) <= 1


def _are_variants(plain: str, names: list[str]) -> bool:
    """Whether all have the plain one's name and more: Informer beside InformerStack, GAT beside SpGAT."""
    return all(name.startswith(plain) or name.endswith(plain) for name in names)


def _score(model: Callable[..., Any], module: ModuleType, parts: dict[str, set[str]], name: str) -> tuple[bool, ...]:
    """What speaks for a model: an argument for the width, parts of its own, the file's name, a model's name."""
    composed = not inspect.isclass(model)
    named = name.lower() in _places(module)
    return _wide(model, module), composed or bool(parts[name]), named, _PREFERRED.search(name) is not None


def _places(module: ModuleType) -> set[str]:
    """The names of the file and of the folders around it, which are often those of the model that they are for."""
    path = Path(module.__file__ or "")
    found = [path.stem, *(each.name for each in list(path.parents)[:_AROUND])]
    return {re.sub(r"[^a-z0-9]", "", part.lower()) for name in found for part in (name, name.partition("-")[0])}


def _wide(model: Callable[..., Any], module: ModuleType) -> bool:
    return any(argnames.rank(knob, argnames.WIDTH) is not None for knob in arguments.read(model, module).knobs)


def _strongest(scores: dict[str, tuple[bool, ...]]) -> list[str]:
    models = {name: score for name, score in scores.items() if not _NO_MODEL.search(name)} or scores
    models = {name: score for name, score in models.items() if not _ADVERSARY.search(name)} or models
    best = max(models.values())
    found = [name for name, score in models.items() if score == best]
    plain = min(found, key=len)
    return [plain] if len(found) > 1 and _are_variants(plain, found) else found
