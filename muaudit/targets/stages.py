"""Published configurations of hierarchical models made small: a list of widths, one a stage, or one multiplier.

The rule. The width is that of the first stage; the other stages, stems and necks keep their ratio to it. The size of a
head and of a group of channels is fixed and their number grows. Stages are cut to two blocks. Where one multiplier
scales all channels (MobileNets), it is the width. Windows are cut so that they still fit the last stage (Swin).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from muaudit.targets.shrink import Shrunk

_MAIN = ("hidden_sizes", "embed_dims", "embed_dim")
_ALONG = (
    "neck_hidden_sizes", "embedding_size", "stem_channels", "stem_out_channels", "stage_in_channels",
    "stage_mid_channels", "stage_out_channels", "decoder_hidden_size", "aspp_out_channels",
)  # fmt: skip
_MULTIPLIERS = ("depth_multiplier", "width_multiplier", "width_coefficient", "scale")
_BEHIND = ("hidden_dim",)  # channels behind the last stage, which go with the multiplier
_HEADS = ("num_attention_heads", "num_heads")
_GROUP_SIZES = ("groups_width", "num_groups")
_DEPTHS = ("depths", "depth", "stage_num_blocks", "n_attn_blocks")
_DERIVED = ("down_ops", "stage_names", "hidden_size")  # worked out anew by the config's class
_WINDOW = 4
_BLOCKS, _SIDE, _LEAST, _LEAST_HEAD, _LARGEST_CUT = 2, 64, 16, 8, 4


def is_staged(fields: Mapping[str, Any]) -> bool:
    """Whether a config's field named like a width is none: the first of several stages, or a multiplier, sizes all."""
    first = type(fields.get("embed_dim")) is int and _sizes(fields.get("depths")) and _sizes(fields.get("num_heads"))
    return first or isinstance(fields.get("width_coefficient"), float)


def staged(fields: Mapping[str, Any]) -> Shrunk | None:
    """A config with a width by stage or a multiplier of all widths, made small; None for any other."""
    main = next((name for name in _MAIN if _sizes(fields.get(name))), "embed_dim" if is_staged(fields) else "")
    multiplier = next((name for name in _MULTIPLIERS if isinstance(fields.get(name), float)), None)
    fixed = dict(_fixed(fields))
    if _channels(fields.get(main)):
        return _by_stage(fields, main, fixed)
    return _multiplied(fields, multiplier, fixed) if multiplier else None


def _multiplied(fields: Mapping[str, Any], multiplier: str, fixed: dict[str, Any]) -> Shrunk:
    published, cut = fields[multiplier], max(1, int(fields[multiplier]))
    behind = [name for name in _BEHIND if _channels(fields.get(name))]

    def overrides(size: int) -> dict[str, Any]:
        return fixed | {multiplier: published / cut * size} | {name: fields[name] // cut * size for name in behind}

    note = f"{multiplier} {published:g} is the width, " + (
        f"probed from {published / cut:g}" if cut > 1 else "as it is"
    )
    return Shrunk(multiplier, cut, overrides, (note, _note(fields, fixed)), (1, 2), _DERIVED)


def _by_stage(fields: Mapping[str, Any], main: str, fixed: dict[str, Any]) -> Shrunk:
    growing = [main, *(name for name in _ALONG if name != main and _channels(fields.get(name)))]
    heads = [name for name in _HEADS if _channels(fields.get(name))]
    cut = _cut(fields, main, growing, heads)
    fixed |= {name: max(1, fields[name] // cut) for name in _GROUP_SIZES if isinstance(fields.get(name), int)}
    published = _list(fields[main])[0]
    first = published // cut

    def overrides(size: int) -> dict[str, Any]:
        grown = {name: _map(fields[name], lambda n: n * size // published, fields) for name in growing}
        counts = {name: _map(fields[name], lambda n: max(1, n * size // first)) for name in heads}
        return fixed | grown | counts

    along = f"the other stages of {', '.join(growing)} keep their ratio to it"
    head = f"{', '.join(heads)} grow with it, the size of a head is held fixed" if heads else ""
    if isinstance(fields[main], int):
        width = f"the width is that of the first stage, {main} {published}; the other stages are multiples of it"
    else:
        width = f"the width is that of the first stage, {main}[0] {published}; {along}"
    notes = (width, head, _note(fields, fixed))
    return Shrunk(main, published, overrides, tuple(note for note in notes if note), (first, 2 * first), _DERIVED)


def _cut(fields: Mapping[str, Any], main: str, growing: Sequence[str], heads: Sequence[str]) -> int:
    """By what all channels are divided: the largest power of two that divides them and leaves heads whole."""
    sizes = [size for name in growing for size in _list(fields[name]) if size != fields.get("num_channels")]
    cut = 1
    while cut < _LARGEST_CUT and _fits(2 * cut, fields, main, heads) and all(size % (2 * cut) == 0 for size in sizes):
        cut *= 2
    return cut


def _fits(cut: int, fields: Mapping[str, Any], main: str, heads: Sequence[str]) -> bool:
    """Whether stages divided by `cut` are wide enough, and made of whole heads."""
    stages = [size // cut for size in _list(fields[main])]
    counts = [count for name in heads for count in _list(fields[name])[: len(stages)]]
    pairs = list(zip(stages, counts if len(counts) == len(stages) else counts * len(stages), strict=False))
    return min(stages) >= _LEAST and all(n % count == 0 and n // count >= _LEAST_HEAD for n, count in pairs)


def _fixed(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Few blocks a stage, a small image, no dropout."""
    for name in _DEPTHS:
        if _sizes(fields.get(name)) and len(fields[name]) > 1:
            blocks = len(fields[name]) if name == "depth" else _BLOCKS  # CvT reads the drop rate of block number stage
            yield name, type(fields[name])(min(each, blocks) for each in fields[name])
    if isinstance(fields.get("depth_coefficient"), float):
        yield "depth_coefficient", 1.0
    windowed = isinstance(fields.get("window_size"), int)
    if windowed:
        yield "window_size", _WINDOW
    side, small = fields.get("image_size"), 2 * _SIDE if windowed else _SIDE
    if isinstance(side, int):
        yield "image_size", small
    elif isinstance(side, (list, tuple)):
        yield "image_size", type(side)([small] * len(side))
    for name, value in fields.items():
        if "drop" in name and isinstance(value, float) and value > 0:
            yield name, 0.0
        elif "drop" in name and isinstance(value, (list, tuple)) and all(isinstance(each, float) for each in value):
            yield name, type(value)([0.0] * len(value))


def _note(fields: Mapping[str, Any], fixed: Mapping[str, Any]) -> str:
    shown = [f"{name} {fields[name]} → {value}" for name, value in fixed.items()
             if "drop" not in name and fields[name] != value]  # fmt: skip
    return f"made small: {', '.join(shown)}; dropout is off" if shown else "dropout is off"


def _map(value: Any, of: Callable[[int], int], fields: Mapping[str, Any] | None = None) -> Any:
    """`of` of a size or of every size in a list; channels of the image stay."""
    image = (fields or {}).get("num_channels")
    if isinstance(value, int):
        return of(value)
    return type(value)(each if each == image else of(each) for each in value)


def _list(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _sizes(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(each) is int and each > 0 for each in value)


def _channels(value: Any) -> bool:
    return (type(value) is int and value > 0) or _sizes(value)
