"""A run of FSDP2 on two processes, saved, moved to another formulation by the first of them, and resumed by both.

`python tests/sharded_apart.py FOLDER`: prints the losses of going on and of each way of resuming, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed import init_device_mesh
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard

sys.path.insert(0, str(Path(__file__).parent))

from test_checkpoints import convert
from test_convert import losses, target_of

from muaudit.convert.planner import make_plans
from muaudit.plan.file import write_plan
from muaudit.plan.plan import Plan

WIDTH, LR, STEPS = 96, 0.01, 4
FORMS = {"listed": StateDictOptions(), "flattened": StateDictOptions(flatten_optimizer_state_dict=True)}


def sharded(plan: Plan, model: nn.Module) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Over both processes, with the plan's groups."""
    mesh = init_device_mesh("cpu", (2,))
    for block in model.transformer.h:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh)  # type: ignore[call-overload]
    fully_shard(model, mesh=mesh)
    return model, torch.optim.AdamW(plan.param_groups(model, lr=LR, weight_decay=0.1, eps=1e-30), lr=LR)


def main(folder: Path) -> None:
    """In one of two processes."""
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.set_default_dtype(torch.float64)
    target = target_of("gpt", "adamw")
    old, new = make_plans(target, 64, WIDTH, ("absorbed", "table9"))
    model, optimizer = sharded(old, old.apply_(target.build({"n": WIDTH}, 3)))
    losses(target, model, optimizer, STEPS, WIDTH)
    for form, options in FORMS.items():
        weights, state = get_state_dict(model, optimizer, options=options)
        dcp.save({"model": weights, "optim": state, "step": STEPS}, checkpoint_id=folder / form)
    out: dict[str, Any] = {"going on": losses(target, model, optimizer, STEPS, WIDTH)}
    if rank == 0:
        for form in FORMS:
            write_plan(old, folder / form / "plan.yaml")
            convert((target, new), folder / form, folder / f"{form}-moved", fresh=False, function_preserving=True,
                    verify=True, optimizer_state=folder / form)  # fmt: skip
    dist.barrier()
    for form, options in FORMS.items():
        model, optimizer = sharded(new, new.install_hooks(target.build({"n": WIDTH}, 8)))
        for group in optimizer.param_groups:
            group["lr"] = 7.0  # to be overwritten
        weights, state = get_state_dict(model, optimizer, options=options)
        loaded = {"model": weights, "optim": state, "step": 0}
        dcp.load(loaded, checkpoint_id=folder / f"{form}-moved")
        set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=loaded["optim"], options=options)
        expected = [group["lr"] for group in new.param_groups(model, lr=LR)]
        out[f"{form}: rates"] = [[float(g["lr"]) for g in optimizer.param_groups], expected]
        out[f"{form}: step"] = loaded["step"]
        out[form] = losses(target, model, optimizer, STEPS, WIDTH)
    if rank == 0:
        print(json.dumps(out))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
