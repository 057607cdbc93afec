"""Hugging Face configurations: the family's model at small widths, built by transformers and never at full size."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from muaudit.errors import UserError
from muaudit.reading import Malformed, parse_json, read_text
from muaudit.targets.bare import without_values
from muaudit.targets.bounds import check_sizes
from muaudit.targets.draft import finish
from muaudit.targets.inputs import Form
from muaudit.targets.layers_of_config import depth_axes_of, relayered
from muaudit.targets.loader import near
from muaudit.targets.options import MAIN_AXIS, InputSpec, TargetOptions
from muaudit.targets.parts import composed, parts_of, width_field
from muaudit.targets.probe import Target, WidthAxis
from muaudit.targets.published import own
from muaudit.targets.shrink import WIDTHS, Shrunk, layers, shrink
from muaudit.targets.slots import Filled, Marked
from muaudit.targets.stages import is_staged, staged
from muaudit.targets.trial import Draft, Sizes, Variant
from muaudit.targets.tuned import longest, tuned
from muaudit.targets.usercode import describe, guarded
from muaudit.targets.widths import PROBES

_NOT_SHAPE = (
    "auto_map", "quantization_config", "torch_dtype", "dtype", "_name_or_path", "transformers_version", "model_type",
    "per_layer_config",
)  # fmt: skip
_DEEPER = (3, 4, 6, 8)  # layers that are tried where two of them lack a class of modules
_GRID = 4  # patches along one side of an image that comes as patches
_SIDE = 64  # of an image, where the config does not say; 32 positions are halved five times by hierarchical models
_LARGEST = 300_000_000
"""Parameters above which a shrunk model is refused: some size was not recognised, and memory would run out."""


def target_from_file(path: Path, options: TargetOptions) -> Target:
    """The target of a config.json. Raises UserError where transformers is not there or does not know the model."""
    text = read_text(path, "expected a Hugging Face config.json")
    try:
        raw = parse_json(text)
    except Malformed as error:
        raise UserError(f"{path} is not JSON: {error}", "expected a Hugging Face config.json") from error
    raw = _with_floats(raw)
    if not isinstance(raw, dict) or not isinstance(raw.get("model_type"), str):
        raise UserError(
            f"{path} has no model_type, expected a Hugging Face config.json", "download the config.json of the model"
        )
    config_class = _config_class(raw["model_type"], path)
    check_sizes(raw, path.name)
    architectures = raw.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(each, str) for each in architectures):
        raise UserError(f"{path.name}: architectures is {architectures!r}, expected the names of model classes")
    with guarded(f"{path.name} ({raw['model_type']})"):
        full = config_class.from_dict({name: value for name, value in raw.items() if name not in _NOT_SHAPE})
    with _of_config(path.name):
        return _target(full, next(iter(architectures), None), options, path)


def _with_floats(raw: Any) -> Any:
    """What JSON has no word for, as transformers writes it: `{"__float__": "Infinity"}`."""
    if isinstance(raw, dict):
        if raw.keys() == {"__float__"} and raw["__float__"] in ("Infinity", "-Infinity", "NaN"):
            return float(raw["__float__"])
        return {name: _with_floats(value) for name, value in raw.items()}
    return [_with_floats(each) for each in raw] if isinstance(raw, list) else raw


@contextmanager
def _of_config(name: str) -> Iterator[None]:
    """What fails while a configuration is read and made small fails for what stands in it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"cannot read {name}: its sizes do not go together: {describe(error)}",
                        "compare it with the config.json that the model was published with") from error  # fmt: skip


def target_from_object(found: Any, options: TargetOptions, path: Path | None) -> Target:
    """The target of a model class, a config class or a config object of transformers."""
    if inspect.isclass(found) and issubclass(found, nn.Module):
        model_class: Any = found
        with guarded(f"{found.__name__}.config_class()"):
            own_config = model_class.config_class()
        return _target(own_config, model_class, options, path)
    with guarded("the config"):
        full: Any = found() if inspect.isclass(found) else found
    return _target(full, next(iter(full.architectures or ()), None), options, path)


def is_model_or_config(cls: type) -> bool:
    """Whether a class is a PreTrainedModel with a config, or a config."""
    names = {base.__name__ for base in cls.__mro__}
    return ("PreTrainedModel" in names and getattr(cls, "config_class", None) is not None) or bool(
        names & {"PretrainedConfig", "PreTrainedConfig"}
    )


def _config_class(model_type: str, path: Path) -> Any:
    try:
        from transformers import CONFIG_MAPPING
    except ImportError as error:
        raise UserError(
            f"{path.name} is a Hugging Face config, and the package transformers is not installed",
            "pip install 'muaudit[hf]'",
        ) from error
    if model_type not in CONFIG_MAPPING:
        hint = near(model_type, list(CONFIG_MAPPING), "for example").splitlines()
        hint = [*hint[:1], "update transformers; code that comes with a checkpoint is not run"]
        message = f"{path.name}: this version of transformers has no model type {model_type!r}"
        raise UserError(message, "\n".join(hint))
    return CONFIG_MAPPING[model_type]


