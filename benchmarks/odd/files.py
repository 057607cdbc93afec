"""Files that are damaged or hostile, and what reads them: each must end in one message, soon, in little memory."""

from __future__ import annotations

import json
import os
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from muaudit.answers.baseline import load_baseline
from muaudit.checkpoints.opening import read_checkpoint
from muaudit.errors import UserError
from muaudit.parametrizations.profile_file import get_profile
from muaudit.plan.file import load_plan
from muaudit.settings import load_settings
from muaudit.sweep.results_file import Results
from muaudit.targets import TargetOptions, resolve
from muaudit.targets.bsh import read_bsh
from muaudit.training.document import from_file

DEEP = 100_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"b{i}: &b{i} {{<<: [{', '.join(['*' + (f'b{i - 1}' if i else 'a')] * 9)}]}}\n" for i in range(12)
)
PLAN = """schema: muaudit.plan/1
target: model.py
width_name: width
base_width: 64
width: 128
optimizer: adamw
formulation: absorbed
profile: tp5
tensors:
  mid.weight:
    roles: [hidden]
    shape: [n, n]
    init_scale: 1.0
    lr_scale: 0.5
    weight_decay_scale: 2.0
    eps_scale: 0.5
    exponents: {init: 0.0, lr: -1.0, weight_decay: 1.0, eps: -1.0}
hooks: []
notes: []
"""
BASELINE = '{"schema": "muaudit.baseline/1", "version": "0", "entries": []}'
RESULTS = {"schema": "muaudit.sweep/1", "settings": {"steps": 3}}
RUN = {"variant": "as it comes", "width": 8, "seed": 0, "lr": 0.1, "loss": 1.0, "first_loss": 2.0, "steps": 3}
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_head": 4, "n_layer": 2,
        "vocab_size": 128, "n_positions": 32}  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """kind, name: what it is. make: writes the file. read: what reads it. says: what the message must hold.

    Where that is None, it must be read. slow: it takes seconds, or imports transformers.
    """

    kind: str
    name: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    file: str
    says: str | None = "cannot read"
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True)
class Answer:
    """The message, and how long it took. error: an exception that is no UserError; read: it was read all the same."""

    message: str
    seconds: float
    read: bool = False
    error: BaseException | None = None

    def fits(self, hostile: Hostile) -> bool:
        """Whether it is one message about this file, with what must be in it."""
        if hostile.says is None:
            return self.read
        return not self.read and self.error is None and hostile.says in self.message and hostile.file in self.message


def tried(hostile: Hostile, folder: Path) -> Answer:
    """Write it into an empty folder and read it."""
    path = folder / hostile.file
    path.parent.mkdir(parents=True, exist_ok=True)
    hostile.make(path)
    begun = time.perf_counter()
    try:
        hostile.read(path)
    except UserError as told:
        return Answer(str(told), time.perf_counter() - begun)
    except BaseException as raised:
        return Answer(f"{type(raised).__name__}: {raised}", time.perf_counter() - begun, error=raised)
    return Answer("", time.perf_counter() - begun, read=True)


# -- readers ---------------------------------------------------------------------------------------------------------
def _results(path: Path) -> None:
    Results(path, RESULTS["settings"]).close()


def _configuration(path: Path) -> None:
    load_settings(path.parent)


def _hugging_face(path: Path) -> None:
    resolve(str(path), TargetOptions())


def _checkpoint(path: Path) -> None:
    read_checkpoint(path.parent if path.name.endswith("index.json") else path, lambda name: name.startswith("mid"))


def _source(path: Path) -> None:
    resolve(str(path), TargetOptions())


# -- writers ---------------------------------------------------------------------------------------------------------
def text(content: str) -> Callable[[Path], Any]:
    """A file of this text."""
    return lambda path: path.write_text(content, encoding="utf-8")


