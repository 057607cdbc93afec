"""Checkpoints that transformers saved, converted by their configuration alone and loaded by transformers again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES
from program import app
from safetensors.torch import load_file, save_file

from muaudit.convert.planner import make_plans
from muaudit.errors import UserError
from muaudit.plan.apply import match, modules_of
from muaudit.plan.file import load_plan
from muaudit.targets import Target, resolve
from muaudit.targets.options import TargetOptions
from muaudit.targets.skeleton import skeleton
from muaudit.targets.whole import whole

transformers = pytest.importorskip("transformers")
LLAMA = {
    "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 1000,
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of width 128 in bfloat16, saved in shards: deeper and with more tokens than what is audited."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="500KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


def convert(*args: object) -> Any:
    with pytest.raises(SystemExit) as stop:
        app(["convert", *map(str, args)], prog_name="muaudit")
    return stop.value.code


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    return dict(model.state_dict())


def test_a_checkpoint_is_scaled_and_moved(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the constant std of transformers: hidden weights by m^-1/2, the readout by m^-1, as Table 3 has them."""
    start = ["--state-dict", saved, "--fresh", "--verify", "--out", tmp_path / "a"]
    assert convert(saved, "--base-width", 64, *start) == 0
    assert "verified: the outputs " in capsys.readouterr().out
    shutil.copy(saved / "config.json", tmp_path / "a")
    before, after = tensors(saved), tensors(tmp_path / "a")
    factors = {"q_proj": 2**-0.5, "down_proj": 2**-0.5, "lm_head": 0.5, "embed_tokens": 1.0, "layernorm": 1.0}
    for kind, factor in factors.items():
        names = [name for name in before if kind in name]
        assert len(names) >= 1
        for name in names:
            torch.testing.assert_close(after[name], before[name] * factor, rtol=2**-8, atol=0)
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())
    move = ["--state-dict", tmp_path / "a", "--function-preserving", "--formulation", "table8", "--verify"]
    assert convert(saved, "--base-width", 64, *move, "--out", tmp_path / "b") == 0
    shutil.copy(saved / "config.json", tmp_path / "b")
    torch.testing.assert_close(tensors(tmp_path / "b")["lm_head.weight"], before["lm_head.weight"], rtol=0, atol=0)


def test_an_image_model_renamed_by_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images of its own size to verify with; its saved names are not its own."""
    model = transformers.ViTForImageClassification(
        transformers.ViTConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                               image_size=48, patch_size=8)
    )  # fmt: skip
    model.save_pretrained(tmp_path / "in")
    given = ["--base-width", 32, "--fresh", "--verify", "--out"]
    assert convert(tmp_path / "in", *given, tmp_path / "out", "--state-dict", tmp_path / "in") == 0
    assert " differ by 0 relative" in capsys.readouterr().out
    torch.save(model.state_dict(), tmp_path / "a.pt")
    assert convert(tmp_path / "in", *given, tmp_path / "same", "--state-dict", tmp_path / "a.pt") == 0
    assert " differ by 0 relative" in capsys.readouterr().out
    shutil.copy(tmp_path / "in" / "config.json", tmp_path / "out")
    again = transformers.ViTForImageClassification.from_pretrained(tmp_path / "out").state_dict()
    for name, value in torch.load(tmp_path / "same" / "a.pt", weights_only=True).items():
        assert torch.equal(again[name], value), name


def test_experts_that_are_stored_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All parts of a tensor get its factor, and transformers puts them together again."""
    torch.manual_seed(0)
    model = transformers.MixtralForCausalLM(
        transformers.MixtralConfig(hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
                                   num_key_value_heads=2, num_local_experts=4, vocab_size=100)
    )  # fmt: skip
    model.save_pretrained(tmp_path / "in")
    stored = load_file(tmp_path / "in" / "model.safetensors")
    assert "model.layers.0.block_sparse_moe.experts.3.w1.weight" in stored
    given = ["--base-width", 64, "--fresh", "--out", tmp_path / "out", "--state-dict", tmp_path / "in"]
    assert convert(tmp_path / "in", *given, "--verify") == 0
    assert "verified: the outputs " in capsys.readouterr().out
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == stored.keys()
    shutil.copy(tmp_path / "in" / "config.json", tmp_path / "out")
    again = transformers.MixtralForCausalLM.from_pretrained(tmp_path / "out")
    plan = load_plan(tmp_path / "out" / "plan.yaml")
    plan.apply_(model)
    for (name, value), other in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(other, value, rtol=1e-6, atol=0, msg=name)
    del stored["model.layers.1.block_sparse_moe.experts.2.w3.weight"]
    save_file(stored, tmp_path / "in" / "model.safetensors", metadata={"format": "pt"})
    assert convert(tmp_path / "in", *given) == 2
    err = capsys.readouterr().err
    assert "model.layers.1.mlp.experts.gate_up_proj: has the shape (4, 384, 128) in the model" in err
    assert "its parts here hold 172,032 elements" in err


