"""The catalogue of known mistakes, row by row: a right model, the edit that plants the mistake, the one finding for it.

What must be found is worked out by hand (DESIGN 3.6 by role and optimizer); the right model must give no finding at
all, advice included.
"""

from __future__ import annotations

from bugs.plant import Edit
from bugs.row import Row
from bugs.styles import STYLES

LAMBDA = "torch.optim.lr_scheduler.LambdaLR(optimizer, factor)"
KINDS = "torch.optim.lr_scheduler."
MATRICES = ("hidden.*.weight", "readout.weight")
BY_HAND = Edit(
    f"    return {LAMBDA}",
    "    def write(step):\n        for group in optimizer.param_groups:\n"
    '            group["lr"] = LR * factor(step)\n\n    return write',
)
SCALED = Edit(
    '[{"params": vectors, "lr": LR}, {"params": matrices, "lr": LR / m}]',
    '[{"params": vectors, "lr_scale": 1.0}, {"params": matrices, "lr_scale": 1 / m}], lr=LR',
)
SCALED_WRITE = Edit(BY_HAND.old, BY_HAND.new.replace("factor(step)", 'factor(step) * group["lr_scale"]'))


def scheduled(name: str, *wrong: Edit, says: str, line: str = "", **more: object) -> Row:
    """After the schedule the matrices' learning rate is the same at every width, where it must be 1/m."""
    expectation = {"found": 0.0, "expected": -1.0, "tensors": MATRICES} | more
    return Row("B14", name, "bugs/schedule", wrong, "MUP307", says=says, line=line, **expectation)  # type: ignore[arg-type]


SCHEDULES = [
    scheduled(
        "OneCycle with one maximum",
        Edit(LAMBDA, KINDS + "OneCycleLR(optimizer, LR, total_steps=STEPS)"),
        says="OneCycleLR: learning rate",
        line="OneCycleLR(",
    ),
    scheduled(
        "a shared eta_min",
        Edit(LAMBDA, KINDS + "CosineAnnealingLR(optimizer, STEPS, eta_min=LR / 10)"),
        says="CosineAnnealingLR at its floor",
        line="CosineAnnealingLR(",
    ),
    scheduled("an absolute learning rate", BY_HAND, says="write: learning rate"),
    scheduled(
        "lr_scale is never used",
        Edit(' * group["lr_scale"]', ""),
        right=(SCALED, SCALED_WRITE),
        says="never uses the groups' lr_scale",
    ),
]

# one path only: what holds on the first path holds on no other
SCALED_LOGITS = "att = (q @ k.transpose(-2, -1)) * self.scale"
TIED = "logits = self.lm_head(x) / self.config.m"
TRAINING_ONLY = Edit(TIED, "logits = self.lm_head(x) / (self.config.m if self.training else 1.0)")
TARGETS_ONLY = Edit(TIED, "logits = self.lm_head(x) / (1.0 if targets is None else self.config.m)")
READOUT = ("transformer.wte.weight",)


def path(number: str, name: str, *wrong: Edit, says: str, right: tuple[Edit, ...] = (), **more: object) -> Row:
    expectation = {"found": 0.0, "expected": -1.0, **more}
    return Row(number, name, "gpt/table8", wrong, "MUP210", says=says, right=right, **expectation)  # type: ignore[arg-type]


PATHS = [
    path(
        "B5",
        "1/sqrt(d) on the eager path",
        Edit(SCALED_LOGITS, "att = (q @ k.transpose(-2, -1)) / (C // self.n_head) ** 0.5"),
        says="only with flash = False",
        line="q @ k.transpose",
        found=-0.5,
    ),
    path(
        "B5",
        "no scale for the flash kernel",
        Edit(", scale=self.scale)", ")"),
        right=(Edit("self.flash = True", "self.flash = False"),),
        says="only with flash = True",
        line="scaled_dot_product_attention",
        found=-0.5,
    ),
    path("B5", "logits scaled in training only", TRAINING_ONLY, tensors=READOUT, says="only in eval mode"),
    path(
        "B9",
        "logits scaled in training only, with dropout",
        TRAINING_ONLY,
        right=(Edit("dropout: float = 0.0", "dropout: float = 0.1"),),
        tensors=READOUT,
        says="only in eval mode",
    ),
    path("B9", "logits scaled with targets only", TARGETS_ONLY, tensors=READOUT, says="only without targets"),
    path(
        "B9",
        "logits of the last position not scaled",
        Edit("return logits, None", "return self.lm_head(x[:, [-1], :]), None"),
        tensors=READOUT,
        says="only without targets",
    ),
    Row(
        "B9",
        "value head",
        "bugs/heads",
        (Edit("self.value(x / self.m)", "self.value(x)"),),
        "MUP202",
        ("value.weight",),
        line="self.value(x)",
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B9",
        "auxiliary head",
        "bugs/heads",
        (Edit("self.next(x / self.m)", "self.next(x)"),),
        "MUP202",
        ("next.weight",),
        line="self.next(x)",
        found=0.0,
        expected=-1.0,
    ),
]

