"""Files of the user's, read with bounds: whatever a file is or holds, there is an answer in seconds and little memory.

A file may be a pipe that nobody writes to, a hundred megabytes long, nested a hundred thousand deep, hold a number of
five thousand digits, or a few lines of YAML that stand for a billion values. Parsing stops where a bound is passed.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muaudit.errors import UserError

if TYPE_CHECKING:
    pass

MIB = 1 << 20
LARGEST = 16 * MIB
"""Bytes of a file that is written by hand, or folded by pattern: a plan of 10,000 entries has two million."""
INDEX, RESULTS, SOURCE = 64 * MIB, 1024 * MIB, 4 * MIB
"""Bytes of what machines write: an index of tensors or a measurement; the runs of a sweep; a module of Python."""
DEEPEST = 100
MOST_VALUES = 1_000_000
MOST_DIGITS = 100


class Unreadable(UserError):
    """A file that cannot be read at all: `cannot read FILE: why`. absent: there is none."""

    def __init__(self, path: str | Path, why: str, hint: str = "", *, absent: bool = False) -> None:
        super().__init__(f"cannot read {path}: {why}", hint)
        self.why, self.absent = why, absent


class Malformed(ValueError):
    """A text that is not what it should be, or that passes a bound; `line` and `column` count from 1, where known."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f" (line {line}, column {column})"
        super().__init__(f"{problem}{place}")
        self.problem, self.line, self.column = problem, line, column


# -- bytes -------------------------------------------------------------------------------------------------------
def read_bytes(path: str | Path, hint: str = "", most: int = LARGEST) -> bytes:
    """What a regular file holds. Raises Unreadable for what is none, is not there, or has more than `most` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(path, f"it is {_kind(status.st_mode)}, expected a regular file", hint)
            data = file.read(most + 1) if status.st_size <= most else b""
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise Unreadable(path, "it is no regular file", hint) from None
        absent = isinstance(error, FileNotFoundError)
        raise Unreadable(path, error.strerror or str(error), hint, absent=absent) from error
    except ValueError as error:  # a name with a zero byte in it
        raise Unreadable(path, str(error), hint) from error
    if status.st_size > most or len(data) > most:
        raise Unreadable(path, f"it has {max(status.st_size, len(data)):,} bytes, expected at most {most:,}", hint)
    return data


def read_text(path: str | Path, hint: str = "", most: int = LARGEST) -> str:
    """As `read_bytes`, of a text in UTF-8; line ends as in Python's text files."""
    try:
        text = read_bytes(path, hint, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(path, f"it is not text in UTF-8: {error.reason} at byte {error.start}", hint) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    )  # fmt: skip
    return next((name for test, name in kinds if test(mode)), "something else")