def full(folder: Path, **options: Any) -> Target:
    target = resolve(str(folder), TargetOptions(**options))
    found, why = whole(target, TargetOptions(), lambda changed: resolve(str(folder), changed))
    assert why == ""
    assert found is not None
    return found


def test_other_widths_keep_the_size_of_heads(saved: Path) -> None:
    shapes = skeleton(full(saved), 256).shapes
    assert shapes["model.layers.2.self_attn.k_proj.weight"] == (128, 256)
    assert shapes["model.layers.2.mlp.up_proj.weight"] == (384, 256)
    assert shapes["model.embed_tokens.weight"] == (1000, 256)
    with pytest.raises(UserError, match="num_attention_heads, 4 at the published hidden_size of 128, does not grow"):
        skeleton(full(saved), 100)


def test_what_is_set_holds_for_the_whole_model(saved: Path) -> None:
    shapes = skeleton(full(saved, set={"num_hidden_layers": 2}), 128).shapes
    assert not any("layers.2" in name for name in shapes)


def test_a_large_one_is_compared_without_being_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration of 405 billion parameters: the plan alone, and a checkpoint that is not its own is refused."""
    config = FIXTURES / "hf" / "llama"
    assert convert(config, "--base-width", 256, "--out", tmp_path / "mup") == 0
    assert "no state dict: the model has 405,8" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "mup").iterdir()] == ["plan.yaml"]
    torch.save({"model.norm.weight": torch.ones(5)}, tmp_path / "a.pt")
    given = ["--state-dict", tmp_path / "a.pt", "--fresh", "--out", tmp_path / "other"]
    assert convert(config, "--base-width", 256, *given) == 2
    said = capsys.readouterr().err
    assert "model.norm.weight: has the shape (5), the model's is (16384)" in said
    assert "model.layers.125.self_attn.q_proj.weight" not in said  # six of a kind are shown
    assert "more like this" in said
    assert not (tmp_path / "other").exists()


# Layers of two kinds; heads × their size is not the hidden size, which it is in the small model.
@pytest.mark.parametrize(("family", "parameters", "gates"), [("deepseek_v3", 909, 58), ("gemma2", 508, 0)])
def test_a_plan_fits_the_published_model(family: str, parameters: int, gates: int) -> None:
    """Every parameter of the model itself has its entry, and every router of a mixture of experts its multiplier."""
    target = full(FIXTURES / "hf" / family)
    audited = resolve(str(FIXTURES / "hf" / family))
    width = audited.axes[0].default
    assert width is not None
    (plan,) = make_plans(audited, 256, width, ["table8"])
    model = skeleton(target, width).model
    assert len(match(plan, model)) == parameters
    assert sum(hook.module == "model.layers.*.mlp.gate" for _, hook in modules_of(plan, model)) == gates
    shapes = {entry.pattern: entry.shape for entry in plan.entries}
    if family == "gemma2":
        assert shapes["model.layers.*.self_attn.q_proj.weight"] == ("~0.889n", "n")  # 32 heads of 128, width 4608
        assert shapes["model.layers.*.mlp.up_proj.weight"] == ("8n", "n")
