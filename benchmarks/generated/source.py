"""From a walked network to the text of a file that muaudit reads."""

from __future__ import annotations

import re
from fractions import Fraction

from .architecture import BATCH, FEATURES, LAYERS, POSITIONS, WORDS
from .draw import Draw
from .scope import Scope, Shared

HEAD = '''"""{title}"""

import math

import torch
import torch.nn.functional as F
from torch import nn

BASE, FIRST, LAYERS, EPS = {base}, {first}, {layers}, {eps}
'''
HELPERS = {
    "forward only": "class Forward(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x, c):\n"
    "        return x * c\n\n    @staticmethod\n    def backward(ctx, g):\n        return g, None\n\n\n"
    "class Backward(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x, c):\n"
    "        ctx.c = c\n        return x.view_as(x)\n\n    @staticmethod\n    def backward(ctx, g):\n"
    "        return g * ctx.c, None\n",
    "scale": "def scale(x, factor):\n    return x * factor\n",
    "Scale": "class Scale(nn.Module):\n    def __init__(self, factor):\n        super().__init__()\n"
    "        self.factor = factor\n\n    def forward(self, x):\n        return x * self.factor\n",
}
TAIL = """
# (how it starts, std or value at the base width, exponent), and (learning rate there, exponent)
STARTS = {{
{starts}}}
RATES = {{
{rates}}}


def build(width):
    model, m = Net(width), width / BASE
    with torch.no_grad():
        for name, p in model.named_parameters():
            how, size, e = STARTS[name]
            if how == "normal":
                p.normal_(0, size * m**e)
            elif how == "uniform":
                p.uniform_(-size * 3**0.5 * m**e, size * 3**0.5 * m**e)
            elif how == "zero":
                p.zero_()
            else:
                p.fill_(size * m**e)
    return model


def batch(width):
    {batch}


def loss(out, given):
    {loss}


def optimizer(model):
    m = model.width / BASE
{optimizer}


widths = {widths}
"""


def number(value: Fraction) -> str:
    return f"{float(value):g}"


def text(shared: Shared, returned: str, kind: str, draw: Draw, title: str, exponents: dict[str, list[Fraction]],
         widths: tuple[int, int], base: int) -> str:  # fmt: skip
    """The whole file. exponents: of every constant, by instance."""
    parts = [HEAD.format(title=title, base=base, first=widths[0], layers=LAYERS, eps="1e-12")]
    parts += [HELPERS[h] for h in sorted(shared.helpers)]
    for scope in shared.classes:
        parts.append(_class(scope, returned if scope.name == "Net" else "", exponents))
    parts.append(_tail(shared, returned, kind, draw, widths, base))
    return "\n\n".join(parts)


def _class(scope: Scope, returned: str, exponents: dict[str, list[Fraction]]) -> str:
    args = "self, width" if scope.name == "Net" else "self, width, index"
    keep = [] if scope.name == "Net" else ["self.index = index"]
    lines = [f"class {scope.name}(nn.Module):", f"    def __init__({args}):", "        super().__init__()",
             "        self.width = width"]  # fmt: skip
    lines += [f"        {line}" for line in [*keep, *scope.init]]
    for method in scope.methods:
        lines += ["", *(f"    {line}" for line in method.split("\n"))]
    lines += ["", "    def forward(self, x):", *(f"        {line.text}" for line in scope.forward)]
    if returned:
        lines.append(f"        return {returned}")

    def filled(match: re.Match[str]) -> str:
        values = exponents[match[1]]
        if len(set(values)) == 1:
            return number(values[0]) if values[0] >= 0 else f"({number(values[0])})"
        index = "self.index" if in_method else "index"
        return f"({', '.join(map(number, values))})[{index}]"

    made = []
    in_method = False
    for line in lines:
        in_method = (in_method or line.startswith("    def ")) and not line.startswith("    def __init__")
        made.append(re.sub("⟦(.*?)⟧", filled, line))
    return "\n".join(made) + "\n"


def _tail(shared: Shared, returned: str, kind: str, draw: Draw, widths: tuple[int, int], base: int) -> str:
    starts, rates = [], []
    eps = {t.name: t.eps for t in shared.truth.tensors.values() if t.eps is not None}
    plain = 0.1 if shared.truth.optimizer == "sgd" else 0.001
    for t in shared.truth.tensors.values():
        size = t.size * base ** (-0.5 * t.k if t.p or t.law == "equal" else -1.0 * t.k)
        zero = t.start == "zero"
        starts.append(f'    "{t.name}": ("{t.start}", {size:.4g}, {number(Fraction(0) if zero else t.init)}),\n')
        rates.append(f'    "{t.name}": ({plain}, {number(t.rate)}),\n')
    data = {
        "vector": f"return torch.randn({BATCH}, {FEATURES}, generator=torch.Generator().manual_seed(0))",
        "sequence": f"return torch.randn({BATCH}, {POSITIONS}, {FEATURES}, generator=torch.Generator().manual_seed(0))",
        "tokens": f"return torch.randint({WORDS}, ({BATCH}, {POSITIONS}), generator=torch.Generator().manual_seed(0))",
    }[kind]
    return TAIL.format(starts="".join(starts), rates="".join(rates), batch=data, loss=_loss(returned),
                       optimizer=_optimizer(shared.truth.optimizer, draw, eps), widths=widths)  # fmt: skip


def _loss(returned: str) -> str:
    two = "," in returned
    first = "out[0]" if two else "out"
    lines = [f"logits = {first}.flatten(0, -2)",
             "targets = torch.arange(len(logits)) * 7 % 3",
             "total = F.cross_entropy(logits, targets)"]  # fmt: skip
    if two:
        lines.append("total = total + (out[1] - 1).square().mean()")
    return "\n    ".join([*lines, "return total"])


def _optimizer(family: str, draw: Draw, eps: dict[str, float]) -> str:
    if family == "sgd":
        call = draw("sgd", "SGD(groups, lr=0.1)", "SGD(groups, lr=0.1, momentum=0.9)")
    else:
        call = draw("adam", "Adam(groups, lr=0.001, eps=1e-30)", "AdamW(groups, lr=0.001, eps=1e-30, weight_decay=0.0)",
                    "NAdam(groups, lr=0.001, eps=1e-30)", "RMSprop(groups, lr=0.001, eps=1e-30)",
                    "Adamax(groups, lr=0.001, eps=1e-30)", weights=(4, 3, 0.5, 0.5, 0.5))  # fmt: skip
    style = draw("groups", "each", "alike")
    if eps:
        rate = '"lr": RATES[n][0] * m ** RATES[n][1]'
        groups = [f"eps = {eps}", f'groups = [{{"params": [p], {rate}, "eps": eps.get(n, 1e-30)}}',
                  "          for n, p in model.named_parameters()]"]  # fmt: skip
    elif style == "each":
        groups = [
            'groups = [{"params": [p], "lr": RATES[n][0] * m ** RATES[n][1]} for n, p in model.named_parameters()]'
        ]
    else:
        groups = ["alike = {}", "for name, p in model.named_parameters():",
                  "    alike.setdefault(RATES[name], []).append(p)",
                  'groups = [{"params": ps, "lr": rate * m**e} for (rate, e), ps in alike.items()]']  # fmt: skip
    return "\n".join(f"    {line}" for line in [*groups, f"return torch.optim.{call}"])
