"""Other paths through a right model give no finding; the model is left as it was; only implementations are switched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from advice import but_for_appendix_d
from bugs.plant import FIXTURES, Edit, Fixture, fixture
from torch import nn
from torch.nn import functional as F

from muaudit.audit import audit
from muaudit.convert.planner import make_plan
from muaudit.findings.model import Report
from muaudit.plan.planned import planned
from muaudit.targets import from_functions, resolve
from muaudit.targets.probe import Inputs, Target
from muaudit.targets.switched_paths import paths

SCALE = "math.sqrt(BASE / config.n_head) / (config.n_embd / config.n_head)"
LAST = Edit("return logits, None", "return self.lm_head(x[:, [-1], :]) / self.config.m, None")
# as nanoGPT does it: the constructor asks torch, and prepares a mask for the path without the kernel
DETECTED = (
    Edit("self.flash = True", "self.flash = hasattr(torch.nn.functional, 'scaled_dot_product_attention')\n"
         "        if not self.flash:\n            print('slow')\n"
         "            self.register_buffer('bias', torch.ones(config.block_size, config.block_size).tril().bool())"),
    Edit("mask = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()", "mask = self.bias[:T, :T]"),
)  # fmt: skip
CHOSEN = (
    Edit("self.flash = True", "self.attn_impl = 'flash'"),
    Edit("if self.flash:", "if self.attn_impl == 'flash':"),
    Edit("        else:\n            att =", "        elif self.attn_impl == 'naive':\n            att ="),
)
TIED = "logits = self.lm_head(x) / self.config.m"
EAGER = Edit("* self.scale\n", "/ (C // self.n_head) ** 0.5\n")


def target_of(subject: Fixture) -> Target:
    return from_functions(
        subject.build, batch=subject.batch, loss=subject.loss, optimizer=subject.optimizer, widths=subject.widths
    )


def check(subject: Fixture) -> Report:
    return audit(target_of(subject))


def labels(model: nn.Module, *args: Any) -> list[str]:
    return [path.label for path in paths(model, Inputs(args))]


@pytest.mark.parametrize(
    "edits",
    [
        (Edit("dropout: float = 0.0", "dropout: float = 0.2"),),
        (LAST,),
        DETECTED,
        CHOSEN,
        # a switch of the parametrization itself is not tried
        (Edit("self.flash = True", "self.flash, self.use_mup = True, True"),
         Edit(SCALE, "1.0"), Edit("* self.scale\n", "* (6 * self.n_head / C if self.use_mup else 0.2)\n"),
         Edit("scale=self.scale", "scale=6 * self.n_head / C if self.use_mup else 0.2")),
    ],
    ids=["dropout", "last position", "detected", "chosen", "use_mup"],
)  # fmt: skip
def test_right_paths_pass(edits: tuple[Edit, ...], tmp_path: Path) -> None:
    report = check(fixture("gpt/table8", edits, tmp_path))
    assert not but_for_appendix_d(report), [v.message for v in report.violations]
    assert report.verdict == "mup"
    assert not report.unanalysed


@pytest.mark.parametrize(
    ("edits", "words"),
    [((*DETECTED, EAGER), "only with flash = False"), ((*CHOSEN, EAGER), "only with attn_impl = 'naive'")],
)
def test_a_wrong_path_behind_a_switch_is_found(edits: tuple[Edit, ...], words: str, tmp_path: Path) -> None:
    subject = fixture("gpt/table8", edits, tmp_path)
    (found,) = but_for_appendix_d(check(subject))
    assert (found.rule, found.severity, found.found_exponent) == ("MUP210", "error", -0.5)
    assert words in found.message
    assert found.line is not None
    assert "q @ k.transpose" in subject.path.read_text().splitlines()[found.line - 1]


SETTINGS = {
    "self.knobs = types.SimpleNamespace(flash=True)": "self.knobs.flash",
    "self.knobs = {'flash': True}": "self.knobs['flash']",
}
MASKED = (
    Edit("def forward(self, idx, targets=None):", "def forward(self, idx, targets=None, mask=None):"),
    Edit(
        "x = self.transformer.drop(x)", "x = self.transformer.drop(x if mask is None else x * (mask != 0)[..., None])"
    ),
)


@pytest.mark.parametrize("made", SETTINGS)
def test_settings_are_searched_under_any_name(made: str, tmp_path: Path) -> None:
    edits = (Edit("self.flash = True", made), Edit("if self.flash:", f"if {SETTINGS[made]}:"), EAGER)
    subject = fixture("gpt/table8", (*edits, Edit("import math\n", "import math\nimport types\n")), tmp_path)
    (found,) = but_for_appendix_d(check(subject))
    assert (found.rule, found.found_exponent) == ("MUP210", -0.5)
    assert "only with flash = False" in found.message


def test_a_mask_that_the_forward_takes_is_given(tmp_path: Path) -> None:
    right = fixture("gpt/table8", MASKED, tmp_path)
    assert "with mask" in labels(right.build(64), *right.batch(64))
    assert not but_for_appendix_d(check(right))
    wrong = Edit(TIED, "logits = self.lm_head(x) / (self.config.m if mask is None else 1.0)")
    (found,) = but_for_appendix_d(check(fixture("gpt/table8", (*MASKED, wrong), tmp_path)))
    assert (found.rule, found.tensors) == ("MUP210", ("transformer.wte.weight",))
    assert "only with mask" in found.message


def test_the_paths_of_a_language_model() -> None:
    module = fixture("gpt/table8")
    model, (tokens, targets) = module.build(64), module.batch(64)
    with_targets = labels(model, tokens, targets)
    assert with_targets == ["in eval mode", "without targets", "in eval mode without targets", "with flash = False"]
    assert labels(model, tokens) == ["in eval mode", "with targets", "with flash = False"]


def test_what_a_forward_is_run_for(tmp_path: Path) -> None:
    flag = Edit(
        "def forward(self, idx, targets=None):", "def forward(self, idx, targets=None, inference=False, mup=True):"
    )
    scale = Edit(TIED, "logits = self.lm_head(x) / (1 if inference else self.config.m)")
    right = fixture("gpt/table8", (flag,), tmp_path)
    assert "with inference = True" in labels(right.build(64), *right.batch(64))
    assert "with mup = False" not in labels(right.build(64), *right.batch(64))
    assert not but_for_appendix_d(check(right))
    (found,) = but_for_appendix_d(check(fixture("gpt/table8", (flag, scale), tmp_path)))
    assert (found.rule, found.tensors) == ("MUP210", ("transformer.wte.weight",))
    assert "only with inference = True" in found.message


def test_a_path_is_wrong_beside_a_mistake_of_the_first(tmp_path: Path) -> None:
    """The bias behind the factor is wrong while it trains, the weight without it in eval mode: two findings."""
    edit = Edit("return self.readout(x / self.m)", "return self.readout(x) / (self.m if self.training else 1.0)")
    found = {v.rule: v for v in check(fixture("mlp/table8", (edit,), tmp_path)).violations if v.severity != "advice"}
    assert {rule: v.tensors for rule, v in found.items()} == {
        "MUP208": ("readout.bias",), "MUP210": ("readout.weight",)
    }  # fmt: skip
    assert "only in eval mode" in found["MUP210"].message


def test_what_is_only_trained_takes_no_other_path(tmp_path: Path) -> None:
    """Rows of a coordinate check's predictions are those of the whole audit; what only eval mode does is not run."""
    edit = Edit("return self.readout(x / self.m)", "return self.readout(x / (self.m if self.training else 1.0))")
    subject = fixture("mlp/table8", (edit,), tmp_path)
    whole, trained = check(subject), audit(target_of(subject), as_trained=True)
    assert [v.rule for v in whole.violations if v.severity == "error"] == ["MUP210"]
    assert trained.verdict == "mup"
    assert not [v for v in trained.violations if v.severity != "advice"]
    assert trained.activations == whole.activations
    assert trained.tensors == whole.tensors


