"""Source edits: they mend what they were made for, keep the model at the base width, and touch nothing else."""

from __future__ import annotations

import difflib
import importlib.util
import json
import subprocess
import tokenize
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from matrix import some
from program import app

from muaudit.cli import repair
from muaudit.findings.model import SourceEdit
from muaudit.fixes.edited import apply_edits
from muaudit.writing import locked

GPT = Path(__file__).parent.parent / "fixtures" / "gpt" / "sp.py"
Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            app(["check", *args], prog_name="muaudit")
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


def rules(check: Check, *args: str) -> list[str]:
    lines = [json.loads(line) for line in check(*args, "--format", "jsonl")[1].splitlines()]
    return sorted(line["rule"] for line in lines if line["type"] == "finding")


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gpt(module: ModuleType, width: int) -> Any:
    torch.manual_seed(0)
    return module.GPT(module.GPTConfig(n_embd=width, n_head=4, n_layer=2, vocab_size=96, block_size=32)).eval()


def comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    return [token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING)]


def test_the_sp_gpt_audits_clean_for_init_attention_and_readout(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "sp.py"
    before = GPT.read_text()
    file.write_text(before)
    assert rules(check, "sp.py") == ["MUP101", "MUP201", "MUP301", "MUP402"]
    code, diff, _ = check("sp.py", "--diff", "--base-width", "64")
    assert (code, file.read_text()) == (1, before)
    both = check("sp.py", "--fix", "--diff", "--base-width", "64")
    assert (both, file.read_text()) == ((1, diff, ""), before)
    _, _, err = check("sp.py", "--fix", "--base-width", "64")
    assert "fixed 3 findings in sp.py" in err
    after = file.read_text()
    assert rules(check, "sp.py") == ["MUP301"]
    assert comments(after) == comments(before)
    changed = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))
    assert len([line for line in changed if line.startswith("-") and not line.startswith("---")]) == 6
    check("sp.py", "--fix", "--base-width", "64")
    assert file.read_text() == after
    (tmp_path / "patched.py").write_text(before)
    patched = diff.replace("sp.py", "patched.py")
    subprocess.run(["patch", "-p1"], input=patched, text=True, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "patched.py").read_text() == after
    _the_same_at_the_base_width_and_on_every_path(load(GPT, "old_gpt"), load(file, "edited_gpt"))


def _the_same_at_the_base_width_and_on_every_path(old: ModuleType, new: ModuleType) -> None:
    tokens = torch.arange(12).reshape(2, 6)
    before, after = gpt(old, 64), gpt(new, 64)
    for (name, one), (_, other) in zip(before.named_parameters(), after.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name)
    torch.testing.assert_close(before(tokens, tokens)[0], after(tokens, tokens)[0])
    wide = gpt(new, 256)
    logits, loss_free = wide(tokens, tokens)[0][:, -1:], wide(tokens)[0]
    torch.testing.assert_close(logits, loss_free)  # with and without targets: both readouts are scaled
    for module in wide.modules():
        if hasattr(module, "flash"):
            module.flash = False
            module.register_buffer("bias", torch.tril(torch.ones(32, 32)).view(1, 1, 32, 32))
    torch.testing.assert_close(wide(tokens)[0], loss_free)  # and so are both kinds of attention


NET = """\
import math
import torch
from torch import nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self, width=64, classes=4):
        super().__init__()
        {init}

    def forward(self, x):
        {forward}
"""
READOUT = "self.up = nn.Linear(8, width, bias=False)\n        self.head = nn.Linear(width, classes, bias=False)"