# initialization
INIT = [
    Row(
        "B1",
        "hook before the usual init",
        "bugs/hook",
        (Edit("        self.apply(usual)\n        rescale(self)", "        rescale(self)\n        self.apply(usual)"),),
        "MUP108",
        MATRICES,
        found=0.0,
        says="was undone",
    ),
    Row(
        "B1",
        "hook twice",
        "bugs/hook",
        (Edit("rescale(self)\n", "rescale(self)\n        rescale(self)\n"),),
        "MUP108",
        ("hidden.*.weight",),
        found=-1.0,
        expected=-0.5,
        says="applied twice",
    ),
    Row(
        "B2",
        "the init rule misses the fused tensor",
        "gpt/table8",
        (
            Edit(
                "            nn.init.normal_(module.weight, std=0.02 / math.sqrt(self.config.m))",
                "            fused = module.out_features == 3 * module.in_features\n            "
                "nn.init.normal_(module.weight, std=0.02 if fused else 0.02 / math.sqrt(self.config.m))",
            ),
        ),
        "MUP101",
        ("*.c_attn.weight",),
        found=0.0,
        expected=-0.5,
    ),
    Row(
        "B2",
        "the lr rule misses the fused tensor",
        "gpt/table8",
        (
            Edit('"transformer.h" in name]', '"transformer.h" in name and "c_attn" not in name]'),
            Edit('"lr": learning_rate, "weight_decay": 0.0', '"lr": learning_rate, "weight_decay": 0.0'),
        ),
        "MUP301",
        ("*.c_attn.weight",),
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B3",
        "biases drawn like weights",
        "mlp/table8",
        (Edit("nn.init.normal_(layer.bias, std=0.1)", "nn.init.normal_(layer.bias, std=0.8 * width**-0.5)"),),
        "MUP104",
        ("hidden.*.bias",),
        found=-0.5,
        expected=0.0,
    ),
    Row(
        "B3",
        "gains drawn like weights",
        "gpt/table8",
        (
            Edit(
                '            if name.endswith("c_proj.weight"):',
                '            if "ln_" in name and name.endswith("weight"):\n'
                "                nn.init.normal_(p, std=config.n_embd**-0.5)\n"
                '            if name.endswith("c_proj.weight"):',
            ),
        ),
        "MUP105",
        ("*ln_?.weight",),
        found=-0.5,
        expected=0.0,
    ),
]

