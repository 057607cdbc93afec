"""Converted checkpoints: values, types, sharding and metadata; what does not fit is refused and nothing is lost."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_convert import BASE, target_of
from torch import nn

from muaudit.checkpoints.stored_tensors import MARK
from muaudit.convert.output_folder import Conversion, Wanted, prepare_output
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.file import load_plan
from muaudit.plan.plan import Plan
from muaudit.targets import Target

WIDTH = 128
INDEX = "model.safetensors.index.json"
SIZES = {"n": WIDTH}
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def gpt() -> tuple[Target, Plan]:
    """A GPT with a tied head, fused projections, buffers and repeated blocks."""
    target = target_of("gpt", "adamw")
    return target, make_plan(target, BASE, WIDTH)


def tensors_of(model: nn.Module) -> Tensors:
    """A state dict as safetensors files have it: shared tensors once."""
    names = {value.data_ptr(): name for name, value in reversed(model.state_dict().items())}
    return {name: value.clone() for name, value in model.state_dict().items() if names[value.data_ptr()] == name}


def save_sharded(tensors: Tensors, folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    for index in range(count):
        part = dict(list(tensors.items())[index::count])
        name = f"model-{index + 1:05}-of-{count:05}.safetensors"
        save_file(part, folder / name, metadata={"format": "pt", "run": "seven"})
        places.update(dict.fromkeys(part, name))
    index_file = folder / INDEX
    index_file.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index_file


def prepared(subject: tuple[Target, Plan], source: Path, out: Path, **wanted: Any) -> Conversion:
    chosen = Wanted(out, state_dict=source, **({"fresh": True} | wanted))
    chosen.check()
    return prepare_output(subject[0], subject[0], "", subject[1], chosen)


def convert(subject: tuple[Target, Plan], source: Path, out: Path, **wanted: Any) -> list[int]:
    """Convert; the sizes that the progress bar was told of."""
    steps: list[int] = []
    output = prepared(subject, source, out, **wanted)
    output.write(steps.append)
    assert sum(steps) == output.total
    return steps


def loaded(folder: Path) -> Tensors:
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


def scaled_in_memory(subject: tuple[Target, Plan], tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """What the plan makes of a model with these weights."""
    model = subject[0].build(SIZES, 0)
    model.load_state_dict({**model.state_dict(), **tensors})
    return subject[1].apply_(model).state_dict()


# -- what comes out -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_shards_types_and_metadata_are_kept(gpt: tuple[Target, Plan], dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {name: value.to(dtype) for name, value in tensors_of(gpt[0].build(SIZES, 3)).items()}
    index = save_sharded(tensors, tmp_path / "in")
    convert(gpt, index, tmp_path / "out")
    assert (tmp_path / "out" / index.name).read_bytes() == index.read_bytes()
    for file in (tmp_path / "in").glob("*.safetensors"):
        with safe_open(file, "pt") as old, safe_open(tmp_path / "out" / file.name, "pt") as new:
            assert set(old.keys()) == set(new.keys())
            metadata = new.metadata()
            assert json.loads(metadata.pop(MARK))["applied"] == "fresh"
            assert metadata == old.metadata()
    changed = 0
    for name, value in loaded(tmp_path / "out").items():
        entry = gpt[1].entry([name])
        assert entry is not None
        factor = gpt[1].scale(entry.init)
        assert value.dtype == dtype
        assert torch.equal(value, tensors[name] * factor), name
        changed += factor != 1.0
    assert changed == 3 * 4 + 1
    record = (tmp_path / "out" / "plan.yaml").read_text()
    assert "meaning: fresh" in record
    assert index.name in record
    assert load_plan(tmp_path / "out" / "plan.yaml") == gpt[1]


def test_a_single_file_gives_what_the_plan_gives_in_memory(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    tensors = tensors_of(gpt[0].build(SIZES, 3))
    save_file(tensors, tmp_path / "init.safetensors")
    convert(gpt, tmp_path / "init.safetensors", tmp_path / "out", verify=True)
    want = scaled_in_memory(gpt, tensors)
    written = load_file(tmp_path / "out" / "init.safetensors")
    assert all(torch.equal(value, want[name]) for name, value in written.items())
    assert tensors.keys() == written.keys() < want.keys()  # the tied head is in the file once
    source = load_file(tmp_path / "init.safetensors")
    assert all(torch.equal(source[name], value) for name, value in tensors.items())


@pytest.mark.parametrize("nested", [False, True])
def test_torch_checkpoints_keep_their_structure(gpt: tuple[Target, Plan], nested: bool, tmp_path: Path) -> None:
    model = gpt[0].build(SIZES, 3)
    state = model.state_dict()
    state["transformer.h.0.mlp.c_fc.weight"] = state["transformer.h.0.mlp.c_fc.weight"].t().contiguous().t()
    saved = {"model": state, "iter_num": 3, "args": {"lr": 1e-3, "betas": [0.9, 0.95]}, "rng": torch.arange(9.0)}
    torch.save(saved if nested else state, tmp_path / "ckpt.pt")
    convert(gpt, tmp_path / "ckpt.pt", tmp_path / "out", verify=True)
    made = torch.load(tmp_path / "out" / "ckpt.pt", weights_only=True)
    if nested:
        assert {key: made[key] for key in ("iter_num", "args")} == {key: saved[key] for key in ("iter_num", "args")}
        assert torch.equal(made["rng"], torch.arange(9.0))
        made = made["model"]
    assert made["lm_head.weight"].data_ptr() == made["transformer.wte.weight"].data_ptr()
    assert list(made) == list(state)
    want = scaled_in_memory(gpt, tensors_of(gpt[0].build(SIZES, 3)))
    assert all(torch.equal(value, want[name]) for name, value in made.items())
    with zipfile.ZipFile(tmp_path / "out" / "ckpt.pt") as archive:
        assert archive.testzip() is None


def test_names_may_have_a_prefix(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    tensors = tensors_of(gpt[0].build(SIZES, 3))
    want = scaled_in_memory(gpt, tensors)
    for number, (cut, put) in enumerate([("", "module."), ("", "_orig_mod."), ("transformer.", "")]):
        renamed = {put + name.removeprefix(cut): value for name, value in tensors.items()}
        save_file(renamed, tmp_path / f"{number}.safetensors")
        convert(gpt, tmp_path / f"{number}.safetensors", tmp_path / f"out{number}")
        written = load_file(tmp_path / f"out{number}" / f"{number}.safetensors")
        assert all(torch.equal(written[put + name.removeprefix(cut)], want[name]) for name in tensors)


def test_tensors_to_keep_are_copied(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    more = {"h.0.attn.mask": torch.full((3, 3), float("-inf")), "h.0.table": torch.arange(5)}
    save_file(tensors_of(gpt[0].build(SIZES, 3)) | more, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r"h\.0\.attn\.mask: the model has no such tensor"):
        convert(gpt, tmp_path / "a.safetensors", tmp_path / "out", keep=("h.*.table",))
    convert(gpt, tmp_path / "a.safetensors", tmp_path / "out", keep=("h.*.table", "*.mask"))
    written = load_file(tmp_path / "out" / "a.safetensors")
    assert all(torch.equal(written[name], value) for name, value in more.items())


# -- the meaning ----------------------------------------------------------------------------------------------
def test_a_checkpoint_without_a_meaning_is_refused(tmp_path: Path) -> None:
    for wanted, message in (
        ({"state_dict": tmp_path / "x"}, "is it fresh or trained"),
        ({"state_dict": tmp_path / "x", "fresh": True, "function_preserving": True}, "two different things"),
        ({"function_preserving": True}, "needs a checkpoint"),
        (
            {"state_dict": tmp_path / "x", "fresh": True, "old_plan": tmp_path},
            "the plan that trained weights come from",
        ),
    ):
        with pytest.raises(UserError, match=message) as caught:
            Wanted(tmp_path / "out", **wanted).check()  # type: ignore[arg-type]
        if "checkpoint" not in message:
            assert "--fresh" in str(caught.value)
            assert "--function-preserving" in str(caught.value)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_applying_twice_is_refused(gpt: tuple[Target, Plan], name: str, tmp_path: Path) -> None:
    tensors = tensors_of(gpt[0].build(SIZES, 3))
    save_file(tensors, tmp_path / name) if name.endswith("safetensors") else torch.save(tensors, tmp_path / name)
    convert(gpt, tmp_path / name, tmp_path / "out")
    with pytest.raises(UserError, match="has been converted before: fresh, n 64 → 128, adamw, absorbed"):
        convert(gpt, tmp_path / "out" / name, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_what_convert_itself_writes_is_not_scaled_again(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    prepare_output(gpt[0], gpt[0], "", gpt[1], Wanted(tmp_path / "mup")).write(lambda size: None)
    with pytest.raises(UserError, match="has been converted before"):
        convert(gpt, tmp_path / "mup" / "state_dict.safetensors", tmp_path / "out")


# -- what can go wrong ----------------------------------------------------------------------------------------
def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def garble(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[8:40] = b"\xff" * 32
    file.write_bytes(bytes(data))


def change(file: Path, edit: Callable[[Tensors], object]) -> None:
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


def spoil(name: str, value: float) -> Callable[[Path], None]:
    return lambda file: change(file, lambda tensors: tensors[name].view(-1)[-1].fill_(value))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut, "it is damaged, or no safetensors file"),
    "header": (garble, "it is damaged, or no safetensors file"),
    "empty": (lambda file: file.write_bytes(b""), "it is damaged"),
    "gone": (lambda file: file.unlink(), "No such file"),
    "missing": (
        lambda file: change(file, lambda t: t.pop("transformer.ln_f.bias")),
        "transformer.ln_f.bias: missing from the checkpoint",
    ),
    "surplus": (
        lambda file: change(file, lambda t: t.update(extra=torch.ones(2))), "extra: the model has no such tensor"
    ),
    "shape": (
        lambda file: change(file, lambda t: t.update({"transformer.ln_f.bias": torch.ones(64)})),
        r"transformer.ln_f.bias: has the shape \(64\), the model's is \(128\)",
    ),
    "nan": (spoil("transformer.h.1.mlp.c_fc.weight", float("nan")), "c_fc.weight holds NaN or infinity"),
    "infinity": (spoil("transformer.wpe.weight", float("inf")), "wpe.weight holds NaN or infinity"),
    "integers": (
        lambda file: change(file, lambda t: t.update({"transformer.ln_f.weight": torch.ones(128, dtype=torch.int8)})),
        "its type is int8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_bad_files_are_refused_and_nothing_is_lost(gpt: tuple[Target, Plan], damage: str, tmp_path: Path) -> None:
    file, out = tmp_path / "a.safetensors", tmp_path / "out"
    save_file(tensors_of(gpt[0].build(SIZES, 3)), file)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    DAMAGE[damage][0](file)
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(UserError, match=DAMAGE[damage][1]):
        convert(gpt, file, out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    assert (file.read_bytes() if file.exists() else None) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"a.safetensors", "out"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "model-00002-of-00003.safetensors").unlink(), "its file model-00002-of-00003.safetensors is"),
        (lambda d: (d / "model.safetensors.index.json").write_text("{}"), "no index of a sharded checkpoint"),
        (
            lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x"}}'),
            "a file beside it",
        ),
        (lambda d: change(d / "model-00002-of-00003.safetensors", lambda t: t.popitem()), "in no file by the files"),
    ],
)
def test_an_index_and_its_files_agree(
    gpt: tuple[Target, Plan], damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    index = save_sharded(tensors_of(gpt[0].build(SIZES, 3)), tmp_path / "in")
    damage(tmp_path / "in")
    with pytest.raises(UserError, match=message):
        convert(gpt, index, tmp_path / "out")


class Sneaky:
    def __reduce__(self) -> Any:
        return print, ("this must not run",)


def test_torch_files_that_are_no_state_dict(
    gpt: tuple[Target, Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = gpt[0].build(SIZES, 3)
    state = model.state_dict()
    file = tmp_path / "a.pt"
    for content, message in (
        ({"model": state, "extra": Sneaky()}, "a.pt: it holds a print\n.*weights_only=True"),
        ({"model": state, "ema": state}, "several dicts in it have tensors by the model's names: model, ema"),
        ({"iter": 3}, "it holds no state dict"),
        ({"model": state, "optimizer": torch.optim.AdamW(model.parameters()).state_dict()}, "holds an optimizer state"),
        ({**state, "transformer.ln_f.bias": state["transformer.ln_f.weight"][:]}, None),
        ({**state, "transformer.ln_f.bias": torch.ones(256)[::2]}, "part of another tensor's memory"),
    ):
        torch.save(content, file)
        if message is None:
            continue
        with pytest.raises(UserError, match=message):
            convert(gpt, file, tmp_path / "out")
    assert "must not run" not in capsys.readouterr().out
    torch.save(state, file)
    cut(file)
    with pytest.raises(UserError, match="it is damaged, or no torch checkpoint"):
        convert(gpt, file, tmp_path / "out")


def test_half_precision_that_overflows_or_vanishes(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    name = "transformer.ln_f.weight"
    for width, value, message in ((32, 6e4, "overflows float16"), (256, 7e-5, "underflows float16")):
        tensors = tensors_of(gpt[0].build({"n": width}, 3))
        tensors = {key: value.half() for key, value in tensors.items()}
        tensors[name].fill_(value)
        save_file(tensors, tmp_path / "a.safetensors")
        with pytest.raises(UserError, match=f"{name} {message}"):
            convert((gpt[0], gpt[1].at(width)), tmp_path / "a.safetensors", tmp_path / "out")
