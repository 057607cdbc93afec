"""A process for every target: what user code does to its own, and what becomes of the others, of output, of state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from program import app

from muaudit.errors import UserError
from muaudit.isolation import (
    Done,
    InternalError,
    LostTarget,
    Outcome,
    Task,
    forked,
    run_task,
    run_tasks,
    scope,
    spawned,
)
from muaudit.isolation.plain_data import plain, rebuilt
from muaudit.jobs import Audited, Job, run_jobs
from muaudit.report.listing import Failure

FIXTURES = Path(__file__).parents[1] / "fixtures"
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(torch.relu(self.mid(torch.relu(self.up(x)))))
"""
ENDS = {
    "import os; os._exit(3)": "exit status 3",
    "import ctypes; ctypes.string_at(0)": "SIGSEGV (a segmentation fault)",
    "import os; os.abort()": "SIGABRT",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "SIGKILL (out of memory, or killed from outside)",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": "SIGTERM",
    "raise KeyboardInterrupt": "the audited code raised KeyboardInterrupt",
    "raise BaseException('odd')": "the audited code raised BaseException: odd",
    "raise GeneratorExit": "the audited code raised GeneratorExit",
}


def running(code: str) -> str:
    """The model, which runs this once, when it is first built."""
    body = "".join(f"    {row}\n" for row in code.strip().splitlines())
    once = f"from functools import cache\n\n\n@cache\ndef once():\n{body}\n"
    return once + NET.replace("super().__init__()", "super().__init__()\n        once()")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.py").write_text(NET)
    return tmp_path


def outcomes(*texts: str, **settings: Any) -> list[Any]:
    return run_jobs([Job(text) for text in texts], None, **settings)


def verdict(text: str) -> str:
    (found,) = outcomes(text)
    assert isinstance(found, Audited)
    return found.report.verdict


# -- one target's end ----------------------------------------------------------------------------------------------
def test_whatever_ends_one_target_is_its_own_failure(folder: Path) -> None:
    for number, code in enumerate(ENDS):
        (folder / f"bad{number}.py").write_text(running(code))
    *bad, good = outcomes(*(f"bad{number}.py" for number in range(len(ENDS))), "good.py", processes=2)
    assert isinstance(good, Audited)
    for found, (code, message) in zip(bad, ENDS.items(), strict=True):
        assert isinstance(found, Failure), code
        assert message in found.message, code


def test_a_target_that_does_not_end_is_ended(folder: Path) -> None:
    """So is whatever else takes as long: no machine is sure to have a good one done."""
    (folder / "sleeps.py").write_text(running("import time; time.sleep(600)"))
    (folder / "spins.py").write_text(running("while True: pass"))
    found = outcomes("sleeps.py", "spins.py", timeout=1, processes=1)
    assert ["took longer than 1 s" in each.message for each in found] == [True, True]


def test_so_does_what_happens_while_it_is_built_or_run(folder: Path) -> None:
    marked = NET.replace("super().__init__()", "super().__init__(); end('__init__')")
    marked = marked.replace("return self.head", "end('forward'); return self.head")
    for number, where in enumerate(("__init__", "forward")):
        ends = f"import os\ndef end(at):\n    if at == '{where}': os._exit(0)\n"
        (folder / f"bad{number}.py").write_text(ends + marked)
    *bad, good = outcomes("bad0.py", "bad1.py", "good.py", processes=1)
    assert ["exit status 0 before it had a result" in each.message for each in bad] == [True, True]
    assert isinstance(good, Audited)


def test_the_others_are_reported_and_the_failure_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.py").write_text("import os; os._exit(1)\n")
    (folder / "muaudit.yaml").write_text("targets: {a: {target: bad.py}, b: {target: good.py}}\n")
    with pytest.raises(SystemExit) as stop:
        app(["check", "--no-cache", "--format", "concise"], prog_name="muaudit")
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert "MUP" in out
    assert "error: a: its process ended with exit status 1" in err


def test_the_only_target_raises(folder: Path) -> None:
    (folder / "bad.py").write_text("import os; os._exit(1)\n")
    with pytest.raises(LostTarget, match=r"bad\.py: its process ended with exit status 1"):
        outcomes("bad.py")