def _target(full: Any, architecture: Any, options: TargetOptions, path: Path | None) -> Target:
    text = full.get_text_config()
    notes = []
    if text is not full and not full.is_encoder_decoder and _language_model(type(text)) is not None:
        notes.append(f"only the text model of {type(full).__name__} is audited")
        full, architecture = text, None
    fields = dict(vars(full))
    width = "" if is_staged(fields) else width_field(full)
    vision = getattr(architecture, "main_input_name", "") == "pixel_values"
    shrunk = composed(full, vision) or (shrink(fields, width) if width else staged(fields))
    if shrunk is None:
        raise UserError(f"{type(full).__name__} has no field that holds a width, expected one of {', '.join(WIDTHS)}",
                        "write build(width) in a file, which returns the model at that width")  # fmt: skip
    cls = _model_class(full, architecture, path.name if path else type(full).__name__)
    missing: tuple[tuple[str, str], ...] | None = None
    if width and width in fields and shrunk.probes is None:
        shrunk, missing = _deep_enough(full, shrunk, cls, lambda least: shrink(fields, width, least))
    depths = depth_axes_of(fields, shrunk.overrides(shrunk.published), options, type(full).__name__)
    for name in (*(name for name in options.widths if name != MAIN_AXIS), *options.set):
        if name not in fields:
            raise UserError(f"{type(full).__name__} has no field {name!r}", near(name, _sizes(fields), "its sizes"))
    width = shrunk.width
    label = f"{cls.__name__}({type(full).__name__})"
    call = f"{cls.__name__}({type(full).__name__}({width}=width))"
    draft = Draft(
        label=label, call=call, variants=_variants(full, shrunk, cls, options, depths), path=path,
        notes=(*notes, *shrunk.notes), forms=lambda model: _forms(model),
    )  # fmt: skip
    found = finish(draft, options)

    def whole(overrides: Mapping[str, Any]) -> Any:
        return _model(cls, _small_config(full, overrides, shrunk.derived) if overrides else copy.deepcopy(full))

    narrow = found.axes[0].probes[0]
    if shrunk.width in fields and (missing is None or narrow != PROBES[0][0]):
        missing = _lost(full, shrunk, cls, narrow)
    return replace(found, own=own(found, draft, vars(full), shrunk, whole, options), missing=missing or ())


def _deep_enough(
    full: Any, shrunk: Shrunk, cls: Any, deeper: Callable[[int], Shrunk]
) -> tuple[Shrunk, tuple[tuple[str, str], ...]]:
    """With as many layers as it takes for every class of module to occur: every fourth one may be another.

    Beside it what does not occur all the same, at the first probe's width.
    """
    lost = _lost(full, shrunk, cls, PROBES[0][0])
    for each in (deeper(least) for least in _DEEPER) if lost else ():
        if not _lost(full, each, cls, PROBES[0][0]):
            return each, ()
    return shrunk, lost


def _lost(full: Any, shrunk: Shrunk, cls: Any, width: int) -> tuple[tuple[str, str], ...]:
    """The classes of modules that are in the model at its own depth, and in no layer of the small one."""
    small = shrunk.overrides(width)
    cuts = {name: small.get(name) for name in layers(vars(full)) if getattr(full, name, None) != small.get(name)}
    deep = {name: value for name, value in small.items() if name not in cuts}
    try:
        with without_values():
            whole = classes_of(_model(cls, _small_config(full, deep, shrunk.derived)))
            few = classes_of(_model(cls, _small_config(full, small, shrunk.derived)))
    except Exception:  # other sizes than those go with the depth: nothing is known of the whole model
        return ()
    depth = ", ".join(f"{name} = {getattr(full, name)}" for name, value in cuts.items() if type(value) is int)
    why = f"it is in the model at {depth or 'its own depth'}, not in the small one"
    return tuple((name, why) for name in sorted(name for _, name in whole - few))


def classes_of(model: nn.Module) -> set[tuple[str, str]]:
    """The classes of its modules by name: torch makes one for every module that it parametrizes."""
    return {(type(each).__module__, type(each).__name__) for each in model.modules()}


