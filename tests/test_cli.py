"""The command line: exit codes, streams and options. The audit itself is stood in for."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from here import run_here
from program import app

import muaudit
import muaudit.targets
from muaudit.cli import help as help_
from muaudit.errors import UserError
from muaudit.findings.model import Report, Step, Unanalysed, Violation
from muaudit.jobs import all_jobs as audits
from muaudit.jobs import job
from muaudit.release import __version__
from muaudit.rules import RULES

Run = Callable[..., tuple[int, str, str]]

VIOLATION = Violation(
    "MUP201",
    "attention-scale",
    "error",
    "logits in [h.0.attn]",
    "m.py",
    3,
    (),
    "n^-1/2",
    "n^-1",
    "use 1/d",
    "they grow",
)
REPORT = Report(
    version=__version__,
    target="m.py",
    describe="Net, width 64 → 128",
    width_name="width",
    probes=(64, 128),
    optimizer="adamw",
    optimizer_source="default adamw, one learning rate",
    profile="tp5",
    tensors=(),
    activations=(),
    verdict="mixed",
    violations=(VIOLATION,),
    unanalysed=(),
    derivations={"head.weight": (Step("linear", "m.py", 3, "init n^0", "central limit"),)},
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            app(list(args), prog_name="muaudit")
        code = stop.value.code
        out, err = capsys.readouterr()
        return (code if isinstance(code, int) else 0), out, err

    return call


class Engine:
    """Stands in for target resolution and the audit; remembers what it was asked."""

    def __init__(self) -> None:
        self.report: Report | BaseException = REPORT
        self.calls: list[tuple[Any, ...]] = []

    def resolve(self, text: str | None, options: Any) -> str:
        self.calls.append((text, options))
        return "target"

    def audit(self, target: str, **kwargs: Any) -> Report:
        self.calls.append((target, kwargs))
        print("the user's model prints")
        if isinstance(self.report, BaseException):
            raised_in_muaudit(self.report)
        return self.report


def raised_in_muaudit(error: BaseException) -> None:
    """Raise it from a frame of muaudit's: whose a fault is tells the innermost one."""
    code = compile("raise error", str(Path(muaudit.__file__).parent / "audit.py"), "exec")
    exec(code, {"error": error})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as check does: put back after the test
    module = ModuleType("muaudit.audit")
    module.audit = stand_in.audit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "muaudit.audit", module)
    monkeypatch.setattr(job, "resolve", stand_in.resolve)
    return stand_in


