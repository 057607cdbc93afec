"""The catalogue of known mistakes, row by row: a right model, the edit that plants the mistake, the one finding for it.

What must be found is worked out by hand (DESIGN 3.6 by role and optimizer); the right model must give no finding at
all, advice included.
"""

from __future__ import annotations

from dataclasses import dataclass

from bugs.plant import Edit


@dataclass(frozen=True)
class Row:
    """One mistake in one model.

    rule: the code of the one finding. tensors: patterns of the parameters it names, none where a line is to blame.
    line: a snippet of the line to show. found, expected: exponents, where they say what is wrong. says: words of the
    message. right: edits of the right model itself. profile, target_width: as on the command line.
    """

    number: str
    name: str
    fixture: str
    wrong: tuple[Edit, ...]
    rule: str
    tensors: tuple[str, ...] = ()
    line: str = ""
    found: float | None = None
    expected: float | None = None
    says: str = ""
    right: tuple[Edit, ...] = ()
    profile: str = "tp5"
    target_width: int | None = None


LAMBDA = "torch.optim.lr_scheduler.LambdaLR(optimizer, factor)"
KINDS = "torch.optim.lr_scheduler."
MATRICES = ("hidden.*.weight", "readout.weight")
BY_HAND = Edit(
    f"    return {LAMBDA}",
    "    def write(step):\n        for group in optimizer.param_groups:\n"
    '            group["lr"] = LR * factor(step)\n\n    return write',
)
SCALED = Edit(
    '[{"params": vectors, "lr": LR}, {"params": matrices, "lr": LR / m}]',
    '[{"params": vectors, "lr_scale": 1.0}, {"params": matrices, "lr_scale": 1 / m}], lr=LR',
)
SCALED_WRITE = Edit(BY_HAND.old, BY_HAND.new.replace("factor(step)", 'factor(step) * group["lr_scale"]'))


def scheduled(name: str, *wrong: Edit, says: str, line: str = "", **more: object) -> Row:
    """After the schedule the matrices' learning rate is the same at every width, where it must be 1/m."""
    expectation = {"found": 0.0, "expected": -1.0, "tensors": MATRICES} | more
    return Row("B14", name, "bugs/schedule", wrong, "MUP307", says=says, line=line, **expectation)  # type: ignore[arg-type]


SCHEDULES = [
    scheduled("OneCycle with one maximum", Edit(LAMBDA, KINDS + "OneCycleLR(optimizer, LR, total_steps=STEPS)"),
        says="OneCycleLR: learning rate", line="OneCycleLR("),
    scheduled("a shared eta_min", Edit(LAMBDA, KINDS + "CosineAnnealingLR(optimizer, STEPS, eta_min=LR / 10)"),
        says="CosineAnnealingLR at its floor", line="CosineAnnealingLR("),
    scheduled("an absolute learning rate", BY_HAND, says="write: learning rate"),
    scheduled("lr_scale is never used", Edit(' * group["lr_scale"]', ""), right=(SCALED, SCALED_WRITE),
        says="never uses the groups' lr_scale"),
]  # fmt: skip

ROWS = [*SCHEDULES]
