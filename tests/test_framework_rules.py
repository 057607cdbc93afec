"""Rules for training frameworks, matched as these do it: the matching is written down here again, after their sources.

torchtitan: `OptimizersContainer._build_param_groups` searches regular expressions in order and refuses one that finds
nothing. OLMo-core: `OptimConfig.build_groups` takes globs in order. AutoModel: `re.search`. None of them installs here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from bugs.plant import FIXTURES, load
from program import app
from test_convert import target_of
from torch import nn

import muaudit
from muaudit.convert.framework_rules import FRAMEWORKS, emitted
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.plan import Plan
from muaudit.targets import from_functions
from muaudit.targets.whole import sizes_at

LR, WD, EPS = 3e-3, 0.1, 1e-8
FAMILIES = ("gpt", "llama", "moe")


@cache
def subject(family: str) -> tuple[Plan, nn.Module]:
    if family == "moe":
        made = load(FIXTURES / "moe" / "table8.py")
        target = from_functions(made.build, batch=made.batch, loss=made.loss, optimizer="adamw", widths=made.widths)
    else:
        target = target_of(family, "adamw")
    plan = make_plan(target, 64, 128)
    return plan, target.build(sizes_at(target, 128), 0)


def names(family: str) -> list[str]:
    return [name for name, _ in subject(family)[1].named_parameters()]


def expected(family: str) -> dict[str, tuple[float, float, float]]:
    """By the plan's own groups."""
    plan, model = subject(family)
    held = {id(p): g for g in plan.param_groups(model, lr=LR, weight_decay=WD, eps=EPS) for p in g["params"]}
    return {
        name: tuple(held[id(p)][key] for key in ("lr", "weight_decay", "eps")) for name, p in model.named_parameters()
    }


def run(text: str, module: str, **members: Any) -> Mapping[str, Any]:
    """A file that was written, with a stand-in for the framework."""
    stand_in, parent = ModuleType(module), module.partition(".")[0]
    vars(stand_in).update(members)
    with pytest.MonkeyPatch.context() as patch:
        for part in (parent, ".".join(module.split(".")[:2]), module):
            patch.setitem(sys.modules, part, stand_in)
        made: dict[str, Any] = {}
        exec(text, made)
    return made


def titan(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    members = {"ParamGroupConfig": SimpleNamespace, "OptimizersContainer": SimpleNamespace(Config=SimpleNamespace)}
    config = run(text, "torchtitan.components.optimizer", **members)["optimizer_config"](LR, WD, EPS)
    found: dict[str, tuple[float, float, float]] = {}
    for group in config.param_groups:
        hits = [name for name in listed if name not in found and re.compile(group.pattern).search(name)]
        assert hits, f"{group.pattern} matched no parameters"
        assert group.optimizer_name == "AdamW"
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))], **group.optimizer_kwargs)
        kwargs = group.optimizer_kwargs
        found |= dict.fromkeys(hits, (kwargs["lr"], kwargs["weight_decay"], kwargs["eps"]))
    assert found.keys() == set(listed)
    return found


def olmo(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    made = run(text, "olmo_core.optim", OptimGroupOverride=SimpleNamespace)["group_overrides"](LR, WD, EPS)
    left, found = list(listed), {}
    for override in made:
        for glob in override.params:
            hits = [name for name in left if fnmatch(name, glob)]
            assert hits, f"{glob} does not match any parameters"
            left = [name for name in left if name not in hits]
            found |= dict.fromkeys(hits, tuple(override.opts[key] for key in ("lr", "weight_decay", "eps")))
    assert not left
    return found


def automodel(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    found = {}
    for override in yaml.safe_load(text)["optimizer"]["param_group_overrides"]:
        hits = [name for name in listed if re.search(override["pattern"], name)]
        assert hits
        assert not found.keys() & set(hits)
        found |= dict.fromkeys(hits, (LR * override["lr_mult"], WD * override["wd_mult"], None))
    assert found.keys() == set(listed)
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "read"), [("torchtitan", titan), ("olmo-core", olmo), ("automodel", automodel)])
def test_every_parameter_gets_what_the_plan_says(family: str, name: str, read: Any) -> None:
    file, text = emitted(subject(family)[0], name, names(family))
    assert file == FRAMEWORKS[name].file
    for parameter, (lr, decay, eps) in read(text, names(family)).items():
        assert (lr, decay) == pytest.approx(expected(family)[parameter][:2], rel=1e-9)
        assert eps is None or eps == pytest.approx(expected(family)[parameter][2], rel=1e-9)