def test_the_options_are_frozen() -> None:
    program = typer.main.get_command(app)
    options = {
        name: sorted(text for param in command.params for text in param.opts if text.startswith("-"))
        for name, command in program.commands.items()  # type: ignore[attr-defined]
    }
    assert options == {
        "check": [
            "--axis", "--base-width", "--baseline", "--bsh", "--config", "--debug", "--depth", "--diff", "--exit-zero",
            "--extend-select", "--fail-on", "--fix", "--format", "--ignore", "--init", "--input", "--isolated",
            "--jobs", "--lr-group", "--no-cache", "--no-init", "--optimizer", "--optimizer-kind", "--output", "--plan",
            "--profile", "--quiet", "--seed", "--select", "--set", "--show-fixes", "--statistics", "--strict",
            "--target-width", "--tensors", "--timeout", "--verbose", "--why", "--width", "-q",
        ],
        "convert": [
            "--base-depth", "--base-width", "--bsh", "--config", "--debug", "--depth", "--emit", "--emit-bsh",
            "--emit-python", "--for", "--format", "--formulation", "--fresh", "--from", "--function-preserving",
            "--init", "--input", "--isolated", "--keep", "--no-init", "--no-state-dict", "--optimizer",
            "--optimizer-kind", "--optimizer-state", "--out", "--output", "--plan", "--probes", "--profile", "--seed",
            "--set", "--state-dict", "--timeout", "--verify", "--width", "--zero-query", "--zero-readout",
        ],
        "draw": [
            "--all", "--axis", "--config", "--debug", "--depth", "--init", "--input", "--isolated", "--no-init",
            "--optimizer", "--optimizer-kind", "--out", "--plan", "--profile", "--set", "--timeout", "--width",
        ],
        "report": [
            "--axis", "--base-width", "--config", "--debug", "--depth", "--init", "--input", "--isolated", "--lr",
            "--no-init", "--no-training", "--optimizer", "--optimizer-kind", "--out", "--profile", "--results",
            "--seeds", "--set", "--steps", "--sweep", "--timeout", "--width", "--widths",
        ],
        "diagnose": [
            "--debug", "--device", "--dtype", "--format", "--from", "--init", "--input", "--lr", "--no-init",
            "--optimizer", "--optimizer-kind", "--output", "--precision", "--seed", "--set", "--steps", "--timeout",
            "--to", "--width",
        ],
        "mcp": [],
        "transfer": [
            "--arg", "--audit", "--debug", "--format", "--from", "--init", "--input", "--names", "--no-init",
            "--optimizer", "--output", "--plan", "--recipe", "--set", "--timeout", "--to", "--width",
        ],
        "rules": [],
        "explain": ["--errors"],
        "tables": ["--format", "--optimizer", "--profiles", "--table"],
        "version": [],
        "baseline": [
            "--baseline", "--config", "--debug", "--init", "--input", "--isolated", "--jobs", "--lr-group",
            "--no-cache", "--no-init", "--optimizer", "--optimizer-kind", "--profile", "--prune", "--set", "--timeout",
            "--verbose", "--width",
        ],
        "init": ["--budget", "--debug", "--dry-run", "--jobs", "--timeout", "--yaml"],
        "config": ["--config", "--isolated", "--json", "--schema"],
        "coord-check": [
            "--base-width", "--compare", "--compare-plan", "--debug", "--depths", "--device", "--dtype", "--format",
            "--from", "--init", "--input", "--ladder", "--lr", "--no-init", "--optimizer", "--optimizer-kind",
            "--output", "--plan", "--plot", "--precision", "--seed", "--seeds", "--set", "--spectral", "--steps",
            "--tensorboard", "--timeout", "--wandb", "--width", "--widths",
        ],
        "tune": [
            "--at", "--at-depth", "--batch-size", "--budget", "--clip", "--command", "--data", "--debug", "--device",
            "--dtype", "--finalists", "--format", "--grid", "--hp", "--init", "--input", "--longer", "--loss-file",
            "--loss-name", "--lr", "--no-init", "--optimizer", "--output", "--plan", "--plot", "--ray", "--ray-cpus",
            "--ray-gpus", "--results", "--samples", "--schedule", "--seed", "--seeds", "--set", "--steps",
            "--target-depth", "--target-steps", "--target-width", "--timeout", "--training-loss", "--warmup", "--width",
        ],
        "sweep": [
            "--base-depth", "--base-width", "--batch-size", "--budget", "--clip", "--columns", "--command", "--compare",
            "--convert", "--curves", "--data", "--debug", "--depths", "--device", "--dtype", "--extend", "--format",
            "--hp", "--import", "--init", "--input", "--loss-file", "--loss-name", "--lost", "--lr", "--near",
            "--no-init", "--only-plan", "--optimizer", "--output", "--over", "--plan", "--plot", "--ray", "--ray-cpus",
            "--ray-gpus", "--results", "--schedule", "--seed", "--seeds", "--set", "--steps", "--tensorboard",
            "--timeout", "--together", "--tolerance", "--training-loss", "--until-decided", "--wandb", "--warmup",
            "--width", "--widths",
        ],
    }  # fmt: skip


def test_help_has_every_option_in_a_group_and_an_example_that_is_understood() -> None:
    program: Any = typer.main.get_command(app)
    for name, command in program.commands.items():
        options = [each for each in command.params if each.param_type_name == "option"]
        assert [each.opts for each in options if not set(each.opts) & set(sum(help_.OPTIONS.values(), ()))] == []
        example = help_.EXAMPLES[name].partition(" && ")[0]
        words = shlex.split(example)
        if words[:2] == ["muaudit", name]:
            command.make_context(name, words[2:])
        assert example in command.get_help(click_context(command, name))


def click_context(command: Any, name: str) -> Any:
    return command.make_context(name, [], resilient_parsing=True)


def test_help_is_as_wide_as_the_terminal() -> None:
    for columns in (80, 130):
        text = process('"$PY" -m muaudit sweep --help', COLUMNS=str(columns)).stdout
        assert columns - 20 < max(map(len, text.splitlines())) <= columns


