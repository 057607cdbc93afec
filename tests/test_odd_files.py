"""Files that are damaged or hostile: one message each, within seconds, in bounded memory. Formats are fuzzed, too."""

from __future__ import annotations

import json
import math
import os
import signal
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd.files import BASELINE, BOMB, GPT2, PLAN, Hostile, corpus, tried

from muaudit import reading
from muaudit.answers.baseline import KnownFinding, baseline_text, load_baseline
from muaudit.errors import UserError
from muaudit.plan.file import load_plan, plan_text
from muaudit.plan.plan import Plan
from muaudit.plan.scales import Entry as Scales
from muaudit.plan.scales import Hook
from muaudit.reading import Malformed, Unreadable, parse_json, parse_toml, parse_yaml, read_bytes, read_text
from muaudit.settings import Settings, load_settings
from muaudit.targets import TargetOptions, resolve

HOSTILE = corpus()
QUICK = [each for each in HOSTILE if not each.slow]
SLOW = [each for each in HOSTILE if each.slow and not {"million", "library"} & set(each.name.split())]
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@pytest.fixture
def hurry() -> Iterator[None]:
    """A file that is waited for fails the test rather than ending in its time limit."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("no answer within 20 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("hostile", QUICK, ids=map(str, QUICK))
def test_every_hostile_file_has_an_answer(hostile: Hostile, tmp_path: Path) -> None:
    check(hostile, tmp_path)


@pytest.mark.parametrize("hostile", SLOW[:1], ids=["config.json of Hugging Face"])
def test_so_has_every_published_configuration(hostile: Hostile, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    for number, each in enumerate(SLOW):
        check(each, tmp_path / str(number))


def check(hostile: Hostile, folder: Path) -> None:
    answer = tried(hostile, folder)
    if answer.error is not None:
        raise answer.error
    assert answer.fits(hostile), (str(hostile), answer.message)


def test_the_corpus_names_each_once() -> None:
    assert len(set(map(str, HOSTILE))) == len(HOSTILE) > 180


# -- bounds ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["[" + "1, " * 2000 + "1]", BOMB, "a: &a [x, x]\nb: [" + "*a, " * 800 + "*a]"])
def test_values_are_counted_as_often_as_an_alias_names_them(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_VALUES", 1500)
    with pytest.raises(Malformed, match=r"more than 1,500 values \(line"):
        parse_yaml(text)
    monkeypatch.setattr(reading, "MOST_VALUES", 3000)
    if text is not BOMB:
        assert parse_yaml(text) == yaml.safe_load(text)


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="it has 1,073,741,824 bytes, expected at most 1,048,576"):
            read_bytes(file, most=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="such files are Linux's")
def test_a_file_that_says_it_is_empty_is_read_to_its_end() -> None:
    assert b"python" in read_bytes("/proc/self/maps").lower()
    with pytest.raises(Unreadable, match="expected at most 10"):
        read_bytes("/proc/self/maps", most=10)


def test_a_reader_says_whether_there_was_a_file(tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as told:
        read_text(tmp_path / "none", "make one")
    assert told.value.absent
    assert str(told.value) == f"cannot read {tmp_path / 'none'}: No such file or directory\nmake one"
    with pytest.raises(Unreadable, match="irectory") as told:
        read_text(tmp_path)
    assert not told.value.absent


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        with pytest.raises(Unreadable):
            read_bytes(tmp_path / "pipe")
    assert not before or len(os.listdir("/proc/self/fd")) == before


# -- as the libraries read it ----------------------------------------------------------------------------------------
WORDS = st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | WORDS
DATA = st.recursive(PLAIN, lambda each: st.lists(each, max_size=4) | st.dictionaries(WORDS, each, max_size=4))


@FUZZ
@given(DATA, st.booleans())
def test_what_is_dumped_is_read(data: Any, flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    assert parse_yaml(text) == yaml.safe_load(text) == data
    assert parse_json(json.dumps(data)) == data


@FUZZ
@given(st.text(alphabet="abc:-[]{},&*<!|>'\"#\n ~19.e?", max_size=40))
def test_texts_are_read_as_pyyaml_reads_them_or_refused(text: str) -> None:
    try:
        found = parse_yaml(text)
    except Malformed:
        return
    try:
        expected = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # libyaml takes `|#`, Python's not
    except (yaml.YAMLError, ValueError):
        assert "<<" in text or "!" in text  # `a: <<` is a word here
        return
    assert found == expected or "<<" in text


@pytest.mark.parametrize(
    "text",
    [
        "d: {<<: *b, y: 3}", "e: {<<: [*b, {z: 1}]}", "<<: *b\nx: 9", "'<<': 1", "a: 2020-01-01", "a: 0x1f", "a: 1_000",
        "a: 190:20:30", "!!str 3: !!int '4'", "a: |\n  x\n", "? b\n",
    ],
)  # fmt: skip
def test_less_usual_forms_are_read(text: str) -> None:
    text = f"base: &b {{x: 1, y: 2}}\n{text}\n"
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["a: !!python/object/apply:os.getcwd []", "a: !!python/name:os.getcwd", "!x 1"])
def test_tags_make_no_objects(text: str) -> None:
    with pytest.raises(Malformed, match="tag"):
        parse_yaml(text)


def test_pyyaml_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = parse_yaml(PLAN)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert parse_yaml(PLAN) == fast
    with pytest.raises(Malformed, match="nested more than 100 deep"):
        parse_yaml("[" * 5000)


def test_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(Malformed) as told:
        parse_toml("a = 1\nb = = 2\n")
    assert (told.value.line, told.value.column) == (2, 5)


# -- our own formats -------------------------------------------------------------------------------------------------
EXPONENTS = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0])
PATTERNS = st.lists(st.sampled_from(["h", "*", "0", "attn", "weight"]), min_size=1, max_size=4).map(".".join)


@st.composite
def plans(draw: Any) -> Plan:
    patterns = draw(st.lists(PATTERNS, min_size=1, max_size=4, unique=True))
    dims, notes = ("n", "fixed"), tuple(draw(st.lists(WORDS, max_size=2)))
    exponents = [draw(st.tuples(*[EXPONENTS] * 5)) for _ in patterns]
    entries = tuple(Scales(name, ("hidden",), dims, *each) for name, each in zip(patterns, exponents, strict=True))
    hooks = tuple(Hook(name, "input", draw(EXPONENTS), draw(WORDS)) for name in patterns[:1])
    base, width = draw(st.integers(1, 4096)), draw(st.integers(1, 1 << 20))
    return Plan(draw(WORDS), "width", base, width, "adamw", entries, hooks, notes=notes)


@FUZZ
@given(plans())
def test_a_plan_survives_its_file(plan: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(plan_text(plan), encoding="utf-8", newline="\n")
        assert load_plan(file) == plan


@st.composite
def changed(draw: Any, data: Any) -> Any:
    """The data with something else somewhere in it, or with something missing."""
    if isinstance(data, (dict, list)) and data and draw(st.integers(0, 3)):
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = draw(st.sampled_from(keys))
        copied: Any = dict(data) if isinstance(data, dict) else list(data)
        if draw(st.integers(0, 5)):
            copied[key] = draw(changed(data[key]))
        else:
            del copied[key]
        return copied
    odd = st.sampled_from([math.inf, -math.inf, math.nan, 10**90, -1, 0, "", "x" * 300, [[]], {"a": {}}, True])
    return draw(DATA | odd)


def answered(read: Any, name: str, text: str) -> None:
    """It is read, or there is a message; anything else is a fault."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_text(text, encoding="utf-8")
        with suppress(UserError):
            read(file)


