"""Rules for training frameworks, matched as these do it: the matching is written down here again, after their sources.

torchtitan: `OptimizersContainer._build_param_groups` searches regular expressions in order and refuses one that finds
nothing. OLMo-core: `OptimConfig.build_groups` takes globs in order. AutoModel: `_build_param_groups`, `re.search` in
order. Megatron: `_get_param_groups` merges what all keys that match by `fnmatch` say, and refuses contradictions.
Cerebras: `_partition_params_groups_with_adjusted_lr`. benchmarks/framework_code.py runs their own code, where it is
installed.
"""

from __future__ import annotations

import copy
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
from muaudit.convert.frameworks.all_frameworks import FRAMEWORKS
from muaudit.convert.frameworks.emitted import emitted
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


def run(text: str, *modules: str, **members: Any) -> dict[str, Any]:
    """A file that was written, with a stand-in for the framework."""
    stand_in = ModuleType(modules[0])
    vars(stand_in).update(members)
    with pytest.MonkeyPatch.context() as patch:
        for parts in (module.split(".") for module in modules):
            for length in range(1, len(parts) + 1):
                patch.setitem(sys.modules, ".".join(parts[:length]), stand_in)
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
    made = run(text, "olmo_core.optim", OptimGroupOverride=SimpleNamespace)
    made["check"](SimpleNamespace(named_parameters=lambda: [(name, None) for name in listed]))
    renamed = [(f"{listed[0]}.other", None), *((name, None) for name in listed[1:])]
    with pytest.raises(ValueError, match=r"\.other is matched by none"):
        made["check"](SimpleNamespace(named_parameters=lambda: renamed))
    left, found = list(listed), {}
    for override in made["group_overrides"](LR, WD, EPS):
        for glob in override.params:
            hits = [name for name in left if fnmatch(name, glob)]
            assert hits, f"{glob} does not match any parameters"
            left = [name for name in left if name not in hits]
            found |= dict.fromkeys(hits, tuple(override.opts[key] for key in ("lr", "weight_decay", "eps")))
    assert not left
    return found


