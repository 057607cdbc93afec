"""The flags that say how a target is probed, and their parsers. Free of torch: the command line imports this first."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muaudit.errors import UserError

_DTYPES = {
    "int64": "int64", "long": "int64", "int": "int64", "int32": "int32", "int16": "int16", "int8": "int8",
    "uint8": "uint8", "bool": "bool", "float": "float32", "float32": "float32", "float64": "float64",
    "double": "float64", "float16": "float16", "half": "float16", "bfloat16": "bfloat16",
}  # fmt: skip
_INPUT = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)\s*=\s*)?(?P<dtype>\w+)\s*\[(?P<dims>[^\]]*)\]\s*(?:<\s*(?P<high>\d+))?")

MAIN_AXIS = ""
"""The key in `TargetOptions.widths` for widths given without a name."""


@dataclass(frozen=True)
class InputSpec:
    """One tensor of the forward's input: `int64[2, 32]`, with `< high` for integers below a bound.

    A dim is a number, the name of a width axis, or `(axis, factor)`: factor times that axis.
    """

    dtype: str
    dims: tuple[int | str | tuple[str, float], ...]
    high: int | None = None

    def __post_init__(self) -> None:
        """Sizes as Python's own numbers: a layer's may be one of numpy's, which is compared entry by entry."""
        plain = tuple(each if isinstance(each, (int, str, tuple)) else int(each) for each in self.dims)
        object.__setattr__(self, "dims", plain)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape at these sizes. Raises UserError for a dim that names no width."""
        return tuple(_dim(dim, sizes) for dim in self.dims)

    def __str__(self) -> str:
        """`int64[2, 32]`, as the header shows it and as `--input` takes it."""
        return f"{self.dtype}[{', '.join(_dim_text(dim) for dim in self.dims)}]"


@dataclass(frozen=True)
class TargetOptions:
    """What the user chose by flag or by keyword; everything else is found out.

    widths: axis name (`MAIN_AXIS` where none was given) to probe sizes. set: constructor arguments.
    inputs: forward argument name (or its position as text) to tensor. optimizer: a name for the default optimizer.
    lr_groups: (parameter name pattern, exponent of the learning rate in width) for the default optimizer.
    optimizer_kinds: (parameter name pattern, what trains these), for an optimizer whose own step cannot tell.
    bsh: microsoft/mup's base shape file of the model.
    init: the method that initializes the model after it is built. no_init: none does, also where one could.
    depths: as widths, for numbers of blocks.
    batch, loss, build_optimizer: callables from the Python API, as in a spec.
    """

    widths: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    set: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    optimizer: str | None = None
    lr_groups: tuple[tuple[str, float], ...] = ()
    optimizer_kinds: tuple[tuple[str, str], ...] = ()
    bsh: Path | None = None
    batch: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    build_optimizer: Callable[..., Any] | None = None
    init: str | None = None
    no_init: bool = False
    depths: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def parse_widths(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """`--width n_embd=64,128` or `--width 64,128`, repeatable, to axis name → sizes."""
    return dict(_parse_width(text) for text in texts)


def parse_depths(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """`--depth n_layer=2,4` or `--depth 2,4`, repeatable, to argument name → sizes."""
    return dict(_parse_sizes(text, "--depth", "n_layer=2,4", "2,4") for text in texts)


def parse_set(texts: Iterable[str]) -> dict[str, object]:
    """`--set key=value`, repeatable; a value that is no Python literal is taken as text."""
    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise UserError(
                f"--set expects key=value, found {text!r}", "for example --set n_layer=4 or --set activation=relu"
            )
        found[key] = _literal(value)
    return found


def parse_inputs(texts: Iterable[str]) -> dict[str, InputSpec]:
    """`--input 'int64[2,32]'` by position or `--input 'input_ids=int64[2,32]'` by name, repeatable."""
    found: dict[str, InputSpec] = {}
    for text in texts:
        name, spec = _parse_input(text)
        found[name or str(sum(key.isdigit() for key in found))] = spec
    return found


def parse_lr_groups(texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """`--lr-group 'blocks.*=-1'`, repeatable: parameters by name and how their learning rate goes with width."""
    return tuple(_parse_lr_group(text) for text in texts)


def parse_optimizer_kinds(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """`--optimizer-kind 'blocks.*=muon'`, repeatable: parameters by name and what trains them."""
    found = []
    for text in texts:
        pattern, _, kind = (part.strip() for part in text.rpartition("="))
        if not pattern or not kind:
            raise UserError(
                f"--optimizer-kind expects PATTERN=KIND, found {text!r}",
                "for example --optimizer-kind 'blocks.*.weight=muon': these are trained as Muon trains them",
            )
        found.append((pattern, kind.lower()))
    return tuple(found)


def check_widths(sizes: Iterable[object], where: str, example: str = "64,128") -> tuple[int, ...]:
    """The sizes as ascending ints. Raises UserError unless they are two or more different positive ints."""
    found = tuple(sizes)
    numbers = tuple(sorted({size for size in found if isinstance(size, int) and not isinstance(size, bool)}))
    if len(numbers) != len(found) or len(numbers) < 2 or numbers[0] < 1:
        shown = ", ".join(str(size) for size in found) or "nothing"
        raise UserError(f"{where} expects at least two different positive whole numbers, found {shown}",
                        f"for example {example}")  # fmt: skip
    return numbers


def check_init(init: str | None, no_init: bool) -> None:
    """Raise UserError where a method is to initialize the model and none is to."""
    if init is not None and no_init:
        raise UserError(f"--init {init} names a method and --no-init calls none", "give one of them")


def _parse_width(text: str) -> tuple[str, tuple[int, ...]]:
    return _parse_sizes(text, "--width", "n_embd=64,128", "64,128")


def _parse_sizes(text: str, flag: str, named: str, bare: str) -> tuple[str, tuple[int, ...]]:
    """named, bare: what the flag takes, as examples."""
    name, equals, sizes = text.rpartition("=")
    if equals and not name.strip():
        raise UserError(
            f"{flag} expects NAME=SIZE,SIZE, found {text!r}", f"for example {flag} {named} or {flag} {bare}"
        )
    parts = [part.strip() for part in sizes.split(",") if part.strip()]
    if name.strip() and len(parts) > 1 and len(set(parts)) == 1:
        raise UserError(
            f"{flag} {text} does not grow: a {flag[2:]} is probed at two sizes or more",
            f"to hold it fixed: --set {name.strip()}={parts[0]}",
        )
    return name.strip() or MAIN_AXIS, check_widths(map(_literal, parts), f"{flag} {text}:", bare)


def _parse_input(text: str) -> tuple[str | None, InputSpec]:
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        raise UserError(
            f"--input expects dtype[sizes], found {text!r}",
            "for example --input 'int64[2,32]' or --input 'input_ids=int64[2,32]' or --input 'int64[2,32]<100'",
        )
    dtype = _DTYPES.get(match["dtype"])
    if dtype is None:
        raise UserError(
            f"--input {text}: unknown dtype {match['dtype']!r}", f"known dtypes: {', '.join(dict.fromkeys(_DTYPES))}"
        )
    dims = tuple(_parse_dim(part.strip(), text) for part in match["dims"].split(",") if part.strip())
    return match["name"], InputSpec(dtype, dims, int(match["high"]) if match["high"] else None)


def _parse_dim(part: str, text: str) -> int | str:
    if part.isdigit() and int(part) > 0:
        return int(part)
    if part.isidentifier():
        return part
    raise UserError(
        f"--input {text}: expected a positive size or the name of a width, found {part!r}", "for example int64[2,32]"
    )


def _parse_lr_group(text: str) -> tuple[str, float]:
    pattern, _, exponent = text.rpartition("=")
    try:
        if pattern.strip():
            return pattern.strip(), float(exponent)
    except ValueError:
        pass
    raise UserError(
        f"--lr-group expects PATTERN=EXPONENT, found {text!r}",
        "for example --lr-group 'blocks.*.weight=-1': a learning rate like 1/width for these parameters",
    )


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _dim(dim: int | str | tuple[str, float], sizes: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    name, factor = (dim, 1.0) if isinstance(dim, str) else dim
    if name not in sizes:
        raise UserError(f"--input: {name!r} is not a width of this target", f"its widths: {', '.join(sizes)}")
    return round(sizes[name] * factor)


def _dim_text(dim: int | str | tuple[str, float]) -> str:
    if not isinstance(dim, tuple):
        return str(dim)
    name, factor = dim
    return name if factor == 1 else f"{factor:g}·{name}"
