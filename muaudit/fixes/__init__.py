"""Edits of the user's source that mend findings: proposed, tried by an audit, shown as a diff, made."""

from .base import known_base
from .edits import apply_edits, diff_text, edited
from .propose import propose
from .verify import verified

__all__ = ["apply_edits", "diff_text", "edited", "known_base", "propose", "verified"]