def test_every_message_can_be_looked_up(run: Run) -> None:
    code, out, _ = run("explain", "--errors")
    assert code == 0
    assert "  --ladder is written as rich or json, found FORMAT\n" in out
    for words in ("  no plan can be made over depth: the stream", "already: there is nothing to move", "lost 9 times"):
        assert words in out
    code, out, _ = run("explain", "--errors", "cannot write mup/plan.yaml: it is a folder")
    assert (code, "cannot write PATH: it is a folder" in out, "--ladder" in out) == (0, True, False)
    assert run("explain", "--errors", "qwrtz")[0] == 2
    assert run("explain")[0] == 2


def test_violations_exit_1_and_only_the_report_is_on_stdout(run: Run, engine: Engine) -> None:
    code, out, err = run("check", "m.py", "--format", "concise")
    assert (code, out) == (1, "m.py:3: MUP201 logits in [h.0.attn]\n")
    assert err == "muaudit: note: m.py printed 1 line: the user's model prints\n"


def test_clean_exits_0_and_strict_minds_what_was_not_analysed(run: Run, engine: Engine) -> None:
    engine.report = Report(
        **{**vars(REPORT), "violations": (), "unanalysed": (Unanalysed("op", None, None, "no rule"),)}
    )
    assert run("check", "m.py")[0] == 0
    assert run("check", "m.py", "--strict")[0] == 1


def test_flags_reach_the_engine(run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "run_tasks", run_here)
    run(
        "check", "m.py:Net", "--width", "n_embd=64,128", "--width", "d_ff=96,288", "--set", "n_layer=2",
        "--input", "idx=int64[2,32]", "--optimizer", "sgd", "--lr-group", "h.*=-1", "--profile", "lingle",
        "--target-width", "4096", "--seed", "7",
    )  # fmt: skip
    (text, options), (target, kwargs) = engine.calls
    assert text == "m.py:Net"
    assert dict(options.widths) == {"n_embd": (64, 128), "d_ff": (96, 288)}
    assert options.set == {"n_layer": 2}
    assert str(options.inputs["idx"]) == "int64[2, 32]"
    assert (options.optimizer, options.lr_groups) == ("sgd", (("h.*", -1.0),))
    assert target == "target"
    assert (kwargs["profile"].name, kwargs["target_width"], kwargs["seed"]) == ("lingle", 4096, 7)


def test_the_target_may_be_left_out(run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "run_tasks", run_here)
    run("check")
    assert engine.calls[0][0] is None


def test_json(run: Run, engine: Engine) -> None:
    code, out, _ = run("check", "m.py", "--format", "json")
    assert (code, json.loads(out)["violations"][0]["rule"]) == (1, "MUP201")


