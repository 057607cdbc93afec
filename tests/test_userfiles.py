"""Whose a file is goes by the components of its path."""

from __future__ import annotations

import importlib
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import muaudit
from muaudit.targets.userfiles import claim, is_user_file
from muaudit.trace.frames import caller


@pytest.mark.parametrize(
    "folder", ["my-importlib-demo", "site-packages-notes", "old dist-packages", "muaudit", "python3.11"]
)
def test_a_folder_that_is_called_alike_is_the_users(tmp_path: Path, folder: str) -> None:
    assert is_user_file(str(tmp_path / folder / "model.py"))


def test_a_folder_of_that_name_from_which_nothing_is_imported_is_the_users(tmp_path: Path) -> None:
    assert is_user_file(str(tmp_path / "site-packages" / "model.py"))


def test_a_folder_of_packages_on_the_path_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lib" / "site-packages"
    monkeypatch.syspath_prepend(str(folder))
    assert not is_user_file(str(folder / "package" / "model.py"))
    assert is_user_file(str(tmp_path / "lib" / "model.py"))


def test_python_packages_and_muaudit_are_not() -> None:
    assert importlib.__file__
    assert muaudit.__file__
    for file in (importlib.__file__, muaudit.__file__, pytest.__file__, "<frozen importlib._bootstrap>", "<string>"):
        assert not is_user_file(file)
    beside = sysconfig.get_path("stdlib") + "-models/net.py"
    assert is_user_file(beside)


def test_the_targets_own_file_always_is() -> None:
    file = str(Path(sysconfig.get_path("purelib")) / "package" / "net.py")
    assert not is_user_file(file)
    claim(file)
    assert is_user_file(file)


@pytest.mark.parametrize("folder", ["my-site-packages-demo", "site-packages"])
def test_lines_of_a_model_in_a_folder_that_is_called_alike_are_shown(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / "model.py"
    namespace: dict[str, Any] = {"caller": caller}
    exec(compile("def place():\n    return caller()", str(file), "exec"), namespace)
    assert namespace["place"]() == (str(file), 2)
