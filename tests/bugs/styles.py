"""Known mistakes as other people write them.

One nn.Sequential with groups from names, bare parameters and einsum, and a model laid out like a published one.
"""

from __future__ import annotations

from bugs.plant import Edit
from bugs.row import Row

SLOW = 'if name.startswith("w")]'
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
]  # fmt: skip
