"""What ends a sweep early. Free of torch."""

from __future__ import annotations


class OutOfTime(Exception):
    """The budget ended in the middle of a unit; nothing of it is kept."""
