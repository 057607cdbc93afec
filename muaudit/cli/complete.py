"""What the shell offers for a value: rules, formats, profiles, severities, configured targets. Free of torch.

Nothing offered leaves file names to the shell. A completion must never fail: it runs while the user is typing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES
from muaudit.parametrizations import PROFILES
from muaudit.report.render import FORMATS
from muaudit.rules import RULES
from muaudit.settings import load_settings

Offered = list[tuple[str, str]]
"""Values, each with a word on what it is."""


def rules(incomplete: str) -> Offered:
    """Codes and names of rules; of a list (`MUP2,hid`), its last entry."""
    before, comma, last = incomplete.rpartition(",")
    codes = [(rule.code, rule.name) for rule in RULES]
    names = [(rule.name, rule.code) for rule in RULES]
    # Names only once a letter rules the codes out: otherwise every rule is offered twice.
    return [(before + comma + text, told) for text, told in _starting(last, codes) or _starting(last, names)]


def formats(incomplete: str) -> Offered:
    """Formats of `check`."""
    return _starting(incomplete, [(style, "") for style in FORMATS])


def outputs(incomplete: str) -> Offered:
    """`sarif=` and so on; behind it, a file."""
    return [(f"{style}=", told) for style, told in formats(incomplete)] if incomplete else []


def profiles(incomplete: str) -> Offered:
    """Profiles that come with muaudit."""
    return _starting(incomplete, [(name, "") for name in PROFILES])


def severities(incomplete: str) -> Offered:
    """Severities, the worst first."""
    return _starting(incomplete, [(severity, "") for severity in SEVERITIES])


def targets(incomplete: str) -> Offered:
    """Names of configured targets."""

    try:
        configured = load_settings(Path.cwd()).targets
    except (UserError, OSError):  # check says what is wrong with it
        return []
    return _starting(incomplete, [(name, "") for name in configured])


def _starting(incomplete: str, offered: Iterable[tuple[str, str]]) -> Offered:
    return [(text, told) for text, told in offered if text.lower().startswith(incomplete.lower())]
