"""The output folder: all of the old or all of the new, whatever happens in between."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bugs.plant import FIXTURES, load
from safetensors.torch import save_file
from test_checkpoints import SIZES, convert, tensors_of
from test_convert import BASE, target_of

from muaudit.checkpoints import copying as stream
from muaudit.checkpoints import folder as folders
from muaudit.checkpoints.folder import replaced
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.plan import Plan
from muaudit.targets import Target


@pytest.fixture(scope="module")
def mlp() -> tuple[Target, Plan]:
    target = target_of("mlp", "adamw")
    return target, make_plan(target, BASE, 128)


@pytest.fixture
def source(mlp: tuple[Target, Plan], tmp_path: Path) -> Path:
    save_file(tensors_of(mlp[0].build(SIZES, 3)), tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to write more, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """benchmarks/kill_conversion.py does it fifty times and more."""
    script = load(FIXTURES.parent / "benchmarks" / "kill_conversion.py")
    assert sum(script.hunt(8, 3, tmp_path).values()) == 8


@pytest.mark.parametrize("swap", [True, False])
def test_own_files_stay_and_earlier_output_goes(
    mlp: tuple[Target, Plan], source: Path, swap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a file system that can swap two folders in one step."""
    if not swap:
        monkeypatch.setattr(folders, "_swap", lambda one, other: False)
    out = tmp_path / "deep" / "out"
    convert(mlp, source, out)
    (out / "runs").mkdir()
    (out / "runs" / "log.txt").write_text("mine")
    (out / "link").symlink_to("runs")
    other = source.rename(source.with_name("b.safetensors"))
    convert(mlp, other, out)
    assert sorted(path.name for path in out.iterdir()) == [".gitignore", "b.safetensors", "link", "plan.yaml", "runs"]
    assert (out / "link" / "log.txt").read_text() == "mine"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_file_of_the_users_is_never_replaced(mlp: tuple[Target, Plan], source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.safetensors").write_text("mine")
    with pytest.raises(UserError, match=r"holds a a\.safetensors that muaudit did not write"):
        convert(mlp, source, out)
    assert content(out) == {"a.safetensors": b"mine"}


def test_the_checkpoint_itself_is_never_replaced(mlp: tuple[Target, Plan], source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(UserError, match="is in the output folder"):
        convert(mlp, source, source.parent)
    assert source.read_bytes() == before


@pytest.mark.parametrize("size", [100, 2_000, 60_000, 300_000])
def test_a_full_disk_loses_nothing(mlp: tuple[Target, Plan], source: Path, size: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(mlp, source, out)
    before = content(out)
    fits = source.stat().st_size < size
    with files_no_larger_than(size):
        if fits:
            convert(mlp, source, out)
        else:
            with pytest.raises(UserError, match=r"cannot write .*out: .*file too large") as caught:
                convert(mlp, source, out)
            assert "untouched" in str(caught.value)
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "out"]


def test_too_little_room_is_seen_before_anything_is_written(
    mlp: tuple[Target, Plan], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"B needed, [\d.]+ MB free"):
        convert(mlp, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_error_of_the_disk_in_the_middle(
    mlp: tuple[Target, Plan], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = os.write, [3]

    def failing(descriptor: int, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:1000])

    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(UserError, match="no space left on device\nmake room or name a folder on another disk"):
        convert(mlp, source, tmp_path / "out")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="the system writes back on its own")
@pytest.mark.parametrize("good", [0, 1])
def test_an_error_while_the_disk_takes_what_was_written(
    good: int, mlp: tuple[Target, Plan], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from another thread, for any part of the file, the last one too."""
    sync, left = os.fdatasync, [good]

    def failing(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(stream, "_WINDOW", 200_000)
    monkeypatch.setattr(stream, "CHUNK", 100_000)
    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(UserError, match="input/output error"):
        convert(mlp, source, tmp_path / "out")
    monkeypatch.undo()
    assert left == [-1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_folder_one_is_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="it is the folder you are in"), replaced(Path(), lambda folder: ()):
        pass
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="it is a file"), replaced(Path("file"), lambda folder: ()):
        pass


def test_two_runs_at_once(tmp_path: Path) -> None:
    def write(text: str) -> None:
        with replaced(tmp_path / "out", lambda folder: {"a"}) as staging:
            (staging / "a").write_text(text)
            if text == "first":
                with pytest.raises(UserError, match="another run is writing it"):
                    write("second")

    write("first")
    assert content(tmp_path) == {"out/a": b"first"}
    write("third")
    assert content(tmp_path) == {"out/a": b"third"}
