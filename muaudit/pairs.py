"""`NAME=VALUE,NAME=VALUE` as flags take it, once or several times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def pairs(texts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Each part as it was written, its name and its value; the name is empty where there is no `=`."""
    for part in (part.strip() for text in texts for part in text.split(",")):
        if part:
            name, equals, value = (piece.strip() for piece in part.partition("="))
            yield part, name if equals else "", value
