"""Whose a file is: the user's, or that of Python, of an installed package, of muaudit. Decided by path components."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_INSTALLED = ("site-packages", "dist-packages")
_OWN: set[str] = set()


def is_user_file(filename: str) -> bool:
    """Whether code in this file is the user's: not muaudit, the standard library or an installed package.

    The target's own file always is, wherever it lies.
    """
    return filename in _OWN or _is_users(filename)


def claim(file: str | Path) -> None:
    """Say that a file is the target's own."""
    _OWN.update({os.path.abspath(file), os.path.realpath(file)})


@functools.lru_cache(maxsize=4096)
def is_installed(filename: str) -> bool:
    """Whether a file lies in a folder that packages are installed into."""
    return not filename.startswith("<") and _below(filename, _installed_folders(tuple(sys.path)))


@functools.lru_cache(maxsize=4096)
def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return False
    return not (is_installed(filename) or _below(filename, _foreign_folders()))


def _below(filename: str, folders: frozenset[str]) -> bool:
    return _within(os.path.dirname(os.path.abspath(filename)), folders)


@functools.lru_cache(maxsize=4096)
def _within(folder: str, folders: frozenset[str]) -> bool:
    """Whether a folder is one of these or below one: a tenth as many are asked about as files."""
    parent = os.path.dirname(folder)
    return folder in folders or (parent != folder and _within(parent, folders))


@functools.cache
def _foreign_folders() -> frozenset[str]:
    """muaudit's own folder and the standard library's."""
    folders = [str(Path(__file__).resolve().parents[1])]
    folders += [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    return frozenset({*folders, *map(os.path.realpath, folders)})


@functools.lru_cache(maxsize=8)
def _installed_folders(path: tuple[str, ...]) -> frozenset[str]:
    """What is on sys.path under one of the names that installers use, and where this Python installs to."""
    folders = [folder for folder in path if os.path.basename(folder.rstrip("/\\")) in _INSTALLED]
    folders += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return frozenset({*map(os.path.abspath, folders), *map(os.path.realpath, folders)})


def module_file(module: object) -> object:
    """A module's file. One that stands in for a module until it is used may raise anything when it is asked."""
    try:
        return vars(module).get("__file__")
    except TypeError:
        return None


def module_files() -> list[tuple[str, str]]:
    """(name, file) of everything that is imported from a file."""
    found = [(name, module_file(module)) for name, module in list(sys.modules.items())]
    return [(name, file) for name, file in found if isinstance(file, str)]


def user_modules(imported: Iterable[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """(name, file) of what is imported of the user's own Python. imported: what `module_files` said."""
    files = module_files() if imported is None else imported
    return [(name, file) for name, file in files if file.endswith(".py") and is_user_file(file)]