def holes(size: int) -> Callable[[Path], Any]:
    """A file of so many zero bytes, which takes no room."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def config(**fields: Any) -> Callable[[Path], Any]:
    """A config.json of a GPT-2 with these fields."""
    return text(json.dumps({**GPT2, **fields}))


@cache
def _weights() -> dict[str, torch.Tensor]:
    return {"mid.weight": nn.Linear(8, 8).weight.detach().clone()}


def saved(content: Callable[[], Any]) -> Callable[[Path], Any]:
    """What torch.save writes."""
    return lambda path: torch.save(content(), path)


def _cyclic() -> Any:
    cyclic: dict[Any, Any] = dict(_weights())
    cyclic["self"] = cyclic
    return cyclic


def _nested() -> Any:
    nested: Any = dict(_weights())
    for _ in range(300):
        nested = {"model": nested}
    return nested


def _dicts() -> Any:
    dicts: Any = {}
    for _ in range(30):
        dicts = {"a": dicts, "b": dicts}
    return {**_weights(), "extra": dicts}


def _doubled() -> Any:
    doubled: Any = [torch.zeros(2)]
    for _ in range(40):
        doubled = [doubled, doubled]
    return {**_weights(), "extra": doubled}


def rezipped(change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], Any]) -> Callable[[Path], Any]:
    """A checkpoint whose archive is written anew, record by record."""

    def make(path: Path) -> None:
        whole = path.with_suffix(".whole")
        torch.save(_weights(), whole)
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                change(new, info, old.read(info))
        whole.unlink()

    return make


def _large_mark(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
    new.writestr(info.filename, data)
    if info.filename.endswith("data.pkl"):
        mark = info.filename.replace("data.pkl", "muaudit.json")
        new.writestr(mark, b" " * 50_000_000, zipfile.ZIP_DEFLATED)


def _compressed(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
    bomb = data + b" " * 50_000_000 if info.filename.endswith("data.pkl") else data
    new.writestr(info.filename, bomb, zipfile.ZIP_DEFLATED)


def _damaged_name(path: Path) -> None:
    """One byte of a record's name in the directory at the end."""
    torch.save(_weights(), path)
    data = bytearray(path.read_bytes())
    data[bytes(data).rfind(b"/version") + 4] = 0xE0
    path.write_bytes(data)


