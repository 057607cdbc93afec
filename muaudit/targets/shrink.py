"""A published configuration made small: its real shape at a small width, with few layers, tokens and experts.

The rule. The hidden size is the width. What scales along (feed-forward sizes, latent ranks, state-space inner sizes)
keeps its ratio to it. The size of a head is fixed and the number of heads grows, as published families widen; queries
share key-value heads as before, though at most 4 of them. Layers are cut to one of each kind, at least two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from muaudit.targets.layers_of_config import NUMBERS

WIDTHS = ("hidden_size", "n_embd", "d_model", "dim", "embed_dim", "n_embed", "hidden_dim", "model_dim")
FIRST = 64
HEAD = 16
_VOCABULARY, _EXPERTS, _ACTIVE, _STATE, _CHUNK, _GROUP = 256, 4, 2, 16, 32, 4
_RATIO = (
    "intermediate_size", "ffn_dim", "d_ff", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size",
    "shared_expert_intermediate_size", "shared_intermediate_size", "intermediate_size_mlp", "ffn_hidden_size",
    "d_inner", "q_lora_rank", "kv_lora_rank", "o_lora_rank", "time_step_rank", "mamba_dt_rank", "lru_width",
    "embedding_size", "word_embed_proj_dim", "attention_hidden_size", "hidden_size_per_layer_input",
    "moe_latent_size", "dense_intermediate_size", "mlp_hidden_size", "moe_shared_expert_intermediate_size",
    "expert_intermediate_size", "cross_attention_hidden_size", "embedding_dim", "shared_experts_intermediate_size",
    "hidden_size_global", "entity_emb_size", "cross_hidden_size", "subsampling_conv_channels", "axial_pos_embds_dim",
    "hidden_dim", "dff", "dim_ff", "feed_forward_size", "embedding_rank", "prediction_head_size", "laurel_rank",
    "intra_bottleneck_size", "true_hidden_size", "d_latents", "expert_ffn_hidden_size", "conv_channels", "hc_lowrank",
    "classifier_proj_size", "router_hidden_size", "speech_encoder_intermediate_size", "input_embedding_size",
    "output_embedding_size", "pronunciation_embed_dim", "shape_embed_dim", "ple_embed_dim",
    "speech_decoder_prenet_units", "speech_decoder_postnet_units",
)  # fmt: skip
_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
_ACTIVE_COUNTS = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_k", "top_k_experts", "moe_topk")
_EXPERT_GROUPS = ("n_group", "num_expert_group")
_INDEXERS = ("index_n_heads", "index_topk")
_MULTIPLES = ("block_multiple_of", "ffn_round_up_to_multiple_of")
_STATES = ("state_size", "mamba_d_state", "ssm_state_size")
_CHUNKS = ("chunk_size", "mamba_chunk_size")
_STATE_GROUPS = ("n_groups", "mamba_n_groups", "mamba_ngroups")
_DERIVED = (
    "stage_names",
    "out_features",
    "out_indices",
    "_out_features",
    "_out_indices",
)  # which layers a backbone returns
_PERIODS = {
    "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
    "sliding_window_pattern": 2, "full_attention_interval": 2, "interleave_moe_layer_step": 2,
    "_sliding_window_pattern": 2,
}  # fmt: skip


@dataclass(frozen=True)
class _HeadGroup:
    """Fields that go together: heads × dim = inner, and kv heads that the heads share."""

    heads: tuple[str, ...]
    kv: tuple[str, ...]
    dims: tuple[str, ...]
    inner: tuple[str, ...] = ()
    rope: tuple[str, ...] = ()


_HEAD_GROUPS = (
    _HeadGroup(
        heads=("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads",
               "decoder_attention_heads", "attention_heads", "num_encoder_attention_heads",
               "num_decoder_attention_heads", "encoder_num_attention_heads", "decoder_num_attention_heads",
               "num_self_attention_heads", "num_cross_attention_heads"),
        kv=("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "encoder_num_key_value_heads",
            "decoder_num_key_value_heads"),
        dims=("v_head_dim", "head_dim", "d_kv", "qk_nope_head_dim", "kv_channels", "attention_head_dim", "d_head",
              "index_head_dim", "indexer_head_dim", "attention_head_size", "dim_head"),
        rope=("qk_rope_head_dim", "rotary_dim"),
    ),
    _HeadGroup(heads=("swa_num_attention_heads",), kv=("swa_num_key_value_heads",), dims=("swa_head_dim",)),
    _HeadGroup(heads=("cross_num_attention_heads",), kv=("cross_num_key_value_heads",), dims=("cross_head_dim",)),
    _HeadGroup(
        heads=("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), kv=(),
        dims=("mamba_d_head", "mamba_head_dim", "mamba_headdim"), inner=("mamba_d_ssm",),
    ),
    _HeadGroup(
        heads=("linear_num_value_heads", "linear_num_heads"), kv=("linear_num_key_heads",),
        dims=("linear_value_head_dim", "linear_key_head_dim", "linear_head_dim"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Shrunk:
    """A config made small. overrides: from a width to the fields that differ from the published ones.

    probes: the widths to try, where they are special. derived: fields left to the config's class, which works them out.
    """

    width: str
    published: int
    overrides: Callable[[int], dict[str, Any]]
    notes: tuple[str, ...]
    probes: tuple[int, ...] | None = None
    derived: tuple[str, ...] = ()


def shrink(fields: Mapping[str, Any], width: str, least: int = 2) -> Shrunk:
    """Shrink a config given by its fields, `width` being the one that holds the hidden size.

    least: how many layers stay where all are of one kind.
    """
    hidden = fields[width]
    fixed = dict(limits(fields)) | layers(fields, least)
    growing: dict[str, Callable[[int], Any]] = {width: lambda size: size}
    for name in _RATIO:
        if _size(fields, name) and name not in fixed:
            growing[name] = _in_proportion(fields[name], hidden)
        elif isinstance(fixed.get(name), list) and all(isinstance(each, int) for each in fixed[name]):
            growing[name] = _by_layer(fixed.pop(name), hidden)
    notes = [_ratio_note([name for name in growing if name != width], width)]
    for group in _HEAD_GROUPS:
        notes.append(_heads(group, fields, width, growing, fixed))
    _cap_groups(fields, fixed)
    _rope(fields, fixed)

    def overrides(size: int) -> dict[str, Any]:
        return fixed | {name: at(size) for name, at in growing.items()}

    derived = _DERIVED if "stage_names" in fields else ()
    notes = [_size_note(fields, fixed), *(note for note in notes if note)]
    return Shrunk(width, hidden, overrides, tuple(notes), derived=derived)


def _size(fields: Mapping[str, Any], name: str) -> bool:
    """Whether a field holds a size."""
    value = fields.get(name)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _in_proportion(value: int, hidden: int) -> Callable[[int], int]:
    """A size at its ratio to the hidden size: rounded to a multiple of 4 at the first width, exact from there."""
    first = max(4, round(value * FIRST / hidden / 4) * 4)
    return lambda size: max(1, first * size // FIRST)


def _by_layer(sizes: list[int], hidden: int) -> Callable[[int], Any]:
    """The same for a list with a size a layer."""
    layers = [_in_proportion(each, hidden) for each in sizes]
    return lambda size: [at(size) for at in layers]


def _heads(
    group: _HeadGroup, fields: Mapping[str, Any], width: str,
    growing: dict[str, Callable[[int], Any]], fixed: dict[str, Any],
) -> str:  # fmt: skip
    """Fix the size of a head and let the counts grow; returns what to say about it."""
    heads = [name for name in group.heads if _size(fields, name)]
    if not heads:
        return ""
    latent = _size(fields, "qk_rope_head_dim")  # there, head_dim goes with the rotary part
    dims = [name for name in group.dims if _size(fields, name) and not (latent and name == "head_dim")]
    left_out = [name for name in group.dims if name in fields and fields[name] is None]
    hidden, count = fields[width], fields[heads[0]]
    was = fields[dims[0]] if dims else hidden // count
    size = min(HEAD, was)
    fixed.update(dict.fromkeys([*dims, *left_out], size))
    fixed.update({name: min(size // 2, fields[name]) for name in group.rope if _size(fields, name)})
    for name in heads:
        own = fields[name] * (was if dims else hidden // fields[name])
        growing[name] = _count(_power_of_two(own * FIRST / hidden / size))
    first = growing[heads[0]](FIRST)
    for name in group.inner:
        if _size(fields, name):
            growing[name] = _count(first * size)
    note = "".join(_kv_heads(name, fields, count, first, growing, fixed) for name in group.kv if _size(fields, name))
    _heads_by_layer(group, count, was * FIRST / hidden / size, growing, fixed)
    growing.update({name: growing[heads[0]] for name in group.kv if name in fields and fields[name] is None})
    published = count * was / hidden
    if abs(published - first * size / FIRST) > 0.01:
        note += f"; heads × size is {first * size / FIRST:g} × {width}, published {published:.3g}"
    return (
        f"{dims[0] if dims else 'the head size'} {was} → {size} is held fixed and {heads[0]} grows with {width}{note}"
    )


def _kv_heads(
    name: str, fields: Mapping[str, Any], count: int, first: int,
    growing: dict[str, Callable[[int], Any]], fixed: dict[str, Any],
) -> str:  # fmt: skip
    shared = max(1, count // fields[name])
    if fields[name] == 1 and count > 1:
        fixed[name] = 1
        return f", {name} stays 1"
    kept = _sharing(shared, first)
    growing[name] = _count(first // kept)
    if kept == shared:
        return f", {name} with it"
    return f", {name} with it, {kept} queries sharing a key (published {shared})"


def _heads_by_layer(
    group: _HeadGroup, count: int, per_head: float, growing: dict[str, Callable[[int], Any]], fixed: dict[str, Any],
) -> None:  # fmt: skip
    """The same for lists with a count a layer (`num_attention_heads_per_layer`). per_head: small heads for one."""
    lists = {name: f"{name}_per_layer" for name in (*group.heads, *group.kv)}
    listed = {name: fixed.pop(each) for name, each in lists.items() if isinstance(fixed.get(each), list)}
    own: list[int] | None = next((listed[name] for name in group.heads if name in listed), None)
    for name, counts in listed.items():
        heads = own or [count] * len(counts)
        firsts = [_power_of_two(each * per_head) for each in heads]
        if name in group.kv:
            firsts = [first // _sharing(max(1, each // kv), first)
                      for first, each, kv in zip(firsts, heads, counts, strict=True)]  # fmt: skip
        growing[lists[name]] = _counts(firsts)


def _counts(firsts: list[int]) -> Callable[[int], list[int]]:
    layers = [_count(first) for first in firsts]
    return lambda size: [at(size) for at in layers]


def _sharing(shared: int, first: int) -> int:
    """How many of `first` heads share a key, for as many as published or the most below that go."""
    return next(each for each in range(min(shared, _GROUP), 0, -1) if first % each == 0)


def _power_of_two(count: float) -> int:
    """The nearest power of two: a number of heads that divides the width and is divided by groups of them."""
    return 1 << max(0, round(math.log2(count)))


def _count(first: int) -> Callable[[int], int]:
    return lambda size: max(1, first * size // FIRST)


def limits(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields that become a small number, whatever the width."""
    limits = (
        ([name for name in fields if "vocab" in name], _VOCABULARY), (_EXPERT_COUNTS, _EXPERTS),
        (_ACTIVE_COUNTS, _ACTIVE), (_STATES, _STATE), (_CHUNKS, _CHUNK), (_EXPERT_GROUPS, 2), (("topk_group",), 1),
        (("max_source_positions",), 32), (("num_mem_blocks",), 1), (_INDEXERS, _ACTIVE), (("zero_expert_num",), 1),
        (("num_latents",), 32), (_MULTIPLES, _GROUP),
    )  # fmt: skip
    left_out = (
        {"vocab_size": _VOCABULARY} | dict.fromkeys(_ACTIVE_COUNTS, _ACTIVE) | dict.fromkeys(_EXPERT_COUNTS, _EXPERTS)
    )
    yield from ((name, usual) for name, usual in left_out.items() if name in fields and fields[name] is None)
    if _size(fields, "num_kv_shared_layers"):
        yield "num_kv_shared_layers", 0
    for names, limit in limits:
        yield from ((name, limit) for name in names if _size(fields, name) and fields[name] > limit)
    for name in fields:
        if name.endswith("token_id") and _size(fields, name) and fields[name] >= _VOCABULARY:
            yield name, min(2, fields[name])
    if _size(fields, "max_length") and _size(fields, "frequency_stride"):  # a spectrogram cut into patches
        yield "max_length", min(128, fields["max_length"])
    if isinstance(fields.get("compress_rates"), dict):
        yield "compress_rates", {name: min(_GROUP, rate) for name, rate in fields["compress_rates"].items()}
    if "axial_pos_shape" in fields:
        yield "axial_pos_shape", [4, 8]  # positions as a grid, which has to hold the 32 tokens exactly
    if "axial_pos_embds_dim" in fields:
        yield "axial_pos_embds_dim", list(fields["axial_pos_embds_dim"])
    for name, value in fields.items():
        if "drop" in name and isinstance(value, float) and value > 0:
            yield name, 0.0
    if _size(fields, "image_size") and _size(fields, "patch_size"):
        yield "image_size", 4 * fields["patch_size"]


