"""Published configurations over depth: audited with more layers, and converted along both axes."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from muaudit.audit import audit
from muaudit.audit.over_depth import audit_over_depth
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.planned import planned
from muaudit.targets import Target, TargetOptions, resolve
from muaudit.targets.huggingface import classes_of
from muaudit.targets.layers_of_config import relayered
from muaudit.targets.shrink import layers

pytest.importorskip("transformers")
FOLDER = Path("fixtures/hf")
OTHERS = ("gemma", "gemma3", "granite", "llama", "mistral", "olmo2", "qwen2", "qwen3", "mixtral", "mamba", "falcon_h1")


def test_gpt2_has_the_root_of_depth_in_its_init_alone() -> None:
    """GPT-2: 1/sqrt(2L) on what the residual layers start with (Radford et al. 2019, section 2.3)."""
    target = resolve(str(FOLDER / "gpt2"), TargetOptions())
    report = audit_over_depth(target)
    assert [each.rule for each in report.violations] == ["MUP702"]
    assert (report.width_name, report.probes, report.unanalysed) == ("n_layer", (2, 4), ())
    assert target.depths[0].default == 48


@pytest.mark.parametrize("name", ["qwen3", *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)])
def test_converted_over_width_and_depth_it_is_clean_on_both(name: str) -> None:
    target = resolve(str(FOLDER / name), TargetOptions())
    assert [each.rule for each in audit_over_depth(target).violations] == ["MUP701"]
    width = target.axes[0].probes[0]
    turned = planned(target, make_plan(target, width, 4 * width, depths=(2, 16)))
    for report in (audit(turned), audit_over_depth(turned)):
        assert [each.message for each in report.violations if each.severity == "error"] == []
        assert report.unanalysed == ()


def published(folder: Path, name: str) -> Target:
    """The model of a configuration as transformers has and writes it."""
    from transformers import AutoConfig

    AutoConfig.for_model(name).save_pretrained(folder)
    return resolve(str(folder), TargetOptions())


def test_a_number_of_layers_for_every_stage_is_probed_by_one_number(tmp_path: Path) -> None:
    """ConvNeXt: depths (3, 3, 9, 3), and blocks that are added as they are."""
    target = published(tmp_path, "convnext")
    report = audit_over_depth(target)
    assert (report.width_name, report.probes, report.verdict, report.unanalysed) == ("depths", (2, 4), "standard", ())
    assert (target.depths[0].listed, target.depths[0].default) == (True, 18)
    assert [len(stage.layers) for stage in target.build(target.sizes(0) | {"depths": 4}, 0).encoder.stages] == [4] * 4
    with pytest.raises(UserError, match="depths is a list, a number of blocks for every stage"):
        make_plan(target, None, target.axes[0].probes[0], depths=(2, 4))


# by the papers: post-norm (BERT), a stack for every stage (Swin), shared weights in a loop (ALBERT)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verdict"), [("swin", "standard"), ("falcon_h1", "standard"), ("t5", "standard"), ("bert", "unknown")]
)
def test_models_as_published_have_their_verdict_over_depth(tmp_path: Path, name: str, verdict: str) -> None:
    assert audit_over_depth(published(tmp_path, name)).verdict == verdict


@pytest.mark.slow
def test_shared_weights_in_a_loop_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the same weights run more often, a loop over depth"):
        audit_over_depth(published(tmp_path, "albert"))


def test_a_float_that_json_has_no_word_for_is_read(tmp_path: Path) -> None:
    """Falcon-H1's time_step_limit ends at infinity."""
    assert published(tmp_path, "falcon_h1").depths[0].name == "num_hidden_layers"


def test_what_goes_by_layer_goes_on_in_the_same_order() -> None:
    published = {
        "num_hidden_layers": 6, "layer_types": ["a", "a", "b"] * 2, "pair": [1.0, 2.0], "ids": {"0": "x", "2": "y"},
        "block_pattern": "MM*MM*",
    }  # fmt: skip
    small = published | {"num_hidden_layers": 2, "layer_types": ["a", "b"], "block_pattern": "M*", "ids": {0: "x"}}
    assert relayered(published, small, {"num_hidden_layers": 5}) == {
        "num_hidden_layers": 5, "layer_types": ["a", "b", "a", "b", "a"], "block_pattern": "M*M*M",
        "ids": {0: "x", 2: "x", 4: "x"},
    }  # fmt: skip


def test_a_name_that_is_no_number_of_layers_is_refused() -> None:
    with pytest.raises(UserError, match="has no field 'n_layers' that is a number"):
        resolve(str(FOLDER / "gpt2"), TargetOptions(depths={"n_layers": (2, 4)}))


def test_as_many_layers_as_it_takes_for_every_class_to_occur(tmp_path: Path) -> None:
    """Every fourth layer of nllb-moe has experts: two layers have none, four have."""
    transformers = pytest.importorskip("transformers")
    config = transformers.NllbMoeConfig()
    config.architectures = ["NllbMoeForConditionalGeneration"]
    config.save_pretrained(tmp_path)
    target = resolve(str(tmp_path), TargetOptions())
    assert target.missing == ()
    names = {type(each).__name__ for each in target.build(target.sizes(0), 0).modules()}
    assert "NllbMoeSparseMLP" in names


def test_classes_that_torch_makes_for_a_parametrized_layer_are_one() -> None:
    """Weight norm makes a class anew for every layer, and the small model's is none that it lacks."""
    models = [nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))) for _ in range(2)]
    assert type(models[0][0]) is not type(models[1][0])
    assert classes_of(models[0]) == classes_of(models[1])


def test_lists_of_numbers_of_layers_go_along() -> None:
    """Layers 0 and 1 of 6 have no experts, layer 3 attends otherwise: of each kind one stays, under its new number."""
    kinds = ["full", "full", "full", "sliding", "full", "full"]
    cut = layers({"num_hidden_layers": 6, "layer_types": kinds, "mlp_only_layers": [0, 1]})
    assert cut == {"num_hidden_layers": 3, "layer_types": ["full", "full", "sliding"], "mlp_only_layers": [0]}
