"""NeMo AutoModel: `param_group_overrides` of a YAML file, regular expressions; the first that is found counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from ...plan.plan import Plan
from .framework import Framework, FrameworkRule, header, regex, searched, start_rows


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    notes = [*header(plan), "The first pattern that is found in a name counts; what none finds keeps the tuned values."]
    if any(rule.eps != 1.0 for rule in rules):
        notes.append("eps is one number there: where gradients get near it, the plan's factors on it are missing.")
    notes.append("lr_mult is read by AutoModel's own scheduler alone, never by one of torch.optim.lr_scheduler.")
    notes.append("Initializations: a factor, and the rms of the entries at this width before and after it.")
    notes += [
        f"  {name}: {scale:g}, {_shown(before)}, {_shown(after)}" for name, scale, before, after in start_rows(plan)
    ]
    notes += [f"Multiplier on the {hook.on} of {hook.module}: {plan.multiplier(hook):g}" for hook in plan.hooks]
    overrides = [{"pattern": rule.pattern, "lr_mult": rule.lr, "wd_mult": rule.weight_decay} for rule in rules]
    data = {"optimizer": {"param_group_overrides": overrides}}
    text = "".join(f"# {note}\n" for note in notes) + yaml.safe_dump(data, sort_keys=False, width=200)
    return {"automodel_groups.yaml": text}


def _shown(rms: float | None) -> str:
    return "not known" if rms is None else f"{rms:g}"


AUTOMODEL = Framework(searched, regex, True, _files)
