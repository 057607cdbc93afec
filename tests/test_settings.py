"""Configured targets: found, merged with flags, and refused with the place and the nearest name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from program import app

from muaudit.errors import UserError
from muaudit.settings import Configured, load_settings
from muaudit.settings.keys import TARGET
from muaudit.settings.load import merged
from muaudit.settings.schema import SHIPPED, json_schema, schema_text
from muaudit.settings.settings_lines import rows
from muaudit.targets.options import TargetOptions

MODEL = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, width, depth=1):
        super().__init__(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 4))
"""
TOML = """
[tool.muaudit.targets.small]
target = "net.py:Net"
width = { width = [32, 64] }
input = ["float32[4,8]"]

[tool.muaudit.targets.sgd]
target = "net.py:Net"
optimizer = "sgd"
input = ["float32[4,8]"]
profile = "lingle"
"""


def configured(folder: Path) -> dict[str, Configured]:
    return dict(load_settings(folder).targets)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "pyproject.toml").write_text(TOML)
    (tmp_path / "below").mkdir()
    return tmp_path


def test_the_nearest_file_counts_and_paths_are_relative_to_it(project: Path) -> None:
    found = configured(project / "below")
    assert list(found) == ["small", "sgd"]
    assert found["small"].target == str(project / "net.py:Net")
    assert found["small"].options.widths == {"width": (32, 64)}
    assert found["sgd"].profile == "lingle"


def test_yaml_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "muaudit.yaml").write_text("targets:\n  net:\n    target: net.py\n    set: {depth: 2}\n")
    assert configured(tmp_path)["net"].options.set == {"depth": 2}


def test_flags_beat_the_file() -> None:
    file = TargetOptions(widths={"width": (32, 64)}, set={"depth": 2, "bias": True}, optimizer="sgd")
    flags = TargetOptions(set={"depth": 3}, optimizer="adam")
    both = merged(file, flags)
    assert (both.widths, both.set, both.optimizer) == ({"width": (32, 64)}, {"depth": 3, "bias": True}, "adam")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.muaudit\n", "pyproject.toml:1:14: not valid TOML: Expected ']'"),
        ("tool = 3\n[tool.muaudit]\n", "not valid TOML"),
        (
            "[tool.muaudit]\ntarget = 'x'\n",
            "pyproject.toml:2:1: [tool.muaudit] has no key 'target'\ndid you mean targets?",
        ),
        (
            "[tool.muaudit]\n\nselct = []\n",
            "pyproject.toml:3:1: [tool.muaudit] has no key 'selct'\ndid you mean select?",
        ),
        (
            "[tool.muaudit]\nselect = ['MUP2', 'hiden-lr']\n",
            ":2:1: select: no rule is called 'hiden-lr'\ndid you mean hidden-lr",
        ),
        ("[tool.muaudit]\nseverities = { MUP101 = 'eror' }\n", "severities expects a table from rule to error"),
        ("[tool.muaudit]\nfail-on = 'all'\n", "fail-on expects one of error, warning, advice, found 'all'"),
        ("[tool.muaudit]\nstrict = 1\n", "strict expects true or false, found 1"),
        ("[tool.muaudit.targets.a]\nwidht = {}\n", ":2:1: target 'a' has no key 'widht'\ndid you mean width?"),
        ("[tool.muaudit]\ntargets = { a = { target = 'x', widht = {} } }\n", ":2:33: target 'a' has no key 'widht'"),
        ("[tool.muaudit.targets.a]\nset = {}\n", "expects target ="),
        ("[tool.muaudit.targets.a]\ntarget = 'x'\nwidth = [1]\n", ":3:1: width expects a table"),
        ("[tool.muaudit.targets.a]\ntarget = 'x'\nwidth = { n = [64] }\n", "at least two different"),
        ("[tool.muaudit.targets.a]\ntarget = 'x'\nlr-group = { w = 'x' }\n", "lr-group expects a table"),
        ("[tool.muaudit.targets.a]\ntarget = 'x'\ninput = ['what']\n", "--input expects dtype"),
        ("[tool]\nmuaudit = 3\n", "expects a table, found 3"),
    ],
)
def test_a_malformed_file_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile: tp5\ntargets: [\n", "muaudit.yaml:3:1: not valid YAML: "),
        ("profil: tp5\n", "muaudit.yaml:1:1: the configuration has no key 'profil'\ndid you mean profile?"),
        ("- a\n", "expects a table, found ['a']"),
        ("targets:\n  net:\n    target: net.py\n    sett: {}\n", "muaudit.yaml:4:5: target 'net' has no key 'sett'"),
        ("profile: 3\n", "muaudit.yaml:1:1: profile expects a text, found 3"),
        ("targets: {net: {target: net.py, ignore: [MUP8]}}\n", "muaudit.yaml:1:33: ignore: no rule is called 'MUP8'"),
    ],
)
def test_positions_in_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "muaudit.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["muaudit.yaml", "pyproject.toml"])
def test_a_file_that_is_no_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x92\xff\x00")
    with pytest.raises(UserError, match=rf"{name} cannot be read: .*\nmend the file, or leave it out with --isolated"):
        load_settings(tmp_path)
    assert load_settings(tmp_path, isolated=True).file is None