def test_output_replaces_the_file_in_one_step(run: Run, engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    code, out, _ = run("check", "m.py", "--format", "json", "--output", str(path))
    assert (code, out) == (1, "")
    assert json.loads(path.read_text())["schema"] == "muaudit.report/1"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_output_that_cannot_be_written(run: Run, engine: Engine, tmp_path: Path) -> None:
    code, out, err = run("check", "m.py", "--output", str(tmp_path / "no" / "such" / "file"))
    assert (code, out) == (2, "")
    assert "cannot write" in err
    assert "No such file or directory" in err


def test_output_is_no_file_that_is_read(
    run: Run, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text("model")
    for args in (("--output", "m.py"), ("--output", "sarif=m.py")):
        code, out, err = run("check", "m.py", *args)
        assert (code, out) == (2, "")
        assert "cannot write m.py: this run reads that file" in err
    assert Path("m.py").read_text() == "model"


def test_a_diff_has_no_output(run: Run, engine: Engine, tmp_path: Path) -> None:
    code, out, err = run("check", "m.py", "--diff", "--output", str(tmp_path / "report"))
    assert (code, out) == (2, "")
    assert "--diff prints a patch and writes nothing" in err


def test_why(run: Run, engine: Engine) -> None:
    assert "init n^0" in run("check", "m.py", "--why", "head.weight")[1]
    code, out, err = run("check", "m.py", "--why", "head.wieght")
    assert (code, out) == (2, "")
    assert "did you mean head.weight?" in err


def test_user_errors_exit_2_with_one_message(run: Run, engine: Engine) -> None:
    engine.report = UserError("no such file: m.py", "did you mean n.py?")
    code, out, err = run("check", "m.py")
    assert (code, out) == (2, "")
    assert err.endswith("muaudit: error: no such file: m.py\ndid you mean n.py?\n")
    assert "Traceback" not in err


def test_our_own_bugs_exit_2_and_not_1(run: Run, engine: Engine) -> None:
    engine.report = ZeroDivisionError("oops")
    code, _, err = run("check", "m.py")
    assert code == 2
    assert "internal error: ZeroDivisionError: oops" in err
    assert "Traceback" not in err
    code, _, err = run("check", "m.py", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_a_fault_of_the_users_code_is_none_of_ours(run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def audit(target: str, **kwargs: Any) -> Report:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(sys.modules["muaudit.audit"], "audit", audit)
    code, _, err = run("check", "m.py")
    assert (code, "internal error" in err) == (2, False)
    assert "the audited code raised ZeroDivisionError: oops" in err
    assert "test_cli.py" in err
    assert 'raise ZeroDivisionError("oops")' in err


def test_a_model_that_calls_exit_is_not_clean(run: Run, engine: Engine) -> None:
    engine.report = SystemExit(0)
    code, _, err = run("check", "m.py")
    assert code == 2
    assert "sys.exit(0)" in err


def test_interrupt(run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.report = KeyboardInterrupt()
    code, _, err = run("check", "m.py")
    assert (code, "the audited code raised KeyboardInterrupt" in err) == (2, True)
    monkeypatch.setattr(audits, "run_tasks", run_here)
    assert run("check", "m.py")[0] == 130  # the user's own


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["check", "m.py", "--format", "jsn"], "did you mean json or jsonl?"),
        (["check", "m.py", "--profile", "tp6"], "did you mean tp5?"),
        (["check", "m.py", "--width", "n_embd"], "--width"),
        (["check", "m.py", "--set", "n_layer"], "--set expects key=value"),
        (["check", "m.py", "--input", "what"], "--input expects dtype[sizes]"),
        (["check", "m.py", "--lr-group", "what"], "--lr-group expects PATTERN=EXPONENT"),
        (["check", "m.py", "--target-width", "0"], "--target-width"),
        (["check", "m.py", "--wdith", "64"], "--width"),
        (["chekc"], "check"),
        (["explain", "MUP999"], "unknown rule 'MUP999'"),
        (["explain", "atention-scale"], "did you mean attention-scale"),
        (["explain"], "code"),
        (["tables", "--optimizer", "adan"], "did you mean adam?"),
    ],
    ids=" ".join,
)
def test_bad_usage_exits_2(run: Run, engine: Engine, args: list[str], message: str) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert message.lower() in err.lower()
    assert "Traceback" not in err


def test_rules_and_explain(run: Run) -> None:
    code, out, _ = run("rules")
    assert code == 0
    assert len(out.splitlines()) == len(RULES) + 1
    code, out, _ = run("explain", "attention-scale")
    assert code == 0
    assert out.startswith("MUP201 attention-scale (error): attention logits")
    assert [
        s for s in ("What it does", "Why is this bad", "Example", "Fix", "Evidence", "When it is fine") if s not in out
    ] == []


def test_tables(run: Run) -> None:
    _, both, _ = run("tables")
    assert both.count("source: ") == 5
    assert both.count("arXiv 2203.03466") == 4
    assert both.count("Adam lr ") == both.count("SGD lr ") == 5
    _, adam, _ = run("tables", "--optimizer", "adam")
    assert adam.count("Adam lr ") == 5
    assert "SGD lr" not in adam
    assert "Adam lr" not in run("tables", "--optimizer", "SGD")[1]


def test_version(run: Run) -> None:
    assert run("version") == run("--version") == (0, f"muaudit {__version__}\n", "")


def test_no_arguments_print_the_help(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert "check" in out + err


def process(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True,
        env={**os.environ, "PY": sys.executable, **env},
    )  # fmt: skip


def test_a_reader_that_stops_early_is_no_error() -> None:
    done = process('"$PY" -m muaudit rules | head -n 0; echo ${PIPESTATUS[0]}')
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_a_stdout_without_unicode_is_no_error() -> None:
    done = process('"$PY" -m muaudit tables', PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "?P, Table 3" in done.stdout


def test_what_a_model_prints_stands_above_the_spinner(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    from muaudit.cli import progress

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    with progress.progress("auditing"):
        while "auditing" not in terminal.getvalue():
            time.sleep(0.01)
        print("number of parameters", file=sys.stderr)
    assert sys.stderr is terminal
    before = terminal.getvalue().split("number of parameters")[0]
    assert before.rindex("\x1b[2K") > before.rindex("auditing"), "the spinner's line is erased first"
