"""What is emitted for training frameworks, matched by the frameworks' own code, on three models.

    pip install --no-deps --target FOLDER torchtitan nemo-automodel ai2-olmo-core megatron-core deepspeed
    PYTHONPATH=FOLDER python benchmarks/framework_code.py

Frameworks that are not installed, or lack a package that they import, are named and left out. Modules that their
optimizer code imports without using them here (remote files) are stood in for, by name, below.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
import yaml
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bugs.plant import FIXTURES, load
from test_convert import target_of

from muaudit.convert.frameworks.emitted import emitted
from muaudit.convert.planner import make_plan
from muaudit.plan.plan import Plan
from muaudit.targets import from_functions
from muaudit.targets.whole import sizes_at

LR, WD, EPS = 3e-3, 0.1, 1e-8
FAMILIES = ("gpt", "llama", "moe")
UNUSED = {"olmo-core": ("cached_path", "cached_path.schemes")}
"""Modules that a framework's code imports for files elsewhere."""

Settings = Mapping[str, tuple[float | None, ...]]


@cache
def subject(family: str) -> tuple[Plan, nn.Module]:
    """A plan, and the model at its width."""
    if family == "moe":
        made = load(FIXTURES / "moe" / "table8.py")
        target = from_functions(made.build, batch=made.batch, loss=made.loss, optimizer="adamw", widths=made.widths)
    else:
        target = target_of(family, "adamw")
    return make_plan(target, 64, 128), target.build(sizes_at(target, 128), 0)


def expected(plan: Plan, model: nn.Module) -> Settings:
    """By the plan's own groups."""
    return of_groups(plan.param_groups(model, lr=LR, weight_decay=WD, eps=EPS), model)


def of_groups(groups: Any, model: nn.Module) -> Settings:
    """lr, weight decay and eps by name."""
    held = {id(p): group for group in groups for p in group["params"]}
    return {
        name: tuple(held[id(p)].get(key) for key in ("lr", "weight_decay", "eps"))
        for name, p in model.named_parameters()
    }


def run(text: str) -> dict[str, Any]:
    """A file that was written."""
    made: dict[str, Any] = {}
    exec(text, made)
    return made


def torchtitan(files: Mapping[str, str], model: nn.Module) -> Settings:
    """`OptimizersContainer`, which builds the optimizers."""
    config = run(files["torchtitan_groups.py"])["optimizer_config"](LR, WD, EPS, implementation="for-loop")
    from torchtitan.components.optimizer import OptimizersContainer

    container = OptimizersContainer(config, model_parts=[model])
    return of_groups([group for each in container.optimizers for group in each.param_groups], model)


def automodel(files: Mapping[str, str], model: nn.Module) -> Settings:
    """`AdamWConfig.build`, and its scheduler's first step."""
    from nemo_automodel.components.optim.optimizer import AdamWConfig
    from nemo_automodel.components.optim.scheduler import OptimizerParamScheduler

    overrides = yaml.safe_load(files["automodel_groups.yaml"])["optimizer"]["param_group_overrides"]
    (optimizer,) = AdamWConfig(lr=LR, weight_decay=WD, eps=EPS, param_group_overrides=overrides).build(model)
    OptimizerParamScheduler(optimizer, LR, LR, LR / 10, 0, 100, "constant", WD, WD, 100, "constant")
    return {name: (lr, decay, None) for name, (lr, decay, _) in of_groups(optimizer.param_groups, model).items()}


def olmo_core(files: Mapping[str, str], model: nn.Module) -> Settings:
    """`AdamWConfig.build`."""
    overrides = run(files["olmo_core_groups.py"])["group_overrides"](LR, WD, EPS)
    from olmo_core.optim import AdamWConfig

    config = AdamWConfig(lr=LR, weight_decay=WD, eps=EPS, group_overrides=overrides)
    return of_groups(config.build(model, strict=True).param_groups, model)


