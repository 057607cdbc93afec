"""Zero configuration: model classes as people write them, driven without help."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import drive, write

from muaudit.errors import UserError
from muaudit.targets import Target, TargetOptions, parse_inputs, parse_set, parse_widths, resolve

GPT = (Path(__file__).parents[1] / "fixtures/gpt/sp.py").as_posix()
MODELS = Path(__file__).parent / "models" / "styles"

DESCRIBED = {
    "argparse_namespace.py": "Model(namespace), d_model 64 → 128, hidden_size 64 → 128, input int64[2, 32]",
    "body_without_head.py": "Body, d_model 64 → 128, input float32[4, d_model]",
    "class_attributes.py": "Net(Config), d_model 64 → 128, d_ff 256 → 512, input float32[4, 32]",
    "config_dict.py": "GPTModel(dict), emb_dim 64 → 128, input int64[2, 32]",
    "config_keywords.py": "GPT(GPT1Config), n_embd 64 → 128, input int64[2, 32]",
    "flattened_images.py": "Net, hidden 64 → 128, channels 16 → 32, input float32[2, 1, 28, 28]",
    "global_sizes.py": "BigramLanguageModel, n_embd 64 → 128, input int64[2, 32]",
    "lightning.py": "LitModel, hidden_dim 64 → 128, input float32[4, 784]",
    "list_of_widths.py": "MLP, hidden_dims 64 → 128, input float32[4, 20]",
    "nested_config.py": "LM(ModelConfig), hidden_size 64 → 128, intermediate_size 192 → 384, input int64[2, 32]",
    "required_arguments.py": "TransformerLM, d_model 64 → 128, dim_feedforward 256 → 512, input int64[2, 32]",
    "start_position.py": "Transformer(ModelArgs), dim 64 → 128, hidden_dim 176 → 352, input int64[2, 32]",
    "training_script.py": "Net, width 64 → 128, input float32[4, 8]",
    "types.py": "MLP, hidden_size 64 → 128, input float32[4, 784]",
    "unet.py": "UNet, base_channels 32 → 64, input float32[2, 3, 32, 32], int64[2]",
    "vit.py": "ViT, dim 64 → 128, mlp_dim 256 → 512, input float32[2, 3, 32, 32]",
    "package/sub/net.py": "Net, width 64 → 128, input float32[4, 16]",
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_styles_of_writing_a_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = resolve(str(MODELS / name))
    assert target.describe == DESCRIBED[name]
    drive(target)
    assert capsys.readouterr().out == ""


def notes(target: Target) -> str:
    return "\n".join(target.notes)


def test_a_nanogpt_style_file_as_it_is() -> None:
    target = resolve(GPT)
    assert target.describe == "GPT(GPTConfig), n_embd 64 → 128, input int64[2, 32]"
    assert target.optimizer_source == "model method configure_optimizers"
    assert target.axes[0].default == 768
    assert "n_layer = 2 (of 12)" in notes(target)
    assert "n_head stays 4 while n_embd grows: the size of a head grows with it" in notes(target)
    assert "n_head = 4 (of 12)" in notes(target)
    made = target.inputs(target.sizes(0))
    assert set(made.kwargs) == {"targets"}
    drive(target)


def test_settings_and_widths_of_the_user() -> None:
    options = TargetOptions(
        widths=parse_widths(["n_embd=96,192"]),
        set=parse_set(["n_layer=3", "n_head=6"]),
        inputs=parse_inputs(["int64[4,16]"]),
        optimizer="sgd",
    )
    target = resolve(GPT, options)
    assert target.describe == "GPT(GPTConfig), n_embd 96 → 192, input int64[4, 16]"
    assert target.optimizer_source == "default sgd, one learning rate for everything"
    model = target.build({"n_embd": 96}, 0)
    assert sum(name.endswith("c_attn.weight") for name, _ in model.named_parameters()) == 3
    drive(target)


def test_an_explicit_head_size_is_held_and_the_heads_grow() -> None:
    target = resolve(str(MODELS / "vit.py"))
    assert "dim_head stays 16: heads grows with dim" in notes(target)
    assert [target.build({"dim": width}, 0).l[0][0].heads for width in (64, 128)] == [4, 8]


def test_one_width_alone_holds_the_others() -> None:
    target = resolve(str(MODELS / "nested_config.py"), TargetOptions(widths=parse_widths(["intermediate_size=96,192"])))
    assert [axis.name for axis in target.axes] == ["intermediate_size"]
    small, large = (target.build(target.sizes(probe), 0) for probe in (0, 1))
    assert small.u.weight.shape == (96, 512)
    assert large.u.weight.shape == (192, 512)


def test_two_widths_at_their_own_ratios() -> None:
    options = TargetOptions(widths=parse_widths(["hidden_size=64,128", "intermediate_size=64,512"]))
    target = resolve(str(MODELS / "nested_config.py"), options)
    assert target.sizes(1) == {"hidden_size": 128, "intermediate_size": 512}


def test_a_config_object_names_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    target = resolve(f"{MODELS / 'config_keywords.py'}:GPT1Config")
    assert target.describe == "GPT(GPT1Config), n_embd 64 → 128, input int64[2, 32]"


def test_a_class_of_an_installed_package() -> None:
    target = resolve("torch.nn:TransformerEncoderLayer")
    assert target.label == "TransformerEncoderLayer"
    assert "the output grows with the width, so a fixed random readout" in notes(target)
    drive(target)


def test_without_a_target_the_one_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no target given, and no file here holds a model"):
        resolve(None)
    text = (MODELS / "training_script.py").read_text()
    write(tmp_path, text, "other.py")
    assert resolve(None).path == Path("other.py")
    write(tmp_path, text, "more.py")
    with pytest.raises(UserError) as caught:
        resolve(None)
    assert caught.value.message == "several files here may hold the model: more.py, other.py"
    assert "muaudit check more.py" in caught.value.hint
    write(tmp_path, text, "model.py")
    assert resolve(None).path == Path("model.py")


TWO = """
from torch import nn