# -- JSON and TOML -----------------------------------------------------------------------------------------------
def parse_json(text: str) -> Any:
    """The document as plain data. Raises Malformed."""
    try:
        found = json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise Malformed(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise Malformed(f"it is nested more than {DEEPEST} deep") from None
    _check_depth(found)
    return found


def parse_toml(text: str) -> dict[str, Any]:
    """The document as plain data. Raises Malformed."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise Malformed(f"it is nested more than {DEEPEST} deep") from None
    except Malformed:
        raise
    except ValueError as error:
        problem, _, place = str(error).partition(" (at line ")
        line, _, column = place.rstrip(")").partition(", column ")
        known = line.isdigit() and column.isdigit()
        raise Malformed(problem, int(line) if known else None, int(column) if known else None) from None
    _check_depth(found)
    return found


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise Malformed(f"a number of {len(digits)} digits, expected at most {MOST_DIGITS}")
    return int(digits)


def _check_depth(found: Any) -> None:
    level, depth = [found], 0
    while level:
        if depth > DEEPEST:
            raise Malformed(f"it is nested more than {DEEPEST} deep")
        level = [each for one in level for each in _held(one) if isinstance(each, (dict, list))]
        depth += 1


def _held(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


# -- YAML --------------------------------------------------------------------------------------------------------
def parse_yaml(text: str) -> Any:
    """The document as plain data, as `yaml.safe_load` makes it, but for tags of the document's own. Raises Malformed.

    Built from the events of libyaml's parser where PyYAML has it, without recursion. What an alias stands for counts
    as often as it is named.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return _Builder(_events(loader), loader).document()
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise Malformed(problem, *((mark.line + 1, mark.column + 1) if mark else ())) from None
    finally:
        loader.dispose()


def _events(loader: Any) -> Iterator[Any]:
    while loader.check_event():
        yield loader.get_event()


@dataclass
class _Open:
    """A mapping or list that is being read. size: its values, those that aliases stand for among them."""

    value: Any
    mapping: bool
    mark: Any
    anchor: str | None = None
    size: int = 1
    keys: list[Any] = field(default_factory=list)
    merged: list[Any] = field(default_factory=list)


_MERGE = object()


class _Builder:
    """One document out of the events of a parser."""

    def __init__(self, events: Iterator[Any], loader: Any) -> None:
        self.events = events
        self.scalar = _scalars(loader)
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.result: Any = None
        self.documents = 0
        self.total = 0

    def document(self) -> Any:
        """The document, None where there is none."""
        import yaml

        for event in self.events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._add(self.scalar(event), 1, event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._begin(event, kind is yaml.MappingStartEvent)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._end(event)
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    raise self._malformed("expected a single document in the stream", event)
        return self.result

    def _begin(self, event: Any, mapping: bool) -> None:
        if event.tag is not None and event.tag != f"tag:yaml.org,2002:{'map' if mapping else 'seq'}":
            raise self._malformed(f"the tag {event.tag!r} is not read here", event)
        if len(self.open) >= DEEPEST:
            raise self._malformed(f"it is nested more than {DEEPEST} deep", event)
        self.open.append(_Open({} if mapping else [], mapping, event.start_mark, event.anchor))

    def _end(self, event: Any) -> None:
        done = self.open.pop()
        if done.merged:  # keys of the mapping itself beat those that are merged, the first of which beat the others
            for each in done.merged:
                for key, value in each.items():
                    done.value.setdefault(key, value)
        if done.anchor is not None:
            self.anchors[done.anchor] = done.value, done.size
        self._put(done.value, done.size, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            inside = any(each.anchor == event.anchor for each in self.open)
            problem = "holds itself" if inside else "is not defined"
            raise self._malformed(f"the alias {event.anchor!r} {problem}", event)
        self._put(*self.anchors[event.anchor], event)

    def _add(self, value: Any, size: int, event: Any) -> None:
        if event.anchor is not None:
            self.anchors[event.anchor] = value, size
        self._put(value, size, event)

    def _put(self, value: Any, size: int, event: Any) -> None:
        """Into the container that is open, as an entry, a key or a value."""
        self.total += 1
        if not self.open:
            self.result = value
            return
        parent = self.open[-1]
        parent.size += size
        if parent.size > MOST_VALUES or self.total > MOST_VALUES:
            raise self._malformed(f"it stands for more than {MOST_VALUES:,} values", event)
        if not parent.mapping:
            parent.value.append(value)
        elif not parent.keys:
            if value is not _MERGE and not _hashable(value):
                raise self._malformed("found unhashable key", event)
            parent.keys.append(value)
        elif (key := parent.keys.pop()) is _MERGE:
            parent.merged += self._mappings(value, event)
        else:
            parent.value[key] = value if value is not _MERGE else "<<"

    def _mappings(self, value: Any, event: Any) -> list[Mapping[Any, Any]]:
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in found):
            raise self._malformed("expected a mapping or list of mappings for merging", event)
        return found

    def _malformed(self, problem: str, event: Any) -> Malformed:
        return Malformed(problem, event.start_mark.line + 1, event.start_mark.column + 1)


def _hashable(value: Any) -> bool:
    return isinstance(value, Hashable)


def _scalars(loader: Any) -> Any:
    """From a scalar event to its value. Plain words come again and again: each is resolved once."""
    import yaml

    constructor = yaml.constructor.SafeConstructor()
    resolver: Any = yaml.resolver.Resolver()

    @lru_cache(maxsize=65536)
    def made(text: str, tag: str | None, plain: bool) -> Any:
        known = tag if tag is not None else resolver.resolve(yaml.ScalarNode, text, (plain, not plain))
        if known == "tag:yaml.org,2002:merge":
            return _MERGE
        if known == "tag:yaml.org,2002:int" and len(text) > MOST_DIGITS:
            raise Malformed(f"a number of {len(text)} digits, expected at most {MOST_DIGITS}")
        return constructor.construct_object(yaml.ScalarNode(known, text))

    def scalar(event: Any) -> Any:
        if event.tag is None and not event.implicit[0]:
            return event.value
        try:
            return made(event.value, event.tag, bool(event.implicit[0]))
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            problem = getattr(error, "problem", None) or str(error)
            raise Malformed(problem, event.start_mark.line + 1, event.start_mark.column + 1) from None

    return scalar
