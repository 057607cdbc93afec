"""The bugs: where each is planted, and what theory says must be blamed for it.

Every expectation is worked out by hand from two invariants of a tensor's use: multiplier times init (A·B) and
multiplier times learning rate (A·C for Adam, A²·C for SGD). An init or a learning rate that is off alone shifts one of
them (MUP1xx, MUP3xx); a constant in the forward pass shifts both, and is one finding (MUP2xx). A readout whose A·B is
too small is legal, so a constant that shrinks it shows in A·C alone, where MUP3xx names it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from bugs.plant import Edit, Mutation, init, lr, positive

INIT, MULT, LR, SHARE, ADVICE = "MUP1", "MUP2", "MUP3", "MUP4", "MUP5"


@dataclass(frozen=True)
class Bug:
    """One bug.

    plant: a mutation of the built fixture, or edits of its source.
    tensors: patterns of the parameters to blame, none where a line is to blame.
    rules: prefixes of the codes that may say so.
    line: a snippet of the line to show, where no tensor is blamed.
    findings: how many violations, None where several tensors may or may not fold into one.
    """

    name: str
    fixture: str
    plant: Mutation | Edit | tuple[Edit, ...]
    tensors: tuple[str, ...]
    rules: tuple[str, ...]
    line: str = ""
    findings: int | None = 1
    advice: bool = False


def one(name: str, fixture: str, plant: Mutation | Edit, tensor: str, *rules: str) -> Bug:
    return Bug(name, fixture, plant, (tensor,), rules)


def init_bug(fixture: str, tensor: str, exponent: float, *rules: str) -> Bug:
    """An initialization off by m**exponent."""
    return one(f"init of {tensor} m^{exponent:+g}", fixture, init(tensor, exponent), tensor, *(rules or (INIT,)))


def lr_bug(fixture: str, tensor: str, exponent: float, *rules: str) -> Bug:
    """A learning rate off by m**exponent."""
    return one(f"lr of {tensor} m^{exponent:+g}", fixture, lr(tensor, exponent), tensor, *(rules or (LR,)))


def attention_bug(name: str, fixture: str, line: str, *edits: Edit) -> Bug:
    """A wrong scale of the attention logits: no tensor is to blame."""
    return Bug(f"attention {name}", fixture, edits, (), (MULT,), line=line)


# hidden: A·B = -1/2; input, bias, gain, positional: 0; output: at most -1
INITS = [
    init_bug("mlp/table3", "hidden.*.weight", 0.5),  # the same std at every width
    init_bug("mlp/table3_sgd", "hidden.*.weight", 0.5),
    init_bug("mlp/table8", "hidden.1.weight", 0.5),  # one among its siblings
    init_bug("mlp/table9", "hidden.2.weight", -0.5),  # std 1/fan_in
    init_bug("mlp/table3", "embed.weight", -0.5),
    init_bug("mlp/table8", "embed.weight", 0.5),
    init_bug("mlp/table9", "embed.weight", 0.5),  # Table 8's init with Table 9's multiplier
    init_bug("mlp/table9_sgd", "embed.weight", 0.5),
    init_bug("mlp/table3", "embed.bias", 0.5),
    init_bug("mlp/table9", "hidden.1.bias", 0.5),
    init_bug("mlp/table8", "hidden.*.bias", -0.5),  # drawn like the weights beside them
    init_bug("mlp/table3", "readout.weight", 0.5),  # the standard 1/sqrt(fan_in)
    init_bug("mlp/table8", "readout.weight", 0.5),
    init_bug("mlp/table9", "readout.weight", 0.5),
    init_bug("mlp/table8_sgd", "readout.weight", 1),
    init_bug("gpt/table8", "transformer.h.1.ln_2.weight", 0.5),
    init_bug("gpt/table9", "transformer.ln_f.weight", -0.5),
    init_bug("gpt/table8", "transformer.wpe.weight", 0.5),
    init_bug("gpt/table9", "transformer.wpe.weight", -0.5),
    init_bug("gpt/table3", "transformer.wte.weight", 0.5),
    init_bug("gpt/table8", "transformer.wte.weight", -0.5, INIT, SHARE),  # wrong as embedding, legal as readout
    init_bug("gpt/table8", "transformer.wte.weight", 0.5, INIT, SHARE),  # wrong in both uses, for one reason
    init_bug("gpt/table3", "lm_head.weight", 1),  # initialized like the embedding
    init_bug("gpt/table8", "transformer.h.1.attn.c_attn.weight", 0.5),
    init_bug("gpt/table3", "transformer.h.*.mlp.c_proj.weight", 0.5),
    init_bug("gpt/table9", "transformer.h.2.mlp.c_fc.weight", -0.5),
    init_bug("gpt/table8_sgd", "transformer.h.0.attn.c_proj.weight", 0.5),
    init_bug("llama/table3", "layers.*.attention.wk.weight", 0.5),
    init_bug("llama/table8", "layers.0.feed_forward.gate.weight", 0.5),
    init_bug("llama/table9", "tok_embeddings.weight", 0.5),
    init_bug("llama/table3", "output.weight", 0.5),
    init_bug("llama/table9", "layers.1.ffn_norm.weight", 0.5),
    init_bug("resnet/table3", "head.weight", 0.5),
    init_bug("resnet/table8", "layer1.0.bn1.weight", 0.5),
    # normalised at once, so what counts is the update relative to the init: either may be named
    init_bug("resnet/table8", "layer1.1.conv1.weight", 0.5, INIT, LR),
    init_bug("resnet/table3_adam", "layer2.0.conv2.weight", 0.5, INIT, LR),
    one("all positive", "mlp/table8", positive("hidden.1.weight"), "hidden.1.weight", INIT),
    one("all positive", "gpt/table8", positive("*.h.*.mlp.c_fc.weight"), "*.h.*.mlp.c_fc.weight", INIT),
    one("all positive", "llama/table3", positive("layers.*.up.weight"), "layers.*.up.weight", INIT),
]

# Adam, A·C: hidden and output -1, vectors 0. SGD, A²·C: hidden 0, vectors +1, output -1. Output bias: 0
RATES = [
    lr_bug("mlp/table3", "hidden.*.weight", 1),  # left at the base learning rate
    lr_bug("mlp/table8", "hidden.0.weight", 1),
    lr_bug("mlp/table9", "hidden.*.weight", 0.5),
    lr_bug("mlp/table8", "hidden.2.weight", -1),
    lr_bug("mlp/table3", "embed.weight", -1),  # given the hidden learning rate
    lr_bug("mlp/table8", "embed.bias", -1),
    lr_bug("mlp/table9", "hidden.1.bias", 0.5),
    lr_bug("mlp/table9", "embed.weight", -0.5),
    lr_bug("mlp/table3", "readout.weight", 1),
    lr_bug("mlp/table8", "readout.weight", -1, MULT),  # scaled by the multiplier and again here
    lr_bug("mlp/table9", "readout.weight", -0.5),
    lr_bug("mlp/table3", "readout.bias", -1),
    lr_bug("mlp/table3_sgd", "hidden.1.weight", -1),  # Adam's rule
    lr_bug("mlp/table3_sgd", "embed.weight", -1),
    lr_bug("mlp/table3_sgd", "readout.weight", 1),
    lr_bug("mlp/table8_sgd", "hidden.*.bias", -1),
    lr_bug("mlp/table8_sgd", "readout.weight", -1),
    lr_bug("mlp/table8_sgd", "readout.bias", 1),
    lr_bug("mlp/table9_sgd", "embed.bias", 1),
    lr_bug("mlp/table9_sgd", "hidden.*.weight", 1),
    lr_bug("gpt/table3", "transformer.wte.weight", -1),
    lr_bug("gpt/table3", "lm_head.weight", 1),
    lr_bug("gpt/table8", "transformer.wte.weight", -1, LR, SHARE),  # the tied tensor gets the readout's scale
    lr_bug("gpt/table8", "transformer.wpe.weight", -1),
    lr_bug("gpt/table9", "transformer.h.*.ln_1.weight", -0.5),
    lr_bug("gpt/table8", "transformer.h.*.attn.c_attn.bias", -1),
    lr_bug("gpt/table8", "transformer.h.*.attn.c_attn.weight", 1),  # a name-based rule missed the fused tensor
    lr_bug("gpt/table3", "transformer.h.2.mlp.c_proj.weight", 1),
    lr_bug("gpt/table8_sgd", "transformer.h.*.mlp.c_fc.weight", -1),
    lr_bug("gpt/table8_sgd", "transformer.wpe.weight", -1),
    lr_bug("gpt/table8_sgd", "transformer.wte.weight", -1, LR, SHARE),
    lr_bug("gpt/table9_sgd", "transformer.ln_f.weight", 1),
    lr_bug("llama/table8", "layers.1.attention.wv.weight", 1),
    lr_bug("llama/table9", "norm.weight", 0.5),
    lr_bug("llama/table3", "output.weight", 1),
    lr_bug("llama/table8", "layers.*.feed_forward.down.weight", 1),
    lr_bug("llama/table3", "tok_embeddings.weight", -1),
    lr_bug("resnet/table3", "stem.weight", -1),
    lr_bug("resnet/table8", "head.weight", -1),
    lr_bug("resnet/table8", "layer3.1.bn2.bias", -1),
    lr_bug("resnet/table9", "layer2.0.shortcut.0.weight", 1),
    lr_bug("resnet/table3_adam", "layer3.1.conv2.weight", 1),
    lr_bug("resnet/table8_adam", "bn.weight", -1),
    Bug("Adam's table with SGD", "mlp/table3", Edit("torch.optim.Adam(", "torch.optim.SGD("),
        ("embed.*", "hidden.*"), (LR,), findings=None),
    Bug("SGD's table with Adam", "mlp/table3_sgd",
        Edit("torch.optim.SGD(groups, momentum=0.9)", "torch.optim.Adam(groups)"),
        ("embed.*", "hidden.*"), (LR,), findings=None),
]  # fmt: skip

READOUT8, EMBED9 = "self.readout(x / self.m)", "self.embed(x) * self.m**0.5"
TIED8, JOIN9 = "self.lm_head(x) / self.config.m", "drop(x * math.sqrt(self.config.m))"
UNDER = (MULT, LR)  # a readout constant too small: seen in A·C alone
MULTIPLIERS = [
    one("no readout multiplier", "mlp/table8", Edit(READOUT8, "self.readout(x)"), "readout.weight", MULT),
    one("no readout multiplier", "mlp/table8_sgd", Edit(READOUT8, "self.readout(x)"), "readout.weight", MULT),
    one("readout multiplier twice", "mlp/table8", Edit(READOUT8, "self.readout(x / self.m**2)"),
        "readout.weight", *UNDER),
    one("readout multiplier on Table 3", "mlp/table3", Edit("self.readout(x)", READOUT8), "readout.weight", *UNDER),
    one("readout multiplier on Table 3", "mlp/table3_sgd", Edit("self.readout(x)", READOUT8),
        "readout.weight", *UNDER),
    one("no readout multiplier", "mlp/table9", Edit("weight) / self.m**0.5 +", "weight) +"), "readout.weight", MULT),
    one("readout multiplier 1/m", "mlp/table9", Edit("weight) / self.m**0.5 +", "weight) / self.m +"),
        "readout.weight", *UNDER),
    Bug("no input multiplier", "mlp/table9", Edit(EMBED9, "self.embed(x)"), ("embed.*",), (MULT,), findings=None),
    Bug("no input multiplier", "mlp/table9_sgd", Edit(EMBED9, "self.embed(x)"), ("embed.*",), (MULT,), findings=None),
    one("no bias multiplier", "mlp/table9", Edit("layer.bias * self.m**0.5", "layer.bias"), "hidden.*.bias", MULT),
    one("hidden layers as readouts", "mlp/table8", Edit("F.relu(layer(x))", "F.relu(layer(x / self.m))"),
        "hidden.*.weight", MULT),
    Bug("hidden layers as readouts, bias and all", "mlp/table3", Edit("F.relu(layer(x))", "F.relu(layer(x) / self.m)"),
        ("hidden.*",), (MULT,), findings=None),
    one("hidden multiplier", "mlp/table9", Edit("F.linear(x, layer.weight)", "self.m**0.5 * F.linear(x, layer.weight)"),
        "hidden.*.weight", MULT),
    Bug("sqrt(n) on the embeddings", "gpt/table8", Edit("drop(x)", "drop(x * self.config.n_embd**0.5)"),
        ("transformer.wte.weight", "transformer.wpe.weight"), (MULT,), findings=None),
    Bug("no multiplier after the sum", "gpt/table9", Edit(JOIN9, "drop(x)"),
        ("transformer.wte.weight", "transformer.wpe.weight"), (MULT,), findings=None),
    one("multiplier on one summand", "gpt/table8", Edit("wpe(pos)", "wpe(pos) / self.config.m"),
        "transformer.wpe.weight", MULT),
    one("no tied readout multiplier", "gpt/table8", Edit(TIED8, "self.lm_head(x)"),
        "transformer.wte.weight", MULT, SHARE),
    one("no tied readout multiplier", "gpt/table8_sgd", Edit(TIED8, "self.lm_head(x)"),
        "transformer.wte.weight", MULT, SHARE),
    one("tied readout multiplier twice", "gpt/table8", Edit(TIED8, TIED8 + "**2"),
        "transformer.wte.weight", *UNDER, SHARE),
    one("no tied readout multiplier", "gpt/table9",
        Edit("self.lm_head(x / math.sqrt(self.config.m))", "self.lm_head(x)"), "transformer.wte.weight", MULT, SHARE),
    one("readout multiplier on Table 3", "gpt/table3", Edit("self.lm_head(x)", TIED8), "lm_head.weight", *UNDER),
    Bug("branch multiplier", "gpt/table8",
        Edit("x + self.mlp(self.ln_2(x))", "x + self.mlp(self.ln_2(x)) * (64 / x.size(-1)) ** 0.5"),
        ("transformer.h.*.mlp.c_proj.*",), (MULT,), findings=None),
    Bug("no norm bias multiplier", "gpt/table9",
        Edit("None if self.bias is None else self.bias * self.root", "self.bias"),
        ("*ln_?.bias",), UNDER, findings=None),
    Bug("no gain multiplier", "gpt/table9", Edit("self.weight * self.root", "self.weight"),
        ("*ln_?.weight",), (MULT,), findings=None),
    one("no readout multiplier", "llama/table8", Edit(" * (1 / self.config.m)", ""), "output.weight", MULT),
    one("no readout multiplier", "llama/table9", Edit("self.output(self.norm(x) / self.config.m**0.5)",
        "self.output(self.norm(x))"), "output.weight", MULT),
    one("no embedding multiplier", "llama/table9", Edit("(tokens) * self.config.m**0.5", "(tokens)"),
        "tok_embeddings.weight", MULT),
    one("sqrt(n) on the embedding", "llama/table8", Edit("(tokens)\n", "(tokens) * self.config.dim**0.5\n"),
        "tok_embeddings.weight", MULT),
    one("gate divided by m", "llama/table3", Edit("F.silu(self.gate(x))", "F.silu(self.gate(x) * 64 / x.size(-1))"),
        "layers.*.feed_forward.gate.weight", MULT),
    one("no readout multiplier", "resnet/table8", Edit("self.head(x / self.m)", "self.head(x)"), "head.weight", MULT),
    one("readout multiplier on Table 3", "resnet/table3", Edit("self.head(x)", "self.head(x / self.m)"),
        "head.weight", *UNDER),
    one("readout bias divided as well", "resnet/table8_adam", Edit("self.head(x / self.m)", "self.head(x) / self.m"),
        "head.bias", *UNDER),
    one("no readout multiplier", "resnet/table9", Edit("F.linear(x / self.m**0.5,", "F.linear(x,"),
        "head.weight", MULT),
    Bug("no gain multiplier", "resnet/table9_adam", Edit("self.weight * self.root,", "self.weight,"),
        ("bn.weight", "*.bn?.weight", "*.shortcut.1.weight"), (MULT,), findings=None),
]  # fmt: skip

SCALE = "math.sqrt(BASE / config.n_head) / (config.n_embd / config.n_head)"
LLAMA_SCALE = "(BASE // config.n_heads) ** 0.5 / self.head_dim"
FLASH, EAGER = "F.scaled_dot_product_attention", "q @ k.transpose"
ROOT = "(config.n_embd // config.n_head) ** -0.5"
MORE_HEADS = Edit("GPTConfig(n_embd=width)", "GPTConfig(n_embd=width, n_head=width // 32)")
ATTENTION = [
    # d_head stays 32: only a constant is right
    attention_bug("1/sqrt(n) on more heads", "gpt/table8", FLASH, MORE_HEADS, Edit(SCALE, "config.n_embd**-0.5")),
    attention_bug("1/n on more heads", "gpt/table3", FLASH, MORE_HEADS, Edit(SCALE, "8 / config.n_embd")),
    attention_bug("1/sqrt(d)", "gpt/table8", FLASH, Edit(SCALE, ROOT)),
    attention_bug("1/sqrt(d)", "gpt/table8_sgd", FLASH, Edit(SCALE, ROOT)),
    attention_bug("default scale", "gpt/table3", FLASH, Edit(", scale=self.scale", "")),
    attention_bug("1/sqrt(d), eager", "gpt/table9", EAGER, Edit("flash = True", "flash = False"), Edit(SCALE, ROOT)),
    attention_bug("unscaled, eager", "gpt/table3", EAGER, Edit("flash = True", "flash = False"), Edit(SCALE, "0.2")),
    attention_bug("1/sqrt(d)", "llama/table8", EAGER, Edit(LLAMA_SCALE, "self.head_dim**-0.5")),
    attention_bug("default scale", "llama/table3", FLASH, Edit(", scale=self.scale", "")),
    attention_bug("1/d squared", "llama/table9", FLASH, Edit(LLAMA_SCALE, "32**1.5 / self.head_dim**2")),
    attention_bug("query scaled before", "gpt/table9", FLASH,
        Edit(f"y = {FLASH}(q,", f"y = {FLASH}(q * (C // self.n_head) ** 0.5,")),
]  # fmt: skip

VALUE_HEAD = (
    Edit(
        "        nn.init.normal_(self.embed.weight",
        "        self.value = nn.Linear(width, 1, bias=False)\n        nn.init.normal_(self.embed.weight",
    ),
    Edit("return self.readout(x / self.m)", "return self.readout(x / self.m) + self.value(x)"),
    Edit("[model.readout.weight]", "[model.readout.weight, model.value.weight]"),
)
ROUTER = (
    Edit("        self.gate = ", "        self.router = nn.Linear(config.dim, 4, bias=False)\n        self.gate = "),
    Edit("return self.down(", "return F.softmax(self.router(x), dim=-1)[..., :1] * self.down("),
)
DEPTHWISE = Edit("(channels_out, channels_out, 3,", "(channels_out, channels_out, 3, groups=channels_out,")
ONE_HEAD = (  # heads of fixed size, more and more of them, over one key and value head
    Edit("LlamaConfig(dim=width,", "LlamaConfig(n_heads=width // 32, dim=width,"),
    Edit(LLAMA_SCALE, "0.2"),
)
OTHERS = [
    Bug("second head forgotten", "mlp/table8", VALUE_HEAD, ("value.weight",), (INIT, MULT, LR), findings=None),
    Bug("router as a hidden weight", "llama/table8", ROUTER, ("layers.*.router.weight",), (INIT,)),
    Bug("depthwise kernel as a hidden weight", "resnet/table3_adam", DEPTHWISE, ("*.conv2.weight",), (LR,),
        findings=None),
    Bug("fixed kv head as a hidden weight", "llama/table3", ONE_HEAD, ("*.wk.weight", "*.wv.weight"), (INIT,),
        findings=None),
    Bug("width multiplier left at 1", "mlp/table8", Edit("width, width / BASE", "width, 1.0"),
        ("hidden.*.weight", "readout.weight"), (INIT, MULT, LR), findings=None),
    Bug("weight decay not compensated", "gpt/table3",
        Edit('hidden, "lr": learning_rate / m, "weight_decay": weight_decay * m',
             'hidden, "lr": learning_rate / m, "weight_decay": weight_decay'),
        ("transformer.h.*.c_*.weight",), (LR, ADVICE), findings=None, advice=True),
    Bug("L2 in Adam's gradient", "gpt/table8", Edit("optim.AdamW", "optim.Adam"),
        ("transformer.h.*.c_*.weight",), (LR, ADVICE), findings=None, advice=True),
]  # fmt: skip

BUGS = [*INITS, *RATES, *MULTIPLIERS, *ATTENTION, *OTHERS]
