"""`muaudit transfer`: effective values against hand-derived ones (TP5 Table 3), both ways, and its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from program import app

from muaudit.parametrizations.studies import PUBLISHED

GPT = str(Path(__file__).parents[1] / "fixtures" / "gpt" / "sp.py")
SP = str(Path(__file__).parents[1] / "fixtures" / "mlp" / "sp.py")


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        app(["transfer", *args], prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plan whose own base width is neither end of any transfer below."""
    out = tmp_path_factory.mktemp("mup")
    with pytest.raises(SystemExit):
        app(["convert", SP, "--base-width", "64", "--width", "512", "--out", str(out)], prog_name="muaudit")
    return str(out / "plan.yaml")


def values(text: str) -> dict[str, dict[str, float]]:
    """Tensor pattern → its group, from JSON or YAML."""
    data = json.loads(text) if text.startswith("{") else yaml.safe_load(text)
    return {pattern: group for group in data["groups"] for pattern in group["tensors"]}


# Table 3 with m = 32: (init std, lr) factors of Adam and of SGD against an SP model of the base width.
ADAM = {"embed.weight": (1, 1), "embed.bias": (1, 1), "hidden.*.weight": (32**-0.5, 1 / 32), "hidden.*.bias": (1, 1),
        "readout.weight": (1 / 32, 1 / 32), "readout.bias": (1, 1)}  # fmt: skip
SGD = {"embed.weight": (1, 32), "embed.bias": (1, 32), "hidden.*.weight": (32**-0.5, 1), "hidden.*.bias": (1, 32),
       "readout.weight": (1 / 32, 1 / 32), "readout.bias": (1, 1)}  # fmt: skip
FOUND_INIT = {"embed.weight": 1, "hidden.*.weight": 32**-0.5, "readout.weight": 32**-0.5}
"""What the SP model's own initialization does already between the two widths."""


