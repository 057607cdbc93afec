"""What the arguments of model constructors are called. One table a concept; the first name is the strongest."""

from __future__ import annotations

import itertools
import re

WIDTH = (
    "width", "d_model", "n_embd", "n_embed", "hidden_size", "embed_dim", "embedding_dim", "emb_dim", "embd_dim",
    "dim_model", "model_dim", "dim", "model_dimension", "d_embed", "d_emb", "embed_size", "embedding_size",
    "emb_size", "hidden_dim", "hidden_features", "hidden_channels", "hidden_units", "n_hidden", "num_hidden",
    "hidden_width", "d_hidden", "dim_hidden", "hidden", "nhid", "n_units", "units", "hidden_sizes", "hidden_dims",
    "hidden_layers_sizes", "widths", "width_per_group", "base_channels", "base_width", "base_ch", "channels",
    "planes", "num_channels", "n_channels", "model_channels", "num_filters", "n_filters", "base_filters", "filters",
    "num_features", "nf", "ngf", "ndf", "n_feat", "features", "dims", "embed_dims", "state_dim", "inner_dim", "nembd",
    "ninp", "emsize", "h_dim", "feat_dim", "residual_channels", "nz_hidden", "channel", "ch", "res_channel",
    "res_channels", "base_channel", "base_dim", "n_state", "n_audio_state", "n_text_state", "transformer_width",
    "vision_width", "attn_width", "filter", "hid_dim", "hid_size", "hidden_channel", "start_filts", "init_features",
    "base_filter", "init_channels", "init_dim", "d_hid", "dim_hid", "num_hiddens", "factor_num", "num_factors",
    "n_factors", "adim", "d_word_vec", "d_layers", "layer_sizes", "hidden_layer_sizes",
    "layer_size",
)  # fmt: skip
"""Names of the number that grows (DESIGN's width), strongest first."""

DOUBTFUL = (
    "channels", "num_channels", "n_channels", "num_features", "features", "n_feat", "feat_dim", "planes", "dims",
    "state_dim", "channel", "ch", "d", "h", "n", "size",
)  # fmt: skip
"""Names that are as often those of an input: images, nodes of a graph, states of a game."""

FEEDFORWARD = (
    "d_ff", "ff_dim", "ffn_dim", "dim_ff", "dim_feedforward", "feedforward_dim", "intermediate_size", "mlp_dim",
    "d_mlp", "d_inner", "n_inner", "inner_size", "ffn_hidden_size", "ffn_hidden", "mlp_hidden", "mlp_hidden_dim",
    "mlp_size", "ff_hidden", "ff_size", "d_ffn", "dff", "mlp_width", "hidden_dim", "hidden_size", "hidden",
    "hidden_features", "n_hidden", "ffn_size", "moe_intermediate_size", "expert_dim", "expert_hidden", "d_hidden",
    "nhid", "n_ff", "ffn_width", "eunits", "dunits",
)  # fmt: skip
"""Widths that scale along with the main one and are axes of their own."""

