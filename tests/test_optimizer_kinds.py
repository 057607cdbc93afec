"""Optimizers whose step cannot be run by itself: what their groups or the user say of it counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import app

import muaudit.audit as audits
from muaudit.errors import UserError
from muaudit.targets import TargetOptions, resolve
from muaudit.targets.options import parse_optimizer_kinds

MODEL = """\
import torch
from torch import nn


class Mixed(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-8, momentum=0.95, weight_decay=0.0))

    def step(self, closure=None):
        raise RuntimeError("every process has a share of this")


def zeropower_via_newtonschulz5(grad):
    return grad / max(1, grad.size(0) / grad.size(1)) ** 0.5


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.inp = nn.Linear(16, width, bias=False)
        self.hid = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 10, bias=False)

    def forward(self, x):
        x = self.inp(x).relu()
        return self.head(self.hid(x).relu())

    def configure_optimizers(self):
        return Mixed([dict(params=[self.hid.weight], {muon}), dict(params=[self.inp.weight, self.head.weight], {adam})])
"""


def found(folder: Path, muon: str = "tag=1", adam: str = "tag=2", kinds: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """By rule, the tensors that are found; MUP903 where an optimizer is not known."""
    file = folder / "net.py"
    file.write_text(MODEL.replace("{muon}", muon).replace("{adam}", adam))
    report = audits.audit(resolve(str(file), TargetOptions(optimizer_kinds=parse_optimizer_kinds(kinds))))
    told: dict[str, set[str]] = {}
    for violation in report.violations:
        told.setdefault(violation.rule, set()).update(violation.tensors)
    for item in report.unanalysed:
        told.setdefault(item.rule, set()).add(item.name)
    return told


def test_nothing_said_is_not_known(tmp_path: Path) -> None:
    assert found(tmp_path)["MUP903"] == {"inp.weight", "hid.weight", "head.weight"}


@pytest.mark.parametrize(
    ("muon", "adam"),
    [("kind='muon'", "kind='adamw'"), ("use_muon=True", "use_muon=False"), ("algorithm='muon'", "use_adam=True")],
)
def test_the_keys_of_a_group_say_it(tmp_path: Path, muon: str, adam: str) -> None:
    """A matrix under Muon with Keller Jordan's scale needs no other rate (spectral condition)."""
    told = found(tmp_path, muon, adam)
    assert "MUP903" not in told
    assert not any("hid.weight" in tensors for rule, tensors in told.items() if rule[:4] == "MUP3")
    assert told["MUP202"] == {"head.weight"}


def test_the_user_says_it(tmp_path: Path) -> None:
    """Under Adam one rate for all is too much for a hidden matrix; under Muon it is right, and sqrt(n) more is not."""
    assert found(tmp_path, kinds=("*=adamw",))["MUP301"] == {"hid.weight"}
    right = found(tmp_path, kinds=("hid.weight=muon:original", "*=adamw"))
    assert {"MUP301", "MUP313", "MUP903"}.isdisjoint(right)
    more = found(tmp_path, kinds=("hid.weight=muon:rms", "*=adamw"))
    assert any("hid.weight" in tensors for rule, tensors in more.items() if rule[:4] == "MUP3")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("hid.weight=muo", "did you mean muon"),
        ("hid.weight=lbfgs", "no optimizer 'lbfgs' is known"),
        ("hid.weight=muon:fast", "muon has the modes original, none, rms, spectral"),
        ("hide.*=adam", "matches no parameter"),
        ("adam", "expects PATTERN=KIND"),
    ],
)
def test_what_fits_nothing_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        found(tmp_path, kinds=(kind,))
    assert message in f"{caught.value.message}\n{caught.value.hint}"


def test_check_and_convert_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(MODEL.replace("{muon}", "tag=1").replace("{adam}", "tag=2"))
    kinds = ("--optimizer-kind", "hid.weight=muon:original", "--optimizer-kind", "*=adamw")
    for command, said in (
        (("check", "net.py"), "hid.weight as muon:original, * as adamw: --optimizer-kind says so"),
        (("convert", "net.py", "--base-width", "32", "--no-state-dict"), "audited as converted: no errors"),
    ):
        with pytest.raises(SystemExit) as stop:
            app([*command, *kinds], prog_name="muaudit")
        out, err = capsys.readouterr()
        assert stop.value.code in (0, 1), err
        assert said in out