def cut(share: float) -> Callable[[Path], Any]:
    """A checkpoint without its end."""

    def make(path: Path) -> None:
        torch.save(_weights(), path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return make


def _header_of_2_to_60(path: Path) -> None:
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")


def _deep_header(path: Path) -> None:
    header = b'{"a":' + b"[" * DEEP
    path.write_bytes(len(header).to_bytes(8, "little") + header)


# -- the corpus ------------------------------------------------------------------------------------------------------
def _anything(kind: str, file: str, read: Callable[[Path], Any], most: int = 1 << 36) -> Iterator[Hostile]:
    """What no file may be, whatever is expected in it."""
    yield Hostile(kind, "a pipe that nobody writes to", lambda path: os.mkfifo(path), read, file)
    yield Hostile(kind, "a device", lambda path: path.symlink_to("/dev/zero"), read, file)
    yield Hostile(kind, "a socket", _socket, read, file)
    yield Hostile(kind, "a folder", lambda path: path.mkdir(), read, file)
    yield Hostile(kind, "a link to itself", lambda path: path.symlink_to(path), read, file)
    yield Hostile(kind, f"{most >> 30} GiB", holes(most), read, file)
    yield Hostile(kind, "no text", lambda path: path.write_bytes(b"\xff\xfe\x00\x01" * 99), read, file, says="")


def _yaml(kind: str, file: str, read: Callable[[Path], Any]) -> Iterator[Hostile]:
    for name, content in {
        "aliases that stand for 9^10 values": BOMB, "merges of 9^12 mappings": MERGES, "a list of itself": "a: &a [*a]",
        "lists, 100,000 deep": "a: " + "[" * DEEP, "dashes, 100,000 deep": "- " * DEEP,
        "mappings, 100,000 deep": "{a: " * DEEP, "a number of 5,000 digits": "a: " + "9" * 5000,
        "a tag that runs code": "a: !!python/object/apply:os.getcwd []", "two documents": "a: 1\n---\nb: 2\n",
        "a key that is a list": "[1]: 2", "a tab": "\ta: 1", "a million values": "[" + "1, " * 3_000_000 + "1]",
    }.items():  # fmt: skip
        yield Hostile(kind, name, text(content), read, file, says="", slow="million" in name)


def _json(kind: str, file: str, read: Callable[[Path], Any]) -> Iterator[Hostile]:
    for name, content in {
        "lists, 100,000 deep": "[" * DEEP, "objects, 100,000 deep": '{"a":' * DEEP, "500 deep": "[" * 500 + "]" * 500,
        "a number of 5,000 digits": '{"a": ' + "9" * 5000 + "}", "cut off": '{"a": [1, 2', "empty": "", "a text": '"a"',
    }.items():  # fmt: skip
        yield Hostile(kind, name, text(content), read, file, says="")


def plans() -> Iterator[Hostile]:
    kind, file = "plans", "plan.yaml"
    yield from _anything(kind, file, load_plan)
    yield from _yaml(kind, file, load_plan)
    for name, old, new in (
        ("a bomb among its notes", "notes: []", BOMB + "notes: *j"),
        ("notes 20,000 deep", "notes: []", "notes: " + "[" * 20_000 + "]" * 20_000),
        ("a width of 5,000 digits", "width: 128", "width: " + "9" * 5000),
        ("a width of 90 digits", "width: 128", "width: " + "9" * 90),
        ("a width of nothing", "width: 128", "width: 0"),
        ("an infinite width", "width: 128", "width: .inf"),
        ("an exponent of NaN", "lr: -1.0", "lr: .nan"),
        ("a scale that is a list", "lr_scale: 0.5", "lr_scale: [0.5]"),
        ("exponents that are a text", "{init: 0.0, lr: -1.0, weight_decay: 1.0, eps: -1.0}", "x"),
        ("no notes", "notes: []\n", ""),
        ("tensors that are a list", "tensors:\n", "tensors: [1]\nother:\n"),
        ("another schema", "muaudit.plan/1", "muaudit.plan/9"),
    ):
        assert PLAN.count(old), old
        yield Hostile(kind, name, text(PLAN.replace(old, new)), load_plan, file, says="")
    yield Hostile(kind, "100 MB", lambda path: path.write_text(PLAN + "# " + "x" * 100_000_000), load_plan, file)


def configurations() -> Iterator[Hostile]:
    kind, file = "muaudit.yaml", "muaudit.yaml"
    yield Hostile(kind, "64 GiB", holes(1 << 36), _configuration, file, says="cannot be read")
    yield from _yaml(kind, file, _configuration)
    kind, file = "pyproject.toml", "pyproject.toml"
    head = "[tool.muaudit]\n"
    yield Hostile(kind, "64 GiB", holes(1 << 36), _configuration, file, says="cannot be read")
    for name, content in {
        "lists, 100,000 deep": "a = " + "[" * DEEP, "tables, 100,000 deep": "a = " + "{a = " * DEEP,
        "300 deep": "a = " + "[" * 300 + "]" * 300, "a number of 5,000 digits": "seed = " + "9" * 5000,
        "cut off": "targets = {", "no text": "a = \x00",
    }.items():  # fmt: skip
        yield Hostile(kind, name, text(head + content), _configuration, file, says="")


def documents() -> Iterator[Hostile]:
    yield from _anything("baselines", "baseline.json", load_baseline)
    yield from _json("baselines", "baseline.json", load_baseline)
    entry = {"target": "a", "rule": "MUP101", "subject": "x", "severity": "error", "size": 1.0, "file": ""}
    for name, change in {
        "a size of 1e999": {"size": "BIG"}, "a rule that is a list": {"rule": ["MUP101"]}, "a field more": {"more": 1},
        "another severity": {"severity": "fatal"}, "a target that is none": {"target": None},
    }.items():  # fmt: skip
        body = json.dumps({**json.loads(BASELINE), "entries": [{**entry, **change}]}).replace('"BIG"', "1e999")
        yield Hostile("baselines", name, text(body), load_baseline, "baseline.json", says="")
    yield from _anything("profiles", "own.yaml", lambda path: get_profile(str(path)))
    yield from _yaml("profiles", "own.yaml", lambda path: get_profile(str(path)))
    yield from _anything("base shapes", "base.bsh", read_bsh)
    yield from _yaml("base shapes", "base.bsh", read_bsh)
    yield from _anything("measurements", "measured.json", from_file)
    yield from _json("measurements", "measured.json", from_file)


def results() -> Iterator[Hostile]:
    kind, file = "results of a sweep", "r.jsonl"
    for each in _anything(kind, file, _results):
        yield replace(each, says="expected JSON" if each.name == "no text" else "cannot")
    head = json.dumps(RESULTS) + "\n"
    for name, line in {
        "a width of 1e999": json.dumps(RUN).replace('"width": 8', '"width": 1e999'),
        "a line 100,000 deep": "[" * DEEP, "a width of NaN": json.dumps({**RUN, "width": float("nan")}),
        "a loss of NaN": json.dumps({**RUN, "loss": float("nan")}), "a loss that is a text": json.dumps(
            {**RUN, "loss": "low"}), "a seed of 5,000 digits": json.dumps(RUN).replace(
            '"seed": 0', '"seed": 1' + "0" * 5000),
        "a unit that is a list": json.dumps({**RUN, "unit": [1], "members": 2}),
        "members that are a text": json.dumps({**RUN, "unit": "u", "members": "two"}),
        "a line that is a list": "[1, 2]", "a line that is a number": "5",
    }.items():  # fmt: skip
        yield Hostile(kind, name, text(head + line + "\n"), _results, file, says="")


def hugging_face() -> Iterator[Hostile]:
    kind, file = "config.json of Hugging Face", "config.json"
    yield Hostile(kind, "64 GiB", holes(1 << 36), _hugging_face, file)
    yield from _json(kind, file, _hugging_face)
    yield Hostile(kind, "a model type that is a list", config(model_type=["gpt2"]), _hugging_face, file, says="")
    for name, fields in {
        "architectures [5]": {"architectures": [5]}, "architectures 5": {"architectures": 5},
        "architectures of another library": {"architectures": ["Trainer"]},
        "an architecture that is no model": {"architectures": ["AutoConfig"]},
        "a negative width": {"n_embd": -4}, "a width of nothing": {"n_embd": 0},
        "a width of a text": {"n_embd": "wide"},
        "a width of 1e9": {"n_embd": 10**9}, "a width of 90 digits": {"n_embd": 10**90},
        "1e9 layers": {"n_layer": 10**9}, "1e7 labels": {"num_labels": 10**7}, "heads of 0": {"n_head": 0},
        "-1 layers": {"n_layer": -1}, "a vocabulary of 1e12": {"vocab_size": 10**12},
        "layers that are a list": {"n_layer": [2]},     }.items():  # fmt: skip
        yield Hostile(kind, name, config(**fields), _hugging_face, file, says="", slow=True)


def checkpoints() -> Iterator[Hostile]:
    kind, file = "checkpoints of torch", "model.pt"
    yield Hostile(kind, "a pipe that nobody writes to", lambda path: os.mkfifo(path), _checkpoint, file, says="")
    yield Hostile(kind, "a device", lambda path: path.symlink_to("/dev/zero"), _checkpoint, file, says="")
    yield Hostile(kind, "64 GiB of nothing", holes(1 << 36), _checkpoint, file, says="")
    for name, make in {
        "a mark that unpacks to 50 MB": rezipped(_large_mark), "records that are packed": rezipped(_compressed),
        "a damaged name": _damaged_name, "a half": cut(0.5), "nine tenths": cut(0.9),
        "no more than 20 bytes": cut(0.02),
        "names that are numbers": saved(lambda: {5: 1, None: torch.zeros(3)}),
        "a list": saved(lambda: [1, 2]), "a number": saved(lambda: 5),
        "sparse tensors": saved(lambda: {"mid.weight": torch.eye(3).to_sparse()}),
        "a model": saved(lambda: nn.Linear(2, 2)),
    }.items():  # fmt: skip
        yield Hostile(kind, name, make, _checkpoint, file, says="")
    for name, content in {
        "a dict in itself": _cyclic, "300 dicts deep": _nested, "2^40 leaves of few lists": _doubled,
    }.items():  # fmt: skip
        yield Hostile(kind, name, saved(content), _checkpoint, file, says=None)
    yield Hostile(kind, "2^30 dicts, of few", saved(_dicts), _checkpoint, "model.pt", says="more than 100,000 dicts")
    kind, file = "safetensors", "model.safetensors"
    yield Hostile(kind, "a header of 2^60 bytes", _header_of_2_to_60, _checkpoint, file, says="")
    yield Hostile(kind, "a header 100,000 deep", _deep_header, _checkpoint, file, says="")
    yield Hostile(kind, "empty", text(""), _checkpoint, file, says="")
    yield Hostile(kind, "64 GiB of nothing", holes(1 << 36), _checkpoint, file, says="")
    yield Hostile(kind, "a pipe that nobody writes to", lambda path: os.mkfifo(path), _checkpoint, file, says="")
    kind, file = "indexes of sharded checkpoints", "model.safetensors.index.json"
    yield Hostile(kind, "64 GiB", holes(1 << 36), _checkpoint, file, says="")
    yield from (each for each in _json(kind, file, _checkpoint))
    for name, content in {
        "a file above it": {"weight_map": {"a": "../x"}}, "a file that is a list": {"weight_map": {"a": ["x"]}},
        "a map that is a list": {"weight_map": ["a"]}, "a missing file": {"weight_map": {"a": "x.safetensors"}},
    }.items():  # fmt: skip
        yield Hostile(kind, name, text(json.dumps(content)), _checkpoint, file, says="")


def sources() -> Iterator[Hostile]:
    kind, file = "model files", "model.py"
    yield Hostile(kind, "64 GiB", holes(1 << 36), _source, file)
    yield Hostile(kind, "a pipe that nobody writes to", lambda path: os.mkfifo(path), _source, file, says="")
    yield Hostile(kind, "a device", lambda path: path.symlink_to("/dev/zero"), _source, file, says="")
    for name, content in {
        "brackets, 100,000 deep": "x = " + "(" * DEEP + ")" * DEEP,
        "a sum of 100,000 terms": "x = " + "1 + " * DEEP + "1",
        "attributes, 100,000 deep": "x = a" + ".b" * DEEP, "ifs, 200 deep": "".join(
            " " * i + "if 1:\n" for i in range(200)) + " " * 200 + "x = 1", "a zero byte": "x = 1\x00",
        "another encoding": "# coding: klingon\n", "a number of 5,000 digits": "x = " + "9" * 5000,
        "endless strings": 'x = """', "unary signs, 100,000": "x = " + "-" * DEEP + "1",
    }.items():  # fmt: skip
        yield Hostile(kind, name, text(content), _source, file, says="")


def corpus() -> list[Hostile]:
    """All of them."""
    return [*plans(), *configurations(), *documents(), *results(), *hugging_face(), *checkpoints(), *sources()]