def test_a_pyproject_that_configures_nothing_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("tool = 3\n")
    assert load_settings(tmp_path).file is None


def test_two_configurations_in_one_folder_are_refused(project: Path) -> None:
    (project / "muaudit.yaml").write_text("profile: lingle\n")
    with pytest.raises(
        UserError, match=r"two configurations in .*: muaudit.yaml and \[tool.muaudit\] in pyproject.toml"
    ):
        load_settings(project)
    assert load_settings(project, config=project / "muaudit.yaml").profile == "lingle"
    assert load_settings(project, isolated=True).targets == {}


def test_the_nearest_file_is_not_merged_with_others(project: Path) -> None:
    (project / "below" / "muaudit.yaml").write_text("profile: lingle\n")
    assert load_settings(project / "below").targets == {}
    (project / "below" / "muaudit.yaml").unlink()
    (project / "below" / "pyproject.toml").write_text("[project]\nname = 'x'\n")  # without a section it does not count
    assert list(load_settings(project / "below").targets) == ["small", "sgd"]


def test_a_config_that_is_none(project: Path) -> None:
    (project / "other.toml").write_text("[tool.ruff]\n")
    for name, message in (("other.toml", "has no"), ("gone.yaml", "is no file")):
        with pytest.raises(UserError, match=message):
            load_settings(project, config=project / name)
    with pytest.raises(UserError, match="--isolated"):
        load_settings(project, config=project / "other.toml", isolated=True)


def test_underscores_are_hyphens(tmp_path: Path) -> None:
    (tmp_path / "muaudit.yaml").write_text("fail_on: warning\ntargets: {a: {target: a.py, lr_group: {w: -1}}}\n")
    settings = load_settings(tmp_path)
    assert settings.fail_on == "warning"
    assert settings.targets["a"].options.lr_groups == (("w", -1.0),)


def test_effective_settings_say_where_they_come_from(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    shown = {name: (value, where) for name, value, where in rows(load_settings(project))}
    assert shown["targets.small.width"] == ({"width": [32, 64]}, "pyproject.toml:4:1")
    assert shown["targets.sgd.profile"] == ("lingle", "pyproject.toml:11:1")
    assert shown["targets.small.profile"] == ("tp5", "as profile")
    assert shown["fail-on"] == ("error", "default")


def test_the_shipped_schema_is_that_of_the_code() -> None:
    assert SHIPPED.read_text() == schema_text(), "python -m muaudit.settings.schema writes it"


@given(st.data())
def test_schema_and_loader_accept_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from([*TARGET]), unique_by=lambda key: key.name, max_size=4))
    section = {"target": "a.py"} | {key.name: data.draw(st.sampled_from(VALUES[key.kind])) for key in keys}
    document = {"targets": {"a": section}}
    folder = tmp_path_factory.mktemp("schema")
    (folder / "muaudit.yaml").write_text(yaml.safe_dump(document))
    valid = jsonschema.Draft7Validator(json_schema()).is_valid(document)
    try:
        load_settings(folder)
    except UserError:
        assert not valid, document
    else:
        assert valid, document


VALUES: dict[str, list[object]] = {
    "text": ["tp5", 3, ["x"], True],
    "flag": [True, False, 1, "yes"],
    "size": [1, 512, 0, "64", 1.5],
    "whole": [0, -3, "1", None],
    "codes": [["MUP2"], [], "MUP2", [3]],
    "severities": [{"MUP101": "warning"}, {"MUP101": "bad"}, []],
    "ignores": [{"*.bias": ["MUP104"]}, {"*.bias": "MUP104"}, ["MUP1"]],
    "widths": [{"n": [32, 64]}, {"n": [32]}, {"n": [32, 32]}, {"n": ["a", 3]}, {"n": 3}, [64]],
    "values": [{"n_layer": 2, "act": "relu"}, {}, [], "n_layer=2"],
    "texts": [["int64[2,32]"], [], "int64[2,32]", [1]],
    "exponents": [{"w": -1, "b": 0.5}, {"w": "x"}, {"w": True}, 1],
}


def test_check_without_target_audits_all_of_them(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)

    def check(*more: str) -> Any:
        with pytest.raises(SystemExit) as stop:
            app(["check", "--format", "json", *more], prog_name="muaudit")
        said = capsys.readouterr()
        assert stop.value.code == 1, said.err
        return json.loads(said.out)

    reports = check()
    assert [r["optimizer"] for r in reports] == ["adamw", "sgd"]
    assert [r["profile"] for r in reports] == ["tp5", "lingle"]
    assert check("small")["width"]["probes"] == [32, 64]
