"""Known mistakes as other people write them.

One nn.Sequential with groups from names, bare parameters and einsum, and a model laid out like a published one.
"""

from __future__ import annotations

from bugs.plant import Edit
from bugs.row import Row

SLOW = 'if name.startswith("w")]'
ADAM = "return torch.optim.AdamW("
MUON = """for n, p in model.blocks.named_parameters() if p.ndim == 3]
    muon = torch.optim.Muon([p for p in model.blocks.parameters() if p.ndim == 2], lr=0.02 / m, weight_decay=0.0)"""
SHARES = 'shares, v, p["wo"])'
DIVIDE = "logits = logits / self.config.width_multiplier"
HIDDEN_NAMES = "HIDDEN = ("
LOGITS_ONLY_WITH_LABELS = (
    Edit(f"        {DIVIDE}\n", ""),
    Edit(
        "if labels is not None:\n            shifted",
        f"if labels is not None:\n            {DIVIDE}\n            shifted",
    ),
)


def style(
    number: str, name: str, fixture: str, rule: str, tensors: tuple[str, ...], *wrong: Edit, **more: object
) -> Row:
    return Row(number, name, f"styles/{fixture}", wrong, rule, tensors, **more)  # type: ignore[arg-type]


def grouped(number: str, name: str, rule: str, tensors: tuple[str, ...], pattern: str) -> Row:
    """Another expression for the names that get the hidden learning rate."""
    edit = Edit(r'(r"3\.\d+\.[13]\.weight", -1, True)', f'(r"{pattern}", -1, True)')
    return style(number, name, "sequential", rule, tensors, edit)


def listed(number: str, name: str, rule: str, tensors: tuple[str, ...], more: str) -> Row:
    """Another name among those that get the hidden learning rate; nothing decays."""
    still = (Edit("WEIGHT_DECAY = 64, 0.003, 0.1", "WEIGHT_DECAY = 64, 0.003, 0.0"),)
    return style(number, name, "published", rule, tensors, Edit(HIDDEN_NAMES, f'{HIDDEN_NAMES}"{more}", '), right=still)


