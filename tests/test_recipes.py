"""Every recipe of docs/recipes.md runs as it stands there, and trains with the groups that the plan asks for.

`pip install -c constraints.txt -e '.[recipes]'` brings the libraries that some of them need; they are skipped without.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
FILES = dict(re.findall(r'```python title="([\w.]+)"\n(.*?)```', PAGE, re.S))
NEEDS = {
    "trainer.py": ("transformers", "accelerate"), "accelerated.py": ("accelerate",), "lit.py": ("pytorch_lightning",),
}  # fmt: skip
RECIPES = [name for name, text in FILES.items() if "load_plan(" in text and not name.startswith("test_")]
EXPECTED = {
    "stem.weight": [0.003, 0.1], "stem.bias": [0.003, 0.1], "blocks.0.weight": [0.00075, 0.4],
    "blocks.1.weight": [0.00075, 0.4], "blocks.0.bias": [0.003, 0.1], "blocks.1.bias": [0.003, 0.1],
    "head.weight": [0.00075, 0.4], "head.bias": [0.003, 0.1],
}  # fmt: skip
# Runs the recipes one after the other; prints the groups each trained with, and its loss before and after.
DRIVER = """
import json, runpy, sys
import torch
import muaudit
from model import Classifier, examples

def loss(model):
    return float(model(*examples(256)[:])[0])

def groups(model, optimizer):
    held = {}
    for group in optimizer.param_groups:
        held |= {id(p): (group.get("initial_lr", group["lr"]), group["weight_decay"]) for p in group["params"]}
    return {name: [round(each, 7) for each in held[id(p)]] for name, p in model.named_parameters()}

plan = muaudit.load_plan("mup/plan.yaml")
for name in sys.argv[1:]:
    torch.manual_seed(0)
    before = loss(plan.apply_(Classifier(plan.width)))
    torch.manual_seed(0)
    made = runpy.run_path(name)
    model = made["lit"].model if "lit" in made else made["model"]
    trainer = made.get("trainer")
    optimizer = made.get("optimizer") or trainer.optimizers[0]
    after = loss(model) if torch.distributed.is_initialized() or "mesh" not in made else None
    print("result", json.dumps([name, groups(model, optimizer), before, after]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files and the plan that its command writes."""
    home = tmp_path_factory.mktemp("recipes")
    for name, text in FILES.items():
        (home / name).write_text(text)
    (command,) = re.findall(r"```bash\n(muaudit convert .*)\n```", PAGE)
    done = run(home, "-m", *command.split())
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    """The groups, and the loss before and after, of every recipe whose library is here."""
    names = [name for name in RECIPES if all(map(find_spec, NEEDS.get(name, ())))]
    (folder / "driver.py").write_text(DRIVER)
    done = run(folder, "driver.py", *names)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("result ")]
    return {name: rest for name, *rest in results}


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    port = str(20000 + os.getpid() % 20000)
    addresses = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "RANK": "0", "WORLD_SIZE": "1"}
    command = [sys.executable, *args]
    environment = {**os.environ, "PYTHONPATH": path, **addresses}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_with_the_groups_of_the_plan(trained: dict[str, Any], name: str) -> None:
    missing = [package for package in NEEDS.get(name, ()) if find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    groups, before, after = trained[name]
    assert groups == EXPECTED
    assert after is None or after < before - 0.01


def test_the_test_recipe_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    from muaudit.testing import assert_mup

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "model", raising=False)  # another test's
    made = runpy.run_path("test_mup.py")
    made["test_the_model_as_converted_is_mup"](assert_mup)
    with pytest.raises(AssertionError, match="MUP301"):
        assert_mup(made["Classifier"])
    sys.modules.pop("model", None)
