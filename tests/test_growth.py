"""Each direction of growth, alone and together: roles and exponents worked out by hand.

The model of `fixtures/bugs/growth.py`, its tensors as stored: embed (48, d_model), qkv (d_model, all heads), out (query
heads, d_model), router (d_model, experts), gate_up (experts, d_model, d_ff), down (experts, d_ff, d_model), head
(48, d_model). A tensor is an input where only what it produces grows, an output where only what it contracts does.
Init and learning rate are for the multiplier that is there: 1/m leaves n^0 (router, head). Experts that grow along with
d_model make gate_up a matrix from d_model to experts × d_ff values: hidden.
"""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
from advice import but_for_appendix_d
from bugs.plant import FIXTURES

from muaudit import audit as audits
from muaudit.audit import audit
from muaudit.audit.evidence import evidence
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.targets import resolve
from muaudit.targets.options import TargetOptions, parse_widths

PATH = FIXTURES / "bugs" / "growth.py"
INPUT, OUTPUT, SCALED = ("input", 0.0, 0.0), ("output", -1.0, -1.0), ("output", 0.0, 0.0)
HIDDEN = ("hidden", -0.5, -1.0)
FUSED = ("hidden", "output", -0.5, -1.0)  # queries grow, keys and values beside them do not
EMBED, HEAD, ROUTER = "embed.weight", "head.weight", "experts.router"
QKV, OUT, UP, DOWN = "attention.qkv.weight", "attention.out.weight", "experts.gate_up", "experts.down"
# direction: flags, and (role, init, learning rate) of the tensors that it touches; all others are scalar-like
DIRECTIONS = {
    "d_model": (["d_model=32,64"], {EMBED: INPUT, QKV: OUTPUT, OUT: INPUT, ROUTER: SCALED, UP: OUTPUT, DOWN: INPUT,
                                    HEAD: SCALED}),
    "d_ff": (["d_ff=96,192"], {UP: INPUT, DOWN: OUTPUT}),
    "head dim": (["head_dim=16,32"], {QKV: INPUT, OUT: OUTPUT}),
    "heads": (["heads=2,4"], {QKV: INPUT, OUT: OUTPUT}),
    "heads and kv heads": (["heads=4,8", "kv_heads=2,4"], {QKV: INPUT, OUT: OUTPUT}),
    "kv heads": (["kv_heads=1,2"], {QKV: INPUT}),
    "experts": (["experts=4,8"], {ROUTER: INPUT, UP: INPUT, DOWN: INPUT}),
    "d_model and d_ff": (["d_model=32,64", "d_ff=96,192"], {EMBED: INPUT, QKV: OUTPUT, OUT: INPUT, ROUTER: SCALED,
                                                            UP: HIDDEN, DOWN: HIDDEN, HEAD: SCALED}),
    "d_model and heads": (["d_model=32,64", "heads=2,4"], {EMBED: INPUT, QKV: FUSED, OUT: HIDDEN, ROUTER: SCALED,
                                                           UP: OUTPUT, DOWN: INPUT, HEAD: SCALED}),
    "d_model and experts": (["d_model=32,64", "experts=4,8"], {EMBED: INPUT, QKV: OUTPUT, OUT: INPUT, UP: HIDDEN,
                                                               DOWN: INPUT, HEAD: SCALED}),
}  # fmt: skip


def check(*flags: str, source: str | None = None) -> Report:
    return audit(resolve(source or str(PATH), TargetOptions(widths=parse_widths(flags))))


# No layer reads what grows here: heads of queries share those of keys and values.
UNJUDGED = ("kv heads",)


