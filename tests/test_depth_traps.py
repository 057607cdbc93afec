"""What must be told apart over depth: one model for each, with the report that is right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from models import depth_traps as traps

from muaudit.audit.over_depth import audit_over_depth
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.targets import from_functions

Make = Callable[[int], torch.nn.Module]


def audited(make: Make, depths: tuple[int, int] = (2, 4), profile: str = "completep") -> Report:
    def build(width: int, depth: int = 2) -> torch.nn.Module:
        return make(depth)

    target = from_functions(build, batch=traps.batch, widths=(32, 64), depths=depths)
    return audit_over_depth(target, profile=profile)


def codes(report: Report) -> list[tuple[str, str]]:
    return [(each.rule, each.severity) for each in report.violations]


CLEAN: dict[str, tuple[Make, tuple[int, int]]] = {
    "1/L on branches": (traps.completep, (2, 4)),
    "a norm behind the branch, before its factor": (traps.sandwich(False, True), (2, 4)),
    "the same, without parameters": (traps.sandwich(False, False), (2, 4)),
    "a constant on the stream that goes to 1": (traps.skip_with_limit, (2, 4)),
    "the embedding into every block, over L": (traps.embedding_into_every_block(-1.0), (2, 4)),
    "every fourth block is another": (traps.hybrid(-1.0), (4, 8)),
    "the first and the last block differ": (traps.first_and_last_differ, (4, 8)),
    "two branches in one sum": (traps.parallel, (2, 4)),
    "branches of one layer": (traps.shallow(-1.0), (2, 4)),
    "all layers in one list": (traps.in_one_list(-1.0), (2, 4)),
    "stages": (lambda depth: traps.Staged((depth, depth), -1.0), (2, 4)),
}
WRONG: dict[str, tuple[Make, tuple[int, int], str, str]] = {
    "nothing follows depth": (traps.plain, (2, 4), "MUP701", "no constant, initialization or learning rate"),
    "layer scale that does not": (traps.layer_scale(lambda depth: 1e-4), (2, 4), "MUP701", "no constant"),
    "branches that start at zero": (traps.layer_scale(lambda depth: 0.0), (2, 4), "MUP701", "no constant"),
    "all layers in one list, and nothing follows depth": (traps.in_one_list(0.0), (2, 4), "MUP701", "no constant"),
    "all layers in one list, with a root": (
        traps.in_one_list(-0.5), (2, 4), "MUP703", "is added with L^-1/2, needs L^-1",
    ),
    "stages in which nothing does": (lambda depth: traps.Staged((depth, depth), 0.0), (2, 4), "MUP701", "no constant"),
    "1/sqrt(2L) at init": (traps.root_in_init, (2, 4), "MUP702", "blocks.*.down.weight (×2): init std ∝ L^-1/2"),
    "1/sqrt(2L) at init beside 1/L": (
        traps.root_in_init_beside_multiplier, (2, 4), "MUP705",
        "blocks.*.down.weight (×2): init std ∝ L^-1/2, and so does a constant on its branch, needs L^0",
    ),
    "1/sqrt(L) and one learning rate": (traps.root_branches, (2, 4), "MUP703", "is added with L^-1/2, needs L^-1"),
    "a factor before a norm": (traps.sandwich(True, True), (2, 4), "MUP703", "stands before a norm"),
    "the same, without parameters": (traps.sandwich(True, False), (2, 4), "MUP703", "stands before a norm"),
    "a constant on the stream": (traps.skip_scaled, (2, 4), "MUP708", "is multiplied by 0.9 in every block"),
    "a gain on the stream": (traps.skip_gain, (2, 4), "MUP708", "is multiplied by a parameter in every block"),
    "layer scale from 1/L": (traps.layer_scale(lambda depth: 1 / depth), (2, 4), "MUP704", "its init falls with depth"),
    "the embedding into every block": (
        traps.embedding_into_every_block(0.0), (2, 4), "MUP709", "is added to the stream in every block",
    ),
    "the other kind of block": (
        traps.hybrid(0.0), (4, 8), "MUP703",
        "this branch (blocks.3.out.{weight,bias} (×2)) is added without a factor of depth, needs L^-1",
    ),
    "one block alone": (
        traps.odd_one_out, (4, 8), "MUP703",
        "this branch (blocks.0.down.{weight,bias} (×2)) is added without a factor of depth, needs L^-1",
    ),
    "attention by depth": (traps.attention_scaled_by_depth, (2, 4), "MUP711", "attention logits in blocks.*: ∝ L^-1"),
}  # fmt: skip
UNREAD: dict[str, tuple[Make, str]] = {
    "post-norm": (traps.post_norm, "post-norm"),
    "no skip connection": (traps.no_skip, "not added up in one residual stream"),
    "hyper-connections": (traps.Hyper, "not added up in one residual stream"),
    "a constant by the place of the block": (traps.constant_by_place, "depends on the place of the block"),
    "an init by the place of the block": (traps.init_by_place, "another one in every block"),
}
REFUSED: dict[str, tuple[Make, str]] = {
    "a loop over shared weights": (traps.loop, "the same weights run more often, a loop over depth"),
    "DenseNet": (traps.Dense, "width and depth cannot be told apart"),
    "all blocks in one tensor": (traps.Stacked, "width and depth cannot be told apart"),
    "no block at all": (lambda depth: traps.completep(2), "the deeper model has no more blocks"),
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_right_is_clean(name: str) -> None:
    report = audited(*CLEAN[name])
    assert codes(report) == []
    assert report.unanalysed == ()
    assert report.verdict == "mup"


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_once(name: str) -> None:
    make, depths, rule, words = WRONG[name]
    report = audited(make, depths)
    (found,) = report.violations
    assert (found.rule, words in found.message) == (rule, True), found.message
    assert found.file is not None
    assert found.file.endswith("depth_traps.py")


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_listed_and_nothing_is_accused(name: str) -> None:
    make, words = UNREAD[name]
    report = audited(make)
    assert codes(report) == []
    assert any(words in each.reason for each in report.unanalysed), report.unanalysed
    assert report.verdict == "unknown"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_stack_of_blocks_is_refused(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UserError, match=words):
        audited(make)


def test_an_init_by_place_does_not_hide_that_nothing_follows_depth() -> None:
    report = audited(traps.init_by_place_alone)
    assert codes(report) == [("MUP701", "error")]
    assert {each.name for each in report.unanalysed} == {"blocks.0.down.weight", "blocks.1.down.weight"}


def test_lines_are_those_where_the_branch_is_added() -> None:
    (found,) = audited(traps.plain).violations
    with open(traps.__file__, encoding="utf-8") as file:
        assert "return x + block(x)" in file.readlines()[(found.line or 0) - 1]


def test_depth_mup_is_lazy_to_completep_and_right_to_itself() -> None:
    def build(width: int, depth: int = 2) -> torch.nn.Module:
        return traps.root_branches(depth)

    def optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
        inside = list(model.blocks.parameters())  # type: ignore[union-attr, operator]
        rest = [p for name, p in model.named_parameters() if not name.startswith("blocks.")]
        m = len(model.blocks) / traps.BASE  # type: ignore[arg-type]
        groups = [{"params": inside, "lr": 1e-3 * m**-0.5}, {"params": rest, "lr": 1e-3}]
        return torch.optim.AdamW(groups, weight_decay=0.0)

    target = from_functions(build, batch=traps.batch, optimizer=optimizer, widths=(32, 64), depths=(2, 4))
    assert codes(audit_over_depth(target)) == [("MUP710", "advice")]
    assert codes(audit_over_depth(target, profile="depth-mup")) == []


@pytest.mark.parametrize(
    "step",
    [lambda x, block, x0, number: torch.add(block(x), x, alpha=0.9),
     lambda x, block, x0, number: torch.lerp(x, block(x), 0.1)],
    ids=["alpha of a sum", "lerp"],
)  # fmt: skip
def test_a_constant_on_the_stream_may_be_an_argument_of_the_sum(step: Callable[..., torch.Tensor]) -> None:
    report = audited(lambda depth: traps.Net([traps.Branch(depth / 2, -1.0) for _ in range(depth)], step))
    assert codes(report) == [("MUP708", "error")]