def automodel(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    found: dict[str, Any] = {}
    for override in yaml.safe_load(text)["optimizer"]["param_group_overrides"]:
        hits = [name for name in listed if name not in found and re.search(override["pattern"], name)]
        assert hits
        found |= dict.fromkeys(hits, (LR * override["lr_mult"], WD * override["wd_mult"], None))
    assert found.keys() == set(listed)
    return found


CONFIG = SimpleNamespace(lr=LR, min_lr=LR / 10, adam_eps=EPS)


class Key(SimpleNamespace):
    __hash__ = object.__hash__


def merged(overrides: Mapping[Any, Any], listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """As Megatron does it, on a model inside of two wrappers."""
    found = {}
    for name in listed:
        own: dict[str, float] = {}
        for key, override in overrides.items():
            if any(fnmatch(f"module.module.{name}", glob) for glob in key.name):
                assert all(own.get(each, value) == value for each, value in override.items())
                own |= override
        assert own["min_lr"] == pytest.approx(own["max_lr"] / 10)
        found[name] = (own["max_lr"], WD * own["wd_mult"], own["eps"])
    return found


def megatron(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    made = run(text, "megatron.core.optimizer", "megatron.core.optimizer_param_scheduler", **MEGATRON)
    return merged(made["config_overrides"](CONFIG), listed)


class Provider:
    pass


MEGATRON = {"ParamKey": Key, "ParamGroupOverride": dict, "OptimizerConfigOverrideProvider": Provider}


def bridge(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    others = ("megatron.core.optimizer_param_scheduler", "megatron.bridge.training.config")
    made = run(text, "megatron.core.optimizer", *others, **MEGATRON)
    chunk = SimpleNamespace(named_parameters=lambda: [(f"module.{name}", None) for name in listed])
    context = SimpleNamespace(model=[chunk], optimizer_config=CONFIG)
    with pytest.raises(ValueError, match="the plan is for other names"):
        made["check"]([SimpleNamespace(named_parameters=lambda: [("other.weight", None)])])
    with pytest.raises(ValueError, match="matches nothing"):
        made["check"]([SimpleNamespace(named_parameters=lambda: [(listed[0], None)])])
    made["check"]([SimpleNamespace(named_parameters=lambda: [(listed[0], None)])], whole=False)
    return merged(made["PlanOverrides"]().build_config_overrides(context), listed)


def cerebras(text: str, listed: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    adjust = lambda globs, scale: SimpleNamespace(globs=globs, scale=scale)  # noqa: E731
    made = run(text, "cerebras.modelzoo.common.utils.model.mup_utils", LRAdjustmentGroup=adjust)
    found: dict[str, Any] = {}
    with pytest.raises(ValueError, match="this plan scales weight decay"):
        made["lr_adjustment_groups"](WD)
    groups = made["lr_adjustment_groups"](0.0).values()
    assert len({group.scale for group in groups}) == len(groups)
    for group in groups:
        layers = [name for name in listed if any(fnmatch(name, glob) for glob in group.globs)]
        hits = [name for name in listed if any(layer in name for layer in layers)]
        assert hits
        assert not found.keys() & set(hits)
        found |= dict.fromkeys(hits, (LR * group.scale, None, None))
    return dict.fromkeys(listed, (LR, None, None)) | found


READ: list[tuple[str, Any]] = [
    ("torchtitan", titan), ("olmo-core", olmo), ("automodel", automodel), ("megatron", megatron),
    ("megatron-bridge", bridge), ("cerebras", cerebras),
]  # fmt: skip


def only(files: Mapping[str, str]) -> str:
    """The text of the one file, or of the Python one."""
    return next(iter(files.values()))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "read"), READ)
def test_every_parameter_gets_what_the_plan_says(family: str, name: str, read: Any) -> None:
    found = read(only(emitted(subject(family)[0], name, names(family))), names(family))
    assert found.keys() == set(names(family))
    for parameter, got in found.items():
        for each, value in zip(got, expected(family)[parameter], strict=True):
            assert each is None or each == pytest.approx(value, rel=1e-9)


def test_names_inside_of_wrappers_are_found_by_torchtitan() -> None:
    text = only(emitted(subject("gpt")[0], "torchtitan", names("gpt")))
    wrapped = [re.sub(r"(\.h\.\d+)", r"\1._checkpoint_wrapped_module", name) for name in names("gpt")]
    assert len(titan(text, [f"_orig_mod.{name}" for name in wrapped])) == len(wrapped)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_planted_mistakes_are_found(name: str, family: str) -> None:
    """A layer with another name, a rule that matches nothing, and one more for what has its own."""
    plan, listed = subject(family)[0], names(family)
    last = listed[-1]
    with pytest.raises(UserError, match=rf"other_{re.escape(last)} is matched by no rule"):
        emitted(plan, name, [*listed[:-1], f"other_{last}"])
    alone = next(entry.pattern for entry in plan.entries if "*" not in entry.pattern)
    with pytest.raises(UserError, match="matches nothing"):
        emitted(plan, name, [each for each in listed if each != alone])
    twice = replace(plan.entries[-1], pattern=f"{alone.rpartition('.')[0]}.*", lr=plan.entries[-1].lr - 1)
    again = replace(twice, pattern=re.sub(r"\.\d+\.", ".*.", alone))
    for more in (twice, again):
        with pytest.raises(UserError, match="these rules do not say what the plan does"):
            emitted(replace(plan, entries=(*plan.entries, more)), name, listed)


def staged(listed: Sequence[str]) -> list[str]:
    """The names on a pipeline stage that begins with the second block, and counts its blocks from 0."""
    later = [name for name in listed if (found := re.search(r"\.(\d+)\.", name)) and int(found[1]) >= 1]
    return [re.sub(r"\.(\d+)\.", lambda found: f".{int(found[1]) - 1}.", name, count=1) for name in later]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pipeline_stage_is_matched_with_its_own_numbers(family: str) -> None:
    stage = staged(names(family))
    assert len(stage) >= 3
    text = only(emitted(subject(family)[0], "megatron", names(family)))
    found = megatron(text, stage)
    assert {name: found[name][0] for name in stage} == {
        name: pytest.approx(expected(family)[name][0], rel=1e-9) for name in stage
    }


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
    text = only(emitted(plan, "json", names(family)))
    parameters = json.loads(text)["parameters"]
    assert list(parameters) == names(family)
    for name, parameter in model.named_parameters():
        found = parameters[name]
        rms = float(parameter.detach().square().mean().sqrt())
        assert found["rms_before"] == pytest.approx(rms, rel=0.15, abs=1e-12)
    assert {name: (LR * p["lr"], WD * p["weight_decay"], EPS * p["eps"]) for name, p in parameters.items()} == {
        name: pytest.approx(each, rel=1e-9) for name, each in expected(family).items()
    }


def test_megatrons_flags_and_what_they_train_otherwise() -> None:
    """--use-mup: lr and eps by 1/m where a tensor has two dims and no "embedding" in its name, else neither."""
    text = only(emitted(subject("gpt")[0], "megatron", names("gpt")))
    assert "--use-mup --mup-base-hidden-size 64" in text
    assert "--scaling-recipe mup --scaling-base-hidden-size 64" in text
    rows = text.partition("It is not this plan:")[2].partition('"""')[0].splitlines()[1:]
    words = " ".join(rows)
    assert "transformer.{wte,wpe}.weight: lr × 0.5 for 1" in words  # of another name, so that they count as matrices
    assert "mlp.c_fc.weight" not in words


def test_cerebras_takes_names_that_stand_inside_of_others() -> None:
    plan, _ = subject("gpt")
    first = replace(plan.entries[0], pattern="h.*.weight", lr=-1.0, weight_decay=0.0)
    second = replace(plan.entries[0], pattern="x.h.*.weight", lr=0.0, weight_decay=0.0)
    with pytest.raises(UserError, match=r"x\.h\.0\.weight holds the name h\.0\.weight"):
        emitted(replace(plan, entries=(first, second)), "cerebras", ["h.0.weight", "x.h.0.weight"])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["megatron", "trainer", "torchtitan"])
def test_initializations_and_multipliers_are_told(family: str, name: str) -> None:
    """The rms that a tensor has after the plan was applied."""
    plan, _ = subject(family)
    made: dict[str, Any] = {}
    text = only(emitted(plan, name, names(family)))
    exec(text[text.index("# Initializations") : text.index("]", text.index("MULTIPLIERS")) + 1], made)
    model = plan.apply_(copy.deepcopy(subject(family)[1]))
    assert made["MULTIPLIERS"] == [(h.module, h.on, plan.multiplier(h)) for h in plan.hooks]
    for parameter, value in model.named_parameters():
        entry = plan.entry([parameter])
        assert entry is not None
        assert made["INIT"][entry.pattern][2] == pytest.approx(
            float(value.detach().square().mean().sqrt()), rel=0.15, abs=1e-9
        )


def grouped(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, tuple[float, float, float]]:
    held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(held)
    settings = ("lr", "weight_decay", "eps")
    return {name: tuple(held[id(p)][key] for key in settings) for name, p in model.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["trainer", "deepspeed"])
def test_groups_of_the_model_itself(family: str, name: str) -> None:
    made: dict[str, Any] = {}
    exec(only(emitted(subject(family)[0], name, names(family))), made)
    model = copy.deepcopy(subject(family)[1])
    if name == "trainer":
        cls, kwargs = made["optimizer_cls_and_kwargs"](model, LR, WD, EPS)
        optimizer = cls(kwargs.pop("params"), **kwargs)
    else:
        optimizer = made["optimizer"](model, LR, WD, EPS)
    assert grouped(optimizer, model) == {
        parameter: pytest.approx(each, rel=1e-9) for parameter, each in expected(family).items()
    }
    with pytest.raises(ValueError, match="the plan is for other names"):
        made["param_groups"](nn.Linear(2, 2), LR)


def test_deepspeeds_json_has_nothing_that_flattens_groups() -> None:
    files = emitted(subject("gpt")[0], "deepspeed", names("gpt"))
    config = json.loads(files["deepspeed_config.json"])
    assert not {"optimizer", "scheduler"} & config.keys()


def test_the_trainer_of_transformers_trains_as_the_plan_says(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    made: dict[str, Any] = {}
    exec(only(emitted(subject("llama")[0], "trainer", names("llama"))), made)
    inner = copy.deepcopy(subject("llama")[1])

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = inner

        def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            output = self.model(ids)
            logits = getattr(output, "logits", output)
            return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())}

    seen: list[dict[str, tuple[float, float, float]]] = []

    class Seen(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
            seen.append(grouped(getattr(optimizer, "optimizer", optimizer), inner))

    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=3, per_device_train_batch_size=2, use_cpu=True, report_to=[], save_strategy="no",
        lr_scheduler_type="linear", warmup_steps=1, disable_tqdm=True,
    )  # fmt: skip
    chosen = made["optimizer_cls_and_kwargs"](inner, LR, WD, EPS)
    trainer = transformers.Trainer(
        Wrapped(), arguments, train_dataset=[{"ids": torch.arange(8)} for _ in range(6)],
        optimizer_cls_and_kwargs=chosen, callbacks=[Seen()],
    )  # fmt: skip
    trainer.train()
    assert len(seen) == 3
    want = expected("llama")
    for step in seen:
        first = names("llama")[0]
        scale = step[first][0] / want[first][0]
        for name, (lr, decay, eps) in step.items():
            assert (lr, decay, eps) == pytest.approx((scale * want[name][0], *want[name][1:]), rel=1e-6, abs=1e-12)


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