def _variants(
    full: Any, shrunk: Shrunk, cls: Any, options: TargetOptions, depths: tuple[WidthAxis, ...]
) -> Iterator[Variant]:
    blocks = {axis.name for axis in depths}
    given = options.widths.get(shrunk.width) or options.widths.get(MAIN_AXIS)
    others = {name: sizes for name, sizes in options.widths.items() if name not in (MAIN_AXIS, shrunk.width)}
    usual = [shrunk.probes] if shrunk.probes else [PROBES[0], *PROBES[2:]]
    for probes in [given] if given else usual:
        axes = (WidthAxis(shrunk.width, probes, shrunk.published),
                *(WidthAxis(name, sizes, getattr(full, name)) for name, sizes in others.items()))  # fmt: skip

        def build(sizes: Sizes) -> Any:
            size = sizes.get(shrunk.width, probes[0])  # noqa: B023 -- a variant is used up before the next is made
            more = {name: each for name, each in sizes.items() if name != shrunk.width and name not in blocks}
            small = {**shrunk.overrides(size), **options.set, **more}
            small |= relayered(
                vars(full), {**vars(full), **small}, {name: sizes[name] for name in sizes if name in blocks}
            )
            config = _small_config(full, small, shrunk.derived)
            _refuse_large(cls, config)
            return _model(cls, config)

        yield Variant(axes, build, depths=depths, tuned=tuned({**vars(full), **options.set}),
                      length=longest({**vars(full), **options.set}))  # fmt: skip


def _small_config(full: Any, overrides: Mapping[str, Any], derived: tuple[str, ...]) -> Any:
    """The config anew with other sizes, so that what its class derives from them is derived again."""
    given = full.to_dict()
    fields = {name: value for name, value in given.items() if name not in (*_NOT_SHAPE, *derived)}
    return type(full)(**{**fields, **overrides, "use_cache": False})


def _model_class(full: Any, architecture: Any, where: str) -> Any:
    """What is built from a config: the class that the checkpoint was saved from, else a language model."""
    import transformers

    cls: Any = getattr(transformers, architecture, None) if isinstance(architecture, str) else architecture
    if cls is not None and not (inspect.isclass(cls) and is_model_or_config(cls) and issubclass(cls, nn.Module)):
        raise UserError(f"{where}: {architecture} is no model class of transformers", "mend its architectures")
    cls = _language_model(type(full)) if cls is None else cls
    if cls is None:
        raise UserError(f"transformers names no model of {type(full).__name__}, expected one for a language model",
                        "name the class in the config's architectures")  # fmt: skip

    return cls


def _model(cls: Any, config: Any) -> Any:
    import torch

    try:
        return cls._from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    except (ValueError, ImportError):
        return cls._from_config(config, dtype=torch.float32, attn_implementation="eager")


def _language_model(config_class: type) -> Any:
    """The language model of a config class, else its bare model; None where transformers maps the config to none."""
    import transformers

    for mapping in (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_MAPPING):
        with suppress(KeyError, ValueError, ImportError):
            return mapping[config_class]
    return None


def _refuse_large(cls: Any, config: Any) -> None:
    """Count the parameters without allocating them. Raises UserError when the model is not small."""
    with without_values():
        count = sum(parameter.numel() for parameter in cls(config).parameters())
    if count > _LARGEST:
        raise UserError(f"{cls.__name__} has {count:,} parameters even at small sizes, expected at most {_LARGEST:,}",
                        "make it smaller with --set FIELD=VALUE")  # fmt: skip


def _forms(model: nn.Module) -> Iterator[Form]:
    """Calls by the forward's argument names: text, image or sound, with labels where they are taken."""
    config: Any = model.config
    takes = inspect.signature(model.forward).parameters
    known = [getattr(each, "vocab_size", None) for each in (config, *parts_of(config).values())]
    vocabulary = next((size for size in known if size), 2)
    tokens = InputSpec("int64", (2, 32), vocabulary)
    for main in _main_inputs(model, config, tokens):
        if not set(main) <= set(takes):
            continue
        decoder = {"decoder_input_ids": tokens} if "decoder_input_ids" in takes and config.is_encoder_decoder else {}
        sides = {name: spec for name, spec in _side_inputs(model, config).items() if name in takes}
        sides |= _masked_patches(model, config)
        classes = InputSpec("int64", (2,), max(2, getattr(config, "num_labels", 2)))
        short = InputSpec("int64", (2, 2), vocabulary)  # a transcript, which must be shorter than the sound
        for given in (sides | main | decoder, main | decoder) if sides else (main | decoder,):
            for label in (tokens, short, classes) if "labels" in takes else ():
                yield Form((), {**given, "labels": label}, frozenset({"labels"}))
            yield Form((), given)


