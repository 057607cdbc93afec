"""Multipliers that stand better in the source: the diff applies, and the edited model needs the hooks no more."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from bugs.plant import FIXTURES
from test_convert import losses

from muaudit.audit import audit
from muaudit.convert.plan_lines import plan_lines
from muaudit.convert.planner import make_plan
from muaudit.convert.source_edits import source_diff, source_fixes
from muaudit.plan.plan import Plan
from muaudit.plan.planned import planned
from muaudit.report.layout import plain
from muaudit.targets import Target, TargetOptions, resolve

BASE, WIDTH = 64, 192
OPTIONS = {
    "gpt": {"n_head": 2, "n_layer": 2, "vocab_size": 96, "block_size": 32},
    "llama": {"n_heads": 4, "n_kv_heads": 2},
}
SUBJECTS = [
    ("gpt", "table8", {"self.lm_head(x * (64 / self.config.n_embd))": 1, "scale=32 ** 0.5 / q.size(-1)": 1}),
    ("gpt", "table9", {"transformer.wte(idx) * (self.config.n_embd / 64) ** 0.5": 1}),
    ("llama", "table3", {"scale=4 / q.size(-1)": 1}),
    ("mlp", "table9", {"self.readout(x * (64 / self.readout.in_features) ** 0.5)": 1}),
]  # fmt: skip


def subject(family: str, folder: Path) -> Target:
    file = folder / f"{family}.py"
    if not file.exists():
        file.write_text((FIXTURES / family / "sp.py").read_text())
    return resolve(str(file), TargetOptions(set=OPTIONS.get(family, {})))


def run(target: Target, plan: Plan) -> list[float]:
    model = plan.apply_(target.build({target.axes[0].name: WIDTH}, 0))
    groups = plan.param_groups(model, lr=0.003, eps=1e-30)
    return losses(target, model, torch.optim.AdamW(groups), 5, WIDTH)


@pytest.mark.parametrize(("family", "formulation", "snippets"), SUBJECTS)
def test_the_diff_takes_the_place_of_the_hooks(
    family: str, formulation: str, snippets: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = subject(family, tmp_path)
    plan = make_plan(target, BASE, WIDTH, formulation=formulation)
    assert plan.hooks
    fixes = source_fixes(target, plan)
    diff = source_diff(fixes)
    want = run(target, plan)
    text = plain(plan_lines(plan, [audit(planned(target, plan))], fixes, diff))
    assert text.count("better made in the source, below") == len(fixes)
    (tmp_path / "whole.patch").write_text(text)
    applied = subprocess.run(
        ["git", "apply", "whole.patch"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert applied.returncode == 0, applied.stderr + text
    for snippet, count in snippets.items():
        assert (tmp_path / f"{family}.py").read_text().count(snippet) == count, diff

    edited = subject(family, tmp_path)
    again = make_plan(edited, BASE, WIDTH, formulation=formulation)
    assert set(again.hooks) == set(plan.hooks) - set(fixes)
    report = audit(planned(edited, again))
    assert (report.count("error"), report.unanalysed) == (0, ())
    assert run(edited, again) == pytest.approx(want, rel=1e-4)
