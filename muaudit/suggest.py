"""What to say when a name is unknown: the nearest one, and the choices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from muaudit.errors import UserError

_SHOWN = 12


def close(name: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The choices nearest to `name`, best first: by spelling, else those that contain it."""
    known = list(choices)
    by_fold = {choice.lower(): choice for choice in known}
    found = [by_fold[match] for match in get_close_matches(name.lower(), by_fold, n=count, cutoff=0.6)]
    return found or [choice for choice in known if name.lower() in choice.lower()][:count]


def nearest(name: str, choices: Iterable[str], kind: str) -> str:
    """Two lines at most: `did you mean X?` and `choices: ...` (cut when long)."""
    known = list(choices)
    found = close(name, known)
    lines = [f"did you mean {' or '.join(found)}?"] if found else []
    more = f", ... ({len(known)} in all)" if len(known) > _SHOWN else ""
    lines.append(f"{kind}: {', '.join(known[:_SHOWN])}{more}")
    return "\n".join(lines)


def check_format(name: str, formats: Collection[str]) -> str:
    """The name of a format. Raises UserError with the choices otherwise."""
    if name not in formats:
        raise UserError(f"unknown format {name!r}", nearest(name, formats, "formats"))
    return name