def _side_inputs(model: nn.Module, config: Any) -> dict[str, InputSpec]:
    """What makes a model use all it has: the language of its adapters, global tokens, entities, segments and targets
    of permuted texts, a text for a bare decoder, an image for a captioner."""
    sides = {"lang_ids": InputSpec("int64", (2,), 1), "global_attention_mask": InputSpec("int64", (2, 32), 2),
             "entity_ids": InputSpec("int64", (2, 4), getattr(config, "entity_vocab_size", 2)),
             "entity_position_ids": InputSpec("int64", (2, 4, 8), 32)}  # fmt: skip
    takes = inspect.signature(model.forward).parameters
    if "perm_mask" in takes:
        sides |= {"token_type_ids": InputSpec("int64", (2, 32), 2), "target_mapping": InputSpec("float32", (2, 32, 32))}
    if hasattr(config, "audio_length_per_tok"):  # sound that goes with every token
        bins = config.audio_config.num_mel_bins
        sides["input_features"] = InputSpec("float32", (2, bins, 32 * config.audio_length_per_tok))
    vision: Any = getattr(config, "vision_config", None)
    if getattr(model, "main_input_name", "input_ids") == "input_ids" and hasattr(vision, "image_size"):
        sides["pixel_values"] = InputSpec("float32", (2, 3, *[vision.image_size] * 2))
    if "cross_attention_states" in takes and hasattr(config, "hidden_size"):  # a config may have parts' sizes alone
        sides["cross_attention_states"] = InputSpec("float32", (2, 8, config.hidden_size))
    crossing = any(part in name for name, _ in model.named_modules() for part in ("encoder_attn", "crossattention"))
    if crossing and not config.is_encoder_decoder:
        width = getattr(config, "cross_attention_hidden_size", None) or config.hidden_size
        sides["encoder_hidden_states"] = InputSpec("float32", (2, 8, width))
    return sides


def _masked_patches(model: Any, config: Any) -> dict[str, InputSpec]:
    """Which patches of an image are hidden, where a token stands for them: only with it is that token read.

    A model with a head often hands the argument on to the model below it, among all that it takes by name.
    """
    takes = inspect.signature(model.forward).parameters
    if any(each.kind is each.VAR_KEYWORD for each in takes.values()):
        takes = inspect.signature(model.base_model.forward).parameters
    side, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    hides = any(name.rpartition(".")[2] == "mask_token" for name, _ in model.named_parameters())
    if "bool_masked_pos" not in takes or not hides or type(side) is not int or type(patch) is not int:
        return {}
    return {"bool_masked_pos": InputSpec("bool", (2, (side // patch) ** 2))}


def _main_inputs(model: nn.Module, config: Any, tokens: InputSpec) -> Iterator[dict[str, InputSpec]]:
    name = getattr(model, "main_input_name", "input_ids")
    patches = _patches(model, config)
    if patches:
        yield patches
    if name == "pixel_values":
        side = getattr(config, "image_size", None) or _SIDE
        side = side if isinstance(side, int) else side[0]
        yield {name: InputSpec("float32", (2, getattr(config, "num_channels", 3), side, side))}
    elif name == "input_features":
        known = (getattr(each, "num_mel_bins", None) for each in (config, *parts_of(config).values()))
        bins, length = next((size for size in known if size), 80), 2 * getattr(config, "max_source_positions", 32)
        yield {name: InputSpec("float32", (2, bins, length))}
        yield {name: InputSpec("float32", (2, length, bins))}
    elif name == "input_values" and hasattr(config, "frequency_stride"):
        yield {name: InputSpec("float32", (2, config.max_length, config.num_mel_bins))}
    elif name in ("input_values", "inputs"):
        yield {name: InputSpec("float32", (2, 8000))}
    if isinstance(getattr(config, "num_codebooks", None), int):
        yield {"input_ids": InputSpec("int64", (2 * config.num_codebooks, 32), tokens.high)}
    yield {"input_ids": tokens}


def _patches(model: nn.Module, config: Any) -> dict[str, InputSpec]:
    """Images as rows of patches: with their grid, or with places for them in a text; nothing where they are whole."""
    takes = inspect.signature(model.forward).parameters
    vision: Any = getattr(config, "vision_config", config)
    if "spatial_shapes" in takes and isinstance(getattr(vision, "patch_size", None), int):
        each = getattr(vision, "num_channels", 3) * vision.patch_size**2
        grid = Filled("int64", (2, 2), None, _GRID)
        seen = Filled("int64", (2, _GRID**2), None, 1)
        return {"pixel_values": InputSpec("float32", (2, _GRID**2, each)), "pixel_attention_mask": seen,
                "spatial_shapes": grid}  # fmt: skip
    place = getattr(config, "image_token_id", None)
    if "pixel_values" in takes and isinstance(getattr(config, "patch_dim", None), int) and place is not None:
        text = Marked("int64", (2, 32), config.vocab_size, place, _GRID)
        return {"input_ids": text, "pixel_values": InputSpec("float32", (2 * _GRID, config.patch_dim))}
    return {}


def _sizes(fields: Mapping[str, Any]) -> list[str]:
    return [name for name, value in fields.items() if isinstance(value, int) and not isinstance(value, bool)]
