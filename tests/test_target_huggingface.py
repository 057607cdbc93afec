"""Published configurations are judged at small widths: built, run, and really initialized."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models.driving import drive, write

from muaudit.errors import UserError
from muaudit.targets import TargetOptions, parse_set, parse_widths, resolve

pytest.importorskip("transformers")
CONFIGS = Path(__file__).parents[1] / "fixtures/hf"
FAMILIES = sorted(path.name for path in CONFIGS.iterdir())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_published_config_is_driven_at_small_widths(family: str) -> None:
    target = resolve(str(CONFIGS / family))
    assert target.axes[0].probes == (64, 128)
    assert target.axes[0].default is not None
    assert target.axes[0].default >= 1536
    small, large = (target.build(target.sizes(probe), 0) for probe in (0, 1))
    assert sum(parameter.numel() for parameter in large.parameters()) < 3_000_000
    assert [name for name, _ in small.named_parameters()] == [name for name, _ in large.named_parameters()]
    assert not any(parameter.is_meta for parameter in large.parameters())
    drive(target)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "deepseek_v3", "olmo2"])
def test_weights_follow_the_configs_initializer_range(family: str) -> None:
    target = resolve(str(CONFIGS / family))
    expected = json.loads((CONFIGS / family / "config.json").read_text())["initializer_range"]
    model = target.build({target.axes[0].name: 128}, 0)
    name, weight = next((name, each) for name, each in model.named_parameters() if name.endswith(("q_proj.weight", "c_attn.weight", "q_a_proj.weight")))  # fmt: skip # noqa: E501
    assert float(weight.detach().std()) == pytest.approx(expected, rel=0.1), name


def test_the_shape_of_the_family_is_kept_and_said() -> None:
    target = resolve(str(CONFIGS / "deepseek_v3" / "config.json"))
    config = target.build(target.sizes(1), 0).config
    assert (config.hidden_size, config.num_hidden_layers, config.first_k_dense_replace) == (128, 2, 1)
    assert (config.n_routed_experts, config.num_experts_per_tok, config.n_group) == (4, 2, 2)
    assert config.intermediate_size / config.hidden_size == pytest.approx(18432 / 7168, rel=0.05)
    assert config.qk_nope_head_dim == config.v_head_dim == 16
    notes = "\n".join(target.notes)
    assert "n_routed_experts 256 → 4" in notes
    assert "q_lora_rank, kv_lora_rank keep their ratio to hidden_size" in notes
    assert "v_head_dim 128 → 16 is held fixed and num_attention_heads grows with hidden_size" in notes


def test_every_kind_of_layer_is_kept() -> None:
    config = resolve(str(CONFIGS / "gemma2")).build({"hidden_size": 64}, 0).config
    assert sorted(config.layer_types) == ["full_attention", "sliding_attention"]


def test_heads_grow_and_their_size_does_not() -> None:
    target = resolve(str(CONFIGS / "llama"))
    configs = [target.build({"hidden_size": width}, 0).config for width in (64, 256)]
    assert [config.head_dim for config in configs] == [16, 16]
    assert [config.num_attention_heads for config in configs] == [4, 16]
    assert [config.num_key_value_heads for config in configs] == [1, 4]


def test_fields_set_by_the_user_win() -> None:
    options = TargetOptions(widths=parse_widths(["n_embd=96,192"]), set=parse_set(["n_layer=3"]))
    target = resolve(str(CONFIGS / "gpt2"), options)
    assert target.describe == "GPT2LMHeadModel(GPT2Config), n_embd 96 → 192, input int64[2, 32]"
    assert target.build({"n_embd": 96}, 0).config.n_layer == 3


def test_a_class_of_transformers_by_name() -> None:
    assert resolve("transformers:GPT2LMHeadModel").label == "GPT2LMHeadModel(GPT2Config)"
    assert resolve("transformers:LlamaConfig").label == "LlamaForCausalLM(LlamaConfig)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "{file} is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ("{}", "{file} has no model_type, expected a Hugging Face config.json"),
        ('{"model_type": "lama"}', "config.json: this version of transformers has no model type 'lama'"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text, "config.json")
    with pytest.raises(UserError) as caught:
        resolve(path)
    assert caught.value.message == message.replace("{file}", path)
    assert caught.value.hint


def test_an_unknown_field_lists_the_near_one() -> None:
    with pytest.raises(UserError, match="GPT2Config has no field 'n_layers'") as caught:
        resolve(str(CONFIGS / "gpt2"), TargetOptions(set={"n_layers": 3}))
    assert caught.value.hint.startswith("did you mean n_layer?")


def test_the_stages_of_a_hierarchy_keep_their_ratio_and_the_size_of_their_heads() -> None:
    target = resolve("transformers:SegformerForImageClassification")
    configs = [target.build(target.sizes(probe), 0).config for probe in (0, 1)]
    assert [tuple(config.hidden_sizes) for config in configs] == [(16, 32, 80, 128), (32, 64, 160, 256)]
    assert [tuple(config.num_attention_heads) for config in configs] == [(1, 2, 5, 8), (2, 4, 10, 16)]
    assert configs[0].depths == configs[1].depths
    assert target.axes[0].default == 32
    drive(target)


def test_a_multiplier_of_all_channels_is_a_width() -> None:
    target = resolve("transformers:MobileNetV1ForImageClassification")
    small, large = (target.build(target.sizes(probe), 0) for probe in (0, 1))
    assert target.axes[0].name == "depth_multiplier"
    assert large.classifier.in_features == 2 * small.classifier.in_features


def test_the_parts_of_a_config_are_made_small_together() -> None:
    target = resolve("transformers:DiaForConditionalGeneration")
    assert target.axes[0].name == "decoder_config.hidden_size"
    configs = [target.build(target.sizes(probe), 0).config for probe in (0, 1)]
    decoders, encoders = ([getattr(each, part) for each in configs] for part in ("decoder_config", "encoder_config"))
    assert [each.hidden_size for each in decoders] == [64, 128]
    assert [each.hidden_size for each in encoders] == [each.cross_hidden_size for each in decoders] == [32, 64]
    assert [each.head_dim for each in (*decoders, *encoders)] == [16] * 4
    assert "encoder_config, decoder_config: made small alike" in "\n".join(target.notes)
    drive(target)


def test_the_first_of_stages_that_double_is_the_width() -> None:
    """Swin calls the width behind the last stage hidden_size: it follows from embed_dim, and windows have to fit it."""
    target = resolve("transformers:SwinForImageClassification")
    small, large = (target.build(target.sizes(probe), 0) for probe in (0, 1))
    assert (target.axes[0].name, target.axes[0].default) == ("embed_dim", 96)
    assert [each.config.num_heads for each in (small, large)] == [(3, 6, 12, 24), (6, 12, 24, 48)]
    assert large.classifier.in_features == 2 * small.classifier.in_features == 8 * large.config.embed_dim
    drive(target)


def test_a_width_coefficient_takes_what_is_behind_the_stages_along() -> None:
    target = resolve("transformers:EfficientNetForImageClassification")
    small, large = (target.build(target.sizes(probe), 0) for probe in (0, 1))
    assert target.axes[0].name == "width_coefficient"
    assert large.classifier.in_features == 2 * small.classifier.in_features == large.config.hidden_dim


def test_a_model_that_reads_images_alone_has_the_width_of_its_vision_part() -> None:
    target = resolve("transformers:SiglipForImageClassification")
    assert target.axes[0].name == "vision_config.hidden_size"
    assert target.build(target.sizes(0), 0).classifier.in_features == 64


def test_parts_of_parts_keep_whole_heads() -> None:
    target = resolve("transformers:T5Gemma2ForConditionalGeneration")
    encoder = target.build(target.sizes(0), 0).config.encoder
    text, vision = encoder.text_config, encoder.vision_config
    assert text.hidden_size == 64
    assert vision.hidden_size % vision.num_attention_heads == 0


def test_heads_that_a_config_counts_by_layer_grow_like_its_heads() -> None:
    target = resolve("transformers:LagunaForCausalLM")
    small, large = (target.build(target.sizes(probe), 0).config for probe in (0, 1))
    for config in (small, large):
        assert config.num_attention_heads_per_layer == [config.num_attention_heads] * config.num_hidden_layers
    assert large.num_attention_heads == 2 * small.num_attention_heads


def test_the_labels_of_a_model_that_transcribes_sound_are_shorter_than_the_sound() -> None:
    """CTC has no path through fewer frames than labels: longer ones have the loss inf."""
    target = resolve("transformers:Wav2Vec2ForCTC")
    sizes = target.sizes(0)
    made = target.inputs(sizes)
    loss = target.loss(target.build(sizes, 0)(*made.args, **made.kwargs), made)
    assert loss.isfinite()


LATE = """
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel


class LateConfig(PreTrainedConfig):
    model_type = "late"

    def __init__(self, vocab_size=64, hidden_size=64, num_hidden_layers=10, **kwargs):
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        super().__init__(**kwargs)


class Plain(nn.Linear):
    pass


class Gated(nn.Linear):
    pass


class LateModel(PreTrainedModel):
    config_class = LateConfig

    def __init__(self, config):
        super().__init__(config)
        size = config.hidden_size
        self.emb, self.head = nn.Embedding(config.vocab_size, size), nn.Linear(size, config.vocab_size)
        self.layers = nn.ModuleList((Gated if at == 9 else Plain)(size, size) for at in range(config.num_hidden_layers))
        self.post_init()

    def forward(self, input_ids):
        x = self.emb(input_ids)
        for layer in self.layers:
            x = x + layer(x).relu()
        return self.head(x)
"""


def test_a_class_of_modules_that_only_the_whole_model_has_is_named(tmp_path: Path) -> None:
    """The tenth layer is of a kind of its own, and nothing in the config tells. The file is found without a name."""
    (tmp_path / "late.py").write_text(LATE)
    target = resolve(str(tmp_path / "late.py"))
    assert target.label == "LateModel(LateConfig)"
    assert target.missing == (("Gated", "it is in the model at num_hidden_layers = 10, not in the small one"),)


def test_a_decoder_that_reads_the_states_of_an_image_is_given_some(tmp_path: Path) -> None:
    """Mllama's layers of cross-attention are skipped without, and their weights would not be read."""
    from transformers import MllamaTextConfig

    config = MllamaTextConfig(num_hidden_layers=4, cross_attention_layers=[1, 3], architectures=["MllamaForCausalLM"])
    config.save_pretrained(tmp_path)
    target = resolve(str(tmp_path))
    model = target.build(target.sizes(0), 0)
    inputs = target.inputs(target.sizes(0))
    target.loss(model(*inputs.args, **inputs.kwargs), inputs).backward()
    assert [name for name, p in model.named_parameters() if "cross_attn" in name and p.grad is None] == []


@pytest.mark.parametrize("hides", [True, False])
def test_images_come_with_hidden_patches_where_a_token_stands_for_them(tmp_path: Path, hides: bool) -> None:
    """The classifier's own forward has no such argument: it hands it on. Without it the token would not be read."""
    from transformers import Dinov2Config

    config = Dinov2Config(use_mask_token=hides, architectures=["Dinov2ForImageClassification"])
    config.save_pretrained(tmp_path)
    target = resolve(str(tmp_path))
    model = target.build(target.sizes(0), 0)
    inputs = target.inputs(target.sizes(0))
    target.loss(model(*inputs.args, **inputs.kwargs), inputs).backward()
    assert ("bool_masked_pos" in inputs.kwargs) is hides
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_config_without_a_hidden_size_of_its_own_is_driven(tmp_path: Path) -> None:
    """BLT's sizes are those of its parts, beside arguments of its forward that other families size by their own."""
    config = pytest.importorskip("transformers").BltConfig(architectures=["BltForCausalLM"])
    config.save_pretrained(tmp_path)
    assert resolve(str(tmp_path / "config.json")).label.startswith("BltForCausalLM")