def test_entering_a_path_leaves_no_trace() -> None:
    module = fixture("gpt/table8")
    model = module.build(64)
    model.transformer.drop.eval()  # type: ignore[union-attr]
    before = [{k: v for k, v in vars(m).items() if isinstance(v, bool)} for m in model.modules()]
    for path in paths(model, Inputs(module.batch(64))):
        with path.enter(model, lambda: module.build(64)):
            pass
    assert [{k: v for k, v in vars(m).items() if isinstance(v, bool)} for m in model.modules()] == before
    assert callable(F.scaled_dot_product_attention)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3_moe"])
def test_the_paths_of_a_published_model_agree(family: str) -> None:
    """In µP by a plan: with and without labels, in eval mode, with either attention implementation."""
    pytest.importorskip("transformers")
    target = resolve(str(FIXTURES / "hf" / family))
    model, inputs = target.build(target.sizes(0), 0), target.inputs(target.sizes(0))
    tried = [path.label for path in paths(model, inputs)]
    assert {"in eval mode", "without labels", "with _attn_implementation = 'eager'"} <= set(tried)
    report = audit(planned(target, make_plan(target, 64, 128)))
    assert report.verdict == "mup"
    assert not [v for v in report.violations if v.severity != "advice"], [v.message for v in report.violations]
    assert not report.unanalysed