STYLES = dict(zip(
    ["readout", "method of the logits", "positional std", "no std", "parameter", "sum as std", "scaled queries",
     "fused"],
    [
        (READOUT, "return self.head(torch.tanh(self.up(x)))", "MUP202",
         "return self.head(torch.tanh(self.up(x))) * (64 / self.head.in_features)"),
        (READOUT + "\n        self.width = width", "return self.head(torch.tanh(self.up(x))).float()", "MUP202",
         "return (self.head(torch.tanh(self.up(x))) * (64 / self.width)).float()"),
        (READOUT + "\n        self.mid = nn.Linear(width, width)\n        nn.init.normal_(self.mid.weight, 0, 0.1)",
         "return self.head(torch.tanh(self.mid(torch.tanh(self.up(x)))))", "MUP101",
         "nn.init.normal_(self.mid.weight, 0, 0.1 * (64 / width) ** 0.5)"),
        (READOUT + "\n        self.mid = nn.Linear(width, width)\n        self.mid.weight.data.normal_()",
         "return self.head(torch.tanh(self.mid(torch.tanh(self.up(x)))))", "MUP101",
         "self.mid.weight.data.normal_(std=(64 / width) ** 0.5)"),
        (READOUT + "\n        self.mid = nn.Parameter(torch.randn(width, width) * 0.02)  # é",
         "return self.head(torch.tanh(torch.tanh(self.up(x)) @ self.mid))", "MUP101",
         "nn.Parameter(torch.randn(width, width) * 0.02 * (64 / width) ** 0.5)  # é"),
        (READOUT + "\n        self.mid = nn.Linear(width, width)\n"
         "        nn.init.normal_(self.mid.weight, std=0.1 + 0.01 * classes)",
         "return self.head(torch.tanh(self.mid(torch.tanh(self.up(x)))))", "MUP101",
         "std=(0.1 + 0.01 * classes) * (64 / width) ** 0.5)"),
        (READOUT + "\n        self.qk = nn.Linear(width, 2 * width, bias=False)\n        self.scale = width**-0.5",
         "x = self.up(x)[None]\n        q, k = self.qk(x).chunk(2, -1)\n        q = q * self.scale\n"
         "        att = (q @ k.transpose(-2, -1)).softmax(-1)\n        return self.head(att @ x)[0]", "MUP201",
         "q = q * self.scale * (64 / q.size(-1)) ** 0.5"),
        (READOUT + "\n        self.qk = nn.Linear(width, 2 * width, bias=False)",
         "x = self.up(x)[None]\n        q, k = self.qk(x).chunk(2, -1)\n"
         "        return self.head(F.scaled_dot_product_attention(q, k, x, scale=None))[0]", "MUP201",
         "scale=8 / q.size(-1))"),
    ],
    strict=True,
))  # fmt: skip


@pytest.mark.parametrize("style", some(list(STYLES), ["readout", "parameter", "scaled queries"]))
def test_styles(check: Check, tmp_path: Path, style: str) -> None:
    init, forward, cured, text = STYLES[style]
    file = tmp_path / "net.py"
    file.write_text(NET.format(init=init, forward=forward), encoding="utf-8")
    flags = ("net.py", "--input", "float32[6,8]")
    before = rules(check, *flags)
    assert cured in before
    check(*flags, "--fix", "--select", cured)
    after = file.read_text(encoding="utf-8")
    assert text in after
    now = rules(check, *flags)
    assert cured not in now
    assert set(now) <= {*before, "MUP501", "MUP510", "MUP511"}  # a model in which nothing is wrong gets advice


HEADS = """\
import math
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, dim=96, n_head=6):
        super().__init__()
        self.n_head = n_head
        self.up = nn.Linear(8, dim)
        self.qk = nn.Linear(dim, 2 * dim)
        self.head = nn.Linear(dim, 4)

    def forward(self, x):
        x = self.up(x)
        q, k = (each.view(*x.shape[:2], self.n_head, -1).transpose(1, 2) for each in self.qk(x).chunk(2, -1))
        att = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(x.size(-1) // self.n_head)
        v = x.view(*x.shape[:2], self.n_head, -1).transpose(1, 2)
        return self.head((att.softmax(-1) @ v).transpose(1, 2).flatten(-2))
"""


def test_the_attention_edit_goes_by_the_size_of_a_head(check: Check, tmp_path: Path) -> None:
    """As people widen: more heads of the size that a head has at the base width. Nothing changes then."""
    file = tmp_path / "net.py"
    file.write_text(HEADS)
    flags = ("net.py", "--input", "float32[2,6,8]")
    assert "MUP201" in rules(check, *flags)
    check(*flags, "--fix", "--select", "MUP201")
    assert "/ math.sqrt(x.size(-1) // self.n_head) * (16 / q.size(-1)) ** 0.5" in file.read_text()
    assert "MUP201" not in rules(check, *flags)
    old = tmp_path / "old.py"
    old.write_text(HEADS)
    x = torch.randn(2, 6, 8)
    for dim, heads, same in ((96, 6, True), (192, 12, True), (192, 6, False)):
        outputs = []
        for module in (load(old, "old"), load(file, "edited")):
            torch.manual_seed(0)
            outputs.append(module.Net(dim, heads)(x))
        assert torch.allclose(*outputs) is same


LOADING = """\

    @classmethod
    def from_pretrained(cls, name):
        return cls(GPTConfig(n_embd={"small": 64, "medium": 96}[name], n_head=4, n_layer=2, vocab_size=96))
"""


