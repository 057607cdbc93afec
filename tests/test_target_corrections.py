"""Inputs that a forward refuses and that its own failure corrects: assertions, questions before a raise, messages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models.driving import write
from torch import nn

from muaudit.errors import UserError
from muaudit.targets import resolve
from muaudit.targets.corrections import Said, corrected, said
from muaudit.targets.inputs import Form
from muaudit.targets.options import InputSpec
from muaudit.targets.reach import held, shapes

HEAD = "import torch\nfrom torch import nn\n\n\n"
BUCKETS = """class Bucketed(nn.Module):
    def __init__(self, dim, vocab=50, bucket=24):
        super().__init__()
        self.bucket = bucket
        self.embed, self.mix, self.last = nn.Embedding(vocab, dim), nn.Linear(dim, dim), nn.Linear(dim, vocab)

    def forward(self, x):
        length = x.shape[1]
        assert length % (self.bucket * 2) == 0, f"{length} tokens do not fill buckets"
        return self.last(self.mix(self.embed(x)).relu())
"""
RAISED = """class Clip(nn.Module):
    def __init__(self, dim, clip=21):
        super().__init__()
        self.clip = clip
        self.first, self.mix, self.last = nn.Conv1d(4, dim, 1), nn.Conv1d(dim, dim, 1), nn.Linear(dim, 3)

    def forward(self, x):
        if x.size(-1) != self.clip:
            raise ValueError("that is no clip")
        return self.last(self.mix(self.first(x).relu()).mean(-1))
"""
TWO = """class Marker(nn.Module):
    def __init__(self, dim, vocab=50, places=12):
        super().__init__()
        self.places = places
        self.words, self.marks = nn.Embedding(vocab, dim), nn.Embedding(5, dim)
        self.mix, self.last = nn.Linear(dim, dim), nn.Linear(dim, vocab)

    def forward(self, x, marks):
        assert x.shape[1] == self.places
        return self.last(self.mix(self.words(x) + self.marks(marks)).relu())