# attention and readout
SCALE = "math.sqrt(BASE / config.n_head) / (config.n_embd / config.n_head)"
SHIPPED = "scale=self.scale)"
READ = Edit("self.readout(x / self.m)", "self.readout(x)")
READOUTS = [
    Row(
        "B4",
        "1/sqrt(d_head)",
        "gpt/table8",
        (Edit(SCALE, "(config.n_embd // config.n_head) ** -0.5"),),
        "MUP201",
        line="scaled_dot_product_attention",
        found=-0.5,
        expected=-1.0,
    ),
    Row(
        "B4",
        "the default scale",
        "gpt/table8",
        (Edit(", scale=self.scale", ""),),
        "MUP201",
        line="scaled_dot_product_attention",
        found=-0.5,
        expected=-1.0,
    ),
    Row(
        "B4",
        "1/d_head where only the head count grows",
        "gpt/table3",
        (Edit("self.scale = 0.2", "self.scale = 8 / config.n_embd"),),
        "MUP201",
        right=(Edit("GPTConfig(n_embd=width)", "GPTConfig(n_embd=width, n_head=width // 32)"), Edit(SCALE, "0.2")),
        line="scaled_dot_product_attention",
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B6",
        "attention factor on the output, flash",
        "gpt/table8",
        (Edit(SHIPPED, "scale=1.0) * self.scale"),),
        "MUP209",
        right=(Edit("self.flash = True", "self.flash: bool = True"),),
        line="scaled_dot_product_attention",
        found=-1.0,
        says="multiplies it, and the logits have none",
    ),
    Row(
        "B6",
        "attention factor on the output, eager",
        "llama/table8",
        (Edit(" * self.scale", ""), Edit('float("-inf")), dim=-1) @ v', 'float("-inf")), dim=-1) @ v * self.scale')),
        "MUP209",
        line="@ v * self.scale",
        found=-1.0,
    ),
    Row("B7", "readout not scaled", "mlp/table8", (READ,), "MUP202", ("readout.weight",), found=0.0, expected=-1.0),
    Row("B7", "readout not scaled, SGD", "mlp/table8_sgd", (READ,), "MUP202", ("readout.weight",), found=0.0),
    Row(
        "B7",
        "readout not scaled, llama",
        "llama/table8",
        (Edit(" * (1 / self.config.m)", ""),),
        "MUP202",
        ("output.weight",),
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B8",
        "readout scaled twice",
        "mlp/table8",
        (Edit("self.readout(x / self.m)", "self.readout(x / self.m**2)"),),
        "MUP203",
        ("readout.weight",),
        found=-2.0,
        expected=-1.0,
    ),
    Row(
        "B8",
        "readout scaled by multiplier and lr",
        "mlp/table8",
        (Edit('[model.readout.weight], "lr": LR}', '[model.readout.weight], "lr": LR / m}'),),
        "MUP203",
        ("readout.weight",),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B10",
        "hidden layer as readout",
        "mlp/table8",
        (Edit("F.relu(layer(x))", "F.relu(layer(x / self.m))"),),
        "MUP205",
        ("hidden.*.weight",),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B11",
        "the readout's init on a tied embedding",
        "gpt/table8",
        (
            Edit(
                "self.lm_head.weight = self.transformer.wte.weight  #",
                "self.lm_head.weight = self.transformer.wte.weight\n"
                "        nn.init.normal_(self.lm_head.weight, std=0.02 / config.m)  #",
            ),
        ),
        "MUP102",
        READOUT,
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B11",
        "a scaled learning rate on a tied embedding",
        "gpt/table8",
        (Edit("if p.dim() == 2 and", 'if name == "transformer.wte.weight" or p.dim() == 2 and'),),
        "MUP302",
        READOUT,
        found=-1.0,
        expected=0.0,
    ),
]

