"""Model files laid out as public ones are that were pointed at wrongly: what each of them has to be taken for."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from muaudit.errors import AmbiguousModelError, NoWidthError, UserError
from muaudit.targets import Target, resolve

HEAD = "import torch\nimport torch.nn as nn\n"


def written(folder: Path, text: str, name: str = "model.py") -> str:
    (folder / name).write_text(HEAD + dedent(text) if name.endswith(".py") else text)
    return str(folder / name)


def axes(target: Target) -> dict[str, tuple[int, ...]]:
    return {axis.name: axis.probes for axis in target.axes}


def told(target: Target, start: str) -> str:
    return next(note for note in target.notes if note.startswith(start))


def test_lists_in_a_config_keep_the_proportions_that_are_written_beside_it(tmp_path: Path) -> None:
    """Stages that have to fit one another, which numbers all alike do not; one list is called like a switch."""
    written(tmp_path, "model:\n  down_channels: [8, 16, 32]\n  mid_channels: [32, 32, 16]\n"
                      "  down_sample: [true, false]\n  im_channels: 1\n", "default.yaml")  # fmt: skip
    text = """
    class Stage(nn.Conv2d):
        def __init__(self, taken, made, down_sample=True):
            super().__init__(taken, made, 3, padding=1)

    class Stages(nn.Module):
        def __init__(self, model_config):
            super().__init__()
            self.down_channels = model_config['down_channels']
            self.mid_channels = model_config['mid_channels']
            self.down_sample = model_config['down_sample']
            assert self.mid_channels[0] == self.down_channels[-1]
            assert self.mid_channels[-1] == self.down_channels[-2]
            assert len(self.down_sample) == len(self.down_channels) - 1
            pairs = [*zip(self.down_channels, self.down_channels[1:]), *zip(self.mid_channels, self.mid_channels[1:])]
            self.first = nn.Conv2d(model_config['im_channels'], self.down_channels[0], 3, padding=1)
            self.rest = nn.Sequential(*(Stage(*pair) for pair in pairs))
            self.last = nn.Conv2d(self.mid_channels[-1], model_config['im_channels'], 1)

        def forward(self, x):
            return self.last(self.rest(self.first(x)).relu())
    """
    target = resolve(written(tmp_path, text))
    assert axes(target) == {"down_channels": (64, 128), "mid_channels": (256, 512)}
    assert "[8, 16, 32] (default.yaml)" in told(target, "down_channels is as")
    assert "mid_channels" not in told(target, "as the code beside it has them")


def test_guesses_for_which_an_assertion_does_not_hold_give_way_to_such_as_it_holds_for(tmp_path: Path) -> None:
    text = """
    class Reader(nn.Module):
        def __init__(self, dim, vocab_size, max_seq_len, last_seq_len, num_of_layers, num_heads_per_layer):
            super().__init__()
            assert max_seq_len > last_seq_len, "longer than what is read last"
            assert num_of_layers == len(num_heads_per_layer) == 4
            self.embed, self.heads = nn.Embedding(vocab_size, dim), list(num_heads_per_layer)
            self.mix, self.last = nn.Linear(dim, dim), nn.Linear(dim, vocab_size)

        def forward(self, x):
            return self.last(self.mix(self.embed(x)).relu())
    """
    target = resolve(written(tmp_path, text))
    assert axes(target) == {"dim": (64, 128)}
    for each in ("max_seq_len=128", "num_of_layers=4, num_heads_per_layer=(4, 4, 4, 4)"):
        assert any(f"guessed, as the constructor asks for it: {each}" in note for note in target.notes)


def test_a_model_without_a_forward_is_the_root_of_the_parts_that_have_one(tmp_path: Path) -> None:
    part = """
    class {name}(nn.Module):
        def __init__(self, channels, downsample):
            super().__init__()
            self.downsample = downsample
            if self.downsample:
                if self.downsample == "pool":
                    self.pool = nn.AvgPool1d(2)
                else:
                    raise NotImplementedError
            self.{layer}, self.last = nn.Linear(channels, channels), nn.Linear(channels, 3)

        def forward(self, x):
            return self.last(self.{layer}(x).relu())
    """
    text = "".join(dedent(part).format(name=name, layer=name[:3].lower()) for name in ("Dynamics", "Prediction"))
    text += dedent("""
    class DownSample(nn.Module):
        def __init__(self, made):
            super().__init__()
            self.only = nn.Linear(made, made)

        def forward(self, x):
            return self.only(x)

    class Planner(nn.Module):
        def __init__(self, channels, downsample):
            super().__init__()
            self.dynamics, self.prediction = Dynamics(channels, downsample), Prediction(channels, downsample)
            self.down = DownSample(channels)

        def first_step(self, x):
            return self.prediction(self.down(x)), self.dynamics(x)
    """)
    file = written(tmp_path, text)
    with pytest.raises(UserError, match=r"Planner is a torch\.nn\.Module without a forward"):
        resolve(file)
    target = resolve(f"{file}:Planner.first_step")
    assert axes(target) == {"channels": (32, 64)}
    assert "downsample='pool'" in told(target, "guessed")


def test_functions_that_make_several_models_speak_for_none_of_them(tmp_path: Path) -> None:
    kind = """
    class {name}(nn.Module):
        def __init__(self, hidden_size, out):
            super().__init__()
            self.first, self.mix = nn.Linear(8, hidden_size), nn.Linear(hidden_size, hidden_size)
            self.last = nn.Linear(hidden_size, out)

        def forward(self, belief, state):
            return self.last(self.mix(self.first(belief + state)).relu())
    """
    text = "".join(
        dedent(kind).format(name=name) for name in ("PixelObserverModel", "VectorObserverModel", "RewardModel")
    )
    text += "\ndef Observer(pixels, size):\n    if pixels:\n        return PixelObserverModel(size, 4)\n"
    text += "    return VectorObserverModel(size, 4)\n"
    text += "\ndef Reward(hidden_size):\n    return RewardModel(hidden_size, 1)\n"
    with pytest.raises(AmbiguousModelError, match="PixelObserverModel, VectorObserverModel, RewardModel"):
        resolve(written(tmp_path, text))


def test_a_pair_that_the_first_layer_of_a_sequence_takes_apart(tmp_path: Path) -> None:
    text = """
    class Layer(nn.Module):
        def __init__(self, made, taken):
            super().__init__()
            self.project = nn.Linear(made, taken)

        def forward(self, data):
            features, edge_index = data
            assert edge_index.shape[0] == 2, "two rows, of sources and of targets"
            mixed = self.project(features)
            return mixed.index_add(0, edge_index[1], mixed[edge_index[0]]), edge_index

    class GraphNet(nn.Module):
        def __init__(self, hidden_dim, in_features=5):
            super().__init__()
            self.net = nn.Sequential(Layer(in_features, hidden_dim), Layer(hidden_dim, hidden_dim))
            self.last = nn.Linear(hidden_dim, 2)

        def forward(self, data):
            features, _ = self.net(data)
            return self.last(features.relu())
    """
    target = resolve(written(tmp_path, text))
    assert "float32[4, 5], int64[2, 16]" in target.describe


def test_what_is_printed_for_a_config_without_a_width_builds_the_config(tmp_path: Path) -> None:
    text = """
    class Blocks(nn.Module):
        def __init__(self, args, blocks):
            super().__init__()
            self.rest = nn.ModuleList(nn.Linear(pair[0], pair[-1]) for pair in blocks[args.model.skip :])

        def forward(self, x):
            return x
    """
    with pytest.raises(NoWidthError) as error:
        resolve(written(tmp_path, text))
    said = "return Blocks(args=SimpleNamespace(model=SimpleNamespace(skip=skip)), blocks=blocks)"
    assert said in error.value.hint
    assert "from types import SimpleNamespace" in error.value.hint


def test_variables_that_are_gone_through_one_by_one_are_few(tmp_path: Path) -> None:
    """What one of them and its marks are joined to is wide, and no number of variables."""
    text = """
    class Model(nn.Module):
        def __init__(self, configs):
            super().__init__()
            self.seq_len, self.pred_len = configs.seq_len, configs.pred_len
            self.encode = nn.Linear(configs.seq_len + configs.pred_len * 4, configs.d_model)
            self.mix, self.last = nn.Linear(configs.d_model, configs.d_model), nn.Linear(configs.d_model, self.pred_len)

        def one(self, series, marks):
            joined = torch.cat([series, marks.flatten(1)], -1)
            return self.last(self.mix(self.encode(joined)).relu())

        def forward(self, x_enc, x_mark_enc):
            known = x_mark_enc[:, -self.pred_len :]
            return torch.stack([self.one(x_enc[:, :, at], known) for at in range(x_enc.shape[-1])], -1)

    configs = dict(pred_len=12)
    """
    target = resolve(written(tmp_path, text))
    assert axes(target) == {"d_model": (64, 128)}
    assert "input float32[2, 64, 7], float32[2, 64, 4]" in target.describe


def test_features_as_wide_as_the_model_are_joined_in_pairs_beside_coordinates(tmp_path: Path) -> None:
    text = """
    class Points(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.pair, self.last = nn.Linear(2 * dim + 1, dim), nn.Linear(dim, 1)

        def forward(self, feats, coors):
            away = (coors[:, :, None] - coors[:, None]).pow(2).sum(-1, keepdim=True)
            one = feats[:, :, None].expand(-1, -1, feats.shape[1], -1)
            return self.last(self.pair(torch.cat([one, one.transpose(1, 2), away], -1)).relu().sum(2))
    """
    target = resolve(written(tmp_path, text))
    assert "input float32[2, 32, dim], float32[2, 32, 3]" in target.describe


def test_many_modes_are_cut_and_sizes_that_parts_have_by_default_are_told(tmp_path: Path) -> None:
    fourier = """
    class Fourier(nn.Module):
        def __init__(self, width, modes=64):
            super().__init__()
            self.first, self.last = nn.Linear(3, width), nn.Linear(width, 2)
            self.kept = nn.Parameter(torch.randn(modes, width, width) / width)

        def forward(self, x):
            seen = torch.fft.rfft(self.first(x), dim=1)
            parts = [seen[:, at] @ kept.to(seen.dtype) for at, kept in enumerate(self.kept) if at < seen.shape[1]]
            return self.last(torch.fft.irfft(torch.stack(parts, 1), n=x.shape[1], dim=1))
    """
    assert "modes = 8 (of 64)" in told(resolve(written(tmp_path, fourier)), "held fixed")
    flow = """
    class Coupling(nn.Module):
        def __init__(self, in_channel, filter_size=512):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(in_channel, filter_size), nn.Linear(filter_size, in_channel))

        def forward(self, x):
            return self.net(x)

    class Flow(nn.Module):
        def __init__(self, in_channel, n_flow):
            super().__init__()
            self.flows = nn.Sequential(*(Coupling(in_channel) for _ in range(n_flow)))

        def forward(self, x):
            return self.flows(x)
    """
    with pytest.raises(NoWidthError) as error:
        resolve(written(tmp_path, flow))
    assert "model.py:5: class Coupling: filter_size=512" in error.value.hint
