"""Arguments that stay fixed while width grows: guessed where they have no default, made small where they are large."""

from __future__ import annotations

import inspect
import math
import re
import typing
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from muaudit.errors import MissingValuesError, UserError
from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.options import TargetOptions
from muaudit.targets.sentinels import fitting

_KEPT_DEPTH, _DEPTH = 6, 2
STAGES = (*argnames.DEPTH, "depths", "enc_depths", "dec_depths", "enc_blk_nums", "dec_blk_nums", "layers_per_stage")
_SMALL, _LARGEST_IMAGE = 2, 256
_KEPT_IMAGE, _IMAGE = 96, 64
_IMAGES = tuple(name for name in argnames.IMAGE if name != "input_size")
"""What sizes images for sure: an input's size is as often a number of features."""
_NO_NUMBER = re.compile(
    r"(^|_)(fn|func(tion)?|layers?|blocks?|(en|de)coder|model|module|backbone|net(work)?|norm|act(ivation)?|cls|class|"
    r"type|mode|name|path|config|cfg|dict|args|device|dtype|tokenizer|loss|optimizer|data(set)?|envs?|space|embed(der)?|"
    r"generator|head|body|stem|attn|attention|mlp|ff|conv|pool(ing)?|tensor|weights?|mask|graph|vocab)s?$"
)
_COUNTS = re.compile(r"(^|_)(n|num|max|number|vocab|size|count|len|length|steps?|users?|items?|nodes?)(_|$)")
_MANY, _FEWER = 2048, 512
_SWITCH = re.compile(r"^(has|is|use|with|do|return|enable|apply)_|_first$|_(with|use)_")
_LIMITS = ((argnames.DEPTH, _KEPT_DEPTH, _DEPTH), (argnames.VOCAB, 1024, 512), (argnames.LENGTH, 2048, 256),
           (argnames.MODES, 16, 8))  # fmt: skip
"""Names, the largest value that is kept, and what a larger one becomes."""


