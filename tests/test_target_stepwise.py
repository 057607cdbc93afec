"""Inputs of several tensors that a forward is brought to take by what its failures say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.driving import drive, write
from torch import nn

from muaudit.errors import UserError
from muaudit.targets import resolve
from muaudit.targets.stepwise import OperationsRun

HEAD = "import torch\nfrom torch import nn\n\n\n"
EDGES = """class Relational(nn.Module):
    def __init__(self, n_in, n_hid, n_out):
        super().__init__()
        self.node, self.edge = nn.Linear(n_in, n_hid), nn.Linear(2 * n_hid, n_hid)
        self.last = nn.Linear(n_hid, n_out)

    def forward(self, inputs, rel_rec, rel_send):
        x = self.node(inputs.view(inputs.size(0), inputs.size(1), -1)).relu()
        edges = torch.cat([torch.matmul(rel_send, x), torch.matmul(rel_rec, x)], dim=2)
        return self.last(torch.matmul(rel_rec.t(), self.edge(edges).relu()))
"""
SERIES = """class Imputer(nn.Module):
    def __init__(self, n_steps=12, n_features=5, d_model=64):
        super().__init__()
        self.places = nn.Parameter(torch.zeros(n_steps, d_model))
        self.first, self.mix, self.last = (
            nn.Linear(2 * n_features, d_model), nn.Linear(d_model, d_model), nn.Linear(d_model, n_features)
        )

    def forward(self, inputs):
        x, missing = inputs["X"], inputs["missing_mask"]
        made = self.last(self.mix(self.first(torch.cat([x, missing], dim=2)) + self.places).relu())
        held = missing * x + (1 - missing) * made
        return held * inputs["indicating_mask"]
"""
FEATURES = """class Pairing(nn.Module):
    def __init__(self, d_model=64):
        super().__init__()
        self.attend = nn.MultiheadAttention(d_model, 4)
        self.norm, self.mix = nn.LayerNorm(d_model), nn.Linear(d_model, d_model)

    def forward(self, src, mask, query_embed, pos_embed):
        bs, c, h, w = src.shape
        src = src.flatten(2).permute(2, 0, 1)
        pos_embed = pos_embed.flatten(2).permute(2, 0, 1)
        query_embed = query_embed.unsqueeze(1).repeat(1, bs, 1)
        found = self.attend(query_embed, src + pos_embed, src, key_padding_mask=mask.flatten(1))[0]
        return self.mix(self.norm(found))
"""
HIDDEN = """class Masked(nn.Module):
    def __init__(self, img_size=64, patch_size=16, embed_dim=64):
        super().__init__()
        self.img_size = img_size
        self.patches = nn.Conv3d(3, embed_dim, (2, patch_size, patch_size), (2, patch_size, patch_size))
        self.places = nn.Parameter(torch.zeros(1, 8 * (img_size // patch_size) ** 2, embed_dim))
        self.mix, self.last = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, 10)

    def forward(self, x, mask):
        b, c, t, h, w = x.shape
        assert h == self.img_size and w == self.img_size
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.last(self.mix(x[~mask].reshape(b, -1, x.shape[2])).relu())
"""
PARTS = """class Joined(nn.Module):
    def __init__(self, channels=6, context=7, sizes=(4, 12, 16), dim=64):
        super().__init__()
        self.sizes = list(sizes)
        self.read, self.told, self.mix = nn.Linear(channels, dim), nn.Linear(context, dim), nn.Linear(dim, dim)
        self.strength, self.last = nn.Linear(1, dim), nn.Linear(dim, channels)

    def forward(self, img, img_ids, txt, txt_ids, guidance=None):
        if guidance is None:
            raise ValueError("no guidance was given")
        ids = torch.cat((txt_ids, img_ids), dim=1)
        places = torch.cat([ids[..., i : i + 1].expand(-1, -1, self.sizes[i]) for i in range(ids.shape[-1])], dim=-1)
        x = torch.cat((self.told(txt), self.read(img)), dim=1) + self.strength(guidance[:, None])[:, None]
        x = self.mix(x).view(x.shape[0], x.shape[1], -1, places.shape[-1]) * places.sin()[:, :, None]
        return self.last(x.flatten(2).relu())
"""
SHOWN = {
    "edges": (EDGES, "Relational, n_hid 64 → 128, input float32[2, 34, 32], float32[2, 34], float32[2, 34]"),
    "series": (SERIES, "X float32[4, 12, 5], missing_mask float32[4, 12, 5], indicating_mask float32[4, 12, 5]"),
    "features": (
        FEATURES,
        "float32[2, d_model, 22, 26], bool[2, 572], float32[2, d_model], float32[2, d_model, 22, 26]",
    ),
    "hidden": (HIDDEN, "input float32[2, 3, 16, 64, 64], bool[2, 128]"),
    "parts": (PARTS, "float32[2, 26, 6], float32[2, 26, 3], float32[2, 58, 7], float32[2, 58, 3], guidance float32[2]"),
}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_input_is_put_together_from_what_the_failures_say(name: str, tmp_path: Path) -> None:
    code, shown = SHOWN[name]
    target = resolve(write(tmp_path, HEAD + code))
    assert shown in target.describe
    drive(target)


def test_what_nothing_helps_stays_refused_in_seconds(tmp_path: Path) -> None:
    code = EDGES.replace("self.node(inputs", "self.node(rel_send.lookup(inputs)")
    with pytest.raises(UserError, match="no input was found that Relational accepts"):
        resolve(write(tmp_path, HEAD + code))


def test_a_tensor_that_no_small_input_leads_to_ends_a_try() -> None:
    with OperationsRun() as watched, torch.device("meta"):
        nn.Linear(8, 8)(torch.ones(10, 8))
        assert watched.ran > 2
        with pytest.raises(Exception, match="a tensor of 1000000000 numbers"):
            torch.ones(10**9)
