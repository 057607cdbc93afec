"""What a forward is called with, by what its text and its docstring say, and arguments that nothing is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import write

from muaudit.targets import resolve

HEAD = "import torch\nfrom torch import nn\n\n\n"
SWITCH = """class Tagger(nn.Module):
    def __init__(self, hidden_dim=64):
        super().__init__()
        self.first, self.mix, self.last = nn.Linear(16, hidden_dim), nn.Linear(hidden_dim, 64), nn.Linear(64, 4)

    def forward(self, x, augment, mode):
        if augment == True:
            x = x + torch.randn_like(x)
        h = self.mix(self.first(x).relu()).relu()
        return self.last(h) if mode == "train" else h
"""
SOUND = """class MelSpectrogram(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(400))

    def forward(self, sound):
        found = torch.stft(sound, 400, 160, window=self.window, return_complex=True).abs()
        return (found[:, :64] + 1e-6).log()


class Speaker(nn.Module):
    def __init__(self, channels=64):
        super().__init__()
        self.front, self.first = MelSpectrogram(), nn.Conv1d(64, channels, 3, padding=1)
        self.mix, self.last = nn.Conv1d(channels, channels, 3, padding=1), nn.Linear(channels, 10)

    def forward(self, x):
        x = self.front(x)
        return self.last(self.mix(self.first(x).relu()).relu().mean(-1))
"""
ASSERTED = """class Vocoder(nn.Module):
    def __init__(self, residual_channels=64, n_mels=80, noise_schedule=(0.1, 0.2, 0.3)):
        super().__init__()
        self.first = nn.Conv1d(1, residual_channels, 1)
        self.up = nn.ConvTranspose1d(n_mels, residual_channels, 256, 256)
        self.steps = nn.Parameter(torch.randn(len(noise_schedule), residual_channels))
        self.mix = nn.Conv1d(residual_channels, residual_channels, 3, padding=1)
        self.last = nn.Conv1d(residual_channels, 1, 1)

    def forward(self, audio, diffusion_step, spectrogram=None):
        assert spectrogram is not None
        x = audio.unsqueeze(1)
        x = self.first(x) + self.up(spectrogram) + self.steps[diffusion_step][:, :, None]
        return self.last(self.mix(x.relu()).relu())
"""
PLACES = """class Imputer(nn.Module):
    def __init__(self, channels=64, inputdim=2, side_dim=5):
        super().__init__()
        self.first, self.side = nn.Conv1d(inputdim, channels, 1), nn.Conv1d(side_dim, channels, 1)
        self.mix, self.last = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, 1, 1)

    def forward(self, x, cond_info):
        B, inputdim, K, L = x.shape
        _, cond_dim, _, _ = cond_info.shape
        x = self.first(x.reshape(B, inputdim, K * L)) + self.side(cond_info.reshape(B, cond_dim, K * L))
        return self.last(self.mix(x.relu()).relu()).reshape(B, K, L)
"""
BESIDE = """class Denoiser(nn.Module):
    def __init__(self, dim=64, in_channels=4, text_dim=32):
        super().__init__()
        self.first, self.text = nn.Linear(in_channels * 4, dim), nn.Linear(text_dim, dim)
        self.mix, self.last = nn.Linear(dim, dim), nn.Linear(dim, in_channels * 4)

    def patches(self, x):
        b, c, h, w = x.size()
        return x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def forward(self, x, conds):
        b, c, h, w = x.shape
        x = self.first(self.patches(x))
        return self.last(self.mix((x + self.text(conds["words"][0:b]).mean(1, keepdim=True)).relu()).relu())
