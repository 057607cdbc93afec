"""What theory says about each architecture, by hand: roles of parameters, and where constants belong.

Nothing here comes from muaudit. Roles follow TP5 App. B (arXiv 2203.03466): finite to growing is an input weight,
growing to growing hidden, growing to finite an output; vectors are biases and gains; the rest is scalar. A parameter is
`free` when a normalization reads what it makes before anything else does: its size alone then plays no part.

A `Site` is a module at whose input or output a constant may be inserted. `blames` lists the sets of parameters that may
be blamed for it, each of which explains the constant completely. There are several only where the constant stands on a
path that is linear (or relu: homogeneous) from the parameters before it to the parameters behind it. Then W2 c f(W1 x)
is the same network whether c is read as a part of W1's multiplier or of W2's, and every fix of one is a fix of the
other (TP5 Lemma J.1); bias and weight before it count together, because the constant multiplies both. `LOGITS` stands
for the line of the attention logits: c on the queries is the same network as c on the logits. Without `blames` nothing
may be reported: a normalization reads the constant first.

In patterns `{b}` is one of the family's blocks `b`, `{p}` and `{n}` the block before and behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Role = Literal["input", "positional", "hidden", "output", "bias", "gain", "scalar", "tied", "free"]

LOGITS = "(logits)"


@dataclass(frozen=True)
class Site:
    """A constant at `at` of `module`; each of `blames` is patterns of parameters separated by spaces."""

    module: str
    at: Literal["in", "out"]
    blames: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cancel:
    """Two places with a homogeneous path between them: c at the first and 1/c at the second change nothing."""

    first: tuple[str, Literal["in", "out"]]
    second: tuple[str, Literal["in", "out"]]


@dataclass(frozen=True)
class Family:
    """One architecture.

    roles: pattern of parameter names → role, first match wins. attention: modules with a `scale` on their logits.
    queries: (attention module, its query parameters) where queries are parameters of their own.
    unequal: parameters for which zero is no right start (a normalization would divide zero by its size).
    """

    roles: dict[str, Role]
    blocks: dict[str, tuple[str, ...]]
    sites: tuple[Site, ...]
    attention: tuple[str, ...] = ()
    queries: str = ""
    cancels: tuple[Cancel, ...] = ()
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)  # what stands before and behind the blocks
    never_zero: tuple[str, ...] = ()

    def role(self, name: str) -> Role:
        for pattern, role in self.roles.items():
            if fnmatchcase(name, pattern):
                return role
        raise KeyError(f"no role is written down for {name}")


def _in(module: str, *blames: str) -> Site:
    return Site(module, "in", blames)


def _out(module: str, *blames: str) -> Site:
    return Site(module, "out", blames)


MLP = Family(
    roles={
        "embed.weight": "input", "readout.weight": "output", "readout.bias": "scalar",
        "*.bias": "bias", "hidden.*.weight": "hidden",
    },
    blocks={"b": ("hidden.0", "hidden.1", "hidden.2")},
    ends={"b": ("embed", "readout")},
    sites=(
        _out("embed", "embed.*", "hidden.0.weight"),
        _in("{b}", "{b}.weight", "{p}.*"),
        _out("{b}", "{b}.*", "{n}.weight"),
        _in("readout", "readout.weight", "hidden.2.*"),
        _out("readout", "readout.*"),
    ),
    cancels=(Cancel(("{b}", "out"), ("{n}", "in")), Cancel(("embed", "out"), ("hidden.0", "in"))),
)  # fmt: skip

_TABLES = "transformer.wte.weight transformer.wpe.weight"
_GPT_BLOCKS = tuple(f"transformer.h.{i}" for i in range(3))


def _gpt(readout: str) -> Family:
    """The readout is tied to the embedding, or has a matrix of its own."""
    return Family(
        roles={
            "transformer.wte.weight": "tied" if readout == "transformer.wte.weight" else "input",
            "transformer.wpe.weight": "positional", "lm_head.weight": "output",
            "*.ln_?.weight": "gain", "*.bias": "bias", "transformer.h.*.weight": "hidden",
        },
        blocks={"b": _GPT_BLOCKS},
        attention=("{b}.attn",),
        sites=(
            _out("transformer.wte", "transformer.wte.weight"),
            _out("transformer.wpe", "transformer.wpe.weight"),
            _in("transformer.drop", _TABLES),
            _out("transformer.drop", _TABLES),
            _in("{b}.ln_1"),
            _out("{b}.ln_1", "{b}.ln_1.*", "{b}.attn.c_attn.weight"),
            _in("{b}.attn.c_attn", "{b}.attn.c_attn.weight", "{b}.ln_1.*"),
            _out("{b}.attn.c_attn", "{b}.attn.c_attn.*"),
            _in("{b}.attn.c_proj", "{b}.attn.c_proj.weight"),
            _out("{b}.attn.c_proj", "{b}.attn.c_proj.*"),
            _out("{b}.attn", "{b}.attn.c_proj.*"),
            _in("{b}.ln_2"),
            _out("{b}.ln_2", "{b}.ln_2.*", "{b}.mlp.c_fc.weight"),
            _in("{b}.mlp.c_fc", "{b}.mlp.c_fc.weight", "{b}.ln_2.*"),
            _out("{b}.mlp.c_fc", "{b}.mlp.c_fc.*"),
            _out("{b}.mlp.gelu", "{b}.mlp.c_proj.weight"),
            _in("{b}.mlp.c_proj", "{b}.mlp.c_proj.weight"),
            _out("{b}.mlp.c_proj", "{b}.mlp.c_proj.*"),
            _out("{b}.mlp", "{b}.mlp.c_proj.*"),
            # across the sums of the residual stream: all that came before, or all that comes after
            _out("transformer.h.0", f"{_TABLES} transformer.h.0.*.c_proj.*", "transformer.h.[12].*.c_proj.*"),
            _out("transformer.h.1", f"{_TABLES} transformer.h.[01].*.c_proj.*", "transformer.h.2.*.c_proj.*"),
            _out("transformer.h.2"),
            _in("transformer.ln_f"),
            _out("transformer.ln_f", readout, "transformer.ln_f.*"),
            _in("lm_head", readout, "transformer.ln_f.*"),
            _out("lm_head", readout),
        ),
        cancels=(
            Cancel(("{b}.ln_1", "out"), ("{b}.attn.c_attn", "in")),
            Cancel(("{b}.ln_2", "out"), ("{b}.mlp.c_fc", "in")),
            Cancel(("transformer.ln_f", "out"), ("lm_head", "out")),
            Cancel(("transformer.drop", "out"), ("transformer.drop", "in")),
        ),
    )  # fmt: skip


_LLAMA_BLOCKS = tuple(f"layers.{i}" for i in range(3))
LLAMA = Family(
    roles={
        "tok_embeddings.weight": "input", "output.weight": "output", "*norm.weight": "gain", "layers.*": "hidden",
    },
    blocks={"b": _LLAMA_BLOCKS},
    attention=("{b}.attention",),
    queries="{b}.attention.wq.weight",
    never_zero=("tok_embeddings.weight",),
    sites=(
        _out("tok_embeddings", "tok_embeddings.weight"),
        _in("{b}.attention_norm"),
        _out("{b}.attention_norm", "{b}.attention_norm.weight", "{b}.attention.w[qkv].weight"),
        _in("{b}.attention.wq", "{b}.attention.wq.weight", LOGITS),
        _out("{b}.attention.wq", "{b}.attention.wq.weight", LOGITS),
        _out("{b}.attention.wk", "{b}.attention.wk.weight", LOGITS),
        _in("{b}.attention.wv", "{b}.attention.wv.weight", "{b}.attention.wo.weight"),
        _out("{b}.attention.wv", "{b}.attention.wv.weight", "{b}.attention.wo.weight"),
        _in("{b}.attention.wo", "{b}.attention.wo.weight", "{b}.attention.wv.weight"),
        _out("{b}.attention.wo", "{b}.attention.wo.weight"),
        _out("{b}.attention", "{b}.attention.wo.weight"),
        _in("{b}.ffn_norm"),
        _out("{b}.ffn_norm", "{b}.ffn_norm.weight", "{b}.feed_forward.gate.weight {b}.feed_forward.up.weight"),
        _in("{b}.feed_forward.gate", "{b}.feed_forward.gate.weight"),
        _out("{b}.feed_forward.gate", "{b}.feed_forward.gate.weight"),
        _in("{b}.feed_forward.up", "{b}.feed_forward.up.weight", "{b}.feed_forward.down.weight"),
        _out("{b}.feed_forward.up", "{b}.feed_forward.up.weight", "{b}.feed_forward.down.weight"),
        _in("{b}.feed_forward.down", "{b}.feed_forward.down.weight", "{b}.feed_forward.up.weight"),
        _out("{b}.feed_forward.down", "{b}.feed_forward.down.weight"),
        _out("{b}.feed_forward", "{b}.feed_forward.down.weight"),
        _out("layers.0", "tok_embeddings.weight layers.0.*.wo.weight layers.0.*.down.weight",
             "layers.[12].*.wo.weight layers.[12].*.down.weight"),
        _out("layers.1", "tok_embeddings.weight layers.[01].*.wo.weight layers.[01].*.down.weight",
             "layers.2.*.wo.weight layers.2.*.down.weight"),
        _out("layers.2"),
        _in("norm"),
        _out("norm", "norm.weight", "output.weight"),
        _in("output", "output.weight", "norm.weight"),
        _out("output", "output.weight"),
    ),
    cancels=(
        Cancel(("{b}.feed_forward.up", "out"), ("{b}.feed_forward.down", "in")),
        Cancel(("{b}.attention.wv", "out"), ("{b}.attention.wo", "in")),
        Cancel(("{b}.attention.wq", "out"), ("{b}.attention.wk", "out")),
        Cancel(("norm", "out"), ("output", "in")),
    ),
)  # fmt: skip

_CONV_BLOCKS = tuple(f"layer{stage}.{i}" for stage in (1, 2, 3) for i in (0, 1))
_CONV_END = "layer3.0.bn2.* layer3.0.shortcut.1.* layer3.1.bn2.*"
RESNET = Family(
    roles={
        "head.weight": "output", "head.bias": "scalar", "*bn?.weight": "gain", "bn.weight": "gain",
        "*shortcut.1.weight": "gain", "*.bias": "bias", "*.weight": "free",
    },
    blocks={"b": _CONV_BLOCKS, "s": ("layer2.0", "layer3.0")},
    never_zero=("bn.*", "*.bn1.weight"),
    sites=(
        _in("stem"), _out("stem"),
        _in("{b}.conv1"), _out("{b}.conv1"), _in("{b}.conv2"), _out("{b}.conv2"),
        _in("{s}.shortcut.0"), _out("{s}.shortcut.0"),
        _out("{b}.bn1"),  # relu lets it through to the next convolution, which is normalised
        _out("bn", "bn.*"),
        _out("{b}.bn2", "{b}.bn2.*"),
        _out("{s}.shortcut", "{s}.shortcut.1.*"),
        _out("layer1.0", "bn.* layer1.0.bn2.*", "layer1.1.bn2.*"),
        _out("layer1"), _out("layer2"),
        _out("layer3", _CONV_END, "head.weight"),
        _in("head", "head.weight", _CONV_END),
        _out("head", "head.*"),
    ),
    cancels=(Cancel(("layer3", "out"), ("head", "in")),),
)  # fmt: skip

_ENCODER, _DECODER = ("encoder.0", "encoder.1"), ("decoder.0", "decoder.1")


def _attention(at: str, norm: str) -> tuple[Site, ...]:
    """Queries, keys and values from projections of their own; `norm` feeds only what `at` reads it for."""
    return (
        _in(f"{at}.q", f"{at}.q.weight", LOGITS, *([norm] if norm else [])),
        _out(f"{at}.q", f"{at}.q.weight", LOGITS, *([norm] if norm else [])),
        _out(f"{at}.k", f"{at}.k.weight", LOGITS),
        _in(f"{at}.v", f"{at}.v.weight", f"{at}.o.weight"),
        _out(f"{at}.v", f"{at}.v.weight", f"{at}.o.weight"),
        _in(f"{at}.o", f"{at}.o.weight", f"{at}.v.weight"),
        _out(f"{at}.o", f"{at}.o.weight"),
        _out(at, f"{at}.o.weight"),
    )


def _feed_forward(block: str, norm: str) -> tuple[Site, ...]:
    """norm → up → relu → down."""
    return (
        _in(f"{block}.{norm}"),
        _out(f"{block}.{norm}", f"{block}.{norm}.weight", f"{block}.mlp.up.weight"),
        _in(f"{block}.mlp.up", f"{block}.mlp.up.weight", f"{block}.{norm}.weight"),
        _out(f"{block}.mlp.up", f"{block}.mlp.up.*", f"{block}.mlp.down.weight"),
        _in(f"{block}.mlp.down", f"{block}.mlp.down.weight", f"{block}.mlp.up.*"),
        _out(f"{block}.mlp.down", f"{block}.mlp.down.*"),
        _out(f"{block}.mlp", f"{block}.mlp.down.*"),
    )


def _self_attention(block: str) -> tuple[Site, ...]:
    qkv = f"{block}.attention.[qkv].weight"
    return (
        _in(f"{block}.norm1"), _out(f"{block}.norm1", f"{block}.norm1.weight", qkv),
        *_attention(f"{block}.attention", ""),
    )  # fmt: skip


ENCDEC = Family(
    roles={
        "embed.weight": "input", "positions.weight": "positional", "relative.weight": "scalar", "head.weight": "output",
        "*norm*.weight": "gain", "*.bias": "bias", "*coder.*.weight": "hidden",
    },
    blocks={"e": _ENCODER, "d": _DECODER, "b": _ENCODER + _DECODER},
    attention=("{b}.attention", "{d}.cross"),
    queries="{b}.attention.q.weight",
    never_zero=("embed.weight",),
    sites=(
        _out("embed", "embed.weight"), _out("positions", "positions.weight"), _out("relative", "relative.weight"),
        *_self_attention("{b}"),
        *_feed_forward("{e}", "norm2"), *_feed_forward("{d}", "norm3"),
        _out("encoder.0", "embed.weight encoder.0.*.o.weight encoder.0.mlp.down.*",
             "encoder.1.*.o.weight encoder.1.mlp.down.*"),
        _out("encoder.1"), _in("encoder_norm"),
        _out("encoder_norm", "encoder_norm.weight", "decoder.*.cross.[kv].weight"),
        _in("{d}.norm2"), _out("{d}.norm2", "{d}.norm2.weight", "{d}.cross.q.weight", LOGITS),
        *_attention("{d}.cross", "{d}.norm2.weight"),
        _out("decoder.1"), _in("decoder_norm"),
        _out("decoder_norm", "decoder_norm.weight", "head.weight"),
        _in("head", "head.weight", "decoder_norm.weight"),
        _out("head", "head.weight"),
    ),
    cancels=(
        Cancel(("{b}.mlp.up", "out"), ("{b}.mlp.down", "in")),
        Cancel(("{d}.cross.v", "out"), ("{d}.cross.o", "in")),
        Cancel(("{b}.attention.q", "out"), ("{b}.attention.k", "out")),
        Cancel(("decoder_norm", "out"), ("head", "out")),
    ),
)  # fmt: skip

MOE = Family(
    roles={
        "embed.weight": "input", "positions": "positional", "head.weight": "output", "*.router.weight": "output",
        "*norm*.weight": "gain", "layers.*": "hidden",
    },
    blocks={"b": ("layers.0", "layers.1")},
    attention=("{b}.attention",),
    queries="{b}.attention.q.weight",
    sites=(
        _out("embed", "embed.weight"),
        *_self_attention("{b}"),
        _in("{b}.norm2"), _out("{b}.norm2", "{b}.norm2.weight", "{b}.experts.router.weight {b}.experts.up"),
        _in("{b}.experts.router", "{b}.experts.router.weight"),
        _out("{b}.experts.router", "{b}.experts.router.weight"),
        _out("{b}.experts", "{b}.experts.down"),
        _out("layers.0", "embed.weight positions layers.0.*.o.weight layers.0.experts.down",
             "layers.1.*.o.weight layers.1.experts.down"),
        _out("layers.1"), _in("norm"),
        _out("norm", "norm.weight", "head.weight"),
        _in("head", "head.weight", "norm.weight"),
        _out("head", "head.weight"),
    ),
    cancels=(
        Cancel(("{b}.attention.v", "out"), ("{b}.attention.o", "in")),
        Cancel(("{b}.attention.q", "out"), ("{b}.attention.k", "out")),
        Cancel(("norm", "out"), ("head", "out")),
    ),
)  # fmt: skip

SSM = Family(
    roles={
        "embed.weight": "input", "head.weight": "output", "*.x_proj.weight": "output", "*.dt_proj.weight": "input",
        "*norm.weight": "gain", "*.conv.weight": "gain", "*.D": "gain", "*.A_log": "bias", "*.bias": "bias",
        "*_proj.weight": "hidden",
    },
    blocks={"b": ("layers.0", "layers.1")},
    never_zero=("embed.weight",),
    sites=(
        _out("embed", "embed.weight"),
        _in("{b}.norm"), _out("{b}.norm", "{b}.norm.weight", "{b}.mixer.in_proj.weight"),
        _in("{b}.mixer.in_proj", "{b}.mixer.in_proj.weight", "{b}.norm.weight"),
        _out("{b}.mixer.in_proj", "{b}.mixer.in_proj.weight"),
        _in("{b}.mixer.conv", "{b}.mixer.conv.weight"),
        _out("{b}.mixer.conv", "{b}.mixer.conv.*"),
        _in("{b}.mixer.x_proj", "{b}.mixer.x_proj.weight"),
        _out("{b}.mixer.x_proj", "{b}.mixer.x_proj.weight"),
        _in("{b}.mixer.dt_proj", "{b}.mixer.dt_proj.weight"),
        _out("{b}.mixer.dt_proj", "{b}.mixer.dt_proj.*"),
        _in("{b}.mixer.out_proj", "{b}.mixer.out_proj.weight"),
        _out("{b}.mixer.out_proj", "{b}.mixer.out_proj.weight"),
        _out("{b}.mixer", "{b}.mixer.out_proj.weight"),
        _out("layers.0", "embed.weight layers.0.mixer.out_proj.weight", "layers.1.mixer.out_proj.weight"),
        _out("layers.1"), _in("norm"),
        _out("norm", "norm.weight", "head.weight"),
        _in("head", "head.weight", "norm.weight"),
        _out("head", "head.weight"),
    ),
    cancels=(
        Cancel(("{b}.norm", "out"), ("{b}.mixer.in_proj", "in")),
        Cancel(("norm", "out"), ("head", "out")),
    ),
)  # fmt: skip

FAMILIES = {
    "mlp": MLP, "gpt": _gpt("transformer.wte.weight"), "llama": LLAMA, "resnet": RESNET, "encdec": ENCDEC, "moe": MOE,
    "ssm": SSM,
}  # fmt: skip
UNTIED = {"gpt/table3": _gpt("lm_head.weight")}


def family_of(model: str) -> Family:
    """The family of a fixture such as `gpt/table3`."""
    return UNTIED.get(model, FAMILIES[model.split("/")[0]])
