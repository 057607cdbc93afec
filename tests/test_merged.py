"""Configs that a constructor merges with a table of defaults: its entries are the knobs, the table's values theirs."""

from pathlib import Path

import pytest

from muaudit.targets import TargetOptions, resolve

REST = """
        self.e = nn.Embedding({p}["vocab"], {p}["dim"])
        self.l = nn.ModuleList(nn.Linear({p}["dim"], {p}["dim"]) for _ in range({p}["depth"]))
        self.o = nn.Linear({p}["dim"], {p}["vocab"])
    def forward(self, ids):
        x = self.e(ids)
        for l in self.l:
            x = x + l(x).relu()
        return self.o(x)
"""
TABLE = '{"dim": 256, "depth": 2, "vocab": 300}'


@pytest.mark.parametrize(
    ("before", "taken", "merged", "held"),
    [
        (f"D = {TABLE}", "config=None", "p = {**D, **(config or {})}", "p"),
        (f"D = {TABLE}", "config=None", "p = D | (config if config is not None else {})", "p"),
        (f"D = {TABLE}", "hps=None", "self.cfg = dict(D); self.cfg.update(hps or {})", "self.cfg"),
        (f"import copy\nD = {TABLE}", "hparams", "p = copy.deepcopy(D); p.update(hparams)", "p"),
        (f"def start():\n    return {TABLE}", "hps=None", "p = start(); p.update(hps or {})", "p"),
        ("", "config=None", f"p = {TABLE}; p.update(config or {{}})", "p"),
        (f"D = {TABLE}", "**given", "p = dict(D, **given)", "p"),
        ("", "**given", "self.opt = {'dim': 256, 'depth': 2, 'vocab': 300, **given}", "self.opt"),
    ],
)
def test_entries_of_a_table_that_a_config_is_merged_with(
    tmp_path: Path, before: str, taken: str, merged: str, held: str
) -> None:
    head = f"import torch.nn as nn\n{before}\nclass Net(nn.Module):\n    def __init__(self, {taken}):\n"
    body = f"        super().__init__()\n        {merged}"
    (tmp_path / "net.py").write_text(head + body + REST.format(p=held))
    target = resolve(str(tmp_path / "net.py"), TargetOptions())
    assert "dim 64 → 128" in target.describe
    model = target.build({target.axes[0].name: 64}, 0)
    assert model.e.weight.shape == (300, 64)  # type: ignore[union-attr]
    assert len(model.l) == 2  # type: ignore[arg-type]


def test_a_table_in_a_table_holds_the_width(tmp_path: Path) -> None:
    head = 'import torch.nn as nn\nD = {"model": {"dim": 256, "depth": 2, "vocab": 300}, "seed": 1}\n'
    body = "class Net(nn.Module):\n    def __init__(self, config=None):\n        super().__init__()\n"
    merged = '        self.cfg = {**D, **(config or {})}\n        m = self.cfg["model"]'
    (tmp_path / "net.py").write_text(head + body + merged + REST.format(p="m"))
    assert "dim 64 → 128" in resolve(str(tmp_path / "net.py"), TargetOptions()).describe


def test_a_local_name_of_another_method_is_none_of_the_constructor(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self, dim=64, **kwargs):\n"
        "        super().__init__()\n        self.a = nn.Linear(8, dim)\n        self.b = nn.Linear(dim, dim)\n"
        '    def forward(self, x, **kwargs):\n        scale = kwargs["scale"] if kwargs else 1.0\n'
        "        return self.b(self.a(x)).sum(-1) * scale\n"
    )
    assert "scale" not in resolve(str(tmp_path / "net.py"), TargetOptions()).describe
