"""A setting of the initialization that sets nothing.

## What it does
Builds the model once more with twice the value of every argument that is called like a setting of an initialization
(`initializer_range`, `init_std`, ...): something has to change, and of several weights of one shape in one module all
or none; a weight of just its size that stays there keeps a copy of its default. Looks at the bounds of truncations, and
at the names and marks (`hasattr(module, ...)`) that an initializing loop asks for.

## Why is this bad
Whoever tunes the setting, or derives it from the width, believes that the model follows. What it does not reach keeps
another law, often PyTorch's default.

## Example
    for name, p in self.named_parameters():
        if name.endswith("c_proj.weight"):            # the layer is called `proj`: no name ends like this
            nn.init.normal_(p, std=0.02 / math.sqrt(2 * self.n_layer))

    nn.init.trunc_normal_(w, std=0.02, a=-2, b=2)     # bounds of 100 standard deviations

## Fix
    if name.endswith("proj.weight"): ...
    nn.init.trunc_normal_(w, std=0.02, a=-2 * 0.02, b=2 * 0.02)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 3: the init of every weight has a law of its own, and
a weight that follows another one is wrong at every width but one.

## When it is fine
When the setting belongs to a part that this model leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class InitSetting(Rule):
    code = "MUP109"
    name = "init-setting"
    severity = "advice"
    summary = "a setting of the initialization should reach what it is there for"
    keys = any_role("init_setting")

    def message(self, d: Discrepancy) -> str:
        kind, _, name = d.detail.partition(": ")
        if kind == "none":
            return f"{name} changes no parameter: at {d.values[0]:g} and at twice that the model is the same"
        if kind == "part":
            stds = f" (std {d.values[1]:.3g}, beside {d.values[2]:.3g})" if len(d.values) == 3 else ""
            return f"{name} = {d.values[0]:g} does not reach {d.pattern}{stds}, and reaches the weights beside it"
        if kind == "bounds":
            return f"the bounds of trunc_normal_ are {d.values[1]:.3g} standard deviations away (std {d.values[0]:.3g})"
        return f"no name in the model is as this condition asks: {name!r}"

    def fix(self, d: Discrepancy) -> str:
        kind, _, name = d.detail.partition(": ")
        return {
            "none": f"use {name} where weights are initialised, or take it away",
            "part": f"initialise all of them by {name}, or none",
            "bounds": "give a and b in units of std: a=-2 * std, b=2 * std",
        }.get(kind, "ask for the name that the layer has: print([name for name, _ in model.named_parameters()])")

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "what it should set keeps another initialization"