def megatron(files: Mapping[str, str], model: nn.Module) -> Settings:
    """`_get_param_groups` on the model inside of two wrappers, and the scheduler's first step."""
    import torch.distributed as dist
    from megatron.core.optimizer import OptimizerConfig, _get_param_groups
    from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

    made = run(files["megatron_groups.py"])
    config = OptimizerConfig(optimizer="adam", lr=LR, min_lr=LR / 10, adam_eps=EPS, weight_decay=WD)
    wrapped = nn.ModuleDict({"module": nn.ModuleDict({"module": model})})
    made["check"]([wrapped])
    if not dist.is_initialized():
        dist.init_process_group("gloo", init_method=f"file://{tempfile.mkdtemp()}/store", rank=0, world_size=1)
    groups = _get_param_groups([wrapped], config, made["config_overrides"](config))
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=LR, eps=EPS)
    OptimizerParamScheduler(optimizer, 0.0, LR, LR / 10, 0, 100, "constant", WD, WD, 100, "constant")  # type: ignore[arg-type]
    return of_groups(optimizer.param_groups, model)


def deepspeed(files: Mapping[str, str], model: nn.Module) -> Settings:
    """`deepspeed.initialize` with the JSON, on the CPU."""
    os.environ.update(
        DS_ACCELERATOR="cpu", MASTER_ADDR="127.0.0.1", MASTER_PORT="29511", RANK="0", LOCAL_RANK="0", WORLD_SIZE="1"
    )
    import deepspeed

    optimizer = run(files["deepspeed_groups.py"])["optimizer"](model, LR, WD, EPS)
    folder = Path(tempfile.mkdtemp())
    (folder / "deepspeed_config.json").write_text(files["deepspeed_config.json"])
    deepspeed.init_distributed("gloo")
    before = of_groups(optimizer.param_groups, model)
    _, built, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=str(folder / "deepspeed_config.json"))
    kept = [tuple(group[key] for key in ("lr", "weight_decay", "eps")) for group in built.param_groups]
    assert kept == list(dict.fromkeys(before.values())), (kept, before)
    return before


def transformers(files: Mapping[str, str], model: nn.Module) -> Settings:
    """`Trainer.create_optimizer`."""
    from transformers import Trainer, TrainingArguments

    chosen = run(files["trainer_groups.py"])["optimizer_cls_and_kwargs"](model, LR, WD, EPS)
    arguments = TrainingArguments(tempfile.mkdtemp(), use_cpu=True, report_to=[])
    trainer = Trainer(model, arguments, optimizer_cls_and_kwargs=chosen)
    return of_groups(trainer.create_optimizer().param_groups, model)


CODE: Mapping[str, Callable[[Mapping[str, str], nn.Module], Settings]] = {
    "torchtitan": torchtitan, "automodel": automodel, "olmo-core": olmo_core, "megatron": megatron,
    "deepspeed": deepspeed, "trainer": transformers,
}  # fmt: skip


def stand_in(name: str) -> None:
    """A module whose members do nothing, where there is none of the name."""
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules[name] = MagicMock()


def differing(name: str, family: str) -> list[str]:
    """Parameters that the framework's own code trains otherwise than the plan says."""
    plan, made = subject(family)
    model = copy.deepcopy(made)
    files = emitted(plan, name, [parameter for parameter, _ in model.named_parameters()])
    want, found = expected(plan, model), CODE[name](files, model)
    rows = []
    for parameter, values in want.items():
        pairs = list(zip(found[parameter], values, strict=True))
        if any(
            got is not None and abs(got / value - 1 if value else got) > 1e-9
            for got, value in pairs
            if value is not None
        ):
            rows.append(f"{parameter}: {found[parameter]}, expected {values}")
    return rows


def main() -> int:
    """A row a framework."""
    wrong = 0
    for name in CODE:
        for module in UNUSED.get(name, ()):
            stand_in(module)
        try:
            rows = {family: differing(name, family) for family in FAMILIES}
        except ImportError as error:
            print(f"{name:12} not run: {error}")
            continue
        counts = ", ".join(f"{family} {len(list(subject(family)[1].parameters()))}" for family in FAMILIES)
        found = [row for each in rows.values() for row in each]
        wrong += bool(found)
        print(f"{name:12} {'as the plan says' if not found else 'OTHERWISE'}: parameters of {counts}")
        for row in found[:5]:
            print("   ", row)
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