def plan_fixed(
    knobs: Mapping[str, Leaf], options: TargetOptions, shrink: bool, images: bool = False,
    growing: Collection[str] = (), little: bool = False,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Values for the arguments that do not grow, and notes. images: large images are made smaller, too.

    growing: those that do, so that what is seen of them elsewhere does not count. little: depths are cut to the least.

    Raises UserError for what cannot be guessed.
    """
    fixed: dict[str, Any] = dict(options.set)
    guessed, dropped, seen = [], [], []
    for name, leaf in knobs.items():
        short = name.rpartition(".")[2]
        if name in fixed or name in options.widths:
            continue
        if leaf.value is MISSING and leaf.form is not None and leaf.form.through:
            continue  # sizes of layers, whatever it is called
        if leaf.value is MISSING and leaf.example is not None and name not in growing:
            fixed[name] = _repeated(short, leaf, leaf.example.value, shrink) or _counted(short, leaf.example.value)
            shown = getattr(fixed[name], "__name__", None) or repr(fixed[name])
            seen.append(f"{name}={shown} ({leaf.example.where})")
        elif leaf.value is MISSING and leaf.unread:
            fixed[name] = _guess(short)
        elif leaf.value is MISSING:
            value = leaf.word if leaf.word is not None else _guess(short)
            value = _DEPTH if value is None and leaf.counted and _is_width(short) else value
            if value is None and _may_be_nothing(leaf) and not _is_width(short):
                fixed[name] = None
            if value is None:
                continue
            value = image_side(knobs, int(value)) if argnames.rank(short, argnames.IMAGE) is not None else value
            value = max(value, leaf.least) if type(value) is int else value
            value = formed(leaf, _accepted(short, value, leaf))
            fixed[name] = value
            guessed.append(f"{name}={value!r}")
        elif argnames.is_dropout(short) and isinstance(leaf.value, float) and leaf.value > 0:
            fixed[name] = 0.0
            dropped.append(name)
        elif shrink and images and (side := _smaller_image(short, leaf.value, knobs)) is not None:
            fixed[name] = side
        elif shrink and (few := _repeated(short, leaf, leaf.value, shrink)) is not None:
            fixed[name] = _accepted(short, few, leaf)
        elif shrink and (small := _accepted(short, _limited(short, leaf.value, little), leaf)) is not None:
            fixed[name] = small
    return fixed, _notes(guessed, dropped, seen)


def _repeated(name: str, leaf: Leaf, value: Any, shrink: bool) -> int | None:
    """Fewer repetitions, where there are many; None where a value may stay, as that of a text's length does."""
    if argnames.rank(name, argnames.LENGTH) is not None:
        return None
    return _DEPTH if shrink and leaf.counted and type(value) is int and value > _KEPT_DEPTH else None


def _may_be_nothing(leaf: Leaf) -> bool:
    """Whether an argument has to be given and may be None: `float | None` without a default."""
    return leaf.form is None and type(None) in typing.get_args(leaf.annotation)


def _is_width(name: str) -> bool:
    return argnames.rank(name, argnames.WIDTH + argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH) is not None


def with_sizes(knobs: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """The arguments, those that are nothing by default and called like sizes as if they had none."""
    tables = argnames.IN_CHANNELS + argnames.INPUTS + argnames.OUTPUTS + argnames.DEPTH + argnames.WIDTH
    return {name: replace(leaf, value=MISSING) if leaf.value is None and leaf.form is None
            and argnames.rank(name.rpartition(".")[2], tables) is not None else leaf
            for name, leaf in knobs.items()}  # fmt: skip


def assumed(name: str, leaf: Leaf) -> Any:
    """A value for a required argument that nothing is known about: a small number, unless it is no number at all.

    None where it is called, or annotated, like something else: a module, a class, a text.
    """
    if leaf.form is not None and name in argnames.SHAPES:
        return leaf.form.of((4, 3, 32, 32)[4 - leaf.form.length :] if 1 < leaf.form.length < 5 else (3, 32, 32))
    said = str(getattr(leaf.annotation, "__name__", leaf.annotation or "")).lower()
    if said in ("dtype", "torch.dtype") or (name == "dtype" and not _is_said(leaf)):
        import torch

        return torch.float32
    plain = {"bool": False, "int": _SMALL, "float": 1.0}
    if (leaf.switch or _SWITCH.search(name)) and said not in plain:
        return False
    value = plain.get(said, None if _is_said(leaf) or _NO_NUMBER.search(name) else _SMALL)
    if leaf.form is not None and value is None and "int" in str(leaf.annotation):
        value = _SMALL
    if re.search(r"_(idx|index|ix)$", name) and value == _SMALL:
        value = 0  # the first of several
    return formed(leaf, value)


def formed(leaf: Leaf, value: Any) -> Any:
    """A value as the list that an argument has to be, where it has to be one."""
    if leaf.split and type(value) is int:
        return leaf.split.join((str(value), str(value)))
    if leaf.form is not None and leaf.form.places:
        return leaf.form.of((1,))  # the second of them: there are mostly two
    wanted = leaf.form is not None and value is not None and not isinstance(value, (list, tuple))
    return leaf.form.of((value,) * leaf.form.length) if wanted and leaf.form is not None else value


def _is_said(leaf: Leaf) -> bool:
    return leaf.annotation not in (None, inspect.Parameter.empty, Any)


def unguessable(knobs: Mapping[str, Leaf], known: Mapping[str, Any]) -> list[str]:
    """The required arguments that nothing is known about."""
    return [name for name, leaf in knobs.items() if leaf.value is MISSING and name not in known]


def image_side(knobs: Mapping[str, Leaf], least: int) -> int:
    """A size of images that all patches and windows divide, as far as there is one that is not large."""
    parts = [leaf.value if leaf.value is not MISSING else argnames.guess(name) for name, leaf in knobs.items()
             if re.search(r"patch_size|window_size", name)]  # fmt: skip
    sizes = [each for part in parts for each in (part if isinstance(part, (list, tuple)) else [part])]
    unit = math.lcm(*(each for each in sizes if type(each) is int and each > 0))
    side = unit * -(-least // unit)
    return side if side <= _LARGEST_IMAGE else least


def _smaller_image(name: str, value: Any, knobs: Mapping[str, Leaf]) -> Any:
    """A smaller size for images of this size, in the form it has; None where it is no size of large images."""
    sides = value if isinstance(value, (list, tuple)) else [value]
    if argnames.rank(name, _IMAGES) is None or not sides or any(type(each) is not int for each in sides):
        return None
    fitting_windows = image_side(knobs, max(sides))
    if fitting_windows != max(sides) and any("window" in each for each in knobs):  # what the default itself does not
        return type(value)(fitting_windows for _ in sides) if isinstance(value, (list, tuple)) else fitting_windows
    side = image_side(knobs, _IMAGE)
    if max(sides) <= _KEPT_IMAGE or side >= max(sides):
        return None
    return type(value)(side for _ in sides) if isinstance(value, (list, tuple)) else side


def missing_values(missing: list[str], label: str, spec: str) -> UserError:
    """The error for arguments that nothing is known about. spec: what is known, to be completed."""
    flags = " ".join(f"--set {name}=..." for name in missing)
    return MissingValuesError(
        f"{label} needs a value for {', '.join(missing)}: there is no default, and none could be guessed",
        f"give it with {flags}, or paste this into the file and fill in the line that says so:\n\n{spec}\n",
        missing,
    )


def not_as_assumed(error: UserError, assumed: Mapping[str, Any]) -> UserError:
    """The error of a model that was built with values that nothing speaks for."""
    shown = ", ".join(f"{name}={value!r}" for name, value in assumed.items())
    hint = f"assumed, for want of anything to go by: {shown}; give what is right with --set NAME=VALUE"
    return MissingValuesError(error.message, "\n".join(filter(None, (hint, error.hint))), list(assumed))


def _guess(name: str) -> Any:
    """A guess for a required argument, unless it is a width, which is no fixed argument."""
    widths = argnames.WIDTH + argnames.FEEDFORWARD + argnames.ATTENTION_WIDTH
    return None if argnames.rank(name, widths) is not None else argnames.guess(name)


def _limited(name: str, value: Any, little: bool = False) -> Any:
    if isinstance(value, (list, tuple)):
        return _shallower(name, value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    for table, largest, small in _LIMITS:
        largest = small if little and table is argnames.DEPTH else largest
        if argnames.rank(name, table) is not None and value > largest:
            return small
    return None


def _accepted(name: str, value: Any, leaf: Leaf) -> Any:
    """A number, or the next one that the constructor accepts."""
    return fitting(name, value, leaf.asserted) if leaf.asserted and type(value) is int else value


def _shallower(name: str, depths: list[Any] | tuple[Any, ...]) -> Any:
    """The layers of every stage, two at most, where there are many: two, for some alternate."""
    numbers = all(type(each) is int for each in depths)
    if not numbers or argnames.rank(name, STAGES) is None or sum(depths) <= _KEPT_DEPTH + _DEPTH:
        return None
    return type(depths)(min(each, _DEPTH) for each in depths)


def _counted(name: str, value: Any) -> Any:
    """A value that was seen; where it counts many things, fewer of them."""
    many = type(value) is int and value > _MANY and _COUNTS.search(name) is not None
    return _FEWER if many else (_limited(name, value) or value)


def _notes(guessed: list[str], dropped: list[str], seen: list[str]) -> list[str]:
    notes = []
    if seen:
        notes.append(f"as the code beside it has them: {', '.join(seen)}; --set NAME=VALUE says otherwise")
    if guessed:
        notes.append(f"guessed, for want of a default: {', '.join(guessed)}; --set NAME=VALUE says otherwise")
    if dropped:
        notes.append(f"dropout is off: {', '.join(dropped)} set to 0")
    return notes
