"""Running the user's code: its prints go to stderr, its exceptions become a UserError with its own line."""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import random
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.devices import same_device
from muaudit.targets.userfiles import is_user_file

_APART = 1_000_003  # between the seeds that code sets itself, from one draw to the next
_TOOL = str(Path(__file__).resolve().parents[1]) + os.sep


class RaisedError(UserError):
    """A UserError for an exception out of the user's own code, which other sizes may not raise.

    words: texts that the code refused, each with those that it would have known.
    """

    words: tuple[tuple[str, tuple[str, ...]], ...] = ()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what is printed to stdout to stderr: stdout carries the report only."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def attempt() -> Iterator[None]:
    """Run user code that may well fail: quietly, and without its warnings."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def guarded(what: str, hint: str = "") -> Iterator[None]:
    """Run user code quietly; whatever it raises becomes `what raised ...` with the user's line, and `hint`."""
    try:
        with quiet(), same_device():
            yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise user_error(what, error, hint) from error


@contextlib.contextmanager
def answered(what: str, entry: object = None) -> Iterator[None]:
    """What escapes from code of the user's that was called somewhere inside becomes a UserError with the user's line.

    Whose an exception is tells the innermost frame that belongs to no library: muaudit's own faults stay what they are.
    entry: a function that is muaudit's, wherever it was written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or not raised_by_user(error, entry):
            raise
        raise user_error(what, error) from error


def raised_by_user(error: BaseException, entry: object = None) -> bool:
    """Whether the innermost frame of an exception that is no library's is the user's, and not muaudit's."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    for code in reversed(codes):
        if code.co_filename.startswith(_TOOL) or code is getattr(entry, "__code__", None):
            return False
        if is_user_file(code.co_filename):
            return True
    return False


def user_error(what: str, error: BaseException, hint: str = "") -> RaisedError:
    """The error as a UserError: `what raised ValueError: text`, then the user's own line."""
    return RaisedError("\n".join([f"{what} raised {describe(error)}", *where(error)]), hint)


def looked_up(found: Any, parts: Iterable[str]) -> Any:
    """The attribute of an attribute of a value of the target; None where a look raises, as at what was not imported."""
    try:
        for part in parts:
            found = getattr(found, part, None)
    except Exception:
        return None
    return found


def describe(error: BaseException) -> str:
    """`ValueError: text`, on one line, cut where it runs long."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # the exception is the user's, and so is what makes words of it
        text = ""
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def where(error: BaseException) -> list[str]:
    """The innermost frame in the user's code, as `  file:line: source`, or nothing when there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return [f"  {error.filename}:{error.lineno}: {(error.text or '').strip()}".rstrip(": ")]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_user_file(frame.filename)]
    if not own:
        return []
    frame = own[-1]
    source = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return [f"  {frame.filename}:{frame.lineno}: {source}".rstrip(": ")]


def seed_everything(seed: int) -> None:
    """Seed torch, random and numpy (where the user's code imported it)."""
    seed_torch(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """`seed_everything`, and what seeds itself in here is seeded otherwise under each `seed`, under 0 as it says.

    A constructor with a `torch.manual_seed(42)` of its own would draw the same weights under all seeds, and how the
    size of what it draws depends on width could not be told from chance.
    """
    import torch

    seed_everything(seed)
    places: list[tuple[Any, str, int]] = [
        (torch, "manual_seed", 1 << 63),
        (torch.random, "manual_seed", 1 << 63),
        (random, "seed", 1 << 63),
    ]
    if (numpy := sys.modules.get("numpy")) is not None:
        places.append((numpy.random, "seed", 1 << 32))
    kept = [(module, name, getattr(module, name)) for module, name, _ in places]
    try:
        for module, name, limit in places if seed else ():
            setattr(module, name, _moved(getattr(module, name), _APART * seed, limit))
        yield
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def _moved(function: Callable[..., Any], by: int, limit: int) -> Callable[..., Any]:
    """`function`, which takes a seed, called with one further on."""

    def moved(value: Any) -> Any:
        return (value + by) % limit if isinstance(value, int) else value

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*map(moved, args), **{name: moved(value) for name, value in kwargs.items()})

    return called


def seed_torch(seed: int) -> None:
    """Seed torch on all devices there are: `torch.manual_seed`, which takes a stack trace for each absent one."""
    import torch

    if _accelerated():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@functools.cache
def _accelerated() -> bool:
    import torch

    return torch.accelerator.is_available()
