"""What a forward is called with: by the layer that reads an argument, by its name, by what the constructor says."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import drive, write

from muaudit.targets import resolve

HEAD = """\
import math
import torch
from torch import nn
from torch.nn import functional as F

"""
UNET = """
class Res(nn.Module):
    def __init__(self, i, o, t):
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(8, i), nn.Conv2d(i, o, 3, padding=1)
        self.time, self.skip = nn.Linear(t, o), nn.Conv2d(i, o, 1)

    def forward(self, x, t):
        return self.skip(x) + self.conv(F.silu(self.norm(x))) + self.time(F.silu(t))[:, :, None, None]


class UNet(nn.Module):
    def __init__(self, in_ch=3, base_channels=64):
        super().__init__()
        c = self.c = base_channels
        self.time = nn.Sequential(nn.Linear(c, 4 * c), nn.SiLU(), nn.Linear(4 * c, 4 * c))
        self.inp, self.a, self.b = nn.Conv2d(in_ch, c, 3, padding=1), Res(c, 2 * c, 4 * c), Res(3 * c, c, 4 * c)
        self.down, self.up = nn.Conv2d(2 * c, 2 * c, 3, 2, 1), nn.Upsample(scale_factor=2)
        self.out = nn.Conv2d(c, in_ch, 3, padding=1)

    def forward(self, x, t):
        freqs = torch.exp(-torch.arange(self.c // 2) * 9.2 / (self.c // 2))
        e = t[:, None].float() * freqs
        t = self.time(torch.cat([e.sin(), e.cos()], 1))
        x = self.inp(x)
        return self.out(self.b(torch.cat([self.up(self.down(self.a(x, t))), x], 1), t))
"""
PATCHES = """
class Rearrange(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        b, c, h, w = x.shape
        p = self.p
        x = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(b, (h // p) * (w // p), p * p * c)


class ViT(nn.Module):
    def __init__(self, image_size, patch_size, num_classes, dim, channels=3):
        super().__init__()
        self.to_patches = nn.Sequential(Rearrange(patch_size), nn.Linear(channels * patch_size**2, dim))
        self.mix, self.head = nn.Linear(dim, dim), nn.Linear(dim, num_classes)

    def forward(self, img):
        return self.head(self.mix(self.to_patches(img)).relu().mean(1))
"""
GRAPH = """
class GCN(nn.Module):
    def __init__(self, in_features, hidden, num_classes):
        super().__init__()
        self.one, self.two = nn.Linear(in_features, hidden), nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x, adj):
        x = F.relu(torch.mm(adj, self.one(x)))
        return self.head(F.relu(torch.mm(adj, self.two(x))))
"""
EDGES = """
class SAGE(nn.Module):
    def __init__(self, in_features, hidden, num_classes):
        super().__init__()
        self.one, self.two = nn.Linear(in_features, hidden), nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x, edge_index, batch):
        source, target = edge_index
        x = self.one(x)
        x = F.relu(self.two(x + torch.zeros_like(x).index_add(0, target, x[source])))
        pooled = torch.zeros(int(batch.max()) + 1, x.shape[1]).index_add(0, batch, x)
        return self.head(pooled)
"""
SPEECH = """
class Speech(nn.Module):
    def __init__(self, n_mels=80, d_model=256, vocab_size=40):
        super().__init__()
        self.conv = nn.Conv1d(n_mels, d_model, 3, padding=1)
        self.mid, self.head = nn.Linear(d_model, d_model), nn.Linear(d_model, vocab_size)

    def forward(self, mel, mel_lengths):
        x = self.conv(mel).transpose(1, 2)
        kept = torch.arange(x.shape[1])[None] < mel_lengths[:, None]
        assert bool(kept.any(1).all()) and int(mel_lengths.max()) <= x.shape[1]
        return self.head(self.mid(x * kept[:, :, None]).relu())
"""
CONDITIONED = """
class DiT(nn.Module):
    def __init__(self, input_size=32, patch_size=2, in_channels=4, hidden_size=64, num_classes=1000):
        super().__init__()
        self.side, self.width = input_size, hidden_size
        self.x_embedder = nn.Conv2d(in_channels, hidden_size, patch_size, patch_size)
        self.pos = nn.Parameter(torch.zeros(1, (input_size // patch_size) ** 2, hidden_size))
        self.y_embedder = nn.Embedding(num_classes, hidden_size)
        self.t_embedder = nn.Linear(1, hidden_size)
        self.mix, self.head = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, in_channels)

    def forward(self, x, t, y):
        x = self.x_embedder(x).flatten(2).transpose(1, 2) + self.pos
        c = self.t_embedder(t[:, None].float()) + self.y_embedder(y)
        return self.head(self.mix(x + c[:, None]).relu())
"""
CROSS = """
class Decoder(nn.Module):
    def __init__(self, vocab_size=100, dim=64, context_dim=48):
        super().__init__()
        self.emb, self.q = nn.Embedding(vocab_size, dim), nn.Linear(dim, dim)
        self.kv, self.head = nn.Linear(context_dim, 2 * dim), nn.Linear(dim, vocab_size)

    def forward(self, tokens, context):
        x = self.emb(tokens)
        b, s, d = context.shape
        k, v = self.kv(context).chunk(2, -1)
        return self.head(x + (self.q(x) @ k.transpose(1, 2) / x.shape[-1]).softmax(-1) @ v)
"""
OPTIONAL = """
class Denoiser(nn.Module):
    def __init__(self, in_channels=2, width=64):
        super().__init__()
        self.inp, self.time = nn.Conv2d(in_channels, width, 3, padding=1), nn.Linear(1, width)
        self.mid, self.out = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, in_channels, 1)

    def forward(self, x, timesteps=None, y=None):
        h = self.inp(x) + self.time(timesteps[:, None].float())[:, :, None, None]
        return self.out(self.mid(h.relu()).relu())
"""
SERIES = """
class Mix(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x):
        return x + self.attention(x, x, x)[0]


class Forecaster(nn.Module):
    def __init__(self, n_features=7, seq_len=48, d_model=64):
        super().__init__()
        self.inp, self.mix, self.head = nn.Linear(n_features, d_model), Mix(d_model), nn.Linear(d_model, 1)

    def forward(self, series):
        return self.head(self.mix(self.inp(series)))
"""
TYPED = """
class Net(nn.Module):
    def __init__(self, width=64, n_features=16):
        super().__init__()
        self.inp, self.mid, self.head = nn.Linear(n_features, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, x: "Float[Tensor, 'batch time feature']", causal: bool, heads: int):
        return self.head(self.mid(self.inp(x)).relu())
"""
BODY = """
class Body(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return self.b(self.a(x).relu())
"""
STATE = """
class RNNLM(nn.Module):
    def __init__(self, ntoken=100, nhid=64):
        super().__init__()
        self.nhid, self.emb, self.rnn = nhid, nn.Embedding(ntoken, nhid), nn.LSTM(nhid, nhid)
        self.head = nn.Linear(nhid, ntoken)

    def forward(self, input, hidden):
        x, hidden = self.rnn(self.emb(input), hidden)
        return self.head(x), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return weight.new_zeros(1, bsz, self.nhid), weight.new_zeros(1, bsz, self.nhid)
"""
SEGMENTS = """
class Segment(nn.Embedding):
    def __init__(self, width):
        super().__init__(3, width, padding_idx=0)


class Bert(nn.Module):
    def __init__(self, vocab_size=100, hidden=64):
        super().__init__()
        self.token, self.segment = nn.Embedding(vocab_size, hidden), Segment(hidden)
        self.mid, self.head = nn.Linear(hidden, hidden), nn.Linear(hidden, vocab_size)

    def forward(self, x, segment_info):
        return self.head(self.mid(self.token(x) + self.segment(segment_info)).relu())
"""
MARKS = """
class Forecaster(nn.Module):
    def __init__(self, enc_in, dec_in, seq_len=48, label_len=24, pred_len=12, d_model=64):
        super().__init__()
        self.past, self.known = nn.Conv1d(enc_in, d_model, 3, padding=1), nn.Linear(dec_in, d_model)
        self.hour, self.day = nn.Embedding(24, d_model), nn.Embedding(7, d_model)
        self.mid, self.head = nn.Linear(seq_len + label_len + pred_len, d_model), nn.Linear(d_model, 1)

    def time(self, marks):
        marks = marks.long()
        return self.hour(marks[:, :, 3]) + self.day(marks[:, :, 2])

    def forward(self, x_enc, x_mark_enc, x_dec, x_mark_dec):
        past = self.past(x_enc.permute(0, 2, 1)).transpose(1, 2) + self.time(x_mark_enc)
        known = self.known(x_dec) + self.time(x_mark_dec)
        return self.head(self.mid(torch.cat([past, known], 1).transpose(1, 2)).relu().transpose(1, 2))
"""
ENTRIES = """
class TwoTower(nn.Module):
    def __init__(self, n_users=100, user_features=6, hidden_dim=64):
        super().__init__()
        self.emb, self.inp = nn.Embedding(n_users, hidden_dim), nn.Linear(hidden_dim + user_features, hidden_dim)
        self.head = nn.Linear(hidden_dim, 1)

    def forward(self, batch):
        return self.head(self.inp(torch.cat([self.emb(batch["user_id"]), batch["user_features"]], -1)).relu())
"""
FIELDS = """
class GraphNet(nn.Module):
    def __init__(self, num_features=7, hidden=64):
        super().__init__()
        self.inp, self.mid, self.head = nn.Linear(num_features, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3)

    def forward(self, data):
        x, edge_index, batch = data.x, data.edge_index, data.batch
        x = self.inp(x).relu()
        x = torch.zeros_like(x).index_add(0, edge_index[1], self.mid(x)[edge_index[0]])
        return self.head(torch.zeros_like(x).index_add(0, batch, x))
"""
PLACES = """
class Decisions(nn.Module):
    def __init__(self, state_dim=5, act_dim=3, hidden_size=64, max_ep_len=100):
        super().__init__()
        self.t, self.r, self.s = nn.Embedding(max_ep_len, hidden_size), nn.Linear(1, hidden_size), nn.Linear(
            state_dim, hidden_size)
        self.a, self.mix, self.head = nn.Linear(act_dim, hidden_size), nn.Linear(hidden_size, hidden_size), nn.Linear(
            hidden_size, act_dim)

    def forward(self, states, actions, returns_to_go, timesteps):
        x = torch.stack((self.r(returns_to_go), self.s(states), self.a(actions)), 1) + self.t(timesteps)[:, None]
        b, k, t, d = x.shape
        return self.head(self.mix(x.permute(0, 2, 1, 3).reshape(b, k * t, d)).relu())
"""
LATENTS = """
class Generator(nn.Module):
    def __init__(self, nz=20, ngf=64):
        super().__init__()
        self.main = nn.Sequential(nn.ConvTranspose2d(nz, ngf, 4, 1, 0), nn.ReLU(),
                                  nn.ConvTranspose2d(ngf, ngf, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(ngf, 3, 4, 2, 1))

    def forward(self, input):
        return self.main(input)
"""
METHODS = """
class Captioner(nn.Module):
    def __init__(self, num_tokens=100, dim=64):
        super().__init__()
        self.emb, self.img, self.head = nn.Embedding(num_tokens, dim), nn.Linear(48, dim), nn.Linear(dim, num_tokens)

    def embed_image(self, images=None, image_tokens=None):
        return self.img(image_tokens).mean(1)

    def forward(self, text, images=None, image_tokens=None):
        return self.head(self.emb(text) + self.embed_image(images=images, image_tokens=image_tokens)[:, None])
"""
READ = {
    "unet": (UNET, "UNet, base_channels 32 → 64, input float32[2, 3, 32, 32], int64[2]"),
    "patches": (PATCHES, "ViT, dim 64 → 128, input float32[2, 3, 32, 32]"),
    "graph": (GRAPH, "GCN, hidden 64 → 128, input float32[4, 32], float32[4, 4]"),
    "edges": (EDGES, "SAGE, hidden 64 → 128, input float32[4, 32], int64[2, 16], int64[4]"),
    "speech": (SPEECH, "Speech, d_model 64 → 128, input float32[2, 80, 128], int64[2]"),
    "conditioned": (CONDITIONED, "DiT, hidden_size 64 → 128, input float32[2, 4, 32, 32], int64[2], int64[2]"),
    "cross": (CROSS, "Decoder, dim 64 → 128, input int64[2, 32], float32[2, 32, 48]"),
    "optional": (OPTIONAL, "Denoiser, width 64 → 128, input float32[2, 2, 32, 32], timesteps int64[2]"),
    "series": (SERIES, "Forecaster, d_model 64 → 128, input float32[2, 32, 7]"),
    "state": (STATE, "RNNLM, nhid 64 → 128, input int64[2, 32]"),
    "segments": (SEGMENTS, "Bert, hidden 64 → 128, input int64[2, 32], int64[2, 32]"),
    "marks": (
        MARKS,
        "Forecaster, d_model 64 → 128, input float32[2, 48, 32], int64[2, 48, 5], float32[2, 36, 32], int64[2, 36, 5]",
    ),
    "entries": (ENTRIES, "TwoTower, hidden_dim 64 → 128, input user_id int64[2, 32], user_features float32[2, 32, 6]"),
    "fields": (FIELDS, "GraphNet, hidden 64 → 128, input x float32[4, 7], edge_index int64[2, 16], batch int64[4]"),
    "places": (
        PLACES,
        "Decisions, hidden_size 64 → 128, input float32[2, 32, 5], float32[2, 32, 3], float32[2, 32, 1], int64[2, 32]",
    ),
    "latents": (LATENTS, "Generator, ngf 32 → 64, input float32[2, 20, 1, 1]"),
    "methods": (METHODS, "Captioner, dim 64 → 128, input int64[2, 32], image_tokens float32[2, 32, 48]"),
    "typed": (TYPED, "Net, width 64 → 128, input float32[2, 32, 16]"),
}


@pytest.mark.parametrize("name", READ)
def test_every_argument_gets_what_it_is_read_as(name: str, tmp_path: Path) -> None:
    text, described = READ[name]
    target = resolve(write(tmp_path, HEAD + text))
    assert target.describe == described
    drive(target)


def test_a_size_that_only_happens_to_differ_between_two_models_does_not_grow(tmp_path: Path) -> None:
    """Any side runs here, and the linear layer of the time grows past the squares 4, 9, 16, ...: no list of guesses of
    one model may be paired with those of the other by their places."""
    target = resolve(write(tmp_path, HEAD + UNET))
    narrow, wide = (target.inputs(target.sizes(probe)) for probe in (0, 3))
    assert [each.shape for each in narrow.args] == [each.shape for each in wide.args]


def test_an_input_goes_with_the_width_where_nothing_else_runs(tmp_path: Path) -> None:
    text = HEAD + BODY
    assert resolve(write(tmp_path, text)).describe == "Body, width 64 → 128, input float32[4, width]"