def test_names_inside_of_wrappers_are_found_by_torchtitan() -> None:
    _, text = emitted(subject("gpt")[0], "torchtitan", names("gpt"))
    wrapped = [re.sub(r"(\.h\.\d+)", r"\1._checkpoint_wrapped_module", name) for name in names("gpt")]
    assert len(titan(text, [f"_orig_mod.{name}" for name in wrapped])) == len(wrapped)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_planted_mistakes_are_found(name: str) -> None:
    plan, listed = subject("gpt")[0], names("gpt")
    renamed = [each.replace("mlp.c_fc", "mlp.fc") for each in listed]
    with pytest.raises(UserError, match=r"mlp\.fc\.weight is matched by no rule"):
        emitted(plan, name, renamed)
    without = [each for each in listed if "wpe" not in each]
    with pytest.raises(UserError, match=r"wpe.* matches nothing"):
        emitted(plan, name, without)
    twice = replace(plan, entries=(*plan.entries, replace(plan.entries[-1], pattern="transformer.ln_f.*")))
    with pytest.raises(UserError, match="these rules do not say what the plan does"):
        emitted(twice, name, listed)


def test_a_glob_that_takes_more_than_its_own_is_found() -> None:
    """`*` of fnmatch crosses dots: here it takes a name that has a rule of its own after it."""
    plan, _ = subject("gpt")
    first = replace(plan.entries[0], pattern="a.*.weight", lr=0.0)
    second = replace(plan.entries[0], pattern="a.*.b.*.weight", lr=-1.0)
    with pytest.raises(UserError, match="before its own rule"):
        emitted(replace(plan, entries=(first, second)), "olmo-core", ["a.0.weight", "a.0.b.1.weight"])
    emitted(replace(plan, entries=(first, second)), "torchtitan", ["a.0.weight", "a.0.b.1.weight"])


@pytest.mark.parametrize("family", FAMILIES)
def test_json_has_exact_names_and_measured_sizes(family: str) -> None:
    plan, model = subject(family)
    _, text = emitted(plan, "json", names(family))
    parameters = json.loads(text)["parameters"]
    assert list(parameters) == names(family)
    for name, parameter in model.named_parameters():
        found = parameters[name]
        rms = float(parameter.detach().square().mean().sqrt())
        assert found["rms_before"] == pytest.approx(rms, rel=0.15, abs=1e-12)
    assert {name: (LR * p["lr"], WD * p["weight_decay"], EPS * p["eps"]) for name, p in parameters.items()} == {
        name: pytest.approx(each, rel=1e-9) for name, each in expected(family).items()
    }


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.py").write_text((FIXTURES / "mlp" / "sp.py").read_text())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        app(["convert", "--base-width", "64", "--emit", "json", "--emit", "torchtitan"], prog_name="muaudit")
    assert stop.value.code == 0, capsys.readouterr().err
    assert {"groups.json", "torchtitan_groups.py"} <= {path.name for path in (tmp_path / "mup").iterdir()}
    assert muaudit.load_plan(tmp_path / "mup" / "plan.yaml").width == 256
    with pytest.raises(SystemExit) as stop:
        app(["convert", "--base-width", "64", "--emit", "torchtitn"], prog_name="muaudit")
    assert stop.value.code == 2
    assert "did you mean torchtitan" in capsys.readouterr().err
