"""Inputs that only the forward's text tells of: arrays, parts that are joined, dims with names, several in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.driving import drive, write

from muaudit.targets import resolve

HEAD = "import torch\nfrom torch import nn\nimport numpy as np\n\n\n"
ARRAYS = """class Recommender(nn.Module):
    def __init__(self, user_num, item_num, hidden_units=50):
        super().__init__()
        self.items, self.mix = nn.Embedding(item_num + 1, hidden_units), nn.Linear(hidden_units, hidden_units)

    def features(self, seqs):
        hidden = self.items(torch.LongTensor(seqs)) * torch.FloatTensor((seqs != 0).astype(np.float32)[..., None])
        return self.mix(hidden)

    def forward(self, user_ids, seqs, candidates):
        return (self.features(seqs) * self.items(torch.LongTensor(candidates))).sum(-1)
"""
JOINED = """class Operator(nn.Module):
    def __init__(self, space_dim=2, n_hidden=64, fun_dim=3, out_dim=1):
        super().__init__()
        self.first, self.last = nn.Linear(fun_dim + space_dim, n_hidden), nn.Linear(n_hidden, out_dim)

    def forward(self, x, fx, T=None):
        return self.last(self.first(torch.cat((x, fx), -1)).relu())
"""
NAMED = """class Encoder(nn.Module):
    def __init__(self, c_in, num_patch, patch_len, d_model):
        super().__init__()
        self.embed, self.place = nn.Linear(patch_len, d_model), nn.Parameter(torch.zeros(num_patch, d_model))
        self.each = nn.Linear(c_in * d_model, d_model)

    def forward(self, x):
        bs, num_patch, n_vars, patch_len = x.shape
        x = self.embed(x).transpose(1, 2) + self.place
        return self.each(x.transpose(1, 2).flatten(2))


class PatchModel(nn.Module):
    def __init__(self, c_in: int, patch_len: int, num_patch: int, d_model=128):
        super().__init__()
        self.backbone, self.head = Encoder(c_in, num_patch, patch_len, d_model), nn.Linear(d_model, 1)

    def forward(self, z):
        return self.head(self.backbone(z))
"""
SEVERAL = """class Aligner(nn.Module):
    def __init__(self, vocab_size=100, n_mels=80, hidden=128):
        super().__init__()
        self.embed, self.up = nn.Embedding(vocab_size, hidden), nn.Conv1d(n_mels, hidden, 3, padding=1)
        self.head = nn.Linear(hidden, n_mels)

    def forward(self, inputs):
        text, text_lengths, mels = inputs
        assert text_lengths.max() <= text.shape[1]
        return self.head(self.embed(text).mean(1, keepdim=True) + self.up(mels).transpose(1, 2).relu())
"""


TIME_FIRST = """class Sentiment(nn.Module):
    def __init__(self, vocab_size=100, hidden_dim=128):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(vocab_size, hidden_dim), nn.LSTM(hidden_dim, hidden_dim)
        self.fc = nn.Linear(hidden_dim, 2)

    def forward(self, text, text_lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(text), text_lengths, enforce_sorted=False)
        return self.fc(self.rnn(packed)[1][0][-1])
"""


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (TIME_FIRST, "Sentiment, hidden_dim 64 → 128, input int64[2, 32], int64[32]"),
        (ARRAYS, "Recommender, hidden_units 64 → 128, input int64[2, 32], int64[2, 32], int64[2, 32]"),
        (JOINED, "Operator, n_hidden 64 → 128, input float32[2, 32, 2], float32[2, 32, 3]"),
        (NAMED, "PatchModel, d_model 64 → 128, input float32[2, 8, 32, 2]"),
        (SEVERAL, "Aligner, hidden 64 → 128, input int64[2, 32], int64[2], float32[2, 80, 32]"),
    ],
)
def test_what_the_text_of_the_forward_tells_of_its_input(tmp_path: Path, text: str, described: str) -> None:
    target = resolve(write(tmp_path, HEAD + text))
    assert target.describe == described
    drive(target)


def test_a_size_that_the_data_have_is_held_where_hidden_layers_have_one_of_their_own(tmp_path: Path) -> None:
    text = """class Flow(nn.Module):
    def __init__(self, dim, out_dim=None, w=64):
        super().__init__()
        out_dim = out_dim or dim
        self.net = nn.Sequential(nn.Linear(dim + 1, w), nn.SELU(), nn.Linear(w, w), nn.SELU(), nn.Linear(w, out_dim))

    def forward(self, x):
        return self.net(x)
