"""Files that train, parse arguments or download when they are run: their definitions alone are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.driving import drive, write

from muaudit.errors import UserError
from muaudit.targets import resolve

MODEL = """

class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, x):
        return self.head(self.mid(self.up(x).relu()).relu())

"""
START = "import torch\nfrom torch import nn\n\nWIDTH = 64\n"
LOOP = "net = Net()\nfor step in range(10**12):\n    open('touched', 'w')\n"
MAIN = "def main():\n    open('touched', 'w')\n    while True:\n        pass\n\nmain()\n"
DOWNLOAD = "import urllib.request\nurllib.request.urlretrieve('http://localhost:1/data', 'touched')\n"
DATA = "data = torch.utils.data.DataLoader([open('touched', 'w')])\n"


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (LOOP, "line 16 runs a loop"),
        (MAIN, "line 20 calls main()"),
        (DOWNLOAD, "line 16 calls urlretrieve()"),
        (DATA, "line 15 calls DataLoader()"),
    ],
)
def test_what_works_when_it_is_imported_is_not_run(
    after: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = resolve(write(tmp_path, START + MODEL + after))
    drive(target)
    assert target.axes[0].default == 64
    assert f"only the definitions in this file were run: {why} when it is imported" in target.notes
    assert not (tmp_path / "touched").exists()


def test_data_that_are_given_as_batches_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = (
        "x = torch.arange(64.0).view(8, 8)\n"
        "batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(8, 4)), batch_size=4)\n"
    )
    text = START + "def build(width):\n    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))\n"
    target = resolve(write(tmp_path, text + data))
    assert target.data is not None
    assert torch.equal(next(target.data(target.sizes(0), 0)).args[0], torch.arange(32.0).view(4, 8))
    assert not any("only the definitions" in note for note in target.notes)


ARGUMENTS = """\
import argparse
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--data", required={needed})
parser.add_argument("--width", type=int, default=64)
args = parser.parse_args()
WIDTH = args.width
"""


def test_arguments_with_defaults_are_parsed_and_the_file_is_run_whole(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, ARGUMENTS.format(needed=False) + MODEL))
    assert not any("definitions" in note for note in target.notes)


def test_arguments_that_are_needed_end_a_whole_run_and_the_definitions_that_do_without_are_taken(
    tmp_path: Path,
) -> None:
    text = ARGUMENTS.format(needed=True).replace("WIDTH = args.width", "WIDTH = 64") + MODEL + "train(Net())\n"
    target = resolve(write(tmp_path, text))
    assert "only the definitions in this file were run: run whole it exits" in target.notes


def test_a_package_that_only_the_training_needs(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, "import no_such_logger as log\n" + START + MODEL))
    assert any("No module named 'no_such_logger'" in note for note in target.notes)
    drive(target)


def test_a_package_that_the_model_needs_is_asked_for(tmp_path: Path) -> None:
    text = "import no_such_layers\n" + START + MODEL.replace("nn.Linear(8, width)", "no_such_layers.Linear(8, width)")
    with pytest.raises(UserError, match="No module named 'no_such_layers'"):
        resolve(write(tmp_path, text))


def test_a_failure_in_a_file_without_models_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spec.py cannot be imported: ZeroDivisionError"):
        resolve(write(tmp_path, "x = 1 / 0\n"))


def test_a_default_config_made_at_the_top_counts_as_a_definition(tmp_path: Path) -> None:
    text = """\
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    width: int = 96


config = Config(width=48)
WIDTH = config.width
"""
    target = resolve(write(tmp_path, text + MODEL + LOOP))
    assert target.axes[0].default == 48


SETUP = """
import sys

for name in ("no_such_kernels", "no_such_kernels.ops"):
    sys.modules.setdefault(name, type(sys)(name))
import no_such_kernels.ops
"""


def test_a_loop_that_prepares_the_imports_is_no_work(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, START + SETUP + MODEL))
    assert not any("definitions" in note for note in target.notes)


def test_a_table_of_layers_is_a_definition(tmp_path: Path) -> None:
    table = "\nACTIVATION = {'relu': nn.ReLU, 'leaky': nn.LeakyReLU(0.1), 'soft': torch.nn.Softplus()}\n"
    used = MODEL.replace("super().__init__()", "super().__init__()\n        self.act = ACTIVATION['leaky']")
    target = resolve(write(tmp_path, START + table + used + LOOP))
    assert "leaky" not in "".join(target.notes)
    assert any(note.startswith("only the definitions in this file were run") for note in target.notes)


LACKING = """
class Base(missing_layers.Module):
    def forward(self, x):
        return x

"""
OTHER = MODEL.replace("class Net", "class Mixer")


def test_a_class_whose_base_cannot_be_had_is_told_where_another_is_taken_or_several_are_listed(tmp_path: Path) -> None:
    left_out = "left out, for they could not be defined (ModuleNotFoundError: No module named 'missing_layers'): Base"
    target = resolve(write(tmp_path, "import missing_layers\n" + START + LACKING + MODEL))
    assert any(left_out in note for note in target.notes)
    with pytest.raises(UserError, match="several models: Net, Mixer") as error:
        resolve(write(tmp_path, "import missing_layers\n" + START + LACKING + MODEL + OTHER))
    assert left_out in str(error.value.hint)


def test_what_a_file_of_another_age_would_have_brought_fails_as_that_file_does(tmp_path: Path) -> None:
    write(tmp_path, "print 'old'\n", "parts.py")
    used = MODEL.replace("nn.Linear(8, width)", "first_layer(width)")
    with pytest.raises(UserError, match="building Net at width=64 raised SyntaxError: Missing parentheses"):
        resolve(write(tmp_path, START + "from parts import *\n" + used))


TEXT = """
with open("words.txt", encoding="utf-8") as file:
    text = file.read()
letters = sorted(set(text))
vocab_size = len(letters)
print(open("touched", "w"))

class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.embed, self.mid, self.head = nn.Embedding(vocab_size, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, tokens):
        return self.head(self.mid(self.embed(tokens)).relu())

"""


@pytest.mark.parametrize("there", [True, False])
def test_what_classes_read_is_made_of_the_file_that_a_script_opens_or_is_guessed_and_told(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        (tmp_path / "words.txt").write_text("to be or not to be")
    target = resolve(write(tmp_path, START + TEXT + LOOP))
    assert target.build(target.sizes(0), 0).embed.num_embeddings == (7 if there else 256)
    guessed = "guessed, as what makes them was not run: vocab_size=256"
    assert any(guessed in note for note in target.notes) is not there
    assert not (tmp_path / "touched").exists()


def test_annotations_that_are_only_written_down_are_not_run_statement_by_statement(tmp_path: Path) -> None:
    shaped = MODEL.replace("def forward(self, x):", 'def forward(self, x: float["b n"]) -> int["b"]:')
    target = resolve(write(tmp_path, "from __future__ import annotations\n" + START + shaped + LOOP))
    assert target.axes[0].name == "width"