STYLES = [
    grouped("B2", "an expression misses half of a block", "MUP301", ("3.*.3.weight",), r"3\.\d+\.1\.weight"),
    grouped("B2", "an expression misses a block", "MUP301", ("3.1.[13].weight",), r"3\.[02]\.[13]\.weight"),
    grouped("B12", "an expression takes in the input", "MUP302", ("1.weight",), r"(1|3\.\d+\.[13])\.weight"),
    grouped("B8", "an expression takes in the readout", "MUP203", ("6.weight",), r"(6|3\.\d+\.[13])\.weight"),
    style("B7", "readout without its scaling module", "sequential", "MUP202", ("5.weight",),
          Edit("        Scale(BASE / width), nn.Linear", "        nn.Linear")),
    style("B9", "a module that scales in training only", "sequential", "MUP210", ("6.weight",),
          Edit("return x * self.by", "return x * self.by if self.training else x"), says="only in eval mode"),
    style("B31", "another base width in the optimizer", "sequential", "MUP504", ("6.weight",),
          Edit("normalized_shape[0] / BASE", "normalized_shape[0] / 32"), says="1 at width 64"),
    style("B2", "groups by the number of dims", "einsum", "MUP301", ("blocks.w[qkvo]_?",),
          Edit(SLOW, "if p.dim() == 2]"),
          Edit('name.startswith("gain")', "p.dim() != 2")),
    style("B4", "1/d where only the head count grows, einsum", "einsum", "MUP201", (),
          Edit("math.sqrt(HEAD)\n", "self.width\n"), line='"bhqk,bhtk->bhqt"', found=-1.0, expected=0.0),
    style("B6", "a sum over heads divided by their number", "einsum", "MUP205", ("blocks.wo_?",),
          Edit(SHARES, f"{SHARES} / (self.width // HEAD)"), found=-1.0, expected=0.0),
    style("B10", "hidden activations divided by m", "einsum", "MUP205", ("blocks.w2_?",),
          Edit(".relu().square()", ".relu().square() * BASE / self.width"), found=-1.0, expected=0.0),
    style("B15", "fan_in is one head of the two summed dims", "einsum", "MUP101", ("blocks.wo_?",),
          Edit("fan_in=heads * HEAD", "fan_in=HEAD"), found=0.0, expected=-0.5),
    style("B9", "logits scaled with labels only", "published", "MUP210", ("lm_head.weight",), *LOGITS_ONLY_WITH_LABELS,
          says="only without labels", found=0.0, expected=-1.0),
    style("B5", "1/sqrt(d) where sdpa is off", "published", "MUP210", (),
          Edit("k.transpose(2, 3)) * self.scaling", "k.transpose(2, 3)) / self.head_dim**0.5"),
          says="only with use_sdpa = False", found=-0.5, expected=-1.0),
    listed("B12", "a name takes in the embedding", "MUP302", ("model.embed_tokens.weight",), "embed_tokens.weight"),
    listed("B12", "a name takes in the norms", "MUP305", ("*norm.weight",), "norm.weight"),
    listed("B12", "a name takes in biases", "MUP304", ("*_proj.bias",), "proj.bias"),
    style("B2", "names without the keys and values", "published", "MUP301", ("*.[kv]_proj.weight",),
          Edit('"k_proj.weight", "v_proj.weight", ', "")),
    style("B4", "1/n on normalised queries and keys of fixed size", "modern", "MUP201", (),
          Edit("scale=0.12", "scale=0.12 * BASE / x.size(-1)"), line="scaled_dot_product", found=-1.0, expected=0.0),
    style("B10", "a projection that starts at zero divided by m", "modern", "MUP205", ("*.mlp.c_proj.weight",),
          Edit("F.relu(self.c_fc(x)).square())", "F.relu(self.c_fc(x)).square()) * BASE / x.size(-1)"), found=-1.0),
    style("B23", "Muon's lr divided by m beside Adam's", "modern", "MUP313", ("*.c_*.weight",),
          Edit("for n, p in model.blocks.named_parameters() if p.ndim >= 2]", MUON),
          Edit(ADAM, f"return muon, {ADAM[7:]}")),
    style("B12", "scalars with the hidden lr", "modern", "MUP306", ("*lambdas", "skip_weights"),
          Edit('scalars, "lr": 0.04', 'scalars, "lr": 0.04 / m'), found=-1.0, expected=0.0),
    style("B16", "fused queries, keys and values drawn as at the base width", "modern", "MUP101", ("*.qkv_w",),
          Edit("0.5 * dim**-0.5", "0.5 * BASE**-0.5"), found=0.0, expected=-0.5),
    style("B15", "a transposed kernel drawn by a square", "recurrent", "MUP101", ("up.weight",),
          Edit("std=(2 * width) ** -0.5", "std=4 / width"), found=-1.0, expected=-0.5),
    style("B13", "the state's matrix in the base group", "recurrent", "MUP301", ("cell.w_h",),
          Edit(", id(model.cell.w_h)", ""), found=0.0, expected=-1.0),
    style("B10", "a recurrent product divided", "recurrent", "MUP205", ("cell.w_h",),
          Edit("(h @ self.w_h)", "(h @ self.w_h / self.width**0.5)"), found=-0.5, expected=0.0),
    style("B21", "Adam's table with SGD, recurrent", "recurrent", "MUP314",
          ("front.*", "norm.*", "cell.*", "up.*", "head.weight"), Edit("torch.optim.RMSprop", "torch.optim.SGD")),
    style("B17", "the inner width of a fused gate forgotten", "published", "MUP404",
          ("*.gate_up_proj.weight", "*.down_proj.weight"), Edit("3 * config.hidden_size", "192"),
          says="stays 192, 3 × the width at 64"),
    style("B2", "a name that the expression misses", "einsum", "MUP301", ("blocks.wo_?",),
          Edit(SLOW, 'if name.startswith("w") and "wo" not in name]'),
          Edit('startswith("gain")', 'startswith(("gain", "wo"))')),
    style("B2", "names in no group at all", "einsum", "MUP406", ("blocks.wo_?",),
          Edit(SLOW, 'if name.startswith("w") and "wo" not in name]'), says="in no param group"),
    style("B9", "the last of several heads", "experts", "MUP202", ("heads.2.weight",),
          Edit("[head(x / self.m) for head in self.heads]",
               "[head(x / self.m if k < 2 else x) for k, head in enumerate(self.heads)]"), found=0.0, expected=-1.0),
    style("B9", "a value head of two layers", "experts", "MUP202", ("value.2.weight",),
          Edit("(self.value[0](x)) / self.m)", "(self.value[0](x)))"), found=0.0, expected=-1.0),
    style("B29", "router not scaled, experts in a loop", "experts", "MUP202", ("moe?.gate.weight",),
          Edit("self.gate(tokens) / self.m", "self.gate(tokens)"), found=0.0, expected=-1.0),
    style("B2", "a name left out in routed and shared experts", "experts", "MUP301", ("moe*.w3.weight",),
          Edit('if "experts" in name or "shared" in name',
               'if ("experts" in name or "shared" in name) and "w3" not in name')),
    style("B2", "one expert left out", "experts", "MUP301", ("moe1.experts.2.*.weight",),
          Edit('if "experts" in name', 'if "experts" in name and "moe1.experts.2" not in name')),
    style("B10", "experts divided by m", "experts", "MUP205", ("moe*.w2.weight",),
          Edit("* self.w3(x))", "* self.w3(x) * BASE / x.shape[-1])"), found=-1.0, expected=0.0),
]  # fmt: skip
