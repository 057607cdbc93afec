"""A plan goes through whatever a training script wraps around a model: the losses are those of the plain run."""

from __future__ import annotations

import copy
import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from matrix import matrix
from test_convert import BASE, target_of, tied_target
from torch import nn
from torch.nn import functional as F

from muaudit.convert.planner import make_plan
from muaudit.plan.plan import Plan
from muaudit.targets import Target

WIDTH, STEPS, LR = 128, 4, 0.01
SUBJECTS = ["hooks", "columns", "absorbed"]


@cache
def subject(name: str) -> tuple[Target, Plan]:
    """Hooks on a tied head and a norm without gain; on columns of a fused projection; everything absorbed."""
    target = tied_target() if name == "hooks" else target_of("gpt", "adamw")
    plan = make_plan(target, BASE, WIDTH, formulation="table8" if name == "columns" else "absorbed")
    assert bool(plan.hooks) == (name != "absorbed")
    return target, plan


def fresh(name: str) -> nn.Module:
    target, _ = subject(name)
    return target.build({target.axes[0].name: WIDTH}, 0)


def tokens(name: str) -> torch.Tensor:
    return torch.randint(32, (4, 8), generator=torch.Generator().manual_seed(1))


def call(model: Callable[..., Any], batch: torch.Tensor, name: str) -> torch.Tensor:
    """The loss of predicting the token before."""
    targets = batch.roll(1, 1)
    logits = model(batch) if name == "hooks" else model(batch, targets)[0]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train(model: nn.Module, name: str, batch: torch.Tensor | None = None) -> list[float]:
    plan = subject(name)[1]
    data = tokens(name) if batch is None else batch
    optimizer = torch.optim.AdamW(plan.param_groups(model, lr=LR, weight_decay=0.1))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    out = []
    for _ in range(STEPS):
        loss = call(model, data, name)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        out.append(loss.item())
    return out


@cache
def plain(name: str) -> list[float]:
    losses = train(subject(name)[1].apply_(fresh(name)), name)
    assert losses[-1] < losses[0]
    return losses


# -- in one process -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SUBJECTS)
def test_copies_and_saved_states(name: str, tmp_path: Path) -> None:
    plan = subject(name)[1]
    model = plan.apply_(fresh(name))
    assert train(copy.deepcopy(model), name) == plain(name)
    assert list(model.state_dict()) == list(fresh(name).state_dict())
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = fresh(name)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert train(plan.install_hooks(loaded), name) == plain(name)
    torch.save(model, tmp_path / "whole.pt")
    assert train(torch.load(tmp_path / "whole.pt", weights_only=False), name) == plain(name)


@pytest.mark.parametrize(("name", "first"), matrix(SUBJECTS, ["apply", "compile"]))
def test_compiled(name: str, first: str) -> None:
    """In one graph, whichever comes first; benchmarks/convert_applied.py does it with inductor."""
    plan, model = subject(name)[1], fresh(name)
    if first == "apply":
        plan.apply_(model)
    torch._dynamo.reset()
    compiled: nn.Module = torch.compile(model, backend="aot_eager", fullgraph=True)  # type: ignore[assignment]
    if first == "compile":
        plan.apply_(compiled)
    assert train(compiled, name) == pytest.approx(plain(name), rel=1e-5)


@pytest.mark.parametrize(("name", "reentrant"), matrix(SUBJECTS, [True, False]))
def test_activation_checkpointing(name: str, reentrant: bool) -> None:
    """Every linear layer and norm, wrapped before the plan is applied and after."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        CheckpointImpl,
        apply_activation_checkpointing,
        checkpoint_wrapper,
    )

    kind = CheckpointImpl.REENTRANT if reentrant else CheckpointImpl.NO_REENTRANT

    def wrap(model: nn.Module) -> nn.Module:
        apply_activation_checkpointing(
            model,
            checkpoint_wrapper_fn=lambda module: checkpoint_wrapper(module, checkpoint_impl=kind),
            check_fn=lambda module: isinstance(module, (nn.Linear, nn.LayerNorm, nn.RMSNorm)) and module is not tied,
        )
        return model

    plan = subject(name)[1]
    for before in (True, False):
        model = fresh(name)
        tied = model.head if name == "hooks" else model.lm_head
        model = wrap(plan.apply_(model)) if before else plan.apply_(wrap(model))
        assert train(model, name) == pytest.approx(plain(name), rel=1e-6)


# -- in two processes -----------------------------------------------------------------------------------------
def distributed(rank: int, folder: str, answers: Any) -> None:
    """One of two processes; puts the losses by (subject, way) into `answers`, or a traceback."""
    import torch.distributed as dist

    try:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
        found = {
            (name, way): averaged(way(name), name, rank) for name in SUBJECTS for way in (ddp, sharded_after, sharded)
        }
        answers.put({(name, way.__name__): losses for (name, way), losses in found.items()})
        dist.barrier()
        dist.destroy_process_group()
    except Exception:
        answers.put(traceback.format_exc())
        raise


def ddp(name: str) -> nn.Module:
    return nn.parallel.DistributedDataParallel(subject(name)[1].apply_(fresh(name)))


def sharded(name: str) -> nn.Module:
    """FSDP2 over every block and the whole, the plan applied to sharded parameters."""
    return subject(name)[1].apply_(shard(fresh(name)))


def sharded_after(name: str) -> nn.Module:
    return shard(subject(name)[1].apply_(fresh(name)))


def shard(model: nn.Module) -> nn.Module:
    from torch.distributed import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2,))
    blocks = getattr(getattr(model, "transformer", None), "h", ())
    for part in (*blocks, model):
        fully_shard(part, mesh=mesh)
    return model


def averaged(model: nn.Module, name: str, rank: int) -> list[float]:
    """Training on this rank's half of the batch; the mean of both losses is that of the whole."""
    import torch.distributed as dist

    losses = torch.tensor(train(model, name, tokens(name)[2 * rank : 2 * rank + 2]), dtype=torch.float64)
    dist.all_reduce(losses)
    return [float(loss) / 2 for loss in losses]


def test_data_parallel_and_sharded_on_two_processes() -> None:
    for name in SUBJECTS:
        plain(name)  # before the processes are forked, so that they need no plan of their own
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [context.Process(target=distributed, args=(rank, folder, answers)) for rank in range(2)]
        for worker in workers:
            worker.start()
        found = [answers.get(timeout=120) for _ in workers]
        for worker in workers:
            worker.join()
    for losses in found:
        assert isinstance(losses, dict), losses
        assert len(losses) == 9
        for (name, way), values in losses.items():
            assert values == pytest.approx(plain(name), rel=1e-4), (name, way)
