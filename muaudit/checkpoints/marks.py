"""What a converted checkpoint says about itself, so that nothing is done to it twice."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UserError
from ..plan.plan import Plan
from .stored_tensors import Checkpoint

FRESH, MOVED = "fresh", "function-preserving"


def mark_of(plan: Plan, meaning: str) -> dict[str, str]:
    """What a file that was converted by this plan says."""
    return {
        "applied": meaning,
        "target": plan.target,
        "width_name": plan.width_name,
        "base_width": str(plan.base_width),
        "width": str(plan.width),
        **({"depth": f"{plan.depth_name} {plan.base_depth} → {plan.depth}"} if plan.depth_name else {}),
        "optimizer": plan.optimizer,
        "formulation": plan.formulation,
    }


def check_fresh(checkpoint: Checkpoint) -> None:
    """Raise UserError for a checkpoint whose initialization has been scaled before."""
    for shard in checkpoint.shards:
        if shard.mark is not None:
            raise UserError(
                f"{shard.path} has been converted before: {sentence(shard.mark)}",
                "scaling it twice would spoil it: start from the initialization itself, or, to move it to another "
                "formulation, use --function-preserving",
            )


def check_moved(checkpoint: Checkpoint, old: Plan, new: Plan) -> None:
    """Raise UserError unless all files are in the formulation of `old`, as far as they say, and `new` is another."""
    if old.entries == new.entries and old.hooks == new.hooks:
        same = "" if old.formulation == new.formulation else f", which for this model is the same as {new.formulation}"
        raise UserError(
            f"the checkpoint is in the formulation {old.formulation} already{same}: there is nothing to move",
            "--formulation names another one",
        )
    for shard in checkpoint.shards:
        said = shard.mark
        if said is not None and _differs(said, old):
            raise UserError(
                f"{shard.path} does not come from the plan given with --from: {sentence(said)}",
                f"that plan is: {sentence(mark_of(old, said.get('applied', MOVED)))}",
            )


def sentence(mark: Mapping[str, str]) -> str:
    """`fresh, width 128 → 1024, adamw, absorbed`."""
    unknown = dict.fromkeys(("applied", "width_name", "base_width", "width", "optimizer", "formulation"), "?")
    deeper = ", {depth}" if "depth" in mark else ""
    words = "{applied}, {width_name} {base_width} → {width}" + deeper + ", {optimizer}, {formulation}"
    return words.format(**{**unknown, **mark})


def _differs(mark: Mapping[str, str], plan: Plan) -> bool:
    expected = mark_of(plan, "")
    told = ("base_width", "width", "depth", "optimizer", "formulation")
    return any(mark.get(key) != expected.get(key) for key in told)
