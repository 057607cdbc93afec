"""Writing a file: what is no regular file stays what it is, links stay links, and no source is overwritten."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from muaudit.cli.report_files import check_outputs
from muaudit.errors import UserError
from muaudit.writing import check_writable, try_lock, write_file


def kind(path: Path) -> int:
    return stat.S_IFMT(path.lstat().st_mode)


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("a much longer text than before")
    file.chmod(0o640)
    reader = file.open()
    write_file(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert reader.read() == "a much longer text than before"  # who reads the old one is not disturbed
    reader.close()
    assert os.listdir(tmp_path) == ["report.json"]


def test_what_a_killed_run_has_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    file, stranger = tmp_path / "[a] report.json", tmp_path / ".other.12.tmp"
    left, young, held = (tmp_path / f".[a] report.json.{name}.tmp" for name in ("00000000", "11111111", "22222222"))
    for each in (left, young, held, stranger):
        each.write_text("half")
    for each in (left, held, stranger):
        os.utime(each, (0, 0))
    with held.open("r+b") as other:
        assert try_lock(other)
        write_file(file, b"new")
    assert {each.name for each in tmp_path.iterdir()} == {file.name, young.name, held.name, stranger.name}
    assert file.read_bytes() == b"new"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for target in ("old.json", "new.json"):
        link = tmp_path / f"link-{target}"
        link.symlink_to(Path("real", target))
    (tmp_path / "real" / "old.json").write_text("old")
    for target in ("old.json", "new.json"):
        write_file(tmp_path / f"link-{target}", b"report")
        assert (tmp_path / f"link-{target}").is_symlink()
        assert (tmp_path / "real" / target).read_bytes() == b"report"


def test_hard_links_stay_one_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("what was longer before")
    other.hardlink_to(one)
    write_file(one, b"new")
    assert other.read_bytes() == b"new"
    assert one.samefile(other)
    assert sorted(os.listdir(tmp_path)) == ["one", "other"]


def test_a_fifo_reaches_its_reader(tmp_path: Path) -> None:
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()), daemon=True)
    reader.start()
    write_file(fifo, b"report")
    reader.join(10)
    assert got == [b"report"]
    assert kind(fifo) == stat.S_IFIFO
    assert os.listdir(tmp_path) == ["fifo"]


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.open("wb").close()
    except OSError:
        pytest.skip("devices can be made and opened by root alone")
    write_file(device, b"report")
    assert kind(device) == stat.S_IFCHR
    assert os.listdir(tmp_path) == ["null"]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_a_descriptor_is_written_where_it_stands(tmp_path: Path, name: str) -> None:
    """`--output >(command)`, and `/dev/stdout` of `(command; muaudit ...) > log`: what was written before is kept."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list its descriptors")
    log = tmp_path / "log"
    with log.open("wb", buffering=0) as file:
        path = Path(name.format(file.fileno()))
        if name == "link":
            path = tmp_path / "link"
            path.symlink_to(f"/dev/fd/{file.fileno()}")
        file.write(b"before ")
        write_file(path, b"report ")
        file.write(b"after")
    assert log.read_bytes() == b"before report after"


def test_a_pipe_whose_reader_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    write_file(Path(f"/dev/fd/{writer}"), b"report")
    os.close(writer)


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is a folder"):
        check_writable([tmp_path])
    with pytest.raises(UserError, match=r"No such file or directory: .*/no/such"):
        check_writable([tmp_path / "no" / "such" / "file"])


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("old")
    other.hardlink_to(one)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_file(one, b"new")
    assert other.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["one", "other"]


def test_an_output_that_is_read_is_refused(tmp_path: Path) -> None:
    model, config, link = tmp_path / "model.py", tmp_path / "config.json", tmp_path / "report"
    for file in (model, config):
        file.write_text("")
    link.hardlink_to(model)
    for output, read in ((model, f"{model}:Net"), (link, model), (config, tmp_path)):
        with pytest.raises(UserError, match=r"this run reads that file"):
            check_outputs([output], [read])
    with pytest.raises(UserError, match="it is a Python source file"):
        check_outputs([model], [])
    check_outputs([tmp_path / "new.json", None], [model, None])