@pytest.mark.parametrize("format_", ["json", "yaml"])
def test_up_by_a_plan_as_table_3_has_it(plan: str, format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = "lr=3e-3,wd=0.1,eps=1e-8"
    assert run("--plan", plan, "--from", "256", "--to", "8192", "--set", given, "--format", format_) == 0
    found = values(capsys.readouterr().out)
    assert set(found) == set(ADAM)
    for pattern, (init, lr) in ADAM.items():
        assert found[pattern]["lr"] == pytest.approx(3e-3 * lr)
        assert found[pattern]["init_scale"] == pytest.approx(init / FOUND_INIT.get(pattern, 1))
        assert found[pattern]["lr"] * found[pattern]["weight_decay"] == pytest.approx(3e-4)
    assert found["hidden.*.weight"]["eps"] == pytest.approx(1e-8 / 32)
    assert found["readout.weight"]["eps"] == pytest.approx(1e-8)


def test_down_without_a_plan_undoes_up(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [SP, "--optimizer", "sgd", "--from", "8192", "--to", "256", "--set", "lr=0.5", "--format", "json"]
    assert run(*flags) == 0
    found = values(capsys.readouterr().out)
    for pattern, (init, lr) in SGD.items():
        assert found[pattern]["lr"] == pytest.approx(0.5 / lr)
        assert found[pattern]["init_scale"] == pytest.approx(FOUND_INIT.get(pattern, 1) / init)
        assert "eps" not in found[pattern]["exponents"]


def test_each_optimizer_has_its_own_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What is given for one optimizer is not the value of tensors that another one trains."""
    muon = str(Path(__file__).parents[1] / "fixtures" / "bugs" / "muon.py")
    flags = [muon, "--from", "64", "--to", "512", "--set", "muon.lr=0.02,adamw.lr=3e-3,eps=1e-8"]
    assert run(*flags, "--format", "json") == 0
    found = values(capsys.readouterr().out)
    assert (found["up.*.weight"]["optimizer"], found["embed.weight"]["optimizer"]) == ("muon", "adamw")
    assert found["embed.weight"]["lr"] == pytest.approx(3e-3)
    assert found["embed.weight"]["eps"] == pytest.approx(1e-8 / 8)
    assert "eps" not in found["up.*.weight"]["exponents"]
    assert run(*flags[:-1], "muon.lr=0.02") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].split()[:4] == ["tensors", "role", "by", "init"]
    assert run(*flags[:-1], "sgd.lr=0.1") == 2
    assert "the plan has no optimizer sgd" in capsys.readouterr().err
    assert run(*flags[:-1], "muon.eps=1e-7") == 2
    assert "muon has no eps" in capsys.readouterr().err


def test_the_table_and_the_file(plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", plan, "--from", "64", "--to", "256", "--set", "lr=4e-3", "--set", "beta1=0.9") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "MLP, width 64 → 256 (up, m = 4), adamw"
    assert next(row for row in rows if "hidden.*.weight" in row).split()[4:6] == ["0.001", "(m^-1)"]
    assert "the same at every width: beta1 0.9" in "\n".join(rows)
    assert rows[-1].startswith("next: --format plan writes them")
    out = tmp_path / "values.json"
    assert run("--plan", plan, "--from", "64", "--to", "256", "--format", "json", "--output", str(out)) == 0
    assert values(out.read_text())["hidden.*.weight"]["lr_scale"] == pytest.approx(0.25)
    assert json.loads(out.read_text())["schema"] == "muaudit.transfer/1"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--set", "lr"], "expects NAME=VALUE"),
        (["--set", "lr=fast"], "lr expects a number, found 'fast'"),
        (["--set", "lr=-1"], "expects a positive number, found -1"),
        (["--set", "lr=nan"], "expects a positive number, found nan"),
        (["--set", "wd=0.1,weight_decay=0.2"], "gives weight_decay twice"),
        (["--set", "beta=0.9"], "did you mean beta"),
        (["--format", "toml"], "unknown format 'toml'"),
        (["--optimizer", "sgd", "--set", "eps=1e-8"], "sgd has no eps"),
        (["--plan", "plan.yaml"], "give one of them"),
    ],
)
def test_bad_input(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SP, "--from", "64", "--to", "256", *args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_plan_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", "nowhere.yaml", "--from", "64", "--to", "256") == 2
    assert "cannot read nowhere.yaml" in capsys.readouterr().err


HORIZON = ["--from", "batch=0.5M,tokens=2.5B", "--to", "batch=4M,tokens=1T"]
"""5,000 steps become 250,000: m_B = 8, m_D = 400, m_S = 50."""
GIVEN = {"lr": 3e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}
BY_HAND = {
    "complete-dp": {"lr": 3e-3 / 50**0.5, "weight_decay": 0.1 / 50**0.5, "eps": 1e-8 * 50**0.5,
                    "beta1": 1 - 0.1 / 50, "beta2": 1 - 0.05 / 50},
    "power-lines": {"lr": 3e-3 * 8**0.5, "weight_decay": 0.1 * 8**0.5 / 400},
    "timescale": {"lr": 3e-3, "weight_decay": 0.1 / 50},
}  # fmt: skip


def carried(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert run(*args, "--format", "json") == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


@pytest.mark.parametrize("recipe", BY_HAND)
def test_batch_and_duration_by_hand(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The tables of arXiv 2512.22382, 2505.13738 and 2405.13698 at m_B = 8 and m_D = 400, and what the others give."""
    data = carried(capsys, *HORIZON, "--recipe", recipe, "--set", ",".join(f"{k}={v}" for k, v in GIVEN.items()))
    group, said = data["groups"][0], data["recipe"]
    for name in GIVEN:
        found = group[name] if name in group else data["constant"][name]
        assert found == pytest.approx(BY_HAND[recipe].get(name, GIVEN[name]), rel=1e-9)
    assert said["ratios"] == pytest.approx({"m_B": 8, "m_D": 400, "m_S": 50})
    assert said["steps"] == pytest.approx([5000, 250_000])
    assert said["decay_window"] == pytest.approx([1 / 1.5, 1 / 1.5])  # 1 / (3e-3 · 0.1 · 5000)
    assert said["others"].keys() == BY_HAND.keys() - {recipe}
    for name, values_ in said["others"].items():
        assert values_ == pytest.approx(BY_HAND[name])


def test_sgd_scales_with_the_batch_and_its_decay_window_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Linear scaling (arXiv 1706.02677) says nothing of decay: lr·wd·S grows as m_B · m_S = m_D."""
    data = carried(capsys, *HORIZON, "--recipe", "sgd", "--set", "lr=0.1,wd=1e-4,momentum=0.9")
    assert data["optimizer"] == "sgd"
    assert data["groups"][0]["lr"] == pytest.approx(0.8)
    assert data["constant"] == {"momentum": 0.9}
    assert data["recipe"]["decay_window"] == pytest.approx([20.0, 20.0 / 400])


def test_up_and_down_again_is_where_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    up = ["--from", HORIZON[3], "--to", HORIZON[1]]
    said = carried(capsys, *up, "--recipe", "complete-dp", "--set", "lr=1e-3,beta1=0.999,warmup=1000")
    assert said["groups"][0]["lr"] == pytest.approx(1e-3 * 50**0.5)
    assert said["constant"]["beta1"] == pytest.approx(0.95)  # 1 - 50 · 0.001
    assert said["constant"]["warmup"] == pytest.approx(20)  # of 5,000 steps as of 250,000


def test_width_depth_batch_and_duration_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A matrix at the end of a branch: lr and init std over width as hidden weights, with c = 1/m_L moved into them;
    the fixture draws them with 0.02 / sqrt(2L). m = 4, m_L = 2, m_S = 16."""
    size = ["--from", "width=64,depth=2,batch=32,tokens=3200", "--to", "width=256,depth=4,batch=32,tokens=51200"]
    flags = ["--recipe", "complete-dp", "--set", "lr=1e-2,eps=1e-8", "--arg", "n_head=2", "--arg", "vocab_size=32"]
    data = carried(capsys, GPT, *size, *flags, "--arg", "block_size=16")
    found = {pattern: group for group in data["groups"] for pattern in group["tensors"]}
    last, first = found["transformer.h.*.mlp.c_proj.weight"], found["transformer.wte.weight"]
    assert last["lr"] == pytest.approx(1e-2 / 4 / 4 / 2)
    assert last["init_std"]["transformer.h.*.mlp.c_proj.weight"] == pytest.approx(
        0.02 / (2 * 4) ** 0.5 / 2 / 2**0.5, rel=0.03
    )
    assert last["eps"] == pytest.approx(1e-8 * 4 / 4)  # m_S^1/2, and 1/m; what the branch's m_L^-1 is, c takes along
    assert (first["lr"], first["init_std"]["transformer.wte.weight"]) == (
        pytest.approx(1e-2 / 4), pytest.approx(0.02, rel=0.03)
    )  # fmt: skip
    assert (data["from_depth"], data["to_depth"]) == (2, 4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([*HORIZON, "--set", "lr=1"], "sources disagree"),
        ([*HORIZON, "--recipe", "complete-pd", "--set", "lr=1"], "did you mean complete-dp?"),
        (
            [
                "--from",
                "batch=1M,tokens=1B",
                "--to",
                "batch=16M,tokens=1B",
                "--recipe",
                "complete-dp",
                "--set",
                "beta1=0.9",
            ],
            "with 1B to train on the batch has to stay below 10M",
        ),
        (
            [
                "--from",
                "batch=1M,tokens=1B",
                "--to",
                "batch=10M,tokens=1B",
                "--recipe",
                "complete-dp",
                "--set",
                "beta1=0.9",
            ],
            "beta1 = 0.9 would become 0, outside of (0, 1): steps may become fewer by less than a factor of 10",
        ),
        (["--from", "batch=1M", "--to", "batch=2M", "--recipe", "sgd"], "does not say how long the runs are"),
        (["--from", "width=64,batch=1M,tokens=1B", "--to", "width=64"], "--to does not say its batch"),
        (["--from", "64", "--to", "256", "--recipe", "sgd"], "is about batch and duration"),
        (["--from", "width=64,height=2", "--to", "width=64"], "unknown size 'height'"),
        (["--from", "width=6.5", "--to", "width=64"], "expected a whole number"),
        (["--from", "batch=1M,tokens=1B,steps=7", "--to", "batch=1M,tokens=1B"], "steps of a batch"),
        ([*HORIZON, "--recipe", "sgd", "--optimizer", "adamw", "--set", "lr=1"], "--recipe sgd is for SGD"),
    ],
)
def test_sizes_and_recipes_that_cannot_be(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_a_plan_over_width_alone_refuses_a_depth(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", plan, "--from", "width=64,depth=2", "--to", "width=64,depth=4") == 2
    assert "this plan does not go over depth" in capsys.readouterr().err


def test_the_table_of_recipes_is_what_is_computed_with() -> None:
    rows = {name: cells for name, *cells in PUBLISHED["recipes"][0].rows}
    assert rows["complete-dp"] == ["m_S^-1/2", "m_S^-1/2", "1/m_S", "m_S^1/2"]
    assert rows["power-lines"] == ["m_B^1/2", "m_B^1/2 / m_D", "-", "-"]
    assert rows["timescale"] == ["as given", "lr·wd·S constant", "-", "-"]
    assert rows["sgd"] == ["m_B", "-", "-", "-"]


SMALL = """
hidden_size: 256
learning_rate: 3e-3
weight_decay: 0.1
adam_beta1: 0.9
adam_beta2: 0.95
adam_epsilon: 1e-8
per_device_train_batch_size: 32
gradient_accumulation_steps: 2
max_steps: 5000
warmup_ratio: 0.02
max_grad_norm: 1.0
"""
LARGE = """
model: {d_model: 8192}
optim: {peak: 4.2426e-4, weight_decay: 0.002, betas: [0.998, 0.95], eps: 7.0711e-8}
train: {batch: 512, steps: 250000, warmup: 5000, grad_clip: 1.0}
"""


def test_two_configurations_are_held_against_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """64 and 512 in a batch, m_B = 8, m_S = 50. The decay is that of `timescale`, β2 was left as it was."""
    small, large = tmp_path / "small.yaml", tmp_path / "large.yaml"
    small.write_text(SMALL)
    large.write_text(LARGE)
    flags = ["--audit", str(small), str(large), "--names", "lr=peak"]
    assert run(*flags, "--recipe", "complete-dp") == 2  # the small one does not call it so
    assert "has no peak" in capsys.readouterr().err
    large.write_text(LARGE.replace("peak", "learning_rate"))
    assert run(*flags[:3], "--recipe", "complete-dp") == 1
    out = capsys.readouterr().out
    assert "does not follow: weight_decay, beta2" in out
    assert "timescale gives that" in out
    assert "1 − β is × 50" in out
    found = carried_rows(capsys, *flags[:3], "--recipe", "complete-dp")
    assert {name for name, row in found.items() if row["follows"]} == {"lr", "beta1", "eps", "clip", "warmup"}
    assert found["weight_decay"]["expected"] == pytest.approx(0.1 / 50**0.5)
    right = LARGE.replace("peak", "lr").replace("0.002", "0.0141421").replace("0.95", "0.999")
    large.write_text(right)
    assert run(*flags[:3], "--recipe", "complete-dp") == 0
    assert "every setting that both give follows" in capsys.readouterr().out


def test_configurations_in_lists_and_with_suffixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The batch grows by 4 over the same tokens: m_S = 1/4, and lr becomes twice as large (2512.22382)."""
    for name, batch, lr in (("small", "0.5M", "1e-3"), ("large", "2M", "2e-3")):
        text = f"optim:\n  groups:\n  - {{lr: {lr}, betas: [0.9, 0.99]}}\ntrain: {{batch: {batch}, tokens: 10B}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    found = carried_rows(capsys, "--audit", *(str(tmp_path / f"{name}.yaml") for name in ("small", "large")),
                         "--recipe", "complete-dp")  # fmt: skip
    assert {name: row["expected"] for name, row in found.items() if row["small"] is not None} == pytest.approx(
        {"lr": 2e-3, "beta1": 0.6, "beta2": 0.96}
    )
    assert [name for name, row in found.items() if row["follows"] is False] == ["beta1", "beta2"]


def test_what_was_not_given_has_its_factor_of_batch_and_duration(capsys: pytest.CaptureFixture[str]) -> None:
    """m_S = 4: the weight decay is halved and eps doubled, whatever they are; hidden layers go on from there."""
    sizes = ["--from", "width=64,batch=1M,tokens=1B", "--to", "width=256,batch=1M,tokens=4B"]
    given = ["--recipe", "complete-dp", "--set", "lr=0.01"]
    assert run(*(each.replace("width=64,", "").replace("width=256,", "") for each in sizes), *given) == 0
    assert [line.split()[-2:] for line in capsys.readouterr().out.splitlines() if line.startswith("  * ")] == [
        ["0.5", "2"]
    ]
    assert run("fixtures/mlp/sp.py", *sizes, *given, "--format", "json") == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    hidden = next(group for group in groups if "hidden.*.weight" in group["tensors"])
    assert (hidden["lr"], hidden["weight_decay_scale"]) == pytest.approx((0.01 / 2 / 4, 0.5 * 4))


def carried_rows(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, dict[str, Any]]:
    run(*args, "--format", "json")
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["settings"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "holds a list, expected names with values"),
        ("lr: fast", "lr is 'fast', expected a number"),
        ("a: {lr: 1}\nb: {lr: 2}", "has several values: a.lr 1, b.lr 2"),
        ("lr: 1", "does not say how long it trains"),
        ("x: {y: [", "--audit takes YAML or JSON"),
    ],
)
def test_configurations_that_say_nothing(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "large.yaml").write_text(text)
    flags = ["--audit", str(tmp_path / "small.yaml"), str(tmp_path / "large.yaml"), "--recipe", "complete-dp"]
    assert run(*flags) == 2
    assert message in capsys.readouterr().err
