"""What to put into the training script to load a converted checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..checkpoints.dcp_folder import DcpFolder
from ..checkpoints.marks import FRESH
from ..checkpoints.moved import CheckpointTransfer
from ..checkpoints.verify import Verified
from ..plan.plan import Plan
from ..report.layout import BOLD, GOOD, Line, line
from .optimizer_lines import refined, tuned, usage


def loading_lines(plan: Plan, transfer: CheckpointTransfer, folder: Path, verified: Verified | None) -> Iterator[Line]:
    """What was written, and the lines to paste."""
    request = transfer.request
    names = ", ".join(path.name for path in transfer.checkpoint.files[:4])
    names += f" and {len(transfer.checkpoint.files) - 4} more" if len(transfer.checkpoint.files) > 4 else ""
    scaled = sum(scaling.factor != 1.0 for scaling in transfer.scalings.values())
    count = f"{scaled} of {len(transfer.checkpoint.tensors)} tensors scaled"
    yield line()
    yield line(f"wrote {folder / 'plan.yaml'} and, in {folder}: {names}")
    if request.meaning == FRESH:
        yield line(f"fresh: the initialization in {request.state_dict} became a µP initialization, {count}", indent=2)
    else:
        old = request.old.formulation if request.old else ""
        yield line(
            f"function-preserving: {request.state_dict} moved from {old} to {plan.formulation}, {count}", indent=2
        )
    if transfer.optimizer is not None:
        yield line(f"its optimizer state moved along: {folder / transfer.optimizer.path.name}", indent=2)
    if transfer.note:
        yield line(transfer.note, indent=2)
    if verified is not None:
        what = (
            "the outputs of the files written and of the plan applied to those given"
            if request.meaning == FRESH
            else "the outputs before and after"
        )
        text = f"verified: {what} differ by {verified.difference:.2g} relative (rounding allows {verified.allowed:.2g})"
        yield line((text, GOOD), indent=2)
    deep = f" and {plan.depth_name} {plan.depth}" if plan.depth_name else ""
    yield line(("in the training script, with the model at width ", ""), (f"{plan.width}{deep}:", BOLD))
    for row in _code(plan, transfer, folder):
        yield line(row, indent=4)


def _code(plan: Plan, transfer: CheckpointTransfer, folder: Path) -> list[str]:
    dcp = isinstance(transfer.checkpoint.shards[0], DcpFolder)
    own_groups = transfer.optimizer is not None and transfer.optimizer.own_groups and not plan.optimizers
    file = folder / (transfer.checkpoint.index or transfer.checkpoint.shards[0].path).name
    loaded = f'dcp.load(state, checkpoint_id="{folder}"): the model' if dcp else f"load {file} into the model"
    code = [
        "import muaudit",
        f'plan = muaudit.load_plan("{folder / "plan.yaml"}")',
        f"# {loaded}",
        "plan.install_hooks(model)  # not apply_: the weights are scaled already",
        *(refined(plan) if own_groups else [tuned(plan), *usage(plan)]),
    ]
    if transfer.optimizer is not None and dcp:
        code += [
            "# and the optimizer: groups and state in it are this plan's; make schedulers anew, theirs hold old rates",
        ]
    elif transfer.optimizer is not None:
        name = folder / transfer.optimizer.path.name
        code.append(f'optimizer.load_state_dict(torch.load("{name}", weights_only=True){_keys(transfer)})')
    return code


def _keys(transfer: CheckpointTransfer) -> str:
    keys = transfer.optimizer.keys if transfer.optimizer else ()
    return "".join(f"[{key!r}]" for key in keys)
