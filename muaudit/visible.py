"""Text that comes from the user's code, as it may be sent to a terminal: what would steer it is shown instead."""

from __future__ import annotations

import re

# C0 but for tab and line feed, DEL and C1 (ECMA-48); line and paragraph separators; marks that reorder what is read
# (Unicode TR 36, Bidirectional Text Spoofing); halves of surrogate pairs, which no stream takes.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""The text with control characters escaped as Python writes them: `\x1b[31m`."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
