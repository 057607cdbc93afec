"""A published configuration with another number of layers: what goes by layer in it goes on in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.deeper import given_depths
from muaudit.targets.loader import near
from muaudit.targets.options import MAIN_AXIS, TargetOptions
from muaudit.targets.probe import WidthAxis

# in the order in which they are looked for; several in an encoder-decoder, which grow together
NUMBERS = (
    "num_hidden_layers", "n_layer", "num_layers", "n_layers", "num_blocks", "encoder_layers", "decoder_layers",
    "num_decoder_layers", "num_encoder_layers", "num_self_attends_per_block",
)  # fmt: skip
LISTS = ("depths", "stage_depths")
"""A number for every stage; one number of them all is probed."""

_LEAST = 2  # layers of every stage in a first probe
_NOT_BY_LAYER = ("id2label", "label2id")


def depth_axes_of(
    fields: Mapping[str, Any], small: Mapping[str, Any], options: TargetOptions, label: str
) -> tuple[WidthAxis, ...]:
    """The fields that are numbers of layers; those that the user named alone, where he named some.

    fields: as published. small: with the layers that the small model has.

    Raises:
        UserError: a name that is no field.
    """
    named = [name for name in options.depths if name != MAIN_AXIS]
    for name in named:
        if not _is_number(fields.get(name)) and not _is_list(fields.get(name)):
            raise UserError(f"{label} has no field {name!r} that is a number and could grow",
                            near(name, [each for each in fields if _is_number(fields[each])], "its sizes"))  # fmt: skip
    numbers = [each for each in NUMBERS if _is_number(fields.get(each)) and each in small]
    found = named or numbers or [each for each in LISTS if _is_list(fields.get(each))]
    return tuple(_axis(name, fields[name], small.get(name), options) for name in found)


def _axis(name: str, own: Any, used: Any, options: TargetOptions) -> WidthAxis:
    listed = _is_list(own)
    first = _LEAST if listed else used if _is_number(used) else own
    return WidthAxis(name, given_depths(options, name) or (first, 2 * first), sum(own) if listed else own, listed)


def relayered(fields: Mapping[str, Any], values: Mapping[str, Any], depths: Mapping[str, int]) -> dict[str, Any]:
    """The fields that differ where a model of these values gets other numbers of layers.

    A list with an entry a layer is repeated as often as it takes, and so are patterns and what is kept by number; of a
    list with a number a stage each entry is that number. fields: as published, which show what has an entry a layer.
    """
    staged = {name: [depths[name]] * len(fields[name]) for name in depths if _is_list(fields.get(name))}
    if staged:
        return {**depths, **staged}
    main = next((name for name in depths if _is_number(values.get(name))), None)
    if main is None:
        return dict(depths)
    before, after = values[main], depths[main]
    if before == after:
        return dict(depths)
    changed: dict[str, Any] = {}
    for name, value in values.items():
        listed = isinstance(fields.get(name), (list, str)) and len(fields[name]) == fields.get(main)
        if isinstance(value, list) and listed and len(value) == before:
            changed[name] = [value[layer % before] for layer in range(after)]
        elif isinstance(value, str) and name.endswith("_pattern") and listed and len(value) == before:
            changed[name] = "".join(value[layer % before] for layer in range(after))
        elif isinstance(value, dict) and value and name not in _NOT_BY_LAYER and _by_number(value):
            kept = {int(key): each for key, each in value.items()}
            changed[name] = {n: kept[n % before] for n in range(after) if n % before in kept}
    if isinstance(values.get("hybrid_layer_ids"), list):
        changed["hybrid_layer_ids"] = [n for n in range(after) if n % before in values["hybrid_layer_ids"]]
    if isinstance(values.get("attention_types"), list) and after % before == 0:
        changed["attention_types"] = [[kinds, count * after // before] for kinds, count in values["attention_types"]]
    return {**changed, **depths}


def _by_number(value: Mapping[Any, Any]) -> bool:
    return all(str(key).isdigit() for key in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