"""
WRITTEN = '''class Crystal(nn.Module):
    def __init__(self, atom_fea_len=64, h_fea_len=128, orig_fea_len=9, nbr_fea_len=5):
        super().__init__()
        self.embed = nn.Linear(orig_fea_len, atom_fea_len)
        self.join = nn.Linear(atom_fea_len + nbr_fea_len, atom_fea_len)
        self.mix, self.last = nn.Linear(atom_fea_len, h_fea_len), nn.Linear(h_fea_len, 1)

    def forward(self, atom_fea, nbr_fea, nbr_fea_idx, crystal_idx):
        """
        atom_fea: Tensor shape (N, orig_fea_len)
        nbr_fea: Tensor shape (N, M, nbr_fea_len)
        nbr_fea_idx: torch.LongTensor shape (N, M)
        crystal_idx: list of torch.LongTensor
        """
        h = self.embed(atom_fea)
        h = self.join(torch.cat((h[nbr_fea_idx], nbr_fea), -1)).relu().sum(1)
        return self.last(self.mix(torch.stack([h[idx].mean(0) for idx in crystal_idx])).relu())
'''
TIED = """class Writer(nn.Module):
    def __init__(self, input_size, output_size, num_channels):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(output_size, input_size), nn.Linear(input_size, output_size)
        sizes = [input_size, *num_channels]
        self.layers = nn.ModuleList(nn.Linear(sizes[i], sizes[i + 1]) for i in range(len(num_channels)))
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        h = self.encoder(x)
        for layer in self.layers:
            h = layer(h).relu()
        return self.decoder(h)
"""
GRAPH = """class Traffic(nn.Module):
    def __init__(self, num_nodes=7, seq_length=12, in_dim=2, residual_channels=32):
        super().__init__()
        self.places = nn.Parameter(torch.randn(num_nodes, 1))
        self.seq_length, self.first = seq_length, nn.Conv2d(in_dim, residual_channels, (1, 1))
        self.mix = nn.Conv2d(residual_channels, residual_channels, (1, 3))
        self.last = nn.Conv2d(residual_channels, 1, (1, seq_length - 2))

    def forward(self, input):
        assert input.size(3) == self.seq_length
        return self.last(self.mix((self.first(input) + self.places).relu()).relu())
"""
MASKED = """class Encoder(nn.Module):
    def __init__(self, hidden_channels, n_layers=2):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(hidden_channels, hidden_channels, 3, padding=1) for _ in range(n_layers))

    def forward(self, x, x_mask):
        mask = x_mask.unsqueeze(2) * x_mask.unsqueeze(-1)
        for layer in self.layers:
            x = layer(x * x_mask).relu() + mask.mean()
        return x
"""
SHAPED = """class Video(nn.Module):
    def __init__(self, in_shape, hid_S=16):
        super().__init__()
        T, C, H, W = in_shape
        self.first, self.mix = nn.Conv2d(C, hid_S, 3, padding=1), nn.Conv2d(hid_S, hid_S, 3, padding=1)
        self.last = nn.Conv2d(hid_S, C, 3, padding=1)

    def forward(self, x_raw):
        B, T, C, H, W = x_raw.shape
        x = self.mix(self.first(x_raw.view(B * T, C, H, W)).relu()).relu()
        return self.last(x).view(B, T, C, H, W)
"""
ADJACENT = """class Former(nn.Module):
    def __init__(self, in_channels, hidden_channels, out_channels):
        super().__init__()
        self.first, self.mix = nn.Linear(in_channels, hidden_channels), nn.Linear(hidden_channels, hidden_channels)
        self.last = nn.Linear(hidden_channels, out_channels)

    def forward(self, x, adjs):
        h = self.first(x)
        for adj in adjs:
            row, col = adj
            h = self.mix(h.index_add(0, row, h[col])).relu()
        return self.last(h)
"""
VIEWED = """class Series(nn.Module):
    def __init__(self, P=24, m=3, hidden_dim=64):
        super().__init__()
        self.P, self.m, self.first = P, m, nn.Conv2d(1, hidden_dim, (6, 3))
        self.mix, self.last = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, m)

    def forward(self, x):
        x = x.view(-1, 1, self.P, self.m)
        return self.last(self.mix(self.first(x).relu().mean((2, 3))).relu())