def test_a_model_whose_checkpoints_have_several_sizes_gets_its_base_as_an_argument(
    check: Check, tmp_path: Path
) -> None:
    """No number can stand in the source: it would change what all but one of the checkpoints compute."""
    file, old = tmp_path / "sp.py", tmp_path / "old.py"
    old.write_text(GPT.read_text() + LOADING)
    file.write_text(old.read_text())
    _, _, err = check("sp.py", "--fix")
    assert "fixed 3 findings in sp.py; nothing changes until base_n_embd is given, the n_embd that was tuned at" in err
    assert "muaudit check sp.py --set base_n_embd=768 audits it with base_n_embd" in err
    after = file.read_text()
    assert rules(check, "sp.py", "--set", "base_n_embd=64") == ["MUP301"]
    check("sp.py", "--fix")
    assert file.read_text() == after
    before, edited = load(old, "old_loading"), load(file, "edited_loading")
    tokens = torch.arange(12).reshape(2, 6)
    for name in ("small", "medium"):
        outputs = []
        for module in (before, edited):
            torch.manual_seed(0)
            outputs.append(module.GPT.from_pretrained(name).eval()(tokens)[0])
        assert torch.equal(*outputs)


def test_no_number_is_put_where_it_would_change_checkpoints(check: Check, tmp_path: Path) -> None:
    """There is no configuration that the base width could be a field of."""
    file = tmp_path / "net.py"
    file.write_text(
        NET.format(init=READOUT, forward="return self.head(torch.tanh(self.up(x)))")
        + """
    @classmethod
    def from_pretrained(cls, name):
        return cls({"small": 64, "large": 256}[name])
"""
    )
    before = file.read_text()
    check("net.py", "--input", "float32[6,8]", "--fix")
    assert file.read_text() == before


SHARED = """\
from torch import nn


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.up = nn.Linear(8, width)
        self.mid = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)
        self.apply(init_weights)

    def forward(self, x):
        return self.head(self.mid(self.up(x).tanh()).tanh()) * (64 / self.head.in_features)
"""


def test_an_edit_that_would_spoil_others_is_not_made(check: Check, tmp_path: Path) -> None:
    """The one line initializes the input weights too, and nothing in reach tells them apart."""
    file = tmp_path / "net.py"
    file.write_text(SHARED)
    assert "MUP101" in rules(check, "net.py")
    assert check("net.py", "--fix")[2] == ""
    assert file.read_text() == SHARED


