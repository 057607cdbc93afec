"""What a refusal prints works once it is pasted into the file, with what is missing put in."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import drive, write

from muaudit.errors import UserError
from muaudit.targets import resolve

START = "from dataclasses import dataclass, field\n\nimport torch\nfrom torch import nn\n"
FORWARD = """
    def forward(self, sample):
        x = self.emb(sample[0]["ids"])
        return self.head(self.mid(x).relu())
"""
BODY = """
        self.emb, self.mid = nn.Embedding({vocab}, {width}), nn.Linear({width}, {width})
        self.head = nn.Linear({width}, 8)
"""
PLAIN = (
    START
    + """

class Net(nn.Module):
    def __init__(self, vocab_size, d_model, n_heads, dropout=0.1, act="relu"):
        super().__init__()
        assert d_model % n_heads == 0"""
    + BODY.format(vocab="vocab_size", width="d_model")
    + FORWARD
)
NESTED = (
    START
    + """

@dataclass
class Inner:
    head_dim: int = 64
    n_heads: int = 12


@dataclass
class Config:
    n_embd: int = 768
    vocab_size: int = 50304
    n_layer: int = 12
    inner: Inner = field(default_factory=Inner)


class Net(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        assert config.inner.head_dim * config.inner.n_heads == config.n_embd"""
    + BODY.format(vocab="config.vocab_size", width="config.n_embd")
    + FORWARD
)
NAMESPACE = (
    START
    + """

class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.args = args"""
    + BODY.format(vocab="args.vocab_size", width="args.hidden_size")
    + FORWARD
)
LISTED = (
    START
    + """

class Net(nn.Module):
    def __init__(self, hidden_dims=(256, 512), vocab_size=64):
        super().__init__()
        a, b = hidden_dims
        self.emb, self.mid, self.head = nn.Embedding(vocab_size, a), nn.Linear(a, b), nn.Linear(b, 8)
"""
    + FORWARD
)


def refused(folder: Path, text: str) -> tuple[Path, str]:
    file = Path(write(folder, text, "net.py"))
    with pytest.raises(UserError) as caught:
        resolve(str(file))
    return file, caught.value.hint


@pytest.mark.parametrize("text", [PLAIN, NESTED, NAMESPACE, LISTED], ids=["plain", "nested", "namespace", "listed"])
def test_the_spec_for_a_forward_that_takes_something_else(text: str, tmp_path: Path) -> None:
    file, hint = refused(tmp_path, text)
    assert "forward(" not in hint.partition("\n\n")[2]
    spec = hint.partition("\n\n")[2]
    assert spec.startswith(("import torch", "from "))
    assert spec.count("# fill in:") == spec.count("...") == 1
    tokens = '{"sample": [{"ids": torch.randint(0, 64, (2, 8))}]}'
    made = spec.replace("return ...", f"return {tokens}")
    file.write_text(text + "\n\n" + made + "\n")
    target = resolve(str(file))
    drive(target)
    narrow, wide = ([p.shape for p in target.build(target.sizes(at), 0).parameters()] for at in (0, 1))
    assert all(2 * a[-1] == b[-1] for a, b in zip(narrow[:2], wide[:2], strict=True))


NEEDY = """

class Net(nn.Module):
    def __init__(self, d_model, block, n_layers, n_classes=4):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, d_model), block(d_model), nn.Linear(d_model, n_classes)

    def forward(self, x):
        return self.head(self.mid(self.up(x)).relu())
"""


def test_the_spec_for_an_argument_that_nothing_is_known_about(tmp_path: Path) -> None:
    file, hint = refused(tmp_path, START + NEEDY)
    spec = hint.partition("\n\n")[2]
    assert "    block = ...  # fill in: block\n    return Net(d_model=width, block=block, n_layers=2)" in spec
    file.write_text(START + NEEDY + "\n\n" + spec.replace("= ...", "= lambda width: nn.Linear(width, width)"))
    drive(resolve(str(file)))


WORDS = """

class Net(nn.Module):
    def __init__(self, d_model, table, n_items, n_classes=4):
        super().__init__()
        self.known = nn.Embedding.from_pretrained(table)
        self.up = nn.Linear(self.known.embedding_dim, d_model)
        self.mid, self.head = nn.Linear(d_model, d_model), nn.Linear(d_model, n_classes)

    def forward(self, ids):
        return self.head(self.mid(self.up(self.known(ids))).relu())
"""


def test_the_spec_for_a_constructor_that_raised_has_what_was_tried_and_one_line_to_fill_in(tmp_path: Path) -> None:
    file, hint = refused(tmp_path, START + WORDS)
    spec = hint.partition("\n\n")[2]
    assert "    table = 2  # fill in: table: with this it raises AttributeError\n" in spec
    assert "    return Net(d_model=width, table=table, n_items=256)\n" in spec
    filled = spec.replace("table = 2", "table = torch.randn(64, 12)")
    file.write_text(START + WORDS + "\n\n" + filled)
    drive(resolve(str(file)))


def test_a_batch_that_was_not_filled_in_is_told(tmp_path: Path) -> None:
    file, hint = refused(tmp_path, PLAIN)
    file.write_text(PLAIN + "\n\n" + hint.partition("\n\n")[2])
    with pytest.raises(UserError, match=r"the line of batch\(width\) that says `fill in` is still to be filled in"):
        resolve(str(file))


def test_a_spec_that_stands_there_is_not_printed_again(tmp_path: Path) -> None:
    text = START + NEEDY + "\n\ndef build(width):\n    return Net(width, lambda n: nn.Linear(n, n), 2)\n"
    _, hint = refused(tmp_path, text.replace("self.up(x)", "self.up(x.nodes())"))
    assert "build" not in hint
    assert "def batch(width):\n    return ...  # fill in: x, as the forward takes it: a tensor, say\n" in hint