"""
PAIRED = """class Tabular(nn.Module):
    def __init__(self, *, d_in: int, d_block: int, d_hidden: "None | int", d_multiplier: "None | float"):
        super().__init__()
        d_hidden = int(d_block * d_multiplier) if d_hidden is None else d_hidden
        self.first, self.last = nn.Linear(d_in, d_block), nn.Linear(d_block, 1)
        self.up, self.down = nn.Linear(d_block, d_hidden), nn.Linear(d_hidden, d_block)

    def forward(self, x):
        x = self.first(x)
        return self.last(x + self.down(self.up(x).relu()))
"""
WINDOWS = """class Restorer(nn.Module):
    def __init__(self, img_size=64, in_chans=3, embed_dim=64, window_size=7):
        super().__init__()
        self.size, self.window, self.first = img_size, window_size, nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        torch.zeros(1, img_size, img_size, 1).view(1, img_size // window_size, window_size, -1, window_size, 1)
        self.mix, self.last = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, in_chans)

    def forward(self, x):
        x = self.first(x)
        b, c, h, w = x.shape
        x = x.view(b, c, h // self.window, self.window, w // self.window, self.window).permute(0, 2, 4, 3, 5, 1)
        return self.last(self.mix(x).relu())
"""
HIDDEN = '''class Encoder(nn.Module):
    def __init__(self, feat_dim=9, d_model=64):
        super().__init__()
        self.first, self.mix = nn.Linear(feat_dim, d_model), nn.Linear(d_model, d_model)
        self.last = nn.Linear(d_model, 1)

    def forward(self, X, padding_masks):
        """
        X: (batch_size, seq_length, feat_dim) torch tensor
        padding_masks: (batch_size, seq_length) boolean tensor, 1 means keep
        """
        h = self.mix(self.first(X).relu()).relu()
        return self.last(h.masked_fill(~padding_masks.unsqueeze(-1), 0))
'''
STATES = """class Scan(nn.Module):
    def __init__(self, d_model=64, d_state=16):
        super().__init__()
        self.first, self.mix, self.last = nn.Linear(8, d_model), nn.Linear(d_model, d_model), nn.Linear(d_model, 8)
        self.states, self.back = nn.Linear(d_model, d_state), nn.Linear(d_state, d_model)

    def forward(self, x):
        x = self.mix(self.first(x).relu()).relu()
        return self.last(x + self.back(self.states(x)))
"""
SHOWN = {
    "states": (STATES, "Scan, d_model 64 → 128, input float32[4, 8]"),
    "hidden": (HIDDEN, "Encoder, d_model 64 → 128, input float32[2, 32, 9], bool[2, 32]"),
    "paired": (PAIRED, "Tabular, d_hidden 64 → 128, d_block 64 → 128, input float32[4, 32]"),
    "windows": (WINDOWS, "Restorer, embed_dim 64 → 128, input float32[2, 3, 70, 70]"),
    "viewed": (VIEWED, "Series, hidden_dim 64 → 128, input float32[2, 24, 3]"),
    "graph": (GRAPH, "Traffic, residual_channels 32 → 64, input float32[2, 2, 7, 12]"),
    "masked": (
        MASKED,
        "Encoder, hidden_channels 64 → 128, input float32[2, hidden_channels, 128], float32[2, 1, 128]",
    ),
    "shaped": (SHAPED, "Video, hid_S 64 → 128, input float32[2, 4, 3, 32, 32]"),
    "adjacent": (ADJACENT, "Former, hidden_channels 64 → 128, input float32[4, 3]"),
    "switch": (SWITCH, "Tagger, hidden_dim 64 → 128, input float32[4, 16]"),
    "sound": (SOUND, "Speaker, channels 32 → 64, input float32[2, 16384]"),
    "asserted": (
        ASSERTED,
        "Vocoder, residual_channels 32 → 64, input float32[2, 8192], int64[2], spectrogram float32[2, 80, 32]",
    ),
    "places": (PLACES, "Imputer, channels 32 → 64, input float32[2, 2, 16, 16], float32[2, 5, 16, 16]"),
    "beside": (BESIDE, "Denoiser, dim 64 → 128, input float32[2, 4, 32, 32], words float32[2, 32, 32]"),
    "written": (
        WRITTEN,
        "Crystal, atom_fea_len 64 → 128, h_fea_len 128 → 256, input float32[4, 9], float32[4, 7, 5], int64[4, 7]",
    ),
    "tied": (TIED, "Writer, num_channels 32 → 64, input_size 32 → 64, input int64[2, 32]"),
}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_what_a_forward_says_of_its_arguments_is_what_it_is_called_with(name: str, tmp_path: Path) -> None:
    code, shown = SHOWN[name]
    assert resolve(write(tmp_path, HEAD + code)).describe == shown


def test_an_argument_that_nothing_is_made_of_may_be_nothing(tmp_path: Path) -> None:
    code = SWITCH.replace("hidden_dim=64", "rnn_type, hidden_dim=64").replace(", augment, mode", "")
    code = code.replace("if augment == True:", "if self.training:").replace(' if mode == "train" else h', "")
    assert resolve(write(tmp_path, HEAD + code)).describe.startswith("Tagger, hidden_dim 64 → 128")


def test_configurations_below_the_folder_of_a_model_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "base.json").write_text('{"model": {"rates": [[1, 3], [1, 5]]}}')
    code = SWITCH.replace("hidden_dim=64", "rates, hidden_dim=64").replace(", augment, mode", "")
    code = code.replace("if augment == True:", "if self.training:").replace(' if mode == "train" else h', "")
    code = code.replace("super().__init__()", "super().__init__()\n        self.rate = rates[1][1]")
    found = resolve(write(tmp_path, HEAD + code))
    assert "rates=[[1, 3], [1, 5]] (base.json)" in " ".join(found.notes)


SPLATTED = """class Block(nn.Module):
    @classmethod
    def make(cls, d_in: int, d_main: int, depth: int, d_out: int):
        return nn.Sequential(nn.Linear(d_in, d_main), *(nn.Linear(d_main, d_main) for _ in range(depth)),
                             nn.Linear(d_main, d_out))


class Denoiser(nn.Module):
    def __init__(self, d_in, params, hidden_dim=128):
        super().__init__()
        params["d_in"], params["d_out"] = hidden_dim, d_in
        self.first, self.rest = nn.Linear(d_in, hidden_dim), Block.make(**params)

    def forward(self, x):
        return self.rest(self.first(x))
"""
FILLED = """from typing import NamedTuple


class Config(NamedTuple):
    vocab_size: int = None
    dim: int = 768


class Reader(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.embed, self.mix = nn.Embedding(cfg.vocab_size, cfg.dim), nn.Linear(cfg.dim, cfg.dim)
        self.last = nn.Linear(cfg.dim, 2)

    def forward(self, ids):
        return self.last(self.mix(self.embed(ids)).relu())
"""


def test_a_dict_that_goes_to_a_function_whole_has_what_that_takes_and_is_not_set_before(tmp_path: Path) -> None:
    found = resolve(write(tmp_path, HEAD + SPLATTED))
    assert found.describe.startswith("Denoiser(dict), hidden_dim 64 → 128")
    assert "depth=2" in " ".join(found.notes)
    assert "d_out" not in " ".join(found.notes)


def test_a_number_that_a_config_leaves_open_is_filled_in(tmp_path: Path) -> None:
    assert resolve(write(tmp_path, HEAD + FILLED)).describe == "Reader(Config), dim 64 → 128, input int64[2, 32]"