"""
    target = resolve(write(tmp_path, HEAD + text))
    assert [axis.name for axis in target.axes] == ["w"]


LABELLED = """class Generator(nn.Module):
    def __init__(self, conv_dim=64, c_dim=5):
        super().__init__()
        self.first, self.last = nn.Conv2d(3 + c_dim, conv_dim, 3, padding=1), nn.Conv2d(conv_dim, 3, 3, padding=1)

    def forward(self, x, c):
        c = c.view(c.size(0), c.size(1), 1, 1)
        c = c.repeat(1, 1, x.size(2), x.size(3))
        x = torch.cat([x, c], dim=1)
        return self.last(self.first(x).relu())
"""
ENCODED = """class PixelModel(nn.Module):
    def __init__(self, shape, n_class, channel):
        super().__init__()
        height, width = shape
        self.n_class = n_class
        self.first, self.last = nn.Conv2d(n_class, channel, 3, padding=1), nn.Conv2d(channel, n_class, 1)
        self.register_buffer("place", torch.zeros(1, 1, height, width))

    def forward(self, input, condition=None):
        input = torch.nn.functional.one_hot(input, self.n_class).permute(0, 3, 1, 2).type_as(self.place)
        return self.last(self.first(input + self.place).relu())
"""


def test_an_image_is_joined_with_labels_at_every_place(tmp_path: Path) -> None:
    """Of the 3 + 5 channels that are read 5 go by the name of an argument; an image has the other 3."""
    target = resolve(write(tmp_path, HEAD + LABELLED))
    drive(target)
    image, labels = target.inputs(target.sizes(0)).args
    assert image.shape[1] == 3
    assert labels.shape == (image.shape[0], 5)


def test_what_is_made_one_hot_is_of_so_many_classes_and_of_the_shape_that_is_told(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, HEAD + ENCODED))
    drive(target)
    classes = target.inputs(target.sizes(0)).args[0]
    assert not classes.is_floating_point()
    assert classes.dim() == 3
    assert int(classes.max()) < target.build(target.sizes(0), 0).n_class


WIDE = """class Gates(nn.Module):
    def __init__(self, *, dim, seq_len):
        super().__init__()
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.places = nn.Parameter(torch.randn(seq_len, seq_len) / seq_len)

    def forward(self, x):
        return self.down(torch.einsum("b n d, m n -> b m d", self.up(x), self.places))
