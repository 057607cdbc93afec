"""The cache of audits: what it answers, what invalidates it, and what it survives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from matrix import some
from program import app
from typer.testing import CliRunner

from muaudit.isolation import Task
from muaudit.jobs import Audited, Job, environment, run_jobs, surroundings
from muaudit.jobs import all_jobs as run_module
from muaudit.jobs import cache as cache_module
from muaudit.jobs.cache import Cache
from muaudit.jobs.consulted import gather
from muaudit.jobs.listening import recording
from muaudit.jobs.stored import report_from, to_data
from muaudit.report.listing import Failure

MODEL = """
from torch import nn
from helper import last
class Net(nn.Sequential):
    def __init__(self, width=64):
        super().__init__(nn.Linear(8, width), nn.Tanh(), last(width))
"""
HELPER = """
import json
from pathlib import Path
from torch import nn
def last(width):
    return nn.Linear(width, json.loads(Path(__file__).with_name("sizes.json").read_text())["out"])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "sizes.json").write_text('{"out": 4}')
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("helper", None)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def audits(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that were really audited."""
    done: list[Job] = []
    really = run_module.run_tasks

    def counted(tasks: Sequence[Task], **settings: Any) -> Any:
        done.extend(task.args[0] for task in tasks)
        return really(tasks, **settings)

    monkeypatch.setattr(run_module, "run_tasks", counted)
    return done


def entry(cache: Cache) -> Path:
    (path,) = cache.folder.glob("*.json")
    return path


def test_an_unchanged_target_is_audited_once_and_says_the_same(project: Path, cache: Cache, audits: list[Job]) -> None:
    first, second = (run_jobs([Job("net.py", name="net")], cache)[0] for _ in range(2))
    assert len(audits) == 1
    assert isinstance(first, Audited)
    assert isinstance(second, Audited)
    assert to_data(first.report) == to_data(second.report)
    assert {Path(file).name for file in second.sources} >= {"net.py", "helper.py", "sizes.json"}
    assert (cache.folder / ".gitignore").read_text() == "*\n"


def test_a_report_survives_the_way_through_json(project: Path) -> None:
    (outcome,) = run_jobs([Job("net.py")], None)
    assert isinstance(outcome, Audited)
    again = report_from(json.loads(json.dumps(to_data(outcome.report))))
    assert to_data(again) == to_data(outcome.report)
    assert again.violations == outcome.report.violations


@pytest.mark.parametrize("name", ["net.py", "helper.py", "sizes.json"])
def test_a_change_in_any_file_that_was_read_counts(project: Path, cache: Cache, audits: list[Job], name: str) -> None:
    run_jobs([Job("net.py")], cache)
    text = (project / name).read_text()
    (project / name).write_text(text + " ")
    run_jobs([Job("net.py")], cache)
    assert len(audits) == 2
    os.utime(project / name)  # a new time of change alone does not count
    run_jobs([Job("net.py")], cache)
    assert len(audits) == 2


def test_what_was_asked_counts(project: Path, cache: Cache, audits: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job("net.py"), Job("net.py:Net"), Job("net.py", profile="lingle"), Job("net.py", seed=1),
            Job("net.py", target_width=4096)]  # fmt: skip
    for job in jobs * 2:
        run_jobs([job], cache)
    assert len(audits) == len(jobs)
    monkeypatch.setattr(cache_module, "_versions", lambda: ("0.0.1", "", "2.6.0", ""))
    run_jobs([jobs[0]], cache)
    assert len(audits) == len(jobs) + 1


@pytest.mark.parametrize(
    "text",
    some(["", "{", "[]", "null", '{"schema": "muaudit.cache/0"}', '{"schema": "muaudit.cache/3"}'], ["{", "null"]),
)
def test_an_entry_that_cannot_be_read_is_rebuilt(project: Path, cache: Cache, audits: list[Job], text: str) -> None:
    run_jobs([Job("net.py")], cache)
    whole = json.loads(entry(cache).read_text())
    entry(cache).write_text(text)
    (outcome,) = run_jobs([Job("net.py")], cache)
    assert len(audits) == 2
    assert isinstance(outcome, Audited)
    again = json.loads(entry(cache).read_text())
    assert again["report"] == whole["report"]
    assert set(again["inputs"]["facts"]["file"]) == set(whole["inputs"]["facts"]["file"])


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"[" * 100_000])
def test_an_entry_of_other_bytes_is_rebuilt(project: Path, cache: Cache, audits: list[Job], data: bytes) -> None:
    run_jobs([Job("net.py")], cache)
    entry(cache).write_bytes(data)
    run_jobs([Job("net.py")], cache)
    run_jobs([Job("net.py")], cache)
    assert len(audits) == 2


def test_a_folder_in_the_place_of_an_entry_does_without(project: Path, cache: Cache, audits: list[Job]) -> None:
    run_jobs([Job("net.py")], cache)
    entry(cache).unlink()
    (cache.folder / f"{cache_module.key(Job('net.py'))}.json").mkdir()
    outcomes = [run_jobs([Job("net.py")], cache)[0] for _ in range(2)]
    assert all(isinstance(outcome, Audited) for outcome in outcomes)
    assert len(audits) == 3
    assert not list(cache.folder.glob("*.tmp"))


def test_an_entry_with_a_damaged_report_is_rebuilt(project: Path, cache: Cache, audits: list[Job]) -> None:
    run_jobs([Job("net.py")], cache)
    data = json.loads(entry(cache).read_text())
    del data["report"]["violations"][0]["rule"]
    entry(cache).write_text(json.dumps(data))
    run_jobs([Job("net.py")], cache)
    assert len(audits) == 2


def test_a_folder_that_cannot_be_written_to_does_without(project: Path, audits: list[Job]) -> None:
    (project / "file").write_text("in the way")
    cache = Cache(project / "file" / "cache")  # permissions do not stop root, a file does
    for _ in range(2):
        (outcome,) = run_jobs([Job("net.py")], cache)
        assert isinstance(outcome, Audited)
    assert len(audits) == 2


def test_a_failure_is_not_kept_and_does_not_stop_the_others(project: Path, cache: Cache) -> None:
    outcomes = run_jobs([Job("gone.py"), Job("net.py"), Job("net.py:Nett")], cache, processes=1)
    assert [type(outcome) for outcome in outcomes] == [Failure, Audited, Failure]
    assert "did you mean Net?" in outcomes[2].message  # type: ignore[union-attr]
    assert len(list(cache.folder.glob("*.json"))) == 1


def test_parallel_processes_say_the_same_as_one(project: Path) -> None:
    jobs = [Job("net.py", name="a"), Job("net.py", name="b", seed=1), Job("gone.py", name="c")]
    alone, together = (run_jobs(jobs, None, processes) for processes in (1, 2))
    for one, other in zip(alone[:2], together[:2], strict=True):
        assert isinstance(one, Audited)
        assert isinstance(other, Audited)
        assert to_data(one.report) == to_data(other.report)
        assert {"net.py", "helper.py"} <= {Path(file).name for file in other.sources}
    assert alone[2] == together[2]


def test_an_unchanged_target_answers_without_torch(project: Path) -> None:
    code = """
import sys
sys.argv = ["muaudit", "check", "net.py", "--quiet"]
from muaudit.cli.main import main
try:
    main()
except SystemExit as stop:
    print(stop.code, "torch" in sys.modules, file=sys.stderr)
"""
    endless = """
import sys, time
class Endless:
    def find_spec(self, name, *args):
        if name == "torch":
            time.sleep(600)
sys.meta_path.insert(0, Endless())
"""
    environment = {**os.environ, "MUAUDIT_CACHE_DIR": str(project / "elsewhere")}
    runs = [
        subprocess.run(
            [sys.executable, "-c", each], capture_output=True, text=True, check=True, env=environment, timeout=300
        )
        for each in (code, endless + code)
    ]
    assert [run.stderr.split()[-2:] for run in runs] == [["1", "False"], ["1", "False"]]
    assert runs[0].stdout == runs[1].stdout != ""


def test_a_variable_that_user_code_asks_for_counts(
    project: Path, cache: Cache, audits: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/test_cache_ambient.py tries all ways."""
    (project / "helper.py").write_text("import os\nSIZE = os.getenv('SIZE')\n" + HELPER)
    for size in ("4", "4", "8"):
        monkeypatch.setenv("SIZE", size)
        run_jobs([Job("net.py")], cache)
    assert len(audits) == 2


def test_what_is_not_seen_is_not_kept(project: Path, cache: Cache, audits: list[Job]) -> None:
    (project / "helper.py").write_text("import time\nSTARTED = time.time()\n" + HELPER)
    for _ in range(2):
        (outcome,) = run_jobs([Job("net.py")], cache)
        assert isinstance(outcome, Audited)
        assert outcome.inputs.unseen == ("time.time answers differently each time",)
    assert len(audits) == 2
    assert not cache.folder.exists()


def test_a_variable_that_nothing_asks_for_does_not_count(
    project: Path, cache: Cache, audits: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs([Job("net.py")], cache)
    monkeypatch.setenv("OF_NO_CONCERN", "1")
    run_jobs([Job("net.py")], cache)
    assert len(audits) == 1
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # asked for by native code
    run_jobs([Job("net.py")], cache)
    assert len(audits) == 2


def test_what_a_module_draws_while_it_is_imported_is_the_same_each_time(project: Path) -> None:
    drawn = "import random, numpy, torch\nDRAWN = random.random(), numpy.random.rand(), torch.rand(1).item()\n"
    (project / "helper.py").write_text(f"{drawn}open('drawn.txt', 'a').write(str(DRAWN) + '\\n')\n" + HELPER)
    for _ in range(2):
        run_jobs([Job("net.py")], None)
    first, second = (project / "drawn.txt").read_text().splitlines()
    assert first == second


def test_verbose_says_what_came_from_the_cache_and_what_is_not_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUAUDIT_CACHE_DIR", str(project / "elsewhere"))
    check = ["check", "net.py", "--isolated", "--verbose", "--exit-zero", "--format", "concise"]
    said = []
    for text in (HELPER, HELPER, "import uuid\nRUN = uuid.uuid4()\n" + HELPER):
        (project / "helper.py").write_text(text)
        said.append([line for line in CliRunner().invoke(app, check).stderr.splitlines() if "cache" in line])
    assert said[:2] == [[], ["muaudit: net.py: unchanged, from the cache"]]
    assert said[2] == ["muaudit: net.py: not kept in the cache: os.urandom answers differently each time"]


@pytest.mark.parametrize("flags", [["-O"], ["-X", "utf8"], ["-W", "error"], ["-X", "int_max_str_digits=5000"]])
def test_how_python_was_started_counts(flags: list[str]) -> None:
    code = "import sys, json; from muaudit.jobs.surroundings import surroundings; print(json.dumps(surroundings()))"
    plain, flagged = (
        subprocess.run([sys.executable, *each, "-c", code], capture_output=True, text=True, check=True).stdout
        for each in ([], flags)
    )
    assert plain != flagged


def test_the_working_directory_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache_module.key(Job("net.py"))
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    assert cache_module.key(Job("net.py")) != here


@pytest.mark.parametrize(
    ("appears", "counts"),
    [("opt_extra.py", True), ("opt/__init__.py", True), ("opt.so", True), ("notes.txt", False), ("out/a", False)],
)
def test_modules_that_appear_on_the_path_count_for_what_was_imported_before(
    project: Path, monkeypatch: pytest.MonkeyPatch, appears: str, counts: bool
) -> None:
    """torch looks for optional modules while it is imported, which is before anything of an audit is noted."""
    path = project / "on_path"
    path.mkdir()
    monkeypatch.setattr(surroundings, "_PATH", (str(path), *surroundings._PATH))
    with recording() as recorder:
        inputs = gather(recorder, frozenset(sys.modules))
    state = environment.state(inputs.variables, os.environ)
    assert inputs.unchanged(os.environ, state)
    (path / appears).parent.mkdir(exist_ok=True)
    (path / appears).write_text("")
    assert inputs.unchanged(os.environ, state) is not counts
