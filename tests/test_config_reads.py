"""Configs by what is read of them: however deep, by whatever name, in whatever file they are handed on to."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

from muaudit.targets import arguments, loader, resolve

HEAD = "import torch\nimport torch.nn as nn\n"
DEEP = """
class Mixing(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.mix = nn.Linear(cfg.MODEL.CORE.n_embd, cfg.MODEL.CORE.n_embd)
        nn.init.normal_(self.mix.weight, std=(cfg.MODEL.INIT.spread / cfg.MODEL.CORE.n_embd) ** 0.5)

    def forward(self, x):
        return x + self.mix(x).relu()

class Speaker(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        core = cfg.MODEL.CORE
        assert core.vocab_size is not None
        self.table = nn.Embedding(core.vocab_size, core.n_embd)
        self.blocks = nn.Sequential(*(Mixing(cfg) for _ in range(core.n_layer)))
        self.head = nn.Linear(core.n_embd, core.vocab_size)

    def forward(self, idx):
        return self.head(self.blocks(self.table(idx)))
"""


def written(folder: Path, text: str, name: str = "model.py") -> str:
    (folder / name).write_text(HEAD + dedent(text))
    return str(folder / name)


def read(file: str, name: str) -> arguments.Arguments:
    module = loader.load_file(Path(file))
    return arguments.read(getattr(module, name), module)


def test_a_config_is_read_several_levels_deep(tmp_path: Path) -> None:
    target = resolve(written(tmp_path, DEEP))
    assert [axis.name for axis in target.axes] == ["n_embd"]
    found = read(written(tmp_path, DEEP), "Speaker")
    assert set(found.knobs) == {"n_embd", "spread", "vocab_size", "n_layer"}
    told = found.call({"n_embd": "width", "spread": "2", "vocab_size": "256", "n_layer": "2"})
    inner = "CORE=namespace(vocab_size=256, n_embd=width, n_layer=2), INIT=namespace(spread=2)"
    assert told == f"Speaker(cfg=namespace(MODEL=namespace({inner})))"


def test_only_what_the_model_and_its_helpers_read_counts(tmp_path: Path) -> None:
    """Beside a model stands what trains it, which reads the same config; what makes a part of it is in another file."""
    written(tmp_path, """
    def encoder(settings):
        return nn.Sequential(nn.Linear(settings.obs_shape[0], settings.latent_dim), nn.ELU())

    class Replay:
        def __init__(self, cfg):
            self.room = cfg.max_buffer_size
    """, "parts.py")  # fmt: skip
    text = """
    import parts as p

    class World(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.see = p.encoder(cfg)
            self.step = nn.Sequential(nn.Linear(cfg.latent_dim, cfg.latent_dim), nn.Tanh())
            self.reward = nn.Linear(cfg.latent_dim, 1)

        def forward(self, x):
            return self.reward(self.step(self.see(x)))

    class Agent:
        def __init__(self, cfg):
            self.model, self.clip = World(cfg), cfg.grad_clip_norm
    """
    found = read(written(tmp_path, text), "World")
    assert set(found.knobs) == {"latent_dim", "obs_shape"}
    assert resolve(written(tmp_path, text)).label == "World(namespace)"


def test_what_is_handed_a_config_and_cannot_be_told_makes_the_whole_file_count(tmp_path: Path) -> None:
    text = """
    class Wide(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.inner = nn.Linear(cfg["dim"], cfg["inner"]["size"])

    KINDS = {"wide": Wide}

    class Net(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.block, self.last = KINDS["wide"](cfg), nn.Linear(cfg["inner"]["size"], 4)

        def forward(self, x):
            return self.last(self.block.inner(x))
    """
    found = read(written(tmp_path, text), "Net")
    assert set(found.knobs) == {"dim", "size"}
    built = found.construct({"dim": 8, "size": 16})
    assert built.last.in_features == 16


def test_values_are_those_that_are_written_into_configs(tmp_path: Path) -> None:
    """A field that goes by its own name and is asked for its length; beside it stands a function with a default."""
    written(tmp_path, """
    def scheme(config, gated=False):
        return gated

    def get_config():
        config = type("Config", (), {})()
        config.model = model = type("Config", (), {})()
        model.ratios = (1, 2)
        model.gated = True
        return config
    """, "defaults.py")  # fmt: skip
    text = """
    class Net(nn.Module):
        def __init__(self, config):
            super().__init__()
            ratios = config.model.ratios
            self.levels = len(ratios)
            if config.model.gated:
                layers = [nn.Linear(8, config.model.nf)]
            layers += [nn.Linear(config.model.nf, config.model.nf) for _ in ratios]
            self.layers, self.last = nn.Sequential(*layers), nn.Linear(config.model.nf, 4)

        def forward(self, x):
            return self.last(self.layers(x).relu())
    """
    target = resolve(written(tmp_path, text))
    assert [axis.name for axis in target.axes] == ["nf"]
    assert any("ratios=(1, 2) (defaults.py:10), gated=True (defaults.py:11)" in note for note in target.notes)


def test_a_class_that_makes_itself_of_its_config(tmp_path: Path) -> None:
    """`cls(cfg)` in a class method hands it to the constructor, which is read anyway."""
    preset = "    @classmethod\n    def preset(cls, cfg):\n        return cls(cfg)\n\n    def forward(self, idx):\n"
    target = resolve(written(tmp_path, preset.join(DEEP.rsplit("    def forward(self, idx):\n", 1))))
    assert [axis.name for axis in target.axes] == ["n_embd"]


def test_what_has_fields_and_a_length_is_made_with_both(tmp_path: Path) -> None:
    text = """
    class Reader(nn.Module):
        def __init__(self, alphabet, embed_dim=64):
            super().__init__()
            self.table = nn.Embedding(len(alphabet), embed_dim, padding_idx=alphabet.padding_idx)
            self.mix, self.last = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, len(alphabet))

        def forward(self, tokens):
            return self.last(self.mix(self.table(tokens)).relu())
    """
    file = written(tmp_path, text)
    assert resolve(file).describe == "Reader(namespace), embed_dim 64 → 128, input int64[2, 32]"
    call = read(file, "Reader").call({"padding_idx": "0"})
    made = eval(call, {"Reader": lambda alphabet: alphabet, "SimpleNamespace": SimpleNamespace})
    assert (made.padding_idx, len(made)) == (0, 256)


def test_a_config_may_be_called_by_a_capital_letter(tmp_path: Path) -> None:
    text = """
    class Coder(nn.Module):
        def __init__(self, H):
            super().__init__()
            self.first, self.mix, self.last = nn.Linear(8, H.width), nn.Linear(H.width, H.width), nn.Linear(H.width, 4)

        def forward(self, x):
            return self.last(self.mix(self.first(x)).relu())
    """
    assert [axis.name for axis in resolve(written(tmp_path, text)).axes] == ["width"]


def test_settings_that_are_none_by_default_and_handed_on_whole_are_those_of_what_they_reach(tmp_path: Path) -> None:
    text = """
    from functools import partial

    class Mixing(nn.Module):
        def __init__(self, d_model, l_max, order=2):
            super().__init__()
            self.filter, self.order = nn.Parameter(torch.randn(l_max, d_model)), order
            self.mix = nn.Linear(d_model, d_model)

        def forward(self, x):
            return self.mix(x * self.filter[: x.shape[1]]) * self.order

    def block(d_model, layer=None):
        made = partial(Mixing, **layer)
        return nn.Sequential(made(), nn.LayerNorm(d_model))

    class Speaker(nn.Module):
        def __init__(self, d_model: int, n_layer: int, vocab_size: int, layer=None):
            super().__init__()
            if "d_model" not in layer:
                layer["d_model"] = d_model
            self.table = nn.Embedding(vocab_size, d_model)
            self.blocks = nn.Sequential(*(block(d_model, layer=layer) for _ in range(n_layer)))
            self.head = nn.Linear(d_model, vocab_size)

        def forward(self, idx):
            return self.head(self.blocks(self.table(idx)))
    """
    file = written(tmp_path, text)
    assert [axis.name for axis in resolve(file).axes] == ["d_model"]
    assert read(file, "Speaker").call({"l_max": "64"}) == "Speaker(layer=dict(l_max=64))"