@pytest.mark.parametrize("direction", UNJUDGED)
def test_more_of_what_is_chosen_from_is_no_width(direction: str) -> None:
    with pytest.raises(UserError, match="nothing to judge"):
        check(*DIRECTIONS[direction][0])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_roles_follow_what_grows(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flags, expected = DIRECTIONS[direction]
    if direction in UNJUDGED:
        monkeypatch.setattr(audits, "require_evidence", lambda target, scaling, places: evidence(scaling))
    report = check(*flags)
    assert not report.unanalysed
    rows = {row.name: row for row in report.tensors}
    found = {name: (*rows[name].roles, rows[name].init_required, rows[name].lr_required) for name in expected}
    assert found == expected
    still = {row.name for row in report.tensors if row.roles == ("scalar",)}
    grown = set(expected) | ({ROUTER} if direction == "d_model and experts" else set())
    assert still == set(rows) - grown
    assert not [v for v in report.violations if v.rule in ("MUP201", "MUP206", "MUP207")]


def test_unequal_ratios_are_judged_each_by_its_own() -> None:
    """d_model ×2, d_ff ×3, heads ×4, kv heads ×2, in units of d_model: log2 of each."""
    report = check()
    assert report.verdict == "mup"
    needed = {row.name: (row.init_required, row.lr_required) for row in report.tensors}
    d_ff, heads = log(3, 2), 2.0
    assert needed[QKV] == pytest.approx((-0.5, -1.0), abs=1e-3)
    assert needed[OUT] == pytest.approx((-heads / 2, -heads), abs=1e-3)
    assert needed[UP] == pytest.approx((-0.5, -1.0), abs=1e-3)
    assert needed[DOWN] == pytest.approx((-d_ff / 2, -d_ff), abs=1e-3)


@pytest.mark.parametrize(
    ("flag", "scale", "wrong"),
    [
        ("head_dim=16,32", "head_dim**-0.5", True),  # head_dim grows: only 1/head_dim is right
        ("head_dim=16,32", "4 / head_dim", False),
        ("heads=2,4", "head_dim**-0.5", False),  # head_dim stays: any constant is right
        ("heads=2,4", "(heads * head_dim) ** -0.5", True),
        ("heads=2,4", "8 / (heads * head_dim)", True),
    ],
)
def test_the_attention_scale_follows_the_head_dim(flag: str, scale: str, wrong: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(PATH.read_text().replace("HEAD_DIM**0.5 / head_dim", scale))
    codes = {v.rule for v in check(flag, source=str(path)).violations}
    assert ("MUP201" in codes) == wrong


@pytest.mark.parametrize(
    ("edit", "tensor", "found", "expected"),
    [
        (("LR = 0.003", "LR = 0.002"), None, 0.0, 0.0),
        (("std=d_ff**-0.5", "std=(3 * d_model) ** -0.5"), DOWN, -0.5, -log(3, 2) / 2),
        (("model.d_ff / D_FF", "model.d_model / D_MODEL"), DOWN, -1.0, -log(3, 2)),
        (("attention.out.weight.shape[0] / D_MODEL", "model.d_model / D_MODEL"), OUT, -1.0, -log(2.5, 2)),
    ],
)
def test_equal_ratios_are_not_taken_for_granted(
    edit: tuple[str, str], tensor: str | None, found: float, expected: float, tmp_path: Path
) -> None:
    """While d_model, d_ff and heads double together all is right; d_ff × 3 and heads × 2.5 beside it show the axis."""
    path = tmp_path / "model.py"
    path.write_text(PATH.read_text().replace(*edit))
    report = check("d_model=32,64", "d_ff=96,192", "heads=2,4", source=str(path))
    assert report.verdict == "mup"
    shown = [
        (v.rule, v.severity, v.tensors, v.found_exponent, v.expected_exponent)
        for v in report.violations
        if v.rule != "MUP508"  # keys and values of fixed size, fused with the queries
    ]
    finding = ("MUP506", "advice", (tensor,), pytest.approx(found, abs=0.02), pytest.approx(expected, abs=0.02))
    assert shown == ([finding] if tensor else [])


def test_a_multiplier_argument_keeps_its_ratio_to_the_width(tmp_path: Path) -> None:
    """`ratio` is width / base_width, and no size of any tensor: nothing is to be learned from growing it alone."""
    (tmp_path / "model.py").write_text(RATIO)
    options = TargetOptions(widths=parse_widths(["d_model=64,128", "ratio=1,2"]))
    report = audit(resolve(str(tmp_path / "model.py"), options))
    assert report.verdict == "mup"
    assert not but_for_appendix_d(report)


RATIO = """
from torch import nn, optim


class Net(nn.Module):
    def __init__(self, d_model=64, ratio=1.0):
        super().__init__()
        self.ratio = ratio
        self.stem, self.hidden = nn.Linear(16, d_model), nn.Linear(d_model, d_model)
        self.head = nn.Linear(d_model, 8, bias=False)
        nn.init.normal_(self.hidden.weight, std=0.1 / ratio**0.5)
        nn.init.normal_(self.head.weight, std=0.1)
        nn.init.zeros_(self.hidden.bias)

    def forward(self, x):
        return self.head(self.hidden(self.stem(x).relu()).relu()) / self.ratio

    def configure_optimizers(self):
        hidden = [self.hidden.weight]
        rest = [p for p in self.parameters() if p is not self.hidden.weight]
        return optim.Adam([{"params": hidden, "lr": 0.01 / self.ratio}, {"params": rest, "lr": 0.01}])
"""
