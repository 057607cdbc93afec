"""Models that run at one width alone, inputs that cost much before they are refused, and what trying leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from muaudit.errors import UserError
from muaudit.targets import TargetOptions, resolve

HEAD = "import torch\nimport torch.nn as nn\n\n\n"
TIED = """
def init_layer(in_size, out_size, layer_type=nn.Linear):
    return layer_type(in_size, out_size)


class Tied(nn.Module):
    def __init__(self, input_size=40, hidden_size=48):
        super().__init__()
        self.rnn = nn.LSTM(input_size, hidden_size, bidirectional=True, batch_first=True)
        self.first = init_layer(96, 30)
        self.last = init_layer(30, 12)

    def forward(self, x):
        return self.last(self.first(self.rnn(x)[0]))
"""


def file_of(tmp_path: Path, text: str) -> str:
    file = tmp_path / "m.py"
    file.write_text(HEAD + text)
    return str(file)


def test_a_width_that_only_its_own_size_fits_is_told_with_the_numbers_it_is_tied_to(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        resolve(file_of(tmp_path, TIED), TargetOptions())
    assert raised.value.message.startswith("Tied runs at hidden_size=48 and at no other width")
    assert "at hidden_size=64 its" in raised.value.message
    assert "numbers in the code" in (raised.value.hint or "")
    assert "m.py:14: init_layer(96, 30)" in (raised.value.hint or "")
    assert "write hidden_size * 2 for 96" in (raised.value.hint or "")
    assert "init_layer(30, 12)" not in (raised.value.hint or "")  # 12 is a quarter of 48, and made, not read


def test_lengths_may_be_shares_of_the_longest(tmp_path: Path) -> None:
    text = TIED.replace("Tied", "Heard").replace("96", "2 * hidden_size").replace("(self, x)", "(self, x, lengths)")
    text = text.replace("return self.last(", "x = x[:, : int(lengths.max() * x.shape[1])].reshape(2, 32, -1)\n"
                        "        return self.last(")  # fmt: skip
    found = resolve(file_of(tmp_path, text), TargetOptions())
    assert found.describe.startswith("Heard, hidden_size 64 → 128, input float32[2, 32, 40]")


def test_an_attempt_that_failed_holds_no_values(tmp_path: Path) -> None:
    text = """
MADE = []


class Refuses(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.layer = nn.Linear(40, width)

    def forward(self, x):
        import weakref
        large = x * 2.0
        MADE.append(weakref.ref(large))
        alive = [each() is not None for each in MADE]
        assert alive.count(True) == 1, "an earlier attempt is alive"
        raise ValueError("none will do")
"""
    with pytest.raises(UserError, match="none will do"):
        resolve(file_of(tmp_path, text), TargetOptions())


def test_a_package_that_a_forward_asks_for_ends_the_search(tmp_path: Path) -> None:
    text = """
CALLS = []


class Asks(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.layer = nn.Linear(40, width)

    def forward(self, x):
        CALLS.append(1)
        assert len(CALLS) < 9
        import no_such_package
"""
    with pytest.raises(UserError, match="no_such_package"):
        resolve(file_of(tmp_path, text), TargetOptions())


VAST = """
class Vast(nn.Module):
    def __init__(self, hidden_size=20000):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, hidden_size), nn.Linear(hidden_size, hidden_size), nn.Linear(64, 2)

    def forward(self, sample):
        return self.head(self.mid(self.up(sample.normalise())))
"""


def test_a_model_is_not_built_at_a_width_at_which_it_is_vast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 million numbers, to find out what no width changes: 2 GB and more."""
    built = []
    monkeypatch.setattr("muaudit.targets.own_width._runs", lambda *_: built.append(1))
    with pytest.raises(UserError, match="has no attribute 'normalise'"):
        resolve(file_of(tmp_path, VAST), TargetOptions())
    assert not built