def test_the_cause_in_an_imported_file_is_edited_there(check: Check, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(
        "from torch import nn\n\n\nclass Head(nn.Linear):\r\n    def forward(self, x):\r\n"
        "        return super().forward(x)  # plain\r\n"
    )
    (tmp_path / "net.py").write_text(
        "from torch import nn\nfrom parts import Head\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, width=64):\n        super().__init__(nn.Linear(8, width), nn.Tanh(), Head(width, 4))\n"
    )
    assert rules(check, "net.py").count("MUP202") == 1
    assert "MUP202" not in rules(check, "net.py", "--fix")  # the report is of the files as they are now
    edited = (tmp_path / "parts.py").read_bytes()
    assert b"return super().forward(x * (64 / self.in_features))  # plain\r\n" in edited
    assert rules(check, "net.py", "--fix") == ["MUP107"]


def test_a_file_that_two_targets_read_is_edited_only_if_both_gain(check: Check, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(
        "from torch import nn\n\n\nclass Head(nn.Linear):\n"
        "    def forward(self, x):\n        return super().forward(x)\n"
    )
    net = ("from torch import nn\nfrom parts import Head\n\n\nclass Net(nn.Module):\n"
           "    def __init__(self, width=64):\n        super().__init__()\n"
           "        self.up, self.head = nn.Linear(8, width), Head(width, 4, bias=False)\n\n"
           "    def forward(self, x):\n        return self.head(self.up(x).tanh()){factor}\n")  # fmt: skip
    (tmp_path / "wrong.py").write_text(net.format(factor=""))
    (tmp_path / "right.py").write_text(net.format(factor=" * (64 / self.head.in_features)"))
    (tmp_path / "muaudit.yaml").write_text("targets: {wrong: {target: wrong.py}, right: {target: right.py}}\n")
    assert "MUP202" in rules(check, "--jobs", "1")
    before = (tmp_path / "parts.py").read_text(), (tmp_path / "wrong.py").read_text()
    check("--fix", "--jobs", "1")
    assert ((tmp_path / "parts.py").read_text(), (tmp_path / "wrong.py").read_text()) == before


def test_answered_findings_are_not_edited(check: Check, tmp_path: Path) -> None:
    text = NET.format(
        init=READOUT, forward="return self.head(torch.tanh(self.up(x)))  # muaudit: ignore[MUP202] frozen"
    )
    (tmp_path / "net.py").write_text(text)
    check("net.py", "--input", "float32[6,8]", "--fix")
    assert (tmp_path / "net.py").read_text() == text


def test_fixes_are_shown_with_their_findings_and_in_sarif(check: Check, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.format(init=READOUT, forward="return self.head(torch.tanh(self.up(x)))"))
    shown = check("net.py", "--input", "float32[6,8]", "--show-fixes")[1]
    assert "+        return self.head(torch.tanh(self.up(x))) * (64 / self.head.in_features)" in shown
    log = json.loads(check("net.py", "--input", "float32[6,8]", "--format", "sarif")[1])
    (fix,) = [fix for result in log["runs"][0]["results"] for fix in result.get("fixes", [])]
    (change,) = fix["artifactChanges"]
    assert change["artifactLocation"]["uri"] == "net.py"
    assert change["replacements"][0]["insertedContent"]["text"] == " * (64 / self.head.in_features)"


SPEC = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Linear(8, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x):
        return self.head(torch.tanh(self.up(x)))


def build(width):
    return Net(width)


def batch(width):
    return torch.randn(6, 8)
"""


def test_a_base_width_that_nobody_knows_is_asked_for(check: Check, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SPEC)
    assert "scale the logits with width: --fix needs --base-width N for it" in check("net.py", "--show-fixes")[1]
    for flag in ("--fix", "--diff"):
        code, out, err = check("net.py", flag)
        assert (code, out) == (2, "")
        assert f"{flag} needs a base width: " in err
        assert "--base-width N says at which width the edited model is the same as before" in err
    assert (tmp_path / "net.py").read_text() == SPEC
    assert not any(r.get("fixes") for r in json.loads(check("net.py", "--format", "sarif")[1])["runs"][0]["results"])
    assert (
        "fixed 1 finding in net.py; nothing changes at width = 32" in check("net.py", "--fix", "--base-width", "32")[2]
    )
    assert "* (32 / self.head.in_features)" in (tmp_path / "net.py").read_text()


@pytest.mark.parametrize("flag", ["--fix", "--diff"])
def test_a_file_that_changed_since_it_was_audited_is_left_alone(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    """An editor saves between the audit and the edit: the lines are other lines now."""
    file = tmp_path / "net.py"
    file.write_text(SPEC)
    saved = "# a comment\n# above\n" + SPEC
    before = repair.check_base

    def late(*args: Any) -> None:
        file.write_text(saved)
        before(*args)

    monkeypatch.setattr(repair, "check_base", late)
    code, out, err = check("net.py", flag, "--base-width", "32")
    assert (code, out) == (2, "")
    assert "no edit was made in net.py: it has changed since it was audited\nrun the same command again" in err
    assert file.read_text() == saved


def test_two_runs_at_once_make_one_edit(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have audited the same file; the second one comes to write while the first one holds it."""
    file = tmp_path / "net.py"
    file.write_text(SPEC)
    with locked([file]):
        code, out, err = check("net.py", "--fix", "--base-width", "32")
    assert (code, out) == (2, "")
    assert "cannot write net.py" in err.replace(f"{tmp_path}/", "")
    assert "another run is writing it" in err
    assert file.read_text() == SPEC


def test_what_user_code_raises_does_not_steer_the_terminal(check: Check, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text('raise ValueError("\\x1b]0;title\\x07\\x1b[2J\\x9b31m gone")\n')
    for flags in ((), ("--debug",)):
        code, _, err = check("net.py", *flags)
        assert code == 2
        assert "\\x1b]0;title\\x07\\x1b[2J\\x9b31m gone" in err
        assert not {"\x1b", "\x07", "\x9b"} & set(err)


def test_names_in_a_model_do_not_steer_the_terminal(check: Check, tmp_path: Path) -> None:
    text = SPEC.replace(
        "self.head = nn.Linear(width, 4, bias=False)", 'self.add_module("h\\x1b[31m", nn.Linear(width, 4))'
    )
    text = text.replace("self.head(", 'getattr(self, "h\\x1b[31m")(')
    (tmp_path / "net.py").write_text(text)
    for style in ("rich", "concise", "github", "markdown", "junit", "json"):
        out = check("net.py", "--format", style, *(["--tensors"] if style == "rich" else []))[1]
        assert "\x1b" not in out
        assert "31m" in out


def test_edits_are_made_where_python_counts_lines() -> None:
    text = "a\x0c = 1\r\nb = 'é' + c\n"
    assert (
        apply_edits(text, [SourceEdit("f", 2, 10, 2, 10, "d"), SourceEdit("f", 2, 0, 2, 1, "z")])
        == "a\x0c = 1\r\nz = 'é' + dc\n"
    )
    with pytest.raises(ValueError, match="two edits"):
        apply_edits("abc\n", [SourceEdit("f", 1, 0, 1, 2, "x"), SourceEdit("f", 1, 1, 1, 3, "y")])