# learning rates
RATES = [
    Row(
        "B12",
        "positional table with the hidden lr",
        "gpt/table8",
        (Edit("if p.dim() == 2 and", 'if name == "transformer.wpe.weight" or p.dim() == 2 and'),),
        "MUP302",
        ("transformer.wpe.weight",),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B12",
        "a state space table with the hidden lr",
        "ssm/table8",
        (Edit('"out_proj.weight"))]', '"out_proj.weight", "A_log"))]'),),
        "MUP304",
        ("*.A_log",),
        right=(Edit("WEIGHT_DECAY = 0.1", "WEIGHT_DECAY = 0.0"),),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B12",
        "norms with the hidden lr",
        "resnet/table8_adam",
        (
            Edit(
                "[p for p in model.parameters() if p.dim() == 4 and p",
                '[p for n, p in model.named_parameters() if (p.dim() == 4 or p.dim() == 1 and "weight" in n) and p',
            ),
            Edit("if p.dim() == 1 and", "if p.dim() == 1 and all(p is not q for q in hidden) and"),
        ),
        "MUP305",
        ("bn.weight", "*.bn?.weight", "*.shortcut.1.weight"),
        right=(Edit("WEIGHT_DECAY = 0.05", "WEIGHT_DECAY = 0.0"),),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B13",
        "hidden weights in the base group",
        "mlp/table8",
        (Edit('"lr": LR / m', '"lr": LR'),),
        "MUP301",
        ("hidden.*.weight",),
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B19",
        "plain Adam where the class scales",
        "gpt/table8",
        (Edit("learning_rate / m", "learning_rate"), Edit("weight_decay * m", "weight_decay")),
        "MUP301",
        ("*.h.*.c_*.weight",),
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B19",
        "Adam where AdamW is meant",
        "gpt/table8",
        (Edit("torch.optim.AdamW", "torch.optim.Adam"),),
        "MUP312",
        ("*.h.*.c_*.weight",),
    ),
    Row(
        "B20",
        "weight decay not compensated",
        "gpt/table8",
        (Edit("weight_decay * m", "weight_decay"),),
        "MUP310",
        ("*.h.*.c_*.weight",),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B20",
        "weight decay compensated twice",
        "gpt/table8",
        (Edit("weight_decay * m", "weight_decay * m**2"),),
        "MUP310",
        ("*.h.*.c_*.weight",),
        found=1.0,
        expected=0.0,
    ),
    Row(
        "B21",
        "Adam's table with SGD",
        "mlp/table3",
        (Edit("torch.optim.Adam(", "torch.optim.SGD("),),
        "MUP314",
        ("embed.*", "hidden.*"),
        says="the table for Adam, and the optimizer is SGD",
    ),
    Row(
        "B21",
        "SGD's table with Adam",
        "mlp/table3_sgd",
        (Edit("torch.optim.SGD(groups, momentum=0.9)", "torch.optim.Adam(groups)"),),
        "MUP314",
        ("embed.*", "hidden.*"),
        says="the table for SGD, and the optimizer is Adam",
    ),
    Row(
        "B22",
        "eps above the gradients at the target width",
        "gpt/table8",
        (Edit("eps=1e-15", "eps=1e-5"),),
        "MUP311",
        ("*",),
        target_width=65_536,
        right=(Edit("betas=betas)", "betas=betas, eps=1e-15)"),),
    ),
    Row(
        "B23",
        "Muon's lr divided by m",
        "bugs/muon",
        (Edit("lr=0.02,", "lr=0.02 / model.m,"),),
        "MUP313",
        ("up.*.weight", "down.*.weight"),
        found=-1.0,
        expected=0.0,
    ),
    Row(
        "B23",
        "Muon scaled to match Adam",
        "bugs/muon",
        (Edit("lr=0.02,", 'lr=0.02, adjust_lr_fn="match_rms_adamw",'),),
        "MUP313",
        ("up.*.weight", "down.*.weight"),
        found=0.0,
        expected=-0.5,
    ),
    Row(
        "B23",
        "Muon scaled to match Adam, and divided by m",
        "bugs/muon",
        (Edit("model.m**0.5", "model.m"),),
        "MUP313",
        ("up.*.weight", "down.*.weight"),
        found=-1.0,
        expected=-0.5,
        right=(Edit("lr=0.02,", 'lr=0.02 / model.m**0.5, adjust_lr_fn="match_rms_adamw",'),),
    ),
    Row(
        "B26",
        "weight decay on vectors",
        "gpt/table8",
        (Edit('"weight_decay": 0.0}', '"weight_decay": weight_decay}'),),
        "MUP503",
        ("*.bias", "*ln*.weight"),
    ),
    Row(
        "B26",
        "trained gains",
        "llama/table8",
        (Edit(", requires_grad=False", ""),),
        "MUP505",
        ("*norm.weight",),
        right=(
            Edit("torch.ones(dim))", "torch.ones(dim), requires_grad=False)"),
            Edit("WEIGHT_DECAY = 0.1", "WEIGHT_DECAY = 0.0"),
        ),
        profile="lingle",
    ),
]

