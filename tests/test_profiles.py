"""A profile in a file changes targets, advice and severities; what is wrong in it is said with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from bugs.plant import FIXTURES, Edit, fixture

from muaudit.audit import audit
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.parametrizations import get_profile
from muaudit.targets import resolve

CONSTANT_DECAY = Edit("weight_decay * m", "weight_decay")  # lr · wd of hidden weights then falls like 1/n
STANDARD_READOUT = Edit("std=(2 / BASE) ** 0.5 / self.m)", "std=width**-0.5)")


def written(folder: Path, text: str) -> str:
    path = folder / "ours.yaml"
    path.write_text(text)
    return str(path)


def rules(report: Report) -> dict[str, str]:
    return {v.rule: v.severity for v in report.violations}


def check(path: Path, profile: str) -> Report:
    return audit(resolve(str(path)), profile=profile)


def test_a_file_changes_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    profile = get_profile(written(tmp_path, "extends: lingle\nweight_decay: {hidden: -1, output: -0.5}\n"))
    lingle = get_profile("lingle")
    assert (profile.name, profile.readout_init_bound, profile.advice) == ("ours", -0.5, lingle.advice)
    assert profile.weight_decay_target == -1.0
    assert dict(profile.weight_decay_targets) == {"output": -0.5}


def test_the_target_of_weight_decay(tmp_path: Path) -> None:
    path = fixture("gpt/table8", (CONSTANT_DECAY,), tmp_path).path
    assert rules(check(path, "tp5")) == {"MUP310": "advice", "MUP509": "advice"}
    assert rules(check(path, written(tmp_path, "weight_decay: {hidden: -1}\nadvice: []\n"))) == {}
    assert rules(check(path, written(tmp_path, "severities: {MUP310: error}\nadvice: []\n"))) == {"MUP310": "error"}


def test_weight_decay_as_it_is_written(tmp_path: Path) -> None:
    """TP5 B.3: AdamW as Adam, with one weight decay; the fixture scales it up, as microsoft/mup does."""
    one = fixture("gpt/table8", (CONSTANT_DECAY,), tmp_path).path
    assert "MUP310" not in rules(check(one, "tp5-as-written"))
    assert rules(check(fixture("gpt/table8", (), tmp_path).path, "tp5-as-written"))["MUP310"] == "advice"


def test_weight_decay_of_a_readout_is_judged_by_role(tmp_path: Path) -> None:
    doubled = Edit('LR, "weight_decay": WEIGHT_DECAY}', 'LR, "weight_decay": WEIGHT_DECAY * m}')
    path = fixture("resnet/table8_adam", (doubled,), tmp_path).path
    (found,) = [v for v in check(path, "tp5").violations if v.rule == "MUP310"]
    assert (found.tensors, found.found_exponent, found.expected_exponent) == (("head.weight",), 1.0, 0.0)
    assert rules(check(path, written(tmp_path, "weight_decay: {output: 1}\nadvice: []\n"))) == {}


def test_the_bound_of_a_readout(tmp_path: Path) -> None:
    path = fixture("mlp/table3", (STANDARD_READOUT,), tmp_path).path
    assert rules(check(path, "tp5")) == {"MUP103": "error"}
    for school in ("standard-full-align", "lingle", written(tmp_path, "readout_init_bound: -0.5\n")):
        assert "MUP103" not in rules(check(path, school))


SCALE = "math.sqrt(BASE / config.n_head) / (config.n_embd / config.n_head)"


@pytest.mark.parametrize(
    ("scale", "severities"),
    [
        ("(config.n_embd // config.n_head) ** -0.5", ("error", "advice", "warning")),
        ("0.2", ("error", "error", "error")),
    ],
)
def test_attention_by_the_root_is_a_matter_of_school(scale: str, severities: tuple[str, ...], tmp_path: Path) -> None:
    """1/sqrt(d_head) is advice under lingle, as all that broke transfer there; no scale at all is wrong everywhere."""
    path = fixture("gpt/table8", (Edit(SCALE, scale),), tmp_path).path
    for school, severity in zip(
        ("tp5", "lingle", written(tmp_path, "sqrt_attention: warning\n")), severities, strict=True
    ):
        assert rules(check(path, school))["MUP201"] == severity


def test_advice_is_asked_for_or_left_out(tmp_path: Path) -> None:
    path = FIXTURES / "mlp" / "table8.py"
    assert rules(check(path, "tp5")) == {"MUP501": "advice"}
    assert rules(check(path, written(tmp_path, "advice: []\n"))) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("readout_bound: -1\n", r"ours.yaml: a profile has no key 'readout_bound'\ndid you mean readout_init_bound"),
        ("readout_init_bound: half\n", "readout_init_bound expects an exponent of width such as -0.5, found 'half'"),
        ("readout_init_bound: .nan\n", "expects an exponent"),
        ("readout_init_bound: true\n", "expects an exponent of width such as -0.5, found True"),
        ("extends: tp4\n", "extends 'tp4', which is no profile\ndid you mean tp5"),
        ("weight_decay: -1\n", "weight_decay expects exponents by role, found -1"),
        ("weight_decay: {hiden: -1}\n", "weight_decay has no role 'hiden'\ndid you mean hidden"),
        ("advice: MUP501\n", "advice expects a list of rules, found 'MUP501'"),
        ("advice: [MUP201]\n", "'MUP201' cannot be asked for as advice"),
        ("severities: {MUP999: error}\n", "severities has no rule 'MUP999'"),
        ("severities: {MUP310: fatal}\n", "MUP310 has severity 'fatal'\nseverities: error, warning, advice"),
        ("sqrt_attention: no\n", "sqrt_attention has severity False"),
        ("severities: [MUP310]\n", "severities expects rules with a severity each"),
        ("name: 3\n", "name expects a text, found 3"),
        ("- tp5\n", "holds a list, expected a profile"),
        ("", "holds nothing, expected a profile"),
        ("a: [\n", "is not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        get_profile(written(tmp_path, text))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"no profile file nowhere\.yaml"):
        get_profile("nowhere.yaml")
    with pytest.raises(UserError, match=r"or a file: --profile ours\.yaml"):
        get_profile("nowhere")