@pytest.mark.parametrize("command", ["coord-check", "sweep", "convert", "transfer"])
def test_every_command_survives_it(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    (folder / "bad.py").write_text(NET + "import os; os._exit(7)\n")
    more = {"convert": ["--base-width", "64"], "transfer": ["--from", "64", "--to", "128"]}
    with pytest.raises(SystemExit) as stop:
        app([command, "bad.py", *more.get(command, [])], prog_name="muaudit")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "bad.py: its process ended with exit status 7" in err


def test_a_comparison_shows_the_one_that_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends = NET.replace("super().__init__()", "super().__init__(); import os; width == 96 and os._exit(4)")
    (folder / "bad.py").write_text(ends)
    with pytest.raises(SystemExit) as stop:
        app(["coord-check", "good.py", "--compare", "bad.py", "--widths", "64,96", "--steps", "1", "--seeds", "1"])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert "output" in out
    assert "bad.py: its process ended with exit status 4" in err


# -- its state -------------------------------------------------------------------------------------------------------
STATES = (
    "torch.set_default_dtype(torch.float64)", "torch.set_default_device('meta')", "torch.inference_mode().__enter__()",
    "torch.set_grad_enabled(False)", "nn.Linear.reset_parameters = lambda self: None", "import os; os.chdir('/')",
    "torch.manual_seed(7)", "import sys; sys.path.clear()", "import builtins; builtins.sum = None",
    "import os; os.environ.clear()", "import warnings; warnings.simplefilter('error')",
)  # fmt: skip


@pytest.mark.parametrize("states", [STATES[::3], pytest.param(STATES, marks=pytest.mark.slow)], ids=len)
def test_no_state_of_one_target_reaches_the_next(folder: Path, states: Sequence[str]) -> None:
    jobs = []
    for number, state in enumerate(states):
        (folder / f"first{number}.py").write_text(NET + state + "\n")
        jobs += [f"first{number}.py", "good.py"]
    (alone,) = outcomes("good.py")
    for state, after in zip(states, outcomes(*jobs, processes=1)[1::2], strict=True):
        assert plain(after.report) == plain(alone.report), state


def test_a_file_whose_default_dtype_is_float64_is_audited_in_it(folder: Path) -> None:
    wide = NET.replace("import torch\n", "import torch\ntorch.set_default_dtype(torch.float64)\n")
    (folder / "wide.py").write_text(wide)
    (found,) = outcomes("wide.py")
    assert (found.report.verdict, "float64" in found.report.describe) == (verdict("good.py"), True)


# -- what it prints --------------------------------------------------------------------------------------------------
PRINTS = """
import atexit, ctypes, os, subprocess, sys, threading
print("from print")
os.write(1, b"from write\\n")
subprocess.run(["echo", "from echo"])
libc = ctypes.CDLL(None)
libc.puts(b"from puts"); libc.fflush(None)
thread = threading.Thread(target=print, args=("from thread",)); thread.start(); thread.join()
atexit.register(print, "from atexit")
"""


def test_whatever_is_printed_goes_to_stderr(folder: Path) -> None:
    (folder / "loud.py").write_text(NET + PRINTS)
    command = [sys.executable, "-m", "muaudit", "check", "loud.py", "--no-cache", "--format", "concise"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "from" not in done.stdout
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("muaudit: note: loud.py printed ")
    whole = subprocess.run([*command, "--verbose"], capture_output=True, text=True, check=False)
    for source in ("print", "write", "echo", "puts", "thread", "atexit"):
        assert f"from {source}\n" in whole.stderr


def test_what_libraries_clear_up_at_the_end_no_child_does_for_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task itself leaves to be cleared up is (`from atexit` above)."""
    leaves = "import weakref\nclass Held: pass\ndef leave(path):\n    weakref.finalize(Held, open, path, 'w')\n"
    (folder / "library.py").write_text(f"{leaves}leave('of_library')\n")
    (folder / "own.py").write_text(leaves)
    monkeypatch.syspath_prepend(folder)
    for entry in ("library", "own"):
        run_task(Task("t", f"{entry}:leave", ("by_task",), (entry,)))
        assert [file.name for file in folder.glob("*_*")] == ["by_task"]
        (folder / "by_task").unlink()


def test_what_is_printed_is_one_note_and_lines_that_differ_in_numbers_are_one(folder: Path) -> None:
    """A model says how large it is each time it is built, and is built many times."""
    (folder / "says.py").write_text(
        running("for n in range(5):\n    print(f'number of parameters: {n}.5M')\nprint('once')")
    )
    command = [sys.executable, "-m", "muaudit", "check", "says.py", "--no-cache", "--format", "concise"]
    short, whole = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=False).stderr
        for more in ([], ["--verbose"])
    )
    assert short == "muaudit: note: says.py printed 6 lines: number of parameters: 0.5M; once\n"
    assert (whole.count("number of parameters"), "more lines" in whole) == (5, False)


# -- what it leaves behind ---------------------------------------------------------------------------------------------
SLEEPER = """
import os, sys, time
open(sys.argv[1] + "." + str(os.getpid()), "w")
time.sleep(600)
"""
LEAVES = """
import os, subprocess, sys, time
def start(**how):
    subprocess.Popen([sys.executable, "sleeper.py", str(os.getpid())], **how)
start(); start(start_new_session=True)
if os.fork() == 0:
    os.setsid()
    start()
    os._exit(0)
while len([name for name in os.listdir() if name[0].isdigit()]) < 3:
    time.sleep(0.01)
"""


def started(folder: Path) -> list[int]:
    return [int(file.suffix[1:]) for file in folder.glob("[0-9]*.[0-9]*")]


def gone(pids: list[int], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
            return True
        time.sleep(0.05)
    return False


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def test_what_hangs_at_exit_is_cut_off(folder: Path) -> None:
    (folder / "leaves.py").write_text(running("import atexit, time\natexit.register(time.sleep, 3600)"))
    begun = time.monotonic()
    assert isinstance(outcomes("leaves.py")[0], Audited)
    assert time.monotonic() - begun < 300


@linux
def test_no_process_of_user_code_is_left_behind(folder: Path) -> None:
    (folder / "sleeper.py").write_text(SLEEPER)
    (folder / "leaves.py").write_text(running(LEAVES))
    assert isinstance(outcomes("leaves.py")[0], Audited)
    assert len(started(folder)) == 3
    assert gone(started(folder))


def _interruptible() -> None:
    """As in a terminal: a shell starts what it puts in the background deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_everything_ends_with_muaudit(folder: Path, number: int) -> None:
    (folder / "sleeper.py").write_text(SLEEPER)
    (folder / "leaves.py").write_text(running(LEAVES + "time.sleep(600)\n"))
    command = [sys.executable, "-m", "muaudit", "check", "leaves.py", "--no-cache"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_interruptible)
    while len(started(folder)) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    target = int(next(folder.glob("[0-9]*.[0-9]*")).name.partition(".")[0])
    process.send_signal(number)
    assert process.wait(120) == (130 if number == signal.SIGINT else -number)
    assert gone([target, *started(folder)])


# -- the machinery -----------------------------------------------------------------------------------------------------
def double(number: int) -> int:
    return 2 * number


def forge(number: int) -> Any:
    from muaudit.isolation import child

    assert child._channel is not None
    os.write(child._channel.descriptor, b'no JSON\n[1]\n{"error": 7}\n{"done": 1}\n')
    return number


def named(value: Any) -> Any:
    return type(value).__name__


def raises(kind: str) -> None:
    raise {"user": UserError("what", "hint"), "memory": MemoryError(), "ours": ZeroDivisionError("oops")}[kind]


LAUNCHERS = {"forked": forked.launcher, "spawned": spawned.launcher}


@pytest.fixture(params=list(LAUNCHERS))
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Outcome]]:
    """Tasks of this module's functions, by both ways of starting them."""
    monkeypatch.setattr("muaudit.isolation.crew.LINUX", request.param == "forked")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def call(function: str, *values: Any, **settings: Any) -> list[Outcome]:
        tasks = [Task(f"t{n}", f"test_isolation:{function}", (each,), ()) for n, each in enumerate(values)]
        return run_tasks(tasks, **settings)

    return call