class A(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layer = nn.Linear(8, width)

    def forward(self, x):
        return self.layer(x)

class B(A):
    def forward(self, x):
        return -self.layer(x)

model = nn.Linear(3, 4)
number = 3
"""


def failing(tmp_path: Path, text: str, name: str = "", options: TargetOptions | None = None) -> UserError:
    path = write(tmp_path, text, "net.py")
    with pytest.raises(UserError) as caught:
        resolve(path + name, options)
    return caught.value


def test_several_candidates_come_with_commands_to_paste(tmp_path: Path) -> None:
    second = TWO[TWO.index("class A") : TWO.index("class B")].replace("class A", "class C")
    error = failing(tmp_path, TWO[: TWO.index("class B")] + second)
    assert error.message == f"{tmp_path}/net.py holds several models: A, C"
    assert error.hint.splitlines()[1:] == [f"  muaudit check {tmp_path}/net.py:{name}" for name in "AC"]


def test_objects_that_are_no_target(tmp_path: Path) -> None:
    assert failing(tmp_path, TWO, ":model").message == (
        "net.py:model is a model (Linear) of one width, expected a class or a function"
    )
    assert failing(tmp_path, TWO, ":number").message == (
        "net.py:number is of type int, expected a torch.nn.Module class or a function that builds one"
    )
    error = failing(tmp_path, TWO + "\nclass Network(A): pass\n", ":Netwerk")
    assert error.message == f"{tmp_path}/net.py has no 'Netwerk'"
    assert error.hint.startswith("did you mean Network?")


CLASS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        {body}

    def forward(self, x):
        {forward}
"""


@pytest.mark.parametrize(
    ("arguments", "body", "forward", "message"),
    [
        ("width=64", "pass", "return x", "Net has no parameters"),
        (
            "block, width=64", "self.l = block(8, width)", "return x",
            "Net needs a value for block: there is no default, and none could be guessed",
        ),
        (
            "flag=True", "self.l = nn.Linear(8, 8)", "return x",
            "Net has no argument that looks like a width; it takes flag",
        ),
        (
            "width=64", "raise ValueError('no swish')", "return x",
            "building Net at width=64 raised ValueError: no swish\n  {file}:7: raise ValueError('no swish')",
        ),
        (
            "width=64", "self.l = nn.Linear(8, width)", "return self.missing(x)",
            "no input was found that Net accepts: forward raised AttributeError: 'Net' object has no attribute "
            "'missing'\n  {file}:10: return self.missing(x)",
        ),
    ],
)  # fmt: skip
def test_classes_that_cannot_be_driven(tmp_path: Path, arguments: str, body: str, forward: str, message: str) -> None:
    error = failing(tmp_path, CLASS.format(arguments=arguments, body=body, forward=forward))
    assert error.message == message.format(file=f"{tmp_path}/net.py")


def test_a_forward_that_takes_nothing_we_know_shows_a_spec(tmp_path: Path) -> None:
    text = CLASS.format(arguments="width=64", body="self.l = nn.Linear(8, width)", forward="return x.nodes()")
    assert "\ndef build(width):\n    return Net(width=width)\n" in failing(tmp_path, text).hint
    options = TargetOptions(inputs=parse_inputs(["int64[2,5]"]))
    error = failing(tmp_path, text, "", options)
    assert error.message.startswith("--input int64[2, 5] does not fit Net: forward raised")


def test_flags_that_name_no_argument(tmp_path: Path) -> None:
    text = CLASS.format(arguments="width=64", body="self.l = nn.Linear(8, width)", forward="return self.l(x)")
    error = failing(tmp_path, text, "", TargetOptions(widths=parse_widths(["widht=64,128"])))
    assert (error.message, error.hint) == ("Net has no argument 'widht'", "did you mean width?\nits arguments: width")
    assert failing(tmp_path, text, "", TargetOptions(set={"depth": 3})).message == "Net has no argument 'depth'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(width:\n", "net.py:1: syntax error: '(' was never closed\n  {file}:1: def build(width"),
        ("import not_there\n",
         "net.py cannot be imported: ModuleNotFoundError: No module named 'not_there'\n  {file}:1: import not_there"),
        ("x = 1 / 0\n", "net.py cannot be imported: ZeroDivisionError: division by zero\n  {file}:1: x = 1 / 0"),
        ("raise SystemExit(3)\n", "net.py exits while it is imported\n  {file}:1: raise SystemExit(3)"),
        ("x = 1\n", "{file} holds no model: no class that derives from torch.nn.Module and no build(width)"),
        ("\0\0", "net.py is not a Python file: it is not text"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_imported(tmp_path: Path, text: str, message: str) -> None:
    assert failing(tmp_path, text).message.splitlines() == message.format(file=f"{tmp_path}/net.py").splitlines()


def test_targets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "x = 1", "model.py")
    write(tmp_path, "x = 1", "notes.txt")
    for text, message in {
        "modle.py": "no such file: modle.py",
        "notes.txt": "notes.txt is not a Python file",
        "no.such.module:Net": "no module named 'no.such.module'",
        ".": ". is a folder without a config.json",
    }.items():
        with pytest.raises(UserError) as caught:
            resolve(text)
        assert caught.value.message == message
    with pytest.raises(UserError, match="did you mean model"):
        resolve("modle.py")


