"""From a path or a dotted name to an imported module, with every way in which that fails told apart."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from muaudit.errors import UserError
from muaudit.targets import scripts
from muaudit.targets.devices import on_the_cpu, same_device
from muaudit.targets.source import read_source
from muaudit.targets.usercode import describe, quiet, where
from muaudit.targets.userfiles import claim, is_installed

# What was imported before any target is no target's: muaudit and torch stand on it.
_BEFORE = frozenset(sys.modules)
_ROOTS = (".git", "pyproject.toml", "setup.py")


class _FolderFinder:
    """Finds the target's sibling modules first, but never instead of the standard library.

    A folder put on sys.path would shadow it (a user's `types.py` or `queue.py`) for everything imported later.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.found: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a top-level module or package in the folder; namespace packages are left to sys.path."""
        if path is not None or "." in name or name in sys.stdlib_module_names:
            return None
        if name in Path(self.folder).parts:  # of a file called like a folder that it lies in, others mean the folder
            above = PathFinder.find_spec(name, [str(each) for each in _folders_above(Path(self.folder))])
            if above is not None and above.submodule_search_locations:
                self.found.add(name)
                return above
        spec = PathFinder.find_spec(name, [self.folder])
        if spec is None or spec.loader is None:
            return None
        self.found.add(name)
        return spec


class _AboveFinder:
    """Finds what nothing else does in the folders above the target's: a repository's root, where its scripts are run.

    They are searched last, and no further than the root of the repository, or of what lies below the working directory.
    So are the folders of the target's package: scripts that stand in one of them are run from there. A folder that the
    file puts on sys.path without saying where it is, `sys.path.append("utils")`, is beside the file.
    """

    def __init__(self, below: _FolderFinder, own: Path) -> None:
        self.below = below
        root = Path(below.folder)
        inner = [each for each in (own, *own.parents) if each != root and each.is_relative_to(root)]
        self.folders = [str(folder) for folder in (*inner, *_folders_above(root))]
        self.own = own

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a top-level module or package in one of the folders, the nearest first."""
        if path is not None or "." in name:
            return None
        beside = [
            str(self.own / each) for each in sys.path if each and not Path(each).is_absolute()
        ]  # of the file's own
        spec = PathFinder.find_spec(name, [*beside, *self.folders])
        if spec is not None:
            self.below.found.add(name)
        return spec


def _folders_above(folder: Path) -> list[Path]:
    above = list(folder.parents)
    root = next((each for each in (folder, *above) if any((each / mark).exists() for mark in _ROOTS)), None)
    root = root or (Path.cwd() if Path.cwd() in above else folder)
    return [each for each in above if each.is_relative_to(root)]


def load_file(path: Path) -> ModuleType:
    """Import a Python file, as part of its package where it sits in one. Raises UserError for every failure."""
    claim(path)
    path = path.resolve()
    source = _read(path)
    root, dotted = _package_of(path, b"from .." in source, re.search(rb"^\s*from \.", source, re.MULTILINE) is not None)
    finder = _make_importable(root, path.parent)
    if "." in dotted:
        _forget_copy(dotted.partition(".")[0], root)

    def load() -> ModuleType:
        with _importing(path.name, path):
            return _import_dotted(dotted, path) if "." in dotted else _execute(path, source, finder)

    try:
        return load()
    except UserError as error:
        if not on_the_cpu(error.message):
            raise
        return load()


def load_module(dotted: str) -> ModuleType:
    """Import an installed module (or one in the working directory). Raises UserError for every failure."""
    _make_importable(Path.cwd())
    with _importing(dotted, None):
        found = _spec_of(dotted)
    if found is None:
        raise UserError(
            f"no module named {dotted!r}", "expected file.py, file.py:Name, package.module:Name or a config.json"
        )
    with _importing(dotted, None):
        return importlib.import_module(dotted)


def _spec_of(dotted: str) -> ModuleSpec | None:
    """Where a module is, None where there is none; what importing the packages that it is in raises is not caught."""
    try:
        return importlib.util.find_spec(dotted)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{dotted}.".startswith(f"{error.name}."):
            raise
        return None
    except ValueError:
        return None


def lookup(module: ModuleType, name: str, where_from: str) -> Any:
    """The object a target names, dots allowed. Raises UserError with the nearest names."""
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UserError(f"{where_from} has no {name!r}", near(name, public_names(module), "it has"))
        found = getattr(found, part)
    return found


def public_names(module: ModuleType) -> list[str]:
    """The classes and functions a module defines, or re-exports from its own package."""
    package = module.__name__.partition(".")[0]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and str(getattr(value, "__module__", "")).partition(".")[0] == package
    ]


def near(name: str, choices: Iterable[str], lead: str) -> str:
    """`did you mean X?` where something is close, then the list of choices."""
    listed = list(choices)
    close = difflib.get_close_matches(name, listed, n=1)
    lines = [f"did you mean {close[0]}?"] if close else []
    shown = ", ".join(listed[:30]) + (", ..." if len(listed) > 30 else "")
    return "\n".join([*lines, f"{lead}: {shown}"] if listed else lines)


def _read(path: Path) -> bytes:
    if path.suffix != ".py":
        raise UserError(
            f"{path.name} is not a Python file", "expected file.py, file.py:Name, package.module:Name or a config.json"
        )
    source = read_source(path)
    try:
        text = importlib.util.decode_source(source)
    except (SyntaxError, UnicodeDecodeError):
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path.name} is not a Python file: it is not text")
    return source


def _package_of(path: Path, nested: bool = False, within: bool = False) -> tuple[Path, str]:
    """The folder to import from and the dotted name under which the file's package knows it.

    nested: it imports from above its folder, which then belongs to a package even without an `__init__.py`. within: it
    imports from its folder as from a package, which it then is.
    """
    folder, parts = path.parent, [path.stem]
    nested = (nested and (folder.parent / "__init__.py").exists()) or (within and not nested)
    while ((folder / "__init__.py").exists() or (nested and folder == path.parent)) and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _import_dotted(dotted: str, path: Path) -> ModuleType:
    """Import a file as part of its package; a package's `__init__.py` goes by the package's own name."""
    name = dotted.removesuffix(".__init__")
    module = importlib.import_module(name)
    if module.__file__ != str(path):
        raise UserError(f"{path.name} goes by the name {name}, which is {module.__file__}", "rename the file")
    return module


def _execute(path: Path, source: bytes, finder: _FolderFinder) -> ModuleType:
    """Run the file as a module of its own name, unless that name is taken by something else; of a script, and of a
    file that fails, the definitions alone.

    Compiled here rather than through the import system, whose cache goes by a time stamp in whole seconds.
    """
    name = path.stem if path.stem.isidentifier() else "_target"
    taken = sys.modules.get(name)
    if name in (*sys.stdlib_module_names, *path.parts[:-1]) or (
        taken is not None and getattr(taken, "__file__", None) != str(path)
    ):
        name = f"_{name}"
    code = compile(source, str(path), "exec", dont_inherit=True)
    tree = ast.parse(source)
    finder.found.add(name)
    why = scripts.work_in(tree)
    module = _new_module(name, path)
    if why:
        scripts.run_definitions(tree, str(path), module.__dict__, f"{why} when it is imported")
        return module
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        return _definitions(tree, name, path, error)
    return module


def _definitions(tree: ast.Module, name: str, path: Path, error: BaseException) -> ModuleType:
    """The definitions of a file that fails when it is run whole; its own failure where they hold no model either."""
    why = "run whole it exits" if isinstance(error, SystemExit) else f"run whole it raises {describe(error)}"
    module = _new_module(name, path)
    try:
        found = scripts.run_definitions(tree, str(path), module.__dict__, why)
    except Exception:
        found = False
    if not found:
        raise error
    return module


def _new_module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module


def _make_importable(folder: Path, own: Path | None = None) -> _FolderFinder:
    """Let the target import its siblings; a former target's folder and siblings make room. own: the target's folder."""
    for finder in [finder for finder in sys.meta_path if isinstance(finder, _FolderFinder)]:
        if finder.folder == str(folder):
            sys.meta_path[:] = [each for each in sys.meta_path if getattr(each, "below", None) is not finder]
            sys.meta_path.append(_AboveFinder(finder, own or folder))
            return finder
        sys.meta_path.remove(finder)
        sys.meta_path[:] = [each for each in sys.meta_path if getattr(each, "below", None) is not finder]
        for name in [name for name in sys.modules if name.partition(".")[0] in finder.found]:
            del sys.modules[name]
        if finder.folder in sys.path:
            sys.path.remove(finder.folder)
    finder = _FolderFinder(folder)
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(_AboveFinder(finder, own or folder))
    sys.path.append(str(folder))
    return finder


@contextlib.contextmanager
def _importing(name: str, path: Path | None) -> Iterator[None]:
    """Import quietly, with a command line of its own, and say whose fault a failure is."""
    argv, sys.argv = sys.argv, [str(path) if path else name]
    try:
        with quiet(), same_device():
            yield
    except UserError:
        raise
    except SyntaxError as error:
        place = f"{Path(error.filename or name).name}:{error.lineno}"
        message = "\n".join([f"{place}: syntax error: {error.msg}", *where(error)])
        raise UserError(message, "is it Python 3?") from error
    except SystemExit as error:
        message = "\n".join([f"{name} exits while it is imported", *where(error)])
        raise UserError(message, 'put what is meant to run under `if __name__ == "__main__":`') from error
    except ImportError as error:
        message = "\n".join([f"{name} cannot be imported: {describe(error)}", *where(error)])
        raise UserError(message, _of_missing(path)) from error
    except Exception as error:
        message = "\n".join([f"{name} cannot be imported: {describe(error)}", *where(error)])
        raise UserError(message, _of_import(error)) from error
    finally:
        sys.argv = argv
        _forget_orphans()


def _of_missing(path: Path | None) -> str:
    """What helps where a package is missing, and that a file which does not name torch may be no model of PyTorch."""
    hint = "install what it needs, or run in the environment that has it"
    if path is None or b"torch" in read_source(path):
        return hint
    return f"{hint}\n{path.name} does not import torch itself: models of other frameworks are not audited"


def _of_import(error: Exception) -> str:
    """What helps where an import failed: that a package fails while it is imported is not for the user to change."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    installed = (each for each in frames if is_installed(each.f_code.co_filename))
    first = next(installed, None)
    if first is not None and first.f_code.co_name == "<module>":
        package = str(first.f_globals.get("__name__", "")).partition(".")[0]
        return f"importing {package} by itself fails in the same way: was it built for another version of torch?"
    return 'put what is meant to run under `if __name__ == "__main__":`, or write build(width) in a file of its own'


def _forget_copy(package: str, root: Path) -> None:
    """Drop the target's package where a former target has imported another copy of it, such as an installed one."""
    taken = sys.modules.get(package)
    places = [getattr(taken, "__file__", None), *getattr(taken, "__path__", ())]
    home = next((Path(place) for place in places if place), None)
    if home is None or home.is_relative_to(root / package) or package in _BEFORE:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def _forget_orphans() -> None:
    """Drop modules of the target's whose package is not imported, as when it failed halfway.

    Python hands such a module out without a look at its package: the next target would pass, and fail elsewhere.
    """
    own = {name for finder in sys.meta_path if isinstance(finder, _FolderFinder) for name in finder.found}
    for name in sorted(sys.modules):  # a package before what is in it
        package = name.rpartition(".")[0]
        if package and package not in sys.modules and name.partition(".")[0] in own:
            del sys.modules[name]