ATTENTION_WIDTH = (
    "d_attn", "attn_dim", "attention_dim", "qk_dim", "kv_dim", "d_kv_total", "proj_dim", "projection_dim",
    "q_lora_rank", "kv_lora_rank", "ssm_dim", "d_ssm", "rnn_dim", "lru_width", "decoder_dim", "decoder_embed_dim",
    "encoder_dim",
)  # fmt: skip
HEADS = (
    "n_head", "n_heads", "num_heads", "num_attention_heads", "nhead", "heads", "n_attention_heads", "attention_heads",
    "n_q_heads", "num_q_heads", "num_query_heads", "nheads", "head", "head_num", "num_head", "q_heads", "attn_heads",
    "n_attn_heads", "aheads",
)  # fmt: skip
KV_HEADS = (
    "n_kv_heads", "n_kv_head", "num_kv_heads", "num_key_value_heads", "kv_heads", "n_query_groups", "num_query_groups",
    "num_kv_head", "n_kv", "kv_head", "num_kv_groups",
)  # fmt: skip
HEAD_DIM = (
    "head_dim", "d_head", "dim_head", "head_size", "d_k", "d_kv", "dim_per_head", "attention_head_dim", "d_v",
    "channels_per_head", "head_channels", "num_head_channels",
)  # fmt: skip
DEPTH = (
    "n_layer", "n_layers", "num_layers", "num_hidden_layers", "depth", "n_blocks", "num_blocks", "nlayers", "layers",
    "num_layer", "n_block", "blocks", "num_encoder_layers", "num_decoder_layers", "n_encoder_layers",
    "n_decoder_layers", "enc_layers", "dec_layers", "encoder_layers", "decoder_layers", "n_hidden_layers",
    "n_res_blocks", "num_res_blocks", "nblocks", "nblock", "N", "elayers", "dlayers", "num_blocks_per_stage",
    "blocks_per_stage",
)  # fmt: skip
VOCAB = (
    "vocab_size", "n_vocab", "num_tokens", "padded_vocab_size", "ntoken", "ntokens", "n_tokens", "vocabulary_size",
    "num_embeddings", "src_vocab_size", "tgt_vocab_size", "src_vocab", "tgt_vocab", "vocab", "num_vocab", "vocab_len",
    "trg_vocab_size", "n_words", "voc_size", "num_items", "n_items", "item_num", "itemnum", "num_users", "n_users",
    "user_num", "usernum", "num_symbols", "n_symbols",
)  # fmt: skip
LENGTH = (
    "block_size", "context_length", "max_seq_len", "max_seq_length", "max_sequence_length", "maxlen", "seq_len",
    "sequence_length", "seq_length", "max_len", "max_length", "ctx_len", "n_ctx", "context_size", "context_len",
    "max_position_embeddings", "n_positions", "num_positions", "max_positions", "block_len", "sequence_len",
    "ctx_length", "seqlen", "max_seqlen", "T", "n_audio_ctx",
    "n_text_ctx", "audio_ctx", "text_ctx",
)  # fmt: skip
MODES = ("modes", "n_modes", "num_modes", "mode")
"""How many frequencies are kept, each with weights of its own: code may loop over them."""
IMAGE = (
    "img_size", "image_size", "input_resolution", "resolution", "imsize", "input_size", "img_resolution",
    "image_resolution",
)  # fmt: skip
CLASSES = (
    "num_classes", "n_classes", "num_class", "n_class", "num_labels", "n_labels", "nclass", "classes", "num_outputs",
    "n_outputs", "action_space", "n_action", "label_dim", "label_size", "class_dim",
)  # fmt: skip
OUTPUTS = (
    "out_dim", "output_dim", "d_out", "dim_out", "out_features", "output_size", "n_out", "num_actions", "n_actions",
    "action_dim", "act_dim", "n_act", "output_features", "out_channels", "out_chans", "output_channels",
    "out_channel", "output_channel",
)  # fmt: skip
IN_CHANNELS = (
    "in_channels",
    "in_chans",
    "in_ch",
    "input_channels",
    "num_input_channels",
    "nc",
    "image_channels",
    "img_channels",
    "im_channels",
    "in_channel",
    "input_channel",
)
INPUTS = (
    "in_dim", "input_dim", "d_in", "dim_in", "in_features", "input_size", "n_in", "input_features", "obs_dim",
    "num_inputs", "n_inputs", "n_features", "observation_dim", "nfeat", "nfeats", "in_feats", "in_feat", "num_feats",
    "num_node_features", "num_input_features", "obs_size", "nin", "n_feats", "n_mels",
    "num_mels", "n_mel_channels", "num_mel_bins", "enc_in", "dec_in", "c_in", "n_vars", "nvars", "num_series",
    "n_series", "d_feature", "n_feature", "num_feature",
)  # fmt: skip

SHAPES = ("in_shape", "input_shape", "img_shape", "image_shape", "obs_shape", "observation_shape", "shape_in")
"""Whole shapes of an input, without the batch: `(channels, height, width)`, of videos the images first."""

GUESSES: tuple[tuple[tuple[str, ...], object], ...] = (
    (VOCAB, 256), (LENGTH, 64), (IMAGE, 32), (("patch_size", "patch"), 8), (CLASSES, 10), (IN_CHANNELS, 3), (HEADS,
    4), (KV_HEADS, 2), (HEAD_DIM, 16), (DEPTH, 2), (OUTPUTS, 10), (INPUTS, 32), (("num_experts", "n_experts",
    "n_expert", "num_local_experts", "n_routed_experts"), 4), (("top_k", "num_experts_per_tok", "n_activated_experts",
    "experts_per_token", "topk", "k"), 2), (("mlp_ratio", "ff_mult", "ffn_mult", "mult", "expansion", "expand",
    "ffn_expansion", "expansion_factor"), 4), (("kernel_size", "kernel"), 3), (("stride", "dilation", "groups"), 1),
    (("padding", "pad_idx", "padding_idx", "pad"), 0), (("bias", "use_bias", "qkv_bias", "causal"), True),
    (("device",), "cpu"), (("rope_theta", "rope_base", "theta"), 10000.0), (("eps", "norm_eps", "layer_norm_eps",
    "rms_norm_eps", "layernorm_eps"), 1e-5), (("activation", "act"), "gelu"), (("d_state", "state_size"), 16),
    (("d_conv", "conv_kernel"), 4), (("batch_size",), 2),
    (("frame_patch_size", "temporal_patch_size", "tubelet_size"), 2), (("frames", "num_frames",
    "n_frames"), 8), (("attn_resolutions", "attention_resolutions"), (16, 8, 4, 2)),
    (("lb", "low", "lower_bound"), 0.0), (("ub", "high", "upper_bound"), 1.0),
    (("alpha", "negative_slope", "slope"), 0.2), (("max_action", "act_limit", "action_scale"),
    1.0), (("multiple_of",), 32), (("tie_weights",
    "tie_word_embeddings", "weight_tying", "tied", "flash", "flash_attention", "use_flash"), False), (("init_std",
    "initializer_range", "std", "init_scale"), 0.02), (("lr", "learning_rate"), 1e-3), (("weight_decay",), 0.1),
)  # fmt: skip
"""Values for required arguments that have no default, by name."""