def test_a_folder_names_the_files_in_and_below_it_that_hold_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "", "__init__.py")
    (tmp_path / "nets" / "deep").mkdir(parents=True)
    for at in range(9):
        write(tmp_path, "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x): ...", f"nets/n{at}.py")
    write(tmp_path, (tmp_path / "nets" / "n0.py").read_text(), "nets/deep/first.py")
    write(tmp_path, "def train(): ...", "nets/train.py")
    shown = "".join(f"\n  muaudit check nets/n{at}.py" for at in range(8))
    more = "\n2 more hold modules; muaudit init tries all of them"
    for text in (None, "."):
        with pytest.raises(UserError) as caught:
            resolve(text)
        assert caught.value.hint == f"name one of its files:{shown}{more}"


def test_a_file_of_another_framework_is_told_as_such(tmp_path: Path) -> None:
    for first, told in (("", True), ("import torch\n", False)):
        hint = failing(tmp_path, f"{first}import not_installed_here\n").hint
        assert ("net.py does not import torch itself" in hint) == told
        assert "install what it needs" in hint


def test_a_module_whose_package_cannot_be_imported_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that it is in wants another one: that is what is missing, not the module."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wanting").mkdir()
    write(tmp_path, "import not_installed_here", "wanting/__init__.py")
    write(tmp_path, "x = 1", "wanting/model.py")
    with pytest.raises(UserError) as caught:
        resolve("wanting.model:Net")
    assert caught.value.message.startswith("wanting.model cannot be imported: ModuleNotFoundError: ")
    assert "'not_installed_here'" in caught.value.message


def test_an_optimizer_method_is_called_with_usual_values_for_what_it_asks(tmp_path: Path) -> None:
    """The signature of a GPT in µP that others build on: the epsilon of Adam is an argument too."""
    arguments = "(self, weight_decay, learning_rate, betas, device_type)"
    source = Path(GPT).read_text().replace(arguments, arguments.replace("device_type", "adam_eps, device_type"))
    assert "adam_eps" in source
    (tmp_path / "model.py").write_text(source)
    target = resolve(str(tmp_path / "model.py"))
    assert target.optimizer_source == "model method configure_optimizers"


def test_a_package_that_fails_while_it_is_imported_is_not_for_the_user_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "broken_wheel"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('operator broken::nms does not exist')\n")
    (tmp_path / "net.py").write_text("import broken_wheel\n")
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(UserError) as caught:
        resolve(str(tmp_path / "net.py"))
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("importing broken_wheel by itself fails in the same way")