def _numbers(value: Any, depth: int) -> bool:
    """Whether this is a list of numbers of layers."""
    return isinstance(value, list) and all(type(each) is int and 0 <= each < depth for each in value)


def layers(fields: Mapping[str, Any], least: int = 2) -> dict[str, Any]:
    """Cut the layers to one of each kind, or to `least` where all are of one, and every list that goes by layer."""
    depths = [name for name in NUMBERS if _size(fields, name)]
    if not depths:
        return {}
    depth = fields[depths[0]]
    by_layer = {name: value for name, value in fields.items() if isinstance(value, list) and len(value) == depth > 2}
    keyed = {name: {int(key): each for key, each in value.items()} for name, value in fields.items()
             if isinstance(value, dict) and value and all(str(key).isdigit() for key in value)
             and name not in ("id2label", "label2id")}  # fmt: skip
    patterns = {name: value for name, value in fields.items()
                if name.endswith("_pattern") and isinstance(value, str) and len(value) == depth}  # fmt: skip
    listed = {name: value for name, value in fields.items() if name.endswith("_only_layers") and _numbers(value, depth)}
    dense = fields.get("first_k_dense_replace")
    kinds: dict[Any, int] = {}
    for layer in range(depth):
        kind = [str(value[layer]) for value in (*by_layer.values(), *patterns.values())]
        kind += [str(layer in value) for value in listed.values()]
        kinds.setdefault((*kind, layer < dense if isinstance(dense, int) else None), layer)
    chosen = sorted(kinds.values())[:6]
    if any("hybrid" in str(kind) for kind in kinds):  # layers that share weights come in pairs
        chosen = sorted({*chosen, *(layer for layer in range(depth) if _hybrid(by_layer, layer))})[:4]
    chosen = chosen if len(chosen) > 1 else list(range(min(least, depth)))
    cut: dict[str, Any] = {name: min(len(chosen), fields[name]) for name in depths}
    cut |= {name: [value[layer] for layer in chosen] for name, value in by_layer.items()}
    cut |= {name: [new for new, old in enumerate(chosen) if old in value] for name, value in listed.items()}
    cut |= {name: "".join(value[layer] for layer in chosen) for name, value in patterns.items()}
    cut |= {name: {new: value[old] for new, old in enumerate(chosen) if old in value} for name, value in keyed.items()}
    if isinstance(fields.get("hybrid_layer_ids"), list):
        cut["hybrid_layer_ids"] = [new for new, old in enumerate(chosen) if old in fields["hybrid_layer_ids"]]
    if _size(fields, "num_dense_layers"):
        cut["num_dense_layers"] = min(1, fields["num_dense_layers"])
    if isinstance(dense, int):
        cut["first_k_dense_replace"] = sum(layer < dense for layer in chosen)
    cut |= {name: small for name, small in _PERIODS.items() if _size(fields, name) and fields[name] > small}
    if isinstance(fields.get("attention_types"), list):
        cut["attention_types"] = [[fields["attention_types"][0][0], 1]]
    return cut