def test_results_come_in_order(run: Callable[..., list[Outcome]]) -> None:
    assert run("double", 1, 2, 3, workers=2) == [Done(2), Done(4), Done(6)]
    assert run("double") == []


def test_errors_keep_their_kind(run: Callable[..., list[Outcome]]) -> None:
    user, memory, ours = run("raises", "user", "memory", "ours", workers=3)
    assert isinstance(user, UserError)
    assert (user.message, user.hint) == ("what", "hint")
    assert isinstance(memory, LostTarget)
    assert memory.what == "out of memory"
    assert isinstance(ours, InternalError)
    assert ours.error == "ZeroDivisionError: oops"
    assert "raises" in ours.trace


def test_what_user_code_forges_is_no_code(run: Callable[..., list[Outcome]]) -> None:
    (outcome,) = run("forge", 1)
    assert isinstance(outcome, InternalError)


def test_tasks_share_one_nursery_until_the_scope_ends() -> None:
    with scope():
        pids = {run_tasks([Task("t", "os:getppid", (), ())])[0].data for _ in range(2)}  # type: ignore[union-attr]
        assert len(pids) == 1
    assert run_tasks([Task("t", "os:getppid", (), ())])[0].data not in pids  # type: ignore[union-attr]


def test_a_nursery_that_is_killed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with scope():
        lost = run_tasks([Task("t", "os:kill", (_parent(), signal.SIGKILL), ())])
        assert isinstance(lost[0], Done | LostTarget)
        assert isinstance(run_tasks([Task("t", "os:getpid", (), ())])[0], Done)