"""
GRID = """class Volume(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.first, self.mix, self.last = nn.Linear(5, width), nn.Conv3d(width, width, 1), nn.Linear(width, 2)

    def forward(self, x):
        places = torch.stack(torch.meshgrid(*(torch.linspace(0, 1, n) for n in x.shape[1:4]), indexing="ij"), -1)
        x = self.first(torch.cat((x, places.expand(x.shape[0], -1, -1, -1, -1)), -1))
        x = self.mix(x.permute(0, 4, 1, 2, 3)).relu()
        return self.last(x.permute(0, 2, 3, 4, 1))
"""
SHOWN = {
    "buckets": (BUCKETS, "Bucketed, dim 64 → 128, input int64[2, 48]"),
    "raised": (RAISED, "Clip, dim 64 → 128, input float32[2, 4, 21]"),
    "two": (TWO, "Marker, dim 64 → 128, input int64[2, 12], int64[2, 12]"),
    "grid": (GRID, "Volume, width 64 → 128, input float32[2, 16, 16, 16, 2]"),  # five are read: two and three places
}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_input_gets_the_size_that_its_refusal_asks_for(name: str, tmp_path: Path) -> None:
    code, shown = SHOWN[name]
    assert resolve(write(tmp_path, HEAD + code)).describe == shown


def test_what_no_size_helps_stays_refused(tmp_path: Path) -> None:
    code = BUCKETS.replace("self.bucket * 2) == 0", "self.bucket * 2) == 1 and length > 9000")
    with pytest.raises(UserError, match=r"forward raised AssertionError"):
        resolve(write(tmp_path, HEAD + code))


X = torch.zeros(2, 3, 8)
MESSAGES: dict[str, tuple[Callable[[], object], Said]] = {
    "linear": (lambda: nn.Linear(5, 7)(X), Said(8, 5, features=True)),
    "convolution": (lambda: nn.Conv1d(5, 7, 1)(X), Said(3, 5, features=True)),
    "norm": (lambda: nn.LayerNorm(5)(X), Said(8, 5, features=True)),
    "recurrent": (lambda: nn.GRU(5, 7)(X), Said(8, 5, features=True)),
    "added": (lambda: X + torch.zeros(5), Said(8, 5)),
    "joined": (lambda: torch.cat([X, torch.zeros(2, 4, 5)], 1), Said(5, 8)),
    "einsum": (lambda: torch.einsum("bti,io->bto", X, torch.zeros(5, 7)), Said(8, 5)),
}


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_messages_of_torch_say_what_was_wanted(name: str) -> None:
    run, wanted = MESSAGES[name]
    with pytest.raises(RuntimeError) as refused:
        run()
    assert wanted in said(refused.value)


def test_channels_are_not_looked_for_where_the_width_was_taken_for_them() -> None:
    form = Form((InputSpec("float32", (2, ("dim", 1.0), 8, 3)),))
    assert not list(corrected(form, [Said(7, 5, features=True)], {"dim": 64}))
    plain = Form((InputSpec("float32", (2, 9, 8, 3)),))
    assert [form.args[0].dims for form in corrected(plain, [Said(7, 5, features=True)], {})] == [
        (2, 7, 8, 3),
        (2, 9, 8, 1),
    ]


CACHED = """MADE = []


class Cached(nn.Module):
    def __init__(self, dim=512, max_len=2048, batch=32, depth=24):
        super().__init__()
        self.embed, self.mix, self.last = nn.Embedding(50, dim), nn.Linear(dim, dim), nn.Linear(dim, 50)
        self.caches = nn.ModuleList(Cache(dim, max_len, batch) for _ in range(depth))
        if not self.mix.weight.is_meta:
            MADE.append(sum(each.kept.numel() for each in self.caches))

    def forward(self, x):
        x = self.last(self.mix(self.embed(x)))
        if not x.is_cuda:
            raise RuntimeError("not without its kernels")
        return x


class Cache(nn.Module):
    def __init__(self, dim, max_len, batch):
        super().__init__()
        self.kept = torch.empty(batch, max_len, dim)
        self.mix = nn.Linear(dim, dim)
"""


def test_models_full_of_caches_are_not_made_in_vain(tmp_path: Path) -> None:
    """24 caches of 32 × 2048 × 512 numbers would take 3.2 GB, after the smaller ones were refused."""
    file = write(tmp_path, HEAD + CACHED)
    with pytest.raises(UserError, match="not without its kernels"):
        resolve(file)
    made = sys.modules[Path(file).stem].MADE
    assert made
    assert max(made) < 250_000_000 < 24 * 32 * 2048 * 512


def test_what_a_model_holds_counts_caches_that_are_no_buffers() -> None:
    class Held(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()
            self.mix, self.kept = nn.Linear(dim, dim, bias=False), torch.zeros(10, dim)
            self.register_buffer("mask", torch.zeros(7))

    assert held(lambda values: Held(**values), {"dim": 4}) == 16 + 40 + 7


class Windows(nn.Module):
    """Places in a window, and a table of all pairs of them."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.mix, self.all = nn.Linear(window, 4), torch.arange(window * window).sum().item()
        places = torch.arange(window * window)
        self.register_buffer("pairs", places[:, None] - places[None, :])


def test_a_table_of_all_pairs_of_places_is_not_made_to_see_what_a_size_does() -> None:
    assert shapes(lambda values: Windows(**values), {"window": 8}) == {"mix.weight": (4, 8), "mix.bias": (4,)}
    assert shapes(lambda values: Windows(**values), {"window": 128}) is None  # 2 GB


FIXED_GRAPH = """
class Net(nn.Module):
    def __init__(self, hidden=128, nodes=50, feats=8):
        super().__init__()
        i = torch.arange(nodes)
        self.register_buffer("A", torch.sparse_coo_tensor(torch.stack([i, i]), torch.ones(nodes), (nodes, nodes)))
        self.up, self.mix, self.out = nn.Linear(feats, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, x):
        h = torch.sparse.mm(self.A, self.up(x)).relu()
        return self.out(torch.sparse.mm(self.A, self.mix(h)).relu())
"""


def test_as_many_rows_as_a_sparse_matrix_has_columns(tmp_path: Path) -> None:
    assert "input float32[50, 8]" in resolve(write(tmp_path, HEAD + FIXED_GRAPH)).describe


def test_the_docstring_of_a_container_says_nothing_of_what_is_in_it(tmp_path: Path) -> None:
    """That of `nn.Sequential` has an input and, behind it, `Conv2d(1, 20, 5)`."""
    body = "nn.Embedding(vocab, d_model), nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, vocab)"
    text = HEAD + f"def build_model(vocab=100, d_model=128):\n    return nn.Sequential({body})\n"
    assert "input int64[2, 32]" in resolve(write(tmp_path, text)).describe