def _hybrid(by_layer: Mapping[str, list[Any]], layer: int) -> bool:
    return any(value[layer] == "hybrid" for value in by_layer.values())


def _cap_groups(fields: Mapping[str, Any], fixed: dict[str, Any]) -> None:
    """State-space groups: at most two, so that they divide the few heads there are."""
    for name in _STATE_GROUPS:
        if _size(fields, name):
            fixed[name] = min(2, fields[name])


def _rope(fields: Mapping[str, Any], fixed: dict[str, Any]) -> None:
    """The rotary part of a head, and settings that list one number a frequency, cut to the small head."""
    if _size(fields, "qk_rope_head_dim"):
        rotary = fixed["qk_rope_head_dim"]
        sizes = {"qk_head_dim": fixed.get("qk_nope_head_dim", 0) + rotary}
        if _size(fields, "head_dim"):
            sizes["head_dim"] = rotary * fields["head_dim"] // fields["qk_rope_head_dim"]
        fixed |= {name: size for name, size in sizes.items() if name in fields}
    for name in ("rope_scaling", "rope_parameters"):
        settings = fields.get(name)
        if not isinstance(settings, dict):
            continue
        half = HEAD // 2
        cut = {key: value[:half] for key, value in settings.items() if key in ("long_factor", "short_factor")}
        if isinstance(settings.get("mrope_section"), list):
            cut["mrope_section"] = [half - 2 * (half // 3), half // 3, half // 3]
        if cut:
            fixed[name] = settings | cut


def _ratio_note(names: list[str], width: str) -> str:
    if len(names) < 2:
        return f"{names[0]} keeps its ratio to {width}" if names else ""
    return f"{', '.join(names)} keep their ratio to {width}"


def _size_note(fields: Mapping[str, Any], fixed: Mapping[str, Any]) -> str:
    """What was made small, in one line; token ids go without saying."""
    shown = [
        f"{name} {fields[name]} → {value}"
        for name, value in fixed.items()
        if isinstance(value, int)
        and fields.get(name) not in (None, value)
        and not name.endswith("token_id")
        and "head" not in name
    ]
    dropped = [name for name, value in fixed.items() if isinstance(value, float) and "drop" in name]
    made_small = f"made small: {', '.join(shown)}" if shown else ""
    off = f"dropout is off: {', '.join(dropped)} set to 0" if dropped else ""
    return "; ".join(part for part in (made_small, off) if part)