def _parent() -> int:
    (found,) = run_tasks([Task("t", "os:getppid", (), ())])
    assert isinstance(found, Done)
    return int(found.data)


@pytest.mark.parametrize("data", [None, 3, [], {}, {"target": 3, "message": "x", "trace": ""}, {"target": "a"}])
def test_data_of_another_type_are_refused(data: Any) -> None:
    failure = Failure("a", "b")
    assert rebuilt(Failure, plain(failure)) == failure
    with pytest.raises(ValueError, match="expected"):
        rebuilt(Failure, data)


# -- what is audited ---------------------------------------------------------------------------------------------------
COMPILED = {
    "plain": "def build(width): return Net(width)\n",
    "whole": "def build(width):\n    model = torch.compile(Net(width))\n    assert model._orig_mod\n    return model\n",
    "part": "def build(width):\n    model = Net(width)\n    model.mid = torch.compile(model.mid)\n    return model\n",
    "method": "def build(width):\n    model = Net(width)\n    model.compile()\n    return model\n",
    "decorator": "@torch.compile(mode='default')\ndef one(): return 1\ndef build(width): return Net(one() * width)\n",
}
UNUSED = "\nimport sys\ndef unused(): assert not {'torch._dynamo', 'sympy'} & set(sys.modules)\n"
DEEP = """
plain = GPT.forward
def forward(self, idx, targets=None):
    unused()
    return plain(self, idx, targets)
GPT.forward = forward
"""


def test_what_is_compiled_is_audited_as_it_is_written_and_no_compiler_is_imported(folder: Path) -> None:
    """In a process of its own: importing torch's compiler takes longer than an audit, and sympy as long.

    So would drawing on the meta device, where models of many layers are looked at.
    """
    batch = "\ndef batch(width): return torch.ones(4, 16)\n"
    loss = "\ndef loss(out, batch):\n    unused()\n    return out.sum()\n"
    for how, build in COMPILED.items():
        (folder / f"{how}.py").write_text(NET + UNUSED + build + batch + loss)
    (folder / "deep.py").write_text((FIXTURES / "gpt" / "sp.py").read_text() + UNUSED + DEEP)
    targets = {**{how: f"{how}.py" for how in COMPILED}, "deep": "deep.py:GPT"}
    (folder / "muaudit.yaml").write_text(json.dumps({"targets": {k: {"target": v} for k, v in targets.items()}}))
    command = [sys.executable, "-m", "muaudit", "check", "--no-cache", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found = dict(zip(targets, json.loads(done.stdout), strict=True))
    told = {how: ([row["name"] for row in found[how]["tensors"]], found[how]["verdict"]) for how in COMPILED}
    assert told == dict.fromkeys(COMPILED, told["plain"])


@pytest.mark.parametrize("left", ["torch.device('meta').__enter__()", "torch.set_default_device('meta')"])
def test_a_default_device_that_is_left_on_is_the_models_alone(folder: Path, left: str) -> None:
    spec = "def build(width):\n    {}\n    return Net(width)\n\n\ndef batch(width):\n    return torch.ones(4, 16)\n"
    (folder / "left.py").write_text(NET + spec.format(left))
    (folder / "moved.py").write_text(NET + spec.format("").replace("Net(width)", "Net(width).to('meta')"))
    found, other = outcomes("left.py", "moved.py")
    assert found.message.replace("left.py", "moved.py") == other.message