"""
UNFOLDED = """class Stages(nn.Module):
    def __init__(self, *, dims=(32, 64), channels=3):
        super().__init__()
        self.cut = nn.Unfold(7, stride=4, padding=3)
        self.first, self.head = nn.Conv2d(channels * 49, dims[0], 1), nn.Conv2d(dims[0], dims[1], 8, stride=8)

    def forward(self, x):
        h, w = x.shape[-2:]
        x = self.cut(x)
        return self.head(self.first(x.reshape(len(x), -1, h // 4, w // 4)))
"""


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (WIDE, "Gates, dim 64 → 128, input float32[2, 64, dim]"),
        (UNFOLDED, "Stages, dims 64 → 128, input float32[2, 3, 32, 32]"),
    ],
)
def test_a_sequence_of_the_full_length_and_an_image_that_is_unfolded(tmp_path: Path, text: str, described: str) -> None:
    target = resolve(write(tmp_path, HEAD + text))
    assert target.describe == described
    drive(target)


TAKEN_BY_METHODS = """class Filling(nn.Module):
    def __init__(self, d_model=64, **kwargs):
        super().__init__()
        self.doubled, self.first = kwargs["doubled"], nn.Embedding(50, d_model)
        self.mix, self.last = nn.Linear(d_model, d_model), nn.Linear(d_model, kwargs.pop("kinds", 4))

    def fill(self, given):
        return self.last(self.mix(self.first(given["ids"])).relu())

    def forward(self, batch, stage):
        out = self.fill(batch)
        return 2 * out if self.doubled and stage == "train" else out
"""
POLICY = """class Policy(nn.Module):
    def __init__(self, hidden_dim=64):
        super().__init__()
        self.first, self.mix = nn.Linear(12, hidden_dim), nn.Linear(hidden_dim, hidden_dim)
        self.last = nn.Linear(hidden_dim, 3)

    def forward(self, obs):
        return torch.distributions.Normal(self.last(self.mix(self.first(obs).relu()).relu()), 0.1)
"""
SIZED_BY_NUMPY = """class Net(nn.Module):
    def __init__(self, hidden_dim=64):
        super().__init__()
        self.first, self.mix = nn.Linear(np.prod((3, 4)), hidden_dim), nn.Linear(hidden_dim, hidden_dim)
        self.last = nn.Linear(hidden_dim, 3)

    def forward(self, x):
        return self.last(self.mix(self.first(x.flatten(1)).relu()).relu())
"""


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (TAKEN_BY_METHODS, "Filling, d_model 64 → 128, input ids int64[2, 32]"),
        (POLICY, "Policy, hidden_dim 64 → 128, input float32[4, 12]"),
        (SIZED_BY_NUMPY, "Net, hidden_dim 64 → 128, input float32[4, 12]"),
    ],
)
def test_entries_that_methods_take_distributions_that_are_returned_and_sizes_of_numpy(
    tmp_path: Path, text: str, described: str
) -> None:
    """A constructor's `kwargs["doubled"]` is an argument of it, and a switch; `kinds` has a default."""
    target = resolve(write(tmp_path, HEAD + text))
    assert target.describe == described
    drive(target)


HANDED_ON = """class Encoder(nn.Module):
    def __init__(self, device: torch.device, dtype: torch.dtype, width=64):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8, device=device, dtype=dtype)
        self.mid, self.head = nn.Linear(width, width, dtype=dtype), nn.Linear(width, 10, dtype=dtype)

    def features(self, x, masks=None):
        return self.mid(self.patches(x).flatten(2).mean(-1)).relu()

    def forward(self, *args, pooled=True, **kwargs):
        return self.head(self.features(*args, **kwargs))
"""


def test_a_forward_that_hands_everything_on_takes_what_the_method_takes(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, HEAD + HANDED_ON))
    drive(target)
    assert [each.dtype for each in target.build(target.sizes(0), 0).parameters()] == [torch.float32] * 6
    assert "float32[2, 3, 32, 32]" in target.describe
    assert any("dtype=torch.float32" in note for note in target.notes)


ELSEWHERE = """from sizes import *


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(mel_n_channels, enc_hidden_size, batch_first=True)
        self.head = nn.Linear(enc_hidden_size, enc_embedding_size)

    def forward(self, x):
        return self.head(self.rnn(x)[0])
"""


def test_sizes_that_another_file_holds_are_arguments_and_stay_where_they_are_held(tmp_path: Path) -> None:
    """What is tried for one of them is not left behind in the file's variables."""
    write(tmp_path, "enc_hidden_size, enc_embedding_size, mel_n_channels = 96, 24, 20\n", "sizes.py")
    target = resolve(write(tmp_path, HEAD + ELSEWHERE))
    drive(target)
    assert [axis.name for axis in target.axes] == ["enc_hidden_size"]
    model = target.build(target.sizes(1), 0)
    assert (model.rnn.input_size, model.rnn.hidden_size, model.head.out_features) == (20, 128, 24)


def test_a_time_that_is_annotated_as_a_float_is_none_of_whole_steps(tmp_path: Path) -> None:
    text = """class Denoiser(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.first, self.times, self.last = nn.Linear(8, dim), nn.Linear(1, dim), nn.Linear(dim, 8)

    def forward(self, x, time: "float['b'] | float['']"):
        return self.last(self.first(x) + self.times(time.reshape(-1, 1).float()).relu())
"""
    target = resolve(write(tmp_path, HEAD + text))
    assert target.describe.endswith("float32[4, 8], float32[4]")


SPARSE = """class Conv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.lin = nn.Linear(inputs, outputs)

    def forward(self, x, edge_index):
        row, col = edge_index
        return torch.zeros_like(x).index_add(0, row, x[col]) @ self.lin.weight.T


class Graph(nn.Module):
    def __init__(self, in_channels, hidden_channels, out_channels, num_layers):
        super().__init__()
        sizes = [in_channels] + [hidden_channels] * (num_layers - 1) + [out_channels]
        self.convs = nn.ModuleList(Conv(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

    def forward(self, x, adj_t):
        for conv in self.convs[:-1]:
            x = conv(x, adj_t).relu()
        return self.convs[-1](x, adj_t)
"""


def test_an_adjacency_may_be_a_list_of_edges(tmp_path: Path) -> None:
    target = resolve(write(tmp_path, HEAD + SPARSE))
    drive(target)
    assert "int64[2, 16]" in target.describe


def test_three_question_marks_in_a_configuration_are_no_value(tmp_path: Path) -> None:
    text = """class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.first, self.last = nn.Linear(8, cfg.latent_dim), nn.Linear(cfg.latent_dim, 8 if cfg.multi else 4)

    def forward(self, x):
        return self.last(self.first(x).relu())
"""
    write(tmp_path, "latent_dim: 64\nmulti: ???\n", "config.yaml")
    target = resolve(write(tmp_path, HEAD + text))
    assert not any("???" in note for note in target.notes)
    assert target.build(target.sizes(0), 0).last.out_features == 4


def test_tokens_to_which_a_forward_adds_stay_within_its_table(tmp_path: Path) -> None:
    text = """class Reader(nn.Module):
    def __init__(self, symbols=40, dim=64):
        super().__init__()
        self.embed, self.last = nn.Embedding(symbols + 1, dim), nn.Linear(dim, 8)

    def forward(self, text):
        return self.last(self.embed(text + 1).relu())
"""
    drive(resolve(write(tmp_path, HEAD + text)))