@FUZZ
@given(changed(yaml.safe_load(PLAN)))
def test_a_plan_that_was_edited_is_read_or_refused(data: Any) -> None:
    answered(load_plan, "plan.yaml", yaml.safe_dump(data, sort_keys=False))


BASELINES = {**json.loads(BASELINE), "entries": [vars(KnownFinding("m.py", "MUP101", "up.weight", "error", 0.5))] * 2}
CONFIGURATION = {
    "profile": "tp5", "ignore": ["MUP501"], "strict": False, "fail-on": "error", "timeout": 60, "cache": True,
    "targets": {"gpt": {"target": "model.py", "width": {"n_embd": [64, 128]}, "set": {"n_layer": 2}, "seed": 0}},
}  # fmt: skip


@FUZZ
@given(changed(BASELINES))
def test_a_baseline_that_was_edited_is_read_or_refused(data: Any) -> None:
    answered(lambda file: baseline_text(load_baseline(file)), "baseline.json", json.dumps(data))


@FUZZ
@given(changed(CONFIGURATION))
def test_a_configuration_that_was_edited_is_read_or_refused(data: Any) -> None:
    answered(lambda file: load_settings(file.parent), "muaudit.yaml", yaml.safe_dump(data, sort_keys=False))


def test_the_configuration_that_is_edited_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "muaudit.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    assert isinstance(load_settings(tmp_path), Settings)
    assert list(load_settings(tmp_path).targets) == ["gpt"]


@settings(FUZZ, max_examples=12)
@given(changed(GPT2))
def test_a_published_configuration_that_was_edited_is_driven_or_refused(data: Any) -> None:
    pytest.importorskip("transformers")
    answered(lambda file: resolve(str(file), TargetOptions()), "config.json", json.dumps(data))