# structure
DEPTHWISE = Edit("(channels_out, channels_out, 3,", "(channels_out, channels_out, 3, groups=channels_out,")
ONE_KV = (
    Edit("LlamaConfig(dim=width,", "LlamaConfig(n_heads=width // 32, dim=width,"),
    Edit("(BASE // config.n_heads) ** 0.5 / self.head_dim", "0.2"),
)
LAST_INIT = "nn.init.normal_(self.output.weight, std=BASE**0.5 / config.dim)\n"
FINITE_KV = Edit(
    LAST_INIT,
    LAST_INIT
    + "        for layer in self.layers:\n"
    + "            for module in (layer.attention.wk, layer.attention.wv):\n"
    + "                nn.init.normal_(module.weight, std=BASE**0.5 / config.dim)\n",
)
STRUCTURE = [
    Row(
        "B15",
        "fan_in from the wrong axis, init",
        "bugs/growth",
        (Edit("std=d_ff**-0.5", "std=d_model**-0.5"),),
        "MUP101",
        ("experts.down",),
    ),
    Row(
        "B15",
        "fan_in from the wrong axis, lr",
        "bugs/growth",
        (Edit("model.d_ff / D_FF", "model.d_model / D_MODEL"),),
        "MUP301",
        ("experts.down",),
    ),
    Row(
        "B15",
        "Conv1D read as Linear",
        "bugs/growth",
        (Edit("attention.out.weight.shape[0]", "attention.out.weight.shape[1]"),),
        "MUP301",
        ("attention.out.weight",),
    ),
    Row(
        "B16",
        "gate and up by the fused fan_out",
        "bugs/growth",
        (
            Edit(
                "nn.init.normal_(self.gate_up, std=d_model**-0.5)",
                "nn.init.normal_(self.gate_up, std=(2 * d_ff) ** -0.5)",
            ),
        ),
        "MUP101",
        ("experts.gate_up",),
    ),
    Row(
        "B28",
        "depthwise kernel with the hidden lr",
        "resnet/table3_adam",
        (Edit(" and p.shape[1] > 1", ""),),
        "MUP305",
        ("*.conv2.weight",),
        found=-1.0,
        expected=0.0,
        right=(
            DEPTHWISE,
            Edit('"weight_decay": WEIGHT_DECAY * m', '"weight_decay": 0.0', count=2),
            Edit(
                "[p for p in model.parameters() if p.dim() == 4 and",
                "[p for p in model.parameters() if p.dim() == 4 and p.shape[1] > 1 and",
            ),
            Edit(
                "if p.dim() == 1 and p is not model.head.bias]",
                "if p.dim() == 1 and p is not model.head.bias]\n"
                "    taken = hidden + vectors\n"
                "    vectors += [p for p in model.parameters() if p.dim() == 4 and all(p is not q for q in taken)]",
            ),
        ),
    ),
    Row(
        "B29",
        "router with the hidden lr",
        "moe/table8",
        (Edit('if "router" in name]', 'if "gate" in name]'),),
        "MUP203",
        ("*.router.weight",),
    ),
    Row(
        "B29",
        "router not scaled",
        "moe/table8",
        (Edit("self.router(x) / self.m", "self.router(x)"),),
        "MUP202",
        ("*.router.weight",),
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B29",
        "expert fan_in is the expert count",
        "moe/table8",
        (Edit("nn.init.normal_(self.up, std=width**-0.5)", "nn.init.normal_(self.up, std=self.up.shape[0] ** -0.5)"),),
        "MUP101",
        ("*.experts.up",),
        found=0.0,
        expected=-0.5,
    ),
    Row(
        "B30",
        "kv heads at the ratio of the query heads",
        "bugs/growth",
        (Edit("attention.out.weight.shape[0] / D_MODEL", "attention.kv_heads"),),
        "MUP301",
        ("attention.out.weight",),
    ),
    Row(
        "B31",
        "two base widths",
        "mlp/table8",
        (Edit("self.readout(x / self.m)", "self.readout(x * 128 / self.width)"),),
        "MUP504",
        ("readout.weight",),
        says="1 at width 128, the learning rates of the groups are equal at 64",
    ),
]

STRUCTURE += [
    Row(
        "B24",
        "a copy loses the markers",
        "bugs/markers",
        (Edit("WRAP = False", "WRAP = True"),),
        "MUP301",
        ("hidden.*.weight",),
        found=0.0,
        expected=-1.0,
    ),
    Row(
        "B17",
        "the feed-forward width forgotten",
        "llama/table8",
        (Edit("d_ff=3 * width", "d_ff=192"),),
        "MUP404",
        ("*.gate.weight", "*.up.weight", "*.down.weight"),
        says="stays 192, 3 × the width at 64",
    ),
    Row(
        "B30",
        "a fixed kv head as a hidden weight",
        "llama/table3",
        (Edit("(layer.attention.wk, layer.attention.wv)", "(layer.attention.wv,)"),),
        "MUP103",
        ("*.wk.weight",),
        right=(*ONE_KV, FINITE_KV),
        found=-0.5,
        expected=-1.0,
    ),
    Row(
        "B30",
        "keys and values of a fixed kv head as hidden weights",
        "llama/table3",
        (Edit("(layer.attention.wk, layer.attention.wv)", "()"),),
        "MUP103",
        ("*.w[kv].weight",),
        right=(*ONE_KV, FINITE_KV),
        found=-0.5,
        expected=-1.0,
    ),
]

ROWS = [*SCHEDULES, *PATHS, *INIT, *READOUTS, *RATES, *STRUCTURE, *STYLES]


def right_models() -> list[Row]:
    """One row for each right model: most rows plant their mistake in a model that others start from too."""
    return list({(row.fixture, row.right, row.profile, row.target_width): row for row in ROWS}.values())