def plain(name: str) -> str:
    """A name without the numbering of its layer: `hidden_size1`, `hidden2` and `fc1_dim` as their family; `nr_` and
    `no_of_` say what `num_` does, and `_per_layer` nothing."""
    short = re.sub(r"(?<=[a-z])_?\d+(?=$|_)", "", name.lower()).removesuffix("_per_layer")
    return re.sub(r"^(nr|no_of|nb|number_of|num_of)_(?=[a-z])", "num_", short)


def rank(name: str, table: tuple[str, ...]) -> int | None:
    """Where a name stands in a table, by its plain form; None when it is not in it."""
    for form in (name, name.lower(), plain(name)):
        if form in table:
            return table.index(form)
    return None


def named(name: str, table: tuple[str, ...]) -> bool:
    """Whether a name is in a table, or ends in an entry of it after a prefix: `attn_dim_head`, `enc_num_heads`."""
    short = plain(name)
    return rank(name, table) is not None or any(len(each) > 3 and short.endswith(f"_{each}") for each in table)


_NO_WIDTH = re.compile(
    r"(^|_)(n|num)?(class(es)?|vocab(ulary)?|tokens?|labels?|heads?|layers?|depths?|blocks?|steps?|seed|batch|kernel|strides?|pad|"
    r"padding|dilations?|groups?|patch|im(age|g)?|rgb|colou?rs?|window|seq|sequence|length|len|positions?|context|ctx|"
    r"experts?|codes?|codebook|epochs?|iterations?|scale|factor|mults?|multipliers?|ratio|(sample|frame|bit|learning)_rate|drop(out)?|in|input|out|output|max|min|"
    r"actions?|obs(ervations?)?|freqs?|height|resolution|stages?|levels?|capacity|warmup|interval|every|order|top|"
    r"thresh(old)?|limit|port)(_|$)"
)


_VECTORS = re.compile(r"(?<![a-z])(fea(t|ture)?s?|vec(tor)?|emb(ed)?(ding)?|hid(den)?)_?len(gth)?(?![a-z])")


def no_width(name: str) -> bool:
    """Whether a number of this name is none that hidden layers are as wide as: classes, depth, an image's channels.

    The length of a vector of features, `fea_len`, is no length of a text.
    """
    stripped = re.sub(r"^(d|dim)_(block|layer|token|main)s?$", "size", plain(name))  # `d_block`: how wide one is
    return _NO_WIDTH.search(_VECTORS.sub("size", stripped)) is not None


_MULTIPLIES = re.compile(
    r"(width|channels?)_?(mult|multiplier|factor|coef(f(icient)?)?|scale)s?|widen(ing)?(_?factor)?|alpha|multiplier"
)


def multiplies_widths(name: str) -> bool:
    """Whether a number of this name may multiply all widths: `width_mult`, `width_coefficient`."""
    return _MULTIPLIES.fullmatch(plain(name)) is not None


_OF_BASE = re.compile(r"(.*_)?(width_?(mult(iplier)?|factor)|(mup|mu_p)_?mult(iplier)?)")


def of_base_width(name: str) -> bool:
    """Whether a number of this name may say how many times as wide as its base a model is: `mup_width_multiplier`."""
    return _OF_BASE.fullmatch(plain(name)) is not None


_SWITCHES_MUP = re.compile(
    r"((use|using|apply|enable|enabled|with|is|do)_?)?(mup|mu_p|mutransfer)(_?(enabled?|mode|on))?"
)


def switches_mup(name: str) -> bool:
    """Whether a switch of this name turns the code of µP on: `mup_enabled`, `apply_muP`, `use_mup`."""
    return _SWITCHES_MUP.fullmatch(plain(name)) is not None


def is_dropout(name: str) -> bool:
    """Whether an argument is a dropout-like probability."""
    lowered = name.lower()
    return any(part in lowered for part in ("drop", "_pdrop", "stochastic_depth")) or lowered in ("p_drop", "pdrop")


def guess(name: str) -> object | None:
    """A sensible value for a required argument of this name, None when there is nothing to go by."""
    if is_dropout(name):
        return 0.0
    exact = (value for table, value in GUESSES if rank(name, table) is not None)
    ending = (value for table, value in GUESSES if named(name, table))
    return next(itertools.chain(exact, ending), None)
